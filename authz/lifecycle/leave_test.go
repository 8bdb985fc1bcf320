package lifecycle

import (
	"errors"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/standing"
	"sekisho/policy/store"
)

func (w *world) leave(login string, from, until time.Time) error {
	w.Helper()
	return w.db.WithTx(w.Context(), func(tx *store.Tx) error {
		return w.Leave(w.Context(), tx, Leave{Who: w.person(login), From: from, Until: until, Reason: "育休", By: "sato"})
	})
}

func (w *world) back(login string) error {
	w.Helper()
	return w.db.WithTx(w.Context(), func(tx *store.Tx) error { return w.EndLeave(w.Context(), tx, w.person(login), "sato") })
}

// TestLeaveBegins: what is open ends on the first day, once, whichever gate looks, and
// also while the directory is away.
func TestLeaveBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0})
	open := w.as("tanaka").SessionID
	live := func() int {
		return w.count(`SELECT COUNT(*) FROM session WHERE id = $1 AND ended_at = 0`, open)
	}
	w.must(w.leave("tanaka", t0.Add(time.Hour), time.Time{}))
	w.must(w.BeginLeaves(t.Context()))
	if live() != 1 {
		t.Fatal("ended before it began")
	}
	w.clock.Advance(time.Hour)
	other := w.gateway(w.dir)
	w.server.Away()
	w.must(other.BeginLeaves(t.Context()))
	w.must(w.BeginLeaves(t.Context()))
	if live() != 0 || w.entries("leave.began", "62-5") != 1 {
		t.Errorf("%d open, %d entries that it began", live(), w.entries("leave.began"))
	}
}

// TestLeaveJoins: a leave that goes on is one, and the doors are not open between.
func TestLeaveJoins(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return t0.AddDate(0, 0, n) }
	rec := func(from, until time.Time) standing.Record {
		return standing.Record{Kind: standing.OnLeave, Since: from, Until: until}
	}
	for _, tt := range []struct {
		name   string
		before standing.Record
		ok     bool
		from   time.Time
		want   time.Time
		err    error
	}{
		{"none before", standing.Record{}, false, day(3), day(3), nil},
		{"longer", rec(day(-9), day(9)), true, day(0), day(-9), nil},
		{"the next begins as this one ends", rec(day(-9), day(9)), true, day(9), day(-9), nil},
		{"without an end", rec(day(-9), time.Time{}), true, day(9), day(-9), nil},
		{"with days between", rec(day(-9), day(9)), true, day(10), time.Time{}, ErrLeaveApart},
		{"in the place of one to come", rec(day(5), day(9)), true, day(20), day(20), nil},
		{"begun earlier than was written", rec(day(-1), day(9)), true, day(-5), day(-5), nil},
	} {
		if got, err := joined(tt.before, tt.ok, tt.from, t0); !got.Equal(tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("%s: from %v, %v; want %v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// TestRestsAreRemembered: leave and suspensions that were lifted early do not count, once
// they are over either.
func TestRestsAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0}, member{login: "mori", used: t0}, member{login: "ito", used: t0})
	w.must(w.Tick(t.Context()))
	w.on(10)
	w.must(w.leave("tanaka", w.clock.Now(), t0.AddDate(1, 0, 0)))
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return standing.Set(t.Context(), tx, w.person("mori").ID, standing.Suspended, w.clock.Now(), time.Time{}, "調査", "sato")
	}))
	w.on(50)
	w.must(w.back("tanaka"))
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return standing.Lift(t.Context(), tx, w.person("mori").ID, standing.Suspended, w.clock.Now())
	}))
	if err := w.back("tanaka"); !errors.Is(err, ErrNoLeave) {
		t.Errorf("ended twice: %v", err)
	}
	w.on(60)
	w.sweep()
	w.isStage("ito", rowWarned)
	w.isStage("tanaka", "")
	w.isStage("mori", "")
	w.on(99)
	w.sweep()
	w.isStage("tanaka", "")
	w.on(100) // 60 days without the 40
	w.sweep()
	w.isStage("tanaka", rowWarned)
	w.isStage("mori", rowWarned)
	if w.told("tanaka", notice.LeaveRecorded) != 1 || w.told("tanaka", notice.LeaveEnded) != 1 {
		t.Error("its owner was not told")
	}
}
