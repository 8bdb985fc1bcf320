package policy

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sekisho/policy/clock"
)

// TestDocumentRefusals holds what is refused before anything is a value.
func TestDocumentRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		line       int
		says       string // in the English sentence
	}{
		{"empty", "", 1, "says nothing"},
		{"only comments", "# nothing\n\n# here\n", 1, "says nothing"},
		{"a list", "- a\n- b\n", 1, "keys with values"},
		{"a word", "hello\n", 1, "keys with values"},
		{"no YAML", "a: [b\n", 1, "cannot be read as YAML"},
		{"tabs", "a:\n\tb: c\n", 2, "cannot be read as YAML"},
		{"duplicate key", least + "profile: standard\nprofile: standard\n", 4, "on line 3 already"},
		{"duplicate key below", "prefecture: {name: {ja: 関所県, ja: 関所県}}\nzones: [{id: lgwan}]\n", 1, "on line 1 already"},
		{"duplicate key, quoted once", least + "profile: standard\n\"profile\": standard\n", 4, "on line 3 already"},
		{"anchor", least + "banner: &b {ja: あ}\n", 3, "anchors, aliases and merges"},
		{"alias", least + "banner: *b\n", 3, "anchors, aliases and merges"},
		{"merge", least + "banner:\n  <<: {ja: あ}\n", 4, "anchors, aliases and merges"},
		{"tag", least + "banner: !!str a\n", 3, "tags and directives"},
		{"directive", "%YAML 1.2\n---\n" + least, 1, "tags and directives"},
		{"complex key", least + "? [a]\n: b\n", 3, "begin with ?"},
		{"number as key", least + "1: a\n", 3, "must be text"},
		{"two documents", least + "---\n" + least, 4, "one document only"},
		{"infinity", least + "lockout: {hard_limit: .inf}\n", 3, "not allowed here"},
		{"not UTF-8", least + "banner: {ja: \xff}\n", 3, "not UTF-8"},
		{"control character", least + "banner: {ja: \x1b[2J}\n", 3, "Control characters"},
		{"brackets in brackets", least + "banner: " + strings.Repeat("[", 20) + strings.Repeat("]", 20) + "\n", 3, "too deep"},
		{"dashes after dashes", least + "banner:\n  " + strings.Repeat("- ", 100) + "a\n", 4, "too deep"},
		{"too many keys", least + keysInARow, 201, "too many keys"},
		{"too large", strings.Repeat("#\n", MaxFileBytes/2+1), 1, "too large"},
		{"text too long", least + "banner: {ja: " + strings.Repeat("あ", maxText+1) + "}\n", 3, "too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, problems := Parse("policy.yaml", []byte(tt.text))
			if p != nil || len(problems) == 0 {
				t.Fatalf("not refused: %v", problems)
			}
			for _, p := range problems {
				if p.Line == tt.line && strings.Contains(p.Rule.EN, tt.says) && p.Rule.JA != "" {
					return
				}
			}
			t.Errorf("line %d %q is not among:\n%v", tt.line, tt.says, problems)
		})
	}
}

var keysInARow = strings.Repeat("a: 1\n", 300)

// TestManyProblemsEnd: the answer to a hostile file stays shorter than it.
func TestManyProblemsEnd(t *testing.T) {
	var b strings.Builder
	b.WriteString(least)
	b.WriteString("posts:\n")
	for range 5000 {
		b.WriteString("- k: v\n")
	}
	_, problems := Parse("policy.yaml", []byte(b.String()))
	if len(problems) != maxProblems+1 || !strings.Contains(problems.Error(), "too many problems") {
		t.Errorf("%d problems", len(problems))
	}
}

// TestLargeFilesEnd bounds the work that the largest files make, in kinds that
// are expensive in one way or another. The bound is wide: it is there to tell
// a second from an hour.
func TestLargeFilesEnd(t *testing.T) {
	fill := func(head, piece string) string {
		return head + strings.Repeat(piece, (MaxFileBytes-len(head))/len(piece))
	}
	numbered := func(head, form string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := 0; b.Len() < MaxFileBytes-100; i++ {
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"brackets":       fill("a: ", "["),
		"braces":         fill("a: ", "{"),
		"dashes":         fill("a:\n  ", "- "),
		"questions":      fill("", "? "),
		"colons":         fill("a", ": a"),
		"quotes":         fill("a: \"", "\\u0041"),
		"lines":          fill("a: |\n", "  a\n"),
		"plain lines":    fill("a:\n", "  b\n"),
		"comments":       fill("a: b\n", "# c\n"),
		"tags":           fill("a: ", "!a "),
		"classes":        fill(least+"classes:\n", "  - {class: 1}\n"),
		"posts":          fill(least+"posts:\n", "  - {id: cio, group: \"cn=a\"}\n"),
		"deviations":     fill(least+"deviations:\n", "  - {id: a, rule: b}\n"),
		"applications":   numbered(least+"applications:\n", "  - {id: a%d, sections: [x, y], zone: a}\n"),
		"sections":       numbered(least+"sections:\n", "  - {id: a%d, name: {ja: あ}, parent: abcdefghijklmnop}\n"),
		"nested":         nested(),
		"keys":           numbered("", "a%d: 1\n"),
		"keys in items":  numbered(least+"posts:\n", "- a%d: 1\n  b: 1\n"),
		"bracketed keys": numbered("a: {", "a%d: 1, "),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			elapsed := clock.Stopwatch()
			if _, problems := Parse("policy.yaml", []byte(text[:min(len(text), MaxFileBytes)])); problems == nil {
				t.Error("not refused")
			}
			if took := elapsed(); took > 2*time.Minute {
				t.Errorf("took %v", took)
			} else {
				t.Logf("took %v", took)
			}
		})
	}
}

// nested is a file of keys below keys, one column deeper each, as deep as fits.
func nested() string {
	var b strings.Builder
	for i := 0; b.Len() < MaxFileBytes-2000; i++ {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// TestManyApplicationsParse: ten thousand are a large prefecture's, and allowed.
func TestManyApplicationsParse(t *testing.T) {
	var b strings.Builder
	b.WriteString(least + "applications:\n")
	for i := range 10000 {
		fmt.Fprintf(&b, "- {id: a%d, name: {ja: 系}, host: a%d.example, zone: lgwan, class: 2}\n", i, i)
	}
	p, problems := Parse("policy.yaml", []byte(b.String()))
	if problems != nil {
		t.Fatal(problems[0])
	}
	if a, ok := p.ApplicationByHost("a9999.example"); !ok || a.ID != "a9999" {
		t.Error("the last one is not found")
	}
}

// FuzzParse: no file makes the parser panic, and every answer is either a
// policy that a reader may trust or problems that say where.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	for _, seed := range []string{
		least, "", "a", "a: b: c", "- - - a", "{", "[", "&a [*a]", "<<: {}", "a: |\n", "a: >-\n  b\n c", "? a", "!!binary a", "---\n---\n", "%TAG ! a\n",
		"zones: [{id: mynumber, sign_in_acr: aal1}]", "lockout: {delays: [1s, 2s], hard_limit: 1}", "a: 'b", "a: \"\\x\"", "\ufeffa: 1", "zones:\n- id:\n", "networks: [{cidr: ::/0}]",
		"terminals: [{public_key: \"-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\"}]", "classes: [{class: 1, acr: {lgwan: aal1}}]", "a:\r\n  b: c\r\n",
	} {
		f.Add([]byte(seed))
		f.Add([]byte(least + seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, problems := Parse("policy.yaml", data)
		if (p == nil) == (len(problems) == 0) {
			t.Fatalf("policy %v and %d problems", p != nil, len(problems))
		}
		for _, problem := range problems {
			if problem.Line < 1 || problem.Column < 1 || problem.Rule.JA == "" || problem.Rule.EN == "" {
				t.Fatalf("a problem that does not say where or what: %+v", problem)
			}
			if problem.Article != "" && !ValidArticle(problem.Article) {
				t.Fatalf("article %q", problem.Article)
			}
			if utf8.Valid(data) && !utf8.ValidString(problem.Text("ja")) {
				t.Fatalf("not text: %q", problem.Text("ja"))
			}
		}
		if p == nil {
			return
		}
		if len(p.Zones) == 0 || len(p.Posts) != len(PostIDs()) || len(p.Classes) != 4 || p.Lockout.HardLimit > 100 {
			t.Fatalf("a policy that nobody should obey: %+v", p)
		}
		if z, ok := p.Zone(MyNumber); ok && !z.SignInACR.AtLeast(AAL2) {
			if _, ok := p.Deviates(DeviationDedicatedTerminals); !ok {
				t.Fatal("one factor for mynumber without a deviation")
			}
		}
		for _, a := range p.Applications {
			if p.RequiredACR(a) == "" || (a.Zone == MyNumber && !p.RequiredACR(a).AtLeast(AAL2)) {
				t.Fatalf("%+v", a)
			}
		}
		if again, _ := Parse("policy.yaml", data); len(Diff(p, again)) != 0 {
			t.Fatal("the same file is two policies")
		}
	})
}
