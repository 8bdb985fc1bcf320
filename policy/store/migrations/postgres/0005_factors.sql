-- +goose Up

-- One row for each TOTP device, from the moment its seed was shown to somebody.
-- confirmed_at 0: the person has not yet proved that the seed arrived; until
-- ends_at they may, with tries wrong codes so far. last_step is the newest time
-- step a code was accepted for (RFC 6238 section 5.2); it only grows, so a code
-- is good once whatever the clock does. seed is sealed to this row.
CREATE TABLE totp_device (
    id           TEXT   NOT NULL PRIMARY KEY,
    person       TEXT   NOT NULL,
    name         TEXT   NOT NULL DEFAULT '',
    seed         BYTEA  NOT NULL,
    last_step    BIGINT NOT NULL DEFAULT -1,
    tries        BIGINT NOT NULL DEFAULT 0,
    added_at     BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL DEFAULT 0,
    confirmed_at BIGINT NOT NULL DEFAULT 0,
    last_used_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX totp_device_person ON totp_device (person, confirmed_at);
CREATE INDEX totp_device_ends ON totp_device (ends_at) WHERE confirmed_at = 0;

-- One salt for each person, so that one slow hash compares a password with all
-- that the person has used, under any of their IDs.
CREATE TABLE password_salt (
    person TEXT   NOT NULL PRIMARY KEY,
    salt   BYTEA  NOT NULL
);

-- Digests of the passwords a person has had. settled_at 0: the change was
-- intended and the directory has not yet been seen to hold it.
CREATE TABLE password_history (
    id         TEXT   NOT NULL PRIMARY KEY,
    person     TEXT   NOT NULL,
    key_id     TEXT   NOT NULL,
    digest     BYTEA  NOT NULL,
    at         BIGINT NOT NULL,
    settled_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX password_history_person ON password_history (person, at);
CREATE INDEX password_history_unsettled ON password_history (at) WHERE settled_at = 0;

-- +goose Down
DROP TABLE password_history;
DROP TABLE password_salt;
DROP TABLE totp_device;
