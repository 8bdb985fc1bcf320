package grant

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/directory/embedded"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

const (
	base      = "dc=pref,dc=example"
	adminDN   = "cn=admin," + base
	adminWord = "admin-of-this-test"
	dbAdmins  = "cn=db-admins,ou=groups," + base
	servers   = "cn=server-admins,ou=groups," + base
)

// staff are those of the test's prefecture, all in one section, and their posts.
var staff = map[string][]policy.PostID{
	"sato": {policy.SystemAdministrator}, "takahashi": {policy.SystemAdministrator}, "ito": {policy.SystemOperator},
	"yamamoto": {policy.SecurityManager}, "nakamura": {policy.SecurityManager}, "kobayashi": {policy.SecurityOfficer}, "kato": {policy.SecurityOfficer},
	"yoshida": {policy.CIO}, "yamada": {policy.CIO}, "sasaki": {policy.CSIRT}, "inoue": {policy.Auditor}, "tanaka": {policy.Staff},
}

func groupOf(id policy.PostID) string {
	return "cn=" + strings.ReplaceAll(string(id), "_", "-") + ",ou=groups," + base
}

// A world is leases on a real store and a real directory, with a clock of its
// own. The directory is looked at by a connection that Sekisho knows nothing of.
type world struct {
	testing.TB
	*Book
	db       *store.DB
	dir      *ldap.Directory
	server   *embedded.Server
	clock    *clock.Fake
	policy   *policy.Policy
	sessions *session.Sessions
	watch    *standing.Watch
	matters  *approval.Book
	effects  *elevate.Book
	folder   string
	address  string
	hasher   *secret.Hasher
	ring     *secret.KeyRing
	signed   map[string]By

	mu   sync.Mutex
	stop string
}

func text(s string) secret.Text { return secret.NewText([]byte(s)) }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0), folder: t.TempDir(), signed: map[string]By{}}
	w.hasher = secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, nil, 64)
	w.openDirectory("127.0.0.1:0")
	var err error
	w.dir, err = ldap.Open(t.Context(), ldap.Config{
		Servers: []string{w.server.URL()}, BindDN: adminDN, BindPassword: text(adminWord), BaseDN: base, Schema: "embedded", OpTimeout: 10 * time.Second,
	}, w.clock.Now)
	w.must(err)
	t.Cleanup(w.dir.Close)
	w.db = storetest.Open(t)
	w.policy = rules()
	w.ring, err = secret.CreateKeyRing(filepath.Join(w.folder, "ring"))
	w.must(err)
	w.build()
	return w
}

func rules() *policy.Policy {
	p := policy.Standard()
	p.Sections = []policy.Section{{ID: "dejitaru"}, {ID: "joho", Parent: "dejitaru"}}
	for i := range p.Posts {
		p.Posts[i].Group = groupOf(p.Posts[i].ID)
	}
	for i := range p.Zones {
		p.Zones[i].MailNotices = true
	}
	p.Mail.From = "sekisho@pref.example"
	borrowers := policy.Eligible{Posts: []policy.PostID{policy.SystemAdministrator, policy.SystemOperator}}
	lend := func(id string, change func(*policy.Privilege), gifts ...policy.Gift) policy.Privilege {
		v := changed(plain, func(v *policy.Privilege) {
			v.ID, v.Name, v.Gives, v.Eligible = id, policy.Words{JA: id, EN: id}, gifts, borrowers
			v.Approvers = policy.Approvers{Posts: []policy.PostID{policy.SecurityManager}, Quorum: 1, Where: policy.ApproversAnywhere}
			v.Standing = policy.StandingRemove
		})
		change(&v)
		return v
	}
	group := policy.Gift{Kind: policy.GiftGroup, Group: dbAdmins}
	ephemeral := policy.Gift{Kind: policy.GiftEphemeral, Under: "ou=admins," + base, Prefix: "tmp-", Groups: []string{servers}}
	p.Privileges = []policy.Privilege{
		lend("db-admin", func(*policy.Privilege) {}, group),
		lend("claims", func(v *policy.Privilege) { v.Emergency = true }, policy.Gift{Kind: policy.GiftApplication, Application: "zaimu", Roles: []string{"closer"}}),
		lend("pair", func(v *policy.Privilege) { v.TwoPerson, v.WitnessEvery, v.Emergency = true, 5*time.Minute, false }, group),
		lend("server", func(v *policy.Privilege) { v.Emergency = false }, ephemeral),
		lend("server-pair", func(v *policy.Privilege) { v.TwoPerson, v.WitnessEvery, v.Emergency = true, 5*time.Minute, false }, ephemeral),
		lend("batch", func(v *policy.Privilege) { v.OutlivesSession, v.Emergency = true, false }, policy.Gift{Kind: policy.GiftApplication, Application: "zaimu"}),
	}
	return p
}

// build makes the rooms of one process on what is stored: again, after one died.
func (w *world) build() {
	w.Book, w.sessions, w.matters, w.effects, w.watch = w.gateway(w.clock.Now)
}

func (w *world) gateway(now clock.Now) (*Book, *session.Sessions, *approval.Book, *elevate.Book, *standing.Watch) {
	pol := func() *policy.Policy { return w.policy }
	trail := audit.New(w.db, now)
	watch := standing.NewWatch(w.db, w.dir, now)
	sessions := session.New(w.db, w.ring, trail, watch, pol, now)
	notices := notice.New(w.db, now, pol)
	matters := approval.New(approval.House{
		DB: w.db, Trail: trail, Policy: pol, Version: func() int64 { return 7 }, People: w.dir, Facts: watch, Notices: notices, Now: now,
	})
	effects := elevate.New(elevate.House{DB: w.db, Trail: trail, Directory: w.dir, Policy: pol, Forget: watch, Now: now})
	book := New(House{
		DB: w.db, Trail: trail, Policy: pol, Version: func() int64 { return 7 }, Matters: matters, Effects: effects, People: watch,
		Holders: w.dir, Sessions: sessions, Notices: notices, Sealing: w.ring, Now: now, Stop: w.stopped,
	})
	book.Open(matters)
	return book, sessions, matters, effects, watch
}

var errDied = errors.New("died, says the test")

func (w *world) stopped(point string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop == point {
		return fmt.Errorf("%w at %s", errDied, point)
	}
	return nil
}

// dieAt has the next call end at a point; "" mends it.
func (w *world) dieAt(point string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop = point
}

func (w *world) openDirectory(listen string) {
	w.Helper()
	var err error
	w.server, err = embedded.Start(w.Context(), embedded.Config{
		Dir: filepath.Join(w.folder, "ldap"), Listen: listen, BaseDN: base, AdminPassword: text(adminWord), Hasher: w.hasher, Now: w.clock.Now,
		Seed: func(add func(string, map[string][]string) error) error {
			members := map[policy.PostID][]string{}
			for login, posts := range staff {
				dn := "uid=" + login + ",ou=people," + base
				err := add(dn, map[string][]string{
					"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"}, "uid": {login}, "cn": {login}, "sn": {login},
					"mail": {login + "@pref.example"}, "departmentNumber": {"joho"}, "employeeType": {"staff"},
				})
				if err != nil {
					return err
				}
				for _, id := range posts {
					members[id] = append(members[id], dn)
				}
			}
			for _, id := range policy.PostIDs() {
				if err := add(groupOf(id), ofNames(groupOf(id), members[id]...)); err != nil {
					return err
				}
			}
			return errors.Join(add(dbAdmins, ofNames(dbAdmins)), add(servers, ofNames(servers)))
		},
	})
	w.must(err)
	w.address = w.server.Addr()
	server := w.server
	w.TB.Cleanup(func() { _ = server.Close() })
}

func ofNames(dn string, members ...string) map[string][]string {
	cn, _, _ := strings.Cut(strings.TrimPrefix(dn, "cn="), ",")
	return map[string][]string{"objectClass": {"top", "groupOfNames"}, "cn": {cn}, "member": append(members, "cn=nobody,"+base)}
}

func (w *world) away() { w.Helper(); w.must(w.server.Close()) }
func (w *world) back() { w.Helper(); w.openDirectory(w.address) }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) refused(err error, want Reason) {
	w.Helper()
	if why(err) != want {
		w.Errorf("answered %v, want %s", err, want)
	}
}

// as is somebody who signed in with a key of last year, once in this world.
func (w *world) as(login string) By {
	w.Helper()
	if by, ok := w.signed[login]; ok {
		return w.afresh(by)
	}
	return w.signIn(login)
}

// signIn has somebody sign in anew.
func (w *world) signIn(login string) By {
	w.Helper()
	p, err := w.dir.Find(w.Context(), login)
	w.must(err)
	var id string
	w.must(w.tx(func(tx *store.Tx) error {
		n, _, err := w.sessions.Begin(w.Context(), tx, session.Session{
			Person: p.ID, Login: login, Zone: policy.LGWAN, ACR: policy.PHR, AuthAt: w.clock.Now(), From: "10.2.0.9",
		})
		id = n.ID
		return err
	}))
	w.signed[login] = By{
		Holder: approval.Holder{Person: p}, Usable: true, ACR: policy.PHR, AuthAt: w.clock.Now(), FactorAt: t0.AddDate(-1, 0, 0),
		SessionID: id, From: "10.2.0.9", Zone: policy.LGWAN, RequestID: "r1",
	}
	return w.afresh(w.signed[login])
}

// afresh is somebody as the directory has them now.
func (w *world) afresh(by By) By {
	w.Helper()
	p, err := w.dir.ByID(w.Context(), by.Person.ID)
	w.must(err)
	by.Person, by.Posts, by.Usable = p, w.policy.PostsOf(p.Groups), p.Account.Usable(w.clock.Now())
	by.AuthAt = w.clock.Now() // the age of a sign-in has tests of its own
	return by
}

func (w *world) tx(fn func(tx *store.Tx) error) error { return w.db.WithTx(w.Context(), fn) }

func (w *world) wish(privilege string, m int) Wish {
	return Wish{Privilege: privilege, Reason: "障害対応", For: time.Duration(m) * time.Minute}
}

func (w *world) ask(login, privilege string, m int) Lease {
	w.Helper()
	l, err := w.Ask(w.Context(), w.as(login), w.wish(privilege, m))
	w.must(err)
	return l
}

func (w *world) decide(login string, l Lease, yes bool) {
	w.Helper()
	now, err := w.Get(w.Context(), l.ID)
	w.must(err)
	matter := now.Matter
	if now.Extension.Matter != "" {
		matter = now.Extension.Matter
	}
	_, err = w.matters.Decide(w.Context(), w.as(login), matter, yes, "決めた")
	w.must(err)
}

// approved is a lease that yamamoto approved.
func (w *world) approved(login, privilege string, m int) Lease {
	w.Helper()
	l := w.ask(login, privilege, m)
	w.decide("yamamoto", l, true)
	return w.get(l)
}

func (w *world) active(login, privilege string, m int) Lease {
	w.Helper()
	l := w.approved(login, privilege, m)
	l, _, err := w.Activate(w.Context(), w.as(login), l.ID)
	w.must(err)
	return l
}

func (w *world) get(l Lease) Lease {
	w.Helper()
	l, err := w.Get(w.Context(), l.ID)
	w.must(err)
	return l
}

func (w *world) isState(l Lease, want State) {
	w.Helper()
	if got := w.get(l).State(w.clock.Now()); got != want {
		w.Errorf("the lease is %s, want %s", got, want)
	}
}

// lives reports whether the gate goes by a lease of somebody.
func (w *world) lives(login string) bool {
	w.Helper()
	given, err := w.Live(w.Context(), w.as(login).Person)
	w.must(err)
	return len(given) > 0
}

// members are whom a group names, by an independent search.
func (w *world) members(groupDN string) []string {
	w.Helper()
	c, err := goldap.DialURL("ldap://" + w.address)
	w.must(err)
	defer c.Close()
	w.must(c.Bind(adminDN, adminWord))
	result, err := c.Search(goldap.NewSearchRequest(groupDN, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"member"}, nil))
	w.must(err)
	var out []string
	for _, dn := range result.Entries[0].GetAttributeValues("member") {
		login, _, _ := strings.Cut(strings.TrimPrefix(dn, "uid="), ",")
		if !strings.HasPrefix(dn, "cn=nobody,") {
			out = append(out, login)
		}
	}
	slices.Sort(out)
	return out
}

func (w *world) inGroup(groupDN string, want ...string) {
	w.Helper()
	if got := w.members(groupDN); !slices.Equal(got, want) {
		w.Errorf("in %s are %v, want %v", groupDN, got, want)
	}
}

// settled lets the background of one gateway work until nothing is due.
func (w *world) settle() {
	w.Helper()
	w.must(w.Tidy(w.Context()))
	w.must(w.effects.Undo(w.Context()))
}

func (w *world) count(q string, args ...any) int {
	w.Helper()
	var n int
	w.must(w.db.QueryRow(w.Context(), q, args...).Scan(&n))
	return n
}

// entries counts the trail's entries that hold all the parts, in this order.
func (w *world) entries(parts ...string) int {
	w.Helper()
	return w.count(`SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE $1`, "%"+strings.Join(parts, "%")+"%")
}

func (w *world) told(login string, k notice.Kind) int {
	w.Helper()
	return w.count(`SELECT COUNT(*) FROM notice WHERE person_id = $1 AND kind = $2`, string(w.as(login).Person.ID), string(k))
}

func (w *world) id(login string) directory.PersonID { w.Helper(); return w.as(login).Person.ID }
