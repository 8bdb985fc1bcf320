package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

const (
	// orphansRest is how long a factor's owner has been missing from the directory before
	// the factor is removed: an ID that was moved out of sight by mistake comes back with it.
	orphansRest = 7 * 24 * time.Hour
	// manyRest is the same where very many are missing: a part of the directory that is not
	// shown looks like that, and what is removed does not come back.
	manyRest = 30 * 24 * time.Hour
)

// An orphan is an ID that has factors and is not in the directory.
type orphan struct {
	id    directory.PersonID
	found time.Time
}

// tidy removes the factors of those who have been gone for long (articles 38-7, 62-4):
// whom this very sweep missed, and every one that came to its end in between. Whether they
// are gone is asked of the directory once more, of each by itself. Who is on leave or
// suspended keeps them, for their ID may have been put aside.
func (w *work) tidy(ctx context.Context) error {
	if w.looks() || len(w.Factors) == 0 {
		return nil
	}
	now := w.Now()
	all, err := store.All(ctx, w.DB, "whose factors are left over", func(r store.Row) (o orphan, err error) {
		var found int64
		err = r.Scan(&o.id, &found)
		o.found = store.FromMicros(found)
		return o, err
	}, `SELECT subject, found_at FROM lifecycle_finding WHERE kind = 'orphan_factor' AND closed_at = 0 AND found_at <= $1 AND seen_at >= $2
		AND NOT EXISTS (SELECT 1 FROM standing WHERE person_id = subject AND kind IN ('on_leave', 'suspended') AND (until = 0 OR until > $3))
		ORDER BY subject LIMIT $4`,
		store.Micros(now.Add(-orphansRest)), store.Micros(w.BeganAt), store.Micros(now), mostOrphans)
	if err != nil || len(all) == 0 {
		return err
	}
	owners, err := w.withFactors(ctx)
	if err != nil {
		return err
	}
	if rules := w.Policy().Dormancy; len(all) == mostOrphans || tooMany(len(all), len(owners), rules.StopShare, rules.StopFew) {
		n := len(all)
		all = slices.DeleteFunc(all, func(o orphan) bool { return now.Sub(o.found) < manyRest })
		w.Log.WarnContext(ctx, "very many IDs that have factors are not in the directory; they are kept for longer", "ids", n, "of", len(owners), "removed", len(all))
	}
	for _, o := range all {
		id := o.id
		if err := w.alive(ctx); err != nil {
			return err
		}
		switch _, err := w.Directory.ByID(ctx, id); {
		case err == nil:
			continue // back again; the next sweep closes the finding
		case !errors.Is(err, directory.ErrNotFound):
			w.complain(ctx, "looking once more whether an ID is gone", err)
			return nil // it keeps until tomorrow
		}
		err := w.DB.WithTx(ctx, func(tx *store.Tx) error {
			if err := w.beat(ctx, tx); err != nil {
				return err
			}
			for _, k := range w.Factors {
				if err := k.RemoveAll(ctx, tx, id); err != nil {
					return err
				}
			}
			if err := w.closeFinding(ctx, tx, Orphan, string(id)); err != nil {
				return err
			}
			return w.Trail.Append(ctx, tx, audit.Entry{
				Actor: w.By, Action: "factor.orphan_removed", Object: "(" + string(id) + ")", Outcome: audit.OK, Articles: articles,
				Detail: map[string]string{"sweep": w.Slot},
			})
		})
		if err != nil {
			return fmt.Errorf("removing the factors of an ID that is gone: %w", err)
		}
	}
	return nil
}
