package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/sample"
	"sekisho/directory/embedded"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

const bindPassword = "a-bind-password"

// prefecture is a folder with sekisho.yaml, and a real directory to point it at.
func prefecture(t *testing.T) (config string, serverAddr string) {
	t.Helper()
	dir := t.TempDir()
	secrets, err := sample.Draw()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := embedded.Start(t.Context(), embedded.Config{
		Seed: sample.Lendable, // what the policy lends
		Dir:  filepath.Join(dir, "ldap"), BaseDN: sample.BaseDN, AdminDN: sample.AdminDN,
		AdminPassword: secret.NewText([]byte(bindPassword)),
		Hasher:        secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, nil, 8), Now: clock.System(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	yaml := fmt.Sprintf(`listen: 127.0.0.1:0
public_url: http://localhost:8080
store: {path: sekisho.db}
zones: [mynumber, lgwan, internet]
directory:
  servers: ["ldap://%s"]
  schema: embedded
  base_dn: %s
  bind_dn: %s
  bind_password_file: ldap.password
keys: {sealing: keys/sealing.key, session: keys/session.key, trail: keys/trail.key}
policy: {bootstrap: policy.yaml}
log: {level: error}
`, srv.Addr(), sample.BaseDN, sample.AdminDN)
	for name, text := range map[string]string{
		"sekisho.yaml": yaml, "ldap.password": bindPassword + "\n", "policy.yaml": string(sample.Policy(secrets.Terminals)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "sekisho.yaml"), srv.Addr()
}

// serving runs serve until the test ends and answers where it listens.
func serving(t *testing.T, config string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := &firstLine{line: make(chan string, 1)}
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--config", config}, &terminal{out: out, err: os.Stderr, lang: "en", system: clock.System()})
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != exitDone {
			t.Errorf("serve ended with %d", code)
		}
	})
	select {
	case line := <-out.line:
		_, addr, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), ")"), "(")
		if !ok {
			t.Fatalf("ready line = %q", line)
		}
		return addr
	case <-time.After(time.Minute):
		t.Fatal("serve is not ready after a minute")
		return ""
	}
}

type firstLine struct{ line chan string }

func (f *firstLine) Write(p []byte) (int, error) {
	select {
	case f.line <- string(p):
	default:
	}
	return len(p), nil
}

// TestServeHasNothingOfControl: whoever may move the clock may outlive every
// limit, so outside dev there is no such door: no route, no listener, and the
// house that serve builds does not even link it.
func TestServeHasNothingOfControl(t *testing.T) {
	config, _ := prefecture(t)
	addr := serving(t, config)
	for _, ask := range [][2]string{{"POST", "/clock"}, {"GET", "/clock"}, {"GET", "/mail"}, {"GET", "/metrics"}} {
		req, err := http.NewRequest(ask[0], "http://"+addr+ask[1], strings.NewReader(`{"advance_seconds": 60}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "localhost:8080"
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s on serve = %d, want 404", ask[0], ask[1], resp.StatusCode)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(config), "dev.json")); err == nil {
		t.Error("serve wrote a dev.json")
	}
	deps, err := exec.Command("go", "list", "-deps", "sekisho/cmd/sekisho/house").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(deps), "sekisho/cmd/sekisho/control") {
		t.Error("the house links package control")
	}
}

func TestServeIsReadyWithADirectory(t *testing.T) {
	config, _ := prefecture(t)
	addr := serving(t, config)
	resp, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz = %d, want 200", resp.StatusCode)
	}
}

// TestConfigCheckFinds breaks one thing of a sound configuration at a time.
func TestConfigCheckFinds(t *testing.T) {
	config, _ := prefecture(t)
	dir := filepath.Dir(config)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if code, out := command(t, "config", "check", "--config", config); code != exitDone {
		t.Fatalf("the sound configuration = %d:\n%s", code, out)
	}
	for _, tt := range []struct{ name, file, old, new, want string }{
		{"wrong bind", "ldap.password", bindPassword, "another", "refuses our own sign-in"},
		{"address taken", "sekisho.yaml", "127.0.0.1:0", taken.Addr().String(), "cannot listen on " + taken.Addr().String()},
		{"directory locks before we do", "policy.yaml", "sign_in:", "lockout: {hard_limit: 100}\nsign_in:", "raise pwdMaxFailure to 101"},
		{"directory that dates no passwords", "sekisho.yaml", "schema: embedded", "schema: openldap", "set pwdMinAge to 1"},
		{"policy with a fault", "policy.yaml", "profile: standard", "profile: none", "policy.yaml:"},
		{"certificate that is not there", "sekisho.yaml", "store:", "tls: {certificate: a.pem, key: b.pem}\nstore:", "tls.key: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, tt.file)
			sound, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := os.WriteFile(path, sound, 0o600); err != nil {
					t.Fatal(err)
				}
			}()
			if !strings.Contains(string(sound), tt.old) {
				t.Fatalf("%s does not contain %q", tt.file, tt.old)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(string(sound), tt.old, tt.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out := command(t, "config", "check", "--config", config)
			if code != exitRefused || !strings.Contains(out, tt.want) {
				t.Errorf("exit %d, want 1 and %q:\n%s", code, tt.want, out)
			}
		})
	}
}

func command(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b strings.Builder
	code = run(t.Context(), args, &terminal{out: &b, err: &b, lang: "en", system: clock.System()})
	return code, b.String()
}
