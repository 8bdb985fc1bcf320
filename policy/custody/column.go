package custody

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Column is one whose values need a key of a ring. It is either sealed (Row is
// set) and can be sealed anew, or a fingerprint that names its key (Key is set)
// and lives as long as its row does.
//
// The names come from the program, never from outside: they are put into SQL.
type Column struct {
	Ring          Ring
	Table, Column string
	What          policy.Words

	Row   string                  // the column that names the row
	Place func(row string) string // Place.Row of it; nil: the same

	Key   string               // the column that names the key
	Where string               // of rows that count; "": all
	Ends  string               // the column of a row's end; "": it has none
	Keeps func() time.Duration // how long after Ends; nil: not at all
}

func (c Column) place(row string) secret.Place {
	p := secret.Place{Table: c.Table, Column: c.Column, Row: row}
	if c.Place != nil {
		p.Row = c.Place(row)
	}
	return p
}

// begins is the SQL for how a sealed value begins, as far as its key is named.
func (c Column) begins(prefix []byte) string {
	return "substr(" + c.Column + ", 1, " + strconv.Itoa(len(prefix)) + ")"
}

// tie counts what stands under a key in one column.
func (c Column) tie(ctx context.Context, in store.Reader, id string, now time.Time) (Tie, error) {
	t := Tie{What: c.What, Sealed: c.Row != ""}
	var q string
	var args []any
	switch {
	case c.Row != "":
		prefix := secret.SealedPrefix(id)
		q, args = `SELECT COUNT(*), 0 FROM `+c.Table+` WHERE `+c.begins(prefix)+` = $1`, []any{prefix}
	default:
		end := "0"
		where := c.Key + ` IN ($1, '')`
		args = []any{id}
		if c.Ends != "" {
			end = `COALESCE(MAX(` + c.Ends + `), 0)`
			where += ` AND ` + c.Ends + ` > $2`
			args = append(args, store.Micros(now.Add(-c.keeps())))
		}
		if c.Where != "" {
			where += ` AND ` + c.Where
		}
		q = `SELECT COUNT(*), ` + end + ` FROM ` + c.Table + ` WHERE ` + where
	}
	var until int64
	if err := in.QueryRow(ctx, q, args...).Scan(&t.Count, &until); err != nil {
		return Tie{}, fmt.Errorf("counting %s.%s: %w", c.Table, c.Column, err)
	}
	if until > 0 {
		t.Until = store.FromMicros(until).Add(c.keeps())
	}
	return t, nil
}

func (c Column) keeps() time.Duration {
	if c.Keeps == nil {
		return 0
	}
	return c.Keeps()
}

// A Register is all columns that need a key, and how long what no row counts
// lives at most, by ring.
type Register struct {
	Columns   []Column
	Uncounted func(Ring) time.Duration
}

// Ties are what stands under a key, column by column, empty ones too.
func (r Register) Ties(ctx context.Context, in store.Reader, k Key, now time.Time) ([]Tie, error) {
	var ties []Tie
	for _, c := range r.Columns {
		if c.Ring != k.Ring {
			continue
		}
		t, err := c.tie(ctx, in, k.ID, now)
		if err != nil {
			return nil, err
		}
		ties = append(ties, t)
	}
	return ties, nil
}

func (r Register) uncounted(ring Ring) time.Duration {
	if r.Uncounted == nil {
		return settle
	}
	return r.Uncounted(ring) + settle
}

// settle is how long a gateway may go on with what it read last.
const settle = time.Minute
