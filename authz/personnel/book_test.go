package personnel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
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
	w.must(w.Tick(t.Context()))
	w.want("proposed", before)
	if again := w.propose(changes); again.ID != i.ID {
		t.Error("the same file for the same day was proposed twice")
	}
	card, err := w.matters.Card(t.Context(), i.ID)
	if err != nil || !strings.Contains(card.Yes.EN, "2026-04-01 00:00") || len(card.Facts) < 8 {
		t.Errorf("the card says %+v, %v", card.Facts, err)
	}
	w.decide("kobayashi", i.ID, true)
	w.must(w.Tick(t.Context()))
	w.want("approved", ahead)
	if p, err := w.Progress(t.Context(), i.ID); err != nil || p.Done != 0 || p.Lines != 7 || !p.Next.Equal(effective) || w.state(i.ID) != Approved {
		t.Errorf("%+v %v", p, err)
	}
	session := w.as("suzuki")
	w.at(effective)
	w.must(w.Tick(t.Context()))
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
	w.must(w.Tick(t.Context()))
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
	w.must(w.Tick(t.Context()))
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

// TestEndsHoldByThemselves (F15): at the turn of the fiscal year in Japan nothing runs,
// and who leaves is shut out at that second, while who is appointed anew is not.
func TestEndsHoldByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, true)
	w.must(w.Tick(t.Context()))
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

// TestDies: whatever dies at whichever line, what is left is gone on with, and comes to
// the same; each act is on the trail once.
func TestDies(t *testing.T) {
	t.Parallel()
	for point, times := range map[string][]int{"intended": {0}, "line": {0, 3, 6}, "confirmed": {0}} {
		for _, n := range times {
			t.Run(fmt.Sprint(point, n), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				i := w.propose(changes)
				w.decide("kobayashi", i.ID, true)
				w.must(w.Tick(t.Context()))
				w.at(effective)
				w.dieAt(point, n)
				if err := w.Tick(t.Context()); !errors.Is(err, errDied) {
					t.Fatalf("it did not die: %v", err)
				}
				other := w.gateway(w.dir)
				w.must(other.Tick(t.Context())) // in another's hands still
				w.clock.Advance(workLasts + time.Second)
				w.must(other.Tick(t.Context()))
				w.want("gone on with", after)
				if n := w.entries(`"action":"person.`); n != 9 {
					t.Errorf("%d entries about people, want 9", n)
				}
			})
		}
	}
}

// TestTwoGateways: however many gateways carry out, each line is done once.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, true)
	w.at(effective)
	gates := []*Book{w.gateway(w.dir), w.gateway(w.dir), w.gateway(w.dir)}
	var wg sync.WaitGroup
	for _, g := range gates {
		wg.Go(func() {
			if err := g.Tick(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.want("carried out", after)
	if n := w.entries(`"action":"person.`); n != 9 {
		t.Errorf("%d entries about people, want 9", n)
	}
}

// TestUndone: within its days an import is turned round by two persons; who was made is
// closed, who left is let in again, and what somebody changed since stays.
func TestUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, true)
	w.must(w.Tick(t.Context()))
	w.at(effective)
	w.must(w.Tick(t.Context()))
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
	w.dieAt("line", 3)
	w.decide("yoshida", asked.UndoMatter, true)
	if err := w.Tick(t.Context()); !errors.Is(err, errDied) {
		t.Fatal(err)
	}
	w.clock.Advance(workLasts + time.Second)
	w.must(w.Tick(t.Context()))
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
	i := w.propose("number,name,section,mail\nK-tanaka,田中 改,zaisei,new@pref.example\n")
	w.decide("kobayashi", i.ID, true)
	w.at(effective)
	w.must(w.Tick(t.Context()))
	section := "joho"
	w.must(w.dir.Amend(t.Context(), w.person("tanaka"), directory.Amendment{Section: &section}))
	asked, err := w.AskUndo(t.Context(), approval.Ref(w.person("kobayashi")), nil, i.ID, "取違え")
	w.must(err)
	w.decide("yoshida", asked.UndoMatter, true)
	w.must(w.Tick(t.Context()))
	if p := w.person("tanaka"); p.Section != "joho" || p.Name != "例 tanaka" || p.Mail != "tanaka@pref.example" {
		t.Errorf("%+v", p)
	}
	w.at(effective.AddDate(0, 0, 8))
	later := w.propose("number,name\nK-ito,伊藤 改\n")
	w.decide("kobayashi", later.ID, true)
	w.must(w.Tick(t.Context()))
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
	w.must(w.Tick(w.Context()))
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
	w.at(effective)
	w.must(w.Tick(t.Context()))
	if s := w.is("kobayashi"); !strings.Contains(s, "+cio") {
		t.Error("not carried out:", s)
	}
}

// TestUndoneGivesNothingMore: what somebody lost by other hands, before the change or
// since, does not come back with what the import took.
func TestUndoneGivesNothingMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, until := range []time.Time{planned, effective} { // undone before the day, and on it
		w.must(w.dir.AddMember(t.Context(), groupOf(policy.SystemOperator), w.person("tanaka").DN))
		i := w.propose("number,name,posts,ends\nK-tanaka,例 tanaka,なし,2026-12-31\n")
		w.decide("kobayashi", i.ID, true)
		w.must(w.Tick(t.Context())) // the end is written ahead
		if s := w.is("tanaka"); !strings.Contains(s, "until 2027-01-01") {
			t.Fatal("no end was written ahead:", s)
		}
		w.must(w.dir.RemoveMember(t.Context(), groupOf(policy.SystemOperator), w.person("tanaka").DN))
		w.at(until)
		w.must(w.Tick(t.Context()))
		w.undo(i.ID)
		if s := w.is("tanaka"); s != "jinji +staff" {
			t.Errorf("at %v, a post that was taken by hand before the day: %s", until, s)
		}
	}
	w.must(w.dir.AddMember(t.Context(), groupOf(policy.SystemOperator), w.person("tanaka").DN))
	next, _, err := w.Propose(t.Context(), "oda", file("number,name,posts\nK-tanaka,例 tanaka,なし\n"), time.Time{}, false)
	w.must(err)
	w.decide("kobayashi", next.ID, true)
	w.must(w.Tick(t.Context()))
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
	w.must(w.Tick(t.Context()))
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

// TestOvertaken: what was decided after an import was planned counts: an end that was set
// sooner is kept, and a login that was somebody's meanwhile is given to nobody.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	sooner := planned.AddDate(0, 0, 2)
	w.must(w.dir.Amend(t.Context(), w.person("kinnen"), directory.Amendment{ExpiresAt: &sooner}))
	w.decide("kobayashi", i.ID, true)
	w.must(w.Tick(t.Context()))
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO tombstone (login, person_id, at, matter) VALUES ('arai', 'x', 1, 'm')`)
		return err
	}))
	w.at(effective)
	w.must(w.Tick(t.Context()))
	if p := w.person("kinnen"); !p.Account.ExpiresAt.Equal(sooner) {
		t.Errorf("an end that was set sooner has become %v", p.Account.ExpiresAt)
	}
	if s := w.is("arai"); s != "nobody" {
		t.Errorf("a login was given again: %s", s)
	}
	lines, err := w.Lines(t.Context(), i.ID, Joins, 0, 10)
	w.must(err)
	if says := lines[len(lines)-1].Problem(); lines[len(lines)-1].Step != "failed" || !strings.Contains(says.JA, "ログイン") || !strings.Contains(says.EN, "login") {
		t.Errorf("%s: %+v", lines[len(lines)-1].Step, says)
	}
	if says := (Standing{Error: "LDAP Result Code 53 at ldap://10.0.0.1"}).Problem(); says.JA == "" || strings.Contains(says.EN, "10.0.0.1") {
		t.Errorf("%+v", says)
	}
}

// TestNotApproved: what is denied, and what nobody decides, does nothing.
func TestNotApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, false)
	w.at(effective)
	w.must(w.Tick(t.Context()))
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
	w.must(w.Tick(t.Context()))
	if w.state(next.ID) != Dropped {
		t.Errorf("nobody decided: %s", w.state(next.ID))
	}
}

// TestOneLineFails: a line that cannot be carried out is named, and keeps back no other.
func TestOneLineFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, true)
	w.must(w.Tick(t.Context()))
	_, err := w.dir.Create(t.Context(), directory.NewPerson{Login: "nitta", Name: "別の人", Kind: directory.KindStaff, Number: "K-other"})
	w.must(err)
	w.must(w.dir.Delete(t.Context(), w.person("modori")))
	w.at(effective)
	w.must(w.Tick(t.Context()))
	p, err := w.Progress(t.Context(), i.ID)
	if err != nil || p.Failed != 2 || p.Done != 5 {
		t.Errorf("%+v %v", p, err)
	}
	if got := w.person("nitta"); got.Number != "K-other" || got.Section != "" {
		t.Errorf("somebody else was changed: %+v", got)
	}
	if w.entries(`"action":"import.line_failed"`) != 2 {
		t.Error("the trail does not say so")
	}
}

// TestAway: while the directory is away, lines wait, and are carried out when it is back.
func TestAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, true)
	w.at(effective)
	gone := &away{Directory: w.dir, gone: true}
	w.Book = w.gateway(gone)
	w.must(w.Tick(t.Context()))
	w.want("away", before)
	gone.set(false)
	w.clock.Advance(time.Minute)
	w.must(w.Tick(t.Context()))
	w.want("back", after)
}

// away is a directory that may be away.
type away struct {
	Directory
	mu   sync.Mutex
	gone bool
}

func (a *away) Amend(ctx context.Context, p directory.Person, d directory.Amendment) error {
	if err := a.state(); err != nil {
		return err
	}
	return a.Directory.Amend(ctx, p, d)
}

func (a *away) Create(ctx context.Context, n directory.NewPerson) (directory.Person, error) {
	if err := a.state(); err != nil {
		return directory.Person{}, err
	}
	return a.Directory.Create(ctx, n)
}

func (a *away) set(gone bool) { a.mu.Lock(); a.gone = gone; a.mu.Unlock() }

// TestBeside: who has a concurrent post, or hands something over, opens what belongs to
// that section until it ends; a door hears of the end.
func TestBeside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Applications = []policy.Application{
		{ID: "kyuyo", Zone: policy.LGWAN, Class: 3, Sections: []string{"jinji"}}, {ID: "server", Zone: policy.LGWAN, Class: 3, Sections: []string{"joho"}}, {ID: "zaimu", Zone: policy.LGWAN, Class: 3, Sections: []string{"zaisei"}},
	}
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, true)
	w.must(w.Tick(t.Context()))
	w.at(effective)
	w.must(w.Tick(t.Context()))
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
	w.must(w.Tick(t.Context()))
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
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, true)
	w.at(effective)
	room, err := w.room(t.Context())
	w.must(err)
	jobs, err := w.due(t.Context(), min(batch, room))
	if err != nil || len(jobs) != 3 {
		t.Fatalf("%d at once, %v", len(jobs), err)
	}
	_, err = w.carry(t.Context(), jobs)
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
	list, err := w.Checklist(t.Context(), i.ID)
	if err != nil || len(list) != 1 || list[0].Login != "suzuki" || len(list[0].Things) != 1 || list[0].Things[0] != (Thing{"card", "S-77"}) {
		t.Errorf("%+v %v", list, err)
	}
}

func (a *away) state() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return directory.ErrAway
	}
	return nil
}
