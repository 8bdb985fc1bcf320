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
-- JSON may hold NUL ('\u0000'), which no text here can: it is read as a blank.
UPDATE permit SET
    section      = COALESCE(b.body->'person'->>'section', ''),
    applications = ' ' || COALESCE((SELECT string_agg(value, ' ') FROM json_array_elements_text(b.body->'stated'->'applications')), '') || ' ' || application || ' ',
    words        = lower(COALESCE(b.body->'person'->>'name', '') || ' ' || COALESCE(b.body->'person'->>'login', '') || ' ' || COALESCE(b.body->'requester'->>'name', '') || ' ' || COALESCE(b.body->'requester'->>'login', '') || ' ' || COALESCE((SELECT string_agg(value, ' ') FROM json_array_elements_text(b.body->'stated'->'company')), '') || ' ' || COALESCE((SELECT string_agg(value, ' ') FROM json_array_elements_text(b.body->'stated'->'subcontractor')), '') || ' ' || COALESCE(b.body->>'reason', '')),
    lapses_at    = COALESCE((b.body->>'lapses_at')::bigint, 0),
    decided_at   = COALESCE((b.body->>'decided_at')::bigint, 0),
    looked_at    = GREATEST(COALESCE((b.body->>'decided_at')::bigint, 0), COALESCE((b.body->>'reviewed_at')::bigint, 0)),
    done_at      = CASE WHEN b.body->'done' IS NULL THEN 0 ELSE changed_at END
FROM (SELECT id, replace(body, '\u0000', '\u0020')::json AS body FROM permit) AS b WHERE b.id = permit.id;
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
