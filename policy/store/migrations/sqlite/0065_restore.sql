-- +goose Up

-- Backups that somebody at a terminal would put in the place of this store. Who
-- decides that, and how, is the matter of the same id (approval_matter).
CREATE TABLE restore_proposal (
    id          TEXT   NOT NULL PRIMARY KEY,
    login       TEXT   NOT NULL,
    digest      TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    proposed_at BIGINT NOT NULL
);
CREATE INDEX restore_proposal_digest ON restore_proposal (digest, proposed_at);

-- What put this store in its place. Those concerned are told by whichever gateway
-- comes first.
CREATE TABLE restore_done (
    id      TEXT   NOT NULL PRIMARY KEY,
    body    TEXT   NOT NULL,
    sealed  BIGINT NOT NULL,
    done_at BIGINT NOT NULL,
    told_at BIGINT NOT NULL DEFAULT 0
);

-- +goose Down
DROP TABLE restore_done;
DROP TABLE restore_proposal;
