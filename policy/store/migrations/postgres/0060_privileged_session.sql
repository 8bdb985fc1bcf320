-- +goose Up

-- A privileged session: what lent privilege is used in at the gate and its
-- applications (articles 62-7, 65). It stands over a session of the gate, has an idle
-- end and an absolute end of its own, and ends with the last lease in it. What its
-- person carries is the handle that the session got when this began.
CREATE TABLE privileged_session (
    id         TEXT   NOT NULL PRIMARY KEY,
    session_id TEXT   NOT NULL,
    person_id  TEXT   NOT NULL,
    login      TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    ended_why  TEXT   NOT NULL DEFAULT '',
    changed_at BIGINT NOT NULL
);
-- One at a time: two that begin at once can race, and only the database sees both.
CREATE UNIQUE INDEX privileged_session_one ON privileged_session (person_id) WHERE ended_at = 0;
CREATE INDEX privileged_session_changed ON privileged_session (changed_at);

-- +goose Down
DROP TABLE privileged_session;
