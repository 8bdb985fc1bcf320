-- +goose Up

-- Tickets (challenges of passkeys, nonces of terminals) that were used. A row
-- is kept until the ticket would be too old anyway.
CREATE TABLE spent_ticket (
    mac     BYTEA  NOT NULL PRIMARY KEY,
    ends_at BIGINT NOT NULL
);
CREATE INDEX spent_ticket_ends ON spent_ticket (ends_at);

-- +goose Down
DROP TABLE spent_ticket;
