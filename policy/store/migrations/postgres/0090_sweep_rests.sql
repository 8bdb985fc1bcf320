-- +goose Up

-- How often in a row a sweep came to nothing: it rests a little at first, and then longer.
ALTER TABLE sweep ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE sweep DROP COLUMN tries;
