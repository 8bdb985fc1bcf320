package ldap_test

import (
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
	"sekisho/directory/directorytest"
	"sekisho/directory/ldap"
	"sekisho/directory/schema"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/test/samba"
)

func TestMain(m *testing.M) {
	status := m.Run()
	samba.Stop()
	os.Exit(status)
}

// onSamba is the client's configuration for a real domain controller, as the
// account with the delegated rights.
func onSamba(s *samba.Server) ldap.Config {
	return ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile, Schema: "active_directory",
		BindDN: s.ServiceDN, BindPassword: secret.NewText([]byte(s.ServicePassword)),
		BaseDN: s.BaseDN, PeopleDN: "OU=people," + s.BaseDN, GroupsDN: "OU=groups," + s.BaseDN, OpTimeout: 20 * time.Second,
	}
}

func TestSuiteOnSamba(t *testing.T) {
	directorytest.Suite(t, func(t *testing.T) directorytest.Server {
		s := samba.Shared(t)
		return directorytest.Server{
			Config: onSamba(s), AdminDN: s.AdminDN, AdminPassword: s.AdminPassword,
			MaxFailures: samba.MaxFailures, Duration: samba.Duration, Now: clock.System(),
			Kind: directorytest.ActiveDirectory(s.Write),
		}
	})
}

// A domain is the shared server as its administrator and as its client see it.
type domain struct {
	*testing.T
	s     *samba.Server
	d     *ldap.Directory
	admin *goldap.Conn
}

func onDomain(t *testing.T, change ...func(*ldap.Config)) domain {
	t.Helper()
	t.Parallel()
	s := samba.Shared(t)
	c := onSamba(s)
	for _, f := range change {
		f(&c)
	}
	return domain{t, s, open(t, c), s.Admin(t)}
}

var serial atomic.Int64

func (w domain) name(what string) string { return fmt.Sprintf("%s%05d", what, serial.Add(1)) }

func (w domain) create(change ...func(*directory.NewPerson)) directory.Person {
	w.Helper()
	n := directory.NewPerson{Login: w.name("jiro"), Name: "関所 次郎", Kind: directory.KindStaff, Password: text("first-password")}
	for _, f := range change {
		f(&n)
	}
	p, err := w.d.Create(w.Context(), n)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (w domain) fresh(p directory.Person) directory.Person {
	w.Helper()
	p, err := w.d.ByID(w.Context(), p.ID)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (w domain) add(dn, class string, values map[string][]string) string {
	w.Helper()
	a := goldap.NewAddRequest(dn, nil)
	a.Attribute("objectClass", []string{class})
	for name, v := range values {
		a.Attribute(name, v)
	}
	if err := w.admin.Add(a); err != nil {
		w.Fatal(err)
	}
	return dn
}

func (w domain) group(below string, members ...string) string {
	w.Helper()
	name := w.name("shugo")
	values := map[string][]string{"sAMAccountName": {name}}
	if len(members) > 0 {
		values["member"] = members
	}
	return w.add("CN="+name+","+below+","+w.s.BaseDN, "group", values)
}

func (w domain) replace(dn, attribute string, values ...string) {
	w.Helper()
	m := goldap.NewModifyRequest(dn, nil)
	m.Replace(attribute, values)
	if err := w.admin.Modify(m); err != nil {
		w.Fatal(err)
	}
}

func (w domain) attribute(dn, attribute string) string {
	w.Helper()
	r, err := w.admin.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", []string{attribute}, nil))
	if err != nil {
		w.Fatal(err)
	}
	return r.Entries[0].GetAttributeValue(attribute)
}

func (w domain) says(p directory.Person, password string, want directory.Outcome) {
	w.Helper()
	if got, err := w.d.Authenticate(w.Context(), w.fresh(p), text(password)); err != nil || got != want {
		w.Errorf("Authenticate(%q) = %v, %v, want %v", password, got, err, want)
	}
}

// TestNestedGroups: a post's group holds whoever Windows would say is in it:
// by another group, by the primary group, and by no distribution list.
func TestNestedGroups(t *testing.T) {
	w := onDomain(t)
	p := w.create()
	inner := w.group("OU=groups", p.DN)
	outer := w.group("OU=groups", inner)
	outside := w.group("OU=services", p.DN)
	around := w.group("OU=groups", outside)
	primary := w.group("OU=groups", "CN=Domain Users,CN=Users,"+w.s.BaseDN)
	list := w.group("OU=groups", p.DN)
	w.replace(list, "groupType", "2") // global, and no security group
	empty := w.group("OU=groups")
	check := func(what string, groups []string) {
		t.Helper()
		for _, dn := range []string{inner, outer, around, primary} {
			if !slices.Contains(groups, dn) {
				t.Errorf("%s: not in %s", what, dn)
			}
		}
		for _, dn := range []string{outside, list, empty} {
			if slices.Contains(groups, dn) {
				t.Errorf("%s: in %s", what, dn)
			}
		}
	}
	check("Find", w.fresh(p).Groups)
	found, _, err := w.d.Search(t.Context(), p.Login, "", 10)
	if err != nil || len(found) != 1 {
		t.Fatalf("Search = %v, %v", found, err)
	}
	check("Search", found[0].Groups)
	seen := false
	err = w.d.Stream(t.Context(), func(q directory.Person) error {
		if q.ID == p.ID {
			seen = true
			check("Stream", q.Groups)
		}
		return nil
	})
	if err != nil || !seen {
		t.Errorf("Stream = %v, seen: %v", err, seen)
	}
	// A change of the nesting counts at once.
	w.replace(outer, "member")
	if slices.Contains(w.fresh(p).Groups, outer) {
		t.Errorf("still in %s", outer)
	}
	members, err := w.d.Members(t.Context(), inner)
	if err != nil || !slices.Equal(members, []string{p.DN}) {
		t.Errorf("Members = %v, %v", members, err)
	}
	if members, err := w.d.Members(t.Context(), empty); err != nil || len(members) != 0 {
		t.Errorf("Members of an empty group = %v, %v", members, err)
	}
}

// TestMembersByParts: a server tells members by parts, and all of them are read.
func TestMembersByParts(t *testing.T) {
	w := onDomain(t)
	var want []string
	for range 7 {
		want = append(want, w.group("OU=services"))
	}
	slices.Sort(want)
	group := w.group("OU=groups", want...)
	for _, at := range []int{1, 2, 3, 7, 8} {
		d := open(t, onSamba(w.s))
		d.SetMemberRange(at)
		got, err := d.Members(t.Context(), group)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("by %d: %v, %v, want %v", at, got, err, want)
		}
	}
}

// TestOneMouth: whoever is typed for, it is one person.
func TestOneMouth(t *testing.T) {
	w := onDomain(t)
	p := w.create(func(n *directory.NewPerson) { n.Mail = n.Login + "@pref.example" })
	w.replace(p.DN, "userPrincipalName", p.Login+".sekisho@pref.example")
	for _, typed := range []string{
		p.Login, strings.ToUpper(p.Login), p.Mail, p.Login + ".sekisho@pref.example", p.Login + "@corp.test", strings.ToUpper(p.Login) + "@CORP.test", p.DN,
	} {
		if got, err := w.d.Find(t.Context(), typed); err != nil || got.ID != p.ID || got.Login != p.Login {
			t.Errorf("Find(%s) = %+v, %v", typed, got.Login, err)
		}
	}
	for _, typed := range []string{p.Login + "@corp", "@corp.test", p.Login + "@corp.test.", `CORP\` + p.Login} {
		if got, err := w.d.Find(t.Context(), typed); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("Find(%s) = %+v, %v", typed, got.Login, err)
		}
	}
	// A name that is one person's principal and another's login behind the
	// domain leads to nobody.
	q := w.create()
	w.replace(p.DN, "userPrincipalName", q.Login+"@pref.example")
	w.replace(q.DN, "mail", q.Login+"@pref.example")
	if _, err := w.d.Find(t.Context(), q.Login+"@pref.example"); !errors.Is(err, directory.ErrAmbiguous) {
		t.Errorf("Find of two = %v", err)
	}
	// Computers are users there, and no people.
	name := w.name("pc")
	w.add("CN="+name+",OU=people,"+w.s.BaseDN, "computer", map[string][]string{"sAMAccountName": {name + "$"}, "userAccountControl": {"4096"}})
	for _, typed := range []string{name + "$", "CN=" + name + ",OU=people," + w.s.BaseDN} {
		if got, err := w.d.Find(t.Context(), typed); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("Find(%s) = %+v, %v", typed, got, err)
		}
	}
}

// TestFormerPassword: for an hour after a change a domain controller lets in the
// password before it. We do not, whoever changed it and how.
func TestFormerPassword(t *testing.T) {
	w := onDomain(t)
	bare := func(p directory.Person, password string) error {
		c := w.s.Dial(t)
		defer c.Close()
		return c.Bind(p.DN, password)
	}
	p := w.create()
	for _, change := range []struct {
		what      string
		old, next string
		do        func() error
	}{
		{"by its owner", "first-password", "second-password", func() error {
			return w.d.ChangePassword(t.Context(), p, text("first-password"), text("second-password"))
		}},
		{"by us", "second-password", "third-password", func() error {
			return w.d.ResetPassword(t.Context(), p, text("third-password"), false)
		}},
		{"by an administrator of theirs", "third-password", "fourth-password", func() error {
			s, _ := schema.Named("active_directory")
			value, err := s.PasswordValue("fourth-password")
			w.replace(p.DN, "unicodePwd", value)
			return err
		}},
	} {
		if err := change.do(); err != nil {
			t.Fatalf("%s: %v", change.what, err)
		}
		if err := bare(p, change.old); err != nil {
			t.Errorf("%s: the server itself refuses the former password: %v", change.what, err)
		}
		w.says(p, change.old, directory.OutcomeWrong)
		w.says(p, change.next, directory.OutcomeRight)
		if err := w.d.ChangePassword(t.Context(), w.fresh(p), text(change.old), text("another-password")); !refusedFor(err, directory.ReasonWrongCurrent) {
			t.Errorf("%s: ChangePassword by the former one: %v", change.what, err)
		}
	}
	// A temporary password: the former one does not open its change either.
	if err := w.d.ResetPassword(t.Context(), p, text("temporary-word"), true); err != nil {
		t.Fatal(err)
	}
	w.says(p, "fourth-password", directory.OutcomeWrong)
	w.says(p, "temporary-word", directory.OutcomeMustChange)
	if a := w.fresh(p).Account; !a.MustChange || time.Since(a.PasswordChangedAt) > time.Minute {
		t.Errorf("a temporary password is of %v", a.PasswordChangedAt)
	}
}

func refusedFor(err error, want directory.Reason) bool {
	var refused *directory.Refused
	return errors.As(err, &refused) && refused.Reason == want
}

// TestBindCodes: what a real server says of each state, of the right password
// and of a wrong one. Told apart inside; that they are answered alike outside is
// signin's.
func TestBindCodes(t *testing.T) {
	w := onDomain(t)
	hours := strings.Repeat("\x00", 21) // no hour of the week
	for _, tt := range []struct {
		name      string
		state     func(p directory.Person)
		right     directory.Outcome
		wrong     directory.Outcome
		unchanged bool // the account as we read it stays open: the server alone says so
	}{
		{"open", func(directory.Person) {}, directory.OutcomeRight, directory.OutcomeWrong, true},
		{"to be changed", func(p directory.Person) { w.replace(p.DN, "pwdLastSet", "0") }, directory.OutcomeMustChange, directory.OutcomeWrong, false},
		{"expired", func(p directory.Person) {
			w.s.Write(t, p.DN, "pwdLastSet", schema.FileTime(time.Now().Add(-samba.MaxAge-time.Hour)))
		}, directory.OutcomeExpired, directory.OutcomeWrong, false},
		{"ended", func(p directory.Person) {
			w.replace(p.DN, "accountExpires", schema.FileTime(time.Now().Add(-time.Hour)))
		}, directory.OutcomeDisabled, directory.OutcomeWrong, false},
		{"not at this hour", func(p directory.Person) { w.replace(p.DN, "logonHours", hours) }, directory.OutcomeBarred, directory.OutcomeWrong, true},
		{"locked", func(p directory.Person) {
			for range samba.MaxFailures {
				w.says(p, "not-the-password", directory.OutcomeWrong)
			}
		}, directory.OutcomeLocked, directory.OutcomeLocked, false},
		{"closed", func(p directory.Person) { w.replace(p.DN, "userAccountControl", "514") }, directory.OutcomeDisabled, directory.OutcomeDisabled, false},
	} {
		p := w.create()
		tt.state(p)
		t.Log(tt.name)
		w.says(p, "not-the-password", tt.wrong)
		w.says(p, "first-password", tt.right)
		// The client's own memory of the account is not what tells them apart,
		// but for a closed account and a wrong password.
		if tt.name == "closed" {
			tt.wrong = directory.OutcomeWrong
		}
		for password, want := range map[string]directory.Outcome{"not-the-password": tt.wrong, "first-password": tt.right} {
			if got, err := w.d.Authenticate(t.Context(), directory.Person{ID: p.ID, DN: p.DN}, text(password)); err != nil || got != want {
				t.Errorf("%s, known as nothing: %v, %v, want %v", tt.name, got, err, want)
			}
		}
	}
}

// TestControlBits: closing and opening touch one bit.
func TestControlBits(t *testing.T) {
	w := onDomain(t)
	p := w.create()
	const was = "1114624" // normal, never expires, not delegated
	w.replace(p.DN, "userAccountControl", was)
	if err := w.d.Disable(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := w.attribute(p.DN, "userAccountControl"); got != "1114626" {
		t.Errorf("closed: %s", got)
	}
	if err := w.d.Enable(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := w.attribute(p.DN, "userAccountControl"); got != was {
		t.Errorf("opened: %s, want %s", got, was)
	}
	if a := w.fresh(p).Account; !a.PasswordExpiresAt.IsZero() {
		t.Errorf("a password that never expires expires at %v", a.PasswordExpiresAt)
	}
}

// TestMovedAway: a write follows the person and not the name, and stays below
// the people base.
func TestMovedAway(t *testing.T) {
	w := onDomain(t)
	p := w.create()
	unit := w.add("OU="+w.name("ka")+",OU=people,"+w.s.BaseDN, "organizationalUnit", nil)
	rdn, _, _ := strings.Cut(p.DN, ",")
	move := func(dn, to string) {
		t.Helper()
		if err := w.admin.ModifyDN(goldap.NewModifyDNRequest(dn, rdn, true, to)); err != nil {
			t.Fatal(err)
		}
	}
	move(p.DN, unit)
	if err := w.d.Disable(t.Context(), p); err != nil {
		t.Errorf("Disable of who moved: %v", err)
	}
	if got := w.fresh(p); !got.Account.Disabled || got.DN == p.DN {
		t.Errorf("after Disable: %+v", got)
	}
	move(rdn+","+unit, "OU=services,"+w.s.BaseDN)
	for what, err := range map[string]error{
		"Enable":        w.d.Enable(t.Context(), p),
		"ResetPassword": w.d.ResetPassword(t.Context(), p, text("another-password"), false),
		"Delete":        w.d.Delete(t.Context(), p),
	} {
		if !errors.Is(err, directory.ErrMalformed) {
			t.Errorf("%s of who left the people: %v", what, err)
		}
	}
}

// TestFinePolicy: a person's own policy is what counts for them, and one that we
// may not read counts as the strictest.
func TestFinePolicy(t *testing.T) {
	w := onDomain(t)
	p := w.create()
	container := "CN=Password Settings Container,CN=System," + w.s.BaseDN
	w.add("CN="+w.name("strict")+","+container, "msDS-PasswordSettings", map[string][]string{
		"msDS-PasswordSettingsPrecedence": {"10"}, "msDS-PasswordReversibleEncryptionEnabled": {"FALSE"},
		"msDS-PasswordHistoryLength": {"3"}, "msDS-PasswordComplexityEnabled": {"FALSE"}, "msDS-MinimumPasswordLength": {"8"},
		"msDS-MinimumPasswordAge": {"0"}, "msDS-MaximumPasswordAge": {"-36288000000000"}, "msDS-LockoutThreshold": {"4"},
		"msDS-LockoutObservationWindow": {"-600000000"}, "msDS-LockoutDuration": {"-9223372036854775808"}, "msDS-PSOAppliesTo": {p.DN},
	})
	if a := w.fresh(p).Account; a.LockoutAfter != 4 || a.LastUsedLag != 14*24*time.Hour {
		t.Errorf("under its own policy the account is %+v", a)
	}
	if a := w.create().Account; a.LockoutAfter != samba.MaxFailures {
		t.Errorf("under the domain's policy an account locks after %d", a.LockoutAfter)
	}
	for range 4 {
		w.says(p, "not-the-password", directory.OutcomeWrong)
	}
	w.says(p, "first-password", directory.OutcomeLocked)
	if a := w.fresh(p).Account; !a.PasswordLocked || !a.PasswordLockedUntil.IsZero() {
		t.Errorf("locked until an administrator, the account is %+v", a)
	}
	if err := w.d.Unlock(t.Context(), p); err != nil {
		t.Error(err)
	}
	w.says(p, "first-password", directory.OutcomeRight)

	c := onSamba(w.s)
	c.BindDN = w.s.ReaderDN
	seen, err := open(t, c).ByID(t.Context(), p.ID)
	if err != nil || seen.Account.LockoutAfter != 1 {
		t.Errorf("whose policy may not be read: %+v, %v", seen.Account, err)
	}
	strict, err := w.d.OwnPolicies(t.Context())
	if err != nil || len(strict) == 0 || strict[0].Lockout.MaxFailures != 4 || strict[0].Hidden {
		t.Errorf("OwnPolicies = %+v, %v", strict, err)
	}
	if hidden, err := open(t, c).OwnPolicies(t.Context()); err != nil || len(hidden) == 0 || !hidden[0].Hidden {
		t.Errorf("OwnPolicies to who may not read = %+v, %v", hidden, err)
	}
}

// TestFromTheHead: a search from the domain's head is not answered with
// references to other places, and what it leaves out is not of people.
func TestFromTheHead(t *testing.T) {
	w := onDomain(t, func(c *ldap.Config) { c.PeopleDN, c.GroupsDN = c.BaseDN, c.BaseDN })
	p, err := w.d.Find(t.Context(), "Administrator")
	if err != nil || !p.Protected {
		t.Fatalf("Find = %+v, %v", p, err)
	}
	if !slices.ContainsFunc(p.Groups, func(dn string) bool { return strings.HasPrefix(dn, "CN=Domain Admins,") }) {
		t.Errorf("the administrator is in %v", p.Groups)
	}
	if err := w.d.Stream(t.Context(), func(directory.Person) error { return nil }); err != nil {
		t.Error(err)
	}
	if _, _, err := w.d.Search(t.Context(), "admin", "", 10); err != nil {
		t.Error(err)
	}
}

// TestReader: an account without the delegated rights changes nothing.
func TestReader(t *testing.T) {
	w := onDomain(t)
	p := w.create()
	c := onSamba(w.s)
	c.BindDN = w.s.ReaderDN
	d := open(t, c)
	if got, err := d.ByID(t.Context(), p.ID); err != nil || got.Account.CreatedAt.IsZero() {
		t.Errorf("ByID = %+v, %v", got, err)
	}
	_, created := d.Create(t.Context(), directory.NewPerson{Login: w.name("saburo"), Name: "三郎", Kind: directory.KindStaff})
	for what, err := range map[string]error{
		"Disable": d.Disable(t.Context(), p), "ResetPassword": d.ResetPassword(t.Context(), p, text("another-password"), true),
		"Delete": d.Delete(t.Context(), p), "Create": created,
		"AddMember": d.AddMember(t.Context(), w.group("OU=groups"), p.DN),
	} {
		if err == nil || errors.Is(err, directory.ErrNotFound) || errors.Is(err, directory.ErrAway) {
			t.Errorf("%s by who may only read: %v", what, err)
		}
	}
	w.says(p, "first-password", directory.OutcomeRight)
	for who, config := range map[string]ldap.Config{"reader": c, "sekisho": onSamba(w.s)} {
		found, err := open(t, config).Rights(t.Context())
		if err != nil || len(found.Unseen) > 0 || (len(found.Unwritable) > 0) != (who == "reader") {
			t.Errorf("%s: %+v, %v", who, found, err)
		}
	}
}

// TestPlainRefused: no password goes to a domain controller in clear, not even
// on loopback.
func TestPlainRefused(t *testing.T) {
	s := samba.Shared(t)
	c := onSamba(s)
	c.Servers = []string{s.URL}
	if _, err := ldap.Open(t.Context(), c, clock.System()); !errors.Is(err, ldap.ErrNeedsTLS) {
		t.Errorf("Open = %v", err)
	}
	c.StartTLS = true
	if err := open(t, c).Ping(t.Context()); err != nil {
		t.Error("StartTLS:", err)
	}
}
