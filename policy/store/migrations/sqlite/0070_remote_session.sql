-- +goose Up

-- Sessions through network gear. id is that of the gate's session which each hangs
-- on; class_mac stands for the handle that the gear repeats. ends_at is what the gear
-- was told. cut_at is when one was to end before its time, and cut_due when the gear
-- is told next; ended_at is when it is known to be over.
CREATE TABLE remote_session (
    id           TEXT   NOT NULL PRIMARY KEY,
    class_key    TEXT   NOT NULL,
    class_mac    TEXT   NOT NULL UNIQUE,
    client       TEXT   NOT NULL,
    application  TEXT   NOT NULL,
    person_id    TEXT   NOT NULL,
    login        TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    zone         TEXT   NOT NULL,
    source       TEXT   NOT NULL,
    gear         TEXT   NOT NULL,
    user_name    TEXT   NOT NULL,
    admitted_at  BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL,
    started_at   BIGINT NOT NULL DEFAULT 0,
    heard_at     BIGINT NOT NULL DEFAULT 0,
    acct_session TEXT   NOT NULL DEFAULT '',
    nas_address  TEXT   NOT NULL DEFAULT '',
    nas_name     TEXT   NOT NULL DEFAULT '',
    nas_port     BIGINT NOT NULL DEFAULT 0,
    framed       TEXT   NOT NULL DEFAULT '',
    calling      TEXT   NOT NULL DEFAULT '',
    bytes_in     BIGINT NOT NULL DEFAULT 0,
    bytes_out    BIGINT NOT NULL DEFAULT 0,
    session_time BIGINT NOT NULL DEFAULT 0,
    ended_at     BIGINT NOT NULL DEFAULT 0,
    ended_why    TEXT   NOT NULL DEFAULT '',
    cut_at       BIGINT NOT NULL DEFAULT 0,
    cut_why      TEXT   NOT NULL DEFAULT '',
    cut_tries    BIGINT NOT NULL DEFAULT 0,
    cut_due      BIGINT NOT NULL DEFAULT 0,
    cut_answer   TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX remote_session_open ON remote_session (admitted_at) WHERE ended_at = 0;
CREATE INDEX remote_session_told ON remote_session (client, acct_session);

-- +goose Down
DROP TABLE remote_session;
