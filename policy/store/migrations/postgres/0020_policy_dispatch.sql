-- +goose Up

-- The newest policy taken from each other gateway: an older one, sent again, is
-- refused. epoch and version are the sender's.
CREATE TABLE policy_dispatch (
    origin    TEXT   NOT NULL PRIMARY KEY,
    epoch     BIGINT NOT NULL,
    version   BIGINT NOT NULL,
    digest    TEXT   NOT NULL,
    issued_at BIGINT NOT NULL,
    taken_at  BIGINT NOT NULL,
    taken_by  TEXT   NOT NULL
);

-- One row: how often this store was restored. What was given out in an epoch
-- before (cookies, challenges) opens nothing.
CREATE TABLE store_epoch (
    id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL,
    since BIGINT NOT NULL
);
INSERT INTO store_epoch (id, epoch, since) VALUES (1, 1, 0);

-- +goose Down
DROP TABLE store_epoch;
DROP TABLE policy_dispatch;
