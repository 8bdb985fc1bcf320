-- +goose Up

-- What each gateway polls for, and what bounds the rate of an import.
CREATE INDEX posting_changed ON posting (changed_at);
CREATE INDEX personnel_step_done ON personnel_step (done_at) WHERE done_at > 0;

-- +goose Down
DROP INDEX personnel_step_done;
DROP INDEX posting_changed;
