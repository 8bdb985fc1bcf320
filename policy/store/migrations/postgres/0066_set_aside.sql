-- +goose Up

-- When a restore took this store out of use, to put another in its place; 0 for one
-- that is in use. No gateway begins to work on it.
ALTER TABLE store_epoch ADD COLUMN set_aside_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE store_epoch DROP COLUMN set_aside_at;
