-- +goose Up

-- The thumbprint of the key to which an authorization and all tokens that come
-- of it are bound (RFC 9449); '' for none.
ALTER TABLE oidc_grant ADD COLUMN jkt TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE oidc_grant DROP COLUMN jkt;
