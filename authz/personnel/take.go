package personnel

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"sekisho/directory"
	"sekisho/policy"
)

// taker reads one file.
type taker struct {
	p       *policy.Policy
	words   vocabulary
	fields  []string // of each column; "" for one that is nobody's
	lines   []Line
	faults  Faults
	numbers map[string]int // the line of each, to find what is there twice
	mails   map[string]int
	logins  map[string]int
}

func (t *taker) fault(line int, field, rule, ja, en string) {
	if len(t.faults) < MostFaults {
		t.faults = append(t.faults, Fault{line, field, rule, policy.Words{JA: ja, EN: en}})
	}
}

// header reads the first line; false where nothing below it can be read.
func (t *taker) header(head []string) bool {
	seen := map[string]string{}
	for _, name := range head {
		field, ok := t.p.Personnel.FieldOf(name)
		if !ok {
			if strings.TrimSpace(name) != "" {
				t.fault(1, "file", "column", "「"+clip(name)+"」という列は分かりません。方針の personnel.columns に書くか、列を除いてください。",
					"The column “"+clip(name)+"” is not known. Name it in personnel.columns of the policy, or leave it out.")
			}
			t.fields = append(t.fields, "")
			continue
		}
		if first, twice := seen[field]; twice {
			t.fault(1, field, "twice", "同じ項目の列が二つあります（「"+clip(first)+"」と「"+clip(name)+"」）。一つにしてください。",
				"Two columns are for this field (“"+clip(first)+"” and “"+clip(name)+"”). Keep one.")
		}
		seen[field] = name
		t.fields = append(t.fields, field)
	}
	for _, field := range []string{"number", "name"} {
		if _, ok := seen[field]; !ok {
			t.fault(1, field, "required", "この列がありません。", "This column is missing.")
		}
	}
	return len(t.faults) == 0
}

func (t *taker) take(n int, record []string) {
	l := Line{N: n, Kind: Staff, said: map[string]bool{}}
	cells := map[string]string{}
	for i, v := range record {
		v = text(v)
		if i >= len(t.fields) {
			if v != "" {
				t.fault(n, "file", "columns", "項目の名前の行より列が多くあります。", "There are more columns than names.")
				return
			}
			continue
		}
		field := t.fields[i]
		if field == "" || v == "" {
			continue
		}
		switch {
		case strings.ContainsRune(v, utf8.RuneError):
			t.fault(n, field, "characters", "読めない文字があります。文字コード（UTF-8かShift_JIS）を確かめてください。", "It holds characters that cannot be read. See whether the file is UTF-8 or Shift_JIS.")
			continue
		case !directory.Wellformed(v) || len([]rune(v)) > longest:
			t.fault(n, field, "characters", fmt.Sprintf("改行などの使えない文字があるか、%d文字を超えています。", longest), fmt.Sprintf("It holds control characters, or more than %d characters.", longest))
			continue
		}
		cells[field], l.said[field] = v, true
	}
	t.office(&l, cells)
	t.identity(&l, cells)
	t.days(&l, cells)
	t.whole(&l)
	t.lines = append(t.lines, l)
}

// identity reads who a line is about.
func (t *taker) identity(l *Line, cells map[string]string) {
	l.Number, l.Name, l.Kana = norm.NFKC.String(cells["number"]), cells["name"], cells["kana"]
	if l.Name == "" && !t.wrong(l.N, "name") {
		t.fault(l.N, "name", "required", "氏名を書いてください。", "Please write the name.")
	}
	if l.Number == "" && !l.ofNobody() && !t.wrong(l.N, "number") {
		t.fault(l.N, "number", "required", "職員番号を書いてください。事業者にも、一人に一つの番号が必要です。", "Please write the number; contractors have one each too.")
	}
	if v := cells["login"]; v != "" {
		l.Login = directory.Canonical(v)
		if strings.ContainsAny(l.Login, ",=+<>#;\\\"@/") {
			t.fault(l.N, "login", "characters", "ログインに使えない文字があります。英数字、点、ハイフンで書いてください。", "A login is of letters, digits, points and hyphens.")
		}
		t.once(t.logins, l.N, "login", l.Login, "このログインは", "This login is")
	}
	if v := cells["mail"]; v != "" {
		address, err := mail.ParseAddress(v)
		if err != nil || address.Name != "" || address.Address != v {
			t.fault(l.N, "mail", "address", "メールアドレスではありません。tanaka@pref.example.jp のように書いてください。", "This is no mail address; write one such as tanaka@pref.example.jp.")
		}
		l.Mail = v
		t.once(t.mails, l.N, "mail", directory.Canonical(v), "このアドレスは", "This address is")
	}
	l.Company, l.Prime, l.Owner = cells["company"], cells["prime"], norm.NFKC.String(cells["owner"])
	if l.Project = cells["project"]; slices.Contains(none, fold(l.Project)) {
		l.Project, l.NoProject = "", true
	}
}

// office reads where somebody works, and as what.
func (t *taker) office(l *Line, cells map[string]string) {
	if v := cells["kind"]; v != "" {
		kind, ok := t.words.kinds[fold(v)]
		if !ok {
			t.fault(l.N, "kind", "unknown", "知らない区分です。職員、会計年度任用職員、事業者、再委託先、共用、プログラムのどれかを書いてください。",
				"This kind is not known; write staff, appointed, contractor, subcontractor, shared or service.")
		}
		l.Kind = kind
	}
	switch v := cells["change"]; {
	case slices.Contains(leaving, fold(v)):
		l.Leaves = true
	case slices.Contains(returning, fold(v)):
		l.Returns = true
	case !slices.Contains(staying, fold(v)):
		t.fault(l.N, "change", "unknown", "知らない異動区分です。採用、異動、退職などと書いてください。", "This change is not known; write join, move or leave.")
	}
	if v := cells["section"]; v != "" {
		l.Section = t.section(l.N, "section", v)
	}
	if v := cells["posts"]; v != "" && !slices.Contains(none, fold(v)) {
		l.Posts = t.posts(l.N, "posts", v)
	}
	if v := cells["concurrent"]; v != "" && !slices.Contains(none, fold(v)) {
		for _, name := range list(v) {
			id := t.section(l.N, "concurrent", name)
			switch {
			case id == "":
			case id == l.Section:
				t.fault(l.N, "concurrent", "own_section", "兼務先が本務の所属と同じです。", "This is the own section.")
			case !slices.Contains(l.Concurrent, id):
				l.Concurrent = append(l.Concurrent, id)
			}
		}
	}
}

func (t *taker) section(n int, field, v string) string {
	id, ok := t.words.sections[fold(v)]
	if !ok {
		t.fault(n, field, "unknown", "「"+clip(v)+"」という部局・室課は方針にありません。方針の sections の名前かidを書いてください。",
			"The policy has no section “"+clip(v)+"”; write a name or an id of its sections.")
	}
	return id
}

func (t *taker) posts(n int, field, v string) []policy.PostID {
	var out []policy.PostID
	for _, name := range list(v) {
		id, ok := t.words.posts[fold(name)]
		post, _ := t.p.Post(id)
		switch {
		case !ok:
			t.fault(n, field, "unknown", "「"+clip(name)+"」という役割は方針にありません。方針の posts の名前かidを書いてください。",
				"The policy has no post “"+clip(name)+"”; write a name or an id of its posts.")
		case post.Group == "":
			t.fault(n, field, "no_group", "「"+clip(name)+"」の役割には、ディレクトリのグループがありません。方針の posts に書いてください。",
				"The post “"+clip(name)+"” has no group in the directory; name it in the policy's posts.")
		case !slices.Contains(out, id):
			out = append(out, id)
		}
	}
	return out
}

func (t *taker) days(l *Line, cells map[string]string) {
	for _, d := range []struct {
		field string
		into  *time.Time
	}{{"starts", &l.Starts}, {"ends", &l.Ends}, {"leave_from", &l.LeaveFrom}, {"leave_until", &l.LeaveUntil}, {"handover", &l.Handover}} {
		v := cells[d.field]
		if v == "" {
			continue
		}
		if slices.Contains(none, fold(v)) && (d.field == "ends") {
			l.EndsNever = true
			continue
		}
		at, ok := Day(v)
		if !ok {
			t.fault(l.N, d.field, "date", "日付を 2026-04-01、2026/4/1、R8.4.1 のように書いてください。", "Write a day such as 2026-04-01, 2026/4/1 or R8.4.1.")
			continue
		}
		*d.into = at
	}
	between := func(from, until time.Time, field string) {
		if !from.IsZero() && !until.IsZero() && until.Before(from) {
			t.fault(l.N, field, "order", "始まりの日より前です。", "It is before the day on which it begins.")
		}
	}
	between(l.Starts, l.Ends, "ends")
	between(l.LeaveFrom, l.LeaveUntil, "leave_until")
	if !l.LeaveUntil.IsZero() && l.LeaveFrom.IsZero() && !t.wrong(l.N, "leave_from") {
		t.fault(l.N, "leave_from", "required", "休業の始まりの日を書いてください。", "Say on which day the leave begins.")
	}
	if !l.Handover.IsZero() && l.Section == "" && !t.wrong(l.N, "section") {
		t.fault(l.N, "handover", "alone", "引継ぎは、所属が変わる行に書いてください。", "A handover belongs on a line that says the new section.")
	}
}

// longestContract is how far ahead an end may lie: a mistyped year is found.
const longestContract = 10 * 366 * 24 * time.Hour

// whole looks at what the fields of a line mean together.
func (t *taker) whole(l *Line) {
	ask := func(field, v, ja, en string) {
		if v == "" && !t.wrong(l.N, field) {
			t.fault(l.N, field, "required", ja, en)
		}
	}
	switch l.Kind {
	case Contractor, Subcontractor:
		ask("company", l.Company, "事業者の会社の名前を書いてください。", "Say which company the contractor works for.")
		if l.Kind == Subcontractor {
			ask("prime", l.Prime, "再委託元の会社の名前を書いてください。", "Say for which company the subcontractor works.")
		}
		if !l.Leaves && l.Ends.IsZero() && !t.wrong(l.N, "ends") {
			t.fault(l.N, "ends", "required", "事業者のIDには、契約の終わりの日が必要です。", "A contractor's ID needs the day on which the contract ends.")
		}
	case Appointed:
		if !l.Leaves && l.Ends.IsZero() && !t.wrong(l.N, "ends") {
			t.fault(l.N, "ends", "required", "会計年度任用職員には、任用の終わりの日が必要です。", "Who is appointed for a fiscal year has a day on which that ends.")
		}
	case Shared, Service:
		ask("owner", l.Owner, "責任を持つ職員の番号を書いてください。", "Say the number of whoever answers for it.")
		ask("login", l.Login, "このIDのログインを書いてください。", "Say the login of this ID.")
		if t.p.Powerful(l.Posts) {
			t.fault(l.N, "posts", "nobody", "承認又は管理の役割は、一人の人のIDにだけ付けられます。", "A post that approves or administers goes to the ID of one person alone.")
		}
	}
	if !l.Ends.IsZero() && !l.Starts.IsZero() && l.Ends.Sub(l.Starts) > longestContract {
		t.fault(l.N, "ends", "far", "終わりの日が10年より先です。年を確かめてください。", "The end is more than ten years ahead; see the year.")
	}
	if !l.ofNobody() {
		t.once(t.numbers, l.N, "number", fold(l.Number), "この人は", "This person is")
	}
}

func (t *taker) once(seen map[string]int, n int, field, key, ja, en string) {
	if key == "" {
		return
	}
	if first, twice := seen[key]; twice {
		t.fault(n, field, "twice", fmt.Sprintf("%s%d行目にもあります。一つにしてください。", ja, first), fmt.Sprintf("%s on line %d too. Keep one.", en, first))
		return
	}
	seen[key] = n
}

// wrong reports whether a field of a line has a fault already.
func (t *taker) wrong(n int, field string) bool {
	return slices.ContainsFunc(t.faults, func(f Fault) bool { return f.Line == n && f.Field == field })
}

// text is a cell as it is taken: without a spreadsheet's guard against formulas, in
// one form of its characters. The ideographs of names keep the form that they have.
func text(v string) string {
	v = strings.TrimSpace(norm.NFC.String(v))
	if len(v) > 1 && v[0] == '\'' && strings.ContainsRune("=+-@\t\r'", rune(v[1])) {
		v = v[1:]
	}
	return v
}

// list is what a cell names one after the other.
func list(v string) []string {
	var out []string
	for part := range strings.FieldsFuncSeq(v, func(r rune) bool { return strings.ContainsRune(";；、，,／/|", r) }) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
