-- +goose Up

-- Whether a second person has approved the code: nobody who approves or
-- administers recovers by one that a single administrator gave out.
ALTER TABLE recovery_code ADD COLUMN by_two BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE recovery_code DROP COLUMN by_two;
