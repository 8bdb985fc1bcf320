package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/policy"
	"sekisho/policy/store"
)

// guarding is a directory that guards some IDs itself.
type guarding struct {
	Directory
	logins map[string]bool
}

func (g *guarding) Stream(ctx context.Context, each func(directory.Person) error) error {
	return g.Directory.Stream(ctx, func(p directory.Person) error {
		p.Protected = g.logins[p.Login]
		return each(p)
	})
}

func (g *guarding) ByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	p, err := g.Directory.ByID(ctx, id)
	p.Protected = g.logins[p.Login]
	return p, err
}

// TestHeldBack: whoever is held is neither warned nor closed, and is listed with the
// reason.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0}, member{login: "emergency-1", used: t0}, member{login: "krbtgt", used: t0},
		member{login: "mori", used: t0}, member{login: "saito", used: t0}, member{login: "sekisho", used: t0})
	w.sealed = register{"emergency-1"}
	g := &guarding{w.dir, map[string]bool{"krbtgt": true}}
	w.Book = w.gateway(g)
	w.Own = embeddedtest.PersonDN("sekisho")
	w.must(w.Tick(t.Context()))
	w.must(w.leave("mori", t0, time.Time{}))
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return standing.Set(t.Context(), tx, w.person("saito").ID, standing.Suspended, t0, time.Time{}, "調査", "sato")
	}))
	for _, day := range []int{60, 100, 400} {
		w.on(day)
		w.sweep()
	}
	want := map[string]Hold{"emergency-1": Sealed, "krbtgt": Guarded, "mori": OnLeave, "saito": Suspended, "sekisho": Own, "tanaka": ""}
	got := map[string]Hold{}
	w.must(w.Each(t.Context(), w.newest().ID, func(e Entry) error { got[e.Login] = e.Hold; return nil }))
	for login, hold := range want {
		listed, ok := got[login]
		if listed != hold || !ok {
			t.Errorf("%s is listed %t with %q, want %q", login, ok, listed, hold)
		}
		if login == "tanaka" {
			continue
		}
		if p := w.person(login); p.Account.Disabled || w.told(login, notice.DormancyWarned) != 0 {
			t.Errorf("%s: disabled %t, warned %d times", login, p.Account.Disabled, w.told(login, notice.DormancyWarned))
		}
	}
	w.isStage("tanaka", rowDeleting)
	// One who comes under the directory's guard after it was judged is not written to.
	g.logins["tanaka"] = true
	w.decide("yamamoto", w.matter("tanaka"), true)
	w.decide("kobayashi", w.matter("tanaka"), true)
	w.must(w.Effects(t.Context()))
	w.isStage("tanaka", rowDisabled)
}

// matter is that which proposes somebody's deletion.
func (w *world) matter(login string) string {
	w.Helper()
	r, err := rowOf(w.Context(), w.db, w.person(login).ID)
	w.must(err)
	if r.matter == "" {
		w.Fatalf("nobody is asked about %s: %+v", login, r)
	}
	return r.matter
}

// TestOwners: who answers for an ID of a program is told, and where nobody is, the ID is
// a finding and stays open.
func TestOwners(t *testing.T) {
	t.Parallel()
	none := map[string][]string{"mail": {}}
	always := t0.AddDate(9, 0, 0)
	w := newWorld(t,
		member{login: "ito", used: always, number: "100"}, member{login: "batch", kind: "service", used: t0, number: "100", more: none},
		member{login: "orphan", kind: "service", used: t0, number: "200", more: none}, member{login: "nameless", kind: "shared", used: t0, more: none},
		member{login: "left", used: always, number: "300", more: map[string][]string{"pwdAccountLockedTime": {"000001010000Z"}}},
		member{login: "legacy", kind: "service", used: t0, number: "300", more: none}, member{login: "kiosk", kind: "shared", used: t0},
	)
	w.must(w.Tick(t.Context()))
	for _, day := range []int{60, 90} {
		w.on(day)
		w.sweep()
	}
	for login, stage := range map[string]string{"batch": rowDisabled, "kiosk": rowDisabled, "orphan": "", "nameless": "", "legacy": ""} {
		w.isStage(login, stage)
	}
	if a, b := w.told("ito", notice.OwnedWarned), w.told("ito", notice.OwnedClosed); a != 1 || b != 1 {
		t.Errorf("the owner was warned %d times and told of the end %d times, want once each", a, b)
	}
	found := map[string]int{}
	all, err := w.Findings(t.Context(), 50)
	w.must(err)
	for _, f := range all {
		found[string(f.Kind)+" "+f.Login]++
	}
	for _, login := range []string{"orphan", "nameless", "legacy"} {
		if found["nobody_told "+login] != 1 || found["no_owner "+login] != 1 {
			t.Errorf("%s is not found: %v", login, found)
		}
	}
	if w.entries("dormancy.held", "orphan", "no_owner") == 0 {
		t.Error("the trail does not say why")
	}
}

// TestDeletionIsJudgedAnew: right before it is done, and with two who said yes.
func TestDeletionIsJudgedAnew(t *testing.T) {
	t.Parallel()
	people := []member{{login: "used", used: t0}, {login: "leave", used: t0}, {login: "exempt", used: t0}, {login: "sealed", used: t0}, {login: "gone", used: t0}, {login: "told", used: t0}}
	w := newWorld(t, people...)
	w.must(w.Tick(t.Context()))
	for _, day := range []int{60, 90, 365} {
		w.on(day)
		w.sweep()
	}
	m := w.matter("used")
	w.decide("yamamoto", m, true)
	_, _ = w.matters.Decide(t.Context(), w.as("yamamoto"), m, true, "もう一度") // said twice, or refused: one person all the same
	if w.entries("dormancy.deletion_approved") != 0 {
		t.Error("one person was two")
	}
	w.decide("yoshida", m, true)
	w.as("used")
	w.must(w.leave("leave", w.clock.Now(), time.Time{}))
	w.policy.Dormancy.Exemptions = []policy.DormancyExemption{{Login: "exempt", Owner: "yamamoto", Reason: policy.Words{JA: "要る"}, Until: "2030-03-31"}}
	w.sealed = register{"sealed"}
	w.must(w.Tell(t.Context(), "operator", []Use{{"told", "税", w.clock.Now().Add(-time.Hour)}}))
	w.must(w.Effects(t.Context()))
	for _, p := range people {
		_, err := w.dir.Find(t.Context(), p.login)
		taken, also := Taken(t.Context(), w.db, p.login)
		w.must(also)
		if gone := errors.Is(err, directory.ErrNotFound); gone != (p.login == "gone") || taken != gone {
			t.Errorf("%s: gone %t, its login taken %t (%v)", p.login, gone, taken, err)
		}
	}
	for _, hold := range []Hold{OnLeave, Exempt, Sealed} {
		if w.entries("dormancy.kept", string(hold)) != 1 {
			t.Errorf("the trail does not say that one was kept as %s", hold)
		}
	}
	if n := w.entries("dormancy.kept"); n != 3 { // the others are told as used since
		t.Errorf("%d entries that a deletion was not done, want 3", n)
	}
}

// failing is a directory that cannot read one ID by itself.
type failing struct {
	Directory
	login string
	err   error
	away  bool
}

func (f *failing) ByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	p, err := f.Directory.ByID(ctx, id)
	if f.away || p.Login == f.login {
		return directory.Person{}, f.err
	}
	return p, err
}

func (f *failing) Ping(ctx context.Context) error {
	if f.away {
		return f.err
	}
	return f.Directory.Ping(ctx)
}

// TestOneThatFails: keeps nobody waiting, is tried again across gates, and is a finding
// until it comes right.
func TestOneThatFails(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{directory.ErrAway, errors.New("what no one has thought of")} {
		t.Run(cause.Error(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, member{login: "tanaka", used: t0}, member{login: "suzuki", used: t0}, member{login: "ito", used: t0})
			w.must(w.Tick(t.Context()))
			w.on(60)
			bad := &failing{w.dir, "suzuki", cause, false}
			for i := range tries {
				w.must(w.gateway(bad).Tick(t.Context()))
				w.isStage("tanaka", rowWarned)
				w.isStage("ito", rowWarned)
				if s := w.newest(); (s.State == Finished) != (i == tries-1) || s.Warned != 2 {
					t.Fatalf("after %d tries: %+v", i+1, s)
				}
				w.must(w.gateway(bad).Tick(t.Context())) // nobody tries it again at once
				w.clock.Advance(tryAgain)
			}
			if s := w.newest(); s.Failed != 1 {
				t.Errorf("%+v", s)
			}
			found, err := w.Findings(t.Context(), 10)
			if err != nil || len(found) != 1 || found[0].Kind != NotDealt || found[0].Login != "suzuki" || w.entries("dormancy.failed", "suzuki") != 1 {
				t.Errorf("found %+v, %v", found, err)
			}
			w.on(61)
			w.Book = w.gateway(w.dir)
			if s := w.sweep(); s.Warned != 1 || s.Failed != 0 {
				t.Errorf("when it is well again: %+v", s)
			}
			if found, err := w.Findings(t.Context(), 10); err != nil || len(found) != 0 {
				t.Errorf("found %+v, %v", found, err)
			}
		})
	}
}

// TestAwayIsNobodysFault: while the whole directory is away, nobody's tries are counted.
func TestAwayIsNobodysFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0}, member{login: "suzuki", used: t0})
	w.must(w.Tick(t.Context()))
	w.on(60)
	bad := &failing{w.dir, "", directory.ErrAway, true}
	for range tries + 2 {
		if err := w.gateway(bad).Tick(t.Context()); !errors.Is(err, directory.ErrAway) {
			t.Fatal(err)
		}
		w.clock.Advance(restAfter)
	}
	if s := w.sweep(); s.State != Finished || s.Warned != 2 || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

// TestFewerDates: a directory that stops writing down who was used is asked about before
// anybody is warned by it.
func TestFewerDates(t *testing.T) {
	t.Parallel()
	var people []member
	for i := range 20 {
		people = append(people, member{login: fmt.Sprintf("staff%02d", i), used: t0})
	}
	w := newWorld(t, people...)
	w.must(w.Tick(t.Context()))
	w.on(1)
	w.sweep()
	w.on(2)
	w.Book = w.gateway(&broken{w.dir, func(ctx context.Context, each func(directory.Person) error, real func(context.Context, func(directory.Person) error) error) error {
		return real(ctx, func(p directory.Person) error {
			if strings.HasPrefix(p.Login, "staff0") {
				p.Account.LastUsedAt = time.Time{}
			}
			return each(p)
		})
	}})
	if s := w.sweep(); s.State != Halted || s.Why != string(Fewer) || s.Warned != 0 {
		t.Errorf("%+v", s)
	}
	card, err := w.matters.Card(t.Context(), w.newest().Matter)
	if err != nil || !strings.Contains(fmt.Sprint(card.Facts), Fewer.Words().EN) || !strings.Contains(fmt.Sprint(card.Facts), "24") || !strings.Contains(fmt.Sprint(card.Facts), "14") {
		t.Errorf("the card: %+v, %v", card.Facts, err)
	}
}

// TestGivenUp: what a sweep found that was given up is forgotten with it.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	var people []member
	for i := range policy.Standard().Dormancy.StopFew + 1 {
		people = append(people, member{login: fmt.Sprintf("staff%02d", i), used: t0})
	}
	w := newWorld(t, people...)
	w.must(w.Tick(t.Context()))
	left := func(id string) int {
		return w.count(`SELECT COUNT(*) FROM sweep_entry WHERE sweep = $1`, id) + w.count(`SELECT COUNT(*) FROM sweep_count WHERE sweep = $1`, id)
	}
	w.on(60)
	over := w.sweep()
	if over.State != Halted || left(over.ID) == 0 {
		t.Fatalf("%+v", over)
	}
	w.on(61)
	denied := w.sweep()
	if n := left(over.ID); n != 0 {
		t.Errorf("%d rows of a sweep that a later one came after", n)
	}
	w.decide("yamamoto", denied.Matter, false)
	if n := left(denied.ID); n != 0 {
		t.Errorf("%d rows of a sweep that somebody said no to", n)
	}
	w.on(62)
	w.Book = w.gateway(&broken{w.dir, func(ctx context.Context, each func(directory.Person) error, real func(context.Context, func(directory.Person) error) error) error {
		return errors.Join(real(ctx, each), directory.ErrTruncated)
	}})
	if _, err := w.ByHand(t.Context(), "operator", w.clock.Now(), false, nil); !errors.Is(err, directory.ErrTruncated) {
		t.Fatal(err)
	}
	if n := left(w.newest().ID); n != 0 {
		t.Errorf("%d rows of a sweep by hand that failed", n)
	}
}

// TestTheFirstByHandOnlyLooks: unless it is told that it is known what follows.
func TestTheFirstByHandOnlyLooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0.AddDate(-1, 0, 0)})
	s, err := w.ByHand(t.Context(), "operator", w.clock.Now(), false, nil)
	if err != nil || s.State != Finished || !s.OnlyLooked() || s.Warned != 0 || s.People == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	w.isStage("tanaka", "")
	if s, err = w.ByHand(t.Context(), "operator", w.clock.Now(), false, nil); err != nil || s.OnlyLooked() || s.Warned != 1 {
		t.Errorf("the second: %+v, %v", s, err)
	}
	w = newWorld(t, member{login: "tanaka", used: t0.AddDate(-1, 0, 0)})
	if s, err = w.ByHand(t.Context(), "operator", w.clock.Now(), true, nil); err != nil || s.Warned != 1 {
		t.Errorf("told to act: %+v, %v", s, err)
	}
}
