package project

import (
	"context"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/policy/clock"
)

// fill asks as a door does, from memory where that is fresh.
func (w *world) fill(login string) authz.Reason {
	w.Helper()
	f := authz.Facts{SignedIn: true, Person: w.person(login), ACR: policy.AAL2, From: policy.LGWAN, SessionEnds: w.clock.Now().Add(time.Hour), Now: w.clock.Now()}
	f.Person.Account.ExpiresAt, f.Person.Account.Disabled = time.Time{}, false
	w.must(w.Fill(w.Context(), &f))
	return authz.Enter(w.policy, f).Reason
}

// TestMemory: what another gateway has done counts here after a poll, and where the polls
// are stale the store is asked.
func TestMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	here := w.Book
	fresh := true
	here.Fresh = func(clock.Moment) bool { return fresh }
	poll := func() {
		t.Helper()
		w.must(here.Follow(ctx, t0.Add(-time.Minute)))
	}
	w.register("dev", policy.Development, "2026-09-30")
	w.register("next", policy.Development, "2026-06-30")
	poll()
	there := w.gateway(w.dir)
	by := w.as("sato")
	do := func(act func() error) {
		t.Helper()
		w.clock.Advance(time.Millisecond)
		w.must(act())
	}
	do(func() error { _, err := there.BindAs(ctx, by, "dev", "dev1", Worker, "作業"); return err })
	id := w.person("dev1").ID
	ties := func() int {
		t.Helper()
		all, err := here.Ties(ctx, id)
		w.must(err)
		return len(all)
	}
	if ties() != 0 {
		t.Fatal("memory knows what nobody has told it: the test shows nothing")
	}
	fresh = false
	if ties() != 1 {
		t.Error("the polls are stale, and the store was not asked")
	}
	fresh = true
	poll()
	poll() // a row that is read again is the same row
	if ties() != 1 {
		t.Errorf("after a poll: %d ties", ties())
	}
	do(func() error { _, err := there.BindAs(ctx, by, "next", "dev1", Worker, "作業"); return err })
	do(func() error { _, err := there.CompleteAs(ctx, by, "dev", "済"); return err })
	poll()
	if got := w.fill("dev1"); got != authz.Allowed || ties() != 2 {
		t.Errorf("one of two is completed: %s, %d ties", got, ties())
	}
	do(func() error {
		_, err := there.RescheduleAs(ctx, by, "next", after("2026-03-20"), "早く済む")
		return err
	})
	w.at(after("2026-03-20"))
	if got := w.fill("dev1"); got != authz.Allowed {
		t.Fatalf("before a poll: %s", got)
	}
	poll()
	if got := w.fill("dev1"); got != authz.ProjectOver {
		t.Errorf("after a poll: %s", got)
	}
	if why, shut, err := here.Bar(ctx, clock.Moment{Now: w.gate.Now()}, &session.Session{Person: id}, w.person("dev1")); !shut || why == "" || err != nil {
		t.Errorf("a session of whose projects are over: %q, %t, %v", why, shut, err)
	}
}

// TestAnErrorRefuses: where it cannot be known what an ID is bound to, nothing is said.
func TestAnErrorRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	w.Fresh = func(clock.Moment) bool { return false }
	if err := w.Fill(gone, &authz.Facts{Person: w.person("tanaka")}); err == nil {
		t.Error("the store did not answer, and nobody is told")
	}
	if _, _, err := w.Bar(gone, clock.Moment{Now: w.gate.Now()}, &session.Session{Person: "x"}, w.person("tanaka")); err == nil {
		t.Error("the store did not answer, and the session goes on")
	}
}

// TestNoTiesCostNothing: whoever is bound to nothing costs a look at a map.
func TestNoTiesCostNothing(t *testing.T) {
	w := newWorld(t)
	here := w.Book
	here.Fresh = func(clock.Moment) bool { return true }
	w.must(here.Follow(t.Context(), t0))
	f := authz.Facts{Person: w.person("tanaka")}
	if n := testing.AllocsPerRun(100, func() {
		if err := here.Fill(context.Background(), &f); err != nil || f.Ties != nil {
			t.Error("tied to something")
		}
		if _, shut, err := here.Bar(context.Background(), clock.Moment{Now: w.gate.Now()}, &session.Session{Person: f.Person.ID}, f.Person); shut || err != nil {
			t.Error("shut")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
