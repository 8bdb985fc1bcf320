// Package directorytest is the one suite that every directory must pass, so
// that what holds on the embedded server holds on a real one.
//
// It refuses to know which server it speaks to: whatever differs between two
// servers and shows in here is a fault of the client or of the embedded one.
package directorytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// A Server is a directory as the suite needs it: the client's configuration for
// it, and an administrator who can bring about what no client may.
type Server struct {
	Config        ldap.Config
	AdminDN       string
	AdminPassword string
	// The default policy the server was started with. MaxFailures must be small
	// enough to be reached.
	MaxFailures int
	Duration    time.Duration
	Now         clock.Now
}

// What the server's default policy must ask: pwdMinLength, pwdInHistory and
// pwdMaxAge, and a pwdFailureCountInterval of a minute.
const (
	MinLength = 8
	History   = 3
	MaxAge    = 90 * 24 * time.Hour
)

// serial keeps the names of parallel tests apart: they share one server.
var serial atomic.Int64

// Suite runs every test against the server that open prepares.
func Suite(t *testing.T, open func(t *testing.T) Server) {
	s := open(t)
	for _, tt := range []struct {
		name string
		test func(*world)
	}{
		{"one person by every name", (*world).everyName},
		{"names that could be more", (*world).injection},
		{"an empty password never binds", (*world).emptyPassword},
		{"two answer to one name", (*world).ambiguous},
		{"a login exists once", (*world).exists},
		{"what cannot be created", (*world).malformed},
		{"the life of an account", (*world).life},
		{"a password change", (*world).change},
		{"a password reset", (*world).reset},
		{"disabled and enabled", (*world).disable},
		{"failures lock the password", (*world).lock},
		{"an unlocked password", (*world).unlock},
		{"account state is read truly", (*world).state},
		{"a password grown old", (*world).expired},
		{"groups", (*world).groups},
		{"a group that may not be empty", (*world).lastMember},
		{"deleted people leave their groups", (*world).deletion},
		{"a DN given to somebody else", (*world).reusedName},
		{"the stream brings everybody", (*world).stream},
		{"the stream stops when told", (*world).streamStops},
		{"a search for people", (*world).search},
		{"a search by pages", (*world).searchPages},
		{"searches for what could be more", (*world).searchInjection},
		{"a search finds people alone", (*world).searchesOthers},
		{"the lockout policy", (*world).policy},
		{"ended contexts", (*world).contexts},
		{"many at once", (*world).many},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, err := ldap.Open(t.Context(), s.Config, s.Now)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			tt.test(&world{T: t, s: s, d: d})
		})
	}
}

// A world is one test's view of the shared server.
type world struct {
	*testing.T
	s Server
	d *ldap.Directory
}

func text(s string) secret.Text { return secret.NewText([]byte(s)) }

func (w *world) login() string { return fmt.Sprintf("taro%04d", serial.Add(1)) }

// create makes a person of a new name with the password "first-password".
func (w *world) create(change ...func(*directory.NewPerson)) directory.Person {
	w.Helper()
	n := directory.NewPerson{Login: w.login(), Name: "関所 太郎", Kind: directory.KindStaff, Password: text("first-password")}
	n.Mail = n.Login + "@pref.example"
	for _, c := range change {
		c(&n)
	}
	p, err := w.d.Create(w.Context(), n)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (w *world) fresh(p directory.Person) directory.Person {
	w.Helper()
	p, err := w.d.ByID(w.Context(), p.ID)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// says reads the person afresh, binds, and compares.
func (w *world) says(p directory.Person, password string, want directory.Outcome) {
	w.Helper()
	got, err := w.d.Authenticate(w.Context(), w.fresh(p), text(password))
	if err != nil || got != want {
		w.Errorf("Authenticate(%q) = %v, %v, want %v", password, got, err, want)
	}
}

func (w *world) no(what string, err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("%s: %v, want %v", what, err, want)
	}
}

func (w *world) yes(what string, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%s: %v", what, err)
	}
}

// admin is a connection of the server's own administrator.
func (w *world) admin() *goldap.Conn {
	w.Helper()
	c, err := goldap.DialURL(w.s.Config.Servers[0])
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	w.yes("binding as the administrator", c.Bind(w.s.AdminDN, w.s.AdminPassword))
	return c
}

// write sets an attribute as the administrator, server-kept ones included.
func (w *world) write(dn, attribute string, values ...string) {
	w.Helper()
	m := goldap.NewModifyRequest(dn, []goldap.Control{goldap.NewControlString("1.3.6.1.4.1.4203.666.5.12", true, "")})
	m.Replace(attribute, values)
	w.yes("writing "+attribute, w.admin().Modify(m))
}

func (w *world) group(members ...string) string {
	w.Helper()
	dn := fmt.Sprintf("cn=group%d,ou=groups,%s", serial.Add(1), w.s.Config.BaseDN)
	add := goldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", []string{"groupOfNames"})
	add.Attribute("member", members)
	w.yes("adding a group", w.admin().Add(add))
	return dn
}

func (w *world) policy() {
	got, err := w.d.LockoutPolicy(w.Context())
	w.yes("reading the policy", err)
	want := directory.LockoutPolicy{Enabled: true, MaxFailures: w.s.MaxFailures, Window: time.Minute, Duration: w.s.Duration, DatesPasswords: true}
	if got != want {
		w.Errorf("LockoutPolicy() = %+v, want %+v", got, want)
	}
	elsewhere := w.s.Config
	elsewhere.PolicyDN = "cn=none,ou=policies," + w.s.Config.BaseDN
	d, err := ldap.Open(w.Context(), elsewhere, w.s.Now)
	w.yes("opening", err)
	defer d.Close()
	_, err = d.LockoutPolicy(w.Context())
	w.no("a policy that is not there", err, directory.ErrNotFound)
}

func (w *world) contexts() {
	p := w.create()
	ended, cancel := context.WithCancel(w.Context())
	cancel()
	_, err := w.d.Find(ended, p.Login)
	w.no("Find", err, directory.ErrAway)
	_, err = w.d.Authenticate(ended, p, text("first-password"))
	w.no("Authenticate", err, directory.ErrAway)
	w.no("Stream", w.d.Stream(ended, func(directory.Person) error { return nil }), directory.ErrAway)
	w.no("Disable", w.d.Disable(ended, p), directory.ErrAway)
	w.yes("Ping", w.d.Ping(w.Context()))
	w.says(p, "first-password", directory.OutcomeRight)
}

// many shares one client among more callers than it has connections. A bind as
// one person must never show in a search as another.
func (w *world) many() {
	people := []directory.Person{w.create(), w.create(), w.create()}
	done := make(chan error, 60)
	for i := range cap(done) {
		go func() {
			p := people[i%len(people)]
			password, want := "first-password", directory.OutcomeRight
			if i%20 == 0 { // fewer than lock a password
				password, want = "not-the-password", directory.OutcomeWrong
			}
			got, err := w.d.Find(w.Context(), p.Login)
			if err == nil && got.ID != p.ID {
				err = fmt.Errorf("found %s, want %s", got.ID, p.ID)
			}
			if err == nil {
				var said directory.Outcome
				if said, err = w.d.Authenticate(w.Context(), got, text(password)); err == nil && said != want {
					err = fmt.Errorf("Authenticate(%q) = %v, want %v", password, said, want)
				}
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			w.Error(err)
		}
	}
}

func (w *world) streamed(d *ldap.Directory) ([]string, error) {
	var logins []string
	err := d.Stream(w.Context(), func(p directory.Person) error {
		logins = append(logins, p.Login)
		return nil
	})
	return logins, err
}

func (w *world) stream() {
	small := w.s.Config
	small.PageSize = 3
	d, err := ldap.Open(w.Context(), small, w.s.Now)
	w.yes("opening", err)
	defer d.Close()
	var want []string
	for range 10 {
		want = append(want, w.create(func(n *directory.NewPerson) { n.Password = secret.Text{} }).Login)
	}
	got, err := w.streamed(d)
	w.yes("streaming", err)
	slices.Sort(got)
	if n := len(got); len(slices.Compact(got)) != n {
		w.Error("somebody came twice")
	}
	for _, login := range want {
		if !slices.Contains(got, login) {
			w.Errorf("%s is missing from the stream", login)
		}
	}
}

func (w *world) streamStops() {
	w.create()
	w.create()
	stop := errors.New("enough")
	calls := 0
	err := w.d.Stream(w.Context(), func(directory.Person) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || errors.Is(err, directory.ErrAway) || calls != 1 {
		w.Errorf("Stream = %v after %d calls, want the caller's error after one", err, calls)
	}
}

func upper(s string) string { return strings.ToUpper(s) }

// wide is the full-width spelling of an ASCII name, as a Japanese input method
// leaves it.
func wide(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r + 0xfee0
		}
		return r
	}, s)
}
