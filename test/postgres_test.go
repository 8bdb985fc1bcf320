package test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sekisho/test/harness"
	"sekisho/test/postgres"
)

// TestJourneyOnPostgres is a gate whose store is PostgreSQL: somebody enrols,
// signs in, opens an application, signs out; the trail proves it. The password of
// the database stands in a file and nowhere else.
func TestJourneyOnPostgres(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t, postgres.Options{Scram: true, TLS: true})
	section := harness.OnPostgres(t, server, "")
	section = strings.Replace(section, "max_connections", "password_file: store.password, ca_file: "+caCopy(t, server)+", max_connections", 1)
	s := harness.NewSite(t, harness.SiteOptions{Store: section})
	s.Write(t, "store.password", []byte(postgres.Password+"\n"))

	if out, errs, status := harness.Run(t, "sekisho", "config", "check", "--config", s.Config); status != 0 {
		t.Fatalf("config check: %d: %s%s", status, out, errs)
	}
	gate := s.Serve(t)
	c := s.Behind("10.2.0.9")
	if a := c.Do(t, "GET", "/readyz", nil); a.Status != http.StatusOK || !strings.Contains(string(a.Body), `"clock"`) {
		t.Errorf("readyz: %d %s", a.Status, a.Body)
	}
	tanaka := s.Members["tanaka"]
	tanaka.SignIn(t, c)
	if a := c.Do(t, "GET", "/api/v1/session", nil); a.Status != http.StatusOK || !strings.Contains(string(a.Body), "tanaka") {
		t.Errorf("session: %d %s", a.Status, a.Body)
	}
	if a := c.Do(t, "DELETE", "/api/v1/session", nil); a.Status != http.StatusNoContent {
		t.Errorf("signing out: %d %s", a.Status, a.Body)
	}
	if a := c.Do(t, "GET", "/api/v1/session", nil); a.Status != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", a.Status)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, errs, status := harness.Run(t, name, args...)
		if status != 0 {
			t.Fatalf("%s %s: %d: %s%s", name, strings.Join(args, " "), status, out, errs)
		}
		return strings.TrimSpace(out)
	}
	export := filepath.Join(s.Dir, "trail.jsonl")
	run("sekisho", "audit", "export", "--config", s.Config, "--out", export)
	run("trailcheck", export, "--key", run("sekisho", "audit", "key", "--config", s.Config))
	run("sekisho", "audit", "verify", "--config", s.Config)
	for _, said := range []string{gate.Log(), gate.Output()} {
		if strings.Contains(said, postgres.Password) {
			t.Error("the database's password is shown")
		}
	}
}

// caCopy is the server's certificate where we may read it.
func caCopy(t *testing.T, server *postgres.Server) string {
	t.Helper()
	text, err := exec.Command("cat", server.CAFile).Output()
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "ca.pem", string(text))
}
