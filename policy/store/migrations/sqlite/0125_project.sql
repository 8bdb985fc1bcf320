-- +goose Up

-- A project (案件) that IDs are bound to: they are good until until_at, or until it is
-- completed before that. settled_at is when what follows from its end was done for all of
-- its IDs, warned_for the end that people were warned of. body is what nothing is looked
-- for by, as JSON.
CREATE TABLE project (
    id            TEXT   NOT NULL PRIMARY KEY,
    section       TEXT   NOT NULL,
    environment   TEXT   NOT NULL CHECK (environment IN ('production', 'development')),
    until_at      BIGINT NOT NULL,
    completed_at  BIGINT NOT NULL DEFAULT 0,
    settled_at    BIGINT NOT NULL DEFAULT 0,
    warned_for    BIGINT NOT NULL DEFAULT 0,
    claimed_until BIGINT NOT NULL DEFAULT 0,
    version       BIGINT NOT NULL DEFAULT 1,
    changed_at    BIGINT NOT NULL,
    body          TEXT   NOT NULL
);
CREATE INDEX project_changed ON project (changed_at);
CREATE INDEX project_ends ON project (until_at) WHERE settled_at = 0;

-- That an ID was bound to a project, as it was then. Never deleted: a binding that is over
-- has an end of its own. dealt_at is when it was decided what the project's end means for
-- the ID, and closed what that was.
CREATE TABLE project_member (
    id         TEXT   NOT NULL PRIMARY KEY,
    project    TEXT   NOT NULL REFERENCES project (id),
    person_id  TEXT   NOT NULL,
    login      TEXT   NOT NULL,
    role       TEXT   NOT NULL CHECK (role IN ('responsible', 'worker')),
    bound_at   BIGINT NOT NULL,
    unbound_at BIGINT NOT NULL DEFAULT 0,
    dealt_at   BIGINT NOT NULL DEFAULT 0,
    tries      BIGINT NOT NULL DEFAULT 0,
    closed     TEXT   NOT NULL DEFAULT '',
    changed_at BIGINT NOT NULL,
    body       TEXT   NOT NULL
);
CREATE UNIQUE INDEX project_member_bound ON project_member (project, person_id) WHERE unbound_at = 0;
CREATE INDEX project_member_person ON project_member (person_id);
CREATE INDEX project_member_changed ON project_member (changed_at);

-- The end of an ID's account in the directory, as far as projects have to do with it: own
-- is what stood there before, aim what was to be written, wrote what was read back then.
-- due_at is when the directory is brought to it next; 0: it is. Whoever binds an ID takes
-- hold of its row first.
CREATE TABLE project_end (
    person_id TEXT   NOT NULL PRIMARY KEY,
    login     TEXT   NOT NULL,
    own_at    BIGINT NOT NULL DEFAULT 0,
    aim_at    BIGINT NOT NULL DEFAULT 0,
    wrote_at  BIGINT NOT NULL DEFAULT 0,
    due_at    BIGINT NOT NULL DEFAULT 0,
    since_at  BIGINT NOT NULL DEFAULT 0,
    tries     BIGINT NOT NULL DEFAULT 0,
    error     TEXT   NOT NULL DEFAULT '',
    version   BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX project_end_due ON project_end (due_at) WHERE due_at > 0;

-- +goose Down
DROP TABLE project_end;
DROP TABLE project_member;
DROP TABLE project;
