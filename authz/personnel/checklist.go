package personnel

import (
	"context"
	"slices"
	"time"

	"sekisho/policy/store"
)

// A Return is what somebody who leaves gives back, as far as Sekisho knows.
type Return struct {
	Login, Name, Section string
	Due                  time.Time
	Things               []Thing
}

// A Thing is one of them.
type Thing struct {
	Kind string // terminal, token, card, passkey
	ID   string
}

// Checklist are those who leave by an import: whose terminals, tokens, cards and keys
// are to be given back.
func (b *Book) Checklist(ctx context.Context, id string) ([]Return, error) {
	lines, err := b.Lines(ctx, id, Leaves, 0, mostLines)
	if err != nil {
		return nil, err
	}
	var out []Return
	for part := range slices.Chunk(lines, 200) {
		for _, l := range part {
			r := Return{Login: l.Login, Name: l.Name, Section: l.Before.Section, Due: l.Due}
			things, err := store.All(ctx, b.DB, "what is to be given back", func(row store.Row) (t Thing, err error) {
				err = row.Scan(&t.Kind, &t.ID)
				return t, err
			}, `
				SELECT 'token', serial FROM otp_token WHERE person = $1
				UNION ALL SELECT 'passkey', name FROM passkey WHERE person = $1
				UNION ALL SELECT 'card', serial FROM card WHERE person_id = $1
				UNION ALL SELECT DISTINCT 'terminal', terminal FROM permit WHERE person_id = $1 AND terminal <> ''`, string(l.Person))
			if err != nil {
				return nil, err
			}
			r.Things = things
			out = append(out, r)
		}
	}
	return out, nil
}
