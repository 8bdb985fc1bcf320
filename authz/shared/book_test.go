package shared

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/test/slapd"
)

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tanaka, suzuki := w.as("tanaka"), w.as("suzuki")
	g := w.out(tanaka, "one", 30)
	if want := t0.Add(30 * time.Minute); !g.EndsAt.Equal(want) {
		t.Errorf("it ends at %v, want %v", g.EndsAt, want)
	}
	w.works("one", g.Password, true)
	if no := w.refused(second(w.checkOut(suzuki, "one", 30)), "taken"); !strings.Contains(no.Says.JA, "tanaka") {
		t.Errorf("the refusal does not say who has it: %s", no.Says.JA)
	}
	w.refused(second(w.checkOut(tanaka, "one", 30)), "has_it")
	list, err := w.List(t.Context(), signin.Origin{}, suzuki)
	if err != nil || len(list) != 3 || len(list[0].Held) != 1 || list[0].Mine.ID != "" || list[0].Refused == nil || list[1].Refused != nil {
		t.Errorf("suzuki is shown %+v, %v", list, err)
	}
	if c := w.back(tanaka, "one"); c.State(t0) != Ended {
		t.Errorf("given back, it is %s", c.State(t0))
	}
	w.back(tanaka, "one") // the answer to the first may have been lost
	w.settle()
	w.works("one", g.Password, false)
	again := w.out(suzuki, "one", 0)
	if string(again.Password.Reveal()) == string(g.Password.Reveal()) || !again.EndsAt.Equal(t0.Add(30*time.Minute)) {
		t.Error("the same password twice, or not the usual time")
	}
	w.works("one", again.Password, true)
	for action, want := range map[string]int{"shared.checking_out": 2, "shared.checked_out": 2, "shared.checked_in": 1, "elevation.applied": 2, "elevation.undone": 1} {
		if got := w.entries(`"action":"` + action + `"`); got != want {
			t.Errorf("%d entries of %s, want %d", got, action, want)
		}
	}
	if w.entries(`"actor":"tanaka","action":"shared.checked_out","object":"shared:one"`, "46-1", `"account":"one"`, `"person":"tanaka"`) != 1 {
		t.Error("the trail does not say who had it")
	}
	if n := w.count(`SELECT COUNT(*) FROM shared_secret`); n != 0 {
		t.Errorf("%d passwords are kept of an ID that one person has", n)
	}
	if _, err := w.CheckIn(t.Context(), signin.Origin{}, w.as("mori"), "one"); !errors.Is(err, ErrNotFound) {
		t.Errorf("giving back what one never had: %v", err)
	}
	past, err := w.Past(t.Context(), signin.Origin{}, tanaka, 5)
	if err != nil || len(past) != 1 || past[0].Shared != "one" {
		t.Errorf("tanaka's past is %+v, %v", past, err)
	}
}

func second[T any](_ T, err error) error { return err }

// Several have one password; the last one to give it back changes it.
func TestSeveral(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, next := w.out(w.as("tanaka"), "two", 30), w.out(w.as("suzuki"), "two", 60)
	if string(first.Password.Reveal()) != string(next.Password.Reveal()) {
		t.Fatal("two passwords for one ID")
	}
	w.refused(second(w.checkOut(w.as("mori"), "two", 5)), "taken")
	w.back("tanaka", "two")
	w.settle()
	w.works("two", next.Password, true)
	if third := w.out("mori", "two", 10); string(third.Password.Reveal()) != string(next.Password.Reveal()) {
		t.Error("who joins is told another password")
	}
	w.clock.Advance(10 * time.Minute)
	w.settle()
	w.works("two", next.Password, true)
	w.clock.Advance(50*time.Minute - time.Second)
	w.as("suzuki")
	w.works("two", next.Password, true)
	w.clock.Advance(time.Second)
	w.settle()
	w.works("two", next.Password, false)
	w.state(first.Checkout, Ended)
	w.state(next.Checkout, Expired)
	if n := w.count(`SELECT COUNT(*) FROM shared_secret`); n != 0 {
		t.Errorf("%d passwords are kept when nobody has them", n)
	}
	if again := w.out(w.as("tanaka"), "two", 5); string(again.Password.Reveal()) == string(next.Password.Reveal()) {
		t.Error("the password was not changed")
	}
}

// Of those who ask at the same moment one has it (F2).
func TestOneWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, login := range []string{"tanaka", "suzuki", "mori"} {
		w.as(login)
	}
	for range 3 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := map[string]Given{}
		for _, login := range []string{"tanaka", "suzuki", "mori", "tanaka", "suzuki", "mori"} {
			wg.Go(func() {
				g, err := w.checkOut(login, "one", 30)
				mu.Lock()
				defer mu.Unlock()
				var no *Refusal
				switch {
				case err == nil:
					won[login+g.ID] = g
				case !errors.As(err, &no) || no.Is != Conflict:
					t.Errorf("who came too late is answered %v", err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d have it", len(won))
		}
		for _, g := range won {
			w.works("one", g.Password, true)
			w.back(g.By.Login, "one")
			w.settle()
			w.works("one", g.Password, false)
		}
	}
}

// TestPlaces: of those who ask for the last place at once, one has it (F2).
func TestPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.out(w.as("tanaka"), "two", 30)
	w.as("suzuki")
	w.as("mori")
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for _, login := range []string{"suzuki", "mori", "suzuki", "mori", "suzuki", "mori"} {
		wg.Go(func() {
			g, err := w.checkOut(login, "two", 30)
			mu.Lock()
			defer mu.Unlock()
			var no *Refusal
			switch {
			case err == nil:
				if won++; string(g.Password.Reveal()) != string(first.Password.Reveal()) {
					t.Error("who joins is told another password")
				}
			case !errors.As(err, &no) || no.Is != Conflict:
				t.Errorf("who came too late is answered %v", err)
			}
		})
	}
	wg.Wait()
	if n := w.count(`SELECT COUNT(*) FROM shared_checkout WHERE state = 'active'`); won != 1 || n != 2 {
		t.Errorf("%d were let in, %d have it", won, n)
	}
}

// A place that the policy gives while one person has it begins with the next password.
func TestMorePlacesMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.out(w.as("tanaka"), "one", 30)
	w.policy.SharedIDs[0].Holders = 2
	w.refused(second(w.checkOut(w.as("suzuki"), "one", 30)), "taken")
	w.back("tanaka", "one")
	w.settle()
	w.out("tanaka", "one", 30)
	w.out("suzuki", "one", 30)
}

// What is power in the directory is not had as a shared ID (design rule 7).
func TestPrivilegedIsNotShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, _ := w.policy.SharedID("one")
	p, err := w.dir.Lent(t.Context(), one.Account)
	w.must(err)
	w.must(w.dir.JoinLent(t.Context(), embeddedtest.PostGroup(policy.SecurityManager), p))
	if no := w.refused(second(w.checkOut(w.as("tanaka"), "one", 30)), "privileged"); no.Is != Conflict || !strings.Contains(no.Says.JA, "グループ") {
		t.Errorf("refused with %+v", no)
	}
	if p, err := w.dir.Lent(t.Context(), "one"); err != nil || !p.Account.Disabled {
		t.Errorf("it was opened: %v", err)
	}
	if w.entries(`"action":"shared.failed"`, "privileged", `"person":"tanaka"`) != 1 {
		t.Error("the trail does not say why")
	}
	// Nor is somebody's own ID.
	w.policy.SharedIDs[0].Account = "uid=suzuki,ou=people," + base
	w.refused(second(w.checkOut(w.as("tanaka"), "one", 30)), "not_there")
}

// An envelope for emergencies would be of no use once a check-out has changed the password
// in it (article 80-2): whether the register has the ID by the name that its DN begins with,
// or by its login, and to whoever joins others.
func TestSealedIsNotShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tanaka, suzuki := w.as("tanaka"), w.as("suzuki")
	w.out(tanaka, "two", 30)
	w.sealed = func(login, dn string) []string {
		if login == "" && strings.HasPrefix(dn, "uid=one,") || login == "two" || login == "kept" {
			return []string{"放送設備"}
		}
		return nil
	}
	for _, id := range []string{"one", "two", "kept"} {
		no := w.refused(second(w.checkOut(suzuki, id, 30)), "sealed")
		if no.Is != Conflict || !strings.Contains(no.Says.JA, "放送設備") || !slices.Contains(no.Articles, "80-2") {
			t.Errorf("%s is refused with %+v", id, no)
		}
		if p, err := w.dir.Lent(t.Context(), id); err != nil || p.Account.Disabled != (id != "two") {
			t.Errorf("%s is open: %t, %v", id, !p.Account.Disabled, err)
		}
	}
	if w.entries(`"action":"shared.failed"`, "sealed", `"person":"suzuki"`) != 1 { // of the one that was intended
		t.Error("the trail does not say why")
	}
	list, err := w.List(t.Context(), signin.Origin{}, suzuki)
	if err != nil || list[0].Refused == nil || list[0].Refused.Reason != "sealed" {
		t.Errorf("suzuki is shown %+v, %v", list, err)
	}
}

func TestCheckOutRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tanaka := w.as("tanaka")
	w.refused(second(w.checkOut(tanaka, "none", 30)), "unknown")
	w.refused(second(w.checkOut(w.as("kimura"), "one", 30)), "not_eligible")
	w.refused(second(w.checkOut(tanaka, "one", 121)), "minutes")
	if w.entries(`"actor":"kimura","action":"shared.refused","object":"shared:one"`, "not_eligible") != 1 {
		t.Error("the trail does not say who was refused")
	}
	w.refused(second(w.checkOut(tanaka, "none-either", 30)), "unknown")
	if n := w.entries(`"action":"shared.refused"`, `"unknown"`); n != 1 {
		t.Errorf("%d entries of names that somebody made up", n)
	}
	w.change(tanaka, func(a *approval.Approver) { a.Zone = policy.Internet })
	w.refused(second(w.checkOut(tanaka, "one", 30)), "zone")
	var need *account.StepUp
	for name, do := range map[string]func(*approval.Approver){
		"weaker": func(a *approval.Approver) { a.ACR = policy.AAL1 },
		"older":  func(a *approval.Approver) { a.AuthAt = t0.Add(-15*time.Minute - time.Second) },
		"never":  func(a *approval.Approver) { a.AuthAt = time.Time{} },
	} {
		w.change(w.as("tanaka"), do)
		if _, err := w.checkOut(tanaka, "one", 30); !errors.As(err, &need) || need.Required != policy.AAL2 || need.MaxAge != 15*time.Minute {
			t.Errorf("a sign-in that is %s: %v", name, err)
		}
	}
	w.as("tanaka")
	w.barred = w.signed[tanaka].Person.ID
	if _, err := w.checkOut(tanaka, "one", 30); !errors.Is(err, session.ErrNone) {
		t.Errorf("under a lock-down: %v", err)
	}
	w.barred = ""
	w.change(tanaka, func(a *approval.Approver) { a.Usable = false })
	if _, err := w.checkOut(tanaka, "one", 30); !errors.Is(err, session.ErrNone) {
		t.Errorf("who may use nothing: %v", err)
	}
	if _, err := w.checkOut("", "one", 30); !errors.Is(err, session.ErrNone) && !errors.Is(err, signin.ErrNone) {
		t.Errorf("nobody: %v", err)
	}
	if n := w.count(`SELECT COUNT(*) FROM shared_checkout`); n != 0 {
		t.Errorf("%d check-outs of what was refused", n)
	}
}

func TestOthersUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.out(w.as("tanaka"), "one", 30)
	end := func(cookie, reason string) error {
		return second(w.End(t.Context(), signin.Origin{}, cookie, g.ID, reason))
	}
	w.refused(end(w.as("suzuki"), "x"), "no_post")
	w.refused(end(w.as("inoue"), "x"), "reads_only")
	if no := w.refused(end(w.as("yamamoto"), " "), "required"); !strings.Contains(no.Says.JA, "終わらせる理由") {
		t.Errorf("without a reason: %s", no.Says.JA)
	}
	w.change("yamamoto", func(a *approval.Approver) { a.ACR = policy.AAL2 })
	var need *account.StepUp
	if err := end("yamamoto", "x"); !errors.As(err, &need) {
		t.Errorf("ending it with less than what acts about others take: %v", err)
	}
	w.works("one", g.Password, true)
	if _, err := w.Live(t.Context(), signin.Origin{}, "suzuki"); w.refused(err, "no_post") == nil {
		t.Error("staff see who has what")
	}
	for login, may := range map[string]bool{"inoue": false, "yamamoto": true} {
		seen, err := w.Live(t.Context(), signin.Origin{}, login)
		if err != nil || len(seen) != 1 || seen[0].By.Login != "tanaka" || seen[0].Name.EN != "Public address" || seen[0].MayEnd != may {
			t.Errorf("%s sees %+v, %v", login, seen, err)
		}
	}
	held, err := w.Borrowers(t.Context(), w.db)
	if err != nil || len(held) != 1 || held[0] != g.By.ID {
		t.Errorf("who would lose something: %v, %v", held, err)
	}
}

// What is had goes along when its holder signs in again in the same browser.
func TestSucceed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.out(w.as("tanaka"), "one", 30)
	w.as("tanaka")
	next := session.Session{ID: w.signed["tanaka"].SessionID, Person: g.By.ID}
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		if err := w.Succeed(t.Context(), tx, g.Session, next); err != nil {
			return err
		}
		return w.sessions.EndAll(t.Context(), tx, g.By.ID, "tanaka", next.ID, "signed in again")
	}))
	w.settle()
	w.state(g.Checkout, Active)
	w.works("one", g.Password, true)
}

// TestOnSlapd is a life on a real OpenLDAP: its password binds while somebody has it,
// and the one of before and after does not.
func TestOnSlapd(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{})
	w := &world{TB: t, clock: clock.NewFake(clock.System()()), policy: rules(), signed: map[string]approval.Approver{}, url: s.URL}
	w.dir = embeddedtest.Dial(t, ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, BindDN: s.ServiceDN, BindPassword: text(s.ServicePassword), BaseDN: s.BaseDN,
		LentDN: "ou=admins," + s.BaseDN, OpTimeout: 5 * time.Second,
	}, w.clock.Now)
	w.build()
	for _, login := range []string{"tanaka", "suzuki"} {
		_, err := w.dir.Create(t.Context(), directory.NewPerson{Login: login, Name: login, Kind: directory.KindStaff})
		w.must(err)
	}
	for i, id := range []string{"one", "two"} {
		p, err := w.dir.CreateLent(t.Context(), "", directory.NewPerson{Login: id, Name: id, Password: text("Former-word-1234")})
		w.must(err)
		w.must(w.dir.CloseLent(t.Context(), p, text("Nobody-knows-12345")))
		w.policy.SharedIDs[i].Account, w.policy.SharedIDs[i].Eligible = p.DN, policy.Eligible{Persons: []string{"tanaka", "suzuki"}}
	}
	g := w.out(w.as("tanaka"), "one", 30)
	w.works("one", g.Password, true)
	w.works("one", text("Former-word-1234"), false)
	w.refused(second(w.checkOut(w.as("suzuki"), "one", 30)), "taken")
	w.back("tanaka", "one")
	w.settle()
	w.works("one", g.Password, false)
	first, next := w.out("tanaka", "two", 30), w.out("suzuki", "two", 60)
	w.back("tanaka", "two")
	w.settle()
	w.works("two", first.Password, true)
	w.clock.Advance(time.Hour)
	w.settle()
	w.works("two", next.Password, false)
	// Nobody signs in at the gate with it: it is not among the people.
	if p, err := w.dir.Find(t.Context(), "one"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("it is found among the people: %+v, %v", p, err)
	}
}
