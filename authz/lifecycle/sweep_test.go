package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/standing"
	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestStages is the life of an ID that nobody uses, beside others.
func TestStages(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		member{login: "tanaka", used: t0}, member{login: "suzuki", used: t0.AddDate(9, 0, 0)}, member{login: "never", made: t0},
		member{login: "hayashi", kind: "contractor", used: t0}, member{login: "gone", used: t0, more: map[string][]string{"pwdAccountLockedTime": {"000001010000Z"}}},
		member{login: "mori", used: t0}, member{login: "batch", kind: "service", used: t0, number: "K-1"},
	)
	w.policy.Dormancy.Exemptions = []policy.DormancyExemption{{Login: "batch", Owner: "yamamoto", Reason: policy.Words{JA: "年に一度"}, Until: "2030-03-31"}}
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return standing.Set(t.Context(), tx, w.person("mori").ID, standing.OnLeave, t0, time.Time{}, "育休", "sato")
	}))
	w.on(0)
	if s := w.sweep(); s.Slot != firstSlot || s.State != Finished || s.ToWarn+s.Warned != 0 {
		t.Fatalf("a new store began with %+v", s)
	}
	session := w.as("tanaka").SessionID
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE session SET seen_at = $1, started_at = $1, expires_at = $2, idle_expires_at = $2 WHERE id = $3`, store.Micros(t0.AddDate(0, 0, 5)), store.Micros(t0.AddDate(2, 0, 0)), session)
		return err
	}))

	w.on(30)
	if s := w.sweep(); s.State != Finished || s.People != len(officials)+7 || s.Warned != 1 || s.Disabled != 0 {
		t.Errorf("after 30 days: %+v", s)
	}
	w.isStage("hayashi", rowWarned)
	w.on(60)
	if s := w.sweep(); s.Warned != 1 || s.Disabled != 1 {
		t.Errorf("after 60 days: %+v", s)
	}
	w.isStage("hayashi", rowDisabled)
	w.isStage("never", rowWarned)
	w.isStage("tanaka", "")
	w.on(65)
	w.sweep()
	w.isStage("tanaka", rowWarned)
	w.on(66)
	w.sweep() // nobody is told twice
	w.on(90)
	w.sweep()
	w.isStage("never", rowDisabled)
	w.isStage("tanaka", rowWarned)
	w.on(95)
	w.sweep()
	w.isStage("tanaka", rowDisabled)
	for login, want := range map[string]int{"hayashi": 1, "never": 1, "tanaka": 1, "suzuki": 0, "gone": 0, "mori": 0, "batch": 0} {
		if n, m := w.told(login, notice.DormancyWarned), w.told(login, notice.DormancyClosed); n != want || m != want {
			t.Errorf("%s was warned %d times and told of the end %d times, want %d", login, n, m, want)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM session WHERE id = $1 AND ended_at = 0`, session); n != 0 {
		t.Error("a session goes on")
	}
	if w.entries("dormancy.disabled", "tanaka", "62-5") != 1 || w.entries("dormancy.confirmed", "tanaka") != 1 || w.entries("sweep.done") == 0 {
		t.Error("the trail does not have it")
	}

	// A year later somebody is asked, and says yes.
	w.on(180)
	s := w.sweep()
	if s.Proposed != 1 {
		t.Fatalf("after 180 days: %+v", s)
	}
	matter := func(login string) string {
		r, err := rowOf(t.Context(), w.db, w.person(login).ID)
		w.must(err)
		if r.stage != rowDeleting || r.matter == "" {
			t.Fatalf("%s: %+v", login, r)
		}
		return r.matter
	}
	card, err := w.matters.Card(t.Context(), matter("hayashi"))
	if err != nil || len(card.Facts) != 1 || !strings.Contains(card.Facts[0].Value, "hayashi") {
		t.Errorf("the card: %+v, %v", card.Facts, err)
	}
	w.decide("yamamoto", matter("hayashi"), true)
	w.must(w.Effects(t.Context()))
	if matter("hayashi") == "" { // one alone deletes nothing
		t.Fatal("hayashi is not proposed any more")
	}
	w.decide("kobayashi", matter("hayashi"), true)
	w.must(w.Effects(t.Context()))
	if _, err := w.dir.Find(t.Context(), "hayashi"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("hayashi after the decision: %v", err)
	}
	for login, want := range map[string]bool{"HAYASHI": true, "tanaka": false} {
		if taken, err := Taken(t.Context(), w.db, login); err != nil || taken != want {
			t.Errorf("%s taken: %t, %v", login, taken, err)
		}
	}
	// Another is kept by a no, and not asked about again for a while.
	w.on(365)
	w.sweep()
	w.decide("yamamoto", matter("never"), false)
	w.isStage("never", rowDisabled)
	w.on(366)
	w.sweep()
	w.isStage("never", rowDisabled)
	w.on(366 + w.policy.Dormancy.ReviewDays)
	w.sweep()
	matter("never")
}

// TestTheFirstOnlyLooks: a new store tells nobody at once, however old what it finds.
func TestTheFirstOnlyLooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0.AddDate(-1, 0, 0)})
	if s := w.sweep(); s.Slot != firstSlot || s.State != Finished || s.Warned != 0 {
		t.Errorf("%+v", s)
	}
	if n := w.count(`SELECT COUNT(*) FROM sweep_entry WHERE stage = 'warned' AND act = ''`); n != 1 {
		t.Errorf("%d entries, want that of tanaka", n)
	}
	w.on(1)
	if s := w.sweep(); s.Warned != 1 {
		t.Errorf("the day after: %+v", s)
	}
}

// TestUsedMeanwhile: what was read is asked again before anything is done.
func TestUsedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0})
	w.must(w.Tick(t.Context()))
	w.on(60)
	w.sweep()
	w.on(90)
	w.death.Once("act", 0)
	if err := w.Tick(t.Context()); !errors.Is(err, authztest.ErrDied) {
		t.Fatal(err)
	}
	w.as("tanaka") // signs in at one of our doors
	if s := w.sweep(); s.State != Finished || s.Disabled != 0 || s.PassedOver != 1 {
		t.Errorf("%+v", s)
	}
	w.isStage("tanaka", rowWarned)
	w.on(140)
	w.sweep()
	if n := w.told("tanaka", notice.DormancyWarned); n != 1 {
		t.Errorf("warned %d times before the next 60 days were over", n)
	}
	w.on(150)
	w.sweep()
	if n := w.told("tanaka", notice.DormancyWarned); n != 2 {
		t.Errorf("warned %d times after the next 60 days", n)
	}
	w.isStage("tanaka", rowWarned)
}

// TestOnceADay: however many gates look, and however many days were missed.
func TestOnceADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0}, member{login: "suzuki", used: t0})
	gates := []*Book{w.Book, w.gateway(w.dir), w.gateway(w.dir)}
	for _, days := range []int{0, 60, 61, 90, 300} {
		w.on(days)
		var wg sync.WaitGroup
		for _, g := range gates {
			for range 3 {
				wg.Go(func() {
					if err := g.Tick(context.Background()); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
	}
	w.must(w.Tick(t.Context()))
	if n, slots := w.count(`SELECT COUNT(*) FROM sweep WHERE state = 'done'`), w.count(`SELECT COUNT(DISTINCT slot) FROM sweep`); n != 5 || slots != 5 {
		t.Errorf("%d sweeps of %d days, want one on each of 5", n, slots)
	}
	for _, login := range []string{"tanaka", "suzuki"} {
		w.isStage(login, rowDisabled)
		if w.told(login, notice.DormancyWarned) != 1 || w.told(login, notice.DormancyClosed) != 1 {
			t.Errorf("%s was told more than once", login)
		}
	}
}

// TestAnswersThatAreNone: F8. Nothing is done by them.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	var people []member
	for i := range 60 {
		people = append(people, member{login: fmt.Sprintf("staff%02d", i), used: t0.AddDate(9, 0, 0)})
	}
	people = append(people, member{login: "tanaka", used: t0})
	w := newWorld(t, people...)
	w.must(w.Tick(t.Context()))
	w.on(59)
	if s := w.sweep(); s.State != Finished || s.People != 65 {
		t.Fatalf("%+v", s)
	}
	cut := func(after int, err error) func(context.Context, func(directory.Person) error, func(context.Context, func(directory.Person) error) error) error {
		return func(ctx context.Context, each func(directory.Person) error, real func(context.Context, func(directory.Person) error) error) error {
			n := 0
			failed := real(ctx, func(p directory.Person) error {
				if n++; n > after {
					return nil
				}
				return each(p)
			})
			return errors.Join(failed, err)
		}
	}
	day := 60
	for _, tt := range []struct {
		name  string
		dir   *broken
		state State
		why   string
		err   error
	}{
		{"empty", &broken{w.dir, cut(0, nil)}, Halted, string(Empty), nil},
		{"half of it", &broken{w.dir, cut(30, nil)}, Halted, string(Differs), nil},
		{"cut short", &broken{w.dir, cut(64, directory.ErrTruncated)}, Reading, "cut short", directory.ErrTruncated},
		{"away", &broken{w.dir, cut(10, directory.ErrAway)}, Reading, "away", directory.ErrAway},
	} {
		w.on(day)
		day++
		g := w.gateway(tt.dir)
		if err := g.Tick(t.Context()); !errors.Is(err, tt.err) || tt.err == nil && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if s := w.newest(); s.State != tt.state || !strings.Contains(s.Why, tt.why) || s.Warned != 0 {
			t.Errorf("%s: %+v", tt.name, s)
		}
		w.isStage("tanaka", "")
	}
	// The directory is well again: the same day's sweep is gone on with.
	w.clock.Advance(restAfter)
	if s := w.sweep(); s.State != Finished || s.Warned != 1 {
		t.Errorf("afterwards: %+v", s)
	}
	w.isStage("tanaka", rowWarned)
	if w.entries("sweep.stopped", "empty") != 1 || w.entries("sweep.stopped", "differs") != 1 {
		t.Error("the trail does not say that it stopped")
	}
}

// TestManyAtOnce: somebody is asked, whose word counts for that sweep.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	var people []member
	many := policy.Standard().Dormancy.StopFew + 1
	for i := range many {
		people = append(people, member{login: fmt.Sprintf("staff%02d", i), used: t0})
	}
	w := newWorld(t, people...)
	w.must(w.Tick(t.Context()))
	w.on(60)
	s := w.sweep()
	if s.State != Halted || s.Why != string(TooMany) || s.Matter == "" || w.count(`SELECT COUNT(*) FROM dormancy`) != 0 {
		t.Fatalf("%+v", s)
	}
	if w.told("yamamoto", notice.RequestWaits) != 1 {
		t.Error("nobody was asked")
	}
	w.decide("yamamoto", s.Matter, false)
	if s = w.sweep(); s.State != Dropped || w.count(`SELECT COUNT(*) FROM dormancy`) != 0 {
		t.Errorf("after a no: %+v", s)
	}
	w.on(61)
	old := w.sweep()
	w.on(62)
	s = w.sweep() // the day before's is over: it is asked anew
	if s.State != Halted || s.ID == old.ID {
		t.Fatalf("%+v", s)
	}
	if _, err := w.matters.Decide(t.Context(), w.as("yamamoto"), old.Matter, true, ""); err == nil {
		t.Error("what is over was approved")
	}
	w.decide("kobayashi", s.Matter, true)
	if s = w.sweep(); s.State != Finished || s.Warned != many {
		t.Errorf("after a yes: %+v", s)
	}
	// By hand it is the same.
	w.on(100)
	_, err := w.ByHand(t.Context(), "operator", w.clock.Now(), false, nil)
	var stopped *Stopped
	if !errors.As(err, &stopped) || stopped.Why != TooMany || stopped.Matter == "" {
		t.Errorf("by hand: %v", err)
	}
	if _, _, err := w.Look(t.Context(), w.clock.Now(), nil, func(Entry) error { return nil }); !errors.As(err, &stopped) || stopped.Matter != "" {
		t.Errorf("a look: %v", err)
	}
}

// TestDies: a gate that dies at any point leaves a sweep that another finishes, with
// each thing done once.
func TestDies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		point string
		after int
	}{
		{"reading", 0}, {"entries", 0}, {"read", 0}, {"act", 0}, {"act", 3}, {"acted", 0}, {"acted", 2}, {"effect", 0}, {"effect", 1}, {"applied", 0}, {"applied", 1}, {"finishing", 0},
	} {
		t.Run(fmt.Sprintf("%s %d", tt.point, tt.after), func(t *testing.T) {
			t.Parallel()
			people := []member{{login: "tanaka", used: t0}, {login: "suzuki", used: t0}, {login: "ito", used: t0.AddDate(0, 0, 30)}, {login: "kato", used: t0.AddDate(0, 0, 30)}}
			w := newWorld(t, people...)
			w.must(w.Tick(t.Context()))
			w.on(60)
			w.sweep()
			w.on(90) // two are closed, two are warned
			w.death.Once(tt.point, tt.after)
			if err := w.Tick(t.Context()); tt.point != "effect" && tt.point != "applied" && !errors.Is(err, authztest.ErrDied) {
				t.Fatalf("Tick = %v", err)
			}
			w.Book = w.gateway(w.dir) // another
			w.clock.Advance(2 * claimLasts)
			s := w.sweep()
			w.must(w.Effects(t.Context()))
			if s.State != Finished || s.Warned != 2 || s.Disabled != 2 {
				t.Errorf("%+v", s)
			}
			for login, stage := range map[string]string{"tanaka": rowDisabled, "suzuki": rowDisabled, "ito": rowWarned, "kato": rowWarned} {
				w.isStage(login, stage)
				if w.told(login, notice.DormancyWarned) != 1 {
					t.Errorf("%s was warned %d times", login, w.told(login, notice.DormancyWarned))
				}
			}
			if n := w.entries("dormancy.disabled"); n != 2 {
				t.Errorf("%d entries that an ID was closed, want 2", n)
			}
			if n := w.entries("sweep.done"); n != 3 {
				t.Errorf("%d entries that a sweep is done, want 3", n)
			}
		})
	}
}

// TestFrozen: who wakes after another has taken the sweep does nothing more.
func TestFrozen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0}, member{login: "suzuki", used: t0})
	w.must(w.Tick(t.Context()))
	w.on(60)
	other := w.gateway(w.dir)
	frozen := w.gateway(w.dir)
	woken := false
	frozen.Stop = func(point string) error {
		if point == "act" && !woken {
			woken = true
			w.clock.Advance(2 * claimLasts)
			return other.Tick(t.Context())
		}
		return nil
	}
	w.must(frozen.Tick(t.Context()))
	if s := w.newest(); s.State != Finished || s.Warned != 2 || !woken {
		t.Errorf("%+v", s)
	}
	if w.told("tanaka", notice.DormancyWarned) != 1 || w.told("suzuki", notice.DormancyWarned) != 1 {
		t.Error("somebody was told twice")
	}
}

// TestReopen: the count begins anew, and the directory follows, whatever comes between.
func TestReopen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0})
	w.must(w.Tick(t.Context()))
	for _, day := range []int{60, 90} {
		w.on(day)
		w.sweep()
	}
	w.isStage("tanaka", rowDisabled)
	tanaka := w.person("tanaka")
	open := func() error {
		return w.db.WithTx(t.Context(), func(tx *store.Tx) error {
			if err := standing.Lift(t.Context(), tx, tanaka.ID, standing.Dormant, w.clock.Now()); err != nil {
				return err
			}
			return w.Reopen(t.Context(), tx, tanaka)
		})
	}
	w.must(open())
	if p := w.person("tanaka"); !p.Account.Disabled {
		t.Error("opened in the directory before anybody did: the test shows nothing")
	}
	w.must(w.Bring(t.Context(), tanaka.ID))
	w.isStage("tanaka", rowOpen)
	for _, tt := range []struct {
		day   int
		stage string
	}{{91, rowOpen}, {149, rowOpen}, {150, rowWarned}, {179, rowWarned}, {180, rowDisabled}} {
		w.on(tt.day)
		w.sweep()
		w.isStage("tanaka", tt.stage)
	}
	// A gate that is slow to close what was opened meanwhile has it opened again.
	w.must(open())
	w.must(w.Bring(t.Context(), tanaka.ID))
	w.on(240)
	w.sweep()
	w.on(270)
	slow := w.gateway(w.dir)
	once := false
	slow.Stop = func(point string) error {
		if point == "effect" && !once {
			once = true
			w.clock.Advance(time.Second)
			return open()
		}
		return nil
	}
	w.must(slow.Tick(t.Context()))
	w.clock.Advance(workLasts)
	w.must(w.Effects(t.Context()))
	if !once {
		t.Fatal("nobody opened it meanwhile")
	}
	w.isStage("tanaka", rowOpen)
}

// TestDirectoryAway: what was intended is brought about when it is back.
func TestDirectoryAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0})
	w.must(w.Tick(t.Context()))
	w.on(60)
	w.sweep()
	w.on(90)
	refuse := true
	d := &denying{Directory: w.dir, refuse: &refuse}
	w.Book = w.gateway(d)
	w.sweep()
	tanaka := w.person("tanaka")
	if closed, err := standing.Closed(t.Context(), w.db, tanaka.ID, w.clock.Now()); err != nil || !closed || tanaka.Account.Disabled {
		t.Errorf("closed here %t, %v, in the directory %t", closed, err, tanaka.Account.Disabled)
	}
	for range stubborn {
		w.clock.Advance(time.Minute)
		_ = w.Effects(t.Context()) // fails, which is what is looked at
	}
	found, err := w.Findings(t.Context(), 10)
	if err != nil || len(found) != 1 || found[0].Kind != NotClosed || found[0].Login != "tanaka" {
		t.Errorf("findings: %+v, %v", found, err)
	}
	refuse = false
	w.clock.Advance(time.Hour)
	w.must(w.Effects(t.Context()))
	w.isStage("tanaka", rowDisabled)
	if found, err := w.Findings(t.Context(), 10); err != nil || len(found) != 0 {
		t.Errorf("findings: %+v, %v", found, err)
	}
}

type denying struct {
	Directory
	refuse *bool
}

func (d *denying) Disable(ctx context.Context, p directory.Person) error {
	if *d.refuse {
		return directory.ErrDenied
	}
	return d.Directory.Disable(ctx, p)
}

// TestFindings: what a sweep notices beside, until it is so no more.
func TestFindings(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		member{login: "batch", kind: "service", used: t0.AddDate(9, 0, 0)}, member{login: "kiosk", kind: "shared", used: t0.AddDate(9, 0, 0), number: "K-1"}, member{login: "owner", used: t0.AddDate(9, 0, 0), number: "K-1"},
		member{login: "shimizu", made: t0, more: map[string][]string{"pwdReset": {"TRUE"}}},
	)
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO card (id, person_id, authority, serial, name, added_at, last_used_at) VALUES ('c', '00000000-0000-0000-0000-000000000001', 'a', 's', 'n', 1, 1)`)
		return err
	}))
	w.must(w.Tick(t.Context()))
	w.on(2)
	w.sweep()
	kinds := func() map[FindingKind]string {
		found, err := w.Findings(t.Context(), 10)
		w.must(err)
		out := map[FindingKind]string{}
		for _, f := range found {
			out[f.Kind] = f.Login
		}
		return out
	}
	got := kinds()
	if len(got) != 3 || got[NoOwner] != "batch" || got[Temporary] != "shimizu" {
		t.Errorf("found %v", got)
	}
	if _, ok := got[Orphan]; !ok {
		t.Errorf("the factor of nobody was not found: %v", got)
	}
	w.must(w.dir.Delete(t.Context(), w.person("batch")))
	w.on(3)
	w.sweep()
	if got := kinds(); got[NoOwner] != "" {
		t.Errorf("still found: %v", got)
	}
}

// TestUses: systems out of reach tell by a file.
func TestUses(t *testing.T) {
	t.Parallel()
	now := after(60, 12)
	for _, tt := range []struct {
		name, file string
		fields     string
		uses       int
	}{
		{"as Excel writes it", "\ufefflogin,system,last_used\r\ntanaka,税,2026-05-29\r\nSuzuki,税,2026/05/01\r\n", "", 2},
		{"with a time", "system,last_used,login\n税,2026-05-29T10:00:00+09:00,tanaka\n", "", 1},
		{"no names", "tanaka,税,2026-05-29\n", "login", 0},
		{"nothing", "", "login", 0},
		{"bad lines", "login,system,last_used\n,税,2026-05-29\ntanaka,,x\ntanaka,税,2030-01-01\n", "login system last_used last_used", 0},
		{"no CSV", "login,system,last_used\n\"tanaka\n", "login", 0},
	} {
		uses, err := ReadUses(strings.NewReader(tt.file), now)
		var faults Faults
		if errors.As(err, &faults) != (tt.fields != "") || len(uses) != tt.uses {
			t.Errorf("%s: %d uses, %v", tt.name, len(uses), err)
		}
		var fields []string
		for _, f := range faults {
			fields = append(fields, f.Field)
		}
		if strings.Join(fields, " ") != tt.fields {
			t.Errorf("%s: refused %v, want %s", tt.name, fields, tt.fields)
		}
	}
	w := newWorld(t, member{login: "tanaka", used: t0}, member{login: "suzuki", used: t0})
	w.must(w.Tick(t.Context()))
	w.on(60)
	w.must(w.Tell(t.Context(), "operator", []Use{{"tanaka", "税", w.clock.Now().AddDate(0, 0, -3)}}))
	w.must(w.Tell(t.Context(), "operator", []Use{{"tanaka", "税", t0}})) // known to be later
	w.sweep()
	w.isStage("tanaka", "")
	w.isStage("suzuki", rowWarned)
}

// TestCounts: every figure has its entries behind it.
func TestCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "a", used: t0}, member{login: "b", used: t0.AddDate(0, 0, 25)}, member{login: "c", used: t0.AddDate(0, 0, 40)}, member{login: "d", made: t0}, member{login: "e", kind: "contractor", used: t0})
	w.must(w.Tick(t.Context()))
	w.on(60)
	s := w.sweep()
	counts, err := w.Counts(t.Context(), s.ID)
	w.must(err)
	got := map[string]int{}
	for _, c := range counts {
		got[string(c.Class)+" "+string(c.Age)] = c.N
	}
	want := map[string]int{"privileged under_30": len(officials), "staff 60_to_89": 1, "staff 30_to_59": 1, "staff under_30": 1, "staff never": 1, "contractor 60_to_89": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counts %v, want %v", got, want)
	}
	ages := map[string]int{}
	w.must(w.Each(t.Context(), s.ID, func(e Entry) error {
		age := AgeOf(Judgement{Unused: e.Unused, LastUse: e.LastUse})
		ages[string(e.Class)+" "+string(age)]++
		return nil
	}))
	for key, n := range ages {
		if got[key] != n {
			t.Errorf("%s: %d entries behind the figure %d", key, n, got[key])
		}
	}
	if len(ages) != 4 {
		t.Errorf("entries of %v", ages)
	}
}
