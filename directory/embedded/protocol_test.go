package embedded_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"

	"sekisho/directory/embedded"
	"sekisho/policy/clock"
)

func code(err error) int {
	var e *goldap.Error
	if errors.As(err, &e) {
		return int(e.ResultCode)
	}
	if err != nil {
		return -1
	}
	return 0
}

func person(t *testing.T, c *goldap.Conn, login, password string) string {
	t.Helper()
	if err := addPerson(c, login); err != nil {
		t.Fatal(err)
	}
	dn := "uid=" + login + ",ou=people," + base
	m := goldap.NewModifyRequest(dn, nil)
	m.Replace("userPassword", []string{password})
	m.Replace("pwdReset", nil)
	if err := c.Modify(m); err != nil {
		t.Fatal(err)
	}
	return dn
}

// TestMalformed: bytes that are no message end the connection they came on.
func TestMalformed(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := embedded.Start(t.Context(), config(t.TempDir(), clock.System()))
	if err != nil {
		t.Fatal(err)
	}
	other := asAdmin(t, s)
	for name, data := range map[string][]byte{
		"another protocol":   []byte("GET / HTTP/1.1\r\n\r\n"),
		"a message too long": {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02},
		"no length":          {0x30, 0x80, 0x02, 0x01, 0x01},
		"too deep":           deep(200),
		"too many":           append([]byte{0x30, 0x83, 0x0f, 0xff, 0xff}, bytes.Repeat([]byte{4, 0}, 1<<19)...)[:5+0x0fffff],
		"beyond its frame":   {0x30, 0x03, 0x02, 0x05, 0x01},
		"no operation":       {0x30, 0x03, 0x02, 0x01, 0x01},
		"unknown operation":  {0x30, 0x05, 0x02, 0x01, 0x01, 0x7e, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(clock.System()().Add(10 * time.Second))
			_, _ = c.Write(data) // the other side may hang up before the end
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection goes on")
			}
			if _, err := other.WhoAmI(nil); err != nil {
				t.Error("another connection suffered:", err)
			}
		})
	}
	_ = other.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

func deep(n int) []byte {
	b := []byte{0x04, 0x00}
	for range n {
		head := []byte{0x30, byte(len(b))}
		if len(b) > 127 {
			head = []byte{0x30, 0x82, byte(len(b) >> 8), byte(len(b))}
		}
		b = append(head, b...)
	}
	return b
}

// TestTooManyConnections: those within the bound keep working.
func TestTooManyConnections(t *testing.T) {
	s := start(t, t.TempDir(), clock.System())
	c := asAdmin(t, s)
	for range 300 {
		extra, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer extra.Close()
	}
	if _, err := c.WhoAmI(nil); err != nil {
		t.Error(err)
	}
}

// TestAccess: what is nobody's business stays so.
func TestAccess(t *testing.T) {
	s := start(t, t.TempDir(), clock.System())
	a := asAdmin(t, s)
	taro, hanako := person(t, a, "taro", "password-of-taro"), person(t, a, "hanako", "password-of-hanako")
	near, err := s.Dial()
	if err != nil {
		t.Fatal(err)
	}
	c := goldap.NewConn(near, false)
	c.Start()
	defer c.Close()
	everything := goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, 0, 0, 0, false, "(objectClass=*)", []string{"*", "+", "userPassword"}, nil)
	if _, err := c.Search(everything); code(err) != goldap.LDAPResultInsufficientAccessRights {
		t.Errorf("nobody searches: %v", err)
	}
	if err := c.UnauthenticatedBind(taro); code(err) != goldap.LDAPResultUnwillingToPerform {
		t.Errorf("a name without a password binds: %v", err)
	}
	for _, who := range []string{taro, admin, "uid=nobody,ou=people," + base} {
		if err := c.Bind(who, "wrong"); code(err) != goldap.LDAPResultInvalidCredentials {
			t.Errorf("%s with a wrong password: %v", who, err)
		}
	}
	if err := c.Bind(taro, "password-of-taro"); err != nil {
		t.Fatal(err)
	}
	r, err := c.Search(everything)
	if err != nil || len(r.Entries) != 1 || r.Entries[0].DN != taro {
		t.Errorf("taro sees %v, %v", r, err)
	}
	m := goldap.NewModifyRequest(taro, nil)
	m.Replace("employeeType", []string{"service"})
	_, errPassword := c.PasswordModify(goldap.NewPasswordModifyRequest(hanako, "", "mine-now"))
	for what, err := range map[string]error{
		"modify": c.Modify(m), "add": addPerson(c, "jiro"), "delete": c.Del(goldap.NewDelRequest(hanako, nil)),
		"rename": c.ModifyDN(goldap.NewModifyDNRequest(taro, "uid=x", true, "")), "another's password": errPassword,
	} {
		if code(err) != goldap.LDAPResultInsufficientAccessRights {
			t.Errorf("%s by taro: %v", what, err)
		}
	}
	if _, err := c.PasswordModify(goldap.NewPasswordModifyRequest("", "wrong", "second-password")); err == nil {
		t.Error("changed without the old password")
	}
	if _, err := c.PasswordModify(goldap.NewPasswordModifyRequest("", "password-of-taro", "second-password")); err != nil {
		t.Error(err)
	}
	// Not even the administrator reads a password, by search, filter or compare.
	r, err = a.Search(everything)
	if err != nil || len(r.Entries) < 6 {
		t.Fatalf("the administrator sees %d entries, %v", len(r.Entries), err)
	}
	for _, e := range r.Entries {
		if len(e.GetAttributeValues("userPassword"))+len(e.GetAttributeValues("pwdHistory")) > 0 {
			t.Errorf("%s shows its password", e.DN)
		}
	}
	guess := *everything
	guess.Filter = "(userPassword=*)"
	if r, err := a.Search(&guess); err != nil || len(r.Entries) != 0 {
		t.Errorf("a filter on passwords finds %d, %v", len(r.Entries), err)
	}
	if same, err := a.Compare(taro, "userPassword", "second-password"); same || err != nil {
		t.Errorf("Compare of a password = %v, %v", same, err)
	}
}

// TestNothingInClear: a canary password, by whatever operation it came, is in
// no file (security.md row 26).
func TestNothingInClear(t *testing.T) {
	dir := t.TempDir()
	s, err := embedded.Start(t.Context(), config(dir, clock.System()))
	if err != nil {
		t.Fatal(err)
	}
	c := asAdmin(t, s)
	dn := person(t, c, "taro", "canary-by-modify")
	add := goldap.NewAddRequest("uid=hanako,ou=people,"+base, nil)
	for name, value := range map[string]string{"objectClass": "inetOrgPerson", "cn": "h", "sn": "h", "userPassword": "canary-by-add"} {
		add.Attribute(name, []string{value})
	}
	if err := c.Add(add); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PasswordModify(goldap.NewPasswordModifyRequest(dn, "", "canary-by-extension")); err != nil {
		t.Fatal(err)
	}
	if err := c.Bind(dn, "canary-by-guess"); err == nil {
		t.Error("a wrong password binds")
	}
	if err := c.Bind(add.DN, "canary-by-add"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		// Values are base64 in the files; its three alignments have this in common.
		for _, canary := range []string{"canary", "Y2FuYXJ5", "NhbmFye", "jYW5hcn"} {
			if bytes.Contains(data, []byte(canary)) {
				t.Errorf("%s holds a password in clear", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRename: a subtree moves with its members' references.
func TestRename(t *testing.T) {
	s := start(t, t.TempDir(), clock.System())
	c := asAdmin(t, s)
	taro := person(t, c, "taro", "password-of-taro")
	group := goldap.NewAddRequest("cn=g,ou=groups,"+base, nil)
	group.Attribute("objectClass", []string{"groupOfNames"})
	group.Attribute("member", []string{taro})
	if err := c.Add(group); err != nil {
		t.Fatal(err)
	}
	if err := c.ModifyDN(goldap.NewModifyDNRequest("ou=people,"+base, "ou=職員", true, "")); err != nil {
		t.Fatal(err)
	}
	if err := c.ModifyDN(goldap.NewModifyDNRequest("uid=taro,ou=職員,"+base, "uid=jiro", true, base)); err != nil {
		t.Fatal(err)
	}
	r, err := c.Search(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, 0, 0, 0, false, "(memberOf=cn=G, ou=groups,"+base+")", []string{"uid", "memberOf"}, nil))
	if err != nil || len(r.Entries) != 1 || r.Entries[0].DN != "uid=jiro,"+base || !slices.Equal(r.Entries[0].GetAttributeValues("uid"), []string{"jiro"}) {
		t.Fatalf("after two renames: %v, %v", r, err)
	}
	if err := c.Bind("uid=jiro,"+base, "password-of-taro"); err != nil {
		t.Error(err)
	}
	c = asAdmin(t, s)
	if err := c.Del(goldap.NewDelRequest(base, nil)); code(err) != goldap.LDAPResultNotAllowedOnNonLeaf {
		t.Errorf("deleting the base: %v", err)
	}
	if err := c.ModifyDN(goldap.NewModifyDNRequest("ou=groups,"+base, "ou=groups", true, "cn=g,ou=groups,"+base)); code(err) != goldap.LDAPResultUnwillingToPerform {
		t.Errorf("moving an entry below itself: %v", err)
	}
}

// TestTemporaryPassword: who is bound with one may change it and nothing else.
func TestTemporaryPassword(t *testing.T) {
	s := start(t, t.TempDir(), clock.System())
	dn := person(t, asAdmin(t, s), "taro", "first-password")
	if _, err := asAdmin(t, s).PasswordModify(goldap.NewPasswordModifyRequest(dn, "", "temporary-word")); err != nil {
		t.Fatal(err)
	}
	c, err := goldap.DialURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(dn, "temporary-word"); err != nil {
		t.Fatal(err)
	}
	own := goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", nil, nil)
	if _, err := c.Search(own); code(err) != goldap.LDAPResultInsufficientAccessRights {
		t.Errorf("searching with a temporary password: %v", err)
	}
	if _, err := c.PasswordModify(goldap.NewPasswordModifyRequest("", "temporary-word", "second-password")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Search(own); err != nil {
		t.Error(err)
	}
}

// TestLDAPUtils: the tools everybody has find the server usual.
func TestLDAPUtils(t *testing.T) {
	for _, tool := range []string{"ldapsearch", "ldapadd", "ldapmodify", "ldappasswd", "ldapwhoami", "ldapcompare", "ldapmodrdn", "ldapdelete"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("SEKISHO_TEST_REQUIRE") == "1" {
				t.Fatalf("%s is not installed: apt-get install -y --no-install-recommends ldap-utils", tool)
			}
			t.Skipf("%s is not installed (Debian package ldap-utils)", tool)
		}
	}
	s := start(t, t.TempDir(), clock.System())
	run := func(stdin, tool string, args ...string) string {
		t.Helper()
		who := []string{"-x", "-H", s.URL(), "-D", admin, "-w", adminPassword}
		if slices.Contains(args, "-D") {
			who = who[:3]
		}
		cmd := exec.Command(tool, append(who, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		return fmt.Sprintf("%s%v", out, err)
	}
	dn := "uid=taro,ou=people," + base
	for _, tt := range []struct {
		stdin string
		args  []string
		says  string
	}{
		{"dn: " + dn + "\nobjectClass: inetOrgPerson\ncn:: " + "6Zai5omA" + "\nsn: s\nuid: taro\n", []string{"ldapadd"}, "adding new entry"},
		{"dn: " + dn + "\nobjectClass: inetOrgPerson\ncn: c\nsn: s\n", []string{"ldapadd"}, "Already exists"},
		{"dn: " + dn + "\nchangetype: modify\nadd: mail\nmail: taro@pref.example\n-\nreplace: sn\nsn: Sekisho\n", []string{"ldapmodify"}, "modifying entry"},
		{"", []string{"ldappasswd", "-s", "taro-password", dn}, "<nil>"},
		{"", []string{"ldapsearch", "-LLL", "-b", base, "(&(uid=TARO)(mail=*@pref*))", "sn", "entryUUID", "pwdReset"}, "sn: Sekisho"},
		{"", []string{"ldapsearch", "-LLL", "-b", base, "(uid=taro)", "+"}, "pwdReset: TRUE"},
		{"", []string{"ldapsearch", "-LLL", "-E", "pr=1/noprompt", "-b", base}, "uid: taro"},
		{"", []string{"ldapsearch", "-z", "2", "-b", base}, "Size limit exceeded"},
		{"", []string{"ldapsearch", "-b", "ou=none," + base}, "No such object"},
		{"", []string{"ldapsearch", "-LLL", "-s", "base", "-b", "", "+", "*"}, "namingContexts: " + base},
		{"", []string{"ldapcompare", dn, "mail:TARO@pref.example"}, "TRUE"},
		{"", []string{"ldapwhoami"}, "dn:" + admin},
		{"", []string{"ldapwhoami", "-D", dn, "-w", "taro-password", "-e", "ppolicy"}, "Password must be changed"},
		{"", []string{"ldapmodrdn", "-r", dn, "uid=jiro"}, "<nil>"},
		{"", []string{"ldapdelete", "uid=jiro,ou=people," + base}, "<nil>"},
		{"", []string{"ldapsearch", "-LLL", "-b", base, "(uid=jiro)"}, "<nil>"},
	} {
		if got := run(tt.stdin, tt.args[0], tt.args[1:]...); !strings.Contains(got, tt.says) {
			t.Errorf("%v says %q, want %q", tt.args, got, tt.says)
		}
	}
}

// TestTiming: who does not exist, has no password, or is locked costs a guess
// what a wrong password costs. The bound is coarse on purpose, machines being
// what they are: without the dummy hash the difference is a hundredfold.
func TestTiming(t *testing.T) {
	now := clock.System()
	s := start(t, t.TempDir(), now)
	a := asAdmin(t, s)
	person(t, a, "known", "password-of-known")
	person(t, a, "locked", "password-of-locked")
	m := goldap.NewModifyRequest("uid=locked,ou=people,"+base, nil)
	m.Replace("pwdAccountLockedTime", []string{"000001010000Z"})
	if err := errors.Join(a.Modify(m), addPerson(a, "without")); err != nil {
		t.Fatal(err)
	}
	c, err := goldap.DialURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	took := make(map[string][]time.Duration)
	for range 15 {
		for _, login := range []string{"known", "unknown", "locked", "without"} {
			began := now()
			if err := c.Bind("uid="+login+",ou=people,"+base, "guess"); code(err) != goldap.LDAPResultInvalidCredentials {
				t.Fatalf("%s: %v", login, err)
			}
			took[login] = append(took[login], now().Sub(began))
		}
	}
	median := func(login string) time.Duration {
		slices.Sort(took[login])
		return took[login][len(took[login])/2]
	}
	for login := range took {
		if got, want := median(login), median("known"); got < want/3 || got > want*3 {
			t.Errorf("%s takes %v, a wrong password %v", login, got, want)
		}
	}
}
