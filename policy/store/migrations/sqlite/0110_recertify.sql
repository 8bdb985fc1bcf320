-- +goose Up

-- When each campaign of the policy began last: the time that it was due, in Japan's.
-- Whoever moves it on begins it.
CREATE TABLE recertify_schedule (
    id        TEXT NOT NULL PRIMARY KEY,
    last_slot TEXT NOT NULL
);

-- One round of a campaign. It ends not before deadline, a midnight, and not before both
-- reminders were sent. holder works at it until claimed_until. body is its name and
-- rules as they were when it began, as JSON.
CREATE TABLE recertify_campaign (
    id               TEXT   NOT NULL PRIMARY KEY,
    campaign         TEXT   NOT NULL,
    slot             TEXT   NOT NULL,
    kind             TEXT   NOT NULL,
    state            TEXT   NOT NULL,
    why              TEXT   NOT NULL DEFAULT '',
    began_at         BIGINT NOT NULL,
    deadline         BIGINT NOT NULL,
    reminded_at      BIGINT NOT NULL DEFAULT 0,
    last_reminded_at BIGINT NOT NULL DEFAULT 0,
    ended_at         BIGINT NOT NULL DEFAULT 0,
    lines            BIGINT NOT NULL DEFAULT 0,
    matter           TEXT   NOT NULL DEFAULT '',
    holder           TEXT   NOT NULL DEFAULT '',
    claimed_until    BIGINT NOT NULL DEFAULT 0,
    body             TEXT   NOT NULL
);
CREATE INDEX recertify_campaign_state ON recertify_campaign (state, began_at);

-- What is to be confirmed: one person's ID, group, rule or permit (object), as it was
-- when the round began. raised is how far above the section's own post it is put before
-- somebody. due_at is when what follows from a no is tried or looked at next; 0: never.
-- body is what only a reader needs, as JSON.
CREATE TABLE recertify_line (
    campaign    TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    section     TEXT   NOT NULL,
    raised      BIGINT NOT NULL,
    person_id   TEXT   NOT NULL,
    login       TEXT   NOT NULL,
    object      TEXT   NOT NULL,
    last_use_at BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    reason      TEXT   NOT NULL DEFAULT '',
    decided_by  TEXT   NOT NULL DEFAULT '',
    decided_at  BIGINT NOT NULL DEFAULT 0,
    due_at      BIGINT NOT NULL DEFAULT 0,
    tries       BIGINT NOT NULL DEFAULT 0,
    version     BIGINT NOT NULL DEFAULT 1,
    body        TEXT   NOT NULL,
    PRIMARY KEY (campaign, id)
);
CREATE INDEX recertify_line_section ON recertify_line (campaign, section, login, id);
CREATE INDEX recertify_line_due ON recertify_line (due_at) WHERE due_at > 0;

-- +goose Down
DROP TABLE recertify_line;
DROP TABLE recertify_campaign;
DROP TABLE recertify_schedule;
