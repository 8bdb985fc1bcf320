-- +goose Up

-- The enrolled terminal that a session began on, and its class; empty where the
-- terminal did not speak for itself. One session lives on one terminal.
ALTER TABLE session ADD COLUMN terminal TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN terminal_class TEXT NOT NULL DEFAULT '';
CREATE INDEX session_terminal ON session (terminal) WHERE terminal <> '' AND ended_at = 0;

-- +goose Down
DROP INDEX session_terminal;
ALTER TABLE session DROP COLUMN terminal_class;
ALTER TABLE session DROP COLUMN terminal;
