package signin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sekisho/authn/lockout"
	"sekisho/directory"
	"sekisho/policy/store"
)

// shutAtMost is how many credentials one question asks about.
const shutAtMost = 99

var failuresOf = func() string {
	marks := make([]string, shutAtMost)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	return `SELECT credential, failures, held_until FROM attempt WHERE credential IN (` + strings.Join(marks, ", ") + `)`
}()

// Shut says whose password or codes open nothing now because of failures, as
// Counts would say of each: for whoever comes by a browser that is not known. A
// lock that the directory put on is its own (directory.Account).
func (s *Service) Shut(ctx context.Context, people []directory.Person) (map[directory.PersonID]bool, error) {
	type owner struct {
		id   directory.PersonID
		rule lockout.Rule
	}
	owners, all := map[string]owner{}, []string{}
	for _, p := range people {
		w := someone{name: p.Login}
		w.facts.Person = p
		ways, err := s.passwordWays(ctx, Origin{}, w)
		if err != nil {
			return nil, err
		}
		for _, one := range append(ways, s.codeWays(p.ID)...) {
			owners[one.credential] = owner{p.ID, one.rule}
			all = append(all, one.credential)
		}
	}
	out, now := map[directory.PersonID]bool{}, s.Now()
	for part := range slices.Chunk(all, shutAtMost) {
		states, err := s.failuresOf(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("reading whom failures keep out: %w", err)
		}
		for name, st := range states {
			if o := owners[name]; o.rule.Spent(st) || st.Wait(now) > 0 {
				out[o.id] = true
			}
		}
	}
	return out, nil
}

func (s *Service) failuresOf(ctx context.Context, credentials []string) (map[string]lockout.State, error) {
	args := make([]any, shutAtMost)
	for i := range args {
		args[i] = "" // no credential's name
		if i < len(credentials) {
			args[i] = credentials[i]
		}
	}
	rows, err := s.DB.Query(ctx, failuresOf, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]lockout.State{}
	for rows.Next() {
		var (
			name string
			st   lockout.State
			held int64
		)
		if err := rows.Scan(&name, &st.Failures, &held); err != nil {
			return nil, err
		}
		st.HeldUntil = store.FromMicros(held)
		out[name] = st
	}
	return out, rows.Err()
}
