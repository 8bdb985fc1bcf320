package elevate_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store/storetest"
	"sekisho/test/samba"
	"sekisho/test/slapd"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childVar); child != "" {
		os.Exit(dieThere(child))
	}
	status := m.Run()
	samba.Stop()
	os.Exit(status)
}

// A real server, as the least-privileged account sees it and as its own
// administrator does, by the tools of OpenLDAP.
type real struct {
	*world
	config    ldap.Config
	url, ca   string
	admin     [2]string // DN and password
	groups    [2]string // db-admins and server-admins
	namedID   string
	ephemeral policy.Gift
}

// on builds a book on a server: two groups, a person and a named ID.
func on(t *testing.T, c ldap.Config, admin [2]string, group func(name string) *goldap.AddRequest) *real {
	t.Helper()
	if _, err := exec.LookPath("ldapsearch"); err != nil {
		t.Fatal(slapd.ErrMissing)
	}
	w := &real{world: &world{TB: t, clock: clock.NewFake(clock.System()()), policy: policy.Standard()}, config: c, url: c.Servers[0], ca: c.CAFile, admin: admin}
	var err error
	w.dir, err = ldap.Open(t.Context(), c, w.clock.Now)
	w.must(err)
	t.Cleanup(w.dir.Close)
	w.db = storetest.Open(t)
	w.Book = w.book()
	w.tanaka, err = w.dir.Create(t.Context(), directory.NewPerson{Login: "tanaka", Name: "田中 美咲", Kind: directory.KindStaff, Password: text("Tanaka-word-1234")})
	w.must(err)
	for i, name := range []string{"db-admins", "server-admins"} {
		add := group(name)
		w.must(w.asAdmin(func(c *goldap.Conn) error { return c.Add(add) }))
		w.groups[i] = add.DN
	}
	p, err := w.dir.CreateLent(t.Context(), "", directory.NewPerson{Login: "adm-switch", Name: "通信機器", Password: text("Former-word-1234")})
	w.must(err)
	w.must(w.dir.CloseLent(t.Context(), p, text("Nobody-knows-12345")))
	w.namedID = p.DN
	w.ephemeral = policy.Gift{Kind: policy.GiftEphemeral, Under: c.LentDN, Prefix: "tmp-", Groups: []string{w.groups[1]}}
	w.policy.Privileges = []policy.Privilege{
		{ID: "db-admin", Standing: policy.StandingRemove, Gives: []policy.Gift{ofGroup(w.groups[0])}},
		{ID: "server-admin", Standing: policy.StandingRemove, Gives: []policy.Gift{w.ephemeral}},
		{ID: "switch-admin", Standing: policy.StandingRemove, Gives: []policy.Gift{{Kind: policy.GiftAccount, Account: w.namedID}}},
	}
	return w
}

func (w *real) asAdmin(do func(*goldap.Conn) error) error {
	d, err := ldap.Open(w.Context(), w.config, w.clock.Now) // checks the CA file
	if err != nil {
		return err
	}
	d.Close()
	c, err := embeddedtest.DialTLS(w.url, w.ca)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Bind(w.admin[0], w.admin[1]); err != nil {
		return err
	}
	return do(c)
}

// tool runs ldapsearch.
func (w *real) tool(bindDN, pw string, args ...string) (string, error) {
	file := filepath.Join(w.TempDir(), "password")
	w.must(os.WriteFile(file, []byte(pw), 0o600))
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ldapsearch", append([]string{"-x", "-LLL", "-o", "ldif-wrap=no", "-H", w.url, "-D", bindDN, "-y", file}, args...)...)
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+w.ca, "LDAPTLS_REQCERT=demand")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *real) values(dn, attribute string) []string {
	w.Helper()
	out, err := w.tool(w.admin[0], w.admin[1], "-b", dn, "-s", "base", attribute)
	if err != nil {
		w.Fatalf("ldapsearch: %v: %s", err, out)
	}
	var all []string
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(line, attribute+": "); ok {
			all = append(all, strings.TrimSpace(v))
		}
	}
	return all
}

func (w *real) names(group string, want ...string) {
	w.Helper()
	got := slices.DeleteFunc(w.values(group, "member"), func(dn string) bool { return strings.HasPrefix(dn, "cn=nobody") })
	if !slices.EqualFunc(got, want, strings.EqualFold) {
		w.Errorf("ldapsearch shows in %s %v, want %v", group, got, want)
	}
}

// binds reports whether the server lets somebody in.
func (w *real) binds(dn, pw string) bool {
	w.Helper()
	_, err := w.tool(dn, pw, "-b", "", "-s", "base", "1.1")
	return err == nil
}

func (w *real) exists(dn string) bool {
	w.Helper()
	out, err := w.tool(w.admin[0], w.admin[1], "-b", dn, "-s", "base", "1.1")
	if err != nil && !strings.Contains(out, "No such object") {
		w.Fatalf("ldapsearch: %v: %s", err, out)
	}
	return err == nil
}

// story is a life of each kind of effect, looked at from outside at each turn.
func (w *real) story() {
	w.Helper()
	w.names(w.groups[0])
	w.lend("L1", w.tanaka, 30, ofGroup(w.groups[0]))
	w.names(w.groups[0], w.tanaka.DN)
	a := w.lend("L2", w.tanaka, 30, w.ephemeral).Account
	p, err := w.dir.Lent(w.Context(), a.Login)
	w.must(err)
	w.names(w.groups[1], p.DN)
	if got := w.values(p.DN, "description"); len(got) != 1 || !strings.Contains(got[0], "lease=L2;person="+string(w.tanaka.ID)+";login=tanaka") {
		w.Errorf("it is described as %v", got)
	}
	if !w.binds(p.DN, string(a.Password.Reveal())) {
		w.Error("the ephemeral ID does not bind")
	}
	n := w.lend("L3", w.tanaka, 30, policy.Gift{Kind: policy.GiftAccount, Account: w.namedID}).Account
	if !w.binds(w.namedID, string(n.Password.Reveal())) || w.binds(w.namedID, "Former-word-1234") {
		w.Error("the named ID does not bind as lent")
	}
	w.must(w.compare())
	if open := w.open(); len(open) != 0 {
		w.Errorf("found %+v", open)
	}
	for _, lease := range []string{"L1", "L2", "L3"} {
		w.withdraw(lease)
	}
	w.undoAll()
	w.names(w.groups[0])
	w.names(w.groups[1])
	if w.exists(p.DN) || w.binds(p.DN, string(a.Password.Reveal())) {
		w.Error("the ephemeral ID is there, or binds")
	}
	if w.binds(w.namedID, string(n.Password.Reveal())) {
		w.Error("the named ID still binds")
	}
	for _, lease := range []string{"L1", "L2", "L3"} {
		w.cleanup(lease, elevate.CleanupConfirmed)
	}
	// Without a lease.
	w.must(w.asAdmin(func(c *goldap.Conn) error {
		m := goldap.NewModifyRequest(w.groups[0], nil)
		m.Add("member", []string{w.tanaka.DN})
		return c.Modify(m)
	}))
	np, err := w.dir.Lent(w.Context(), "adm-switch")
	w.must(err)
	w.must(w.dir.OpenLent(w.Context(), np, text("By-somebody-12345"), w.clock.Now().Add(time.Hour)))
	w.must(w.compare())
	if open := w.open(); len(open) != 2 {
		w.Errorf("found %+v", open)
	}
	w.names(w.groups[0])
	if w.binds(w.namedID, "By-somebody-12345") {
		w.Error("what was opened without a lease is open")
	}
	w.must(w.compare())
	if open := w.open(); len(open) != 0 {
		w.Errorf("still open: %+v", open)
	}
}

func onSlapd(t *testing.T, s *slapd.Server) *real {
	t.Helper()
	return on(t, ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, BindDN: s.ServiceDN, BindPassword: text(s.ServicePassword), BaseDN: s.BaseDN,
		LentDN: "ou=admins," + s.BaseDN, OpTimeout: 5 * time.Second,
	}, [2]string{s.AdminDN, s.AdminPassword}, func(name string) *goldap.AddRequest {
		add := goldap.NewAddRequest("cn="+name+",ou=groups,"+s.BaseDN, nil)
		add.Attribute("objectClass", []string{"groupOfNames"})
		add.Attribute("member", []string{"cn=nobody," + s.BaseDN})
		return add
	})
}

func TestOnSlapd(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]slapd.Options{"with dds": {}, "without dds": {NoDynamic: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onSlapd(t, slapd.Start(t, o))
			w.story()
			// The server itself ends what it can, with nobody of ours alive.
			a := w.lend("L9", w.tanaka, 5, w.ephemeral).Account
			p, err := w.dir.Lent(t.Context(), a.Login)
			w.must(err)
			ttl := w.values(p.DN, "entryTtl")
			if o.NoDynamic != (len(ttl) == 0) {
				t.Errorf("entryTtl is %v", ttl)
			}
			for _, v := range ttl { // what is left of five minutes
				if n, err := strconv.Atoi(v); err != nil || n < 200 || n > 300 {
					t.Errorf("entryTtl is %v", ttl)
				}
			}
			w.must(w.dir.LendUntil(t.Context(), p, clock.System()().Add(-time.Minute)))
			if w.binds(p.DN, string(a.Password.Reveal())) {
				t.Error("it binds after its end")
			}
		})
	}
}

func TestOnSamba(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one after another: nothing for the race detector")
	}
	s := samba.Shared(t)
	w := on(t, ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, Schema: "active_directory", BindDN: s.ServiceDN, BindPassword: text(s.ServicePassword),
		BaseDN: s.BaseDN, PeopleDN: "OU=people," + s.BaseDN, GroupsDN: "OU=groups," + s.BaseDN, LentDN: "OU=admins," + s.BaseDN, OpTimeout: 20 * time.Second,
	}, [2]string{s.AdminDN, s.AdminPassword}, func(name string) *goldap.AddRequest {
		add := goldap.NewAddRequest("CN="+name+",OU=groups,"+s.BaseDN, nil)
		add.Attribute("objectClass", []string{"group"})
		add.Attribute("sAMAccountName", []string{name})
		return add
	})
	w.story()
	// What the domain protects is not lent, and the refusal leaves nothing to undo.
	w.must(w.asAdmin(func(c *goldap.Conn) error {
		m := goldap.NewModifyRequest(w.groups[0], nil)
		m.Replace("adminCount", []string{"1"})
		return c.Modify(m)
	}))
	w.must(w.intend("L8", w.tanaka, ofGroup(w.groups[0])))
	if _, err := w.Apply(t.Context(), "L8"); !errors.Is(err, elevate.ErrUnlendable) || !errors.Is(err, directory.ErrProtected) {
		t.Errorf("a protected group: %v", err)
	}
	w.undoAll()
	w.cleanup("L8", elevate.CleanupNone)
	if kerberos := w.Residuals([]policy.Gift{ofGroup(w.groups[0])}); len(kerberos) < 3 || kerberos[0].ID != "kerberos_tickets" {
		t.Errorf("residuals are %+v", kerberos)
	}
}

// TestSlapdStandsStill: F5 and F6 on a server that is stopped in the middle. It
// accepts what is written to it and answers nothing; when it goes on, it may do
// what nobody waits for any more.
func TestSlapdStandsStill(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{})
	w := onSlapd(t, s)
	w.dir.Close()
	w.config.OpTimeout = time.Second
	var err error
	w.dir, err = ldap.Open(t.Context(), w.config, w.clock.Now)
	w.must(err)
	t.Cleanup(w.dir.Close)
	good := w.dir
	w.Book = w.book(func(h *elevate.House) { h.Directory = good })
	w.lend("L1", w.tanaka, 60, w.ephemeral)
	w.must(w.intend("L2", w.tanaka, ofGroup(w.groups[0])))
	// Stopped between the first question of the activation and its wish.
	stopping := w.book(func(h *elevate.House) { h.Directory = &stopper{Directory: good, server: s} })
	elapsed := clock.Stopwatch()
	if _, err := stopping.Apply(t.Context(), "L2"); !errors.Is(err, directory.ErrAway) {
		t.Errorf("Apply = %v", err)
	}
	if took := elapsed(); took > 10*time.Second {
		t.Errorf("the caller waited for %v", took)
	}
	w.withdraw("L1")
	w.clock.Advance(10 * time.Second)
	if err := w.Undo(t.Context()); !errors.Is(err, directory.ErrAway) {
		t.Errorf("Undo = %v", err)
	}
	w.cleanup("L1", elevate.CleanupPending)
	w.must(s.Resume())
	clean := func() bool {
		w.clock.Advance(longestRest)
		_ = w.Undo(t.Context())
		one, err := w.Cleanup2("L1")
		w.must(err)
		waiting, err := w.Waiting(t.Context())
		w.must(err)
		return one == elevate.CleanupConfirmed && waiting.Count == 0
	}
	for i := 0; !clean(); i++ {
		if i == 20 {
			t.Fatal("not clean after its return")
		}
	}
	w.clock.Advance(time.Minute)
	w.undoAll()
	w.names(w.groups[0])
	w.names(w.groups[1])
}

const longestRest = 10 * time.Second

// A stopper stops the server when a membership is wished for.
type stopper struct {
	elevate.Directory
	server *slapd.Server
}

func (s *stopper) Join(ctx context.Context, group string, id directory.PersonID) (directory.Person, error) {
	if err := s.server.Pause(); err != nil {
		return directory.Person{}, err
	}
	return s.Directory.Join(ctx, group, id)
}
