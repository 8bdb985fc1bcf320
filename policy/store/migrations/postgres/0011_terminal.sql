-- +goose Up

-- Terminals that an administrator enrolled; those the policy declares are in the
-- policy. A row is never of the dedicated class: its word would stand in for a
-- second factor, and one person alone must not be able to make such a machine.
-- fingerprint is the SHA-256 of the public key, empty where there is none.
CREATE TABLE terminal (
    id          TEXT   NOT NULL PRIMARY KEY,
    zone        TEXT   NOT NULL,
    class       TEXT   NOT NULL CHECK (class IN ('counter', 'lent')),
    name_ja     TEXT   NOT NULL,
    name_en     TEXT   NOT NULL,
    public_key  TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    added_at    BIGINT NOT NULL,
    added_by    TEXT   NOT NULL
);
CREATE UNIQUE INDEX terminal_fingerprint ON terminal (fingerprint) WHERE fingerprint <> '';

-- Keys that are dead for good, whatever terminal has them: a row outlives its
-- terminal. Where a terminal had no key, the row marks its id.
CREATE TABLE terminal_lost (
    terminal    TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    lost_at     BIGINT NOT NULL,
    lost_by     TEXT   NOT NULL,
    PRIMARY KEY (terminal, fingerprint)
);
CREATE UNIQUE INDEX terminal_lost_fingerprint ON terminal_lost (fingerprint) WHERE fingerprint <> '';

-- When each terminal last spoke.
CREATE TABLE terminal_seen (
    terminal TEXT   NOT NULL PRIMARY KEY,
    seen_at  BIGINT NOT NULL
);

-- +goose Down
DROP TABLE terminal_seen;
DROP TABLE terminal_lost;
DROP TABLE terminal;
