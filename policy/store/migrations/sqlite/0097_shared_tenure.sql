-- +goose Up

-- Who knows the password that somebody has: also those who gave it back.
CREATE INDEX shared_checkout_tenure ON shared_checkout (tenure);

-- +goose Down
DROP INDEX shared_checkout_tenure;
