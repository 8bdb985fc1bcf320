package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory/schema"
	"sekisho/test/harness"
	"sekisho/test/samba"
)

// A domain is a gate on a real Active Directory domain controller.
type domain struct {
	*harness.Site
	t      *testing.T
	s      *samba.Server
	admin  *goldap.Conn
	prefix string // of this test's names: the domain is shared
}

const domainConfig = `listen: %[1]s
public_url: https://sekisho.pref.example
trusted_proxies: [127.0.0.1]
zones: [lgwan]
metrics: {listen: "%[2]s"}
store: {path: data/sekisho.db}
directory:
  schema: active_directory
  servers: [%[3]s]
  base_dn: %[4]s
  bind_dn: %[5]s
  bind_password_file: ldap.password
  ca_file: %[6]s
  op_timeout: 10s
keys: {sealing: keys/sealing.key, session: keys/session.key, trail: keys/trail.key}
trail: {anchor: anchor/checkpoint}
policy: {bootstrap: policy.yaml}
argon2: {memory_kib: 8192, time: 1}
`

const domainRules = `profile: standard
prefecture:
  name: {ja: 試験県, en: Test Prefecture}
zones:
  - id: lgwan
networks:
  - {cidr: 127.0.0.0/8, zone: lgwan}
  - {cidr: 10.2.0.0/16, zone: lgwan}
posts:
  - {id: staff, group: "cn=%[2]sstaff,ou=groups,%[1]s"}
  - {id: security_officer, group: "cn=%[2]sofficer,ou=groups,%[1]s"}
applications:
  - {id: app, name: {ja: 文書管理, en: Documents}, host: app.pref.example, zone: lgwan, class: 2, posts: [staff]}
acknowledgement:
  version: "2026-04"
  text: {ja: 定めを守ります。, en: I will keep the rules.}
sign_in: {source_failures: 1000}
lockout: {hard_limit: 11, free_failures: 10, delays: [1s], known_browser_share: 4}
`

func onDomain(t *testing.T, prefix string) *domain {
	t.Helper()
	s := samba.Shared(t)
	d := &domain{
		Site: &harness.Site{
			Dir: t.TempDir(), PublicURL: "https://sekisho.pref.example", Members: map[string]*harness.Member{},
			Listen:  "127.0.0.1:" + strconv.Itoa(harness.FreePort(t)),
			Metrics: "127.0.0.1:" + strconv.Itoa(harness.FreePort(t)),
		},
		t: t, s: s, admin: s.Admin(t), prefix: prefix,
	}
	for _, dir := range []string{"data", "anchor"} {
		if err := os.Mkdir(filepath.Join(d.Dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.Write(t, "ldap.password", []byte(s.ServicePassword+"\n"))
	d.Policy = d.Write(t, "policy.yaml", fmt.Appendf(nil, domainRules, s.BaseDN, prefix))
	d.Config = d.Write(t, "sekisho.yaml", fmt.Appendf(nil, domainConfig, d.Listen, d.Metrics, s.LDAPSURL, s.BaseDN, s.ServiceDN, s.CAFile))
	return d
}

func (d *domain) add(dn, class string, values map[string][]string) {
	d.t.Helper()
	a := goldap.NewAddRequest(dn, nil)
	a.Attribute("objectClass", []string{class})
	for name, v := range values {
		a.Attribute(name, v)
	}
	if err := d.admin.Add(a); err != nil {
		d.t.Fatal(err)
	}
}

// join adds a member of the domain. With temporary the password is one.
func (d *domain) join(login string, temporary bool) *harness.Member {
	d.t.Helper()
	m := &harness.Member{Login: d.prefix + login, Name: login, Password: login + "-no-asagohan-42"}
	m.DN = "CN=" + m.Login + ",OU=people," + d.s.BaseDN
	ad, _ := schema.Named("active_directory")
	value, err := ad.PasswordValue(m.Password)
	if err != nil {
		d.t.Fatal(err)
	}
	values := map[string][]string{
		"sAMAccountName": {m.Login}, "userPrincipalName": {m.Login + "@pref.example"}, "displayName": {m.Name},
		"mail": {m.Login + ".mail@pref.example"}, "unicodePwd": {value}, "userAccountControl": {"512"},
	}
	if temporary {
		values["pwdLastSet"] = []string{"0"}
	}
	d.add(m.DN, "user", values)
	d.Members[login] = m
	return m
}

func (d *domain) group(name string, members ...string) string {
	d.t.Helper()
	dn := "CN=" + d.prefix + name + ",OU=groups," + d.s.BaseDN
	values := map[string][]string{"sAMAccountName": {d.prefix + name}}
	if len(members) > 0 {
		values["member"] = members
	}
	d.add(dn, "group", values)
	return dn
}

func (d *domain) replace(dn, attribute string, values ...string) {
	d.t.Helper()
	m := goldap.NewModifyRequest(dn, nil)
	m.Replace(attribute, values)
	if err := d.admin.Modify(m); err != nil {
		d.t.Fatal(err)
	}
}

func (d *domain) attribute(dn, attribute string) string {
	d.t.Helper()
	r, err := d.admin.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", []string{attribute}, nil))
	if err != nil {
		d.t.Fatal(err)
	}
	return r.Entries[0].GetAttributeValue(attribute)
}

// bind asks the domain itself.
func (d *domain) bind(m *harness.Member, password string) error {
	c := d.s.Dial(d.t)
	defer c.Close()
	return c.Bind(m.DN, password)
}

// TestSignInOnActiveDirectory is a day on a real domain controller: a password
// and a first TOTP device, a temporary password changed at once, a changed one,
// a stranger who guesses, an account closed and a nested group emptied.
func TestSignInOnActiveDirectory(t *testing.T) {
	t.Parallel()
	d := onDomain(t, "j-")
	tanaka, suzuki, sato, shimizu := d.join("tanaka", false), d.join("suzuki", false), d.join("sato", false), d.join("shimizu", true)
	jinji := d.group("jinji", tanaka.DN, shimizu.DN)
	zaisei := d.group("zaisei", suzuki.DN, sato.DN)
	staff := d.group("staff", jinji, zaisei)
	d.Serve(t)

	// A password, a device, and a post by a group in a group.
	c := d.Behind("10.2.0.1")
	tanaka.SignIn(t, c)
	var in struct{ Posts []string }
	if c.Do(t, "GET", "/api/v1/session", nil).Into(t, &in); !slices.Equal(in.Posts, []string{"staff"}) {
		t.Errorf("by a nested group tanaka holds %v", in.Posts)
	}
	cookie := appCookie(t, d.Site, c, "app")
	if got := allowed(t, c, "app", cookie); got != http.StatusOK {
		t.Fatalf("the application: %d", got)
	}

	// A temporary password opens its own change alone.
	s, a := d.Behind("10.2.0.2").Password(t, shimizu.Login, "not-the-password")
	if a.Status != http.StatusUnauthorized || a.Code() != "refused" {
		t.Errorf("a wrong password beside a temporary one: %d %q %s", a.Status, s.State, a.Body)
	}
	c2 := d.Behind("10.2.0.2")
	if s, a = c2.Password(t, shimizu.Login+"@pref.example", shimizu.Password); s.State != "password_change" {
		t.Fatalf("after a temporary password: %d %s", a.Status, a.Body)
	}
	temporary := shimizu.Password
	shimizu.Password = "aoi-Enogu-73-kanazuchi"
	a = c2.Do(t, "POST", "/api/v1/signin/password", map[string]string{"new_password": shimizu.Password})
	if a.Into(t, &s); s.State != "enrol" {
		t.Fatalf("after its change: %d %s", a.Status, a.Body)
	}
	if err := d.bind(shimizu, shimizu.Password); err != nil || d.attribute(shimizu.DN, "pwdLastSet") == "0" {
		t.Errorf("the domain and the new password: %v", err)
	}
	if _, a := d.Behind("10.2.0.3").Password(t, shimizu.Login, temporary); a.Status != http.StatusUnauthorized {
		t.Errorf("the temporary password again: %d %s", a.Status, a.Body)
	}

	// One changed by its owner: the domain lets the former one in for an hour. We
	// do not.
	former := tanaka.Password
	tanaka.Password = "kiiro-Tsukue-18-yuugata"
	if a := c.Do(t, "POST", "/api/v1/password", map[string]string{"current": former, "new": tanaka.Password}); a.Status/100 != 2 {
		t.Fatalf("changing a password: %d %s", a.Status, a.Body)
	}
	if err := d.bind(tanaka, former); err != nil {
		t.Errorf("the domain itself refuses the former password: %v", err)
	}
	if _, a := d.Behind("10.2.0.4").Password(t, tanaka.Login, former); a.Status != http.StatusUnauthorized {
		t.Errorf("the former password: %d %s", a.Status, a.Body)
	}
	if s, a := d.Behind("10.2.0.4").Password(t, tanaka.Login, tanaka.Password); s.State != "second_factor" {
		t.Errorf("the new password: %d %s", a.Status, a.Body)
	}

	// A stranger guesses, by every name there is. The domain locks nobody.
	owner := d.Behind("10.2.0.5")
	suzuki.SignIn(t, owner)
	got := map[int]int{}
	for i := range 30 {
		login := []string{suzuki.Login, strings.ToUpper(suzuki.Login), suzuki.Login + "@pref.example", suzuki.Login + ".mail@pref.example", suzuki.Login + "@corp.test", suzuki.DN}[i%6]
		_, a := d.Behind("10.2.1."+strconv.Itoa(i)).Password(t, login, "wrong-"+strconv.Itoa(i))
		got[a.Status]++
	}
	if got[401] == 0 || got[401] >= samba.MaxFailures || got[401]+got[429] != 30 {
		t.Errorf("30 wrong passwords were answered %v; the domain locks at %d", got, samba.MaxFailures)
	}
	if at := d.attribute(suzuki.DN, "lockoutTime"); at != "" && at != "0" {
		t.Errorf("the domain locked at %s", at)
	}
	if err := d.bind(suzuki, suzuki.Password); err != nil {
		t.Errorf("the owner is locked out of the domain: %v", err)
	}
	if s, a := owner.Password(t, suzuki.Login, suzuki.Password); s.State != "second_factor" && s.State != "signed_in" {
		t.Errorf("the owner's browser: %d %s", a.Status, a.Body)
	}

	// What changes in the domain without us counts everywhere within 30 s: an
	// account that is closed, and a group that is taken out of a post's group.
	c3 := d.Behind("10.2.0.6")
	sato.SignIn(t, c3)
	lent := appCookie(t, d.Site, c3, "app")
	if got := allowed(t, c3, "app", lent); got != http.StatusOK {
		t.Fatalf("the application for sato: %d", got)
	}
	cookie = appCookie(t, d.Site, c, "app")
	d.replace(tanaka.DN, "userAccountControl", "514")
	d.replace(staff, "member", jinji)
	changed := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		app, gate, post := allowed(t, c, "app", cookie), c.Fork().Do(t, "GET", "/api/v1/session", nil).Status, allowed(t, c3, "app", lent)
		took := time.Since(changed)
		if app != 200 && gate != 200 && post == http.StatusForbidden {
			t.Logf("refused after %v", took.Round(time.Millisecond))
			break
		}
		if took > 30*time.Second {
			t.Fatalf("%v later: the closed account's application %d and session %d; the application of a lost post %d", took, app, gate, post)
		}
		<-tick.C
	}
	if s, a := d.Behind("10.2.0.7").Password(t, tanaka.Login, tanaka.Password); a.Status != http.StatusUnauthorized || a.Code() != "refused" {
		t.Errorf("who is closed: %d %q", a.Status, s.State)
	}
}

// TestConfigCheckOnActiveDirectory: what would fail on a domain is said before it
// does, by name.
func TestConfigCheckOnActiveDirectory(t *testing.T) {
	t.Parallel()
	d := onDomain(t, "c-")
	admin := d.join("kanri", false)
	d.replace(admin.DN, "adminCount", "1")
	plain := d.join("ippan", false)
	check := func(name, config string, status int, says ...string) {
		t.Helper()
		out, errs, got := harness.Run(t, "sekisho", "config", "check", "--config", config)
		if got != status {
			t.Errorf("%s: status %d\n%s%s", name, got, out, errs)
		}
		for _, text := range says {
			if !strings.Contains(out+errs, text) {
				t.Errorf("%s: %q is not said\n%s%s", name, text, out, errs)
			}
		}
	}
	check("as it should be", d.Config, 0, "nothing would fail", "people whom the directory guards itself", admin.Login)
	check("in clear", d.Variant(t, d.Config, "clear.yaml", "ldaps://", "ldap://"), 1, "directory.servers[0]", "takes no password in clear")
	check("by StartTLS", d.Variant(t, d.Variant(t, d.Config, "clear.yaml", "ldaps://", "ldap://"), "tls.yaml", "  base_dn", "  start_tls: true\n  base_dn"), 0)
	check("an account without rights", d.Variant(t, d.Config, "reader.yaml", d.s.ServiceDN, d.s.ReaderDN), 1,
		"our account cannot write", "userAccountControl", "lockoutTime")
	check("people that are not there", d.Variant(t, d.Config, "none.yaml", "  ca_file", "  people_dn: OU=none,"+d.s.BaseDN+"\n  ca_file"), 1, "people_dn")
	d.Variant(t, d.Policy, "late.yaml", "hard_limit: 11", "hard_limit: 12")
	check("a limit that holds too late", d.Variant(t, d.Config, "late-config.yaml", "bootstrap: policy.yaml", "bootstrap: late.yaml"), 1,
		"locks after 12 failures", "lockoutThreshold", "lower lockout.hard_limit to 11")
	pso := "CN=" + d.prefix + "strict,CN=Password Settings Container,CN=System," + d.s.BaseDN
	d.add(pso, "msDS-PasswordSettings", map[string][]string{
		"msDS-PasswordSettingsPrecedence": {"10"}, "msDS-PasswordReversibleEncryptionEnabled": {"FALSE"}, "msDS-PasswordHistoryLength": {"3"},
		"msDS-PasswordComplexityEnabled": {"FALSE"}, "msDS-MinimumPasswordLength": {"8"}, "msDS-MinimumPasswordAge": {"0"},
		"msDS-MaximumPasswordAge": {"-36288000000000"}, "msDS-LockoutThreshold": {"5"}, "msDS-LockoutObservationWindow": {"-600000000"},
		"msDS-LockoutDuration": {"-600000000"}, "msDS-PSOAppliesTo": {plain.DN},
	})
	check("stricter for a few", d.Config, 1, "locks after 5 failures", "strict,CN=Password Settings Container")
	check("and hidden from us", d.Variant(t, d.Config, "hidden.yaml", d.s.ServiceDN, d.s.ReaderDN), 1, "shows us no values")
}
