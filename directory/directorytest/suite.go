// Package directorytest is the one suite that every directory must pass, so
// that what holds on the embedded server holds on a real one.
//
// It refuses to know which server it speaks to: whatever differs between two
// servers and shows in here is a fault of the client or of the embedded one,
// unless it stands in Kind.
package directorytest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/directory/schema"
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
	Kind        Kind
}

// A Kind is what differs between kinds of servers and may: how a state that time
// or another tool brings about is brought about here, and where two answers are
// both right. OpenLDAP is one, ActiveDirectory another.
type Kind struct {
	// Set writes a value that only the server itself may write; nil: as the
	// administrator, by LDAP.
	Set func(t testing.TB, dn, attribute string, values ...string)
	// The attributes and values of a state.
	LockedSince, PasswordSince func(time.Time) schema.Change
	Temporary                  schema.Change
	// Ends are ends of an account, and whether it is usable at now.
	Ends func(now time.Time) []End
	// EndStep is how exactly an end is kept: it is rounded down to that.
	EndStep time.Duration
	// Group and Person are further attributes of entries that others add.
	Group, Person func(name string) map[string][]string
	// EmptyGroups: a group may have no member.
	EmptyGroups bool
	// LoginForbids are characters that no login has.
	LoginForbids string
	// Rules is the one reason given for every rule on passwords; "" where the
	// server says which.
	Rules directory.Reason
}

// An End is what another tool wrote about the end of an account.
type End struct {
	What   string
	Change schema.Change
	Usable bool
}

func one(attribute, value string) schema.Change {
	return schema.Change{Attribute: attribute, Values: []string{value}}
}

// OpenLDAP is OpenLDAP, and the embedded server.
func OpenLDAP() Kind {
	day := func(what, value string, usable bool) End { return End{what, one("shadowExpire", value), usable} }
	return Kind{
		LockedSince:   func(at time.Time) schema.Change { return one("pwdAccountLockedTime", schema.FormatTime(at)) },
		PasswordSince: func(at time.Time) schema.Change { return one("pwdChangedTime", schema.FormatTime(at)) },
		Temporary:     one("pwdReset", "TRUE"),
		Ends: func(now time.Time) []End {
			return []End{
				day("day 0 of shadowExpire has passed", "0", false),
				day("no end", "-1", true),
				day("an end today", schema.Day(now), false),
				day("an end tomorrow", schema.Day(now.Add(24*time.Hour)), true),
			}
		},
		EndStep: 24 * time.Hour,
		Group:   func(string) map[string][]string { return nil },
		Person: func(name string) map[string][]string {
			return map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {name}, "sn": {name}, "uid": {name}}
		},
	}
}

// ActiveDirectory is a domain controller. It keeps ends to 100 ns, tells one
// reason for all its rules, and has logins of fewer characters.
func ActiveDirectory(set func(t testing.TB, dn, attribute string, values ...string)) Kind {
	end := func(what, value string, usable bool) End { return End{what, one("accountExpires", value), usable} }
	return Kind{
		Set:           set,
		LockedSince:   func(at time.Time) schema.Change { return one("lockoutTime", schema.FileTime(at)) },
		PasswordSince: func(at time.Time) schema.Change { return one("pwdLastSet", schema.FileTime(at)) },
		Temporary:     one("pwdLastSet", "0"),
		Ends: func(now time.Time) []End {
			return []End{
				end("0 is no end", "0", true),
				end("nor is the greatest number", "9223372036854775807", true),
				end("an end a minute ago", schema.FileTime(now.Add(-time.Minute)), false),
				end("an end in an hour", schema.FileTime(now.Add(time.Hour)), true),
			}
		},
		EndStep:      100 * time.Nanosecond,
		EmptyGroups:  true,
		LoginForbids: `"/\[]:;|=,+*?<>@`,
		Rules:        directory.ReasonRules,
		Group:        func(name string) map[string][]string { return map[string][]string{"sAMAccountName": {name}} },
		Person: func(name string) map[string][]string {
			return map[string][]string{"objectClass": {"user"}, "sAMAccountName": {name}}
		},
	}
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
		{"a person amended", (*world).amended},
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
		{"in and out of a group that is lent", (*world).lentGroup},
		{"a group whose members are not shown", (*world).noMembers},
		{"a named ID, opened for a time", (*world).lentNamed},
		{"an ID made for a lease", (*world).lentEphemeral},
		{"IDs that are lent are no people", (*world).lentApart},
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
	c := w.anybody()
	w.yes("binding as the administrator", c.Bind(w.s.AdminDN, w.s.AdminPassword))
	return c
}

// anybody is a connection that is bound as nobody yet.
func (w *world) anybody() *goldap.Conn {
	w.Helper()
	pem, err := os.ReadFile(w.s.Config.CAFile)
	if w.s.Config.CAFile != "" && err != nil {
		w.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := goldap.DialURL(w.s.Config.Servers[0], goldap.DialWithTLSConfig(&tls.Config{RootCAs: roots}))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	return c
}

// write sets an attribute, server-kept ones included.
func (w *world) write(dn string, c schema.Change) {
	w.Helper()
	attribute, values := c.Attribute, c.Values
	if w.s.Kind.Set != nil {
		w.s.Kind.Set(w, dn, attribute, values...)
		return
	}
	m := goldap.NewModifyRequest(dn, []goldap.Control{goldap.NewControlString("1.3.6.1.4.1.4203.666.5.12", true, "")})
	m.Replace(attribute, values)
	w.yes("writing "+attribute, w.admin().Modify(m))
}

func (w *world) group(members ...string) string {
	w.Helper()
	name := fmt.Sprintf("group%d", serial.Add(1))
	dn := fmt.Sprintf("cn=%s,ou=groups,%s", name, w.s.Config.BaseDN)
	kind, _ := schema.Named(cmp.Or(w.s.Config.Schema, "openldap"))
	add := goldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", []string{kind.GroupClass})
	for attribute, values := range w.s.Kind.Group(name) {
		add.Attribute(attribute, values)
	}
	if w.s.Kind.EmptyGroups {
		members = slices.DeleteFunc(members, func(m string) bool { return m == w.nobody() })
	}
	if len(members) > 0 {
		add.Attribute("member", members)
	}
	w.yes("adding a group", w.admin().Add(add))
	return dn
}

// nobody is a member who stands for none.
func (w *world) nobody() string { return "cn=nobody," + w.s.Config.BaseDN }

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
	for range 20 { // on a connection that is open: away means not done, whoever is quicker
		w.yes("Ping", w.d.Ping(w.Context()))
		w.no("Disable", w.d.Disable(ended, p), directory.ErrAway)
	}
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
