package project

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sekisho/authn/session"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// ties are who is bound to what, as a gateway holds it in memory, read with the sessions'
// polls. The map is never changed: whoever has it reads on, and asks without a lock.
type ties struct {
	polling sync.Mutex
	held    atomic.Pointer[map[directory.PersonID][]authz.Tie]
	// rows are the bindings behind it, by person.
	rows map[directory.PersonID][]tied
}

// changedSince are bindings that changed themselves, or whose project did. Each half goes
// by an index of its own: it is asked four times a second, of all that ever were.
const changedSince = `
	m.id IN (
		SELECT id FROM project_member WHERE changed_at > $1
		UNION ALL SELECT b.id FROM project_member b WHERE b.unbound_at = 0 AND b.project IN (SELECT id FROM project WHERE changed_at > $1))`

// Follow reads what changed since, and all at first. One at a time: a poll that read
// before another and wrote after it would bring back what that one had seen end.
func (b *Book) Follow(ctx context.Context, since time.Time) error {
	t := &b.ties
	t.polling.Lock()
	defer t.polling.Unlock()
	first := t.held.Load() == nil
	where, args := `m.unbound_at = 0`, []any(nil)
	if !first {
		where, args = changedSince, []any{store.Micros(since)}
	}
	changed, err := tieds(ctx, b.DB, where, args...)
	if err != nil || !first && len(changed) == 0 {
		return err
	}
	if first {
		t.rows = map[directory.PersonID][]tied{}
	}
	news := false
	for _, r := range changed {
		was := t.rows[r.who]
		if slices.Contains(was, r) || r.over && !slices.ContainsFunc(was, func(o tied) bool { return o.member == r.member }) {
			continue // a row that is read again
		}
		news = true
		next := slices.DeleteFunc(slices.Clone(was), func(o tied) bool { return o.member == r.member })
		if !r.over {
			next = append(next, r)
		}
		if t.rows[r.who] = next; len(next) == 0 {
			delete(t.rows, r.who)
		}
	}
	if !news && !first {
		return nil
	}
	held := make(map[directory.PersonID][]authz.Tie, len(t.rows))
	for who, rows := range t.rows {
		held[who] = tiesIn(rows)
	}
	t.held.Store(&held)
	return nil
}

func tiesIn(rows []tied) []authz.Tie {
	out := make([]authz.Tie, 0, len(rows))
	for _, r := range rows {
		if !r.over {
			out = append(out, r.tie)
		}
	}
	return out
}

// Ties are what somebody's ID is bound to, over or not, from memory where that is fresh
// enough. Nobody changes the answer.
func (b *Book) Ties(ctx context.Context, who directory.PersonID) ([]authz.Tie, error) {
	return b.tiesAt(ctx, b.moment(), who)
}

func (b *Book) moment() clock.Moment { return clock.Moment{Now: b.Now(), Tick: clock.Ticks()} }

func (b *Book) tiesAt(ctx context.Context, at clock.Moment, who directory.PersonID) ([]authz.Tie, error) {
	if held := b.ties.held.Load(); held != nil && b.Fresh != nil && b.Fresh(at) {
		return (*held)[who], nil
	}
	return b.tiesFrom(ctx, b.DB, who)
}

func (b *Book) tiesFrom(ctx context.Context, in store.Reader, who directory.PersonID) ([]authz.Tie, error) {
	rows, err := tieds(ctx, in, `m.person_id = $1 AND m.unbound_at = 0`, string(who))
	return tiesIn(rows), err
}

// Fill adds to facts what the person's ID is bound to. Ends hold whether or not anything
// runs: of an ID whose projects are all over, that is what is said.
func (b *Book) Fill(ctx context.Context, f *authz.Facts) error {
	return b.FillAt(ctx, b.moment(), f)
}

// FillAt is Fill for who asks several rooms at one moment.
func (b *Book) FillAt(ctx context.Context, at clock.Moment, f *authz.Facts) error {
	if f.Person.ID == "" {
		return nil
	}
	held, err := b.tiesAt(ctx, at, f.Person.ID)
	if err == nil {
		f.Ties = slices.Clip(held) // whoever adds to it gets a list of their own
	}
	return err
}

// FillIn is Fill from the store itself: at a sign-in nothing that is remembered counts.
func (b *Book) FillIn(ctx context.Context, in store.Reader, f *authz.Facts) error {
	if f.Person.ID == "" {
		return nil
	}
	held, err := b.tiesFrom(ctx, in, f.Person.ID)
	if err == nil {
		f.Ties = held
	}
	return err
}

// Bar is a session's question at each use: whether its person's ID is good for anything.
func (b *Book) Bar(ctx context.Context, at clock.Moment, n *session.Session, _ directory.Person) (why string, shut bool, err error) {
	held, err := b.tiesAt(ctx, at, n.Person)
	if err != nil || len(held) == 0 {
		return "", false, err
	}
	if _, ok := authz.EnvironmentOf(held, at.Now); !ok {
		return "its projects are over", true, nil
	}
	return "", false, nil
}
