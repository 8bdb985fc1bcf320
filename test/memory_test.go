package test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// material adds what a key file holds, as it is written and as it is.
func (k canaries) material(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		line := strings.TrimSpace(string(line))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		_, encoded, _ := strings.Cut(line, " ")
		if strings.HasPrefix(line, "PRIVATE+KEY+") {
			encoded = strings.SplitN(line, "+", 5)[4] // base64 may hold a plus
		}
		what := "key material of " + filepath.Base(path)
		k.add(what, encoded)
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(raw) < 32 {
			t.Fatalf("%s holds no key that this test understands", path)
		}
		raw = raw[len(raw)-32:]
		k.add(what, string(raw))
		k.add(what, hex.EncodeToString(raw))
		k.add(what, base64.RawURLEncoding.EncodeToString(raw))
	}
}

// TestNothingSecretAround: of a running serve's keys, of the LDAP password and
// of the mail password there is nothing in its environment, its command line, its
// output, its numbers and its store, and no core of it can be had.
func TestNothingSecretAround(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{
		Settings: "mail: {server: \"mail.pref.example:587\", username: sekisho, password_file: mail.password, ca_file: mail.ca}",
	})
	site.Write(t, "mail.password", []byte("mail-canary-wagtail-42\n"))
	ca, err := os.ReadFile(site.Slapd.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	site.Write(t, "mail.ca", ca)
	p := site.Serve(t)
	tanaka := site.Members["tanaka"]
	c := site.Client("127.0.0.1")
	tanaka.SignIn(t, c)

	k := canaries{}
	k.add("LDAP password", site.Slapd.ServicePassword)
	k.add("mail password", "mail-canary-wagtail-42")
	k.add("a person's password", tanaka.Password)
	k.seed(t, "tanaka", tanaka.Secret)
	for _, name := range []string{"sealing", "session", "trail"} {
		k.material(t, filepath.Join(site.Dir, "keys", name+".key"))
	}
	if out, errs, status := harness.Run(t, "sekisho", "keys", "rotate", "--config", site.Config); status != 0 {
		t.Fatal(errs)
	} else {
		for _, what := range k.in(out + errs) {
			t.Errorf("keys rotate prints %s", what)
		}
	}
	for _, name := range []string{"sealing", "session", "trail"} {
		k.material(t, filepath.Join(site.Dir, "keys", name+".key"))
	}
	list, _, _ := harness.Run(t, "sekisho", "keys", "list", "--config", site.Config, "--format", "json")

	look := func(where, text string) {
		t.Helper()
		if text == "" {
			t.Errorf("%s is empty: looking through it proves nothing", where)
		}
		for _, what := range k.in(text) {
			t.Errorf("%s holds %s", where, what)
		}
	}
	look("keys list", list)
	proc := func(name string) string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID(), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	look("the command line", proc("cmdline"))
	look("the environment", proc("environ"))
	for line := range strings.Lines(proc("limits")) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && (f[4] != "0" || f[5] != "0") {
			t.Errorf("a core may be written: %s", line)
		}
	}
	if proc("coredump_filter") == "" {
		t.Error("the kernel tells nothing of cores")
	}
	look("the output", p.Output())
	look("/metrics", string(harness.NewClient("http://"+site.Metrics).Do(t, "GET", "/metrics", nil).Body))
	p.Stop(t)
	for _, what := range k.in(p.Log()) {
		t.Errorf("the log holds %s", what)
	}
	files, err := filepath.Glob(filepath.Join(site.Dir, "data", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no store to look through")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range k.in(string(b)) {
			t.Errorf("%s holds %s", filepath.Base(f), what)
		}
	}
}
