package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
)

// fixture is a trail of two entries, its key, and its first checkpoint.
type fixture struct {
	key, export, keyFile, first, last string
	lines                             []string
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "trail.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(size int64, root tlog.Hash) []byte {
		signed, err := note.Sign(&note.Note{Text: proof.Checkpoint{Origin: "trail.example", Size: size, Root: root}.Text()}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	e0 := []byte(`{"time":"2026-03-01T09:00:00Z","actor":"tanaka"}`)
	e1 := []byte(`{"time":"2026-03-02T09:00:00Z","actor":"suzuki"}`)
	h0, h1 := tlog.RecordHash(e0), tlog.RecordHash(e1)
	first, last := sign(1, h0), sign(2, tlog.NodeHash(h0, h1))
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lines := []string{
		string(proof.AppendEntry(nil, 0, h0, e0)), string(proof.AppendCheckpoint(nil, first)),
		string(proof.AppendEntry(nil, 1, h1, e1)), string(proof.AppendCheckpoint(nil, last)),
	}
	return fixture{
		key: public, lines: lines, export: put("export.jsonl", strings.Join(lines, "")),
		keyFile: put("trail.pub", public+"\n"), first: put("first", string(first)), last: put("last", string(last)),
	}
}

func (f fixture) file(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "export.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitStatus(t *testing.T) {
	f := newFixture(t)
	flipped := f.file(t, f.lines[0], f.lines[1], strings.Replace(f.lines[2], "suzuki", "suzuka", 1), f.lines[3])
	empty := f.file(t)
	other := newFixture(t)
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string // on stderr, or on stdout for 0
	}{
		{"whole", []string{f.export, "--key", f.key}, whole, "2 entries"},
		{"key from a file", []string{f.export, "--key", f.keyFile}, whole, "2026-03-01T09:00:00Z – 2026-03-02T09:00:00Z"},
		{"older checkpoint", []string{f.export, "--key", f.key, "--checkpoint", f.first}, whole, "2 entries"},
		{"flags first", []string{"--key=" + f.key, "--checkpoint=" + f.last, f.export}, whole, "2 entries"},
		{"help", []string{"--help"}, whole, "EXPORT"},
		{"flipped", []string{flipped, "--key", f.key}, fault, "entry 1 "},
		{"cut at a checkpoint, unnoticed without the older one", []string{f.file(t, f.lines[:2]...), "--key", f.key}, whole, "1 entries"},
		{"cut at a checkpoint", []string{f.file(t, f.lines[:2]...), "--key", f.key, "--checkpoint", f.last}, fault, "entries 1 to 1 were cut off"},
		{"another key", []string{f.export, "--key", other.key}, fault, "check --key"},
		{"a checkpoint of another trail", []string{f.export, "--key", f.key, "--checkpoint", other.first}, fault, "older checkpoint"},
		{"empty export", []string{empty, "--key", f.key}, fault, "no checkpoint"},
		{"a folder", []string{t.TempDir(), "--key", f.key}, fault, "reading line 1"},
		{"no arguments", nil, usage, "EXPORT"},
		{"no key", []string{f.export}, usage, "--key"},
		{"key is nothing", []string{f.export, "--key", "nothing"}, usage, "neither a public key"},
		{"key file holds none", []string{f.export, "--key", f.export}, usage, "does not hold a public key"},
		{"no such export", []string{f.export + "x", "--key", f.key}, usage, "no such file"},
		{"no such checkpoint", []string{f.export, "--key", f.key, "--checkpoint", f.export + "x"}, usage, "no such file"},
		{"empty checkpoint", []string{f.export, "--key", f.key, "--checkpoint", empty}, usage, "is empty"},
		{"unknown flag", []string{f.export, "--key", f.key, "--fast"}, usage, "--fast"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(tt.args, strings.NewReader(""), &out, &errs, "en"); code != tt.code {
				t.Errorf("exit status %d, want %d: %s%s", code, tt.code, &out, &errs)
			}
			said := errs.String()
			if tt.code == whole {
				said = out.String()
				if errs.Len() > 0 {
					t.Errorf("stderr of a whole trail: %s", &errs)
				}
			} else if strings.Count(said, "\n") != 1 || out.Len() > 0 {
				t.Errorf("want one line on stderr and nothing on stdout, got %q and %q", said, &out)
			}
			if !strings.Contains(said, tt.says) {
				t.Errorf("%q does not say %q", said, tt.says)
			}
		})
	}
}

func TestStandardInput(t *testing.T) {
	f := newFixture(t)
	var out, errs bytes.Buffer
	if code := run([]string{"-", "--key", f.key}, strings.NewReader(strings.Join(f.lines, "")), &out, &errs, "en"); code != whole {
		t.Errorf("exit status %d: %s", code, &errs)
	}
}

func TestJapanese(t *testing.T) {
	f := newFixture(t)
	var out, errs bytes.Buffer
	run([]string{f.export, "--key", f.key}, nil, &out, &errs, "ja")
	if !strings.Contains(out.String(), "欠けも改変もありません: 2 件") {
		t.Errorf("whole: %s", &out)
	}
	run([]string{f.file(t, f.lines[1:]...), "--key", f.key}, nil, &out, &errs, "ja")
	if !strings.Contains(errs.String(), "索引 0: 件数が") || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("first entry deleted: %s", &errs)
	}
	for _, k := range []proof.Kind{
		proof.KindLine, proof.KindIndex, proof.KindHash, proof.KindCheckpoint, proof.KindKey, proof.KindPlace,
		proof.KindTree, proof.KindCut, proof.KindOld, proof.KindRollback, proof.KindFork,
	} {
		if w := words[k]; w.ja == "" || w.doJA == "" || w.doEN == "" {
			t.Errorf("no words for %s", k)
		}
	}
}

func TestLanguage(t *testing.T) {
	for _, tt := range []struct{ all, messages, lang, want string }{
		{"", "", "ja_JP.UTF-8", "ja"},
		{"", "", "en_US.UTF-8", "en"},
		{"", "", "", "en"},
		{"C", "", "ja_JP.UTF-8", "en"},
		{"", "ja_JP.UTF-8", "C", "ja"},
	} {
		env := map[string]string{"LC_ALL": tt.all, "LC_MESSAGES": tt.messages, "LANG": tt.lang}
		if got := language(func(k string) string { return env[k] }); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// TestDependsOnProofAlone: an auditor reads what this links to from us.
func TestDependsOnProofAlone(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	var ours []string
	for _, p := range strings.Fields(string(out)) {
		if p == "sekisho" || strings.HasPrefix(p, "sekisho/") {
			ours = append(ours, p)
		}
	}
	if got, want := fmt.Sprint(ours), "[sekisho/policy/audit/proof sekisho/cmd/trailcheck]"; got != want {
		t.Errorf("ours among the dependencies: %s, want %s", got, want)
	}
	out, err = exec.Command("go", "list", "-deps", "-f", `{{if not .Standard}}{{.ImportPath}}{{end}}`, "sekisho/policy/audit/proof").Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	if got, want := fmt.Sprint(strings.Fields(string(out))), "[golang.org/x/mod/sumdb/note golang.org/x/mod/sumdb/tlog sekisho/policy/audit/proof]"; got != want {
		t.Errorf("proof depends on %s, want %s", got, want)
	}
}
