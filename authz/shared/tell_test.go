package shared

import (
	"slices"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A letter is a notice as it waits to be mailed.
type letter struct {
	to     directory.PersonID
	kind   notice.Kind
	detail string
}

// letters are those that wait, in the order in which they were queued.
func (w *world) letters() []letter {
	w.Helper()
	out, err := store.All(w.Context(), w.db, "notices", func(r store.Row) (l letter, err error) {
		err = r.Scan(&l.to, &l.kind, &l.detail)
		return l, err
	}, `SELECT person_id, kind, detail FROM notice ORDER BY at, person_id, kind`)
	w.must(err)
	return out
}

func newMailing(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.policy.Zones = []policy.Zone{{ID: policy.LGWAN, MailNotices: true, IdleEnd: time.Hour, AbsoluteEnd: 9 * time.Hour, CounterIdleEnd: 3 * time.Minute}}
	w.policy.Mail.From = "sekisho@pref.example"
	return w
}

// TestToldOfTheEnd: who has a shared ID is told once, by whichever gate, that the end is
// near; not who asked for so little that they know, and not who has given it back.
func TestToldOfTheEnd(t *testing.T) {
	t.Parallel()
	w := newMailing(t)
	long, short := w.out(w.as("tanaka"), "one", 30), w.as("suzuki")
	w.out(short, "kept", 10)
	w.out(w.as("mori"), "two", 30)
	w.back("mori", "two")
	w.clock.Advance(25*time.Minute - time.Second)
	w.settle()
	if got := w.letters(); len(got) != 0 {
		t.Fatalf("told before it is near: %+v", got)
	}
	w.clock.Advance(time.Second)
	w.settle()
	w.settle()
	want := []letter{{long.By.ID, notice.SharedEnding, `{"shared":"one","until":"` + long.EndsAt.UTC().Format(time.RFC3339) + `"}`}}
	if got := w.letters(); !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
	w.state(long.Checkout, Active)
	w.clock.Advance(5 * time.Minute)
	w.settle()
	w.state(long.Checkout, Expired)
	if got := w.letters(); !slices.Equal(got, want) {
		t.Errorf("told %+v when its time was over", got)
	}
}

// TestToldOfBeingEnded: whose use was ended before its time is told by whom and why, and
// so is who had the same password; not who gave it back, and nobody whose time was over.
func TestToldOfBeingEnded(t *testing.T) {
	t.Parallel()
	w := newMailing(t)
	before, ended, beside := w.out(w.as("tanaka"), "two", 30), w.as("suzuki"), w.as("mori")
	w.policy.SharedIDs[1].Holders = 3
	g, with := w.out(ended, "two", 60), w.out(beside, "two", 60)
	w.back("tanaka", "two")
	_, err := w.End(t.Context(), signin.Origin{}, w.as("yamamoto"), g.ID, "不審な操作")
	w.must(err)
	w.settle()
	got := w.letters()
	slices.SortFunc(got, func(a, b letter) int { return len(b.detail) - len(a.detail) })
	if want := []letter{
		{g.By.ID, notice.SharedEnded, `{"by":"yamamoto","reason":"不審な操作","shared":"two"}`},
		{with.By.ID, notice.SharedEnded, `{"by":"","reason":"","shared":"two"}`},
	}; !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
	late := w.out(w.as("tanaka"), "one", 5)
	w.clock.Advance(5 * time.Minute)
	_, err = w.End(t.Context(), signin.Origin{}, w.as("yamamoto"), late.ID, "遅い")
	w.must(err)
	w.state(late.Checkout, Expired)
	if n := len(w.letters()); n != 2 {
		t.Errorf("%d letters, when its time was over", n)
	}
	w.state(before.Checkout, Ended)
}

// TestClear: what is long over goes, but for who knows a password that is good still.
func TestClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	knows, has := w.out(w.as("tanaka"), "two", 30), w.out(w.as("suzuki"), "two", 60)
	w.back("tanaka", "two")
	w.clock.Advance(kept + 2*time.Hour) // and no gate was there to write the end down
	w.must(w.Clear(t.Context()))
	w.state(knows.Checkout, Ended)
	w.state(has.Checkout, Active)
	w.settle()
	recent := w.out(w.as("mori"), "one", 30)
	w.back("mori", "one")
	w.clock.Advance(kept)
	w.must(w.Clear(t.Context()))
	if n := w.count(`SELECT COUNT(*) FROM shared_checkout`); n != 1 {
		t.Errorf("%d rows are kept, want the one that is as old as may be", n)
	}
	w.state(recent.Checkout, Ended)
	w.clock.Advance(time.Second)
	w.must(w.Clear(t.Context()))
	if n := w.count(`SELECT COUNT(*) FROM shared_checkout`); n != 0 {
		t.Errorf("%d rows are kept for ever", n)
	}
	if w.entries(`"action":"shared.checked_out"`) != 3 {
		t.Error("the trail has lost a check-out")
	}
}

// TestOutcomesAreCounted: each check-out that is asked for counts once, as what it was.
func TestOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := map[Outcome]int{}
	w.Count = func(o Outcome) { got[o]++ }
	tanaka := w.as("tanaka")
	w.out(tanaka, "two", 30)
	w.refused(second(w.checkOut(tanaka, "two", 30)), "has_it")
	w.refused(second(w.checkOut(w.as("kimura"), "one", 30)), "not_eligible")
	w.must(w.server.Close())
	w.refused(second(w.checkOut(tanaka, "one", 30)), "away")
	for _, o := range Outcomes() {
		if want := map[Outcome]int{CheckedOut: 1, Refused: 2, Undone: 1}[o]; got[o] != want {
			t.Errorf("%d are %s, want %d", got[o], o, want)
		}
	}
}
