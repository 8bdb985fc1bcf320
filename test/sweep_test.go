package test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/test/harness"
)

type swept struct {
	State   string `json:"state"`
	DryRun  bool   `json:"dry_run"`
	People  int    `json:"people"`
	Warn    int    `json:"warn"`
	Disable int    `json:"disable"`
	Entries []struct {
		Login   string  `json:"login"`
		LastUse *string `json:"last_used_at"`
		Unused  int     `json:"unused_days"`
		Stage   string  `json:"stage"`
		Action  string  `json:"action"`
		Outcome string  `json:"outcome"`
	} `json:"entries"`
}

func (s swept) action(login string) string {
	for _, e := range s.Entries {
		if e.Login == login {
			return e.Action
		}
	}
	return "not among them"
}

func sweepIn(t *testing.T, data string, more ...string) swept {
	t.Helper()
	out, errs, status := harness.Run(t, "sekisho", append([]string{"sweep", "--data", data, "--format", "json"}, more...)...)
	if status != 0 {
		t.Fatalf("sekisho sweep: status %d\n%s", status, errs)
	}
	var s swept
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return s
}

// TestSweep is article 62-5 on the sample: nobody does anything, and an ID that is not
// used is warned after 60 days and closed after 90, at every door; the command shows
// the same beside a running gate and without one; somebody opens it again.
func TestSweep(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	tanaka := d.Person(t, "tanaka")
	locked := func() string {
		c, err := goldap.DialURL(d.LDAP.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Bind(d.LDAP.BindDN, d.LDAP.BindPassword); err != nil {
			t.Fatal(err)
		}
		r, err := c.Search(goldap.NewSearchRequest(tanaka.DN, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"pwdAccountLockedTime"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		return r.Entries[0].GetAttributeValue("pwdAccountLockedTime")
	}
	mailed := func(subject string) bool {
		for _, m := range mailTo(t, d, tanaka.Mail) {
			if strings.Contains(m.Subject, subject) {
				return true
			}
		}
		return false
	}

	// The first sweep of a new store only looks, and is what the report shows.
	sato := d.Person(t, "sato")
	admin := harness.NewClient(d.URL)
	admin.SignIn(t, sato.Login, sato.Password, *sato.TOTPSecret, admin.Now(t))
	d.Advance(t, 2*time.Minute) // who moved the sample in may have stopped within it: nobody waits longer for them
	var dormant struct {
		AsOf    *string `json:"as_of"`
		People  int     `json:"people"`
		Entries []struct {
			Login string `json:"login"`
			Stage string `json:"stage"`
		} `json:"items"`
	}
	harness.Until(t, "the report is there", func() bool {
		admin.Do(t, "GET", "/api/v1/reports/dormant", nil).Into(t, &dormant)
		return dormant.AsOf != nil
	})
	if dormant.People != len(d.People) {
		t.Errorf("the report is of %d IDs, want %d", dormant.People, len(d.People))
	}
	if got := dormant.Entries; len(got) == 0 || got[0].Login != "saito" || got[0].Stage != "disabled" {
		t.Errorf("the report: %+v", got)
	}
	staff := harness.NewClient(d.URL)
	staff.SignIn(t, tanaka.Login, tanaka.Password, *tanaka.TOTPSecret, staff.Now(t))
	if a := staff.Do(t, "GET", "/api/v1/reports/dormant", nil); a.Status != 403 {
		t.Errorf("staff read the report: %d", a.Status)
	}
	for _, format := range []string{"json", "csv", "xlsx", "html"} {
		to := filepath.Join(t.TempDir(), "report")
		if _, errs, status := harness.Run(t, "sekisho", "report", "dormant", "--data", d.Folder, "--format", format, "--out", to); status != 0 {
			t.Errorf("report as %s: %d, %s", format, status, errs)
		}
		if b, err := os.ReadFile(to); err != nil || len(b) == 0 {
			t.Errorf("report as %s: %d bytes, %v", format, len(b), err)
		}
	}

	d.Advance(t, 58*24*time.Hour)
	if s := sweepIn(t, d.Folder, "--dry-run"); s.action("tanaka") != "" || !s.DryRun || s.People == 0 {
		t.Errorf("after 58 days: %q of %d", s.action("tanaka"), s.People)
	}
	if s := sweepIn(t, d.Folder, "--dry-run", "--as-of", harness.NewClient(d.URL).Now(t).AddDate(0, 0, 3).Format(time.DateOnly)); s.action("tanaka") != "warn" {
		t.Errorf("three days later it would be %q", s.action("tanaka"))
	}
	d.Advance(t, 2*24*time.Hour)
	harness.Until(t, "tanaka is warned", func() bool { return mailed("will be disabled") })
	d.Advance(t, 30*24*time.Hour)
	harness.Until(t, "tanaka is closed in the directory", func() bool { return locked() == "000001010000Z" })
	harness.Until(t, "tanaka is told", func() bool { return mailed("was disabled") })
	c := harness.NewClient(d.URL)
	if _, a := c.Password(t, tanaka.Login, tanaka.Password); a.Status != 401 {
		t.Errorf("signing in: %d", a.Status)
	}

	out, errs, status := harness.Run(t, "sekisho", "sweep", "--data", d.Folder, "--dry-run", "--format", "csv")
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(out, "\ufeff"))).ReadAll()
	if status != 0 || err != nil || !strings.HasPrefix(out, "\ufeff") || len(rows) < 2 || rows[0][0] != "login" {
		t.Errorf("CSV: %d, %v, %s%s", status, err, out, errs)
	}

	// Without the gate, the same; and what is wrong is said.
	d.Stop(t)
	if s := sweepIn(t, d.Folder); s.State != "done" || s.action("tanaka") != "" {
		t.Errorf("by hand: %s, %q", s.State, s.action("tanaka"))
	}
	uses := filepath.Join(t.TempDir(), "uses.csv")
	if err := os.WriteFile(uses, []byte("login,system,last_used\nnobody,,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--as-of", "yesterday"}, 2, "is no date"},
		{[]string{"--format", "pdf"}, 2, "format"},
		{[]string{"--uses", uses}, 1, "has 2 problem(s)"},
	} {
		_, errs, status := harness.Run(t, "sekisho", append([]string{"sweep", "--data", d.Folder}, tt.args...)...)
		if status != tt.status || !strings.Contains(errs, tt.says) {
			t.Errorf("%v: %d, %s", tt.args, status, errs)
		}
	}
}
