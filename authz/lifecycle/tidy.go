package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// orphansRest is how long a factor's owner has been missing from the directory before the
// factor is removed: an ID that was moved out of sight by mistake comes back with it.
const orphansRest = 7 * 24 * time.Hour

// tidy removes the factors of those who have been gone for long (articles 38-7, 62-4).
// Whether they are gone is asked of the directory once more, of each by itself.
func (w *work) tidy(ctx context.Context) error {
	if w.looks() || len(w.Factors) == 0 {
		return nil
	}
	gone, err := store.All(ctx, w.DB, "whose factors are left over", func(r store.Row) (id directory.PersonID, err error) {
		err = r.Scan(&id)
		return id, err
	}, `SELECT subject FROM lifecycle_finding WHERE kind = 'orphan_factor' AND closed_at = 0 AND found_at <= $1 ORDER BY subject LIMIT $2`,
		store.Micros(w.Now().Add(-orphansRest)), mostOrphans)
	if err != nil {
		return err
	}
	for _, id := range gone {
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
