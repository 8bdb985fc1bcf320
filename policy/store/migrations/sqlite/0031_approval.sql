-- +goose Up

-- What people have asked for. body is the matter as JSON; it never changes, and
-- its digest is on the trail. The other columns are there to find it by.
-- version grows with every word on the matter: whoever would decide it changes
-- this row first, so that one outcome is the only one.
CREATE TABLE approval_matter (
    id             TEXT   NOT NULL PRIMARY KEY,
    kind           TEXT   NOT NULL,
    subject        TEXT   NOT NULL,
    requester_id   TEXT   NOT NULL,
    beneficiary_id TEXT   NOT NULL,
    body           TEXT   NOT NULL,
    asked_at       BIGINT NOT NULL,
    lapses_at      BIGINT NOT NULL,
    state          TEXT   NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'denied', 'cancelled', 'lapsed')),
    settled_at     BIGINT NOT NULL DEFAULT 0,
    spent_at       BIGINT NOT NULL DEFAULT 0, -- when an approval was used that is good once
    reminded       BIGINT NOT NULL DEFAULT 0, -- how many reminders went out
    version        BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX approval_matter_waiting ON approval_matter (lapses_at) WHERE state = 'pending';
CREATE INDEX approval_matter_past ON approval_matter (beneficiary_id, kind, subject, asked_at);
CREATE INDEX approval_matter_requester ON approval_matter (requester_id, asked_at);

-- What persons said. human is the human being behind the ID: everyone decides
-- once. review_due is when an acting decision is to be looked at, 0 for never.
CREATE TABLE approval_decision (
    id             TEXT   NOT NULL PRIMARY KEY,
    matter_id      TEXT   NOT NULL REFERENCES approval_matter (id),
    human          TEXT   NOT NULL,
    body           TEXT   NOT NULL,
    at             BIGINT NOT NULL,
    review_due     BIGINT NOT NULL DEFAULT 0,
    reviewed_at    BIGINT NOT NULL DEFAULT 0,
    reviewed_by    TEXT   NOT NULL DEFAULT '',
    review_comment TEXT   NOT NULL DEFAULT '',
    UNIQUE (matter_id, human)
);
CREATE INDEX approval_decision_owed ON approval_decision (review_due) WHERE review_due > 0 AND reviewed_at = 0;

-- +goose StatementBegin
CREATE TRIGGER approval_matter_update BEFORE UPDATE ON approval_matter
WHEN NEW.id <> OLD.id OR NEW.body <> OLD.body OR NEW.kind <> OLD.kind OR NEW.lapses_at <> OLD.lapses_at OR (OLD.state <> 'pending' AND NEW.state <> OLD.state)
BEGIN SELECT RAISE(ABORT, 'what was asked does not change, nor does its outcome'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER approval_matter_delete BEFORE DELETE ON approval_matter
BEGIN SELECT RAISE(ABORT, 'what was asked is not removed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER approval_decision_update BEFORE UPDATE ON approval_decision
WHEN NEW.body <> OLD.body OR NEW.human <> OLD.human OR NEW.matter_id <> OLD.matter_id OR OLD.reviewed_at <> 0
BEGIN SELECT RAISE(ABORT, 'a decision does not change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER approval_decision_delete BEFORE DELETE ON approval_decision
BEGIN SELECT RAISE(ABORT, 'a decision is not removed'); END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE approval_decision;
DROP TABLE approval_matter;
