-- +goose Up

-- The book of the keys that lie in files: which there are, and what each is for
-- now. The keys themselves are not here; fingerprint tells two apart that have
-- one id. used_at 0: no gateway uses it yet. replaced_at 0: nothing has taken
-- its place. dropped_at: nothing can stand under it any more, and no gateway
-- holds it.
CREATE TABLE key_book (
    ring        TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    made_at     BIGINT NOT NULL,
    used_at     BIGINT NOT NULL DEFAULT 0,
    replaced_at BIGINT NOT NULL DEFAULT 0,
    dropped_at  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (ring, id)
);
CREATE UNIQUE INDEX key_book_current ON key_book (ring) WHERE used_at > 0 AND replaced_at = 0;

-- Which gateway holds which of them, as long as it says so.
CREATE TABLE key_holder (
    gateway TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    ring    TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (gateway, ring, id)
);

-- used_from 0: since it was made. begun_at is when the trail was told that it is
-- in use. ends_at 0: it goes when the last token it signed has ended.
ALTER TABLE signing_key ADD COLUMN alg TEXT NOT NULL DEFAULT 'ES256';
ALTER TABLE signing_key ADD COLUMN used_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signing_key ADD COLUMN begun_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signing_key ADD COLUMN ends_at BIGINT NOT NULL DEFAULT 0;
UPDATE signing_key SET begun_at = created_at;

-- The session key under which a browser is known; empty in rows from before.
ALTER TABLE known_browser ADD COLUMN browser_key TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE known_browser DROP COLUMN browser_key;
ALTER TABLE signing_key DROP COLUMN ends_at;
ALTER TABLE signing_key DROP COLUMN begun_at;
ALTER TABLE signing_key DROP COLUMN used_from;
ALTER TABLE signing_key DROP COLUMN alg;
DROP TABLE key_holder;
DROP TABLE key_book;
