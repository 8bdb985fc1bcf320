package standing

import (
	"context"
	"errors"
	"fmt"
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
		{"nobody's own", Facts{Person: directory.Person{ID: "madoguchi", Kind: directory.KindShared}}, SeveralUse},
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
		return db.WithTx(ctx, func(tx *store.Tx) error { return Lift(ctx, tx, "tanaka", k, fake.Now()) })
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

// hanging is a directory that, while it hangs, answers nobody.
type hanging struct {
	mu    sync.Mutex
	p     directory.Person
	until chan struct{} // nil: it answers
}

func (h *hanging) ByID(context.Context, directory.PersonID) (directory.Person, error) {
	h.mu.Lock()
	p, until := h.p, h.until
	h.mu.Unlock()
	if until != nil {
		<-until
		return directory.Person{}, directory.ErrAway
	}
	return p, nil
}

func (h *hanging) hang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = make(chan struct{})
}

func (h *hanging) answers(p directory.Person) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until != nil {
		close(h.until)
	}
	h.p, h.until = p, nil
}

// TestLately: a sign-in waits for a directory that is slow no longer than it
// takes to tell that it is, goes by what a session would go by, and never by
// more.
func TestLately(t *testing.T) {
	fake := clock.NewFake(t0)
	dir := &hanging{p: directory.Person{ID: "tanaka"}}
	defer dir.answers(directory.Person{})
	w := NewWatch(storetest.Open(t), dir, fake.Now)
	if f, err := w.Lately(ctx, "tanaka", 0); err != nil || !f.Usable(t0) || f.Stale {
		t.Fatalf("a directory that answers: %+v, %v", f, err)
	}
	dir.hang()
	fake.Advance(mustRenew + time.Minute - 1)
	if f, err := w.Lately(ctx, "tanaka", time.Minute); err != nil || !f.Usable(fake.Now()) || !f.Stale || !f.ReadAt.Equal(t0) {
		t.Errorf("within what the zone allows: %+v, %v", f, err)
	}
	// Beyond it, or of somebody never seen, the directory must answer.
	for id, stale := range map[directory.PersonID]time.Duration{"tanaka": 0, "suzuki": time.Hour} {
		waiting, stop := context.WithTimeout(ctx, 2*patience)
		if f, err := w.Lately(waiting, id, stale); err == nil {
			t.Errorf("%s: %+v, without an answer", id, f)
		}
		stop()
	}
	// What is known may be that the account is closed, or that nobody is there.
	for _, p := range []directory.Person{{ID: "tanaka", Account: directory.Account{Disabled: true}}, {}} {
		dir.answers(p)
		w.Forget("tanaka")
		if f, err := w.Lately(ctx, "tanaka", time.Hour); err != nil || f.Usable(fake.Now()) {
			t.Errorf("%+v: %+v, %v", p, f, err)
		}
		dir.hang()
		if f, err := w.Lately(ctx, "tanaka", time.Hour); err != nil || !f.Stale || f.Usable(fake.Now()) {
			t.Errorf("%+v, remembered: %+v, %v", p, f, err)
		}
	}
	// What Sekisho itself changed there is not gone by, whatever was known.
	w.Forget("tanaka")
	waiting, stop := context.WithTimeout(ctx, 2*patience)
	defer stop()
	if f, err := w.Lately(waiting, "tanaka", time.Hour); err == nil {
		t.Errorf("after Forget: %+v", f)
	}
}

// TestLatelyAsksTheStore: what is recorded against a person counts although the
// directory is away.
func TestLatelyAsksTheStore(t *testing.T) {
	fake := clock.NewFake(t0)
	db := storetest.Open(t)
	dir := &registry{p: directory.Person{ID: "tanaka"}}
	w := NewWatch(db, dir, fake.Now)
	if _, err := w.Of(ctx, "tanaka"); err != nil {
		t.Fatal(err)
	}
	dir.set(directory.Person{}, directory.ErrAway)
	if f, err := w.Lately(ctx, "tanaka", 0); err != nil || !f.Stale || !f.Usable(t0) {
		t.Fatalf("away: %+v, %v", f, err)
	}
	fake.Advance(mustRenew)
	if f, err := w.Lately(ctx, "tanaka", 0); !errors.Is(err, ErrAway) {
		t.Errorf("away in a zone that allows nothing: %+v, %v", f, err)
	}
	if at := w.AsOf("tanaka"); !at.Equal(t0) {
		t.Errorf("the answer is of %v, want %v", at, t0)
	}
	record(t, db, "tanaka", Suspended, time.Time{})
	if f, err := w.Lately(ctx, "tanaka", time.Hour); err != nil || f.Usable(fake.Now()) || f.Why(fake.Now()) != string(Suspended) {
		t.Errorf("suspended: %+v, %v", f, err)
	}
}

func testContext(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	c, stop := context.WithCancel(ctx)
	t.Cleanup(stop)
	return c, stop
}

// until waits for a condition.
func until(t *testing.T, is func() bool) {
	t.Helper()
	waiting, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	for !is() {
		if err := clock.Wait(waiting, time.Millisecond); err != nil {
			t.Fatal("waited in vain")
		}
	}
}

func rows(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(ctx, `SELECT COUNT(*) FROM person_changed`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestForetold: leave counts from its first moment, a suspension at once wherever the
// clock of who asks stands; what follows from leave is done once.
func TestForetold(t *testing.T) {
	fake := clock.NewFake(t0)
	db := storetest.Open(t)
	tx := func(do func(tx *store.Tx) error) error { return db.WithTx(ctx, do) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(tx(func(tx *store.Tx) error {
		return Foretell(ctx, tx, "tanaka", t0.Add(time.Hour), t0.Add(3*time.Hour), "育休", "sato")
	}))
	must(tx(func(tx *store.Tx) error {
		return Set(ctx, tx, "suzuki", Suspended, t0.Add(time.Second), time.Time{}, "x", "sato")
	}))
	for _, tt := range []struct {
		at             time.Duration
		tanaka, suzuki bool
		due            int
	}{{0, false, true, 0}, {time.Hour - 1, false, true, 0}, {time.Hour, true, true, 1}, {3 * time.Hour, false, true, 1}} {
		now := t0.Add(tt.at)
		for id, want := range map[directory.PersonID]bool{"tanaka": tt.tanaka, "suzuki": tt.suzuki} {
			closed, err := Closed(ctx, db, id, now)
			records, also := Records(ctx, db, id, now)
			several, too := Among(ctx, db, []directory.PersonID{id}, now)
			if err != nil || also != nil || too != nil || closed != want || (len(records) > 0) != want || (len(several) > 0) != want {
				t.Errorf("%s after %v: %t, %v, %v", id, tt.at, closed, records, several)
			}
		}
		if due, err := Beginning(ctx, db, now, 9); err != nil || len(due) != tt.due {
			t.Errorf("after %v: %v begin, %v", tt.at, due, err)
		}
	}
	fake.Advance(time.Hour)
	must(tx(func(tx *store.Tx) error { return Begun(ctx, tx, "tanaka", fake.Now()) }))
	if err := tx(func(tx *store.Tx) error { return Begun(ctx, tx, "tanaka", fake.Now()) }); !errors.Is(err, store.ErrUntouched) {
		t.Errorf("begun twice: %v", err)
	}
}

// TestPastIsKept: what of leave and suspensions had passed when they ended.
func TestPastIsKept(t *testing.T) {
	db := storetest.Open(t)
	do := func(f func(tx *store.Tx) error) {
		t.Helper()
		if err := db.WithTx(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	at := func(h int) time.Time { return t0.Add(time.Duration(h) * time.Hour) }
	set := func(k Kind, since, until int) {
		t.Helper()
		do(func(tx *store.Tx) error { return Set(ctx, tx, "tanaka", k, at(since), at(until), "r", "sato") })
	}
	set(OnLeave, 0, 5)
	set(OnLeave, 8, 20) // the one before had ended by itself
	do(func(tx *store.Tx) error { return Lift(ctx, tx, "tanaka", OnLeave, at(10)) })
	set(Suspended, 11, 30)
	do(func(tx *store.Tx) error { return Lift(ctx, tx, "tanaka", Suspended, at(40)) }) // after its end
	set(Dormant, 41, 50)
	do(func(tx *store.Tx) error { return Lift(ctx, tx, "tanaka", Dormant, at(42)) })
	do(func(tx *store.Tx) error { return Foretell(ctx, tx, "tanaka", at(60), at(70), "r", "sato") })
	do(func(tx *store.Tx) error { return Lift(ctx, tx, "tanaka", OnLeave, at(43)) }) // never began
	got, err := store.All(ctx, db, "the past", func(r store.Row) (s string, err error) {
		var (
			kind         string
			since, until int64
		)
		err = r.Scan(&kind, &since, &until)
		return fmt.Sprint(kind, " ", store.FromMicros(since).Sub(t0).Hours(), " ", store.FromMicros(until).Sub(t0).Hours()), err
	}, `SELECT kind, since, until FROM standing_past ORDER BY since`)
	if want := []string{"on_leave 0 5", "on_leave 8 10", "suspended 11 30"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the past is %q, want %q (%v)", got, want, err)
	}
}
