-- +goose Up

-- What was done about an ID that nobody uses: one row for each that was ever warned,
-- closed or opened again. effect is what the directory is still to be brought to
-- ('', disable, enable, delete); it is tried until it is confirmed. ours: we have
-- closed it there, and so may open it.
CREATE TABLE dormancy (
    person_id   TEXT   NOT NULL PRIMARY KEY,
    login       TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    section     TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    class       TEXT   NOT NULL,
    stage       TEXT   NOT NULL,
    warned_at   BIGINT NOT NULL DEFAULT 0,
    disabled_at BIGINT NOT NULL DEFAULT 0,
    deleted_at  BIGINT NOT NULL DEFAULT 0,
    reopened_at BIGINT NOT NULL DEFAULT 0,
    kept_until  BIGINT NOT NULL DEFAULT 0,
    matter      TEXT   NOT NULL DEFAULT '',
    ours        BIGINT NOT NULL DEFAULT 0,
    effect      TEXT   NOT NULL DEFAULT '',
    effect_due  BIGINT NOT NULL DEFAULT 0,
    effect_since BIGINT NOT NULL DEFAULT 0,
    effect_tries BIGINT NOT NULL DEFAULT 0,
    effect_error TEXT  NOT NULL DEFAULT '',
    version     BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX dormancy_stage ON dormancy (stage, person_id);
CREATE INDEX dormancy_effect ON dormancy (effect_due) WHERE effect <> '';
CREATE INDEX dormancy_matter ON dormancy (matter) WHERE matter <> '';

-- One look through the directory. slot is the day of a scheduled one, so that there
-- is one however many gateways; the id of one by hand. as_of is what it judges by.
CREATE TABLE sweep (
    id            TEXT   NOT NULL PRIMARY KEY,
    slot          TEXT   NOT NULL,
    as_of         BIGINT NOT NULL,
    began_at      BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL DEFAULT 0,
    by_login      TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    why           TEXT   NOT NULL DEFAULT '',
    holder        TEXT   NOT NULL DEFAULT '',
    claimed_until BIGINT NOT NULL DEFAULT 0,
    people        BIGINT NOT NULL DEFAULT 0,
    dated         BIGINT NOT NULL DEFAULT 0,
    to_warn       BIGINT NOT NULL DEFAULT 0,
    to_disable    BIGINT NOT NULL DEFAULT 0,
    to_delete     BIGINT NOT NULL DEFAULT 0,
    warned        BIGINT NOT NULL DEFAULT 0,
    disabled      BIGINT NOT NULL DEFAULT 0,
    proposed      BIGINT NOT NULL DEFAULT 0,
    passed_over   BIGINT NOT NULL DEFAULT 0,
    done_to       TEXT   NOT NULL DEFAULT '',
    matter        TEXT   NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX sweep_slot ON sweep (slot);
CREATE INDEX sweep_began ON sweep (began_at);

-- When the next scheduled one is due, so that a new store does not begin with one.
CREATE TABLE sweep_schedule (
    id        BIGINT NOT NULL PRIMARY KEY,
    last_slot TEXT   NOT NULL
);

-- Whom a sweep found unused for a month or longer, and what is to follow. Those of
-- the last sweep that came to its end are what reports show.
CREATE TABLE sweep_entry (
    sweep       TEXT   NOT NULL,
    person_id   TEXT   NOT NULL,
    login       TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    section     TEXT   NOT NULL,
    company     TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    class       TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    last_use_at BIGINT NOT NULL,
    since_at    BIGINT NOT NULL,
    unused      BIGINT NOT NULL,
    stage       TEXT   NOT NULL,
    hold        TEXT   NOT NULL,
    act         TEXT   NOT NULL,
    outcome     TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (sweep, person_id)
);
CREATE INDEX sweep_entry_act ON sweep_entry (sweep, person_id) WHERE act <> '';

-- How many IDs, by section, class and age of last use: all of them, also those that
-- are used.
CREATE TABLE sweep_count (
    sweep   TEXT   NOT NULL,
    section TEXT   NOT NULL,
    class   TEXT   NOT NULL,
    age     TEXT   NOT NULL,
    n       BIGINT NOT NULL,
    PRIMARY KEY (sweep, section, class, age)
);

-- What a sweep noticed beside: it is open as long as it is so.
CREATE TABLE lifecycle_finding (
    kind      TEXT   NOT NULL,
    subject   TEXT   NOT NULL,
    login     TEXT   NOT NULL,
    section   TEXT   NOT NULL,
    detail    TEXT   NOT NULL,
    found_at  BIGINT NOT NULL,
    seen_at   BIGINT NOT NULL,
    closed_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, subject)
);

-- Logins that were deleted. None is ever given again.
CREATE TABLE tombstone (
    login     TEXT   NOT NULL PRIMARY KEY,
    person_id TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    matter    TEXT   NOT NULL
);

-- Uses that systems out of our reach told of by a file.
CREATE TABLE outside_use (
    login   TEXT   NOT NULL,
    system  TEXT   NOT NULL,
    used_at BIGINT NOT NULL,
    told_at BIGINT NOT NULL,
    told_by TEXT   NOT NULL,
    PRIMARY KEY (login, system)
);

-- +goose Down
DROP TABLE outside_use;
DROP TABLE tombstone;
DROP TABLE lifecycle_finding;
DROP TABLE sweep_count;
DROP TABLE sweep_entry;
DROP TABLE sweep_schedule;
DROP TABLE sweep;
DROP TABLE dormancy;
