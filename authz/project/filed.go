package project

import (
	"context"
	"time"

	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy/store"
)

// Bound are all bindings that are not over, whatever their projects are, by person: what a
// file of personnel changes is planned on.
func (b *Book) Bound(ctx context.Context, in store.Reader) (map[directory.PersonID][]Member, error) {
	all, err := members(ctx, in, `m.unbound_at = 0 ORDER BY m.person_id, m.project`)
	return byPerson(all), err
}

// BoundOf is Bound of some people.
func (b *Book) BoundOf(ctx context.Context, in store.Reader, people []directory.PersonID) (map[directory.PersonID][]Member, error) {
	places, args := marks(nil, people)
	all, err := members(ctx, in, `m.unbound_at = 0 AND m.person_id IN (`+places+`) ORDER BY m.person_id, m.project`, args...)
	return byPerson(all), err
}

func byPerson(all []Member) map[directory.PersonID][]Member {
	out := map[directory.PersonID][]Member{}
	for _, m := range all {
		out[m.Person.ID] = append(out[m.Person.ID], m)
	}
	return out
}

// A Purpose is what an ID is for: the projects that it is bound to and that run, and when
// the last of them is over.
type Purpose struct {
	Names []string
	Until time.Time
}

// Purposes are those of some people; who is bound to nothing that runs is not among them.
func (b *Book) Purposes(ctx context.Context, people []directory.PersonID) (map[directory.PersonID]Purpose, error) {
	bound, err := b.BoundOf(ctx, b.DB, people)
	if err != nil || len(bound) == 0 {
		return nil, err
	}
	all, err := b.Known(ctx, b.DB)
	if err != nil {
		return nil, err
	}
	running, now := map[string]Project{}, b.Now()
	for _, p := range all {
		if p.State(now) == Running {
			running[p.ID] = p
		}
	}
	out := map[directory.PersonID]Purpose{}
	for who, members := range bound {
		for _, m := range members {
			p, runs := running[m.Project]
			if !runs {
				continue
			}
			of := out[who]
			if of.Names = append(of.Names, p.Name); p.Until.After(of.Until) {
				of.Until = p.Until
			}
			out[who] = of
		}
	}
	return out, nil
}

// Tie is what the project makes of an ID that is bound to it.
func (p Project) Tie() authz.Tie { return p.tie() }

// An End is what is remembered of the end of an account in the directory.
type End struct {
	Own   time.Time // that of the ID itself, whatever its projects are; zero: none
	Wrote time.Time // what the directory was last brought to; while it stands there, Own is hidden by it
}

// OwnEnd is the ID's own end where its account has an end in the directory. What somebody
// else has written there since is the ID's own.
func (e End) OwnEnd(account time.Time) time.Time {
	if e.Wrote.IsZero() || !e.Wrote.Equal(account) {
		return account
	}
	return e.Own
}

// Ends are those that are remembered, by person.
func (b *Book) Ends(ctx context.Context, in store.Reader) (map[directory.PersonID]End, error) {
	return ends(ctx, in, `1 = 1`)
}

// EndsOf is Ends of some people.
func (b *Book) EndsOf(ctx context.Context, in store.Reader, people []directory.PersonID) (map[directory.PersonID]End, error) {
	places, args := marks(nil, people)
	return ends(ctx, in, `person_id IN (`+places+`)`, args...)
}

func ends(ctx context.Context, in store.Reader, where string, args ...any) (map[directory.PersonID]End, error) {
	type row struct {
		who directory.PersonID
		End
	}
	all, err := store.All(ctx, in, "the ends of IDs that projects have to do with", func(r store.Row) (v row, err error) {
		var own, wrote int64
		err = r.Scan(&v.who, &own, &wrote)
		v.Own, v.Wrote = store.FromMicros(own), store.FromMicros(wrote)
		return v, err
	}, `SELECT person_id, own_at, wrote_at FROM project_end WHERE `+where, args...)
	out := map[directory.PersonID]End{}
	for _, v := range all {
		out[v.who] = v.End
	}
	return out, err
}

// SetEnd remembers, in the caller's transaction, an end that a file of personnel changes
// has written, and which of it is the ID's own; what follows from its projects is brought
// to the directory afterwards, as when they change.
func (b *Book) SetEnd(ctx context.Context, tx *store.Tx, who Ref, e End) error {
	now := b.Now().UTC().Truncate(time.Microsecond)
	if err := intendEnd(ctx, tx, who, now); err != nil {
		return err
	}
	return tx.ExecOne(ctx, `UPDATE project_end SET own_at = $1, aim_at = $2, wrote_at = $2 WHERE person_id = $3`, micros(e.Own), micros(e.Wrote), string(who.ID))
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return store.Micros(t)
}
