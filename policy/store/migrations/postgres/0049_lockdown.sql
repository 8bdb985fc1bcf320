-- +goose Up

-- Lock-downs. Each has an end; one that was ordered under delegation ends at
-- ratify_by unless it is ratified before. One that is lifted or over stays, as what
-- was done. told_at is when people were told that a sealed key had lifted it.
CREATE TABLE lockdown (
    id          TEXT   NOT NULL PRIMARY KEY,
    scope       TEXT   NOT NULL,
    target      TEXT   NOT NULL DEFAULT '',
    person_id   TEXT   NOT NULL DEFAULT '',
    reason      TEXT   NOT NULL,
    ordered_by  TEXT   NOT NULL,
    ordered_at  BIGINT NOT NULL,
    ends_at     BIGINT NOT NULL,
    ratify_by   BIGINT NOT NULL DEFAULT 0,
    ratified_at BIGINT NOT NULL DEFAULT 0,
    ratified_by TEXT   NOT NULL DEFAULT '',
    lifted_at   BIGINT NOT NULL DEFAULT 0,
    lifted_by   TEXT   NOT NULL DEFAULT '',
    lift_reason TEXT   NOT NULL DEFAULT '',
    envelope    BIGINT NOT NULL DEFAULT 0,
    told_at     BIGINT NOT NULL DEFAULT 0,
    version     BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX lockdown_live ON lockdown (ends_at) WHERE lifted_at = 0;

-- +goose Down
DROP TABLE lockdown;
