package report

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"sekisho/policy"
)

// prefecture is two departments, of which one has two sections.
func prefecture() *policy.Policy {
	p := policy.Standard()
	p.Sections = []policy.Section{
		{ID: "soumu", Name: policy.Words{JA: "総務部", EN: "General Affairs"}}, {ID: "joho", Parent: "soumu", Name: policy.Words{JA: "情報課", EN: "IT"}}, {ID: "jinji", Parent: "soumu", Name: policy.Words{JA: "人事課", EN: "Personnel"}},
		{ID: "fukushi", Name: policy.Words{JA: "福祉部", EN: "Welfare"}},
	}
	return p
}

// TestMayRead is the whole table: what of each report the holder of each post reads.
func TestMayRead(t *testing.T) {
	const nothing, own, department, all = "", "joho", "soumu", "all"
	for _, tt := range []struct {
		post                                           policy.PostID
		dormant, privilege, remote, reconcile, evident string
	}{
		{policy.Staff, nothing, nothing, nothing, nothing, nothing},
		{policy.Contractor, nothing, nothing, nothing, nothing, nothing},
		{policy.SystemAdministrator, all, nothing, all, all, nothing},
		{policy.SystemOperator, all, nothing, all, all, nothing},
		{policy.SecurityManager, own, own, own, own, nothing},
		{policy.SecurityOfficer, department, department, department, department, nothing},
		{policy.CIO, all, all, all, all, all},
		{policy.CSIRT, all, all, all, all, nothing},
		{policy.Auditor, all, all, all, all, all},
	} {
		for i, want := range []string{tt.dormant, tt.privilege, tt.remote, tt.reconcile, tt.evident} {
			name := Names()[i]
			scope, no := MayRead(prefecture(), name, []policy.PostID{tt.post}, "joho")
			got := nothing
			switch {
			case scope.All:
				got = all
			case len(scope.Sections) > 0:
				got = scope.Sections[0]
			}
			if got != want || (no == nil) != (want != nothing) {
				t.Errorf("%s by %s: %q, %v; want %q", name, tt.post, got, no, want)
			}
			if told := prefecture().ReadsReport(string(name), tt.post); told != (want != nothing) {
				t.Errorf("the policy lets %s be told of %s: %t", tt.post, name, told)
			}
			if no != nil && (no.Reason != "no_post" || no.Says.JA == "" || no.Says.EN == "" || len(no.Articles) == 0) {
				t.Errorf("%s by %s is refused with %+v", name, tt.post, no)
			}
		}
	}
}

func TestMayReadAtTheEdges(t *testing.T) {
	p := prefecture()
	if _, no := MayRead(p, "salaries", []policy.PostID{policy.CIO}, "joho"); no == nil || no.Reason != "unknown_report" || no.Field == "" {
		t.Errorf("a report that is none: %+v", no)
	}
	if scope, no := MayRead(p, OfDormant, []policy.PostID{policy.SecurityManager}, "gone"); no == nil || no.Reason != "no_section" || scope.All || scope.Sections != nil {
		t.Errorf("a section that is none: %+v, %+v", scope, no)
	}
	if scope, _ := MayRead(p, OfPrivilege, []policy.PostID{policy.SystemAdministrator, policy.Auditor}, "joho"); !scope.All {
		t.Error("who audits beside another post does not see all")
	}
}

func TestScopeSees(t *testing.T) {
	p := prefecture()
	for _, tt := range []struct {
		name    string
		scope   Scope
		section string
		want    bool
	}{
		{"the zero scope sees nothing", Scope{}, "joho", false},
		{"nor what has no section", Scope{}, "", false},
		{"everything", Everything, "", true},
		{"the own section", Scope{Sections: []string{"joho"}}, "joho", true},
		{"the next section", Scope{Sections: []string{"joho"}}, "jinji", false},
		{"a section of the department", Scope{Sections: []string{"soumu"}}, "jinji", true},
		{"another department", Scope{Sections: []string{"soumu"}}, "fukushi", false},
		{"what has no section, for a section", Scope{Sections: []string{"soumu"}}, "", false},
	} {
		if got := tt.scope.Sees(p, tt.section); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestParsePeriod(t *testing.T) {
	now := time.Date(2026, 4, 1, 3, 0, 0, 0, time.UTC)
	at := func(text string) time.Time {
		t.Helper()
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct {
		from, to   string
		begin, end time.Time
		wrong      string
	}{
		{"", "", now.AddDate(0, 0, -30), now, ""},
		{"2026-03-01", "2026-03-31", at("2026-03-01T00:00:00+09:00"), at("2026-04-01T00:00:00+09:00"), ""}, // the last day is within
		{"2026-03-31T15:00:00Z", "", at("2026-03-31T15:00:00Z"), now, ""},
		{"", "2026-03-31", at("2026-03-02T00:00:00+09:00"), at("2026-04-01T00:00:00+09:00"), ""},
		{"2026-04-02", "2026-04-01", time.Time{}, time.Time{}, "from"},
		{"2026-04-02", "", time.Time{}, time.Time{}, "from"}, // it has not begun
		{"yesterday", "", time.Time{}, time.Time{}, "from"},
		{"", "2026-13-01", time.Time{}, time.Time{}, "to"},
		{"2001-01-01", "", time.Time{}, time.Time{}, "from"},
	} {
		got, err := ParsePeriod(tt.from, tt.to, now)
		if no := (*Refusal)(nil); tt.wrong != "" {
			if !errors.As(err, &no) || no.Field != tt.wrong || no.Says.JA == "" || no.Says.EN == "" {
				t.Errorf("%q to %q: %v", tt.from, tt.to, err)
			}
			continue
		}
		if err != nil || !got.From.Equal(tt.begin) || !got.To.Equal(tt.end) {
			t.Errorf("%q to %q = %v, %v", tt.from, tt.to, got, err)
		}
	}
}

func TestPeriodOf(t *testing.T) {
	hour := func(h int) time.Time { return t0.Add(time.Duration(h) * time.Hour) }
	p := Period{hour(0), hour(10)}
	for _, tt := range []struct {
		from, until int
		want        time.Duration
		ok          bool
	}{
		{1, 3, 2 * time.Hour, true}, {-5, 2, 2 * time.Hour, true}, {9, 20, time.Hour, true}, {-5, 20, 10 * time.Hour, true},
		{-5, -1, 0, false}, {10, 12, 0, false}, {12, 15, 0, false}, {4, 4, 0, true},
	} {
		if got, ok := p.Of(hour(tt.from), hour(tt.until)); got != tt.want || ok != tt.ok {
			t.Errorf("from %d until %d: %v, %v; want %v, %v", tt.from, tt.until, got, ok, tt.want, tt.ok)
		}
	}
}

func TestWhere(t *testing.T) {
	s := Sheet{Columns: []Column{column("section", "室課", "section"), column("login", "ID", "login"), column("n", "数", "n")}, Rows: [][]any{
		{Coded{"情報課", "joho"}, Ref{"田中", ToPerson, "tanaka"}, 1}, {Coded{"", ""}, "suzuki", 2}, {Coded{"情報課", "joho"}, "sato", 2},
	}}
	for _, tt := range []struct {
		name string
		f    Filter
		want []int // rows
	}{
		{"nothing asked", nil, []int{0, 1, 2}},
		{"by its code, not by its words", Filter{"section": "joho"}, []int{0, 2}},
		{"by words", Filter{"section": "情報課"}, nil},
		{"without one", Filter{"section": ""}, []int{1}},
		{"both", Filter{"section": "joho", "n": "2"}, []int{2}},
		{"what has a page", Filter{"login": "tanaka"}, []int{0}},
		{"no such column", Filter{"salary": ""}, nil},
	} {
		var want [][]any
		for _, i := range tt.want {
			want = append(want, s.Rows[i])
		}
		if got := s.Where(tt.f).Rows; !slices.EqualFunc(got, want, func(a, b []any) bool { return slices.Equal(a, b) }) {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestFiguresLeadToTheirEntries: the filter of every figure of every report is of columns
// that its entries have, and finds as many rows as the figure says.
func TestFiguresLeadToTheirEntries(t *testing.T) {
	for name, d := range samples(t) {
		r := d.Report("en")
		n := 0
		for _, s := range r.Sheets {
			for _, row := range s.Rows {
				if len(row) != len(s.Columns) {
					t.Fatalf("%s: a row of %s has %d cells for %d columns", name, s.ID, len(row), len(s.Columns))
				}
				for i, cell := range row {
					f, ok := cell.(Figure)
					if !ok {
						continue
					}
					n++
					if found := len(r.Entries().Where(f.Of).Rows); found != f.N && !summed(name) {
						t.Errorf("%s: %s of %s is %d, and %v finds %d", name, s.Columns[i].Key, s.ID, f.N, f.Of, found)
					} else if f.N > 0 && found == 0 {
						t.Errorf("%s: %s of %s is %d, and %v finds nothing", name, s.Columns[i].Key, s.ID, f.N, f.Of)
					}
				}
			}
		}
		if n == 0 {
			t.Errorf("%s has no figures", name)
		}
	}
}

// summed reports whether the entries of a report are sums themselves.
func summed(name string) bool { return name == string(OfEvidence) }

// TestEveryForm writes every report in every form and language: cells have the types that
// they are, and sheets have names that a workbook takes.
func TestEveryForm(t *testing.T) {
	t.Parallel()
	for name, d := range samples(t) {
		for _, lang := range []string{"ja", "en"} {
			r := d.Report(lang)
			if r.Name != Name(name) || r.Title.IsEmpty() || len(r.Articles) == 0 || len(r.Entries().Rows) == 0 || r.Entries().ID != "entries" {
				t.Errorf("%s: %s, %v, %d entries", name, r.Title, r.Articles, len(r.Entries().Rows))
			}
			var b bytes.Buffer
			if err := r.WriteXLSX(&b, lang); err != nil {
				t.Errorf("%s as XLSX: %v", name, err)
				continue
			}
			f, err := excelize.OpenReader(&b)
			if err != nil {
				t.Fatal(err)
			}
			sheets := f.GetSheetList()
			if len(sheets) != len(r.Sheets)+1 { // the first is about the report
				t.Fatalf("%s: %d sheets of %d: %q", name, len(sheets), len(r.Sheets), sheets)
			}
			for i, s := range r.Sheets {
				rows, err := f.GetRows(sheets[i+1])
				if err != nil || len(rows) != len(s.Rows)+1 || rows[0][0] != s.Columns[0].Says.In(lang) {
					t.Errorf("%s, sheet %s: %d rows of %d, %v", name, s.ID, len(rows), len(s.Rows), err)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			b.Reset()
			if err := r.WriteCSV(&b); err != nil || bytes.Count(b.Bytes(), []byte("\r\n")) < len(r.Entries().Rows) {
				t.Errorf("%s as CSV: %v, %s", name, err, b.String())
			}
			b.Reset()
			if err := r.WriteHTML(&b, lang); err != nil || bytes.Count(b.Bytes(), []byte("</table>")) != len(r.Sheets) {
				t.Errorf("%s as HTML: %v", name, err)
			}
		}
	}
}
