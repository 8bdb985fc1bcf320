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
    section      = COALESCE(json_extract(body, '$.person.section'), ''),
    applications = ' ' || COALESCE((SELECT group_concat(value, ' ') FROM json_each(body, '$.stated.applications')), '') || ' ' || application || ' ',
    words        = lower(COALESCE(json_extract(body, '$.person.name'), '') || ' ' || COALESCE(json_extract(body, '$.person.login'), '') || ' ' || COALESCE(json_extract(body, '$.requester.name'), '') || ' ' || COALESCE(json_extract(body, '$.requester.login'), '') || ' ' || COALESCE((SELECT group_concat(value, ' ') FROM json_each(body, '$.stated.company')), '') || ' ' || COALESCE((SELECT group_concat(value, ' ') FROM json_each(body, '$.stated.subcontractor')), '') || ' ' || COALESCE(json_extract(body, '$.reason'), '')),
    lapses_at    = COALESCE(json_extract(body, '$.lapses_at'), 0),
    decided_at   = COALESCE(json_extract(body, '$.decided_at'), 0),
    looked_at    = MAX(COALESCE(json_extract(body, '$.decided_at'), 0), COALESCE(json_extract(body, '$.reviewed_at'), 0)),
    done_at      = CASE WHEN json_extract(body, '$.done') IS NULL THEN 0 ELSE changed_at END;
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
