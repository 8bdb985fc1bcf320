package inquiry

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sekisho/policy"
	"sekisho/policy/audit"
)

// longest is how long each text of a search may be, in bytes.
const longest = 256

// A Question is what somebody looks for. Zero fields do not restrict.
type Question struct {
	From, To time.Time // From ≤ time < To
	Actor    string
	Action   string // the whole of it, or what it begins with, ending in a dot
	Article  string
	Outcome  string
	// Case is what a search by person serves. Where no person is named, the entries of
	// that case are looked for.
	Case  string
	Limit int   // of entries
	After int64 // the number of the last entry of the page before; 0 for the first page
	// Wrong is what the asker wrote and could not be read. It is said with what else is
	// wrong, to whoever may ask at all and to nobody else.
	Wrong []Fault
}

// A Fault is one field of a question that must be mended.
type Fault struct {
	Field, Rule string
	Says        policy.Words
}

// fields are those of a question, in the order in which they are asked for.
var fields = []string{"from", "to", "actor", "action", "article", "outcome", "case", "limit", "after"}

// Check says what is wrong with a question, in the order of its fields; nothing: it may be
// asked. It is pure.
func (q Question) Check() []Fault {
	wrong := slices.Clone(q.Wrong)
	add := func(field, rule, ja, en string) {
		if !slices.ContainsFunc(wrong, func(f Fault) bool { return f.Field == field }) {
			wrong = append(wrong, Fault{field, rule, policy.Words{JA: ja, EN: en}})
		}
	}
	for _, text := range []struct{ field, value string }{{"actor", q.Actor}, {"action", q.Action}, {"article", q.Article}, {"outcome", q.Outcome}, {"case", q.Case}} {
		switch {
		case len(text.value) > longest:
			add(text.field, "too_long", "長すぎます。", "This is too long.")
		case !plain(text.value):
			// No entry is found by it that could not be found otherwise, one of the
			// databases refuses it, and it would go on the trail with the search.
			add(text.field, "characters", "使えない文字（改行や、画面に見えない文字）が含まれています。", "It holds characters that cannot be used here, such as line breaks or signs that nobody sees.")
		}
	}
	if q.Article != "" && !policy.ValidArticle(policy.Article(q.Article)) {
		add("article", "unknown", "この条はありません。62 や 62-7、79-3(13) のように書いてください。", "There is no such article. Write it as 62, 62-7 or 79-3(13).")
	}
	if !slices.Contains([]string{"", audit.OK, audit.Refused, audit.Failed}, q.Outcome) {
		add("outcome", "unknown", "結果は ok、refused、failed のどれかです。", "An outcome is ok, refused or failed.")
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		add("from", "order", "始まりを、終わりより前にしてください。", "The beginning must come before the end.")
	}
	if q.Actor != "" && strings.TrimSpace(q.Case) == "" {
		add("case", "required", "人を指定して検索するときは、事案の番号が必要です。", "A search by person names the case it serves.")
	}
	slices.SortStableFunc(wrong, func(a, b Fault) int {
		return cmp.Compare(slices.Index(fields, a.Field), slices.Index(fields, b.Field))
	})
	return wrong
}

// plain reports whether a text is what people write in one line.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
	})
}

// filter is the question as the trail is asked it. With an actor the case says what the
// search is for; without one it is what is looked for.
func (q Question) filter() audit.Filter {
	f := audit.Filter{
		From: q.From, To: q.To, Actor: q.Actor, Action: q.Action, Article: q.Article, Outcome: q.Outcome, Limit: q.Limit, After: q.After,
	}
	if q.Actor == "" {
		f.Case = q.Case
	}
	return f
}

// detail is the question as it goes on the trail.
func (q Question) detail() map[string]string {
	out := map[string]string{}
	put := func(key, value string) {
		if value != "" {
			out[key] = value
		}
	}
	moment := func(key string, t time.Time) {
		if !t.IsZero() {
			out[key] = t.UTC().Format(time.RFC3339Nano)
		}
	}
	moment("from", q.From)
	moment("to", q.To)
	put("actor", q.Actor)
	put("action", q.Action)
	put("article", q.Article)
	put("outcome", q.Outcome)
	put("limit", strconv.Itoa(q.Limit))
	if q.After > 0 {
		put("after", strconv.FormatInt(q.After, 10))
	}
	return out
}
