package personnel

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

const (
	before = `tanaka: jinji +staff +system_operator
suzuki: zaisei +staff
kinnen: jinji +staff until 2026-04-01 00:00
ito: joho +staff
modori: joho disabled
nitta: nobody
arai: nobody`
	// ahead is what holds as soon as the import is approved: ends alone.
	ahead = `tanaka: jinji +staff +system_operator
suzuki: zaisei +staff until 2026-04-01 00:00
kinnen: jinji +staff until 2027-04-01 00:00
ito: joho +staff
modori: joho disabled
nitta: nobody
arai: nobody`
	after = `tanaka: zaisei +staff +system_operator handover:jinji concurrent:joho
suzuki: zaisei disabled until 2026-04-01 00:00
kinnen: jinji +staff until 2027-04-01 00:00
ito: joho +staff on_leave
modori: jinji +staff
nitta: jinji +staff +security_manager until 2027-04-01 00:00
arai: joho +staff`
	undone = `tanaka: jinji +staff +system_operator
suzuki: zaisei +staff
kinnen: jinji +staff until 2026-04-01 00:00
ito: joho +staff
modori: joho disabled
nitta: jinji disabled until 2027-04-01 00:00
arai: joho disabled`
)

func (w *world) want(what, want string) {
	w.Helper()
	if got := w.all(); got != want {
		w.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

// TestCarriedOut: an import waits for a second person, has ends hold from then on, and
// the rest from its day; what was done is done once, and on the trail.
func TestCarriedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	if i.State != Proposed || i.Counts[Joins] != 2 || i.Counts[Leaves] != 1 || i.Counts[Moves] != 1 || i.Counts[Renewed] != 1 || i.Counts[Returns] != 1 || i.Counts[OnLeave] != 1 {
		t.Fatalf("%+v", i)
	}
	w.tick()
	w.want("proposed", before)
	if again := w.propose(changes); again.ID != i.ID {
		t.Error("the same file for the same day was proposed twice")
	}
	card, err := w.matters.Card(t.Context(), i.ID)
	if err != nil || !strings.Contains(card.Yes.EN, "2026-04-01 00:00") || len(card.Facts) < 8 {
		t.Errorf("the card says %+v, %v", card.Facts, err)
	}
	w.decide("kobayashi", i.ID, true)
	w.tick()
	w.want("approved", ahead)
	if p, err := w.Progress(t.Context(), i.ID); err != nil || p.Done != 0 || p.Lines != 7 || !p.Next.Equal(effective) || w.state(i.ID) != Approved {
		t.Errorf("%+v %v", p, err)
	}
	session := w.as("suzuki")
	w.tickAt(effective)
	w.want("on the day", after)
	for _, action := range Actions() {
		want := 1
		if action == "person.joined" {
			want = 2
		}
		if action == "person.changed" {
			want = 0
		}
		if n := w.entries(`"action":"` + action + `"`); n != want {
			t.Errorf("%d entries %s, want %d", n, action, want)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM session WHERE id = $1 AND ended_at = 0`, session.SessionID); n != 0 {
		t.Error("the session of who left goes on")
	}
	w.tick()
	w.want("looked at once more", after)
	if n := w.entries(`"action":"person.`); n != 9 {
		t.Errorf("%d entries about people", n)
	}
	if p, _ := w.Progress(t.Context(), i.ID); p.Done != 7 || p.Failed != 0 {
		t.Errorf("%+v", p)
	}
	// A handover is over at its minute, and the import with it.
	w.at(day("2026-04-11"))
	if s := w.is("tanaka"); strings.Contains(s, "handover") {
		t.Error("the handover goes on:", s)
	}
	w.tick()
	if w.state(i.ID) != Done || w.entries(`"action":"import.done"`) != 1 || w.entries(`"action":"person.handover_ended"`) != 1 {
		t.Error("it has not ended:", w.state(i.ID))
	}
	lines, err := w.Lines(t.Context(), i.ID, Joins, 0, 10)
	if err != nil || len(lines) != 2 || lines[0].Step != "done" || lines[0].Person == "" {
		t.Errorf("%+v %v", lines, err)
	}
	// The same file once more has nothing to do.
	_, _, err = w.Propose(t.Context(), "oda", file(changes+"\n"), time.Time{}, false)
	if !errors.Is(err, ErrNothing) {
		t.Errorf("the same once more: %v", err)
	}
}

// TestTold: whom a file moves and whose ID ends are told when it is so and not before;
// and where it is undone, that.
func TestTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, true)
	w.must(w.Tick(t.Context())) // ends are written ahead
	kinds := []notice.Kind{notice.PersonnelMoved, notice.PersonnelEnded, notice.PersonnelUndone}
	told := func() string {
		var out []string
		for _, login := range []string{"tanaka", "suzuki", "kinnen", "ito", "modori", "nitta", "arai"} {
			p, err := w.dir.Find(t.Context(), login)
			if err != nil {
				continue // not there yet
			}
			for _, k := range kinds {
				if n := w.gate.Told(t, p.ID, k); n > 0 {
					out = append(out, fmt.Sprint(login, " ", k, " ", n))
				}
			}
		}
		return strings.Join(out, ", ")
	}
	if got := told(); got != "" {
		t.Errorf("told before the day: %s", got)
	}
	w.at(effective)
	for range 2 {
		w.must(w.Tick(t.Context()))
		if got := told(); got != "tanaka personnel_moved 1, suzuki personnel_ended 1, modori personnel_moved 1" {
			t.Errorf("on the day: %s", got)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM notice WHERE kind = 'personnel_moved' AND detail LIKE '%"section":"zaisei"%' AND detail LIKE '%"until":"2026-04-10T15:00:00Z"%'`); n != 1 {
		t.Errorf("%d are told of the section and the handover", n)
	}
	w.undo(i.ID)
	if got := told(); got != "tanaka personnel_moved 1, tanaka personnel_undone 1, suzuki personnel_ended 1, suzuki personnel_undone 1, modori personnel_moved 1, modori personnel_undone 1" {
		t.Errorf("undone: %s", got)
	}
}

// TestEndsHoldByThemselves (F15): at the turn of the fiscal year in Japan nothing runs,
// and who leaves is shut out at that second, while who is appointed anew is not.
func TestEndsHoldByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approved(changes)
	w.tick()
	usable := func(login string) bool {
		f, err := w.watch.Of(t.Context(), w.person(login).ID)
		w.must(err)
		return f.Usable(w.clock.Now())
	}
	w.at(effective.Add(-time.Second))
	if !usable("suzuki") || !usable("kinnen") {
		t.Error("shut out on the last day")
	}
	w.at(effective)
	if usable("suzuki") || !usable("kinnen") {
		t.Errorf("at midnight: who leaves %t, who is appointed anew %t", usable("suzuki"), usable("kinnen"))
	}
}

// TestGainersDoNotDecide (design rule 7, article 16-1): who gets a post by an import does
// not approve it; and that the directory does not know who proposed is said.
func TestGainersDoNotDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose("number,name,posts\nK-kobayashi,例 kobayashi,security_officer;cio\n")
	card, err := w.matters.Card(t.Context(), i.ID)
	if err != nil || !strings.Contains(fmt.Sprintf("%+v", card.Facts), "CAUTION: the directory does not know who proposed") {
		t.Errorf("the card says %+v, %v", card.Facts, err)
	}
	_, err = w.matters.Decide(t.Context(), w.as("kobayashi"), i.ID, true, "")
	var refused *approval.Refused
	if !errors.As(err, &refused) || refused.Verdict.Reason != approval.OwnMatter || !strings.Contains(refused.Verdict.Says.JA, "ほかの承認者") {
		t.Fatalf("who becomes CIO by it: %v", err)
	}
	if w.state(i.ID) != Proposed || w.entries(`"action":"approval.refused"`) != 1 {
		t.Error("it was decided, or the trail does not say that it was tried")
	}
	w.decide("yoshida", i.ID, true)
	w.tickAt(effective)
	if s := w.is("kobayashi"); !strings.Contains(s, "+cio") {
		t.Error("not carried out:", s)
	}
}

// TestNotApproved: what is denied, and what nobody decides, does nothing.
func TestNotApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, false)
	w.tickAt(effective)
	if w.state(i.ID) != Dropped || w.entries(`"action":"import.dropped"`) != 1 {
		t.Errorf("denied: %s", w.state(i.ID))
	}
	w.want("denied", before)
	next := w.propose("number,name\nK-ito,伊藤 改\n")
	if next.ID == i.ID {
		t.Fatal("the denied proposal came back")
	}
	w.clock.Advance(w.policy.Approval.LapseAfter + time.Minute)
	w.must(w.matters.Lapse(t.Context()))
	w.tick()
	if w.state(next.ID) != Dropped {
		t.Errorf("nobody decided: %s", w.state(next.ID))
	}
}

// TestBeside: who has a concurrent post, or hands something over, opens what belongs to
// that section until it ends; a door hears of the end.
func TestBeside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Applications = []policy.Application{
		{ID: "kyuyo", Zone: policy.LGWAN, Class: 3, Sections: []string{"jinji"}}, {ID: "server", Zone: policy.LGWAN, Class: 3, Sections: []string{"joho"}}, {ID: "zaimu", Zone: policy.LGWAN, Class: 3, Sections: []string{"zaisei"}},
	}
	w.approved(changes)
	w.tick()
	w.tickAt(effective)
	for _, fresh := range []bool{false, true} {
		w.Fresh = func() bool { return fresh }
		w.must(w.Follow(t.Context(), time.Time{}))
		opens := func(id string) (bool, time.Time) {
			p := w.person("tanaka")
			app, _ := w.policy.Application(id)
			f := authz.Facts{
				SignedIn: true, Person: p, Posts: w.policy.PostsOf(p.Groups), ACR: policy.AAL2, AuthAt: w.clock.Now(), SessionEnds: w.clock.Now().AddDate(1, 0, 0),
				Application: app, From: policy.LGWAN, Now: w.clock.Now(),
			}
			w.must(w.Fill(t.Context(), &f))
			v := authz.Decide(w.policy, f)
			return v.Allowed(w.clock.Now()), v.Until
		}
		w.clock.Advance(day("2026-04-10").Sub(w.clock.Now()))
		if ok, until := opens("kyuyo"); !ok || !until.Equal(day("2026-04-11")) {
			t.Errorf("in the handover: %t until %v", ok, until)
		}
		for _, id := range []string{"server", "zaimu"} {
			if ok, _ := opens(id); !ok {
				t.Errorf("%s does not open", id)
			}
		}
	}
	w.at(day("2026-04-11"))
	w.must(w.Follow(t.Context(), w.clock.Now().Add(-time.Minute)))
	f := authz.Facts{Person: w.person("tanaka"), Now: w.clock.Now()}
	w.must(w.Fill(t.Context(), &f))
	if len(f.Beside) != 1 || f.Beside[0].Section != "joho" {
		t.Errorf("after the handover: %+v", f.Beside)
	}
	// The next file ends the concurrent post, and a door hears of it by its poll.
	w.policy.Personnel.PerSecond = 10_000
	next, _, err := w.Propose(t.Context(), "oda", file("number,name,concurrent\nK-tanaka,例 tanaka,なし\n"), time.Time{}, false)
	w.must(err)
	w.decide("kobayashi", next.ID, true)
	w.tick()
	w.must(w.Follow(t.Context(), w.clock.Now().Add(-time.Minute)))
	w.clock.Advance(time.Millisecond)
	f = authz.Facts{Person: w.person("tanaka"), Now: w.clock.Now()}
	if w.must(w.Fill(t.Context(), &f)); len(f.Beside) != 0 {
		t.Errorf("after the next file: %+v", f.Beside)
	}
}

// TestRate: no more lines a second than the policy says.
func TestRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Personnel.PerSecond = 3
	w.approved(changes)
	w.at(effective)
	room, err := w.room(t.Context())
	w.must(err)
	jobs, err := w.due(t.Context(), min(batch, room))
	if err != nil || len(jobs) != 3 {
		t.Fatalf("%d at once, %v", len(jobs), err)
	}
	w.look(t.Context(), jobs)
	jobs, err = w.intend(t.Context(), jobs)
	w.must(err)
	w.must(w.write(t.Context(), jobs))
	_, err = w.settled(t.Context(), jobs)
	w.must(err)
	if room, err := w.room(t.Context()); err != nil || room != 0 {
		t.Errorf("room for %d in the same second, %v", room, err)
	}
	w.clock.Advance(time.Second)
	if room, err := w.room(t.Context()); err != nil || room != 3 {
		t.Errorf("room for %d in the next, %v", room, err)
	}
}

// TestLook: that somebody looked is on the trail, and nothing else is changed.
func TestLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, err := w.Look(t.Context(), "oda", file(changes), effective)
	if err != nil || len(p.Changes) != 7 || w.entries(`"actor":"oda"`) != 1 || w.entries(`"action":"import.viewed"`, `changes.csv`) != 1 || w.entries("nitta") != 0 {
		t.Errorf("%d changes, %v", len(p.Changes), err)
	}
	if n := w.count(`SELECT COUNT(*) FROM personnel_import`); n != 0 {
		t.Error("a dry run was kept")
	}
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO tombstone (login, person_id, at, matter) VALUES ('nitta', 'x', 1, 'm')`)
		return err
	}))
	_, err = w.Look(t.Context(), "oda", file(changes), effective)
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Rule != "used_before" {
		t.Errorf("a login that was given before: %v", err)
	}
}

// TestViewed: each look at an import is on the trail, and a page that is loaded again
// does not fill it.
func TestViewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	for range 3 {
		w.must(w.Viewed(t.Context(), "yoshida", "10.2.0.9", i))
	}
	w.must(w.Viewed(t.Context(), "kobayashi", "10.2.0.9", i))
	if n := w.entries(`"action":"import.viewed"`, "import/"+i.ID); n != 2 {
		t.Errorf("%d entries, want one each", n)
	}
	w.clock.Advance(lookedLately)
	w.must(w.Viewed(t.Context(), "yoshida", "10.2.0.9", i))
	if n := w.entries(`"action":"import.viewed"`, "import/"+i.ID); n != 3 {
		t.Errorf("%d entries later, want 3", n)
	}
}

// TestChecklist: what who leaves has to give back.
func TestChecklist(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO card (id, person_id, authority, serial, name, added_at, last_used_at) VALUES ('c1', $1, 'a', 'S-77', 'カード', 1, 0)`, string(w.person("suzuki").ID))
		return err
	}))
	list := func() []Return {
		t.Helper()
		all, err := w.Checklist(t.Context(), i.ID, 0, 10)
		if err != nil || len(all) != 1 || all[0].Login != "suzuki" || len(all[0].Things) != 1 || all[0].Things[0].ID != "S-77" {
			t.Fatalf("%+v %v", all, err)
		}
		return all
	}
	leaver := list()[0]
	if leaver.Things[0] != (Thing{Kind: "card", ID: "S-77"}) {
		t.Errorf("%+v", leaver)
	}
	by, card := approval.Ref(w.person("yoshida")), []Ticked{{leaver.N, "card", "S-77"}}
	for _, wrong := range [][]Ticked{{{leaver.N, "card", "S-78"}}, {{leaver.N + 1, "card", "S-77"}}, {{0, "card", "S-77"}}} {
		if err := w.GiveBack(t.Context(), by, "10.2.0.9", i.ID, wrong, true); !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v is not on the list: %v", wrong, err)
		}
	}
	for range 2 { // clicked twice is ticked once
		w.must(w.GiveBack(t.Context(), by, "10.2.0.9", i.ID, card, true))
	}
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `DELETE FROM card WHERE id = 'c1'`)
		return err
	}))
	if got := list()[0].Things[0]; got.By != "yoshida" || !got.Back.Equal(w.clock.Now()) {
		t.Errorf("given back, and the card is nobody's any more: %+v", got)
	}
	if n := w.entries(`"actor":"yoshida"`, `"action":"import.returned"`, `"thing":"S-77"`); n != 1 {
		t.Errorf("%d entries", n)
	}
	w.must(w.GiveBack(t.Context(), by, "10.2.0.9", i.ID, card, false))
	if n := w.entries(`"action":"import.return_withdrawn"`); n != 1 {
		t.Errorf("%d entries that it was a mistake", n)
	}
}
