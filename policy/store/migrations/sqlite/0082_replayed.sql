-- +goose Up

-- What a restore had undone and was done again out of an export of the trail: idx and
-- hash are of the entry that was lost. A row is written with the act, so that it is done
-- once; passed says that there was nothing left to do.
CREATE TABLE replayed (
    idx    BIGINT NOT NULL,
    hash   BLOB   NOT NULL CHECK (length(hash) = 32),
    passed BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    PRIMARY KEY (idx, hash)
);

-- +goose Down
DROP TABLE replayed;
