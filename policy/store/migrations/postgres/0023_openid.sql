-- +goose Up

-- An application's share of a session: sid is what that application knows it
-- by, and nobody else. When a person signs in again in the same browser, it
-- moves on to the new session. ended_at is when the application was to be told
-- that it is over.
CREATE TABLE oidc_session (
    sid        TEXT   NOT NULL PRIMARY KEY,
    client_id  TEXT   NOT NULL,
    session_id TEXT   NOT NULL,
    person_id  TEXT   NOT NULL,
    login      TEXT   NOT NULL,
    consented  TEXT   NOT NULL DEFAULT '',
    began_at   BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX oidc_session_of ON oidc_session (session_id, client_id);
CREATE INDEX oidc_session_open ON oidc_session (began_at) WHERE ended_at = 0;

-- One authorization: the code that was given for it, and, as a family, all
-- tokens that came of the code. Of the code only its MAC is kept.
CREATE TABLE oidc_grant (
    id              TEXT   NOT NULL PRIMARY KEY,
    client_id       TEXT   NOT NULL,
    sid             TEXT   NOT NULL,
    person_id       TEXT   NOT NULL,
    login           TEXT   NOT NULL,
    scope           TEXT   NOT NULL,
    claims          TEXT   NOT NULL,
    acr             TEXT   NOT NULL,
    amr             TEXT   NOT NULL,
    auth_at         BIGINT NOT NULL,
    began_at        BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    code_mac        TEXT   NOT NULL,
    redirect_uri    TEXT   NOT NULL,
    challenge       TEXT   NOT NULL,
    nonce           TEXT   NOT NULL,
    code_expires_at BIGINT NOT NULL,
    code_used_at    BIGINT NOT NULL DEFAULT 0,
    ended_at        BIGINT NOT NULL DEFAULT 0,
    ended_why       TEXT   NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX oidc_grant_code ON oidc_grant (code_mac);
CREATE INDEX oidc_grant_sid ON oidc_grant (sid);
CREATE INDEX oidc_grant_end ON oidc_grant (expires_at);

-- The refresh tokens of a family, by MAC. Each is used once.
CREATE TABLE oidc_refresh (
    mac        TEXT   NOT NULL PRIMARY KEY,
    grant_id   TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX oidc_refresh_grant ON oidc_refresh (grant_id);
CREATE INDEX oidc_refresh_end ON oidc_refresh (expires_at);

-- Access tokens that were taken back before their end.
CREATE TABLE oidc_revoked (
    jti        TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

-- Assertions by which clients proved themselves; each is good once.
CREATE TABLE oidc_assertion (
    client_id  TEXT   NOT NULL,
    jti        TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, jti)
);

-- Applications that are to be told of the end of a session. done_at is when one
-- was, or when it was given up (outcome says which).
CREATE TABLE oidc_logout (
    id         TEXT   NOT NULL PRIMARY KEY,
    client_id  TEXT   NOT NULL,
    sid        TEXT   NOT NULL,
    person_id  TEXT   NOT NULL,
    login      TEXT   NOT NULL,
    queued_at  BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    tries      BIGINT NOT NULL DEFAULT 0,
    done_at    BIGINT NOT NULL DEFAULT 0,
    outcome    TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX oidc_logout_due ON oidc_logout (next_at) WHERE done_at = 0;

-- +goose Down
DROP TABLE oidc_logout;
DROP TABLE oidc_assertion;
DROP TABLE oidc_revoked;
DROP TABLE oidc_refresh;
DROP TABLE oidc_grant;
DROP TABLE oidc_session;
