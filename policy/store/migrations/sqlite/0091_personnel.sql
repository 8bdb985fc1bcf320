-- +goose Up

-- A file of personnel changes that was proposed, and how far it has come. body is what
-- it would do, in numbers, as it was when it was proposed.
CREATE TABLE personnel_import (
    id           TEXT   NOT NULL PRIMARY KEY,
    file         TEXT   NOT NULL,
    digest       TEXT   NOT NULL,
    by_id        TEXT   NOT NULL,
    by_login     TEXT   NOT NULL,
    proposed_at  BIGINT NOT NULL,
    effective_at BIGINT NOT NULL,
    state        TEXT   NOT NULL,
    undo_by      TEXT   NOT NULL DEFAULT '', -- who asks for it to be undone
    undo_matter  TEXT   NOT NULL DEFAULT '',
    approved_at  BIGINT NOT NULL DEFAULT 0,
    ended_at     BIGINT NOT NULL DEFAULT 0,
    body         TEXT   NOT NULL
);
CREATE INDEX personnel_import_proposed ON personnel_import (proposed_at, id);
CREATE INDEX personnel_import_undo ON personnel_import (undo_matter) WHERE undo_matter <> '';

-- What it does about one person. body is the change that was proposed; found is what
-- the directory said of them right before they were first written to, '' before that:
-- what undoing gives back.
CREATE TABLE personnel_line (
    import    TEXT   NOT NULL,
    n         BIGINT NOT NULL,
    act       TEXT   NOT NULL,
    person_id TEXT   NOT NULL, -- '' for who has not joined yet
    login     TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    section   TEXT   NOT NULL,
    body      TEXT   NOT NULL,
    found     TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (import, n)
);
CREATE INDEX personnel_line_act ON personnel_line (import, act, n);
CREATE INDEX personnel_line_person ON personnel_line (person_id) WHERE person_id <> '';

-- Each step of a line: what is intended when it is due, done outside, and confirmed.
CREATE TABLE personnel_step (
    import  TEXT   NOT NULL,
    n       BIGINT NOT NULL,
    step    TEXT   NOT NULL,
    state   TEXT   NOT NULL, -- waiting, intended, done, failed, dropped
    due_at  BIGINT NOT NULL,
    tries   BIGINT NOT NULL DEFAULT 0,
    error   TEXT   NOT NULL DEFAULT '',
    done_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (import, n, step)
);
CREATE INDEX personnel_step_due ON personnel_step (due_at) WHERE state IN ('waiting', 'intended');

-- The sections that somebody belongs to beside their own: by a concurrent post (兼務),
-- or until a handover is over (引継ぎ). Its end holds whether or not anything runs.
CREATE TABLE posting (
    person_id  TEXT   NOT NULL,
    section    TEXT   NOT NULL,
    kind       TEXT   NOT NULL, -- concurrent, handover
    from_at    BIGINT NOT NULL,
    until_at   BIGINT NOT NULL, -- 0: none
    import     TEXT   NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (person_id, section, kind)
);

-- +goose Down
DROP TABLE posting;
DROP TABLE personnel_step;
DROP TABLE personnel_line;
DROP TABLE personnel_import;
