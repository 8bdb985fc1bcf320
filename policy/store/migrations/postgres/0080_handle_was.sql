-- +goose Up

-- The HMAC of the handle that a session had before the one it has, '' once somebody
-- has used that one: until then the answer that carried it may have been lost. It opens
-- nothing.
ALTER TABLE session ADD COLUMN handle_was TEXT NOT NULL DEFAULT '';
CREATE INDEX session_handle_was ON session (handle_was) WHERE handle_was <> '';

-- +goose Down
DROP INDEX session_handle_was;
ALTER TABLE session DROP COLUMN handle_was;
