-- +goose Up

-- A later look at an acting decision may object to it; whose look is overdue is
-- told again, so many times.
ALTER TABLE approval_decision ADD COLUMN review_objects BIGINT NOT NULL DEFAULT 0;
ALTER TABLE approval_decision ADD COLUMN review_reminded BIGINT NOT NULL DEFAULT 0;

-- Who looks into a finding. It stays open: the facts alone close it.
ALTER TABLE elevation_finding ADD COLUMN taken_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE elevation_finding ADD COLUMN taken_by TEXT NOT NULL DEFAULT '';
ALTER TABLE elevation_finding ADD COLUMN taken_note TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE elevation_finding DROP COLUMN taken_note;
ALTER TABLE elevation_finding DROP COLUMN taken_by;
ALTER TABLE elevation_finding DROP COLUMN taken_at;
ALTER TABLE approval_decision DROP COLUMN review_reminded;
ALTER TABLE approval_decision DROP COLUMN review_objects;
