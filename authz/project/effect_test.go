package project

import (
	"context"
	"errors"
	"testing"
	"time"

	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/policy"
)

// ends is when somebody's account ends in the directory.
func (w *world) ends(login string, want time.Time) {
	w.Helper()
	if got := w.person(login).Account.ExpiresAt; !got.Equal(want) && !kept(got, want) {
		w.Errorf("the account of %s ends at %v, want %v", login, got, want)
	}
}

// setEnd is what somebody else writes into the directory.
func (w *world) setEnd(login string, at time.Time) {
	w.Helper()
	w.must(w.dir.Amend(w.Context(), w.person(login), directory.Amendment{ExpiresAt: &at}))
}

// TestEndFollows: the account's own end, the earlier of both, a later one that nobody else
// has touched, and one that somebody has.
func TestEndFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.whole()
}

// whole moves ends as people do, against whatever directory the world has.
func (w *world) whole() {
	w.Helper()
	t, ctx := w.TB, w.Context()
	own := day("2026-08-15")
	w.setEnd("dev2", own)
	w.register("dev", policy.Development, "2026-06-30")
	w.bind("dev", "dev1", "dev2", "dev3")
	w.tick()
	for _, login := range []string{"dev1", "dev2", "dev3"} {
		w.ends(login, after("2026-06-30"))
	}
	w.setEnd("dev3", day("2026-05-01")) // somebody else ends it sooner
	extend := func(last string) {
		out, err := w.RescheduleAs(ctx, w.as("sato"), "dev", after(last), "延長")
		w.must(err)
		w.gate.Decide(t, w.as("yamamoto"), out.Matter, true)
		w.tick()
	}
	extend("2026-09-30")
	w.ends("dev1", after("2026-09-30"))
	w.ends("dev2", own)
	w.ends("dev3", day("2026-05-01"))
	if _, err := w.RescheduleAs(ctx, w.as("sato"), "dev", after("2026-07-31"), "短縮"); err != nil {
		t.Fatal(err)
	}
	w.tick()
	w.ends("dev1", after("2026-07-31"))
	w.ends("dev2", after("2026-07-31"))
	w.ends("dev3", day("2026-05-01"))
	for _, login := range []string{"dev1", "dev2"} {
		out, err := w.ReleaseAs(ctx, w.as("sato"), "dev", login, "職員になった")
		w.must(err)
		w.gate.Decide(t, w.as("yamamoto"), out.Matter, true)
	}
	w.tick()
	w.ends("dev1", time.Time{})
	w.ends("dev2", own)
	if n := w.count(`SELECT COUNT(*) FROM project_end WHERE due_at > 0`); n != 0 {
		t.Errorf("%d ends wait still", n)
	}
	// Its day passes: the directory refuses by itself, and then has it closed.
	w.at(after("2026-07-31"))
	w.tick()
	w.must(w.life.Effects(ctx))
	if !w.person("dev3").Account.Disabled || w.person("dev1").Account.Disabled {
		t.Error("in the directory the wrong IDs are closed")
	}
}

// TestEndWhileTheDirectoryIsAway: it is tried again for ever, with a word after a while,
// and the tie holds meanwhile.
func TestEndWhileTheDirectoryIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	away := true
	w.Directory = &broken{Directory: w.dir, amend: func(ctx context.Context, p directory.Person, a directory.Amendment) error {
		if away {
			return directory.ErrAway
		}
		return w.dir.Amend(ctx, p, a)
	}}
	w.register("dev", policy.Development, "2026-06-30")
	w.bind("dev", "dev1")
	for range stubborn + 3 {
		if err := w.Effects(t.Context()); !errors.Is(err, directory.ErrAway) {
			t.Fatalf("the directory is away: %v", err)
		}
		w.clock.Advance(rests[len(rests)-1])
	}
	if n := w.entries("project.end_failed", "dev1"); n != 1 {
		t.Errorf("a person was told %d times", n)
	}
	if l, err := w.Levels(t.Context()); err != nil || l.Ends != 1 || !l.Since.Equal(t0) {
		t.Errorf("what waits: %+v, %v", l, err)
	}
	away = false
	w.must(w.Effects(t.Context()))
	w.ends("dev1", after("2026-06-30"))
	if w.entries("project.end_set", "dev1") != 1 {
		t.Error("it was written, and the trail does not say so")
	}
}

// TestEndIsConverging: who dies before or after an end was written leaves one that the next
// one brings about, and does not take what we wrote for the account's own.
func TestEndIsConverging(t *testing.T) {
	t.Parallel()
	for _, point := range []string{PointEnd, PointEndWritten} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			own := day("2026-12-01")
			w.setEnd("dev1", own)
			w.register("dev", policy.Development, "2026-06-30")
			w.bind("dev", "dev1")
			w.death.Once(point, 0)
			if err := w.Effects(t.Context()); !errors.Is(err, authztest.ErrDied) {
				t.Fatal("it did not die:", err)
			}
			there := w.gateway(w.dir)
			w.must(there.Effects(t.Context())) // not yet: the first may live
			w.clock.Advance(2 * workLasts)
			w.must(there.Effects(t.Context()))
			w.ends("dev1", after("2026-06-30"))
			out, err := w.ReleaseAs(t.Context(), w.as("sato"), "dev", "dev1", "職員になった")
			w.must(err)
			w.gate.Decide(t, w.as("yamamoto"), out.Matter, true)
			w.must(there.Effects(t.Context()))
			w.ends("dev1", own)
		})
	}
}

// TestEndOfWhoIsGone waits for nobody.
func TestEndOfWhoIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register("dev", policy.Development, "2026-06-30")
	w.bind("dev", "dev1")
	w.must(w.dir.Delete(t.Context(), w.person("dev1")))
	w.must(w.Effects(t.Context()))
	got, err := w.CompleteAs(t.Context(), w.as("sato"), "dev", "済")
	w.must(err)
	if len(got.Closed) != 1 || w.count(`SELECT COUNT(*) FROM project_end WHERE due_at > 0 AND tries > 0`) != 0 {
		t.Errorf("completed: %+v", got)
	}
}
