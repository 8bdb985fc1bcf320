-- +goose Up

-- Article 78-3: whom the CIO has suspended, and when the three who must hear of it
-- were told. The row is the intention; who they are is read from the directory when
-- it can be.
CREATE TABLE rights_suspended (
    id        TEXT   NOT NULL PRIMARY KEY,
    person_id TEXT   NOT NULL,
    login     TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    section   TEXT   NOT NULL,
    by_name   TEXT   NOT NULL,
    reason    TEXT   NOT NULL,
    zone      TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    told_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX rights_suspended_untold ON rights_suspended (at) WHERE told_at = 0;

-- +goose Down
DROP TABLE rights_suspended;
