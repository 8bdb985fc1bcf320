-- +goose Up

-- Whom Sekisho last changed in the directory, for the other gateways: what they
-- hold of a person from before is not gone by. They read it with the sessions.
CREATE TABLE person_changed (
    person_id  TEXT   NOT NULL PRIMARY KEY,
    version    BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX person_changed_at ON person_changed (changed_at);

-- +goose Down
DROP TABLE person_changed;
