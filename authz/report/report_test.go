package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
)

var t0 = time.Date(2026, 4, 1, 3, 0, 0, 0, time.UTC)

// formula is a name that somebody has typed for whoever opens the report.
const formula = `=HYPERLINK("http://evil.example","x")`

func sample() Dormant {
	old := lifecycle.Entry{
		Person: "1", Login: "tanaka", Name: formula, Section: "joho", Company: "@cmd", Kind: directory.KindStaff, Class: policy.DormancyStaff,
		CreatedAt: t0.AddDate(-2, 0, 0), LastUse: t0.AddDate(0, 0, -70), Since: t0, Unused: 70, Stage: lifecycle.Warned,
	}
	never := old
	never.Login, never.Name, never.LastUse, never.Unused, never.Hold = "suzuki", "鈴木", time.Time{}, 400, lifecycle.OnLeave
	ages := map[lifecycle.Age]int{lifecycle.Age30: 8, lifecycle.Age90: 1, lifecycle.Never: 1}
	return Dormant{
		Sweep: lifecycle.Summary{AsOf: t0, Answer: lifecycle.Answer{People: 10}}, Ages: ages, Entries: []lifecycle.Entry{never, old},
		Sections: []Section{{ID: "joho", Name: policy.Words{JA: "情報課", EN: "IT"}, All: 10, Ages: ages, Warned: 1, OnLeave: 1}},
		Classes:  map[policy.DormancyClass]map[lifecycle.Age]int{policy.DormancyStaff: ages},
		Findings: []lifecycle.Finding{{Kind: lifecycle.Orphan, Subject: "2", FoundAt: t0}},
	}
}

func TestPlain(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""}, {"田中", "田中"}, {"a=b", "a=b"}, {"=1+1", "'=1+1"}, {"+81", "'+81"}, {"-1", "'-1"}, {"@x", "'@x"}, {"\t=1", "'\t=1"}, {"\r=1", "'\r=1"}, {"＝1", "'＝1"},
		{" =1", "' =1"}, {"\u3000＠x", "'\u3000＠x"}, {"\ufeff\u200b=1", "'\ufeff\u200b=1"}, {"\x00=1", "'\x00=1"}, {" 田中", " 田中"}, {" ", " "}, {"\xff=", "\xff="},
	} {
		if got := Plain(tt.in); got != tt.want {
			t.Errorf("Plain(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestCSV(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Report("ja").WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "\ufefflogin,") || !strings.Contains(b.String(), "\r\n") {
		t.Errorf("Excel would not read it: %.40q", b.String())
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(b.String(), "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if rows[2][1] != "'"+formula || rows[2][3] != "'@cmd" || rows[2][2] != "情報課" || rows[2][5] != "2026-01-21 12:00" || rows[1][5] != "" || rows[1][6] != "400" {
		t.Errorf("rows: %q", rows[1:])
	}
}

// TestXLSX: cells have the types that they are, and nothing is carried out.
func TestXLSX(t *testing.T) {
	for _, lang := range []string{"ja", "en"} {
		var b bytes.Buffer
		if err := sample().Report(lang).WriteXLSX(&b, lang); err != nil {
			t.Fatal(err)
		}
		f, err := excelize.OpenReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		sheets := f.GetSheetList()
		if len(sheets) != 6 {
			t.Fatalf("%s: sheets %v", lang, sheets)
		}
		last := sheets[5]
		for cell, want := range map[string]excelize.CellType{"B3": excelize.CellTypeInlineString, "G3": excelize.CellTypeUnset, "F3": excelize.CellTypeUnset, "F2": excelize.CellTypeUnset} {
			if got, err := f.GetCellType(last, cell); err != nil || got != want {
				t.Errorf("%s: %s is of type %v, %v; want %v", lang, cell, got, err, want)
			}
		}
		if v, err := f.GetCellValue(last, "B3"); err != nil || v != formula {
			t.Errorf("%s: the name reads %q, %v", lang, v, err)
		}
		if v, err := f.GetCellFormula(last, "B3"); err != nil || v != "" {
			t.Errorf("%s: the name is a formula: %q, %v", lang, v, err)
		}
		if v, err := f.GetCellValue(last, "F3"); err != nil || v != "2026-01-21 12:00" {
			t.Errorf("%s: last used %q, %v", lang, v, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestWorkbookSaysWhatItIs: whoever is given a workbook reads in it of what time it is,
// and what there is to know of it.
func TestWorkbookSaysWhatItIs(t *testing.T) {
	r := Report{
		Title: Titles[OfPrivilege], Period: Period{t0.AddDate(0, 0, -30), t0}, Articles: ArticlesOf(OfPrivilege),
		Notes: []policy.Words{{JA: "=注記", EN: "=A note"}}, Sheets: []Sheet{{Name: policy.Words{JA: "一覧", EN: "Uses"}}},
	}
	for lang, want := range map[string]string{
		"ja": "項目 内容|報告 特権の貸出し|いつの " + r.When() + "|条 第49条第1項 第62条第6項 第65条 第80条第2項|注記 =注記",
		"en": "item content|report Privilege that was lent|of " + r.When() + "|articles Article 49(1) Article 62(6) Article 65 Article 80(2)|note =A note",
	} {
		var b bytes.Buffer
		if err := r.WriteXLSX(&b, lang); err != nil {
			t.Fatal(err)
		}
		f, err := excelize.OpenReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := f.GetRows(f.GetSheetList()[0])
		var lines []string
		for _, row := range rows {
			lines = append(lines, strings.Join(row, " "))
		}
		if got := strings.Join(lines, "|"); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", lang, got, err, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNarrowedReportSaysSo: a report with some of its entries says by what they were
// found, in words, and leaves the whole one as it is.
func TestNarrowedReportSaysSo(t *testing.T) {
	whole := sample().Report("ja")
	if got := whole.Narrow(nil); len(got.Notes) != len(whole.Notes) || len(got.Entries().Rows) != 2 {
		t.Errorf("narrowed by nothing: %+v", got)
	}
	for _, tt := range []struct {
		name   string
		by     Filter
		ja, en string
		found  int
	}{
		{"by two codes", Filter{"section": "joho", "stage": string(lifecycle.Warned)}, "情報課", "section = 情報課, ", 2},
		{"by one that only some have", Filter{"hold": string(lifecycle.OnLeave)}, "休業・休職中", "", 1},
		{"by none", Filter{"hold": ""}, "＝（なし）", "= (none)", 1},
		{"by what nobody has", Filter{"section": "x"}, "＝x", "= x", 0},
		{"by no column", Filter{"shoe": "42"}, "shoe＝42", "shoe = 42", 0},
	} {
		got := whole.Narrow(tt.by)
		if n := len(got.Entries().Rows); n != tt.found || len(got.Notes) != len(whole.Notes)+1 {
			t.Errorf("%s: %d entries, %d notes", tt.name, n, len(got.Notes))
			continue
		}
		if says := got.Notes[0]; !strings.Contains(says.JA, tt.ja) || !strings.Contains(says.EN, tt.en) || !strings.Contains(says.JA, "全部ではありません") {
			t.Errorf("%s: it says %+v", tt.name, says)
		}
	}
	if len(whole.Entries().Rows) != 2 {
		t.Error("the whole report has lost entries")
	}
}

func TestHTML(t *testing.T) {
	d := sample()
	d.Entries[0].Name = `<script>alert(1)</script>`
	for lang, want := range map[string]string{"ja": "使われていないID", "en": "IDs that nobody uses"} {
		var b bytes.Buffer
		if err := d.Report(lang).WriteHTML(&b, lang); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.Contains(got, want) || strings.Contains(got, "<script>") || !strings.Contains(got, "&lt;script&gt;") || !strings.Contains(got, `class="bar"`) {
			t.Errorf("%s: %s", lang, got)
		}
	}
}

// TestAnswer: also where there is nothing, programs read lists.
func TestAnswer(t *testing.T) {
	for name, d := range map[string]Dormant{"nothing yet": {}, "the sample": sample()} {
		b, err := json.Marshal(d.Answer("", 0))
		if err != nil || strings.Contains(string(b), `:null,"sections"`) || strings.Contains(string(b), `"items":null`) {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
	got := sample().Answer("", 0).(DormantAnswer)
	if got.People != 10 || len(got.Items) != 2 || got.Items[0].LastUse != nil || got.Items[1].Unused != 70 || got.Sections[0].Unused != 2 || got.Next != nil {
		t.Errorf("%+v", got)
	}
	first := sample().Answer("", 1).(DormantAnswer)
	if len(first.Items) != 1 || first.Items[0].Login != "suzuki" || first.Next == nil || *first.Next != "suzuki" {
		t.Errorf("the first page: %+v", first)
	}
	if rest := sample().Answer(*first.Next, 1).(DormantAnswer); len(rest.Items) != 1 || rest.Items[0].Login != "tanaka" || rest.Next != nil {
		t.Errorf("the second page: %+v", rest)
	}
	if d := sample(); !d.Has("tanaka") || d.Has("gone") || d.Has("") {
		t.Errorf("tanaka is in it: %t, gone: %t", d.Has("tanaka"), d.Has("gone"))
	}
}

// TestKeptAnswer: a program reads all of a kept report, each entry once, in as many
// answers as it likes.
func TestKeptAnswer(t *testing.T) {
	d := keptDocument{Kept{ID: "k1", Name: OfDormant}, map[string]Report{"ja": sample().Report("ja")}}
	var logins []string
	for after, answers := "", 1; ; answers++ {
		a := d.Answer(after, 1).(KeptAnswer)
		for _, one := range a.Items {
			logins = append(logins, one["login"]+" "+one["section"]+" "+one["stage"])
		}
		if a.Next == nil {
			if answers != 2 {
				t.Errorf("in %d answers", answers)
			}
			break
		}
		after = *a.Next
	}
	if got := strings.Join(logins, "|"); got != "suzuki joho warned|tanaka joho warned" {
		t.Errorf("it reads %q", got)
	}
	for after, want := range map[string]int{"x": 2, "-1": 2, "1": 1, "2": 0, "99": 0} {
		if a := d.Answer(after, 0).(KeptAnswer); len(a.Items) != want || a.Items == nil {
			t.Errorf("after %q: %d entries", after, len(a.Items))
		}
	}
}

// TestPeriodIsAskedForAgain: what a link says of a period is read back as that period.
func TestPeriodIsAskedForAgain(t *testing.T) {
	t.Parallel()
	day := func(text string) time.Time { at, _, _ := parseTime(text); return at }
	for _, tt := range []struct {
		p        Period
		from, to string
	}{
		{Period{day("2026-03-02"), day("2026-03-09")}, "2026-03-02", "2026-03-08"},
		{Period{day("2026-03-02"), t0}, "2026-03-02", t0.Format(time.RFC3339)},
		{Period{t0.Add(time.Microsecond), t0.Add(time.Hour)}, t0.Add(time.Microsecond).Format(time.RFC3339Nano), t0.Add(time.Hour).Format(time.RFC3339)},
	} {
		from, to := tt.p.Query()
		if from != tt.from || to != tt.to {
			t.Errorf("%v is asked for from %s to %s, want %s and %s", tt.p, from, to, tt.from, tt.to)
		}
		if got, err := ParsePeriod(from, to, t0); err != nil || !got.From.Equal(tt.p.From) || !got.To.Equal(tt.p.To) {
			t.Errorf("%s to %s is read as %v, %v", from, to, got, err)
		}
	}
}

// TestLeadsAreTrue: where a figure leads, there are as many entries as it says: uses of a
// week in the report of that week, sessions of a section on their sheet, and entries of
// the trail in a search.
func TestLeadsAreTrue(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	seen := map[string]int{}
	follow := func(v any) {
		switch v := v.(type) {
		case Lead:
			name, from, to := OfRemote, "", ""
			if !v.In.IsZero() {
				name = OfPrivilege
				from, to = v.In.Query()
			}
			at, err := ParsePeriod(from, to, t0)
			w.must(err)
			d, err := w.Make(t.Context(), name, at, Everything)
			w.must(err)
			r := d.Report("ja")
			s := r.Entries()
			for _, one := range r.Sheets {
				if one.ID == v.Sheet {
					s = one
				}
			}
			if n := len(s.Where(v.Of).Rows); !s.Has(v.Of) || n != v.N {
				t.Errorf("%+v leads to %d rows", v, n)
			}
			seen[string(name)] += v.N
		case Sought:
			found, err := w.Trail.Search(t.Context(), audit.Filter{From: v.In.From, To: v.In.To, Action: v.Action, Article: v.Article, Outcome: v.Outcome})
			w.must(err)
			if len(found) != v.N {
				t.Errorf("%+v leads to %d entries", v, len(found))
			}
			seen["trail"] += v.N
		}
	}
	for _, name := range []Name{OfPrivilege, OfRemote, OfEvidence} {
		for _, s := range w.make(name, Everything).Report("ja").Sheets {
			for _, row := range s.Rows {
				for _, cell := range row {
					follow(cell)
				}
			}
		}
	}
	// l1, l2 and what is held across the period's beginning, which is an emergency once;
	// two sessions; eleven entries under two articles.
	if seen["privilege"] < 4 || seen["remote"] != 2 || seen["trail"] != 22 {
		t.Errorf("followed %v", seen)
	}
}
