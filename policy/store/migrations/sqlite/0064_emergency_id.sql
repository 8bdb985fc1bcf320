-- +goose Up

-- Emergency IDs that lie in envelopes, for when Sekisho itself is down. No password
-- is in here. body is what is known of one as JSON; name tells two of one system
-- apart. told_at is when people heard last of what is owed.
CREATE TABLE emergency_id (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    account       TEXT   NOT NULL,
    body          TEXT   NOT NULL,
    registered_at BIGINT NOT NULL,
    withdrawn_at  BIGINT NOT NULL DEFAULT 0,
    told_at       BIGINT NOT NULL DEFAULT 0,
    version       BIGINT NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX emergency_id_name ON emergency_id (name) WHERE withdrawn_at = 0;
CREATE INDEX emergency_id_account ON emergency_id (account) WHERE withdrawn_at = 0;

-- What was done about each, in order. A row never changes.
CREATE TABLE emergency_id_event (
    emergency_id TEXT   NOT NULL REFERENCES emergency_id (id),
    version      BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    body         TEXT   NOT NULL,
    PRIMARY KEY (emergency_id, version)
);

-- +goose Down
DROP TABLE emergency_id_event;
DROP TABLE emergency_id;
