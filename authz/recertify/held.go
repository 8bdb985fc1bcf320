package recertify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// heldAtOnce is of how many lines one letter speaks at most.
const heldAtOnce = 500

// tellHeld tells those above of the lines of a round that are held, in one letter for each
// of them with how many there are. It waits until the round has ended its lines, so that
// the letter speaks of all.
func (b *Book) tellHeld(ctx context.Context) error {
	due, err := rounds(ctx, b.DB, `
		id IN (SELECT campaign FROM recertify_line WHERE state = 'held' AND told_at = 0) AND state <> 'ending'
		AND NOT EXISTS (SELECT 1 FROM recertify_line l WHERE l.campaign = recertify_campaign.id AND l.state = 'agreed')`)
	if err != nil {
		return err
	}
	var problems []error
	for _, r := range due {
		if err := b.tellHeldOf(ctx, r); err != nil {
			problems = append(problems, fmt.Errorf("telling of what is held of %s of %s: %w", r.Campaign, r.Slot, err))
		}
	}
	return errors.Join(problems...)
}

func (b *Book) tellHeldOf(ctx context.Context, r Round) error {
	held, err := lines(ctx, b.DB, `campaign = $1 AND state = 'held' AND told_at = 0 ORDER BY id LIMIT `+strconv.Itoa(heldAtOnce), r.ID)
	if err != nil {
		return err
	}
	// Those above a section are the same for all of its lines.
	above, count := map[string][]directory.PersonID{}, map[directory.PersonID]int{}
	for _, l := range held {
		key := l.Person.Section + " " + strconv.FormatBool(l.Apex)
		ids, known := above[key]
		if !known {
			posts, err := b.above(ctx, l)
			if err != nil {
				return err
			}
			ids = posts[policy.SecurityOfficer][:min(len(posts[policy.SecurityOfficer]), mostTold)]
			above[key] = ids
		}
		for _, id := range ids {
			count[id]++
		}
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		for part := range slices.Chunk(held, linesAtOnce) {
			args, marks := []any{store.Micros(b.Now()), r.ID}, make([]string, len(part))
			for i, l := range part {
				args = append(args, l.ID)
				marks[i] = "$" + strconv.Itoa(len(args))
			}
			// The guard is in the WHERE clause: two gateways come to it together.
			done, err := tx.Exec(ctx, `UPDATE recertify_line SET told_at = $1 WHERE campaign = $2 AND told_at = 0 AND id IN (`+strings.Join(marks, ", ")+`)`, args...)
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil || n != int64(len(part)) {
				return errors.Join(err, store.ErrUntouched)
			}
		}
		for _, id := range sortedKeys(count) {
			detail := map[string]string{"campaign": r.Name.JA, "campaign_en": r.Name.EN, "held": strconv.Itoa(count[id]), "id": r.ID}
			if err := b.tell(ctx, tx, id, notice.RecertifyHeld, detail); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway did
	}
	return err
}
