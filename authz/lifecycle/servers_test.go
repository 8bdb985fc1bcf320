package lifecycle

import (
	"os"
	"testing"
	"time"

	"sekisho/authn/standing"
	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
	"sekisho/test/samba"
	"sekisho/test/slapd"
)

func TestMain(m *testing.M) {
	status := m.Run()
	samba.Stop()
	os.Exit(status)
}

func text(s string) secret.Text { return secret.NewText([]byte(s)) }

// onServer is a book on a real server, which dates entries by the machine's clock.
func onServer(t *testing.T, c ldap.Config) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(clock.System()()), policy: policy.Standard(), signed: map[string]string{}}
	w.dir, w.db, w.ring = embeddedtest.Dial(t, c, w.clock.Now), storetest.Open(t), authztest.Ring(t)
	w.Book = w.gateway(w.dir)
	return w
}

// story: one ID was used today as far as the server tells, another never. lag is how
// many days later the first may have been used.
func (w *world) story(lag int) {
	w.Helper()
	ctx, start := w.Context(), w.clock.Now()
	for _, login := range []string{"tanaka", "never"} {
		_, err := w.dir.Create(ctx, directory.NewPerson{Login: login, Name: login, Kind: directory.KindStaff, Password: text("Kasumi-noboru-1234")})
		w.must(err)
	}
	if said, err := w.dir.Authenticate(ctx, w.person("tanaka"), text("Kasumi-noboru-1234")); err != nil || said != directory.OutcomeRight {
		w.Fatalf("binding: %v, %v", said, err)
	}
	if w.person("tanaka").Account.LastUsedAt.IsZero() {
		w.Fatal("the server wrote no last use down")
	}
	day := func(n int) {
		w.Helper()
		w.clock.Advance(start.AddDate(0, 0, n).Add(12 * time.Hour).Sub(w.clock.Now()))
		if s := w.sweep(); s.State != Finished {
			w.Fatalf("day %d: %+v", n, s)
		}
	}
	w.must(w.Tick(ctx))
	day(61)
	w.isStage("never", rowWarned)
	if lag > 0 {
		w.isStage("tanaka", "")
		day(62 + lag)
	}
	w.isStage("tanaka", rowWarned)
	day(93)
	w.isStage("never", rowDisabled)
	if said, err := w.dir.Authenticate(ctx, w.person("never"), text("Kasumi-noboru-1234")); err != nil || said == directory.OutcomeRight {
		w.Errorf("the server lets a closed ID in: %v, %v", said, err)
	}
	never := w.person("never")
	w.must(w.db.WithTx(ctx, func(tx *store.Tx) error {
		if err := standing.Lift(ctx, tx, never.ID, standing.Dormant, w.clock.Now()); err != nil {
			return err
		}
		return w.Reopen(ctx, tx, never)
	}))
	w.must(w.Bring(ctx, never.ID))
	w.isStage("never", rowOpen)
}

func TestOnSlapd(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{})
	onServer(t, ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, Schema: "openldap", BindDN: s.ServiceDN, BindPassword: text(s.ServicePassword), BaseDN: s.BaseDN, OpTimeout: 20 * time.Second,
	}).story(0)
}

// TestOnActiveDirectory: the domain writes a last logon down with a lag, for which
// nobody is closed sooner.
func TestOnActiveDirectory(t *testing.T) {
	if testing.Short() {
		t.Skip("one after another: nothing for the race detector")
	}
	s := samba.Shared(t)
	onServer(t, ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, Schema: "active_directory", BindDN: s.ServiceDN, BindPassword: text(s.ServicePassword),
		BaseDN: s.BaseDN, PeopleDN: "OU=people," + s.BaseDN, GroupsDN: "OU=groups," + s.BaseDN, LentDN: "OU=admins," + s.BaseDN, OpTimeout: 20 * time.Second,
	}).story(14)
}
