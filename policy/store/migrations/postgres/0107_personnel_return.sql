-- +goose Up

-- What somebody who left by an import has given back: a thing of the checklist, and who
-- wrote it down.
CREATE TABLE personnel_return (
    import   TEXT   NOT NULL,
    n        BIGINT NOT NULL,
    kind     TEXT   NOT NULL, -- terminal, token, card, passkey
    thing    TEXT   NOT NULL,
    by_login TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (import, n, kind, thing)
);

-- +goose Down
DROP TABLE personnel_return;
