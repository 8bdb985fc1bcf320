package elevate_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestGroupComesAndGoes: seen by somebody else's search of the directory.
func TestGroupComesAndGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.intend("L1", w.tanaka, ofGroup(dbAdmins)))
	w.inGroup(dbAdmins)
	w.cleanup("L1", elevate.CleanupNone)
	got, err := w.Apply(t.Context(), "L1")
	w.must(err)
	if got.Account != nil {
		t.Error("a membership came with an account")
	}
	w.inGroup(dbAdmins, w.tanaka.DN)
	w.must(w.keep("L1", 30))
	w.undoAll()
	w.inGroup(dbAdmins, w.tanaka.DN)
	w.cleanup("L1", elevate.CleanupNone)
	w.withdraw("L1")
	w.cleanup("L1", elevate.CleanupPending)
	w.undoAll()
	w.inGroup(dbAdmins)
	w.cleanup("L1", elevate.CleanupConfirmed)
	if a, u := w.entries("elevation.applied"), w.entries("elevation.undone"); a != 1 || u != 1 {
		t.Errorf("the trail has %d applied and %d undone, want one of each", a, u)
	}
	if !slices.Contains(w.forgot, w.tanaka.ID) {
		t.Error("nobody was told that the facts of the person have changed")
	}
	// Nothing more happens to it.
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.clock.Advance(time.Hour)
	w.undoAll()
	w.inGroup(dbAdmins, w.tanaka.DN)
}

// TestEndsByItself: whoever was to withdraw it is dead.
func TestEndsByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lend("L1", w.tanaka, 10, ofGroup(dbAdmins))
	w.lend("L2", w.tanaka, 10, ephemeral())
	w.lend("L3", w.tanaka, 10, named())
	w.clock.Advance(10*time.Minute - time.Microsecond)
	w.undoAll()
	w.inGroup(dbAdmins, w.tanaka.DN)
	w.clock.Advance(time.Microsecond)
	w.cleanup("L1", elevate.CleanupPending)
	w.undoAll()
	w.inGroup(dbAdmins)
	if got := w.lent(); !slices.Equal(got, []string{"adm-switch"}) {
		t.Errorf("IDs are %v", got)
	}
	for _, lease := range []string{"L1", "L2", "L3"} {
		w.cleanup(lease, elevate.CleanupConfirmed)
	}
}

// TestEphemeral: an ID that binds and then does not, whose name and note say whose
// it is.
func TestEphemeral(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.lend("L1", w.tanaka, 10, ephemeral())
	if got.Account == nil {
		t.Fatal("no account")
	}
	a := *got.Account
	p, err := w.dir.Lent(t.Context(), a.Login)
	w.must(err)
	if !strings.HasPrefix(a.Login, "tmp-tanaka-") || len(a.Login) > 20 || !strings.Contains(p.Note, "lease=L1;") || !strings.Contains(p.Note, string(w.tanaka.ID)) {
		t.Errorf("%s is noted as %q", a.Login, p.Note)
	}
	if !w.server.Lets(p.DN, a.Password) || !p.Account.ExpiresAt.Equal(w.clock.Now().Add(10*time.Minute)) {
		t.Errorf("it does not bind, or ends at %v", p.Account.ExpiresAt)
	}
	w.inGroup(servers, p.DN)
	w.withdraw("L1")
	w.undoAll()
	w.inGroup(servers)
	if w.server.Lets(p.DN, a.Password) {
		t.Error("it still binds")
	}
	w.cleanup("L1", elevate.CleanupConfirmed)
	// No password is in the store.
	var n int
	w.must(w.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM elevation_effect WHERE account LIKE $1 OR account_dn LIKE $1 OR why LIKE $1`, "%"+string(a.Password.Reveal())+"%").Scan(&n))
	if n != 0 {
		t.Error("the password is in the store")
	}
}

// TestDirectoryEndsItToo: with every process of ours dead, the directory lets
// nobody in after the end, and an ID that it can end is gone.
func TestDirectoryEndsItToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.lend("L1", w.tanaka, 10, ephemeral()).Account
	n := w.lend("L2", w.suzuki, 10, named()).Account
	p, err := w.dir.Lent(t.Context(), e.Login)
	w.must(err)
	if !w.server.Lets(p.DN, e.Password) || !w.server.Lets(admSwitch, n.Password) {
		t.Fatal("they do not bind")
	}
	w.clock.Advance(10 * time.Minute)
	if w.server.Lets(p.DN, e.Password) || w.server.Lets(admSwitch, n.Password) {
		t.Error("they bind after their end")
	}
	if got := w.lent(); !slices.Equal(got, []string{"adm-switch"}) {
		t.Errorf("IDs are %v", got)
	}
	w.inGroup(servers)
}

// TestNamed: opened with a password of its own, closed with another.
func TestNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.lend("L1", w.tanaka, 10, named()).Account
	if a.Login != "adm-switch" || !w.server.Lets(admSwitch, a.Password) || w.server.Lets(admSwitch, text("Former-word-1234")) {
		t.Error("it does not bind as lent")
	}
	// One at a time.
	if err := w.intend("L2", w.suzuki, named()); !errors.Is(err, elevate.ErrTaken) {
		t.Errorf("lent twice: %v", err)
	}
	// Extended.
	w.must(w.keep("L1", 20))
	w.undoAll()
	w.clock.Advance(15 * time.Minute)
	if !w.server.Lets(admSwitch, a.Password) {
		t.Error("extended, it does not bind")
	}
	w.withdraw("L1")
	if err := w.intend("L2", w.suzuki, named()); !errors.Is(err, elevate.ErrTaken) {
		t.Errorf("lent before it was closed: %v", err)
	}
	w.undoAll()
	if w.server.Lets(admSwitch, a.Password) {
		t.Error("it still binds")
	}
	b := w.lend("L2", w.suzuki, 10, named()).Account
	if w.server.Lets(admSwitch, a.Password) || !w.server.Lets(admSwitch, b.Password) {
		t.Error("the password of the lease before opens it")
	}
}

// TestTwoLeasesOneThing: what one lease gives up another still has.
func TestTwoLeasesOneThing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lend("L1", w.tanaka, 10, ofGroup(dbAdmins))
	w.lend("L2", w.tanaka, 20, ofGroup("CN=db-admins, ou=groups,"+base))
	w.withdraw("L1")
	w.undoAll()
	w.inGroup(dbAdmins, w.tanaka.DN)
	w.cleanup("L1", elevate.CleanupConfirmed)
	w.clock.Advance(20 * time.Minute)
	w.undoAll()
	w.inGroup(dbAdmins)
}

// TestTurnedRound: what was applied and not kept in time is undone, and cannot be
// kept any more.
func TestTurnedRound(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"never applied", "never kept"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.must(w.intend("L1", w.tanaka, ofGroup(dbAdmins), ephemeral()))
			if how == "never kept" {
				_, err := w.Apply(t.Context(), "L1")
				w.must(err)
			}
			w.clock.Advance(elevate.DecideWithin)
			if err := w.keep("L1", 10); !errors.Is(err, elevate.ErrTurned) {
				t.Errorf("kept too late: %v", err)
			}
			if _, err := w.Apply(t.Context(), "L1"); !errors.Is(err, elevate.ErrTurned) {
				t.Errorf("applied too late: %v", err)
			}
			w.clock.Advance(2 * time.Second)
			w.undoAll()
			w.inGroup(dbAdmins)
			if got := w.lent(); len(got) != 1 {
				t.Errorf("IDs are %v", got)
			}
			// It may be intended again.
			w.lend("L1", w.tanaka, 10, ofGroup(dbAdmins), ephemeral())
			w.inGroup(dbAdmins, w.tanaka.DN)
		})
	}
}

// TestRefused: what is not lent, and by whom it is asked.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := ephemeral()
	bad.Groups = []string{servers, strings.ToUpper(cioGroup)}
	for name, g := range map[string]policy.Gift{"a group that carries a post": ofGroup("cn=CIO, ou=groups," + base), "such a group for an ID": bad} {
		if err := w.intend("L-"+name, w.tanaka, g); !errors.Is(err, elevate.ErrUnlendable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.intend("", w.tanaka, ofGroup(dbAdmins)); err == nil {
		t.Error("a lease without a name")
	}
	if err := w.intend("L1", directory.Person{}, ofGroup(dbAdmins)); err == nil {
		t.Error("nobody's lease")
	}
	w.must(w.intend("L1", w.tanaka, ofGroup(dbAdmins)))
	if err := w.intend("L1", w.tanaka, ofGroup(dbAdmins)); !errors.Is(err, elevate.ErrTurned) {
		t.Errorf("intended twice at once: %v", err)
	}
	// The group came to carry a post between the two.
	w.policy = policy.Standard()
	for i := range w.policy.Posts {
		w.policy.Posts[i].Group = dbAdmins
	}
	if _, err := w.Apply(t.Context(), "L1"); !errors.Is(err, elevate.ErrUnlendable) {
		t.Errorf("Apply = %v", err)
	}
	w.inGroup(dbAdmins)
	for name, g := range map[string]policy.Gift{
		"no group":                         ofGroup("cn=none,ou=groups," + base),
		"a group elsewhere":                ofGroup("cn=db-admins," + base),
		"a person as a named ID":           {Kind: policy.GiftAccount, Account: w.suzuki.DN},
		"an ID that is not there":          {Kind: policy.GiftAccount, Account: "uid=none,ou=admins," + base},
		"an ID that is made among people":  {Kind: policy.GiftEphemeral, Under: "ou=people," + base, Prefix: "tmp-"},
		"an ID that joins a group of none": {Kind: policy.GiftEphemeral, Under: "ou=admins," + base, Prefix: "tmp-", Groups: []string{"cn=none,ou=groups," + base}},
	} {
		lease := "R-" + name
		w.must(w.intend(lease, w.tanaka, g))
		if _, err := w.Apply(t.Context(), lease); err == nil || errors.Is(err, directory.ErrAway) {
			t.Errorf("%s: Apply = %v", name, err)
		}
		w.undoAll()
		w.cleanup(lease, elevate.CleanupNone)
	}
	if got := w.lent(); len(got) != 1 {
		t.Errorf("IDs are %v", got)
	}
	// Nothing outside: nothing to do.
	w.must(w.intend("L9", w.tanaka, policy.Gift{Kind: policy.GiftApplication, Application: "juki"}))
	if _, err := w.Apply(t.Context(), "L9"); err != nil {
		t.Error(err)
	}
	w.must(w.keep("L9", 5))
	w.cleanup("L9", elevate.CleanupNone)
}

// TestWithdrawnBetween: the lease is taken away while its effect is being applied.
func TestWithdrawnBetween(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.intend("L1", w.tanaka, ofGroup(dbAdmins)))
	other := w.Book
	w.Book = w.book(func(h *elevate.House) {
		h.Stop = func(point string) error {
			if point == "added" {
				return w.tx(func(tx *store.Tx) error { return other.Withdraw(t.Context(), tx, "L1") })
			}
			return nil
		}
	})
	if _, err := w.Apply(t.Context(), "L1"); !errors.Is(err, elevate.ErrTurned) {
		t.Errorf("Apply = %v", err)
	}
	w.Book = other
	w.undoAll()
	w.inGroup(dbAdmins)
	w.cleanup("L1", elevate.CleanupNone)
	if err := w.keep("L1", 5); !errors.Is(err, elevate.ErrTurned) {
		t.Errorf("Keep = %v", err)
	}
}

func TestResiduals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.Residuals([]policy.Gift{{Kind: policy.GiftApplication}}); len(got) != 0 {
		t.Errorf("claims leave %v", got)
	}
	got := w.Residuals([]policy.Gift{ofGroup(dbAdmins)})
	if len(got) == 0 {
		t.Error("a membership leaves nothing")
	}
	for _, r := range got {
		if r.ID == "" || r.Words.JA == "" || r.Words.EN == "" {
			t.Errorf("%+v", r)
		}
	}
}

// TestIntendedIsNotGiven: a lease that only intends what another gives up does not
// keep it.
func TestIntendedIsNotGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lend("L1", w.tanaka, 10, ofGroup(dbAdmins))
	w.must(w.intend("L2", w.tanaka, ofGroup(dbAdmins)))
	w.withdraw("L1")
	w.undoAll()
	w.inGroup(dbAdmins)
	w.cleanup("L1", elevate.CleanupConfirmed)
	_, err := w.Apply(t.Context(), "L2")
	w.must(err)
	w.must(w.keep("L2", 10))
	w.undoAll()
	w.inGroup(dbAdmins, w.tanaka.DN)
}

// TestSomebodyElsesID: an ID that has the name already is neither taken over nor
// taken away.
func TestSomebodyElsesID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.intend("L1", w.tanaka, ephemeral()))
	var login string
	w.must(w.db.QueryRow(t.Context(), `SELECT account FROM elevation_effect WHERE lease = 'L1'`).Scan(&login))
	_, err := w.dir.CreateLent(t.Context(), "", directory.NewPerson{
		Login: login, Name: "x", Note: "for the printers", Password: text("Lent-word-12345"), ExpiresAt: w.clock.Now().Add(time.Hour),
	})
	w.must(err)
	if _, err := w.Apply(t.Context(), "L1"); !errors.Is(err, directory.ErrExists) {
		t.Errorf("Apply = %v", err)
	}
	w.undoAll()
	if got := w.lent(); !slices.Contains(got, login) {
		t.Errorf("IDs are %v", got)
	}
}
