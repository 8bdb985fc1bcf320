-- +goose Up

-- What is due is taken in the order of the index: of twenty thousand lines that become due
-- at one instant, the next fifty are read, and the rest are not sorted for it.
DROP INDEX personnel_step_due;
CREATE INDEX personnel_step_due ON personnel_step (due_at, import, n, step) WHERE state IN ('waiting', 'intended');

-- +goose Down
DROP INDEX personnel_step_due;
CREATE INDEX personnel_step_due ON personnel_step (due_at) WHERE state IN ('waiting', 'intended');
