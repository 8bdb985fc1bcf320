-- +goose Up

-- When everything a person had open was last ended: sign-ins under way that
-- began before are over too, wherever they are kept.
CREATE TABLE sign_in_end (
    person_id TEXT   NOT NULL PRIMARY KEY,
    at        BIGINT NOT NULL
);

-- +goose Down
DROP TABLE sign_in_end;
