-- +goose Up

-- What authenticators know a person by: 64 random bytes that say nothing about
-- who it is (W3C WebAuthn L3 section 14.6.1).
CREATE TABLE passkey_user (
    person  TEXT   NOT NULL PRIMARY KEY,
    handle  BYTEA  NOT NULL UNIQUE,
    made_at BIGINT NOT NULL
);

-- One row for each passkey. credential is sealed to the row and holds the public
-- key; it repeats person, credential_id, sign_count and added_at, which stand
-- open to be searched and guarded by, so that a row changed by hand opens
-- nothing. backed_up is the last the key said of itself.
CREATE TABLE passkey (
    id            TEXT   NOT NULL PRIMARY KEY,
    person        TEXT   NOT NULL,
    credential_id BYTEA  NOT NULL UNIQUE,
    credential    BYTEA  NOT NULL,
    sign_count    BIGINT NOT NULL,
    backed_up     BIGINT NOT NULL,
    transports    TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    added_at      BIGINT NOT NULL,
    last_used_at  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX passkey_person ON passkey (person, added_at);

-- +goose Down
DROP TABLE passkey;
DROP TABLE passkey_user;
