-- +goose Up

-- By which permits a session from outside was let in, and when it was told that it is
-- over: 0, not yet. Of those that were begun before, a sign-out alone is told (-1).
ALTER TABLE session ADD COLUMN permits TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN over_told BIGINT NOT NULL DEFAULT 0;
UPDATE session SET over_told = -1 WHERE outside = 1;
CREATE INDEX session_untold ON session (started_at) WHERE outside = 1 AND app = '' AND over_told = 0;

-- +goose Down
DROP INDEX session_untold;
ALTER TABLE session DROP COLUMN over_told;
ALTER TABLE session DROP COLUMN permits;
