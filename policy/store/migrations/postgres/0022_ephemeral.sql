-- +goose Up

-- What may be lost and is shared by all gateways: sign-ins under way while Redis
-- is away, and, always, the failures of each source address.
CREATE TABLE ephemeral_value (
    name    TEXT   NOT NULL PRIMARY KEY,
    value   BYTEA  NOT NULL,
    ends_at BIGINT NOT NULL
);
CREATE INDEX ephemeral_value_ends ON ephemeral_value (ends_at);

CREATE TABLE ephemeral_count (
    name    TEXT   NOT NULL PRIMARY KEY,
    n       BIGINT NOT NULL,
    ends_at BIGINT NOT NULL
);
CREATE INDEX ephemeral_count_ends ON ephemeral_count (ends_at);

-- What one gateway does now and no other may (policy/claim).
CREATE TABLE claim (
    name    TEXT   NOT NULL PRIMARY KEY,
    holder  TEXT   NOT NULL,
    ends_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE claim;
DROP TABLE ephemeral_count;
DROP TABLE ephemeral_value;
