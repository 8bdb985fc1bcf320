-- +goose Up

-- People whose last further factor was taken away by somebody else, or ended by
-- itself. Their password alone binds no new one: that takes a recovery code.
CREATE TABLE factor_lost (
    person_id TEXT   NOT NULL PRIMARY KEY,
    at        BIGINT NOT NULL
);

-- +goose Down
DROP TABLE factor_lost;
