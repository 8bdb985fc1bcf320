-- +goose Up

-- When each scheduled report was made last. last_slot is the time that it was due, in
-- Japan's; whoever moves it on makes the report. ran_at 0: never yet.
CREATE TABLE report_schedule (
    id        TEXT   NOT NULL PRIMARY KEY,
    last_slot TEXT   NOT NULL,
    ran_at    BIGINT NOT NULL
);

-- Reports that were made by themselves, until their end. section is whose it is, with
-- what lies below; '' is everybody's. body is the report in both languages as JSON.
CREATE TABLE report_kept (
    id       TEXT   NOT NULL PRIMARY KEY,
    schedule TEXT   NOT NULL,
    slot     TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    section  TEXT   NOT NULL,
    from_at  BIGINT NOT NULL,
    to_at    BIGINT NOT NULL,
    made_at  BIGINT NOT NULL,
    ends_at  BIGINT NOT NULL,
    entries  BIGINT NOT NULL,
    body     TEXT   NOT NULL,
    UNIQUE (schedule, slot, section)
);
CREATE INDEX report_kept_made ON report_kept (made_at);
CREATE INDEX report_kept_end ON report_kept (ends_at);

-- People's sessions from outside are looked for by their time, and are few among all.
CREATE INDEX session_outside ON session (started_at) WHERE outside = 1;

-- +goose Down
DROP INDEX session_outside;
DROP TABLE report_kept;
DROP TABLE report_schedule;
