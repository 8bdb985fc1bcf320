-- +goose Up

-- A session is a row; memory and Redis hold copies of it. Only the MAC of its
-- handle is kept, so a copy of the database opens nothing.
CREATE TABLE session (
    id              TEXT   NOT NULL PRIMARY KEY,
    handle_key      TEXT   NOT NULL,
    handle_mac      TEXT   NOT NULL,
    person_id       TEXT   NOT NULL,
    login           TEXT   NOT NULL,
    name            TEXT   NOT NULL,
    zone            TEXT   NOT NULL,
    outside         BIGINT NOT NULL,
    acr             TEXT   NOT NULL,
    amr             TEXT   NOT NULL,
    source          TEXT   NOT NULL,
    user_agent      TEXT   NOT NULL,
    app             TEXT   NOT NULL,
    parent          TEXT   NOT NULL,
    started_at      BIGINT NOT NULL,
    auth_at         BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    idle_expires_at BIGINT NOT NULL,
    seen_at         BIGINT NOT NULL,
    previous_at     BIGINT NOT NULL,
    previous_from   TEXT   NOT NULL,
    previous_out_at BIGINT NOT NULL,
    failures_since  BIGINT NOT NULL,
    ended_at        BIGINT NOT NULL DEFAULT 0,
    ended_why       TEXT   NOT NULL DEFAULT '',
    changed_at      BIGINT NOT NULL,
    version         BIGINT NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX session_handle ON session (handle_mac);
CREATE INDEX session_person ON session (person_id, started_at);
CREATE INDEX session_parent ON session (parent);
CREATE INDEX session_changed ON session (changed_at);

-- A handover carries a session to an application's host, once.
CREATE TABLE handover (
    code_mac   TEXT   NOT NULL PRIMARY KEY,
    parent     TEXT   NOT NULL,
    app        TEXT   NOT NULL,
    host       TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0
);

-- Consecutive failures against one credential, one row for each way to it.
CREATE TABLE attempt (
    credential TEXT   NOT NULL PRIMARY KEY,
    failures   BIGINT NOT NULL,
    held_until BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX attempt_updated ON attempt (updated_at);

-- What Sekisho itself says of a person: suspended, dormant, on_leave.
CREATE TABLE standing (
    person_id TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    since     BIGINT NOT NULL,
    until     BIGINT NOT NULL,
    reason    TEXT   NOT NULL,
    set_by    TEXT   NOT NULL,
    PRIMARY KEY (person_id, kind)
);

-- A browser that has signed a person in before is counted apart.
CREATE TABLE known_browser (
    browser_mac TEXT   NOT NULL,
    person_id   TEXT   NOT NULL,
    since       BIGINT NOT NULL,
    last_used   BIGINT NOT NULL,
    revoked_at  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (browser_mac, person_id)
);

CREATE TABLE acknowledgement (
    person_id TEXT   NOT NULL,
    version   TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (person_id, version)
);

-- Failures since the last sign-in, shown at the next (article 63-7).
CREATE TABLE sign_in_failure (
    person_id TEXT   NOT NULL PRIMARY KEY,
    failures  BIGINT NOT NULL
);

-- A reported leak. The password is dead when the row commits; the directory is
-- told afterwards, for as long as it takes.
CREATE TABLE leak_report (
    id          TEXT   NOT NULL PRIMARY KEY,
    person_id   TEXT   NOT NULL,
    what        TEXT   NOT NULL,
    reported_at BIGINT NOT NULL,
    cleared_at  BIGINT NOT NULL DEFAULT 0,
    directory_done_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX leak_report_person ON leak_report (person_id, cleared_at);

-- Keys that sign tokens; the private half is sealed to its row.
CREATE TABLE signing_key (
    kid        TEXT   NOT NULL PRIMARY KEY,
    sealed     BYTEA  NOT NULL,
    created_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE signing_key;
DROP TABLE leak_report;
DROP TABLE sign_in_failure;
DROP TABLE acknowledgement;
DROP TABLE known_browser;
DROP TABLE standing;
DROP TABLE attempt;
DROP TABLE handover;
DROP TABLE session;
