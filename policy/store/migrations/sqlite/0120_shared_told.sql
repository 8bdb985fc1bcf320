-- +goose Up

-- When its holder was told that the end is near; 0 for not yet.
ALTER TABLE shared_checkout ADD COLUMN told_at BIGINT NOT NULL DEFAULT 0;

-- What is long over goes.
CREATE INDEX shared_checkout_ended ON shared_checkout (ended_at) WHERE ended_at > 0;

-- +goose Down
DROP INDEX shared_checkout_ended;
ALTER TABLE shared_checkout DROP COLUMN told_at;
