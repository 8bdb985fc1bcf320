package personnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy/store"
)

// A Return is what somebody who leaves gives back, as far as Sekisho knows.
type Return struct {
	N                    int // of their line in the import
	Login, Name, Section string
	Due                  time.Time
	Things               []Thing
}

// A Thing is one of them.
type Thing struct {
	Kind string // terminal, token, card, passkey
	ID   string
	Back time.Time // when somebody wrote down that it was given back; zero: not yet
	By   string    // the login of who did
}

// Checklist are those who leave by an import, after a number: whose terminals, tokens,
// cards and keys are to be given back. What was given back stays on it, also where it is
// somebody else's by now.
func (b *Book) Checklist(ctx context.Context, id string, after, most int) ([]Return, error) {
	lines, err := b.Lines(ctx, id, Leaves, after, most)
	if err != nil {
		return nil, err
	}
	var out []Return
	for _, l := range lines {
		r := Return{N: l.N, Login: l.Login, Name: l.Name, Section: l.Before.Section, Due: l.Due}
		r.Things, err = store.All(ctx, b.DB, "what is to be given back", func(row store.Row) (t Thing, err error) {
			var at int64
			err = row.Scan(&t.Kind, &t.ID, &at, &t.By)
			t.Back = when(at)
			return t, err
		}, `
			SELECT kind, thing, at, by_login FROM personnel_return WHERE import = $2 AND n = $3
			UNION ALL
			SELECT h.kind, h.thing, 0, '' FROM (
				SELECT 'token' AS kind, serial AS thing FROM otp_token WHERE person = $1
				UNION SELECT 'passkey', name FROM passkey WHERE person = $1
				UNION SELECT 'card', serial FROM card WHERE person_id = $1
				UNION SELECT 'terminal', terminal FROM permit WHERE person_id = $1 AND terminal <> '') h
			WHERE NOT EXISTS (SELECT 1 FROM personnel_return g WHERE g.import = $2 AND g.n = $3 AND g.kind = h.kind AND g.thing = h.thing)`, string(l.Person), id, l.N)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(r.Things, func(a, b Thing) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
		out = append(out, r)
	}
	return out, nil
}

// A Ticked thing is one of a checklist that somebody writes something down about.
type Ticked struct {
	N        int
	Kind, ID string
}

// GiveBack writes down that things of a checklist were given back, or that what was written
// was a mistake, each with its entry. What is so already is left as it is. ErrNotFound:
// something is not on the list.
func (b *Book) GiveBack(ctx context.Context, who approval.PersonRef, from, id string, things []Ticked, back bool) error {
	if i, err := b.Get(ctx, id); err != nil || i.State == Draft {
		return cmp.Or(err, ErrNotFound)
	}
	login := map[int]string{}
	for _, t := range things {
		of, err := b.Checklist(ctx, id, t.N-1, 1)
		if err != nil {
			return err
		}
		if len(of) == 0 || of[0].N != t.N || !slices.ContainsFunc(of[0].Things, func(o Thing) bool { return o.Kind == t.Kind && o.ID == t.ID }) {
			return ErrNotFound
		}
		login[t.N] = of[0].Login
	}
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		for _, t := range things {
			q, args, action := `DELETE FROM personnel_return WHERE import = $1 AND n = $2 AND kind = $3 AND thing = $4`, []any{id, t.N, t.Kind, t.ID}, "import.return_withdrawn"
			if back {
				q = `INSERT INTO personnel_return (import, n, kind, thing, by_login, at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
				args, action = append(args, who.Login, store.Micros(b.Now())), "import.returned"
			}
			err := tx.ExecOne(ctx, q, args...)
			if errors.Is(err, store.ErrUntouched) {
				continue
			}
			if err != nil {
				return err
			}
			e := b.entry(who.Login, action, login[t.N], "")
			e.From = from
			e.Detail["import"], e.Detail["line"], e.Detail["kind"], e.Detail["thing"] = id, strconv.Itoa(t.N), t.Kind, t.ID
			if err := b.Trail.Append(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing down what was given back: %w", err)
	}
	return nil
}
