package personnel

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestUndone: within its days an import is turned round by two persons; who was made is
// closed, who left is let in again, and what somebody changed since stays.
func TestUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.approved(changes)
	w.tick()
	w.tickAt(effective)
	w.want("carried out", after)
	by := approval.Ref(w.person("kobayashi"))
	asked, err := w.AskUndo(t.Context(), by, []policy.PostID{policy.SecurityOfficer}, i.ID, "ファイルの取違え")
	w.must(err)
	if again, err := w.AskUndo(t.Context(), by, nil, i.ID, "もう一度"); err != nil || again.UndoMatter != asked.UndoMatter {
		t.Errorf("asked twice: %v", err)
	}
	if _, err := w.matters.Decide(t.Context(), w.as("kobayashi"), asked.UndoMatter, true, ""); err == nil {
		t.Error("who asked has decided")
	}
	w.death.Once("line", 3)
	w.decide("yoshida", asked.UndoMatter, true)
	if err := w.Tick(t.Context()); !errors.Is(err, authztest.ErrDied) {
		t.Fatal(err)
	}
	w.clock.Advance(workLasts + time.Second)
	w.tick()
	w.want("undone", undone)
	if w.state(i.ID) != Undone || w.entries(`"action":"person.undone"`) != 7 || w.entries(`"action":"import.undone"`) != 1 {
		t.Errorf("%s, %d lines", w.state(i.ID), w.entries(`"action":"person.undone"`))
	}
	if _, err := w.AskUndo(t.Context(), by, nil, i.ID, "もう一度"); !errors.Is(err, ErrState) {
		t.Errorf("undone twice: %v", err)
	}
}

// TestUndoneByHand: what somebody changed after an import is theirs.
func TestUndoneByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.approved("number,name,section,mail\nK-tanaka,田中 改,zaisei,new@pref.example\n")
	w.tickAt(effective)
	section := "joho"
	w.must(w.dir.Amend(t.Context(), w.person("tanaka"), directory.Amendment{Section: &section}))
	asked, err := w.AskUndo(t.Context(), approval.Ref(w.person("kobayashi")), nil, i.ID, "取違え")
	w.must(err)
	w.decide("yoshida", asked.UndoMatter, true)
	w.tick()
	if p := w.person("tanaka"); p.Section != "joho" || p.Name != "例 tanaka" || p.Mail != "tanaka@pref.example" {
		t.Errorf("%+v", p)
	}
	w.at(effective.AddDate(0, 0, 8))
	later := w.approved("number,name\nK-ito,伊藤 改\n")
	w.tick()
	w.clock.Advance(8 * 24 * time.Hour)
	if _, err := w.AskUndo(t.Context(), approval.Ref(w.person("kobayashi")), nil, later.ID, "遅い"); !errors.Is(err, ErrState) {
		t.Errorf("undone after its days: %v", err)
	}
}

// undo has an import undone by two persons, all at once.
func (w *world) undo(id string) {
	w.Helper()
	asked, err := w.AskUndo(w.Context(), approval.Ref(w.person("kobayashi")), nil, id, "取違え")
	w.must(err)
	w.decide("yoshida", asked.UndoMatter, true)
	w.tick()
}

// TestUndoneGivesNothingMore: what somebody lost by other hands, before the change or
// since, does not come back with what the import took.
func TestUndoneGivesNothingMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, until := range []time.Time{planned, effective} { // undone before the day, and on it
		w.must(w.dir.AddMember(t.Context(), embeddedtest.PostGroup(policy.SystemOperator), w.person("tanaka").DN))
		i := w.approved("number,name,posts,ends\nK-tanaka,例 tanaka,なし,2026-12-31\n")
		w.tick() // the end is written ahead
		if s := w.is("tanaka"); !strings.Contains(s, "until 2027-01-01") {
			t.Fatal("no end was written ahead:", s)
		}
		w.must(w.dir.RemoveMember(t.Context(), embeddedtest.PostGroup(policy.SystemOperator), w.person("tanaka").DN))
		w.tickAt(until)
		w.undo(i.ID)
		if s := w.is("tanaka"); s != "jinji +staff" {
			t.Errorf("at %v, a post that was taken by hand before the day: %s", until, s)
		}
	}
	w.must(w.dir.AddMember(t.Context(), embeddedtest.PostGroup(policy.SystemOperator), w.person("tanaka").DN))
	next, _, err := w.Propose(t.Context(), "oda", file("number,name,posts\nK-tanaka,例 tanaka,なし\n"), time.Time{}, false)
	w.must(err)
	w.decide("kobayashi", next.ID, true)
	w.tick()
	yes := true
	w.must(w.dir.Amend(t.Context(), w.person("tanaka"), directory.Amendment{Disabled: &yes}))
	w.undo(next.ID)
	if s := w.is("tanaka"); s != "jinji +staff disabled" {
		t.Errorf("who was closed since: %s", s)
	}
}

// TestUndoneAtOnce: who left this minute by mistake is let in again, whatever the fraction
// of the second; who was suspended since stays so.
func TestUndoneAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.Advance(1500*time.Millisecond + 7*time.Microsecond)
	i, _, err := w.Propose(t.Context(), "oda", file("number,name,change\nK-suzuki,例 suzuki,退職\nK-tanaka,例 tanaka,退職\n"), time.Time{}, false)
	w.must(err)
	w.decide("kobayashi", i.ID, true)
	w.tick()
	if s := w.is("suzuki"); !strings.Contains(s, "disabled until") {
		t.Fatal("not carried out:", s)
	}
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return standing.Set(t.Context(), tx, w.person("tanaka").ID, standing.Suspended, w.clock.Now(), time.Time{}, "漏えい", "yoshida")
	}))
	w.undo(i.ID)
	if s := w.is("suzuki"); s != "zaisei +staff" {
		t.Errorf("let in again: %s", s)
	}
	if s := w.is("tanaka"); s != "jinji +staff +system_operator suspended" {
		t.Errorf("suspended since: %s", s)
	}
}
