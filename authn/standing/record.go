package standing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy/store"
)

// A Record is one thing recorded against a person, for those who may know why.
type Record struct {
	Kind   Kind
	Since  time.Time
	Until  time.Time // zero: until it is lifted
	Reason string
	By     string // login of whoever recorded it
}

// Records lists what is recorded against a person at now, in a fixed order. in
// is the store, or the transaction that goes by it.
func Records(ctx context.Context, in store.Reader, id directory.PersonID, now time.Time) ([]Record, error) {
	rows, err := in.Query(ctx, `
		SELECT kind, since, until, reason, set_by FROM standing
		WHERE  person_id = $1 AND (until = 0 OR until > $2)
		ORDER  BY kind`, string(id), store.Micros(now))
	if err != nil {
		return nil, fmt.Errorf("reading what is recorded of a person: %w", err)
	}
	defer rows.Close()
	var out []Record
	for rows.Next() {
		var (
			r            Record
			since, until int64
		)
		if err := rows.Scan(&r.Kind, &since, &until, &r.Reason, &r.By); err != nil {
			return nil, fmt.Errorf("reading what is recorded of a person: %w", err)
		}
		r.Since, r.Until = store.FromMicros(since), store.FromMicros(until)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading what is recorded of a person: %w", err)
	}
	return out, nil
}

// amongAtMost is how many people one question asks about. Its text is the same
// whatever their number, so that it is prepared once.
const amongAtMost = 100

var among = func() string {
	marks := make([]string, amongAtMost)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+2)
	}
	return `
		SELECT person_id, kind FROM standing
		WHERE  (until = 0 OR until > $1) AND person_id IN (` + strings.Join(marks, ", ") + `)
		ORDER  BY kind`
}()

// Among says of each of many people what is recorded against them at now. Who
// has nothing against them is not in the answer.
func Among(ctx context.Context, in store.Reader, ids []directory.PersonID, now time.Time) (map[directory.PersonID][]Kind, error) {
	out := map[directory.PersonID][]Kind{}
	for part := range slices.Chunk(ids, amongAtMost) {
		args := make([]any, 1+amongAtMost)
		args[0] = store.Micros(now)
		for i := range amongAtMost {
			args[i+1] = "" // nobody's id
			if i < len(part) {
				args[i+1] = string(part[i])
			}
		}
		if err := gather(ctx, in, args, out); err != nil {
			return nil, fmt.Errorf("reading what is recorded of people: %w", err)
		}
	}
	return out, nil
}

func gather(ctx context.Context, in store.Reader, args []any, into map[directory.PersonID][]Kind) error {
	rows, err := in.Query(ctx, among, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id   directory.PersonID
			kind Kind
		)
		if err := rows.Scan(&id, &kind); err != nil {
			return err
		}
		into[id] = append(into[id], kind)
	}
	return rows.Err()
}
