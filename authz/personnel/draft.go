package personnel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// draftLasts is for how long a draft that is not proposed is kept: it is confidential, and
// the directory that it was planned on goes on.
const draftLasts = 24 * time.Hour

// Bring plans a file that somebody brings at a page and keeps the plan as their draft: what
// the dry run is at a terminal, to be looked at before anybody is asked. That they saw it
// is on the trail. What they brought before, the same file for the same day, is the same
// draft, or the proposal that it has become.
//
// Errors are Propose's.
func (b *Book) Bring(ctx context.Context, who approval.PersonRef, from string, f File, effective time.Time) (Import, Plan, error) {
	plan, err := b.feasible(ctx, f, effective)
	if err != nil {
		return Import{}, plan, err
	}
	before, err := b.same(ctx, f, plan.Effective, `(state IN ('proposed', 'approved') OR state = 'draft' AND by_id = $4)`, string(who.ID))
	if err != nil || before.ID != "" {
		return before, plan, err
	}
	i := b.planned(f, plan, who)
	i.State = Draft
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := insert(ctx, tx, i, plan); err != nil {
			return err
		}
		e := b.entry(i.By, "import.viewed", "import/"+i.ID, "")
		e.From = from
		e.Detail["sha256"], e.Detail["effective"], e.Detail["dry_run"] = i.Digest, i.Effective.Format(time.RFC3339), "yes"
		i.numbers(e.Detail)
		return b.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return Import{}, plan, fmt.Errorf("keeping a draft of an import: %w", err)
	}
	return i, plan, nil
}

// ProposeDraft asks a second person for what somebody has looked at. Proposed already, it
// is the same proposal. Who did not bring it does not propose it: ErrNotFound.
func (b *Book) ProposeDraft(ctx context.Context, who approval.PersonRef, posts []policy.PostID, from, id string) (Import, error) {
	i, err := b.draftOf(ctx, who, id)
	if err != nil || i.State == Proposed {
		return i, err
	}
	if err := b.Trail.MayBegin(); err != nil {
		return i, fmt.Errorf("proposing an import: %w", err)
	}
	i.State, i.ProposedAt = Proposed, b.Now().UTC().Truncate(time.Microsecond)
	ask, err := b.consider(ctx, i, who, posts)
	if err != nil {
		return i, err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		err := tx.ExecOne(ctx, `UPDATE personnel_import SET state = 'proposed', proposed_at = $1 WHERE id = $2 AND state = 'draft'`, store.Micros(i.ProposedAt), id)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE personnel_step SET state = 'waiting' WHERE import = $1 AND state = 'draft'`, id); err != nil {
			return err
		}
		if err := b.Trail.Append(ctx, tx, b.proposed(i, from)); err != nil {
			return err
		}
		_, err = b.Matters.Ask(ctx, tx, ask)
		return err
	})
	if errors.Is(err, store.ErrUntouched) { // proposed or thrown away in another window
		if i, err = b.draftOf(ctx, who, id); err == nil && i.State != Proposed {
			err = ErrState
		}
		return i, err
	}
	if err != nil {
		return i, fmt.Errorf("proposing an import: %w", err)
	}
	b.nudge()
	return i, nil
}

// draftOf is somebody's draft, or the proposal that it has become.
func (b *Book) draftOf(ctx context.Context, who approval.PersonRef, id string) (Import, error) {
	i, err := b.Get(ctx, id)
	switch {
	case err != nil:
		return Import{}, err
	case i.ByID == "" || i.ByID != who.ID:
		return Import{}, ErrNotFound
	case i.State != Draft && i.State != Proposed:
		return i, ErrState
	}
	return i, nil
}

// Discard throws somebody's draft away, with what was planned in it. One that is gone is
// gone; what was proposed is not a draft any more: ErrState.
func (b *Book) Discard(ctx context.Context, who approval.PersonRef, id string) error {
	i, err := b.draftOf(ctx, who, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case i.State != Draft:
		return ErrState
	}
	return b.discard(ctx, `id = $1`, id)
}

// tidy throws away drafts that nobody has proposed in their time.
func (b *Book) tidy(ctx context.Context) error {
	const old = `proposed_at <= $1`
	at := store.Micros(b.Now().Add(-draftLasts))
	drafts, err := imports(ctx, b.DB, `state = 'draft' AND `+old, at)
	if err != nil || len(drafts) == 0 {
		return err
	}
	return b.discard(ctx, old, at)
}

// discard deletes drafts.
func (b *Book) discard(ctx context.Context, which string, args ...any) error {
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		drafts := `(SELECT id FROM personnel_import WHERE state = 'draft' AND ` + which + `)`
		for _, rows := range []string{`personnel_step WHERE import IN ` + drafts, `personnel_line WHERE import IN ` + drafts, `personnel_import WHERE id IN ` + drafts} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+rows, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("throwing drafts of imports away: %w", err)
	}
	return nil
}
