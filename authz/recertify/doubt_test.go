package recertify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
)

func modify(dn, attribute, value string) *goldap.ModifyRequest {
	m := goldap.NewModifyRequest(dn, nil)
	m.Replace(attribute, []string{value})
	return m
}

// crowdOf are so many of the staff.
func crowdOf(n int) []member {
	var out []member
	for i := range n {
		out = append(out, member{login: fmt.Sprintf("staff%02d", i)})
	}
	return out
}

// TestMuchUnconfirmed: where nobody has looked, nothing ends before somebody was asked. A
// yes ends it, a no, and silence, leave it.
func TestMuchUnconfirmed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		decide func(w *world, matter string)
		round  State
		line   LineState
	}{
		{"yes", func(w *world, m string) { w.gate.Decide(w, w.as("kobayashi"), m, true) }, Done, Ended},
		{"no", func(w *world, m string) { w.gate.Decide(w, w.as("kobayashi"), m, false) }, Dropped, Left},
		{"nobody", func(w *world, _ string) {
			w.pass("2026-04-23")
			w.must(w.gate.Matters.Lapse(w.Context()))
		}, Dropped, Left},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, policy.RecertifyIDs, crowdOf(11)...)
			w.on("2026-04-01")
			w.tick()
			var staff []string
			for i := range 11 {
				staff = append(staff, fmt.Sprintf("staff%02d", i))
			}
			w.confirmAll(staff...)
			w.pass("2026-04-16")
			r := w.round()
			if r.State != Halted || r.Why != TooMany || r.Matter == "" || w.entries("recertify.halted") != 1 {
				t.Fatalf("the round: %+v", r)
			}
			if w.person("staff00").Account.Disabled {
				t.Fatal("an ID was closed before anybody was asked")
			}
			card, err := w.gate.Matters.Card(t.Context(), r.Matter)
			if err != nil || len(card.Facts) != 4 || card.Facts[2].Value != "11" || card.Facts[3].Says.EN != TooMany.Words().EN {
				t.Errorf("the card: %+v, %v", card.Facts, err)
			}
			// Whoever is late confirms meanwhile, and that holds whatever is decided.
			if n, err := w.waitingFor(t.Context(), w.as("yamamoto")); err != nil || n != 11 {
				t.Errorf("%d wait: %v", n, err)
			}
			if _, err := w.decide("yamamoto", false, "staff05"); err != nil {
				t.Error(err)
			}
			tt.decide(w, r.Matter)
			w.tick()
			w.isLine("staff05", Confirmed, "")
			if w.person("staff05").Account.Disabled {
				t.Error("what was confirmed late has ended")
			}
			var no *Refusal
			if _, err := w.decide("yamamoto", false, "staff06"); !errors.As(err, &no) || no.Reason != "over" {
				t.Errorf("after the decision: %v", err)
			}
			if got := w.round(); got.State != tt.round {
				t.Errorf("the round: %+v", got)
			}
			w.isLine("staff00", tt.line, map[LineState]string{Ended: "", Left: w.line("staff00").Reason}[tt.line])
			if closed := w.person("staff10").Account.Disabled; closed != (tt.line == Ended) {
				t.Errorf("staff10 is closed: %t", closed)
			}
			if w.entries("recertify.decided") != 1 {
				t.Error("the decision is not on the trail")
			}
		})
	}
}

// TestAnswersThatAreNone: a directory that is away, or answers that nobody is there, ends
// nothing.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyIDs, crowdOf(12)...)
	w.policy.Recertification.StopFew = 3
	w.policy.Recertification.StopShare = 60
	dir := &broken{Directory: w.dir, stream: func(context.Context, func(directory.Person) error) error { return nil }}
	w.Book = w.gateway(dir)
	w.on("2026-04-01")
	if err := w.Tick(t.Context()); !errors.Is(err, errEmpty) || w.round().State != Freezing {
		t.Fatalf("an empty answer: %v, %+v", err, w.round())
	}
	dir.stream = nil
	w.clock.Advance(restAfter)
	w.tick()
	var staff []string
	for i := range 12 {
		staff = append(staff, fmt.Sprintf("staff%02d", i))
	}
	w.confirmAll(staff...)
	w.pass("2026-04-14")
	dir.byID = func(context.Context, directory.PersonID) (directory.Person, error) {
		return directory.Person{}, directory.ErrAway
	}
	w.on("2026-04-15")
	if err := w.Tick(t.Context()); !errors.Is(err, directory.ErrAway) || w.round().State != Open {
		t.Fatalf("a directory that is away: %v, %+v", err, w.round())
	}
	dir.byID = func(context.Context, directory.PersonID) (directory.Person, error) {
		return directory.Person{}, directory.ErrNotFound
	}
	w.clock.Advance(restAfter)
	w.tick()
	if r := w.round(); r.State != Halted || r.Why != Missing {
		t.Errorf("where nobody is there any more: %+v", r)
	}
	w.isLine("staff00", Waits, "")
}

// TestTwoDecide: two who decide one line at once have one outcome, and one entry.
func TestTwoDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyEligibility, member{login: "tanaka", dba: true})
	w.on("2026-04-01")
	w.tick()
	id, r := w.line("tanaka").ID, w.round().ID
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		settled int
	)
	for i, by := range []approval.Approver{w.as("yamamoto"), w.as("nakamura"), w.as("kobayashi"), w.as("yoshida")} {
		wg.Go(func() {
			res, err := w.DecideAs(context.WithoutCancel(t.Context()), by, r, []string{id}, i%2 == 0, "不要")
			var no *Refusal
			if err != nil && !errors.As(err, &no) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			settled += res.Confirmed + res.Ended
		})
	}
	wg.Wait()
	if n := w.entries("recertify.confirmed") + w.entries("recertify.ended"); settled != 1 || n != 1 {
		t.Errorf("%d outcomes, %d entries", settled, n)
	}
}
