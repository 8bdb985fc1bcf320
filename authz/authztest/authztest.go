// Package authztest is what the tests of this floor's rooms stand on: the rules of a
// small prefecture, the rooms below theirs on a real store and a real directory, people
// who have signed in there, and a death at a point. It knows no room that is tested on
// it.
package authztest

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// Rules are the standard ones, for the posts of embeddedtest's directory; everybody is
// told of what happens by mail.
func Rules() *policy.Policy {
	p := policy.Standard()
	p.Sections = []policy.Section{{ID: "dejitaru"}, {ID: "joho", Parent: "dejitaru"}}
	for i := range p.Posts {
		p.Posts[i].Group = embeddedtest.PostGroup(p.Posts[i].ID)
	}
	for i := range p.Zones {
		p.Zones[i].MailNotices = true
	}
	p.Mail.From = "sekisho@pref.example"
	return p
}

// Ring is a key ring of the test's own.
func Ring(t testing.TB) *secret.KeyRing {
	t.Helper()
	ring, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring"))
	must(t, err)
	return ring
}

// Ground is what outlives a gateway, and what several share.
type Ground struct {
	DB     *store.DB
	Dir    *ldap.Directory
	Ring   *secret.KeyRing
	Policy func() *policy.Policy
}

// A Gate is one gateway's rooms below those that are tested.
type Gate struct {
	Ground
	Now      clock.Now
	Trail    *audit.Trail
	Watch    *standing.Watch
	Sessions *session.Sessions
	Notices  *notice.Queue
	Matters  *approval.Book
}

// Version is that of the policy.
func Version() int64 { return 7 }

// Gate makes a gateway's rooms: again, after one died, or beside another.
func (g Ground) Gate(now clock.Now) *Gate {
	n := &Gate{Ground: g, Now: now, Trail: audit.New(g.DB, now), Watch: standing.NewWatch(g.DB, g.Dir, now), Notices: notice.New(g.DB, now, g.Policy)}
	n.Sessions = session.New(g.DB, g.Ring, n.Trail, n.Watch, g.Policy, now)
	n.Matters = approval.New(approval.House{
		DB: g.DB, Trail: n.Trail, Policy: g.Policy, Version: Version, People: g.Dir, Facts: n.Watch, Notices: n.Notices, Now: now,
	})
	return n
}

// Person is somebody as the directory has them now.
func (g Ground) Person(t testing.TB, login string) directory.Person {
	t.Helper()
	p, err := g.Dir.Find(t.Context(), login)
	must(t, err)
	return p
}

// Told counts the notices of a kind to somebody.
func (g Ground) Told(t testing.TB, id directory.PersonID, k notice.Kind) int {
	t.Helper()
	return storetest.Count(t, g.DB, `SELECT COUNT(*) FROM notice WHERE person_id = $1 AND kind = $2`, string(id), string(k))
}

// SignIn is somebody who has just signed in from LGWAN, with a key that they have had
// since a time.
func (g *Gate) SignIn(t testing.TB, login string, since time.Time) approval.Approver {
	t.Helper()
	p := g.Person(t, login)
	by := approval.Approver{
		Holder: approval.Holder{Person: p, Posts: g.Policy().PostsOf(p.Groups), Tied: authz.Untied}, Usable: true, ACR: policy.PHR, AuthAt: g.Now(), FactorAt: since,
		From: "10.2.0.9", Zone: policy.LGWAN, RequestID: "r1",
	}
	must(t, g.DB.WithTx(t.Context(), func(tx *store.Tx) error {
		n, _, err := g.Sessions.Begin(t.Context(), tx, session.Session{Person: p.ID, Login: login, Zone: by.Zone, ACR: by.ACR, AuthAt: by.AuthAt, From: by.From})
		by.SessionID = n.ID
		return err
	}))
	return by
}

// Decide has somebody decide a matter.
func (g *Gate) Decide(t testing.TB, by approval.Approver, matter string, yes bool) {
	t.Helper()
	_, err := g.Matters.Decide(t.Context(), by, matter, yes, "決めた")
	must(t, err)
}

// ErrDied is how what died ends.
var ErrDied = errors.New("died, says the test")

// A Death is a point at which a room dies. The zero Death lets everybody live.
type Death struct {
	mu    sync.Mutex
	point string
	after int
	once  bool
}

// Stop is what a room asks at each of its points.
func (d *Death) Stop(point string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.point != point {
		return nil
	}
	if d.after > 0 {
		d.after--
		return nil
	}
	if d.once {
		d.point = ""
	}
	return fmt.Errorf("%w at %s", ErrDied, point)
}

// At ends what comes to a point, again and again; "" lets it live.
func (d *Death) At(point string) { d.set(point, 0, false) }

// Once ends what comes to a point, once, after it was passed so often.
func (d *Death) Once(point string, after int) { d.set(point, after, true) }

func (d *Death) set(point string, after int, once bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.point, d.after, d.once = point, after, once
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
