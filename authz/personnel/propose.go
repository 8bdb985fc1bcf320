package personnel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Propose plans a file and asks a second person, in one transaction with what was
// planned. What was proposed before, of the same file for the same day, is the same
// proposal. atOnce asks nobody: where nobody is governed yet, or nobody is real.
//
// Errors: Faults; ErrNothing; ErrStopped, and then the plan says why.
func (b *Book) Propose(ctx context.Context, login string, f File, effective time.Time, atOnce bool) (Import, Plan, error) {
	plan, err := b.feasible(ctx, f, effective)
	if err != nil {
		return Import{}, plan, err
	}
	before, err := b.same(ctx, f, plan.Effective, `state IN ('proposed', 'approved')`)
	if err != nil || before.ID != "" {
		return before, plan, err
	}
	who, posts, err := b.Matters.Terminal(ctx, login)
	if err != nil {
		return Import{}, plan, err
	}
	i := b.planned(f, plan, who)
	i.By = login
	var ask approval.Considered
	if atOnce {
		i.State, i.ApprovedAt = Approved, i.ProposedAt
	} else if ask, err = b.consider(ctx, i, who, posts); err != nil {
		return Import{}, plan, err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := insert(ctx, tx, i, plan); err != nil {
			return err
		}
		if err := b.Trail.Append(ctx, tx, b.proposed(i, "")); err != nil {
			return err
		}
		if atOnce {
			e := b.entry(login, "import.approved", "import/"+i.ID, "no second person: a trial, or an empty store")
			return b.Trail.Append(ctx, tx, e)
		}
		_, err := b.Matters.Ask(ctx, tx, ask)
		return err
	})
	if err != nil {
		return Import{}, plan, fmt.Errorf("proposing an import: %w", err)
	}
	b.nudge()
	return i, plan, nil
}

// feasible is the plan of a file that may be carried out. Errors are Propose's.
func (b *Book) feasible(ctx context.Context, f File, effective time.Time) (Plan, error) {
	plan, err := b.plan(ctx, f, effective)
	switch {
	case err != nil:
		return Plan{}, err
	case plan.Stop != nil:
		return plan, ErrStopped
	case len(plan.Changes) == 0:
		return plan, ErrNothing
	}
	if err := b.Trail.MayBegin(); err != nil {
		return plan, fmt.Errorf("proposing an import: %w", err)
	}
	return plan, nil
}

// same is the import of the same file for the same day that was stored before; its zero
// value where there is none.
func (b *Book) same(ctx context.Context, f File, effective time.Time, where string, args ...any) (Import, error) {
	before, err := imports(ctx, b.DB, `digest = $1 AND (effective_at = $2 OR effective_at <= $3 AND $2 <= $3) AND `+where+` ORDER BY proposed_at LIMIT 1`,
		append([]any{f.Digest, store.Micros(effective), store.Micros(b.Now())}, args...)...)
	if err != nil || len(before) == 0 {
		return Import{}, err
	}
	return before[0], nil
}

// planned is what is stored of a plan, of somebody who brings it.
func (b *Book) planned(f File, plan Plan, who approval.PersonRef) Import {
	return Import{
		ID: "import-" + secret.Token(12), File: f.Name, Digest: f.Digest, ByID: who.ID, By: who.Login, ProposedAt: b.Now().UTC().Truncate(time.Microsecond), Effective: plan.Effective,
		State: Proposed, Summary: plan.Summary(),
	}
}

// consider is the matter of an import that a second person is asked about.
func (b *Book) consider(ctx context.Context, i Import, who approval.PersonRef, posts []policy.PostID) (approval.Considered, error) {
	n := 0
	for _, of := range i.Counts {
		n += of
	}
	return b.Matters.Consider(ctx, approval.Matter{
		ID: i.ID, Kind: Carry, Subject: i.ID, Requester: who, RequesterPosts: posts, Nobody: true, Zone: b.Matters.Everywhere(),
		Reason: fmt.Sprintf("人事異動 %d件（%s に反映）", n, i.Effective.In(japan).Format("2006-01-02 15:04")),
		Rule:   rule(), LapsesAt: i.ProposedAt.Add(b.Policy().Approval.LapseAfter), Articles: articlesOf,
	})
}

// proposed is the entry of a proposal.
func (b *Book) proposed(i Import, from string) audit.Entry {
	e := b.entry(i.By, "import.proposed", "import/"+i.ID, "")
	e.From = from
	e.Detail["sha256"], e.Detail["effective"] = i.Digest, i.Effective.Format(time.RFC3339)
	i.numbers(e.Detail)
	return e
}

// Empty reports whether nobody has used the store yet: nobody has signed in, and nothing
// was asked of anybody. Until then one person at a terminal is alone (design rule 7).
func (b *Book) Empty(ctx context.Context) (bool, error) {
	var n int64
	err := b.DB.QueryRow(ctx, `
		SELECT (SELECT COUNT(*) FROM session) + (SELECT COUNT(*) FROM totp_device) + (SELECT COUNT(*) FROM passkey) + (SELECT COUNT(*) FROM approval_matter) +
		       (SELECT COUNT(*) FROM personnel_import)`).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking whether anybody has used the store: %w", err)
	}
	return n == 0, nil
}

// atATime is how many rows one statement stores.
const atATime = 40

// insert stores an import with its lines and their steps.
func insert(ctx context.Context, tx *store.Tx, i Import, p Plan) error {
	body, err := json.Marshal(i.Summary)
	if err != nil {
		return err
	}
	err = tx.ExecOne(ctx, `
		INSERT INTO personnel_import (id, file, digest, by_id, by_login, proposed_at, effective_at, state, approved_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		i.ID, i.File, i.Digest, string(i.ByID), i.By, store.Micros(i.ProposedAt), store.Micros(i.Effective), string(i.State), micros(i.ApprovedAt), string(body))
	if err != nil {
		return err
	}
	waits := "waiting"
	if i.State == Draft {
		waits = "draft" // nobody looks for it among what is due
	}
	lines, steps := rows{into: `personnel_line (import, n, act, person_id, login, name, section, body)`}, rows{into: `personnel_step (import, n, step, state, due_at)`}
	for n, c := range p.Changes {
		text, err := json.Marshal(c)
		if err != nil {
			return err
		}
		section := c.After.Section
		if c.Act == Leaves {
			section = c.Before.Section
		}
		if err := lines.add(ctx, tx, i.ID, n+1, string(c.Act), string(c.Person), c.Login, c.Name, section, string(text)); err != nil {
			return err
		}
		for _, s := range stepsOf(c, i.ProposedAt) {
			if err := steps.add(ctx, tx, i.ID, n+1, s.name, waits, store.Micros(s.due)); err != nil {
				return err
			}
		}
	}
	return errors.Join(lines.flush(ctx, tx), steps.flush(ctx, tx))
}

// rows are stored some at a time.
type rows struct {
	into  string
	marks []string
	args  []any
}

func (r *rows) add(ctx context.Context, tx *store.Tx, values ...any) error {
	marks := make([]string, len(values))
	for i, v := range values {
		r.args = append(r.args, v)
		marks[i] = "$" + strconv.Itoa(len(r.args))
	}
	if r.marks = append(r.marks, "("+strings.Join(marks, ", ")+")"); len(r.marks) == atATime {
		return r.flush(ctx, tx)
	}
	return nil
}

func (r *rows) flush(ctx context.Context, tx *store.Tx) error {
	if len(r.marks) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO `+r.into+` VALUES `+strings.Join(r.marks, ", "), r.args...)
	r.marks, r.args = nil, nil
	return err
}

// The steps of a line.
const (
	stepEnd      = "end"      // its end is written, as soon as the import is approved
	stepApply    = "apply"    // the change itself
	stepHandover = "handover" // what a handover kept ends
	stepUndo     = "undo"
)

type step struct {
	name string
	due  time.Time
}

func stepsOf(c Change, now time.Time) []step {
	var out []step
	if c.EndsAhead {
		out = append(out, step{stepEnd, now})
	}
	out = append(out, step{stepApply, c.Due})
	if !c.Handover.IsZero() {
		out = append(out, step{stepHandover, latest(c.Handover, c.Due)})
	}
	return out
}
