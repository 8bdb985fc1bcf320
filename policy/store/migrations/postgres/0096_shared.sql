-- +goose Up

-- Who has, or had, a shared ID. It is over when ends_at has come, whatever state says.
-- tenure is what it is for the directory, together with those who have it too. body is
-- the rest as JSON; it holds no secret.
CREATE TABLE shared_checkout (
    id         TEXT   NOT NULL PRIMARY KEY,
    shared_id  TEXT   NOT NULL,
    tenure     TEXT   NOT NULL,
    person_id  TEXT   NOT NULL,
    session_id TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    asked_at   BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    version    BIGINT NOT NULL DEFAULT 1,
    body       TEXT   NOT NULL
);
CREATE INDEX shared_checkout_open ON shared_checkout (shared_id) WHERE state IN ('starting', 'active');
CREATE INDEX shared_checkout_person ON shared_checkout (person_id, asked_at);

-- The password of a shared ID that several may have at once, sealed, for those who join
-- while somebody has it. It goes when the last gives it back.
CREATE TABLE shared_secret (
    tenure TEXT NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL
);

-- +goose Down
DROP TABLE shared_secret;
DROP TABLE shared_checkout;
