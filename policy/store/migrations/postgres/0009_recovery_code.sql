-- +goose Up

-- One code for each person who has lost a factor, given to them in person. Only
-- its HMAC is kept; the row goes when it is used.
CREATE TABLE recovery_code (
    person_id TEXT   NOT NULL PRIMARY KEY,
    key_id    TEXT   NOT NULL,
    mac       BYTEA  NOT NULL,
    issued_by TEXT   NOT NULL,
    issued_at BIGINT NOT NULL,
    ends_at   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE recovery_code;
