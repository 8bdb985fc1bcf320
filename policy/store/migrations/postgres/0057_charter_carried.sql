-- +goose Up

-- Where a proposed text came from, if another gateway signed it. It counts as taken
-- from there when the proposal is approved, and not before.
CREATE TABLE charter_carried (
    proposal  TEXT   NOT NULL PRIMARY KEY,
    origin    TEXT   NOT NULL,
    signed_by TEXT   NOT NULL,
    epoch     BIGINT NOT NULL,
    version   BIGINT NOT NULL,
    digest    TEXT   NOT NULL,
    issued_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE charter_carried;
