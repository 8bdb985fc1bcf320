-- +goose Up

-- By which permits a session through network gear was let in, their ids in a line;
-- and when its end was told to those whom they name, 0 for not yet.
ALTER TABLE remote_session ADD COLUMN permits TEXT NOT NULL DEFAULT '';
ALTER TABLE remote_session ADD COLUMN over_told BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE remote_session DROP COLUMN over_told;
ALTER TABLE remote_session DROP COLUMN permits;
