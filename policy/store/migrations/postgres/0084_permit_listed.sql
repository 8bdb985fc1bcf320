-- +goose Up

-- By what permits are looked for: the section of whose they are, the applications they
-- name (' a b '), and in small letters what somebody types to find one. looked_at is when
-- one was last decided or reviewed, done_at when it was written down what was done; 0: not.
ALTER TABLE permit ADD COLUMN section TEXT NOT NULL DEFAULT '';
ALTER TABLE permit ADD COLUMN applications TEXT NOT NULL DEFAULT '';
ALTER TABLE permit ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE permit ADD COLUMN lapses_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE permit ADD COLUMN decided_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE permit ADD COLUMN looked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE permit ADD COLUMN done_at BIGINT NOT NULL DEFAULT 0;
UPDATE permit SET
    section      = COALESCE(body::json->'person'->>'section', ''),
    applications = ' ' || COALESCE((SELECT string_agg(value, ' ') FROM json_array_elements_text(body::json->'stated'->'applications')), '') || ' ' || application || ' ',
    words        = lower(COALESCE(body::json->'person'->>'name', '') || ' ' || COALESCE(body::json->'person'->>'login', '') || ' ' || COALESCE(body::json->'requester'->>'name', '') || ' ' || COALESCE(body::json->'requester'->>'login', '') || ' ' || COALESCE((SELECT string_agg(value, ' ') FROM json_array_elements_text(body::json->'stated'->'company')), '') || ' ' || COALESCE((SELECT string_agg(value, ' ') FROM json_array_elements_text(body::json->'stated'->'subcontractor')), '') || ' ' || COALESCE(body::json->>'reason', '')),
    lapses_at    = COALESCE((body::json->>'lapses_at')::bigint, 0),
    decided_at   = COALESCE((body::json->>'decided_at')::bigint, 0),
    looked_at    = GREATEST(COALESCE((body::json->>'decided_at')::bigint, 0), COALESCE((body::json->>'reviewed_at')::bigint, 0)),
    done_at      = CASE WHEN body::json->'done' IS NULL THEN 0 ELSE changed_at END;
CREATE INDEX permit_kind ON permit (kind, asked_at);

-- On which days of Japan a permit was used: when first and last, and the address that it
-- was last used from.
CREATE TABLE permit_use (
    permit    TEXT   NOT NULL,
    day       TEXT   NOT NULL,
    first_at  BIGINT NOT NULL,
    last_at   BIGINT NOT NULL,
    last_from TEXT   NOT NULL,
    PRIMARY KEY (permit, day)
);
CREATE INDEX permit_use_last ON permit_use (last_at);

-- +goose Down
DROP TABLE permit_use;
DROP INDEX permit_kind;
ALTER TABLE permit DROP COLUMN done_at;
ALTER TABLE permit DROP COLUMN looked_at;
ALTER TABLE permit DROP COLUMN decided_at;
ALTER TABLE permit DROP COLUMN lapses_at;
ALTER TABLE permit DROP COLUMN words;
ALTER TABLE permit DROP COLUMN applications;
ALTER TABLE permit DROP COLUMN section;
