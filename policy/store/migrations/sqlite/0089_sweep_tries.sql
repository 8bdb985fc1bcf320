-- +goose Up

-- An ID that could not be dealt with is tried again later, and keeps nobody else
-- waiting.
ALTER TABLE sweep_entry ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sweep_entry ADD COLUMN due BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sweep ADD COLUMN failed BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE sweep DROP COLUMN failed;
ALTER TABLE sweep_entry DROP COLUMN due;
ALTER TABLE sweep_entry DROP COLUMN tries;
