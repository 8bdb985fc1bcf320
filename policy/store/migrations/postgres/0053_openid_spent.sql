-- +goose Up

-- What OpenID Connect takes once and has no row of its own: names of pushed
-- requests, and the proofs of a key (DPoP) by which clients use their tokens. A
-- row is kept until what it is about would be too old anyway.
CREATE TABLE oidc_spent (
    what       TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX oidc_spent_end ON oidc_spent (expires_at);

-- +goose Down
DROP TABLE oidc_spent;
