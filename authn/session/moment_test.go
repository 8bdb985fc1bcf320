package session

import (
	"context"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
)

// slow is a directory that takes its time, in which clock and ticks go on.
type slow struct {
	People
	wait func()
}

func (s slow) PersonAt(ctx context.Context, at clock.Moment, id directory.PersonID, stale time.Duration) (directory.Person, error) {
	p, err := s.People.PersonAt(ctx, at, id, stale)
	s.wait()
	return p, err
}

// TestMomentMovesOn: a request is decided at one moment, and what is asked after
// something had to be waited for at a later one, at which memory may be too old.
func TestMomentMovesOn(t *testing.T) {
	g, other, _, ticks := catching(t)
	_, cookie := g.begin(t)
	var (
		wait  time.Duration
		asked clock.Moment
	)
	other.people = slow{other.people, func() { g.clock.Advance(wait); *ticks += wait }}
	other.Obey(func(_ context.Context, at clock.Moment, _ *Session, _ directory.Person) (string, bool, error) {
		asked = at
		return "", false, nil
	}, nil)
	for _, tt := range []struct {
		name  string
		wait  time.Duration
		moved bool
	}{
		{"from memory", 0, false},
		{"nearly at once", lingered - 1, false},
		{"after a while", lingered, true},
		{"after longer than memory is good for", g.policy.Session.RevocationStale, true},
	} {
		wait = tt.wait
		at := other.Moment(ctx)
		if !other.InStepAt(at) {
			t.Fatalf("%s: out of step before", tt.name)
		}
		u, err := other.LoadAt(ctx, at, cookie)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if moved := u.At != at; moved != tt.moved || asked != u.At || moved && u.At != other.moment() {
			t.Errorf("%s: from %v to %v, the bar at %v", tt.name, at, u.At, asked)
		}
		if young := other.InStepAt(u.At); young != (tt.wait < g.policy.Session.RevocationStale) {
			t.Errorf("%s: memory is gone by afterwards: %t", tt.name, young)
		}
	}
}
