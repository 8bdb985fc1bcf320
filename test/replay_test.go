package test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// TestReplay is F23's lost hour: what was taken away between a backup and its restore is
// taken away again out of an export of the trail, each once, though the command is killed
// in between; what was given is listed. An export that was changed, is another gate's, or
// holds nothing that was lost is refused.
func TestReplay(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	folder := d.Folder
	run := func(want int, says string, args ...string) string {
		t.Helper()
		out, errs, status := harness.Run(t, "sekisho", append(args, "--data", folder)...)
		if status != want || !strings.Contains(out+errs, says) {
			t.Fatalf("%v: %d, want %d and %q: %s%s", args, status, want, says, out, errs)
		}
		return out
	}
	at := func(name string) string { return filepath.Join(filepath.Dir(folder), name) }
	copied, before, lost := at("one.age"), at("before.jsonl"), at("lost.jsonl")

	run(0, "", "audit", "export", "--out", before)
	run(0, "sha256", "backup", copied)

	// The hour that nobody will know of.
	do := func(c *harness.Client, method, path string, body any) harness.Answer {
		t.Helper()
		a := c.Do(t, method, path, body)
		if a.Status/100 != 2 {
			t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
		}
		return a
	}
	admin, cio := keysIn(t, d, d.Person(t, "takahashi")), keysIn(t, d, d.Person(t, "yoshida"))
	tanaka, suzuki, sato, kobayashi, ito := d.Person(t, "tanaka"), d.Person(t, "suzuki"), d.Person(t, "sato"), d.Person(t, "kobayashi"), d.Person(t, "ito")
	why := map[string]string{"reason": "調査のため"}
	do(admin, "POST", "/api/v1/people/tanaka/suspend", why)
	do(admin, "POST", "/api/v1/people/ito/suspend", why)
	do(admin, "POST", "/api/v1/people/ito/restore", why)
	do(signIn(t, d, suzuki), "POST", "/api/v1/leak-reports", map[string]string{"what": "画面を見られた"})
	own := keysIn(t, d, kobayashi)
	var factors struct{ Items []struct{ ID, Kind string } }
	do(own, "GET", "/api/v1/factors", nil).Into(t, &factors)
	for _, f := range factors.Items {
		if f.Kind == "totp" {
			do(own, "DELETE", "/api/v1/factors/"+f.ID, nil)
		}
	}
	var terminal string
	for _, one := range d.Terminals {
		if one.Class == "lent" {
			terminal = one.ID
		}
	}
	do(admin, "POST", "/api/v1/terminals/"+terminal+"/lost", nil)
	lockAs(t, cio, lockOrder("person", sato.Login, 600))
	for range 10 {
		lockAs(t, cio, lockOrder("application", d.Apps[1].ID, 600))
	}
	lifted := lockAs(t, cio, lockOrder("zone", "internet", 600))
	if a := cio.Do(t, "DELETE", "/api/v1/lockdown/"+lifted.ID, why); a.Status != http.StatusNoContent {
		t.Fatalf("lifting: %d %s", a.Status, a.Body)
	}
	do(admin, "POST", "/api/v1/people/ito/unlock", nil)

	d.Stop(t)
	run(0, "", "audit", "export", "--out", lost)
	run(0, "`sekisho replay EXPORT --dry-run`", "restore", copied)

	// What cannot be what was lost.
	text, err := os.ReadFile(lost)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(name string, b []byte) string {
		t.Helper()
		if bytes.Equal(b, text) {
			t.Fatal("nothing was changed")
		}
		if err := os.WriteFile(at(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	run(1, "was changed or is cut off", "replay", changed("changed.jsonl", bytes.Replace(text, []byte(`"person.suspended","object":"tanaka`), []byte(`"person.suspended","object":"yoshid`), 1)))
	run(1, "was changed or is cut off", "replay", changed("cut.jsonl", text[:len(text)*3/4]))
	run(1, "is in this store; use an export that was written after the backup", "replay", before)
	run(1, "cannot read", "replay", at("nowhere.jsonl"))
	other := harness.SampleFolder(t)
	if _, errs, status := harness.Run(t, "sekisho", "audit", "export", "--data", other, "--out", at("other.jsonl")); status != 0 {
		t.Fatal(errs)
	}

	// First a look, which changes nothing.
	look := run(0, "will be taken away again", "replay", "--dry-run", lost)
	for _, want := range []string{
		`will be taken away again +suspension +tanaka +#\d+ \S+ takahashi: 調査のため`, `will be taken away again +leaked password +suzuki`,
		`will be taken away again +factor withdrawn +kobayashi`, `will be taken away again +terminal lost or removed +` + terminal,
		`will be taken away again +lock-down +person sato`, `not done +suspension +ito .*It was undone later`, `not done +lock-down +zone internet .*It was undone later`,
		`To be done again by a person`, `- +person.restored +ito`, `- +person.unlocked +ito`,
	} {
		if !regexp.MustCompile(want).MatchString(look) {
			t.Errorf("the look does not say %q:\n%s", want, look)
		}
	}
	if strings.Contains(look, "lockdown.lifted") {
		t.Errorf("what was lifted is not there to be lifted:\n%s", look)
	}

	// Killed somewhere in the middle, it goes on where it stopped.
	killed := harness.Start(t, filepath.Dir(folder), harness.Binary(t, "sekisho"), "replay", lost, "--data", folder)
	harness.Until(t, "the first act", func() bool { return strings.Contains(killed.Output(), "taken away again") || killed.Ended() })
	killed.Kill()
	run(0, "dealt with before", "replay", lost)
	run(0, "taken away again: 0; nothing was left to take: 0; dealt with before: 15", "replay", lost)
	run(0, "unchanged", "audit", "verify")

	d = harness.StartDev(t, folder)
	acts, _ := trail(t, d)
	again := map[string]int{}
	for _, a := range acts {
		if a.Detail["again_of"] != "" {
			again[a.Detail["again_of"]]++
			if a.Detail["again_hash"] == "" || a.Detail["again_by"] == "" || a.Actor == a.Detail["again_by"] {
				t.Errorf("an act that was done again does not say of what: %+v", a)
			}
		}
	}
	for of, n := range again {
		if n != 1 {
			t.Errorf("entry %s was done again %d times", of, n)
		}
	}
	if len(again) != 15 {
		t.Errorf("%d acts were done again, want 15", len(again))
	}

	// And so nobody of them is in again.
	for _, p := range []struct {
		login, password string
		status          int
	}{{tanaka.Login, tanaka.Password, 401}, {suzuki.Login, suzuki.Password, 401}, {sato.Login, sato.Password, 403}} {
		c := harness.NewClient(d.URL)
		if s, a := c.Password(t, p.login, p.password); a.Status != p.status {
			t.Errorf("%s signs in: %d %q", p.login, a.Status, s.State)
		}
		for _, door := range doors {
			if door.open(t, d, c.Fork()) {
				t.Errorf("%s is open to %s", door.name, p.login)
			}
		}
	}
	do(keysIn(t, d, kobayashi), "GET", "/api/v1/factors", nil).Into(t, &factors)
	for _, f := range factors.Items {
		if f.Kind == "totp" {
			t.Error("the factor that was dropped is back")
		}
	}
	keysIn(t, d, ito)
	var terminals struct {
		Items []struct {
			ID   string
			Lost string `json:"lost_at"`
		}
	}
	do(keysIn(t, d, d.Person(t, "takahashi")), "GET", "/api/v1/terminals", nil).Into(t, &terminals)
	for _, one := range terminals.Items {
		if one.ID == terminal && one.Lost == "" {
			t.Error("the lost terminal is back")
		}
	}
	if a := keysIn(t, d, d.Person(t, "yoshida")).Do(t, "GET", "/api/v1/session", nil); a.Status != 200 {
		t.Errorf("the CIO: %d", a.Status)
	}

	// The export of another gate, whatever it holds.
	first := at("other.jsonl")
	folder = other
	run(1, "is in this store", "replay", first)
	run(1, "does not go on from the backup", "replay", lost)
}
