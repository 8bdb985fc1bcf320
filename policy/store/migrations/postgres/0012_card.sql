-- +goose Up

-- IC cards that somebody has signed in with, by the SHA-256 of their
-- certificate. A card is its first user's for good; a removed one stays here, so
-- that it is refused for good.
CREATE TABLE card (
    id           TEXT   NOT NULL PRIMARY KEY,
    person_id    TEXT   NOT NULL,
    authority    TEXT   NOT NULL,
    serial       TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    added_at     BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    removed_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX card_person ON card (person_id, added_at);

-- +goose Down
DROP TABLE card;
