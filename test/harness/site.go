package harness

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/test/postgres"
	"sekisho/test/slapd"
)

// A Site is a gate as an operator sets it up: a folder with sekisho.yaml,
// policy.yaml and the password of the service account, and a real slapd with
// people and groups.
type Site struct {
	Dir       string
	Config    string // path of sekisho.yaml
	Policy    string // path of the first policy.yaml
	PublicURL string
	Listen    string // where the gate listens, host:port
	Metrics   string // where its metrics are
	Slapd     *slapd.Server
	Members   map[string]*Member
}

// SiteOptions vary a site. The zero value is a usable one.
type SiteOptions struct {
	Slapd     slapd.Options
	PublicURL string // default https://sekisho.pref.example
	Local     bool   // the public address is the gate's own, http://localhost:…: for browsers
	Settings  string // more lines of sekisho.yaml, at the top level
	Rules     string // more lines of policy.yaml, at the top level
	Zone      string // more lines of the policy's zone
	OpTimeout string // of the directory, default 5s
	Store     string // the store section of sekisho.yaml, default SQLite; see OnPostgres
}

// logins of the site's people, with their posts. Everybody has a password that
// has been used, but the last, whose password is temporary.
var siteMembers = []struct {
	login, name string
	posts       []string
}{
	{"tanaka", "田中 美咲", []string{"staff"}},
	{"suzuki", "鈴木 一郎", []string{"staff"}},
	{"kobayashi", "小林 誠", []string{"staff", "security_officer"}},
	{"yoshida", "吉田 隆", []string{"staff", "cio"}},
	{"shimizu", "清水 陽菜", []string{"staff"}},
}

var siteConfig = template.Must(template.New("sekisho.yaml").Parse(`listen: {{.Listen}}
public_url: {{.PublicURL}}
trusted_proxies: [127.0.0.1]
zones: [lgwan]
metrics: {listen: "{{.Metrics}}"}
store: {{.Store}}
directory:
  servers: [{{.Slapd.LDAPSURL}}]
  base_dn: {{.Slapd.BaseDN}}
  bind_dn: {{.Slapd.ServiceDN}}
  bind_password_file: ldap.password
  ca_file: {{.Slapd.CAFile}}
  policy_dn: cn=default,ou=policies,{{.Slapd.BaseDN}}
  op_timeout: {{.OpTimeout}}
keys: {sealing: keys/sealing.key, session: keys/session.key, trail: keys/trail.key}
trail: {anchor: anchor/checkpoint}
policy: {bootstrap: policy.yaml}
argon2: {memory_kib: 8192, time: 1}
{{.Settings}}
`))

var siteRules = template.Must(template.New("policy.yaml").Parse(`profile: standard
prefecture:
  name: {ja: 試験県, en: Test Prefecture}
  words: [試験県, shiken]
zones:
  - id: lgwan
{{.Zone}}
networks:
  - {cidr: 127.0.0.0/9, zone: lgwan} # the rest of loopback is outside
  - {cidr: 10.2.0.0/16, zone: lgwan}
posts:
  - {id: staff, group: "cn=staff,ou=groups,{{.BaseDN}}"}
  - {id: security_officer, group: "cn=security_officer,ou=groups,{{.BaseDN}}"}
  - {id: cio, group: "cn=cio,ou=groups,{{.BaseDN}}"}
sections:
  - {id: jinji, name: {ja: 人事課, en: Personnel Division}}
applications:
  - {id: app, name: {ja: 文書管理, en: Documents}, host: app.pref.example, zone: lgwan, class: 2}
  - {id: other, name: {ja: 財務会計, en: Accounts}, host: other.pref.example, zone: lgwan, class: 2}
  - {id: closed, name: {ja: 人事評価, en: Appraisal}, host: closed.pref.example, zone: lgwan, class: 2, posts: [cio]}
acknowledgement:
  version: "2026-04"
  text: {ja: 定めを守ります。, en: I will keep the rules.}
sign_in: {source_failures: 1000}
{{.Rules}}
`))

// NewSite sets a site up and starts its slapd.
func NewSite(t testing.TB, o SiteOptions) *Site {
	t.Helper()
	if o.PublicURL == "" {
		o.PublicURL = "https://sekisho.pref.example"
	}
	if o.OpTimeout == "" {
		o.OpTimeout = "5s"
	}
	if o.Store == "" {
		o.Store = "{path: data/sekisho.db}"
	}
	if o.Slapd.BaseDN == "" {
		o.Slapd.BaseDN = "dc=pref,dc=example"
	}
	if o.Slapd.MinAge == 0 {
		o.Slapd.MinAge = time.Second // so that it records when passwords change
	}
	s := &Site{
		Dir: t.TempDir(), PublicURL: o.PublicURL, Members: map[string]*Member{},
		Listen:  "127.0.0.1:" + strconv.Itoa(FreePort(t)),
		Metrics: "127.0.0.1:" + strconv.Itoa(FreePort(t)),
	}
	if o.Local {
		_, port, _ := strings.Cut(s.Listen, ":")
		s.PublicURL = "http://localhost:" + port
	}
	s.Config, s.Policy = filepath.Join(s.Dir, "sekisho.yaml"), filepath.Join(s.Dir, "policy.yaml")
	for _, p := range siteMembers {
		s.Members[p.login] = &Member{
			Login: p.login, Name: p.name, Posts: p.posts,
			Password: p.login + "-no-asagohan-42", DN: "uid=" + p.login + ",ou=people," + o.Slapd.BaseDN,
		}
		o.Slapd.LDIF += s.Members[p.login].ldif()
	}
	o.Slapd.LDIF += "\n"
	s.Slapd = slapd.Start(t, o.Slapd)
	s.Directory(t, s.groups)
	for _, dir := range []string{"data", "anchor"} {
		if err := os.Mkdir(filepath.Join(s.Dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.Write(t, "ldap.password", []byte(s.Slapd.ServicePassword+"\n"))
	s.Write(t, "policy.yaml", fill(t, siteRules, struct{ Zone, Rules, BaseDN string }{o.Zone, o.Rules, o.Slapd.BaseDN}))
	s.Write(t, "sekisho.yaml", fill(t, siteConfig, struct {
		*Site
		Settings, OpTimeout, Store string
	}{s, o.Settings, o.OpTimeout, o.Store}))
	return s
}

// OnPostgres makes an empty database on a server, and answers the store section
// of sekisho.yaml that names it. at is where gates find the server: "" where it
// listens, or a proxy before it.
func OnPostgres(t testing.TB, server *postgres.Server, at string) string {
	t.Helper()
	name, err := server.Database(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if at == "" {
		at = server.Addr()
	}
	return fmt.Sprintf("{driver: postgres, url: postgres://%s@%s/%s, max_connections: 12}", postgres.Owner, at, name)
}

func fill(t testing.TB, form *template.Template, with any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := form.Execute(&b, with); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// groups are added to the running server: memberOf follows only then.
func (s *Site) groups(c *goldap.Conn) error {
	members := map[string][]string{}
	var order []string
	for _, p := range siteMembers {
		for _, post := range p.posts {
			if members[post] == nil {
				order = append(order, post)
			}
			members[post] = append(members[post], s.Members[p.login].DN)
		}
	}
	for _, post := range order {
		add := goldap.NewAddRequest("cn="+post+",ou=groups,"+s.Slapd.BaseDN, nil)
		add.Attribute("objectClass", []string{"groupOfNames"})
		add.Attribute("cn", []string{post})
		add.Attribute("member", members[post])
		if err := c.Add(add); err != nil {
			return err
		}
	}
	return nil
}

// Directory does something in slapd as its administrator, without Sekisho.
func (s *Site) Directory(t testing.TB, do func(*goldap.Conn) error) {
	t.Helper()
	conn, err := goldap.DialURL(s.Slapd.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Bind(s.Slapd.AdminDN, s.Slapd.AdminPassword); err != nil {
		t.Fatal(err)
	}
	if err := do(conn); err != nil {
		t.Fatal(err)
	}
}

// Replace sets one attribute of an entry in slapd.
func (s *Site) Replace(t testing.TB, dn, attribute string, values ...string) {
	t.Helper()
	s.Directory(t, func(c *goldap.Conn) error {
		m := goldap.NewModifyRequest(dn, nil)
		m.Replace(attribute, values)
		return c.Modify(m)
	})
}

// Attribute reads one attribute of an entry in slapd.
func (s *Site) Attribute(t testing.TB, dn, attribute string) (values []string) {
	t.Helper()
	s.Directory(t, func(c *goldap.Conn) error {
		r, err := c.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", []string{attribute}, nil))
		if err == nil {
			values = r.Entries[0].GetAttributeValues(attribute)
		}
		return err
	})
	return values
}

// Write writes a file of the site's folder, readable by its owner alone.
func (s *Site) Write(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(s.Dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Variant writes a copy of a file of the site beside it, with one text
// exchanged for another, and returns its path.
func (s *Site) Variant(t testing.TB, of, name, old, new string) string {
	t.Helper()
	text, err := os.ReadFile(of)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("%s does not contain %q", of, old)
	}
	return s.Write(t, name, bytes.Replace(text, []byte(old), []byte(new), 1))
}

// Beside is a second gate of the same site, on the same store, with addresses of
// its own.
func (s *Site) Beside(t testing.TB) *Site {
	t.Helper()
	b := *s
	b.Listen, b.Metrics = "127.0.0.1:"+strconv.Itoa(FreePort(t)), "127.0.0.1:"+strconv.Itoa(FreePort(t))
	b.Config = s.Variant(t, s.Config, "beside.yaml", "listen: "+s.Listen, "listen: "+b.Listen)
	b.Config = s.Variant(t, b.Config, "beside.yaml", s.Metrics, b.Metrics)
	return &b
}

var readyAt = regexp.MustCompile(`(?m)^ready at \S+ \(\S+\)$`)

// Serve runs `sekisho serve` and waits for its ready line. What it writes to
// standard output and its log are kept apart.
func (s *Site) Serve(t testing.TB) *Process {
	t.Helper()
	p := start(t, s.Dir, &buffer{}, &buffer{}, Binary(t, "sekisho"), "serve", "--config", s.Config)
	Until(t, "serve's ready line", func() bool {
		if p.Ended() {
			t.Fatalf("sekisho serve ended: %s%s", p.Output(), p.Log())
		}
		return readyAt.MatchString(p.Output())
	})
	return p
}

// Client is a conversation straight with the gate's listener, from one of this
// machine's loopback addresses: 127.0.0.1 is a trusted proxy, others are not.
func (s *Site) Client(from string) *Client {
	c := NewClient(strings.Replace(s.PublicURL, "https:", "http:", 1))
	dial := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c.HTTP.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial.DialContext(ctx, network, s.Listen)
	}}
	return c
}

// Behind is a trusted proxy's conversation about a client at an address.
func (s *Site) Behind(from string) *Client {
	c := s.Client("127.0.0.1")
	c.From = from
	return c
}

// A Member is one of a site's people, with their TOTP device once they have it.
type Member struct {
	Login, Name, Password, DN string
	Posts                     []string
	Secret                    string // BASE32, "" until enrolled

	step int64 // the last TOTP step used
}

func (m *Member) ldif() string {
	temporary := ""
	if m.Login == siteMembers[len(siteMembers)-1].login {
		temporary = "pwdReset: TRUE\npwdChangedTime: " + time.Now().UTC().Format("20060102150405Z") + "\n"
	}
	return fmt.Sprintf(`dn: %[1]s
objectClass: inetOrgPerson
objectClass: shadowAccount
uid: %[2]s
sn: %[2]s
cn:: %[3]s
mail: %[2]s@pref.example
departmentNumber: jinji
employeeType: staff
userPassword: %[4]s
%[5]s
`, m.DN, m.Login, base64.StdEncoding.EncodeToString([]byte(m.Name)), m.Password, temporary)
}

// Code is a code of the member's device that was not used before. A step is
// accepted once, so the third code within 30 s has to be waited for.
func (m *Member) Code(t testing.TB, c *Client) string {
	t.Helper()
	var now time.Time
	Until(t, "the next TOTP step", func() bool {
		now = c.Now(t)
		return m.step <= now.Unix()/30
	})
	at := now.Unix() / 30
	if now.Unix()%30 < 20 {
		at-- // one step back is accepted, and there is time left to send it
	}
	m.step = max(m.step+1, at)
	return Code(t, m.Secret, time.Unix(m.step*30, 0))
}

// SignIn takes a member through whatever the gate asks, a first enrolment too.
func (m *Member) SignIn(t testing.TB, c *Client) {
	t.Helper()
	s, a := c.Password(t, m.Login, m.Password)
	for range 6 {
		switch s.State {
		case "second_factor":
			s, a = c.TOTP(t, m.Code(t, c))
		case "enrol":
			s, a = m.Enrol(t, c)
		case "acknowledge":
			s, a = c.Acknowledge(t, s.Version)
		case "signed_in":
			return
		default:
			t.Fatalf("signing %s in came to %q: %d %s", m.Login, s.State, a.Status, a.Body)
		}
	}
	t.Fatalf("signing %s in does not end: %q", m.Login, s.State)
}

// Enrol binds a TOTP device.
func (m *Member) Enrol(t testing.TB, c *Client) (Step, Answer) {
	t.Helper()
	var made struct{ ID, Secret string }
	a := c.Do(t, "POST", "/api/v1/factors/totp/begin", nil)
	if a.Status != http.StatusCreated {
		t.Fatalf("beginning to enrol: %d %s", a.Status, a.Body)
	}
	a.Into(t, &made)
	m.Secret = made.Secret
	a = c.Do(t, "POST", "/api/v1/factors/totp/finish", map[string]string{"id": made.ID, "code": m.Code(t, c), "name": "denwa"})
	var s Step
	if a.Status == http.StatusCreated {
		a.Into(t, &s)
	}
	return s, a
}

// FreePort finds a free port below 32768, where the kernel does not pick ports
// for outgoing connections.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 200 {
		port := 12000 + rand.IntN(7000)
		if ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no free port between 12000 and 19000")
	return 0
}
