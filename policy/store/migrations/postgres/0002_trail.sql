-- +goose Up

-- What has been done and not yet sealed: Append inserts here, in the
-- transaction of the act. seq tells what waits apart; it is no number of the
-- trail, and no order: a lower one may be committed later.
CREATE TABLE trail_pending (
    seq  BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    data BYTEA  NOT NULL
);

-- The sealed trail. data is the entry, byte for byte, and hash its RFC 6962
-- leaf; the other columns repeat data for searching and prove nothing.
CREATE TABLE trail_leaf (
    idx     BIGINT NOT NULL PRIMARY KEY,
    hash    BYTEA  NOT NULL CHECK (length(hash) = 32),
    data    BYTEA  NOT NULL,
    at      BIGINT NOT NULL,
    actor   TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    outcome TEXT   NOT NULL,
    case_id TEXT   NOT NULL
);
CREATE INDEX trail_leaf_at ON trail_leaf (at);
CREATE INDEX trail_leaf_actor ON trail_leaf (actor);
CREATE INDEX trail_leaf_action ON trail_leaf (action);
CREATE INDEX trail_leaf_case ON trail_leaf (case_id) WHERE case_id <> '';

CREATE TABLE trail_article (
    article TEXT   NOT NULL,
    idx     BIGINT NOT NULL REFERENCES trail_leaf (idx),
    PRIMARY KEY (article, idx)
);

-- The inner nodes of the Merkle tree, in the order in which
-- golang.org/x/mod/sumdb/tlog stores hashes, without the leaves' own: those are
-- in trail_leaf. A row holds a run of them, one behind the other, and position
-- counts them: it is the place of the run's first.
CREATE TABLE trail_node (
    position BIGINT NOT NULL PRIMARY KEY,
    hash     BYTEA  NOT NULL CHECK (length(hash) > 0 AND length(hash) % 32 = 0)
);

-- Signed notes (C2SP), one for each size the tree was sealed at.
CREATE TABLE trail_checkpoint (
    size      BIGINT NOT NULL PRIMARY KEY,
    note      TEXT   NOT NULL,
    signed_at BIGINT NOT NULL
);

-- These refuse accidents and careless hands. Whoever may drop a trigger is
-- stopped by the signatures, not by SQL.

-- +goose StatementBegin
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_ARGV[0];
END $$;
-- +goose StatementEnd
CREATE TRIGGER trail_pending_update BEFORE UPDATE ON trail_pending FOR EACH ROW EXECUTE FUNCTION refuse('the trail is not rewritten');
CREATE TRIGGER trail_pending_truncate BEFORE TRUNCATE ON trail_pending FOR EACH STATEMENT EXECUTE FUNCTION refuse('the trail is not emptied');
-- +goose StatementBegin
CREATE FUNCTION trail_leaf_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.idx <> (SELECT COALESCE(MAX(idx) + 1, 0) FROM trail_leaf) THEN
        RAISE EXCEPTION 'the trail is numbered without gaps';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER trail_leaf_insert BEFORE INSERT ON trail_leaf FOR EACH ROW EXECUTE FUNCTION trail_leaf_insert();
CREATE TRIGGER trail_leaf_update BEFORE UPDATE ON trail_leaf FOR EACH ROW EXECUTE FUNCTION refuse('the trail is sealed');
CREATE TRIGGER trail_leaf_delete BEFORE DELETE ON trail_leaf FOR EACH ROW EXECUTE FUNCTION refuse('the trail is sealed');
CREATE TRIGGER trail_leaf_truncate BEFORE TRUNCATE ON trail_leaf FOR EACH STATEMENT EXECUTE FUNCTION refuse('the trail is sealed');
CREATE TRIGGER trail_article_update BEFORE UPDATE ON trail_article FOR EACH ROW EXECUTE FUNCTION refuse('the trail is sealed');
CREATE TRIGGER trail_article_delete BEFORE DELETE ON trail_article FOR EACH ROW EXECUTE FUNCTION refuse('the trail is sealed');
CREATE TRIGGER trail_article_truncate BEFORE TRUNCATE ON trail_article FOR EACH STATEMENT EXECUTE FUNCTION refuse('the trail is sealed');
-- +goose StatementBegin
CREATE FUNCTION trail_node_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position <> COALESCE((SELECT position + length(hash) / 32 FROM trail_node ORDER BY position DESC LIMIT 1), 0) THEN
        RAISE EXCEPTION 'the trail is sealed';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER trail_node_insert BEFORE INSERT ON trail_node FOR EACH ROW EXECUTE FUNCTION trail_node_insert();
CREATE TRIGGER trail_node_update BEFORE UPDATE ON trail_node FOR EACH ROW EXECUTE FUNCTION refuse('the trail is sealed');
CREATE TRIGGER trail_node_delete BEFORE DELETE ON trail_node FOR EACH ROW EXECUTE FUNCTION refuse('the trail is sealed');
CREATE TRIGGER trail_node_truncate BEFORE TRUNCATE ON trail_node FOR EACH STATEMENT EXECUTE FUNCTION refuse('the trail is sealed');
-- +goose StatementBegin
CREATE FUNCTION trail_checkpoint_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.size <= (SELECT MAX(size) FROM trail_checkpoint) THEN
        RAISE EXCEPTION 'the trail only grows';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER trail_checkpoint_insert BEFORE INSERT ON trail_checkpoint FOR EACH ROW EXECUTE FUNCTION trail_checkpoint_insert();
CREATE TRIGGER trail_checkpoint_update BEFORE UPDATE ON trail_checkpoint FOR EACH ROW EXECUTE FUNCTION refuse('the trail is sealed');
CREATE TRIGGER trail_checkpoint_delete BEFORE DELETE ON trail_checkpoint FOR EACH ROW EXECUTE FUNCTION refuse('the trail is sealed');
CREATE TRIGGER trail_checkpoint_truncate BEFORE TRUNCATE ON trail_checkpoint FOR EACH STATEMENT EXECUTE FUNCTION refuse('the trail is sealed');

-- +goose Down
DROP TABLE trail_checkpoint;
DROP TABLE trail_node;
DROP TABLE trail_article;
DROP TABLE trail_leaf;
DROP TABLE trail_pending;
DROP FUNCTION trail_checkpoint_insert();
DROP FUNCTION trail_node_insert();
DROP FUNCTION trail_leaf_insert();
DROP FUNCTION refuse();
