-- +goose Up

-- Permissions that were asked for, and how far they have come. A permit is in force
-- only where state says approved; when its end comes it is over whatever state says,
-- so that nothing need run. body is the rest of it as JSON; it holds no secret.
CREATE TABLE permit (
    id           TEXT   NOT NULL PRIMARY KEY,
    kind         TEXT   NOT NULL,
    person_id    TEXT   NOT NULL,
    requester_id TEXT   NOT NULL,
    application  TEXT   NOT NULL, -- of a crossing; '' otherwise
    terminal     TEXT   NOT NULL, -- that it names; '' for none
    enforced     BIGINT NOT NULL, -- 1: it opens something
    state        TEXT   NOT NULL,
    version      BIGINT NOT NULL,
    asked_at     BIGINT NOT NULL,
    starts_at    BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL,
    due_at       BIGINT NOT NULL, -- when the row's state will be wrong by itself, or somebody is to be told; 0: never
    matter       TEXT   NOT NULL,
    changed_at   BIGINT NOT NULL,
    used_at      BIGINT NOT NULL DEFAULT 0,
    used_from    TEXT   NOT NULL DEFAULT '',
    body         TEXT   NOT NULL
);
CREATE INDEX permit_person ON permit (person_id, asked_at);
CREATE INDEX permit_asked ON permit (asked_at, id);
CREATE INDEX permit_changed ON permit (changed_at);
CREATE INDEX permit_due ON permit (due_at) WHERE due_at > 0;
CREATE INDEX permit_live ON permit (ends_at) WHERE state = 'approved';
CREATE INDEX permit_terminal ON permit (terminal) WHERE terminal <> '';
CREATE INDEX permit_matter ON permit (matter);

-- +goose Down
DROP TABLE permit;
