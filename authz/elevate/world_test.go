package elevate_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/directory/embedded"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

const (
	base      = embeddedtest.Base
	dbAdmins  = "cn=db-admins,ou=groups," + base
	servers   = "cn=server-admins,ou=groups," + base
	cioGroup  = "cn=cio,ou=groups," + base
	admSwitch = "uid=adm-switch,ou=admins," + base
)

var start = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

// A world is a book on a real store and a real directory, with a clock of its
// own. The directory is looked at by a connection that Sekisho knows nothing of.
type world struct {
	testing.TB
	*elevate.Book
	db     *store.DB
	place  store.Config
	dir    *ldap.Directory
	server *embeddedtest.Server
	clock  *clock.Fake
	policy *policy.Policy
	tanaka directory.Person
	suzuki directory.Person

	mu     sync.Mutex
	told   []elevate.Finding
	forgot []directory.PersonID
}

func (w *world) Forget(id directory.PersonID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forgot = append(w.forgot, id)
}

func text(s string) secret.Text { return secret.NewText([]byte(s)) }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(start)}
	w.server = embeddedtest.Start(t, embedded.Config{Now: w.clock.Now, Seed: seed})
	w.dir = w.server.Dial()
	w.place = storetest.Place(t, storetest.Engine())
	w.db = storetest.OpenWith(t, w.place)
	for login, into := range map[string]*directory.Person{"tanaka": &w.tanaka, "suzuki": &w.suzuki} {
		var err error
		*into, err = w.dir.Create(t.Context(), directory.NewPerson{Login: login, Name: login, Kind: directory.KindStaff})
		w.must(err)
	}
	w.policy = policy.Standard()
	for i, post := range w.policy.Posts {
		if post.ID == policy.CIO {
			w.policy.Posts[i].Group = cioGroup
		}
	}
	w.policy.Privileges = privileges()
	w.Book = w.book()
	return w
}

func privileges() []policy.Privilege {
	p := func(id, standing string, g policy.Gift) policy.Privilege {
		return policy.Privilege{ID: id, Standing: standing, Gives: []policy.Gift{g}}
	}
	return []policy.Privilege{
		p("db-admin", policy.StandingRemove, ofGroup(dbAdmins)),
		p("server-admin", policy.StandingReport, ephemeral()),
		p("switch-admin", policy.StandingRemove, named()),
	}
}

func ofGroup(dn string) policy.Gift { return policy.Gift{Kind: policy.GiftGroup, Group: dn} }
func named() policy.Gift            { return policy.Gift{Kind: policy.GiftAccount, Account: admSwitch} }
func ephemeral() policy.Gift {
	return policy.Gift{Kind: policy.GiftEphemeral, Under: "ou=admins," + base, Prefix: "tmp-", Groups: []string{servers}}
}

func seed(add func(string, map[string][]string) error) error {
	for _, dn := range []string{dbAdmins, servers, cioGroup} {
		if err := add(dn, embeddedtest.Group(dn)); err != nil {
			return err
		}
	}
	return add(admSwitch, map[string][]string{
		"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson"}, "uid": {"adm-switch"}, "cn": {"通信機器"}, "sn": {"adm"},
		"employeeType": {"service"}, "userPassword": {"Former-word-1234"}, "pwdAccountLockedTime": {"000001010000Z"},
	})
}

// book is a gateway: its own book on the same store and directory.
func (w *world) book(change ...func(*elevate.House)) *elevate.Book {
	h := elevate.House{
		DB: w.db, Trail: audit.New(w.db, w.clock.Now), Directory: w.dir, Policy: func() *policy.Policy { return w.policy },
		Forget: w, Now: w.clock.Now,
		Tell: func(_ context.Context, _ *store.Tx, f elevate.Finding) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, f)
			return nil
		},
	}
	for _, c := range change {
		c(&h)
	}
	return elevate.New(h)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func who(p directory.Person) elevate.Who { return elevate.Who{ID: p.ID, Login: p.Login, Name: p.Name} }

func (w *world) tx(fn func(tx *store.Tx) error) error { return w.db.WithTx(w.Context(), fn) }

func (w *world) intend(lease string, p directory.Person, gifts ...policy.Gift) error {
	return w.tx(func(tx *store.Tx) error {
		return w.Intend(w.Context(), tx, lease, who(p), gifts, w.clock.Now().Add(time.Hour))
	})
}

// lend is a whole activation.
func (w *world) lend(lease string, p directory.Person, minutes int, gifts ...policy.Gift) elevate.Result {
	w.Helper()
	w.must(w.intend(lease, p, gifts...))
	got, err := w.Apply(w.Context(), lease)
	w.must(err)
	w.must(w.keep(lease, minutes))
	w.must(w.Undo(w.Context())) // tells the directory the end
	return got
}

func (w *world) keep(lease string, minutes int) error {
	return w.tx(func(tx *store.Tx) error {
		return w.Keep(w.Context(), tx, lease, w.clock.Now().Add(time.Duration(minutes)*time.Minute))
	})
}

func (w *world) withdraw(lease string) {
	w.Helper()
	w.must(w.tx(func(tx *store.Tx) error { return w.Withdraw(w.Context(), tx, lease) }))
}

func (w *world) cleanup(lease string, want elevate.Cleanup) {
	w.Helper()
	if got, err := w.Cleanup2(lease); err != nil || got != want {
		w.Errorf("cleanup of %s is %q, %v, want %q", lease, got, err, want)
	}
}

func (w *world) Cleanup2(lease string) (elevate.Cleanup, error) {
	return w.Book.Cleanup(w.Context(), w.db, lease)
}

// Cleanup of the test and not of the book.
func (w *world) Cleanup(fn func()) { w.TB.Cleanup(fn) }

func (w *world) inGroup(groupDN string, want ...string) {
	w.Helper()
	got := w.server.Members(groupDN)
	slices.Sort(want)
	if !slices.EqualFunc(got, want, strings.EqualFold) {
		w.Errorf("in %s are %v, want %v", groupDN, got, want)
	}
}

// lent are the logins of the IDs where they are lent.
func (w *world) lent() []string {
	w.Helper()
	c := w.server.Look()
	defer c.Close()
	result, err := c.Search(goldap.NewSearchRequest("ou=admins,"+base, goldap.ScopeSingleLevel, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"uid", "description"}, nil))
	w.must(err)
	var all []string
	for _, e := range result.Entries {
		all = append(all, e.GetAttributeValue("uid"))
	}
	return all
}

// entries counts what the trail says of an action.
func (w *world) entries(action string) int {
	w.Helper()
	return storetest.Entries(w, w.db, `"action":"`+action+`"`)
}

// undoAll lets the background work until nothing is due, as far as a clock that
// stands still allows.
func (w *world) undoAll() {
	w.Helper()
	w.must(w.Undo(w.Context()))
}

// add puts anything into a group, as the directory's administrator.
func (w *world) add(groupDN, memberDN string) error {
	c := w.server.Look()
	defer c.Close()
	m := goldap.NewModifyRequest(groupDN, nil)
	m.Add("member", []string{memberDN})
	return c.Modify(m)
}
