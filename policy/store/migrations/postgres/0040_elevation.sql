-- +goose Up

-- What leases bring about in the directory. state:
--   intended   to be brought about; turned round if nobody has by decide_by
--   applied    seen in the directory; turned round if the lease is not live by decide_by
--   kept       its lease lives, until not_after
--   withdrawn  to be undone, as long as it takes
--   closed     seen to be gone
-- thing names what in the directory it is about: several effects may be about one
-- thing. doubt: bringing it about was begun, and the answer may not have come.
-- told_until is the end that the directory was told. No password is in here.
CREATE TABLE elevation_effect (
    lease        TEXT   NOT NULL,
    place        BIGINT NOT NULL,
    thing        TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    target       TEXT   NOT NULL,
    groups       TEXT   NOT NULL DEFAULT '',
    person_id    TEXT   NOT NULL,
    login        TEXT   NOT NULL,
    name         TEXT   NOT NULL DEFAULT '',
    account      TEXT   NOT NULL DEFAULT '',
    account_id   TEXT   NOT NULL DEFAULT '',
    account_dn   TEXT   NOT NULL DEFAULT '',
    state        TEXT   NOT NULL,
    version      BIGINT NOT NULL DEFAULT 1,
    doubt        BIGINT NOT NULL DEFAULT 0,
    intended_at  BIGINT NOT NULL,
    decide_by    BIGINT NOT NULL,
    not_after    BIGINT NOT NULL,
    told_until   BIGINT NOT NULL DEFAULT 0,
    applied_at   BIGINT NOT NULL DEFAULT 0,
    withdrawn_at BIGINT NOT NULL DEFAULT 0,
    why          TEXT   NOT NULL DEFAULT '',
    closed_at    BIGINT NOT NULL DEFAULT 0,
    alarmed_at   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (lease, place)
);
CREATE INDEX elevation_effect_thing ON elevation_effect (thing);
CREATE INDEX elevation_effect_open ON elevation_effect (state, not_after) WHERE state <> 'closed';
-- A named ID is lent to one at a time.
CREATE UNIQUE INDEX elevation_effect_account ON elevation_effect (thing) WHERE kind = 'account' AND state <> 'closed';

-- One row for each thing: who is at it, until when, and when it is to be looked
-- at next (0: never). fence rises with each claim, version whenever what is wanted
-- has changed; whoever has claimed it and finds either risen has decided by what
-- is no longer so. checks: how often it is looked at again after it was undone.
CREATE TABLE elevation_thing (
    thing         TEXT   NOT NULL PRIMARY KEY,
    due_at        BIGINT NOT NULL DEFAULT 0,
    version       BIGINT NOT NULL DEFAULT 1,
    fence         BIGINT NOT NULL DEFAULT 0,
    claimed_until BIGINT NOT NULL DEFAULT 0,
    tries         BIGINT NOT NULL DEFAULT 0,
    checks        BIGINT NOT NULL DEFAULT 0,
    error         TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX elevation_thing_due ON elevation_thing (due_at) WHERE due_at <> 0;

-- What was found in the directory that no lease accounts for. closed_at 0: it is
-- still so. removed_at: we have taken it away.
CREATE TABLE elevation_finding (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    place      TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    login      TEXT   NOT NULL DEFAULT '',
    privilege  TEXT   NOT NULL DEFAULT '',
    found_at   BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    removed_at BIGINT NOT NULL DEFAULT 0,
    hindrance  TEXT   NOT NULL DEFAULT '',
    closed_at  BIGINT NOT NULL DEFAULT 0,
    closed_by  TEXT   NOT NULL DEFAULT '',
    closed_why TEXT   NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX elevation_finding_open ON elevation_finding (kind, place, subject) WHERE closed_at = 0;
CREATE INDEX elevation_finding_at ON elevation_finding (found_at);

-- The last round of the comparison, by whichever gateway it was made.
CREATE TABLE elevation_round (
    id            BIGINT NOT NULL PRIMARY KEY,
    claimed_until BIGINT NOT NULL DEFAULT 0,
    began_at      BIGINT NOT NULL DEFAULT 0,
    ended_at      BIGINT NOT NULL DEFAULT 0,
    error         TEXT   NOT NULL DEFAULT ''
);
INSERT INTO elevation_round (id) VALUES (1);

-- +goose Down
DROP TABLE elevation_round;
DROP TABLE elevation_finding;
DROP TABLE elevation_thing;
DROP TABLE elevation_effect;
