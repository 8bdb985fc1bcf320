-- +goose Up
-- One row: the highest time any process working on this store has vouched for,
-- in microseconds since 1970 UTC. No process clock may run below it.
CREATE TABLE clock (
    id      BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    mark_at BIGINT NOT NULL
);
INSERT INTO clock (id, mark_at) VALUES (1, 0);

-- +goose Down
DROP TABLE clock;
