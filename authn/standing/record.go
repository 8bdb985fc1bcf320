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
		WHERE  person_id = $1 AND `+inForce("$2")+`
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
		WHERE  ` + inForce("$1") + ` AND person_id IN (` + strings.Join(marks, ", ") + `)
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

// Leave is what is recorded of somebody's leave: in force at now, or to come; false
// for none.
func Leave(ctx context.Context, in store.Reader, id directory.PersonID, now time.Time) (Record, bool, error) {
	all, err := store.All(ctx, in, "somebody's leave", func(r store.Row) (one Record, err error) {
		var since, until int64
		err = r.Scan(&one.Kind, &since, &until, &one.Reason, &one.By)
		one.Since, one.Until = store.FromMicros(since), store.FromMicros(until)
		return one, err
	}, `SELECT kind, since, until, reason, set_by FROM standing WHERE person_id = $1 AND kind = 'on_leave' AND (until = 0 OR until > $2)`, string(id), store.Micros(now))
	if err != nil || len(all) == 0 {
		return Record{}, false, err
	}
	return all[0], true, nil
}

// Beginning are those whose leave was recorded beforehand and has begun: what follows
// from it is to be done, and Begun to be called in the same transaction.
func Beginning(ctx context.Context, in store.Reader, now time.Time, most int) ([]directory.PersonID, error) {
	return store.All(ctx, in, "whose leave begins", func(r store.Row) (id directory.PersonID, err error) {
		err = r.Scan(&id)
		return id, err
	}, `SELECT person_id FROM standing WHERE begun = 0 AND since <= $1 ORDER BY since, person_id LIMIT $2`, store.Micros(now), most)
}

// Begun says that what follows from somebody's leave is done. store.ErrUntouched: another
// gateway did it, or it was lifted.
func Begun(ctx context.Context, tx *store.Tx, id directory.PersonID, now time.Time) error {
	return tx.ExecOne(ctx, `UPDATE standing SET begun = 1 WHERE person_id = $1 AND kind = 'on_leave' AND begun = 0 AND since <= $2`, string(id), store.Micros(now))
}
