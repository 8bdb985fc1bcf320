-- +goose Up

-- How many sessions live is asked every minute; what has ended stays in the
-- table, and must not be read for it.
CREATE INDEX session_live ON session (expires_at) WHERE ended_at = 0 AND app = '';

-- +goose Down
DROP INDEX session_live;
