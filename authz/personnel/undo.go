package personnel

import (
	"context"
	"errors"

	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// AskUndo asks a second person for an import to be undone. Whoever asks holds a post
// that may see it. Asked again while it waits, it is the same request.
func (b *Book) AskUndo(ctx context.Context, who approval.PersonRef, posts []policy.PostID, id, reason string) (Import, error) {
	i, err := b.Get(ctx, id)
	if err != nil {
		return Import{}, err
	}
	now := b.Now()
	if until := i.Undoable(b.Policy().Personnel); !now.Before(until) {
		return i, ErrState
	}
	if i.UndoMatter != "" {
		if v, err := b.Matters.Get(ctx, i.UndoMatter); err == nil && v.At() == approval.Pending {
			return i, nil
		}
	}
	ask, err := b.Matters.Consider(ctx, approval.Matter{
		Kind: Undo, Subject: id, Requester: who, RequesterPosts: posts, Nobody: true, Zone: b.Matters.Everywhere(), Reason: reason, Rule: rule(), Articles: articlesOf,
	})
	if err != nil {
		return i, err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		m, err := b.Matters.Ask(ctx, tx, ask)
		if err != nil {
			return err
		}
		i.UndoBy, i.UndoMatter = who.Login, m.ID
		return tx.ExecOne(ctx, `UPDATE personnel_import SET undo_by = $1, undo_matter = $2 WHERE id = $3 AND state IN ('approved', 'done')`, who.Login, m.ID, id)
	})
	if errors.Is(err, store.ErrUntouched) {
		err = ErrState
	}
	return i, err
}

func (b *Book) cardOfUndo(ctx context.Context, m approval.Matter, c *approval.Card) error {
	i, err := b.Get(ctx, m.Subject)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c.Yes = policy.Words{
		JA: "この取込みで変わった所属・役割・期限が前に戻り、退職とされたIDが開き、採用とされたIDが閉じます。終わったセッション・特権・許可は戻りません。その後に手で変えられたものは、そのままです。",
		EN: "Sections, posts and ends go back to what they were, IDs that were closed open, and those that were made are closed. Sessions, leases and permits that ended do not come back. What was changed by hand since stays.",
	}
	c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "ファイル", EN: "File"}, Value: i.File})
	c.Facts = append(c.Facts, i.facts(b.Policy())...)
	return nil
}

// settleUndo begins the undoing: what has not been done yet is dropped, and each line
// that was written to gets a step that gives back what was found. What is in somebody's
// hands at this moment is waited for.
func (b *Book) settleUndo(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	if to != approval.Approved {
		_, err := tx.Exec(ctx, `UPDATE personnel_import SET undo_by = '', undo_matter = '' WHERE id = $1 AND undo_matter = $2`, m.Subject, m.ID)
		return err
	}
	err := tx.ExecOne(ctx, `UPDATE personnel_import SET state = 'undoing' WHERE id = $1 AND state IN ('approved', 'done')`, m.Subject)
	if errors.Is(err, store.ErrUntouched) {
		return nil
	}
	if err != nil {
		return err
	}
	now := b.Now()
	_, err = tx.Exec(ctx, `
		INSERT INTO personnel_step (import, n, step, state, due_at)
		SELECT l.import, l.n, 'undo', 'waiting',
		       CASE WHEN EXISTS (SELECT 1 FROM personnel_step o WHERE o.import = l.import AND o.n = l.n AND o.state = 'intended') THEN CAST($2 AS BIGINT) ELSE CAST($3 AS BIGINT) END
		FROM   personnel_line l WHERE l.import = $1 AND l.found <> ''`, m.Subject, store.Micros(now.Add(2*workLasts)), store.Micros(now))
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE personnel_step SET state = 'dropped' WHERE import = $1 AND step <> 'undo' AND state IN ('waiting', 'intended')`, m.Subject); err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, b.entry("system", "import.undo_approved", "import/"+m.Subject, m.Reason))
}
