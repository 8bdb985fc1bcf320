package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/passkey/passkeytest"
	"sekisho/test/harness"
	"sekisho/test/postgres"
)

// What a site lends: its members of staff borrow, its security officer decides.
const siteLends = `privileges:
  - id: db-admin
    name: {ja: データベース管理, en: Database administration}
    gives: [{kind: group, group: "cn=db-admins,ou=groups,dc=pref,dc=example"}]
    eligible: {posts: [staff]}
    approvers: {posts: [security_officer], quorum: 1, where: anywhere}
    longest: 60m
    acr: aal2
    fresh_for: 8h
    work_record: false
  - id: server-admin
    name: {ja: サーバー管理, en: Server administration}
    gives: [{kind: ephemeral, under: "ou=admins,dc=pref,dc=example", prefix: tmp-, groups: ["cn=server-admins,ou=groups,dc=pref,dc=example"]}]
    eligible: {posts: [staff]}
    approvers: {posts: [security_officer], quorum: 1, where: anywhere}
    acr: aal2
    fresh_for: 8h
    work_record: false
`

// A lending is a site that lends, whose people have had their passkeys since
// yesterday: a key that is younger decides nothing.
type lending struct {
	*harness.Site
	clock *stageClock
	keys  map[string]*passkeytest.Key
	group string
}

func newLending(t *testing.T, o harness.SiteOptions, people ...string) *lending {
	t.Helper()
	o.Local, o.Rules = true, siteLends+o.Rules
	l := &lending{Site: harness.NewSite(t, o), keys: map[string]*passkeytest.Key{}}
	l.Variant(t, l.Policy, "policy.yaml", "host: other.pref.example, zone: lgwan, class: 2",
		"host: other.pref.example, zone: lgwan, class: 2, paths: [{path: /kanri, requires_privilege: db-admin}]")
	l.group = "cn=db-admins,ou=groups," + l.Slapd.BaseDN
	l.Directory(t, func(c *goldap.Conn) error {
		for _, name := range []string{"db-admins", "server-admins"} {
			add := goldap.NewAddRequest("cn="+name+",ou=groups,"+l.Slapd.BaseDN, nil)
			add.Attribute("objectClass", []string{"groupOfNames"})
			add.Attribute("member", []string{"cn=nobody," + l.Slapd.BaseDN})
			if err := c.Add(add); err != nil {
				return err
			}
		}
		return nil
	})
	l.clock = newStageClock(t, l.Dir, -25*time.Hour)
	yesterday := plays(t, l.Site, l.clock)
	for i, login := range people {
		c := l.Behind(fmt.Sprintf("10.2.0.%d", i+1))
		l.Members[login].SignIn(t, c)
		k, a := c.EnrolPasskey(t, l.PublicURL)
		if a.Status != http.StatusCreated {
			t.Fatalf("enrolling a passkey: %d %s", a.Status, a.Body)
		}
		l.keys[login] = k
	}
	yesterday.Stop(t)
	l.clock.set(t, 0)
	return l
}

// in signs somebody in at a gate by their passkey.
func (l *lending) in(t *testing.T, g *stagedGate, login string) borrower {
	t.Helper()
	c := g.Behind("10.2.0.9")
	if s, a := c.Passkey(t, l.keys[login]); s.State != "signed_in" {
		t.Fatalf("signing %s in by passkey: %d %s", login, a.Status, a.Body)
	}
	return borrower{t, c, login}
}

// moves is the same browser at another gate, with the handle that it has now: an
// activation replaces it.
func (b borrower) moves(g *stagedGate) borrower { return borrower{b.t, at(g.Site, b.Client), b.login} }

// tries asks for an act about a lease, where the gate may die meanwhile.
func (b borrower) tries(path string, body any) (status int, e elevation) {
	a, err := b.Try("POST", "/api/v1/elevations"+path, body)
	if err != nil {
		return 0, e
	}
	_ = json.Unmarshal(a.Body, &e) // a refusal is none
	return a.Status, e
}

// asks has a lease asked for and approved.
func (l *lending) asks(t *testing.T, who, officer borrower) elevation {
	t.Helper()
	e := who.does("", saying{"privilege": "db-admin", "reason": "索引を作り直す", "minutes": 10}, http.StatusCreated).is(t, "pending")
	return officer.does("/"+e.ID+"/approve", nil, http.StatusOK).is(t, "approved")
}

// borrows has a lease asked for, approved and activated.
func (l *lending) borrows(t *testing.T, who, officer borrower) elevation {
	t.Helper()
	e := who.does("/"+l.asks(t, who, officer).ID+"/activate", nil, http.StatusOK).is(t, "active")
	l.has(t, who.login, true, "activated, and the directory does not know")
	return e
}

// members are the people in the group, as slapd has them: it never is empty.
func (l *lending) members(t *testing.T) []string {
	t.Helper()
	return people(l.Attribute(t, l.group, "member"))
}

func people(members []string) (dns []string) {
	for _, dn := range members {
		if dn = strings.ToLower(dn); strings.Contains(dn, ",ou=people,") {
			dns = append(dns, dn)
		}
	}
	return dns
}

func (l *lending) member(t *testing.T, login string) bool {
	t.Helper()
	for _, dn := range l.members(t) {
		if dn == strings.ToLower(l.Members[login].DN) {
			return true
		}
	}
	return false
}

func (l *lending) has(t *testing.T, login string, want bool, says string) {
	t.Helper()
	if l.member(t, login) != want {
		t.Errorf("%s: the members are %v", says, l.members(t))
	}
}

// clean waits until the directory is rid of what a lease gave.
func (l *lending) clean(t *testing.T, when string) {
	t.Helper()
	begun := time.Now()
	harness.Until(t, when+", the directory to be clean", func() bool { return len(l.members(t)) == 0 })
	t.Logf("%s: clean after %v", when, time.Since(begun).Round(time.Millisecond))
}

// opens asks a gate for what takes the privilege.
func opens(t *testing.T, g *stagedGate, cookie string) int {
	t.Helper()
	return g.Behind("10.2.0.9").Do(t, "GET", "/auth/check", nil, "X-Original-URL", "https://other.pref.example/kanri/x", "X-Original-Method", "GET", "Cookie", cookie).Status
}

// visits opens the application anew, as its visitor does when a lease has begun: what
// was opened before ended with that.
func visits(t *testing.T, g *stagedGate, who borrower) string {
	t.Helper()
	return appCookie(t, g.Site, who.Client, "other")
}

// shuts waits until a gate refuses, and complains about any request that was let
// through although it began later than allowed after the lease was over. What
// counts is when a request began, not how soon it was answered: a gate that a busy
// machine keeps from its polls asks the store itself.
func shuts(t *testing.T, g *stagedGate, cookie string, over time.Time, allowed time.Duration, when string) {
	t.Helper()
	harness.Until(t, when+", a gate to refuse", func() bool {
		begun := time.Now()
		got := opens(t, g, cookie)
		if late := begun.Sub(over); got == http.StatusOK && late > allowed {
			t.Errorf("%s: a request that began %v after the end was let through", when, late)
			return true
		}
		return got == http.StatusForbidden
	})
}

// TestLeasesAtTwoGates: two gates, PostgreSQL and slapd. Whatever of the gates is
// stopped or killed, and wherever, a lease that is over is refused at once at the
// others, the directory is rid of it, and who comes back does nothing stale
// (security.md section 3: F1, F3, F4; I1 to I4).
func TestLeasesAtTwoGates(t *testing.T) {
	t.Parallel()
	l := newLending(t, harness.SiteOptions{Store: harness.OnPostgres(t, postgres.Start(t, postgres.Options{}), ""), Rules: "session: {max_per_person: 50}"},
		"tanaka", "suzuki", "kobayashi")
	beside := l.Beside(t)
	t.Run("of serve", func(t *testing.T) { atServe(t, l, beside) })
	t.Run("both at once", func(t *testing.T) { bothAtOnce(t, l, beside) })
	t.Run("stopped in the middle", func(t *testing.T) { stoppedInTheMiddle(t, l, beside) })
	t.Run("killed in the middle", func(t *testing.T) { killedInTheMiddle(t, l, beside) })
	l.accounts(t)
}

// atServe: real processes of the command, stopped and killed from outside.
func atServe(t *testing.T, l *lending, beside *harness.Site) {
	a, b := serves(t, l.Site), serves(t, beside)
	tanaka := l.in(t, a, "tanaka")
	for range short(1, 20) {
		officer := l.in(t, b, "kobayashi")
		e := l.borrows(t, tanaka, officer)
		cookie := visits(t, a, tanaka)
		for _, g := range []*stagedGate{a, b} {
			harness.Until(t, "both gates to know of the lease", func() bool { return opens(t, g, cookie) == http.StatusOK })
		}
		tanaka.does("/"+e.ID+"/end", nil, http.StatusOK).is(t, "ended")
		over := time.Now()
		shuts(t, a, cookie, over, 0, "given back here")
		shuts(t, b, cookie, over, time.Second, "given back at the other")
		l.clean(t, "given back")

		e = l.borrows(t, tanaka, officer)
		cookie = visits(t, a, tanaka)
		harness.Until(t, "the gate to know of the lease", func() bool { return opens(t, b, cookie) == http.StatusOK })
		officer.does("/"+e.ID+"/revoke", saying{"comment": "不審な操作"}, http.StatusOK).is(t, "revoked")
		over = time.Now()
		shuts(t, b, cookie, over, 0, "revoked here")
		shuts(t, a, cookie, over, time.Second, "revoked at the other")
		l.clean(t, "revoked")

		// Stopped while the lease ends at the other: what it holds in memory is as old
		// as its sleep, and it knows.
		e = l.borrows(t, tanaka, officer)
		cookie = visits(t, a, tanaka)
		harness.Until(t, "the gate to know of the lease", func() bool { return opens(t, a, cookie) == http.StatusOK })
		a.freeze(t)
		officer.does("/"+e.ID+"/revoke", saying{"comment": "不審な操作"}, http.StatusOK)
		over = time.Now()
		shuts(t, b, cookie, over, 0, "revoked beside one that is stopped")
		l.clean(t, "revoked beside one that is stopped")
		harness.Until(t, "its sleep to be longer than a copy is believed", func() bool { return time.Since(over) > time.Second })
		a.thaw(t)
		shuts(t, a, cookie, over, time.Second, "revoked while it was stopped")

		// Stopped again, while another is lent: it takes nothing away when it wakes.
		a.freeze(t)
		there := tanaka.moves(b)
		next := l.borrows(t, there, officer)
		cookie = visits(t, b, there)
		harness.Until(t, "the other gate to know of the next lease", func() bool { return opens(t, b, cookie) == http.StatusOK })
		a.thaw(t)
		tanaka = there.moves(a)
		tanaka.sees(e.ID).is(t, "revoked")
		harness.Until(t, "who was stopped to know of the next lease", func() bool { return opens(t, a, cookie) == http.StatusOK })
		// It has worked through what it had to do when it lends and takes again.
		suzuki := l.in(t, a, "suzuki")
		suzuki.does("/"+l.borrows(t, suzuki, officer).ID+"/end", nil, http.StatusOK)
		harness.Until(t, "the second person to be out", func() bool { return !l.member(t, "suzuki") })
		l.has(t, "tanaka", true, "who was stopped took away what it had no business with")

		// Killed while the lease lives: the other goes on with it, and ends it.
		a.Kill()
		if got := opens(t, b, cookie); got != http.StatusOK {
			t.Errorf("the lease died with a gate: %d", got)
		}
		tanaka.moves(b).does("/"+next.ID+"/end", nil, http.StatusOK).is(t, "ended")
		shuts(t, b, cookie, time.Now(), 0, "given back beside one that was killed")
		l.clean(t, "given back beside one that was killed")
		a = serves(t, l.Site)
		if got := opens(t, a, cookie); got != http.StatusForbidden {
			t.Errorf("started again, it answers %d", got)
		}
	}
	a.Stop(t)
	b.Stop(t)
}

// A pair is two gates that play, an officer who signs in as often as it takes, and
// who borrows, with a cookie for an application.
type pair struct {
	*lending
	t      *testing.T
	a, b   *stagedGate
	since  time.Duration // where the clock stood when the officer signed in
	who    *borrower
	tanaka borrower
	cookie string
}

func (l *lending) pair(t *testing.T, beside *harness.Site) *pair {
	t.Helper()
	return &pair{lending: l, t: t, a: plays(t, l.Site, l.clock), b: plays(t, beside, l.clock)}
}

func (p *pair) officer() borrower {
	p.t.Helper()
	if p.who == nil || p.clock.ahead-p.since > 4*time.Minute {
		b := p.in(p.t, p.b, "kobayashi")
		p.who, p.since = &b, p.clock.ahead
	}
	return *p.who
}

func (p *pair) ends() { p.a.Stop(p.t); p.b.Stop(p.t) }

// tooLong is longer than whoever works at something in the directory has for it,
// and than an activation has.
const tooLong = 33 * time.Second

// stoppedInTheMiddle: F3 and F4. One gate stands still between asking for
// something in the directory and doing it, until the other has taken its place;
// then it goes on.
func stoppedInTheMiddle(t *testing.T, l *lending, beside *harness.Site) {
	p := l.pair(t, beside)
	a, b := p.a, p.b
	tanaka := l.in(t, a, "tanaka")
	there := tanaka.moves(b)
	for range short(1, 20) {
		tanaka = there.moves(a)
		// Giving. The other gives instead; the late one gives nothing twice.
		e := l.asks(t, tanaka, p.officer())
		a.at(t, "add", "stop")
		answer := inBackground(func() int { status, _ := tanaka.tries("/"+e.ID+"/activate", nil); return status })
		a.stands(t)
		there.sees(e.ID).is(t, "approved")
		l.has(t, "tanaka", false, "given before it was asked for")
		l.clock.advance(t, tooLong)
		there.does("/"+e.ID+"/activate", nil, http.StatusOK).is(t, "active")
		l.has(t, "tanaka", true, "activated at the other, and the directory does not know")
		a.thaw(t)
		if got := <-answer; got == http.StatusOK {
			t.Errorf("whose time had run out was told that it began: %d", got)
		}
		tanaka = there.moves(a)
		cookie := visits(t, b, there)
		l.has(t, "tanaka", true, "the late hand took away what the other gave")
		for _, g := range []*stagedGate{a, b} {
			harness.Until(t, "both gates to know of the lease", func() bool { return opens(t, g, cookie) == http.StatusOK })
		}
		there.does("/"+e.ID+"/end", nil, http.StatusOK)
		shuts(t, b, cookie, time.Now(), 0, "given back where it was given")
		l.clean(t, "given back where it was given")

		// Giving what is not wanted any more.
		e = l.asks(t, tanaka, p.officer())
		a.at(t, "add", "stop")
		answer = inBackground(func() int { status, _ := tanaka.tries("/"+e.ID+"/activate", nil); return status })
		a.stands(t)
		l.clock.advance(t, tooLong)
		there.does("/"+e.ID+"/cancel", nil, http.StatusOK).is(t, "cancelled")
		a.thaw(t)
		if got := <-answer; got == http.StatusOK {
			t.Errorf("what was taken back was begun: %d", got)
		}
		l.clean(t, "taken back while it was being given")
		for _, g := range []*stagedGate{a, b} {
			if got := opens(t, g, cookie); got != http.StatusForbidden {
				t.Errorf("what was never active opens: %d", got)
			}
		}

		// Taking. The other takes it, and the next lease is about the same thing.
		e = l.borrows(t, there, p.officer())
		cookie = visits(t, b, there)
		tanaka = there.moves(a)
		b.freeze(t) // or it would be the one to take it
		a.at(t, "remove", "stop")
		ended := inBackground(func() int { status, _ := tanaka.tries("/"+e.ID+"/end", nil); return status })
		a.stands(t)
		over := time.Now()
		b.thaw(t)
		there.sees(e.ID).is(t, "ended")
		shuts(t, b, cookie, over, time.Second, "ended at one that is stopped")
		l.clock.advance(t, tooLong)
		l.clean(t, "ended at one that is stopped")
		next := l.borrows(t, there, p.officer())
		cookie = visits(t, b, there)
		before := l.Attribute(t, l.group, "entryCSN")[0]
		a.thaw(t)
		<-ended
		harness.Until(t, "the late hand to have moved, and what it took to be put back", func() bool {
			var csn string
			in := false
			l.Directory(t, func(c *goldap.Conn) error {
				r, err := c.Search(goldap.NewSearchRequest(l.group, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"member", "entryCSN"}, nil))
				if err != nil {
					return err
				}
				csn, in = r.Entries[0].GetAttributeValue("entryCSN"), len(people(r.Entries[0].GetAttributeValues("member"))) > 0
				return nil
			})
			return csn != before && in
		})
		there.sees(next.ID).is(t, "active")

		// The end comes by the clock, while the one where it lives is stopped.
		a.freeze(t)
		l.clock.advance(t, 11*time.Minute)
		if got := opens(t, b, cookie); got != http.StatusForbidden {
			t.Errorf("past its end, beside one that is stopped: %d", got)
		}
		there.sees(next.ID).is(t, "expired")
		l.clean(t, "past its end, beside one that is stopped")
		a.thaw(t)
		if got := opens(t, a, cookie); got != http.StatusForbidden {
			t.Errorf("who slept through the end answers %d", got)
		}
	}
	p.ends()
}

func inBackground(do func() int) <-chan int {
	done := make(chan int, 1)
	go func() { done <- do() }()
	return done
}

// killedInTheMiddle: F1. A gate is killed at each named point of giving and of
// taking; the one beside it brings it to a good end.
func killedInTheMiddle(t *testing.T, l *lending, beside *harness.Site) {
	p := l.pair(t, beside)
	p.comesIn()
	giving := []string{"asked", "intended", "claimed", "add", "added", "done", "confirmed", "applied", "started"}
	taking := []string{"over", "expired", "claimed", "remove", "removed", "done", "confirmed"}
	if !soak() { // the others are gone through room by room (elevate.TestKill9, grant.TestCrashes)
		giving, taking = []string{"asked", "intended", "added", "applied", "started"}, []string{"over", "expired", "removed"}
	}
	for range short(1, 20) {
		for _, point := range giving {
			p.givingDies(point)
		}
		for _, point := range taking {
			p.takingDies(point)
		}
	}
	p.ends()
}

// comesIn signs the borrower in at the gate that lives.
func (p *pair) comesIn() {
	p.t.Helper()
	p.tanaka = p.in(p.t, p.b, "tanaka")
	p.cookie = visits(p.t, p.b, p.tanaka)
}

func (p *pair) givingDies(point string) {
	t, when := p.t, "killed while giving, at "+point
	t.Helper()
	dying := p.tanaka.moves(p.a)
	var e elevation
	if point == "asked" {
		p.a.at(t, point, "kill")
		wish, key := saying{"privilege": "db-admin", "reason": "索引を作り直す", "minutes": 10}, fmt.Sprintf("asked-%d", rand.Uint64())
		if a, err := dying.Try("POST", "/api/v1/elevations", wish, "Idempotency-Key", key); err == nil {
			t.Fatalf("%s: answered %d", when, a.Status)
		}
		p.a.dies(t)
		p.clock.advance(t, 61*time.Second) // for so long the dead is waited for, who may be answering
		a := p.tanaka.Do(t, "POST", "/api/v1/elevations", wish, "Idempotency-Key", key)
		a.Into(t, &e)
		if mine := p.tanaka.list("?mine=true&state=pending"); a.Status != http.StatusCreated || len(mine) != 1 || mine[0].ID != e.ID {
			t.Fatalf("%s: asked again: %d %s; there are %+v", when, a.Status, a.Body, mine)
		}
		p.officer().does("/"+e.ID+"/approve", nil, http.StatusOK).is(t, "approved")
	} else {
		e = p.asks(t, p.tanaka, p.officer())
		p.a.at(t, point, "kill")
		if status, _ := dying.tries("/"+e.ID+"/activate", nil); status != 0 {
			t.Fatalf("%s: answered %d", when, status)
		}
		p.a.dies(t)
	}
	if point == "started" { // it was active when nobody heard so, nor of the new handle
		p.tanaka = p.in(t, p.b, "tanaka")
		p.tanaka.sees(e.ID).is(t, "active")
	} else {
		p.tanaka.sees(e.ID).is(t, "approved")
		if got := opens(t, p.b, p.cookie); got != http.StatusForbidden {
			t.Errorf("%s: it opens: %d", when, got)
		}
		p.clock.advance(t, tooLong)
		p.clean(t, when)
		p.tanaka.does("/"+e.ID+"/activate", nil, http.StatusOK).is(t, "active")
	}
	p.has(t, p.tanaka.login, true, when+", and activated")
	p.cookie = visits(t, p.b, p.tanaka)
	if point != "started" { // that one is good in a session whose handle nobody has
		harness.Until(t, "the gate to know of the lease", func() bool { return opens(t, p.b, p.cookie) == http.StatusOK })
	}
	p.tanaka.does("/"+e.ID+"/end", nil, http.StatusOK).is(t, "ended")
	shuts(t, p.b, p.cookie, time.Now(), 0, when+", and given back")
	p.clean(t, when+", and given back")
	p.a = plays(t, p.Site, p.clock)
}

func (p *pair) takingDies(point string) {
	t, when := p.t, "killed while taking, at "+point
	t.Helper()
	e := p.borrows(t, p.tanaka, p.officer())
	p.cookie = visits(t, p.b, p.tanaka)
	p.b.freeze(t) // or it would be the one to take it
	p.a.at(t, point, "kill")
	want := "ended"
	if point == "expired" {
		p.clock.advance(t, 11*time.Minute)
		want = "expired"
	} else {
		p.tanaka.moves(p.a).tries("/"+e.ID+"/end", nil)
	}
	p.a.dies(t)
	over := time.Now()
	p.b.thaw(t)
	if shuts(t, p.b, p.cookie, over, time.Second, when); point == "expired" {
		shuts(t, p.b, p.cookie, over, 0, when) // the clock is everybody's
	}
	p.tanaka.sees(e.ID).is(t, want)
	p.clock.advance(t, tooLong)
	p.clean(t, when)
	harness.Until(t, "the cleanup to be confirmed", func() bool { return p.tanaka.sees(e.ID).Cleanup == "confirmed" })
	p.a = plays(t, p.Site, p.clock)
}

// bothAtOnce: the same act at both gates at one moment comes to one outcome.
func bothAtOnce(t *testing.T, l *lending, beside *harness.Site) {
	a, b := serves(t, l.Site), serves(t, beside)
	tanaka, officer, since := l.in(t, a, "tanaka"), l.in(t, b, "kobayashi"), time.Now()
	for i := range short(3, 1000) {
		if time.Since(since) > 4*time.Minute {
			officer, since = l.in(t, b, "kobayashi"), time.Now()
		}
		e := l.asks(t, tanaka, officer)
		var doors []borrower
		for range 2 {
			doors = append(doors, tanaka.moves(a), tanaka.moves(b))
		}
		began := make(chan borrower, len(doors))
		// Whoever is first has a new handle; the old one is nobody's by then.
		got := atOnce(len(doors), func(i int) int {
			status, _ := doors[i].tries("/"+e.ID+"/activate", nil)
			if status == http.StatusOK {
				began <- doors[i]
			}
			return status
		})
		if got[http.StatusOK] > 1 || got[http.StatusOK]+got[http.StatusConflict]+got[http.StatusServiceUnavailable]+got[http.StatusUnauthorized] != len(doors) {
			t.Fatalf("round %d: activated at both: %v", i, got)
		}
		if got[http.StatusOK] == 1 {
			tanaka = (<-began).moves(a)
		} else { // each stood in the other's way, which lends nothing
			tanaka.does("/"+e.ID+"/activate", nil, http.StatusOK)
		}
		for i, g := range []*stagedGate{a, b, a, b} {
			doors[i] = tanaka.moves(g)
		}
		l.has(t, "tanaka", true, fmt.Sprintf("round %d: active", i))
		got = atOnce(len(doors), func(i int) int { status, _ := doors[i].tries("/"+e.ID+"/end", nil); return status })
		if got[http.StatusOK] == 0 || got[http.StatusOK]+got[http.StatusConflict]+got[http.StatusServiceUnavailable] != len(doors) {
			t.Fatalf("round %d: given back at both: %v", i, got)
		}
		harness.Until(t, "the directory to be clean", func() bool { return len(l.members(t)) == 0 })
	}
	a.Stop(t)
	b.Stop(t)
}

// accounts compares the trail with itself, when all is over: it is whole, each
// lease began and ended once, and what was brought about was undone.
func (l *lending) accounts(t *testing.T) {
	t.Helper()
	out := filepath.Join(l.Dir, "trail.jsonl")
	for _, args := range [][]string{{"audit", "verify", "--config", l.Config}, {"audit", "export", "--config", l.Config, "--out", out}} {
		if _, errs, status := harness.Run(t, "sekisho", args...); status != 0 {
			t.Fatalf("%v: %d %s", args, status, errs)
		}
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	began, ended := map[string]int{}, map[string]int{}
	given, undone := map[string]int{}, map[string]int{}
	lines := bufio.NewScanner(f)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		var line struct{ Entry *act }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		switch e := line.Entry; {
		case e == nil:
		case e.Action == "lease.activated":
			began[e.Detail["lease"]]++
		case e.Action == "lease.ended", e.Action == "lease.revoked", e.Action == "lease.expired":
			ended[e.Detail["lease"]]++
		case e.Action == "elevation.applied":
			given[strings.TrimPrefix(e.Object, "lease:")]++
		case e.Action == "elevation.undone":
			undone[strings.TrimPrefix(e.Object, "lease:")]++
		}
	}
	if err := lines.Err(); err != nil || len(began) == 0 {
		t.Fatalf("%d leases on the trail: %v", len(began), err)
	}
	for id, n := range began {
		if n != 1 || ended[id] != 1 || given[id] < 1 || undone[id] < 1 {
			t.Errorf("lease %s began %d times, ended %d times; its effect was given %d times and undone %d times", id, n, ended[id], given[id], undone[id])
		}
	}
	t.Logf("%d leases", len(began))
}
