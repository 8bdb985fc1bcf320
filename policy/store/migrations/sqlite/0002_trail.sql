-- +goose Up

-- What has been done and not yet sealed: Append inserts here, in the
-- transaction of the act. seq orders what waits; it is no number of the trail.
CREATE TABLE trail_pending (
    seq  INTEGER NOT NULL PRIMARY KEY,
    data BLOB    NOT NULL
);

-- The sealed trail. data is the entry, byte for byte, and hash its RFC 6962
-- leaf; the other columns repeat data for searching and prove nothing.
CREATE TABLE trail_leaf (
    idx     INTEGER NOT NULL PRIMARY KEY,
    hash    BLOB    NOT NULL CHECK (length(hash) = 32),
    data    BLOB    NOT NULL,
    at      BIGINT  NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    outcome TEXT    NOT NULL,
    case_id TEXT    NOT NULL
);
CREATE INDEX trail_leaf_at ON trail_leaf (at);
CREATE INDEX trail_leaf_actor ON trail_leaf (actor);
CREATE INDEX trail_leaf_action ON trail_leaf (action);
CREATE INDEX trail_leaf_case ON trail_leaf (case_id) WHERE case_id <> '';

CREATE TABLE trail_article (
    article TEXT   NOT NULL,
    idx     BIGINT NOT NULL REFERENCES trail_leaf (idx),
    PRIMARY KEY (article, idx)
) WITHOUT ROWID;

-- The inner nodes of the Merkle tree, in the order in which
-- golang.org/x/mod/sumdb/tlog stores hashes, without the leaves' own: those are
-- in trail_leaf. A row holds a run of them, one behind the other, and position
-- counts them: it is the place of the run's first.
CREATE TABLE trail_node (
    position INTEGER NOT NULL PRIMARY KEY,
    hash     BLOB    NOT NULL CHECK (length(hash) > 0 AND length(hash) % 32 = 0)
);

-- Signed notes (C2SP), one for each size the tree was sealed at.
CREATE TABLE trail_checkpoint (
    size      INTEGER NOT NULL PRIMARY KEY,
    note      TEXT    NOT NULL,
    signed_at BIGINT  NOT NULL
);

-- These refuse accidents and careless hands. Whoever may drop a trigger is
-- stopped by the signatures, not by SQL. The BEFORE INSERT ones also close the
-- way of INSERT OR REPLACE, which deletes without asking a DELETE trigger.

-- +goose StatementBegin
CREATE TRIGGER trail_pending_update BEFORE UPDATE ON trail_pending
BEGIN SELECT RAISE(ABORT, 'the trail is not rewritten'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_leaf_insert BEFORE INSERT ON trail_leaf
WHEN NEW.idx <> (SELECT COALESCE(MAX(idx) + 1, 0) FROM trail_leaf)
BEGIN SELECT RAISE(ABORT, 'the trail is numbered without gaps'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_leaf_update BEFORE UPDATE ON trail_leaf
BEGIN SELECT RAISE(ABORT, 'the trail is sealed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_leaf_delete BEFORE DELETE ON trail_leaf
BEGIN SELECT RAISE(ABORT, 'the trail is sealed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_article_update BEFORE UPDATE ON trail_article
BEGIN SELECT RAISE(ABORT, 'the trail is sealed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_article_delete BEFORE DELETE ON trail_article
BEGIN SELECT RAISE(ABORT, 'the trail is sealed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_node_insert BEFORE INSERT ON trail_node
WHEN NEW.position <> COALESCE((SELECT position + length(hash) / 32 FROM trail_node ORDER BY position DESC LIMIT 1), 0)
BEGIN SELECT RAISE(ABORT, 'the trail is sealed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_node_update BEFORE UPDATE ON trail_node
BEGIN SELECT RAISE(ABORT, 'the trail is sealed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_node_delete BEFORE DELETE ON trail_node
BEGIN SELECT RAISE(ABORT, 'the trail is sealed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_checkpoint_insert BEFORE INSERT ON trail_checkpoint
WHEN NEW.size <= (SELECT MAX(size) FROM trail_checkpoint)
BEGIN SELECT RAISE(ABORT, 'the trail only grows'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_checkpoint_update BEFORE UPDATE ON trail_checkpoint
BEGIN SELECT RAISE(ABORT, 'the trail is sealed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trail_checkpoint_delete BEFORE DELETE ON trail_checkpoint
BEGIN SELECT RAISE(ABORT, 'the trail is sealed'); END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE trail_checkpoint;
DROP TABLE trail_node;
DROP TABLE trail_article;
DROP TABLE trail_leaf;
DROP TABLE trail_pending;
