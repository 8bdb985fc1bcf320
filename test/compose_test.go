package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"sekisho/cmd/sekisho/config"
	"sekisho/policy"
	"sekisho/test/harness"
	"sekisho/test/postgres"
)

const composeFolder = "../docs/examples/compose/"

// composition is what these tests hold docker-compose.yml to.
type composition struct {
	Services map[string]service
	Networks map[string]struct{ Internal bool }
	Volumes  map[string]any
	Secrets  map[string]struct{ File string }
}

type service struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	User        string
	Environment map[string]string
	Networks    any
	NetworkMode string `yaml:"network_mode"`
	Pid         string
	Privileged  bool
	Ports       []string
	Volumes     []string
	Tmpfs       []string
	Secrets     []string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	CapAdd      []string `yaml:"cap_add"`
	SecurityOpt []string `yaml:"security_opt"`
	Healthcheck struct {
		Test []string
	}
}

// on are the networks that a service stands on.
func (s service) on() (names []string) {
	switch all := s.Networks.(type) {
	case []any:
		for _, n := range all {
			names = append(names, fmt.Sprint(n))
		}
	case map[string]any:
		for n := range all {
			names = append(names, n)
		}
	}
	return names
}

var (
	pinned     = regexp.MustCompile(`^[a-z]+:[0-9]+\.[0-9]+(\.[0-9]+)?(-[a-z]+)?$`)
	ofOurs     = regexp.MustCompile(`^sekisho[a-z-]*:local$`)
	secretName = regexp.MustCompile(`(?i)password|secret|token|key`)
)

// faults are the rules that a composition breaks. exists says what is in the
// tree, as docker-compose.yml would name it.
func (c composition) faults(exists func(path string) bool) (all []string) {
	say := func(f string, args ...any) { all = append(all, fmt.Sprintf(f, args...)) }
	for name, s := range c.Services {
		switch ours := ofOurs.MatchString(s.Image); {
		case !ours && !pinned.MatchString(s.Image):
			say("%s: image %q names no version", name, s.Image)
		case ours && (s.Build.Context == "" || !exists(filepath.Join(s.Build.Context, s.Build.Dockerfile))):
			say("%s: no Dockerfile at %s", name, s.Build.Context)
		}
		if s.NetworkMode != "" || s.Pid != "" || s.Privileged || len(s.CapAdd) > 0 {
			say("%s: stands in the machine's own network, processes or rights", name)
		}
		if uid, _, _ := strings.Cut(s.User, ":"); uid == "" || uid == "0" || uid == "root" {
			say("%s: runs as root", name)
		}
		if !s.ReadOnly || len(s.Tmpfs) == 0 || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			say("%s: is not hardened", name)
		}
		if len(s.Healthcheck.Test) < 2 {
			say("%s: nobody asks whether it is well", name)
		}
		for _, p := range s.Ports {
			if name != "nginx" || !strings.HasPrefix(p, "127.0.0.1:") {
				say("%s: publishes %s", name, p)
			}
		}
		for key, value := range s.Environment {
			if secretName.MatchString(key) && !strings.HasPrefix(value, "/run/secrets/") {
				say("%s: %s holds a secret", name, key)
			}
		}
		for _, v := range s.Volumes {
			from, rest, _ := strings.Cut(v, ":")
			_, named := c.Volumes[from]
			switch {
			case named:
			case !strings.HasPrefix(from, "./") || !exists(from):
				say("%s: mounts %s, which is not in the tree", name, from)
			case !strings.HasSuffix(rest, ":ro"):
				say("%s: may write %s", name, from)
			}
		}
		for _, secret := range s.Secrets {
			if _, ok := c.Secrets[secret]; !ok {
				say("%s: secret %s is not declared", name, secret)
			}
		}
		on := s.on()
		if len(on) == 0 {
			say("%s: stands on the default network", name)
		}
		for _, n := range on {
			if net, ok := c.Networks[n]; !ok || !net.Internal && (name != "nginx" || n != "edge") {
				say("%s: network %s leads out", name, n)
			}
		}
		back, gate := slices.Contains(on, "back"), strings.HasPrefix(name, "gateway-")
		if database := slices.Contains([]string{"postgres", "redis", "openldap"}, name); back != (database || gate) || database && len(on) != 1 {
			say("%s: stands on %v", name, on)
		}
	}
	for name, s := range c.Secrets {
		if !strings.HasPrefix(s.File, "docs/examples/compose/secrets/") || exists("./"+s.File) {
			say("secret %s: %s is no file of the folder that git leaves alone", name, s.File)
		}
	}
	return all
}

func composed(t *testing.T, text []byte) (c composition) {
	t.Helper()
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// tracked reports whether something may be committed at a path.
func tracked(path string) bool {
	if _, err := os.Stat(filepath.Join("..", path)); err != nil {
		return false
	}
	return !strings.Contains(path, "compose/secrets/")
}

// TestCompose holds docker-compose.yml to its rules, and the rules to breaches.
func TestCompose(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	c := composed(t, text)
	for _, name := range []string{"nginx", "gateway-1", "gateway-2", "application", "postgres", "redis", "openldap"} {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
	for _, fault := range c.faults(tracked) {
		t.Error(fault)
	}
	if ignored, err := os.ReadFile("../.gitignore"); err != nil || !bytes.Contains(ignored, []byte("/docs/examples/compose/secrets/\n")) {
		t.Error("git would take the secrets: ", err)
	}
	for _, breach := range []struct{ name, old, new, want string }{
		{"latest", "postgres:15.14-bookworm", "postgres:latest", "names no version"},
		{"no version", "redis:7.2.10-bookworm", "redis", "names no version"},
		{"the machine's network", "    pids_limit: 256", "    network_mode: host", ""},
		{"to the world", "127.0.0.1:443:8443", "443:8443", "publishes"},
		{"a database published", "    command: [redis-server, /etc/redis.conf]\n", "    command: [redis-server, /etc/redis.conf]\n    ports: ['127.0.0.1:6379:6379']\n", "publishes"},
		{"a password in the environment", "POSTGRES_PASSWORD_FILE: /run/secrets/postgres.password", "POSTGRES_PASSWORD: kaki", "holds a secret"},
		{"a root that is written to", "read_only: true", "read_only: false", "not hardened"},
		{"root", `user: "10002:10002"`, `user: "0:0"`, "runs as root"},
		{"a database in front", "command: [redis-server, /etc/redis.conf]\n    networks: [back]", "command: [redis-server, /etc/redis.conf]\n    networks: [back, front]", "stands on"},
		{"a way out", "  back:\n    internal: true", "  back:\n    internal: false", "leads out"},
		{"a file that is not there", "compose/redis.conf:/etc", "compose/redjs.conf:/etc", "not in the tree"},
		{"a secret in the tree", "secrets/tls.key}", "nginx.conf}", "git leaves alone"},
		{"nobody asks", "test: [CMD, ldapwhoami, -x, -H, \"ldap://127.0.0.1:1389\"]", "test: []", "is well"},
	} {
		if breach.want == "" {
			breach.old, breach.new, breach.want = "    user: \"101:101\"\n", "    user: \"101:101\"\n    network_mode: host\n", "machine's own"
		}
		if !bytes.Contains(text, []byte(breach.old)) {
			t.Fatalf("%s: docker-compose.yml has no %q", breach.name, breach.old)
		}
		broken := composed(t, bytes.Replace(text, []byte(breach.old), []byte(breach.new), 1))
		if got := strings.Join(broken.faults(tracked), "\n"); !strings.Contains(got, breach.want) {
			t.Errorf("%s is not noticed: %q", breach.name, got)
		}
	}
}

// TestComposeFilesAreRead: the strict readers take the files that are mounted.
func TestComposeFilesAreRead(t *testing.T) {
	t.Parallel()
	file, err := config.Read(composeFolder + "sekisho.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(composeFolder + "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules, problems := policy.Parse("policy.yaml", text)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(rules.Zones) != 1 || string(rules.Zones[0].ID) != file.Zones[0] {
		t.Errorf("the gates serve %v, the policy has %v", file.Zones, rules.Zones)
	}
}

// composeRun is the composition on this machine, without containers: the very
// files, with host names, ports and folders exchanged.
type composeRun struct {
	dir   string
	swaps *strings.Replacer
}

// file writes a file of the composition, exchanged, and returns its path.
func (r composeRun) file(t *testing.T, name string, mode os.FileMode) string {
	t.Helper()
	text, err := os.ReadFile(composeFolder + name)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.dir, "etc", filepath.Base(name))
	if err := os.WriteFile(path, []byte(r.swaps.Replace(string(text))), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// listens waits until something listens.
func listens(t *testing.T, what, addr string, p *harness.Process) {
	t.Helper()
	harness.Until(t, what, func() bool {
		if p.Ended() {
			t.Fatalf("%s ended: %s%s", what, p.Output(), p.Log())
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// TestComposeRuns starts what docker-compose.yml starts, in its order, from the
// files that it mounts, and signs somebody in through nginx.
func TestComposeRuns(t *testing.T) {
	t.Parallel()
	for program, debian := range map[string]string{"nginx": "nginx-light", "slapd": "slapd", "ldappasswd": "ldap-utils", "redis-server": "redis-server", "psql": "postgresql-client"} {
		harness.Need(t, program, debian)
	}
	server := postgres.Start(t, postgres.Options{Scram: true})
	r := composeRun{dir: t.TempDir()}
	addr := func() string { return "127.0.0.1:" + strconv.Itoa(harness.FreePort(t)) }
	port := func(a string) string { _, p, _ := net.SplitHostPort(a); return p }
	front, health, app, redis, ldap := addr(), addr(), addr(), addr(), addr()
	gates, metrics := [2]string{addr(), addr()}, [2]string{addr(), addr()}
	for _, d := range []string{"etc", "run/secrets", "run/slapd", "ldap", "sekisho/keys", "sekisho/anchor"} {
		if err := os.MkdirAll(filepath.Join(r.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r.swaps = strings.NewReplacer(
		"/run/secrets", r.dir+"/run/secrets", "/run/slapd", r.dir+"/run/slapd",
		"/var/lib/ldap", r.dir+"/ldap", "/etc/sekisho-ldap", r.dir+"/etc", "ldap://0.0.0.0:1389/", "ldap://"+ldap+"/", "openldap:1389", ldap,
		"/var/lib/sekisho", r.dir+"/sekisho", "/etc/sekisho/", r.dir+"/etc/", "postgres:5432", server.Addr(),
		"[redis:6379]", "['"+redis+"']", "port 6379", "bind 127.0.0.1\ndir "+r.dir+"\nport "+port(redis),
		"listen: 0.0.0.0:8080", "listen: "+gates[0], "listen: 127.0.0.1:9090", "listen: '"+metrics[0]+"'", "[172.30.10.10]", "[127.0.0.1]", "drain_delay: 5s", "drain_delay: 0s",
		"172.30.0.0/24", "127.0.0.0/8",
		"gateway-1:8080", gates[0], "gateway-2:8080", gates[1], "application:9000", app, "listen 9000", "listen "+app,
		"listen 8443 ssl", "listen "+front+" ssl", "listen 127.0.0.1:8081", "listen "+health, "/tmp/", r.dir+"/tmp-",
		"public_url: https://sekisho.pref.example", "public_url: https://sekisho.pref.example:"+port(front), "worker_processes 2", "worker_processes 1",
		"https://$server_name$request_uri", "https://$server_name:"+port(front)+"$request_uri",
	)
	secret := func(name, text string) {
		if err := os.WriteFile(filepath.Join(r.dir, "run/secrets", name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	words := map[string]string{"store": "store-of-this-test", "ldap": "ldap-of-this-test", "redis": "redis-of-this-test", "admin": "admin-of-this-test"}
	secret("store.password", words["store"])
	secret("postgres-store.password", words["store"])
	secret("ldap.password", words["ldap"])
	secret("openldap-service.password", words["ldap"])
	secret("openldap-admin.password", words["admin"])
	secret("redis.password", words["redis"])
	secret("redis.acl", readmeACL(t, words["redis"]))
	ca := newAuthority(t)
	ca.issue(t, r.dir, "nginx", gateHost, appHost)
	for from, to := range map[string]string{"nginx.pem": "tls.crt", "nginx.key": "tls.key"} {
		if err := os.Rename(filepath.Join(r.dir, from), filepath.Join(r.dir, "run/secrets", to)); err != nil {
			t.Fatal(err)
		}
	}

	// The server of our tests has a role of this name already.
	if err := server.Admin(t.Context(), "postgres", "DROP ROLE IF EXISTS "+postgres.Owner); err != nil {
		t.Fatal(err)
	}
	sql := exec.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres://postgres@"+server.Addr()+"/postgres", "-f", r.file(t, "postgres.sql", 0o600))
	sql.Env = append(os.Environ(), "PGPASSWORD="+postgres.Password)
	if out, err := sql.CombinedOutput(); err != nil {
		t.Fatalf("postgres.sql: %v\n%s", err, out)
	}
	listens(t, "redis-server", redis, harness.Start(t, r.dir, "redis-server", r.file(t, "redis.conf", 0o600)))
	r.file(t, "openldap/slapd.conf", 0o600)
	r.file(t, "openldap/seed.ldif", 0o600)
	start := harness.Start(t, r.dir, "/bin/sh", "-c", `PATH="$PATH:/usr/sbin" exec "$0"`, r.file(t, "openldap/start", 0o700))
	listens(t, "slapd", ldap, start)
	const first = "kari-no-pasuwado-7"
	pass := exec.Command("ldappasswd", "-x", "-H", "ldap://"+ldap, "-D", "cn=admin,dc=pref,dc=example", "-w", words["admin"], "-s", first, "uid=tanaka,ou=people,dc=pref,dc=example")
	if out, err := pass.CombinedOutput(); err != nil {
		t.Fatalf("ldappasswd: %v\n%s", err, out)
	}

	r.file(t, "policy.yaml", 0o600)
	site := &harness.Site{Dir: r.dir, Config: r.file(t, "sekisho.yaml", 0o600), Listen: gates[0], Metrics: metrics[0]}
	if out, errs, exit := harness.Run(t, "sekisho", "config", "check", "--config", site.Config); exit != 0 {
		t.Errorf("config check: %d\n%s%s", exit, out, errs)
	}
	site.Serve(t)
	twin := *site
	twin.Listen, twin.Metrics = gates[1], metrics[1]
	twin.Config = site.Variant(t, site.Config, "twin.yaml", gates[0], gates[1])
	twin.Config = site.Variant(t, twin.Config, "twin.yaml", metrics[0], metrics[1])
	second := twin.Serve(t)

	nginx := harness.Need(t, "nginx", "nginx-light")
	conf := r.file(t, "nginx.conf", 0o600)
	if out, err := exec.Command(nginx, "-t", "-e", "stderr", "-p", r.dir, "-c", conf).CombinedOutput(); err != nil {
		t.Fatalf("nginx -t: %v\n%s", err, out)
	}
	sample := r.file(t, "application.conf", 0o600)
	if err := os.WriteFile(sample, bytes.ReplaceAll(must(os.ReadFile(sample)), []byte("nginx.pid"), []byte("application.pid")), 0o600); err != nil {
		t.Fatal(err)
	}
	listens(t, "the application", app, harness.Start(t, r.dir, nginx, "-p", r.dir, "-e", "stderr", "-g", "daemon off; master_process off;", "-c", sample))
	listens(t, "nginx", front, harness.Start(t, r.dir, nginx, "-p", r.dir, "-e", "stderr", "-g", "daemon off; master_process off;", "-c", conf))

	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	c := harness.NewClient("https://" + gateHost + ":" + port(front))
	c.HTTP.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, front)
		},
	}
	for path, want := range map[string]int{"https://" + gateHost + ":" + port(front) + "/readyz": 200, "http://" + health + "/": 204, "http://" + app + "/health": 204} {
		client := c.HTTP
		if strings.HasPrefix(path, "http://") {
			client = http.DefaultClient
		}
		res, err := client.Get(path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || want == 200 && !bytes.HasPrefix(body, []byte(`{"status":"ok"`)) {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	res, err := c.HTTP.Do(must(http.NewRequest("GET", "https://"+appHost+":"+port(front)+"/", nil)))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 401 || res.Header.Get("Location") == "" {
		t.Errorf("a stranger at the application: %d %v", res.StatusCode, res.Header)
	}
	if s, a := c.Password(t, "tanaka", first); s.State != "password_change" {
		t.Errorf("the temporary password: %d %s", a.Status, a.Body)
	}
	second.Kill()
	for range 6 { // both turns of nginx, more than once
		if a := c.Do(t, "GET", "/healthz", nil); a.Status != 200 {
			t.Errorf("with one gate killed: %d %s", a.Status, a.Body)
		}
	}
}

// readmeACL is the line that README.md makes of a password for Redis.
func readmeACL(t *testing.T, password string) string {
	t.Helper()
	m := regexp.MustCompile(`printf '(user default off.*)\\n' \\`).FindSubmatch(must(os.ReadFile(composeFolder + "README.md")))
	if m == nil {
		t.Fatal("README.md makes no ACL file")
	}
	return fmt.Sprintf(strings.ReplaceAll(string(m[1]), `\n`, "\n"), fmt.Sprintf("%x", sha256.Sum256([]byte(password))))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
