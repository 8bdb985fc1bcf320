// Package approvaltest is an office for the tests of desks that hang on approvals: a
// directory in which everybody holds one post, and a gate at which they sign in. It
// knows no matters and decides nothing; the engine that does is the real one.
package approvaltest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// An Office is what approval.House takes for People, Facts and Presence.
type Office struct {
	People   map[string]directory.Person // by login
	db       *store.DB
	clock    *clock.Fake
	sessions *session.Sessions
	signed   map[string]session.Session // by cookie
}

// Open opens an office with the people of posts, by login. The group of a post is
// cn=POST,ou=groups.
func Open(t testing.TB, db *store.DB, trail *audit.Trail, pol func() *policy.Policy, c *clock.Fake, posts map[string]policy.PostID) *Office {
	t.Helper()
	ring, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring"))
	if err != nil {
		t.Fatal(err)
	}
	o := &Office{
		People: map[string]directory.Person{}, db: db, clock: c, sessions: session.New(db, ring, trail, nil, pol, c.Now), signed: map[string]session.Session{},
	}
	for login, post := range posts {
		o.People[login] = directory.Person{ID: idOf(login), Login: login, Name: login, Number: login, Groups: []string{"cn=" + string(post) + ",ou=groups"}}
	}
	return o
}

func idOf(login string) directory.PersonID { return directory.PersonID("id-" + login) }

// Holders are the members of a group.
func (o *Office) Holders(_ context.Context, group string) ([]directory.Person, error) {
	var out []directory.Person
	for _, p := range o.People {
		if p.Groups[0] == group {
			out = append(out, p)
		}
	}
	return out, nil
}

// Find finds somebody by login.
func (o *Office) Find(_ context.Context, login string) (directory.Person, error) {
	p, ok := o.People[directory.Canonical(login)]
	if !ok {
		return p, directory.ErrNotFound
	}
	return p, nil
}

// Of is somebody as the directory has them; nothing is recorded against anybody.
func (o *Office) Of(_ context.Context, id directory.PersonID) (standing.Facts, error) {
	for _, p := range o.People {
		if p.ID == id {
			return standing.Facts{Person: p}, nil
		}
	}
	return standing.Facts{}, nil
}

// Current is the session behind a cookie.
func (o *Office) Current(_ context.Context, _ signin.Origin, cookie string) (signin.Step, error) {
	n := o.signed[cookie]
	return signin.Step{Session: &n}, nil
}

// SignIn is the cookie of somebody who has just signed in, with a factor that they have
// had since then.
func (o *Office) SignIn(t testing.TB, login string, acr policy.ACR, since time.Time) string {
	t.Helper()
	var cookie string
	err := o.db.WithTx(context.Background(), func(tx *store.Tx) error {
		n, c, err := o.sessions.Begin(context.Background(), tx, session.Session{
			Person: o.People[login].ID, Login: login, Zone: policy.LGWAN, ACR: acr, AuthAt: o.clock.Now(), FactorAt: since, From: "10.2.0.9",
		})
		cookie, o.signed[c] = c, n
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}
