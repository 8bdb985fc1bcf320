package personnel

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy/store"
)

// The kinds of postings.
const (
	concurrent = "concurrent"
	handover   = "handover"
)

// placesOf are the sections that the people of jobs have by concurrent posts now.
func placesOf(ctx context.Context, in store.Reader, jobs []*job, now time.Time) (map[directory.PersonID][]string, error) {
	args, marks := []any{store.Micros(now)}, []string{"''"}
	for _, j := range jobs {
		if j.who.ID != "" {
			args = append(args, string(j.who.ID))
			marks = append(marks, "$"+strconv.Itoa(len(args)))
		}
	}
	all, err := store.All(ctx, in, "concurrent posts", func(r store.Row) (v [2]string, err error) {
		err = r.Scan(&v[0], &v[1])
		return v, err
	}, `SELECT person_id, section FROM posting WHERE kind = 'concurrent' AND (until_at = 0 OR until_at > $1) AND person_id IN (`+strings.Join(marks, ", ")+`) ORDER BY person_id, section`, args...)
	out := map[directory.PersonID][]string{}
	for _, v := range all {
		out[directory.PersonID(v[0])] = append(out[directory.PersonID(v[0])], v[1])
	}
	return out, err
}

// putPlace has somebody belong to a section, until a time or without end.
func putPlace(ctx context.Context, tx *store.Tx, who directory.PersonID, section, kind string, now, until time.Time, by string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO posting (person_id, section, kind, from_at, until_at, import, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $4)
		ON CONFLICT (person_id, section, kind) DO UPDATE SET until_at = excluded.until_at, import = excluded.import, changed_at = excluded.changed_at`,
		string(who), section, kind, store.Micros(now), micros(until), by)
	return err
}

// endPlaces ends all postings of somebody but concurrent ones in some sections.
func endPlaces(ctx context.Context, tx *store.Tx, who directory.PersonID, but []string, now time.Time) error {
	all, err := store.All(ctx, tx, "postings", func(r store.Row) (v [2]string, err error) {
		err = r.Scan(&v[0], &v[1])
		return v, err
	}, `SELECT section, kind FROM posting WHERE person_id = $1 AND (until_at = 0 OR until_at > $2)`, string(who), store.Micros(now))
	if err != nil {
		return err
	}
	for _, v := range all {
		if v[1] == concurrent && slices.Contains(but, v[0]) {
			continue
		}
		if _, err := tx.Exec(ctx, `UPDATE posting SET until_at = $1, changed_at = $1 WHERE person_id = $2 AND section = $3 AND kind = $4`, store.Micros(now), string(who), v[0], v[1]); err != nil {
			return err
		}
	}
	return nil
}

// places are the postings as a gateway holds them in memory, read with the sessions'
// polls.
type places struct {
	mu     sync.RWMutex
	loaded bool
	held   map[directory.PersonID][]posting
}

type posting struct {
	section, kind string
	until         time.Time // zero: none
}

func readPostings(ctx context.Context, in store.Reader, where string, args ...any) (map[directory.PersonID][]posting, error) {
	type row struct {
		who directory.PersonID
		posting
	}
	all, err := store.All(ctx, in, "postings", func(r store.Row) (v row, err error) {
		var until int64
		err = r.Scan(&v.who, &v.section, &v.kind, &until)
		v.until = when(until)
		return v, err
	}, `SELECT person_id, section, kind, until_at FROM posting WHERE `+where, args...)
	out := map[directory.PersonID][]posting{}
	for _, v := range all {
		out[v.who] = append(out[v.who], v.posting)
	}
	return out, err
}

// Follow reads what changed since, and all at first.
func (b *Book) Follow(ctx context.Context, since time.Time) error {
	b.places.mu.RLock()
	loaded := b.places.loaded
	b.places.mu.RUnlock()
	if !loaded {
		since = time.Time{}
	}
	changed, err := readPostings(ctx, b.DB, `changed_at > $1 ORDER BY changed_at`, micros(since))
	if err != nil {
		return err
	}
	b.places.mu.Lock()
	defer b.places.mu.Unlock()
	if b.places.held == nil {
		b.places.held = map[directory.PersonID][]posting{}
	}
	for who, rows := range changed {
		next := slices.Clone(b.places.held[who])
		for _, r := range rows {
			next = append(slices.DeleteFunc(next, func(o posting) bool { return o.section == r.section && o.kind == r.kind }), r)
		}
		b.places.held[who] = next
	}
	b.places.loaded = true
	return nil
}

// Fill adds to facts the sections that the person belongs to beside their own, from
// memory where that is fresh enough. Their ends hold whether or not anything runs.
func (b *Book) Fill(ctx context.Context, f *authz.Facts) error {
	if f.Person.ID == "" || f.Application.ID != "" && len(f.Application.Sections) == 0 {
		return nil // nobody, or an application that is for all sections
	}
	var held []posting
	b.places.mu.RLock()
	loaded := b.places.loaded
	held = b.places.held[f.Person.ID]
	b.places.mu.RUnlock()
	if !loaded || b.Fresh == nil || !b.Fresh() {
		stored, err := readPostings(ctx, b.DB, `person_id = $1`, string(f.Person.ID))
		if err != nil {
			return err
		}
		held = stored[f.Person.ID]
	}
	for _, p := range held {
		if p.until.IsZero() || f.Now.Before(p.until) {
			f.Beside = append(f.Beside, authz.Place{Section: p.section, Until: p.until})
		}
	}
	return nil
}
