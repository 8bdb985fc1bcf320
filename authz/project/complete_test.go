package project

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz"
	"sekisho/authz/authztest"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestComplete: a project ends now, with its IDs that have no other; what holds an ID is
// named, and opens nothing.
func TestComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.register("dev", policy.Development, "2026-09-30")
	w.register("other", policy.Development, "2026-06-30")
	w.bind("dev", "dev1", "dev2", "dev3", "mori", "batch")
	w.bind("other", "dev3")
	_, err := w.BindAs(ctx, w.as("sato"), "dev", "hara", Responsible, "責任者")
	w.must(err)
	w.tick()
	w.sealed = register{"mori"}
	w.as("dev1")
	for _, tt := range []struct{ by, reason, want string }{{"sato", "", "required"}, {"yamamoto", "済", "not_theirs"}, {"kansa", "済", "reads_only"}} {
		_, err := w.CompleteAs(ctx, w.as(tt.by), "dev", tt.reason)
		w.refused(tt.by, err, tt.want)
	}
	got, err := w.CompleteAs(ctx, w.as("kato"), "dev", "検収が済んだ")
	w.must(err)
	if len(got.Closed) != 4 || len(got.Kept) != 1 || got.Kept[0].Login != "dev3" || len(got.Held) != 1 || got.Held[0].Person.Login != "mori" || got.Held[0].Why != "sealed" || got.Pending != 0 {
		t.Errorf("completed: %+v", got)
	}
	for login, want := range map[string]authz.Reason{"dev1": authz.ProjectOver, "mori": authz.ProjectOver, "batch": authz.ProjectOver, "dev3": authz.Allowed} {
		if in := w.enters(login); in != want {
			t.Errorf("%s: %s, want %s", login, in, want)
		}
	}
	for login, want := range map[string]string{"dev1": Closed, "mori": "held:sealed", "dev3": NotDealt} {
		if became := w.closed("dev", login); became != want {
			t.Errorf("%s is %q, want %q", login, became, want)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM session WHERE login = 'dev1' AND ended_at = 0`); n != 0 {
		t.Errorf("%d sessions go on", n)
	}
	if w.entries("project.completed", "67-2(1)", "mori (sealed)") != 1 || w.entries("project.id_closed") != 4 || w.entries("project.id_held", "mori") != 1 {
		t.Error("the trail does not say so")
	}
	w.tick()
	w.must(w.life.Effects(ctx))
	for login, want := range map[string]bool{"dev1": true, "hara": true, "mori": false, "dev3": false} {
		if is := w.person(login).Account.Disabled; is != want {
			t.Errorf("in the directory %s is closed: %t", login, is)
		}
	}
	if end := w.person("dev3").Account.ExpiresAt; !end.Equal(after("2026-06-30")) {
		t.Errorf("whose other project goes on has an account until %v", end)
	}
	if end := w.person("dev1").Account.ExpiresAt; end.IsZero() || end.After(w.clock.Now()) {
		t.Errorf("its project is completed, and to the directory an ID is good until %v once it is opened there", end)
	}
	// Whose ID it was, who answered for it, who administers; and who stands above, for one is held.
	for login, kinds := range map[string][2]int{"dev1": {1, 0}, "hara": {1, 1}, "sato": {0, 1}, "kato": {0, 1}, "kobayashi": {0, 1}, "zai": {0, 0}, "mori": {0, 0}} {
		if over, ended := w.told(login, notice.ProjectOver), w.told(login, notice.ProjectEnded); over != kinds[0] || ended != kinds[1] {
			t.Errorf("%s has %d and %d letters, want %v", login, over, ended, kinds)
		}
	}
	w.tick()
	if w.told("sato", notice.ProjectEnded) != 1 || w.entries("project.ended", "completed") != 1 {
		t.Error("it has ended twice")
	}
}

// TestCompleteIsAllOrNothing breaks the completion before its commit, and after it:
// project, IDs and trail agree, and one retry later there is one of each.
func TestCompleteIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for _, point := range []string{PointCompleting, PointCompleted} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.register("dev", policy.Development, "2026-09-30")
			w.bind("dev", "dev1", "dev2")
			by := w.as("sato")
			w.death.Once(point, 0)
			if _, err := w.CompleteAs(t.Context(), by, "dev", "済"); !errors.Is(err, authztest.ErrDied) {
				t.Fatal("it did not die:", err)
			}
			done := point == PointCompleted
			for _, q := range []string{`SELECT COUNT(*) FROM project WHERE completed_at > 0`, `SELECT COUNT(*) / 2 FROM project_member WHERE closed = 'closed'`, `SELECT COUNT(*) / 2 FROM standing`} {
				if n := w.count(q); n == 1 != done {
					t.Errorf("%s: %d", q, n)
				}
			}
			if n := w.entries("project.completed"); n == 1 != done {
				t.Errorf("%d entries", n)
			}
			if in := w.enters("dev1"); (in == authz.ProjectOver) != done {
				t.Errorf("dev1: %s", in)
			}
			_, err := w.CompleteAs(t.Context(), by, "dev", "済")
			if done {
				w.refused("once more", err, "completed")
			} else {
				w.must(err)
			}
			w.tick()
			w.must(w.life.Effects(t.Context()))
			if !w.person("dev1").Account.Disabled || w.entries("project.completed") != 1 || w.entries("project.id_closed") != 2 || w.entries("project.ended") != 1 {
				t.Error("one retry later it is not all there, once")
			}
		})
	}
}

// TestCompleteWhileTheDirectoryIsSlow: the end waits for no directory.
func TestCompleteWhileTheDirectoryIsSlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register("dev", policy.Development, "2026-09-30")
	w.bind("dev", "dev1", "dev2")
	by := w.as("sato")
	w.IDs = slow{w.IDs, t}
	got, err := w.CompleteAs(t.Context(), by, "dev", "検収が済んだ")
	w.must(err)
	if got.Pending != 2 || w.enters("dev1") != authz.ProjectOver || w.project("dev").State(t0) != Completed {
		t.Errorf("completed: %+v", got)
	}
}

// slow are IDs in a directory that answers nobody in time.
type slow struct {
	IDs
	testing.TB
}

func (s slow) Prepare(ctx context.Context, _ directory.PersonID) (lifecycle.Closing, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		s.Error("nobody bounds how long it is waited for")
	}
	return lifecycle.Closing{}, context.DeadlineExceeded
}

// TestTwoCompleteAtOnce: of two gateways that complete a project at once, one does.
func TestTwoCompleteAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register("dev", policy.Development, "2026-09-30")
	w.bind("dev", "dev1", "dev2")
	here, there := w.Book, w.gateway(w.dir)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	sato, kato := w.as("sato"), w.as("kato")
	wg.Go(func() { _, errs[0] = here.CompleteAs(t.Context(), sato, "dev", "済") })
	wg.Go(func() { _, errs[1] = there.CompleteAs(t.Context(), kato, "dev", "済") })
	wg.Wait()
	if errs[0] == nil == (errs[1] == nil) {
		t.Fatalf("both, or neither: %v, %v", errs[0], errs[1])
	}
	w.refused("the other", errors.Join(errs...), "completed")
	if w.entries("project.completed") != 1 || w.entries("project.id_closed") != 2 {
		t.Error("it was completed twice")
	}
	wg.Go(func() { errs[0] = here.Tick(t.Context()) })
	wg.Go(func() { errs[1] = there.Tick(t.Context()) })
	wg.Wait()
	if errs[0] != nil || errs[1] != nil || w.entries("project.ended") != 1 || w.told("sato", notice.ProjectEnded) != 1 {
		t.Errorf("it ended other than once: %v, %v", errs[0], errs[1])
	}
}

// TestManyAreClosedInBatches: of a large project all are refused at once, and closed by
// whichever gate lives, from where one died.
func TestManyAreClosedInBatches(t *testing.T) {
	t.Parallel()
	var many []person
	for i := range batch + 30 {
		many = append(many, person{login: fmt.Sprintf("w%03d", i)})
	}
	w := newWorld(t, many...)
	w.register("dev", policy.Development, "2026-09-30")
	for _, m := range many {
		w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
			return w.Tie(t.Context(), tx, "dev", w.person(m.login), Worker, "oda", "import")
		}))
	}
	got, err := w.CompleteAs(t.Context(), w.as("sato"), "dev", "済")
	w.must(err)
	if len(got.Closed) != batch || got.Pending != 30 {
		t.Fatalf("closed %d, pending %d", len(got.Closed), got.Pending)
	}
	for _, m := range many {
		if in := w.enters(m.login); in != authz.ProjectOver {
			t.Fatalf("%s: %s", m.login, in)
		}
	}
	for _, point := range []string{PointClosing, PointClosed} {
		w.death.Once(point, 7)
		if err := w.Tick(t.Context()); !errors.Is(err, authztest.ErrDied) {
			t.Fatalf("at %s it did not die: %v", point, err)
		}
		there := w.gateway(w.dir)
		w.must(there.Tick(t.Context()))
		if point == PointClosing && w.count(`SELECT COUNT(*) FROM project_member WHERE closed = 'closed'`) == len(many) {
			t.Error("another took over while the first might live")
		}
		w.clock.Advance(2 * claimLasts)
	}
	w.tick()
	if n := w.count(`SELECT COUNT(*) FROM project_member WHERE closed = 'closed'`); n != len(many) || w.entries("project.id_closed") != len(many) || w.entries("project.ended") != 1 {
		t.Errorf("%d of %d are closed", n, len(many))
	}
}

// TestItsDayPasses: at that instant the tie refuses with every job stopped (F15), and the
// clock set back does not open it; then whichever gate lives closes the IDs, once.
func TestItsDayPasses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.register("dev", policy.Development, "2026-03-31")
	w.bind("dev", "dev1", "mori", "batch")
	w.tick()
	w.sealed = register{"mori"}
	w.at(after("2026-03-31").Add(-time.Microsecond))
	if in := w.enters("dev1"); in != authz.Allowed {
		t.Fatalf("31 March, the last microsecond: %s", in)
	}
	w.clock.Advance(time.Microsecond)
	for _, login := range []string{"dev1", "mori", "batch"} {
		if in := w.enters(login); in != authz.ProjectOver {
			t.Errorf("1 April, 00:00 in Japan, %s: %s", login, in)
		}
	}
	if w.person("dev1").Account.Usable(w.clock.Now()) {
		t.Error("the directory lets it in by itself")
	}
	there := w.gateway(w.dir)
	w.must(there.Tick(ctx))
	w.tick()
	w.must(w.life.Effects(ctx))
	if w.entries("project.id_closed") != 2 || w.entries("project.ended", "over") != 1 || w.closed("dev", "mori") != "held:sealed" || !w.person("dev1").Account.Disabled {
		t.Errorf("closed %d; mori is %s", w.entries("project.id_closed"), w.closed("dev", "mori"))
	}
	if w.told("kobayashi", notice.ProjectEnded) != 1 || w.told("sato", notice.ProjectEnded) != 1 {
		t.Error("nobody heard of it")
	}
	w.clock.Advance(-2 * time.Hour) // it is 31 March again, says the machine
	if !w.enteredClosed("dev1") {
		t.Error("the clock was set back, and the ID is open")
	}
	_, err := w.CompleteAs(ctx, w.as("sato"), "dev", "済")
	w.must(err) // by that clock it runs; nothing happens to its IDs twice
	if w.entries("project.id_closed") != 2 {
		t.Error("closed twice")
	}
}

// enteredClosed reports whether what is recorded of somebody shuts every door.
func (w *world) enteredClosed(login string) bool {
	w.Helper()
	facts, err := w.gate.Watch.Of(w.Context(), w.person(login).ID)
	w.must(err)
	return !facts.Usable(w.clock.Now())
}

// TestWarned: who administers and who is responsible hear of an end, once for each end.
func TestWarned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register("dev", policy.Development, "2026-03-31")
	_, err := w.BindAs(t.Context(), w.as("sato"), "dev", "hara", Responsible, "責任者")
	w.must(err)
	w.bind("dev", "dev1")
	w.at(day("2026-03-17").Add(-time.Minute))
	w.tick()
	if w.told("sato", notice.ProjectEnding) != 0 {
		t.Error("they were warned too soon")
	}
	w.at(day("2026-03-17"))
	there := w.gateway(w.dir)
	w.must(there.Tick(t.Context()))
	w.tick()
	for login, want := range map[string]int{"sato": 1, "kato": 1, "hara": 1, "dev1": 0, "zai": 0} {
		if n := w.told(login, notice.ProjectEnding); n != want {
			t.Errorf("%s was told %d times, want %d", login, n, want)
		}
	}
	out, err := w.RescheduleAs(t.Context(), w.as("sato"), "dev", after("2026-04-30"), "延長")
	w.must(err)
	w.gate.Decide(t, w.as("yamamoto"), out.Matter, true)
	w.at(day("2026-04-20"))
	w.tick()
	if n := w.told("sato", notice.ProjectEnding); n != 2 {
		t.Errorf("of the new end they were told %d times", n)
	}
}

// TestOneThatCannotBeClosed keeps no other waiting, and is left to a person.
func TestOneThatCannotBeClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register("dev", policy.Development, "2026-03-31")
	w.bind("dev", "dev1", "dev2", "dev3")
	w.tick()
	bad := w.person("dev2").ID
	w.IDs = stumbling{w.IDs, bad}
	w.at(after("2026-03-31"))
	for range triesOfID {
		if err := w.Tick(t.Context()); err == nil || !strings.Contains(err.Error(), "dev2") {
			t.Fatalf("nobody complains: %v", err)
		}
		if n := w.count(`SELECT COUNT(*) FROM project_member WHERE closed = 'closed'`); n != 2 {
			t.Fatalf("%d are closed", n)
		}
		w.clock.Advance(2 * restOfHand)
	}
	w.tick()
	if w.closed("dev", "dev2") != "held:failed" || w.entries("project.ended") != 1 || w.enters("dev2") != authz.ProjectOver {
		t.Errorf("it is %s", w.closed("dev", "dev2"))
	}
	// One whose directory is away closes nobody, holds nobody, and goes on.
	w.register("ops", policy.Production, "2026-04-10")
	w.bind("ops", "suzuki")
	w.at(after("2026-04-10"))
	life := w.IDs
	w.IDs = stumbling{life, ""}
	for range triesOfID + 1 {
		if err := w.Tick(t.Context()); !errors.Is(err, directory.ErrAway) {
			t.Fatalf("the directory is away: %v", err)
		}
		w.clock.Advance(2 * restOfHand)
	}
	w.IDs = life
	w.tick()
	if got := w.closed("ops", "suzuki"); got != Closed {
		t.Errorf("back again: %s", got)
	}
}

// stumbling cannot read one ID, or none while the directory is away.
type stumbling struct {
	IDs
	at directory.PersonID
}

func (s stumbling) Prepare(ctx context.Context, id directory.PersonID) (c lifecycle.Closing, err error) {
	switch s.at {
	case "":
		return c, directory.ErrAway
	case id:
		return c, errors.New("an attribute that cannot be read")
	}
	return s.IDs.Prepare(ctx, id)
}
