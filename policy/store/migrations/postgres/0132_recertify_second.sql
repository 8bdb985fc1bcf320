-- +goose Up

-- What a second person is asked about a line that is to end; empty: nobody is. told_at is
-- when those above heard of a line that is held; 0 for not yet.
ALTER TABLE recertify_line ADD COLUMN matter TEXT NOT NULL DEFAULT '';
ALTER TABLE recertify_line ADD COLUMN told_at BIGINT NOT NULL DEFAULT 0;

-- Of those that are held already, each was told by itself.
UPDATE recertify_line SET told_at = decided_at WHERE state = 'held';

CREATE INDEX recertify_line_matter ON recertify_line (matter) WHERE matter <> '';
CREATE INDEX recertify_line_decided ON recertify_line (campaign, decided_by);
CREATE INDEX recertify_line_untold ON recertify_line (campaign) WHERE state = 'held' AND told_at = 0;

-- +goose Down
DROP INDEX recertify_line_untold;
DROP INDEX recertify_line_decided;
DROP INDEX recertify_line_matter;
ALTER TABLE recertify_line DROP COLUMN told_at;
ALTER TABLE recertify_line DROP COLUMN matter;
