-- +goose Up

-- What people are told about their own factors, passwords and sign-ins. detail
-- is JSON, a few short texts; never a secret.
CREATE TABLE notice (
    id        TEXT   NOT NULL PRIMARY KEY,
    person_id TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    zone      TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    detail    TEXT   NOT NULL
);
CREATE INDEX notice_at ON notice (at);

-- One row for each address that a notice goes to; an empty address is the one
-- that the directory holds when the mail goes out. state: waiting, sent,
-- undelivered, refused, unaddressed, withheld. While it waits, the row is tried
-- at due_at, by whoever claimed it, until claimed_until.
CREATE TABLE notice_copy (
    notice_id     TEXT   NOT NULL REFERENCES notice (id),
    address       TEXT   NOT NULL,
    state         TEXT   NOT NULL DEFAULT 'waiting',
    due_at        BIGINT NOT NULL,
    claim         TEXT   NOT NULL DEFAULT '',
    claimed_until BIGINT NOT NULL DEFAULT 0,
    tries         BIGINT NOT NULL DEFAULT 0,
    refusals      BIGINT NOT NULL DEFAULT 0,
    ended_at      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (notice_id, address)
);
CREATE INDEX notice_copy_due ON notice_copy (due_at) WHERE state = 'waiting';
CREATE INDEX notice_copy_ended ON notice_copy (ended_at) WHERE state <> 'waiting';

-- The second address that a person wants to be told at.
CREATE TABLE notice_address (
    person_id  TEXT   NOT NULL PRIMARY KEY,
    address    TEXT   NOT NULL,
    changed_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE notice_address;
DROP TABLE notice_copy;
DROP TABLE notice;
