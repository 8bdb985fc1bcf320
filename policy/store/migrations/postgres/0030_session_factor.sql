-- +goose Up

-- Since when the person has had the phishing-resistant factor that a session was
-- begun with; 0 where there was none, or nobody wrote it down. A new factor rests
-- before it decides anything.
ALTER TABLE session ADD COLUMN factor_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE session DROP COLUMN factor_at;
