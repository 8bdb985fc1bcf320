package recertify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/authz/lifecycle"
	"sekisho/authz/permit"
	"sekisho/directory"
	"sekisho/directory/embedded"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// t0 is noon of 31 March 2026 in Japan: the day before the rounds begin.
var t0 = time.Date(2026, 3, 31, 3, 0, 0, 0, time.UTC)

const dba = "cn=dba,ou=groups," + embeddedtest.Base

// A member is one ID of the test's prefecture.
type member struct {
	login string
	posts []policy.PostID
	dba   bool
	more  map[string][]string
}

// officials are who reviews: two managers of joho, and who stands above.
var officials = []member{
	{login: "yamamoto", posts: []policy.PostID{policy.SecurityManager}}, {login: "nakamura", posts: []policy.PostID{policy.SecurityManager}},
	{login: "kobayashi", posts: []policy.PostID{policy.SecurityOfficer}}, {login: "ishii", posts: []policy.PostID{policy.SecurityOfficer}},
	{login: "yoshida", posts: []policy.PostID{policy.CIO}}, {login: "ogawa", posts: []policy.PostID{policy.CIO}},
	{login: "sato", posts: []policy.PostID{policy.SystemAdministrator}}, {login: "kato", posts: []policy.PostID{policy.SystemAdministrator}},
	{login: "kansa", posts: []policy.PostID{policy.Auditor}},
}

// A world is a book on a real store and a real directory, with the rooms that own what it
// ends, and a clock of its own.
type world struct {
	testing.TB
	*Book
	db     *store.DB
	dir    *ldap.Directory
	server *embeddedtest.Server
	clock  *clock.Fake
	policy *policy.Policy
	gate   *authztest.Gate
	ring   *secret.KeyRing
	sealed register
	death  authztest.Death
}

func newWorld(t testing.TB, kind string, people ...member) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0)}
	all := append(append([]member{}, officials...), people...)
	w.server = embeddedtest.Start(t, embedded.Config{Now: w.clock.Now, Seed: func(add embeddedtest.Add) error { return seed(add, all) }})
	w.dir, w.db, w.policy, w.ring = w.server.Dial(), storetest.Open(t), authztest.Rules(), authztest.Ring(t)
	w.policy.Privileges = []policy.Privilege{
		{ID: "db-admin", Eligible: policy.Eligible{Groups: []string{dba}}}, {ID: "net", Eligible: policy.Eligible{Posts: []policy.PostID{policy.SystemAdministrator}}},
	}
	w.policy.Recertification.Campaigns = []policy.RecertifyCampaign{{
		ID: "spring", Name: policy.Words{JA: "春の棚卸し", EN: "Spring review"}, Kind: kind, Every: policy.EveryHalfYear, Month: 4, Day: 1, Hour: 6, Days: 14, RemindDays: 5,
	}}
	w.policy.Recertification.StopShare, w.policy.Recertification.StopFew, w.policy.Recertification.EndsAlone = 5, 10, 20
	w.Book = w.gateway(w.dir)
	w.tick() // what is new begins with its next time
	return w
}

func seed(add embeddedtest.Add, people []member) error {
	var all []embeddedtest.Person
	var admins []string
	for i, m := range people {
		entry := map[string][]string{"cn": {"例 " + m.login}, "employeeNumber": {fmt.Sprintf("N%04d", i)}, "createTimestamp": {"20240401000000Z"}}
		maps.Copy(entry, m.more)
		all = append(all, embeddedtest.Person{Login: m.login, Posts: m.posts, More: entry})
		if m.dba {
			admins = append(admins, embeddedtest.PersonDN(m.login))
		}
	}
	if err := embeddedtest.Seed(add, all); err != nil {
		return err
	}
	return add(dba, embeddedtest.Group(dba, admins...))
}

// gateway is a gate of its own on the same store.
func (w *world) gateway(dir Directory) *Book {
	w.gate = authztest.Ground{DB: w.db, Dir: w.dir, Ring: w.ring, Policy: func() *policy.Policy { return w.policy }}.Gate(w.clock.Now)
	g := w.gate
	permits := permit.New(permit.House{DB: w.db, Trail: g.Trail, Policy: g.Policy, Version: authztest.Version, Matters: g.Matters, Facts: g.Watch, Sessions: g.Sessions, Notices: g.Notices, Now: g.Now})
	life := lifecycle.New(lifecycle.House{
		DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: w.dir, Sessions: g.Sessions, Permits: permits, Matters: g.Matters, Notices: g.Notices, Sealed: &w.sealed,
		Forget: g.Watch, Now: g.Now,
	})
	return New(House{
		DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: dir, IDs: life, Permits: permits, Matters: g.Matters, Sessions: g.Sessions, Notices: g.Notices, Forget: g.Watch,
		Now: g.Now, Stop: w.death.Stop,
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) tick() { w.Helper(); w.must(w.Tick(w.Context())) }

// on has it be a day of Japan's calendar at noon.
func (w *world) on(day string) {
	w.Helper()
	at, ok := policy.JapanDay(day)
	if !ok {
		w.Fatal(day)
	}
	w.clock.Advance(at.Add(12 * time.Hour).Sub(w.clock.Now()))
}

// pass goes through days until one, at noon, with all that is due.
func (w *world) pass(until string) {
	w.Helper()
	for day := policy.DayInJapan(w.clock.Now()); day < until; {
		w.clock.Advance(24 * time.Hour)
		w.tick()
		day = policy.DayInJapan(w.clock.Now())
	}
}

// round is the newest.
func (w *world) round() Round {
	w.Helper()
	all, err := rounds(w.Context(), w.db, `1 = 1 ORDER BY began_at DESC LIMIT 1`)
	w.must(err)
	if len(all) == 0 {
		w.Fatal("there is no round")
	}
	return all[0]
}

// line is the newest round's about somebody.
func (w *world) line(login string) Line {
	w.Helper()
	all, err := lines(w.Context(), w.db, `campaign = $1 AND login = $2 ORDER BY object`, w.round().ID, login)
	w.must(err)
	if len(all) == 0 {
		w.Fatalf("there is no line about %s", login)
	}
	return all[0]
}

// isLine looks at what became of somebody's line.
func (w *world) isLine(login string, state LineState, reason string) {
	w.Helper()
	if l := w.line(login); l.State != state || l.Reason != reason {
		w.Errorf("%s: %s %q, want %s %q", login, l.State, l.Reason, state, reason)
	}
}

func (w *world) as(login string) approval.Approver {
	w.Helper()
	return w.gate.SignIn(w, login, t0.AddDate(-1, 0, 0))
}

// decide has somebody decide lines about others.
func (w *world) decide(by string, end bool, logins ...string) (Result, error) {
	w.Helper()
	var ids []string
	for _, l := range logins {
		ids = append(ids, w.line(l).ID)
	}
	comment := ""
	if end {
		comment = "異動した"
	}
	return w.DecideAs(w.Context(), w.as(by), w.round().ID, ids, end, comment)
}

// confirmAll has everybody's line but some confirmed, by the managers and those above.
func (w *world) confirmAll(but ...string) {
	w.Helper()
	open, err := lines(w.Context(), w.db, `campaign = $1 AND state = 'open'`, w.round().ID)
	w.must(err)
	for _, l := range open {
		skip := false
		for _, b := range but {
			skip = skip || b == l.Person.Login
		}
		if skip {
			continue
		}
		by := "yamamoto"
		switch {
		case l.Apex:
			by = "kobayashi"
		case l.Person.Login == by:
			by = "nakamura"
		}
		_, err := w.DecideAs(w.Context(), w.as(by), l.Round, []string{l.ID}, false, "")
		w.must(err)
	}
}

func (w *world) person(login string) directory.Person { w.Helper(); return w.gate.Person(w, login) }

func (w *world) told(login string, k notice.Kind) int {
	w.Helper()
	return w.gate.Told(w, w.person(login).ID, k)
}

func (w *world) count(q string, args ...any) int {
	w.Helper()
	return storetest.Count(w, w.db, q, args...)
}

func (w *world) entries(parts ...string) int {
	w.Helper()
	return storetest.Entries(w, w.db, parts...)
}

// permitted gives somebody remote access, as a decision would have.
func (w *world) permitted(id, login string) {
	w.Helper()
	who := approval.Ref(w.person(login))
	body, err := json.Marshal(map[string]any{"person": who, "requester": who, "reason": "在宅勤務", "zone": "lgwan", "decided_at": store.Micros(t0)})
	w.must(err)
	w.must(w.db.WithTx(w.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(w.Context(), `
			INSERT INTO permit (id, kind, person_id, requester_id, application, terminal, enforced, state, version, asked_at, starts_at, ends_at, due_at, matter, changed_at, used_at, body, section, decided_at)
			VALUES ($1, 'remote_access', $2, $2, '', '', 1, 'approved', 1, $3, $3, $4, $4, '', $3, $5, $6, $7, $3)`,
			id, string(who.ID), store.Micros(t0), store.Micros(t0.AddDate(1, 0, 0)), store.Micros(t0.AddDate(0, 0, -3)), string(body), who.Section)
		return err
	}))
}

// register are logins of IDs that lie in envelopes.
type register []string

func (r *register) Among(_ context.Context, _ store.Reader, logins []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, l := range *r {
		out[l] = true
	}
	return out, nil
}

// broken is a directory that answers otherwise.
type broken struct {
	Directory
	stream func(ctx context.Context, each func(directory.Person) error) error
	byID   func(ctx context.Context, id directory.PersonID) (directory.Person, error)
	leave  func(ctx context.Context, groupDN string, id directory.PersonID, formerDN string) error
}

func (b *broken) Stream(ctx context.Context, each func(directory.Person) error) error {
	if b.stream != nil {
		return b.stream(ctx, each)
	}
	return b.Directory.Stream(ctx, each)
}

func (b *broken) ByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	if b.byID != nil {
		return b.byID(ctx, id)
	}
	return b.Directory.ByID(ctx, id)
}

func (b *broken) Leave(ctx context.Context, groupDN string, id directory.PersonID, formerDN string) error {
	if b.leave != nil {
		return b.leave(ctx, groupDN, id, formerDN)
	}
	return b.Directory.Leave(ctx, groupDN, id, formerDN)
}
