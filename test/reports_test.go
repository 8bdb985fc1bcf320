package test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"sekisho/test/harness"
)

// TestReports plays what the reports are about on the sample (privilege that is lent, a
// permit by which somebody comes in) and reads all of them: by post at the API, and at a
// terminal beside the running gate, in each form. That they were read is on the trail.
func TestReports(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	p := d.lent(t, "db-admin")
	asker, approver := d.signedIn(t, p.Eligible[0]), d.signedIn(t, p.Approvers[0])
	lease := asker.does("", saying{"privilege": p.ID, "reason": "=1+1", "minutes": 10}, 201)
	approver.does("/"+lease.ID+"/approve", nil, 200)
	asker.does("/"+lease.ID+"/activate", nil, 200)
	permit := d.in(t, "tanaka").permit("", d.remote(t, nil), 201)
	d.in(t, d.withPost(t, "cio", "")).permit("/"+permit.ID+"/approve", saying{"comment": "よい"}, 200).is(t, "approved")
	d.comesIn(t, "tanaka")

	auditor := d.in(t, d.withPost(t, "auditor", ""))
	var privilege struct {
		Items []struct {
			ID, Login, State string
			Decisions        []struct{ By string }
		}
		Weeks, Privileges []json.RawMessage
		Next              *string
	}
	auditor.Do(t, "GET", "/api/v1/reports/privilege", nil).Into(t, &privilege)
	if len(privilege.Items) != 1 || privilege.Items[0].ID != lease.ID || privilege.Items[0].State != "active" || len(privilege.Items[0].Decisions) != 1 ||
		privilege.Items[0].Decisions[0].By != approver.login || len(privilege.Weeks) == 0 || len(privilege.Privileges) != 1 {
		t.Errorf("privilege: %+v", privilege)
	}
	var remote struct {
		Items []struct {
			ID, Login string
			LastUse   *string `json:"last_used_at"`
		}
		Sessions []struct{ Login, From string }
	}
	auditor.Do(t, "GET", "/api/v1/reports/remote", nil).Into(t, &remote)
	if len(remote.Items) != 1 || remote.Items[0].ID != permit.ID || remote.Items[0].LastUse == nil || len(remote.Sessions) != 1 || remote.Sessions[0].Login != "tanaka" {
		t.Errorf("remote: %+v", remote)
	}
	var evidence struct {
		Items []struct {
			Article string
			Entries int
			Samples []struct{ Index int64 }
		}
		Checkpoint string
	}
	harness.Until(t, "the trail is sealed", func() bool {
		auditor.Do(t, "GET", "/api/v1/reports/evidence", nil).Into(t, &evidence)
		return slices.ContainsFunc(evidence.Items, func(e struct {
			Article string
			Entries int
			Samples []struct{ Index int64 }
		}) bool {
			return e.Article == "63-1" && e.Entries > 0 && len(e.Samples) > 0
		})
	})
	if !strings.Contains(evidence.Checkpoint, "\n\n— ") {
		t.Errorf("the checkpoint: %q", evidence.Checkpoint)
	}

	// Who reads what, at the same door.
	for _, tt := range []struct {
		login, report string
		status        int
	}{
		{"tanaka", "privilege", 403}, {"tanaka", "remote", 403}, {p.Eligible[0], "privilege", 403}, {p.Eligible[0], "reconcile", 200},
		{approver.login, "privilege", 200}, {approver.login, "evidence", 403}, {auditor.login, "reconcile", 200}, {auditor.login, "dormant?from=x", 422},
		{auditor.login, "privilege?since=2026", 422}, {auditor.login, "remote?limit=0", 422}, {auditor.login, "privilege?after=" + lease.ID, 200}, {auditor.login, "privilege?after=gone", 422}, {auditor.login, "evidence?after=gone", 422}, {auditor.login, "salaries", 404},
	} {
		c := asker
		switch tt.login {
		case "tanaka":
			c = d.in(t, "tanaka")
		case approver.login:
			c = approver
		case auditor.login:
			c = auditor
		}
		if a := c.Do(t, "GET", "/api/v1/reports/"+tt.report, nil); a.Status != tt.status {
			t.Errorf("%s reads %s: %d, want %d: %s", tt.login, tt.report, a.Status, tt.status, a.Body)
		}
	}

	for _, name := range []string{"dormant", "privilege", "remote", "reconcile", "evidence"} {
		for _, format := range map[string][]string{"privilege": {"json", "csv", "xlsx", "html"}, "evidence": {"html"}, "remote": {"xlsx"}, "reconcile": {"csv"}, "dormant": {"json"}}[name] {
			to := filepath.Join(t.TempDir(), "report")
			if _, errs, status := harness.Run(t, "sekisho", "report", name, "--data", d.Folder, "--from", "2020-01-01", "--format", format, "--out", to); status != 0 {
				t.Errorf("%s as %s: %d, %s", name, format, status, errs)
				continue
			}
			b, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			wellFormed(t, name, format, to, b)
			if name == "privilege" && format == "csv" && !strings.Contains(string(b), "'=1+1") {
				t.Errorf("a reason could be carried out: %s", b)
			}
		}
	}
	for _, tt := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"privilege", "--from", "x"}, 2, "Write from as"}, {[]string{"privilege", "--from", "2026-02-01", "--to", "2026-01-01"}, 2, "must come before"},
		{[]string{"salaries"}, 2, "unexpected argument"}, {[]string{"remote", "--format", "xlsx"}, 2, "--out"},
	} {
		if _, errs, status := harness.Run(t, "sekisho", append([]string{"report"}, append(tt.args, "--data", d.Folder)...)...); status != tt.status || !strings.Contains(errs, tt.says) {
			t.Errorf("%v: %d, %s", tt.args, status, errs)
		}
	}
	whole, errs, status := harness.Run(t, "sekisho", "report", "evidence", "--data", d.Folder, "--from", "2020-01-01", "--to", "2030-12-31")
	if status != 0 {
		t.Fatal(errs)
	}
	out, errs, status := harness.Run(t, "sekisho", "audit", "export", "--data", d.Folder)
	if status != 0 {
		t.Fatal(errs)
	}
	agrees(t, whole, out)
	var read, refused int
	for line := range strings.Lines(out) {
		switch {
		case !strings.Contains(line, `"action":"report.read"`):
		case strings.Contains(line, `"outcome":"refused"`):
			refused++
		default:
			read++
		}
	}
	if read < 12 || refused < 3 {
		t.Errorf("on the trail: read %d times, refused %d times", read, refused)
	}
}

// agrees compares evidence with an export of the trail, as an auditor does: how many
// entries each article has up to the checkpoint, the first and the last, and the hash of
// each sample.
func agrees(t *testing.T, evidence, export string) {
	t.Helper()
	type sums struct{ N, Refused, Failed, First, Last int64 }
	var said struct {
		Size  int64
		Items []struct {
			Article                  string
			Entries, Refused, Failed int64
			First, Last              *int64
			Samples                  []struct {
				Index int64
				Hash  string
			}
		}
	}
	if err := json.Unmarshal([]byte(evidence), &said); err != nil {
		t.Fatal(err)
	}
	want, hashes := map[string]sums{}, map[int64]string{}
	for text := range strings.Lines(export) {
		var line struct {
			Index *int64
			Hash  string
			Entry struct {
				Outcome  string
				Articles []string
			}
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line.Index == nil || *line.Index >= said.Size {
			continue
		}
		hashes[*line.Index] = line.Hash
		slices.Sort(line.Entry.Articles)
		for _, article := range slices.Compact(line.Entry.Articles) {
			s, ok := want[article]
			if !ok {
				s.First = *line.Index
			}
			s.N, s.Last = s.N+1, *line.Index
			switch line.Entry.Outcome {
			case "refused":
				s.Refused++
			case "failed":
				s.Failed++
			}
			want[article] = s
		}
	}
	samples := 0
	for _, e := range said.Items {
		got := sums{N: e.Entries, Refused: e.Refused, Failed: e.Failed}
		if e.First != nil && e.Last != nil {
			got.First, got.Last = *e.First, *e.Last
		}
		if got != want[e.Article] {
			t.Errorf("article %s: evidence says %+v, the export %+v", e.Article, got, want[e.Article])
		}
		delete(want, e.Article)
		for _, s := range e.Samples {
			if samples++; hashes[s.Index] != s.Hash {
				t.Errorf("article %s: sample %d has the hash %s, the export %s", e.Article, s.Index, s.Hash, hashes[s.Index])
			}
		}
	}
	if len(want) != 0 || len(hashes) == 0 || samples == 0 {
		t.Errorf("of %d entries and %d samples, evidence leaves out %v", len(hashes), samples, want)
	}
}

// wellFormed opens a report as those who get it do.
func wellFormed(t *testing.T, name, format, path string, b []byte) {
	t.Helper()
	switch format {
	case "json":
		var v struct {
			Items *[]json.RawMessage
			Next  *string
		}
		if err := json.Unmarshal(b, &v); err != nil || v.Items == nil || v.Next != nil {
			t.Errorf("%s as JSON: %v, %.100s", name, err, b)
		}
	case "csv":
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(b), "\ufeff"))).ReadAll()
		if err != nil || len(rows) == 0 || !strings.HasPrefix(string(b), "\ufeff") {
			t.Errorf("%s as CSV: %v, %.100s", name, err, b)
		}
	case "xlsx":
		f, err := excelize.OpenFile(path)
		if err != nil {
			t.Errorf("%s as XLSX: %v", name, err)
			return
		}
		if n := len(f.GetSheetList()); n < 3 {
			t.Errorf("%s as XLSX has %d sheets", name, n)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	case "html":
		if !strings.Contains(string(b), "</table></body></html>") {
			t.Errorf("%s as HTML: %.100s", name, b)
		}
	}
}
