-- +goose Up

-- What administrators did to people, written in the transaction that did it, for
-- whoever helps the same person next. The trail proves it; this finds it.
CREATE TABLE office_act (
    id        TEXT   NOT NULL PRIMARY KEY,
    person_id TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    action    TEXT   NOT NULL,
    by_login  TEXT   NOT NULL,
    reason    TEXT   NOT NULL DEFAULT '',
    what      TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX office_act_person ON office_act (person_id, at);

-- +goose Down
DROP TABLE office_act;
