-- +goose Up

-- The articles in force are the version with the greatest number. A version is
-- never changed and never goes: what was in force on a day stays readable. The
-- number is one more than the version it was written against, so two that were
-- written against the same one collide here.
CREATE TABLE charter_version (
    number      BIGINT NOT NULL PRIMARY KEY CHECK (number > 0),
    source      BYTEA  NOT NULL,
    digest      TEXT   NOT NULL,
    proposal    TEXT   NOT NULL DEFAULT '', -- empty: installed without one
    proposed_by TEXT   NOT NULL,
    approved_by TEXT   NOT NULL DEFAULT '', -- empty: installed by one person
    in_force_at BIGINT NOT NULL
);

-- What waits for a second person. base is the version it was written against.
CREATE TABLE charter_proposal (
    id          TEXT   NOT NULL PRIMARY KEY,
    base        BIGINT NOT NULL,
    source      BYTEA  NOT NULL,
    digest      TEXT   NOT NULL,
    proposed_by TEXT   NOT NULL,
    proposed_at BIGINT NOT NULL,
    approved_id TEXT   NOT NULL DEFAULT '',
    approved_by TEXT   NOT NULL DEFAULT '',
    approved_at BIGINT NOT NULL DEFAULT 0,
    -- One person proposing one text twice proposes it once: the answer to the
    -- first may have been lost.
    UNIQUE (base, digest, proposed_by)
);

CREATE TRIGGER charter_version_update BEFORE UPDATE ON charter_version FOR EACH ROW EXECUTE FUNCTION refuse('a version of the policy is not rewritten');
CREATE TRIGGER charter_version_delete BEFORE DELETE ON charter_version FOR EACH ROW EXECUTE FUNCTION refuse('a version of the policy is not removed');
CREATE TRIGGER charter_version_truncate BEFORE TRUNCATE ON charter_version FOR EACH STATEMENT EXECUTE FUNCTION refuse('a version of the policy is not removed');

-- +goose Down
DROP TABLE charter_proposal;
DROP TABLE charter_version;
