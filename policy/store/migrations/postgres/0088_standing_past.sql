-- +goose Up

-- begun: what follows from it has been done. Leave that was recorded beforehand ends
-- what its owner has open when it begins; everything else begins as it is recorded.
ALTER TABLE standing ADD COLUMN begun BIGINT NOT NULL DEFAULT 1;
CREATE INDEX standing_to_begin ON standing (since) WHERE begun = 0;

-- Leave and suspensions that are over, also those that were lifted before their end:
-- the time in them is not time in which somebody could have used their ID (article
-- 62-5).
CREATE TABLE standing_past (
    person_id TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    since     BIGINT NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (person_id, kind, since)
);

-- +goose Down
DROP TABLE standing_past;
DROP INDEX standing_to_begin;
ALTER TABLE standing DROP COLUMN begun;
