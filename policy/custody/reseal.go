package custody

import (
	"context"
	"errors"
	"fmt"

	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// batch is how many values are read at a time; each is written by itself, so
// that nobody waits for the others.
const batch = 100

// A Pass is what one going-through of all sealed columns came to. Left is what
// it could not open: broken, or under a key that this ring does not hold.
type Pass struct {
	Resealed, Left int64
}

// Reseal goes through all sealed columns once and seals under the ring's current
// key what is not. Each value is written only where the old bytes still stand,
// so whatever changes a row meanwhile wins. It remembers nothing: what a process
// that was killed has left is found by the next one. told hears after each batch.
func Reseal(ctx context.Context, db *store.DB, ring *secret.KeyRing, columns []Column, told func(Pass)) (Pass, error) {
	var p Pass
	for _, c := range columns {
		if c.Row == "" || c.Ring != Sealing {
			continue
		}
		for after, more := "", true; more; {
			var err error
			if after, more, err = c.reseal(ctx, db, ring, after, &p); err != nil {
				return p, fmt.Errorf("sealing %s.%s anew: %w", c.Table, c.Column, err)
			}
			if told != nil {
				told(p)
			}
		}
	}
	return p, nil
}

type sealedRow struct {
	row   string
	value []byte
}

func (c Column) reseal(ctx context.Context, db *store.DB, ring *secret.KeyRing, after string, p *Pass) (last string, more bool, err error) {
	prefix := secret.SealedPrefix(ring.CurrentID())
	found, err := c.older(ctx, db, prefix, after)
	if err != nil || len(found) == 0 {
		return after, false, err
	}
	for _, r := range found {
		if err := ctx.Err(); err != nil {
			return "", false, err
		}
		anew, err := ring.Reseal(c.place(r.row), r.value)
		if errors.Is(err, secret.ErrSealBroken) || errors.Is(err, secret.ErrUnknownKey) {
			p.Left++
			continue
		}
		if err != nil {
			return "", false, err
		}
		err = db.WithTx(ctx, func(tx *store.Tx) error {
			return tx.ExecOne(ctx, `UPDATE `+c.Table+` SET `+c.Column+` = $1 WHERE `+c.Row+` = $2 AND `+c.Column+` = $3`,
				anew, r.row, r.value)
		})
		switch {
		case errors.Is(err, store.ErrUntouched): // changed or gone: what stands there now is newer than ours
		case err != nil:
			return "", false, err
		default:
			p.Resealed++
		}
	}
	return found[len(found)-1].row, len(found) == batch, nil
}

// older reads values that are not sealed under the key of prefix.
func (c Column) older(ctx context.Context, db *store.DB, prefix []byte, after string) ([]sealedRow, error) {
	rows, err := db.Query(ctx, `
		SELECT   `+c.Row+`, `+c.Column+` FROM `+c.Table+`
		WHERE    `+c.Row+` > $1 AND length(`+c.Column+`) > 0 AND `+c.begins(prefix)+` <> $2
		ORDER BY `+c.Row+` LIMIT $3`, after, prefix, batch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []sealedRow
	for rows.Next() {
		var r sealedRow
		if err := rows.Scan(&r.row, &r.value); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}
