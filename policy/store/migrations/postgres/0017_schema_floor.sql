-- +goose Up

-- The oldest schema version whose Sekisho may go on working on this store. A
-- migration that an older one could not live with raises it to its own number;
-- one that only adds leaves it, so that gateways are upgraded, and rolled back,
-- one after another.
CREATE TABLE schema_floor (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    oldest BIGINT NOT NULL
);
INSERT INTO schema_floor (id, oldest) VALUES (1, 17);

-- +goose Down
DROP TABLE schema_floor;
