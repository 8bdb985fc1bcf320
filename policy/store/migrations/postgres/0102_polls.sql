-- +goose Up

-- Each gateway reads some four times a second what was changed in the last seconds:
-- from the index alone, without a look at each row.
DROP INDEX lease_changed;
CREATE INDEX lease_changed ON lease (changed_at, id, version);
DROP INDEX session_changed;
CREATE INDEX session_changed ON session (changed_at, id);
-- The one over a session is asked for with each lease that ends.
CREATE INDEX privileged_session_over ON privileged_session (session_id) WHERE ended_at = 0;

-- +goose Down
DROP INDEX privileged_session_over;
DROP INDEX session_changed;
CREATE INDEX session_changed ON session (changed_at);
DROP INDEX lease_changed;
CREATE INDEX lease_changed ON lease (changed_at);
