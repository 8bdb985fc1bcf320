-- +goose Up

-- A device is an app that its owner enrolled (kind totp) or a hardware token
-- that was given to them (kind token, with the serial of its otp_token). The
-- form of its codes is an app's by default; period is in seconds. drift is how
-- many steps its clock is ahead of ours, synced what drift was when it was last
-- set by two codes; the codes of sign-ins move the one only so far from the
-- other. valid_until 0: no end.
ALTER TABLE totp_device ADD COLUMN kind TEXT NOT NULL DEFAULT 'totp';
ALTER TABLE totp_device ADD COLUMN serial TEXT NOT NULL DEFAULT '';
ALTER TABLE totp_device ADD COLUMN algorithm TEXT NOT NULL DEFAULT 'SHA1';
ALTER TABLE totp_device ADD COLUMN digits BIGINT NOT NULL DEFAULT 6;
ALTER TABLE totp_device ADD COLUMN period BIGINT NOT NULL DEFAULT 30;
ALTER TABLE totp_device ADD COLUMN drift BIGINT NOT NULL DEFAULT 0;
ALTER TABLE totp_device ADD COLUMN synced BIGINT NOT NULL DEFAULT 0;
ALTER TABLE totp_device ADD COLUMN valid_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE totp_device ADD COLUMN valid_until BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX totp_device_serial ON totp_device (serial) WHERE serial <> '';

-- The inventory: one row for each hardware token that was ever imported. state
-- is stock, assigned (person, login and name say to whom, device is their row)
-- or lost, which is for good: the seed is gone then, and the row stays so that
-- the serial cannot come back. seed is sealed to this row. last_step, drift,
-- synced and last_used_at are those of the device row while there is one, and
-- are brought back here when it goes: a code that was used stays used whoever
-- has the token next. resync_tries are the tries to set the clock since
-- resync_at was an hour old.
CREATE TABLE otp_token (
    serial       TEXT   NOT NULL PRIMARY KEY,
    maker        TEXT   NOT NULL,
    seed         BYTEA  NOT NULL,
    algorithm    TEXT   NOT NULL,
    digits       BIGINT NOT NULL,
    period       BIGINT NOT NULL,
    valid_from   BIGINT NOT NULL DEFAULT 0,
    valid_until  BIGINT NOT NULL DEFAULT 0,
    state        TEXT   NOT NULL DEFAULT 'stock',
    person       TEXT   NOT NULL DEFAULT '',
    login        TEXT   NOT NULL DEFAULT '',
    name         TEXT   NOT NULL DEFAULT '',
    device       TEXT   NOT NULL DEFAULT '',
    last_step    BIGINT NOT NULL DEFAULT -1,
    drift        BIGINT NOT NULL DEFAULT 0,
    synced       BIGINT NOT NULL DEFAULT 0,
    resync_tries BIGINT NOT NULL DEFAULT 0,
    resync_at    BIGINT NOT NULL DEFAULT 0,
    imported_at  BIGINT NOT NULL,
    assigned_at  BIGINT NOT NULL DEFAULT 0,
    last_used_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX otp_token_person ON otp_token (person) WHERE person <> '';
CREATE INDEX otp_token_device ON otp_token (device) WHERE device <> '';

-- +goose Down
DROP TABLE otp_token;
DELETE FROM totp_device WHERE kind = 'token';
DROP INDEX totp_device_serial;
ALTER TABLE totp_device DROP COLUMN valid_until;
ALTER TABLE totp_device DROP COLUMN valid_from;
ALTER TABLE totp_device DROP COLUMN synced;
ALTER TABLE totp_device DROP COLUMN drift;
ALTER TABLE totp_device DROP COLUMN period;
ALTER TABLE totp_device DROP COLUMN digits;
ALTER TABLE totp_device DROP COLUMN algorithm;
ALTER TABLE totp_device DROP COLUMN serial;
ALTER TABLE totp_device DROP COLUMN kind;
