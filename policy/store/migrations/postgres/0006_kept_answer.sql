-- +goose Up

-- First answers to requests that carry an Idempotency-Key, sealed to their row:
-- some are secrets, and a repeated request after a restart gets the same one.
CREATE TABLE kept_answer (
    place   TEXT   NOT NULL PRIMARY KEY,
    sealed  BYTEA  NOT NULL,
    ends_at BIGINT NOT NULL
);
CREATE INDEX kept_answer_ends ON kept_answer (ends_at);

-- +goose Down
DROP TABLE kept_answer;
