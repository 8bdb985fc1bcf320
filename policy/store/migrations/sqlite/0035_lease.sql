-- +goose Up

-- Privilege that was asked for, and how far it has come. A lease is active only
-- where state says so; when its end comes it is over whatever state says, so that
-- nothing need run. ends_at is what the rules of authz/grant have computed, 0
-- before activation. body is the rest of the lease as JSON; it holds no secret.
CREATE TABLE lease (
    id         TEXT   NOT NULL PRIMARY KEY,
    privilege  TEXT   NOT NULL,
    person_id  TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    asked_at   BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,
    due_at     BIGINT NOT NULL, -- when the row's state will be wrong by itself, or something is to be told; 0: never
    matter     TEXT   NOT NULL,
    extension  TEXT   NOT NULL, -- the matter of more time that waits
    incident   TEXT   NOT NULL,
    session_id TEXT   NOT NULL,
    owes       BIGINT NOT NULL, -- 1: a work record, or a judgement, is still to be written
    changed_at BIGINT NOT NULL,
    body       TEXT   NOT NULL
);
CREATE INDEX lease_person ON lease (person_id, asked_at);
CREATE INDEX lease_asked ON lease (asked_at, id);
CREATE INDEX lease_changed ON lease (changed_at);
CREATE INDEX lease_due ON lease (due_at) WHERE due_at > 0;
CREATE INDEX lease_active ON lease (ends_at) WHERE state = 'active';
CREATE INDEX lease_incident ON lease (incident) WHERE incident <> '';

-- The password of an ID that was lent while its borrower was not there to be
-- shown it (a second person started the lease): sealed, shown once, then gone.
CREATE TABLE lease_secret (
    lease   TEXT   NOT NULL PRIMARY KEY,
    sealed  BLOB   NOT NULL,
    ends_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE lease_secret;
DROP TABLE lease;
