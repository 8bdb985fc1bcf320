package standing

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var (
	ctx = context.Background()
	t0  = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
)

func TestUsable(t *testing.T) {
	person := directory.Person{ID: "tanaka"}
	with := func(a directory.Account) directory.Person { p := person; p.Account = a; return p }
	for _, tt := range []struct {
		name  string
		facts Facts
		why   string
	}{
		{"nothing known", Facts{}, "unknown"},
		{"in good standing", Facts{Person: person}, ""},
		{"disabled", Facts{Person: with(directory.Account{Disabled: true})}, "disabled"},
		{"expires later", Facts{Person: with(directory.Account{ExpiresAt: t0.Add(1)})}, ""},
		{"expires now", Facts{Person: with(directory.Account{ExpiresAt: t0})}, "expired"},
		{"suspended", Facts{Person: person, Closed: []Kind{Suspended}}, "suspended"},
		{"dormant", Facts{Person: person, Closed: []Kind{Dormant}}, "dormant"},
		{"on leave", Facts{Person: person, Closed: []Kind{OnLeave}}, "on_leave"},
		{"a locked password does not close the person", Facts{Person: with(directory.Account{PasswordLocked: true})}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.facts.Why(t0); got != tt.why {
				t.Errorf("Why = %q, want %q", got, tt.why)
			}
			if got := tt.facts.Usable(t0); got != (tt.why == "") {
				t.Errorf("Usable = %t", got)
			}
		})
	}
}

// registry is a directory whose answer a test changes; it counts questions.
type registry struct {
	mu    sync.Mutex
	p     directory.Person
	err   error
	asked int
}

func (r *registry) ByID(context.Context, directory.PersonID) (directory.Person, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	return r.p, r.err
}

func (r *registry) set(p directory.Person, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.p, r.err = p, err
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func TestWatchAsksSeldomAndNotesSoon(t *testing.T) {
	fake := clock.NewFake(t0)
	dir := &registry{p: directory.Person{ID: "tanaka"}}
	w := NewWatch(storetest.Open(t), dir, fake.Now)
	ask := func() directory.Person {
		t.Helper()
		p, err := w.Person(ctx, "tanaka", 0)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for range 100 {
		ask()
	}
	if n := dir.count(); n != 1 {
		t.Errorf("a hundred questions within an instant reached the directory %d times", n)
	}
	dir.set(directory.Person{ID: "tanaka", Account: directory.Account{Disabled: true}}, nil)
	fake.Advance(mustRenew)
	if !ask().Account.Disabled {
		t.Errorf("a change in the directory was not noticed after %v", mustRenew)
	}
	if mustRenew >= 30*time.Second {
		t.Error("changes in the directory must be noticed within 30 s")
	}
}

// slow is a directory that answers with what was true when it was asked.
type slow struct {
	registry
	asking, answer chan struct{}
}

func (s *slow) ByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	p, err := s.registry.ByID(ctx, id)
	s.asking <- struct{}{}
	<-s.answer
	return p, err
}

// TestForgetOverridesAReadUnderWay: what Sekisho changes counts at once, whoever
// was reading at that moment.
func TestForgetOverridesAReadUnderWay(t *testing.T) {
	fake := clock.NewFake(t0)
	dir := &slow{registry: registry{p: directory.Person{ID: "tanaka"}}, asking: make(chan struct{}, 2), answer: make(chan struct{})}
	w := NewWatch(storetest.Open(t), dir, fake.Now)
	var reader sync.WaitGroup
	reader.Go(func() { _, _ = w.Person(ctx, "tanaka", 0) })
	<-dir.asking
	dir.set(directory.Person{ID: "tanaka", Account: directory.Account{Disabled: true}}, nil)
	w.Forget("tanaka")
	close(dir.answer)
	reader.Wait()
	fake.Advance(time.Second)
	if p, err := w.Person(ctx, "tanaka", 0); err != nil || !p.Account.Disabled {
		t.Errorf("a second later: %+v, %v", p, err)
	}
}

func TestWatchAway(t *testing.T) {
	fake := clock.NewFake(t0)
	dir := &registry{err: directory.ErrAway}
	w := NewWatch(storetest.Open(t), dir, fake.Now)
	if _, err := w.Person(ctx, "tanaka", time.Hour); !errors.Is(err, ErrAway) {
		t.Errorf("away and never seen: %v, want ErrAway", err)
	}
	dir.set(directory.Person{ID: "tanaka"}, nil)
	if _, err := w.Person(ctx, "tanaka", 0); err != nil {
		t.Fatal(err)
	}
	dir.set(directory.Person{}, directory.ErrTruncated)
	fake.Advance(mustRenew + time.Minute - 1)
	if _, err := w.Person(ctx, "tanaka", time.Minute); err != nil {
		t.Errorf("away for as long as the zone allows: %v", err)
	}
	if _, err := w.Person(ctx, "tanaka", 0); !errors.Is(err, ErrAway) {
		t.Errorf("away in a zone that allows nothing: %v, want ErrAway", err)
	}
	fake.Advance(1)
	if _, err := w.Person(ctx, "tanaka", time.Minute); !errors.Is(err, ErrAway) {
		t.Errorf("away for longer: %v, want ErrAway", err)
	}
}

func TestRecorded(t *testing.T) {
	fake := clock.NewFake(t0)
	db := storetest.Open(t)
	w := NewWatch(db, &registry{p: directory.Person{ID: "tanaka"}}, fake.Now)
	closed := func() []Kind {
		t.Helper()
		f, err := w.Of(ctx, "tanaka")
		if err != nil {
			t.Fatal(err)
		}
		return f.Closed
	}
	set := func(k Kind, until time.Time) {
		t.Helper()
		err := db.WithTx(ctx, func(tx *store.Tx) error { return Set(ctx, tx, "tanaka", k, fake.Now(), until, "reason", "sato") })
		if err != nil {
			t.Fatal(err)
		}
	}
	lift := func(k Kind) error {
		return db.WithTx(ctx, func(tx *store.Tx) error { return Lift(ctx, tx, "tanaka", k) })
	}
	if got := closed(); len(got) != 0 {
		t.Errorf("nothing recorded: %v", got)
	}
	set(Suspended, time.Time{})
	set(OnLeave, t0.Add(time.Hour))
	if got, want := closed(), []Kind{OnLeave, Suspended}; !slices.Equal(got, want) {
		t.Errorf("recorded %v, want %v", got, want)
	}
	fake.Advance(time.Hour)
	if got, want := closed(), []Kind{Suspended}; !slices.Equal(got, want) {
		t.Errorf("after the leave's end: %v, want %v", got, want)
	}
	if err := lift(Suspended); err != nil {
		t.Fatal(err)
	}
	if got := closed(); len(got) != 0 {
		t.Errorf("after lifting: %v", got)
	}
	if err := lift(Suspended); !errors.Is(err, store.ErrUntouched) {
		t.Errorf("lifting what is not recorded: %v, want ErrUntouched", err)
	}
}
