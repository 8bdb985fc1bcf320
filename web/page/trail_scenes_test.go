package page

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/inquiry"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/audit/proof"
)

// The real room fits.
var _ Trail = (*inquiry.Room)(nil)

// A ledger is the trail as a test tells it to be. What may be asked is the real rule's.
type ledger struct {
	records []audit.Record // the newest first
	next    int64
	sight   audit.Sight
	err     error
	asked   []inquiry.Question
	looked  []string
}

func (l *ledger) Search(_ context.Context, _ signin.Origin, _ string, q inquiry.Question) (inquiry.Found, error) {
	if l.err != nil {
		return inquiry.Found{}, l.err
	}
	if wrong := q.Check(); len(wrong) > 0 {
		return inquiry.Found{}, &inquiry.Refusal{Faults: wrong}
	}
	l.asked = append(l.asked, q)
	return inquiry.Found{Records: l.records, Next: l.next}, nil
}

func (l *ledger) Look(_ context.Context, _ signin.Origin, _ string, index int64, serves string) (audit.Sight, error) {
	l.looked = append(l.looked, serves)
	if l.err == nil && index > l.sight.Last {
		return audit.Sight{}, audit.ErrNoEntry
	}
	s := l.sight
	s.Index = index
	return s, l.err
}

// atTrail is an auditor before a trail on which strangers have written.
func atTrail(w *world) *world {
	w.signedIn("auditor")
	entries := []audit.Entry{
		{Actor: "tanaka", Action: "lease.activated", Object: "9b1c2f4e-7d3a-4c55-8a1e-0f2b6d7c8e90", Outcome: audit.OK, Articles: []policy.Article{"62-6", "62-7", "65"}},
		{Actor: "unknown", Action: "sign_in.password", Object: `<script>alert(1)</script>"'`, Outcome: audit.Refused, Reason: "=cmd|'/C calc'!A0", Articles: []policy.Article{"62-1"}},
		{Actor: "sato\u202egnp.exe", Action: "of.another_version", Outcome: audit.Failed},
	}
	w.trail.records, w.trail.next = nil, 3
	for i, e := range entries {
		e.Time = t0.Add(-time.Duration(i) * time.Second)
		w.trail.records = append(w.trail.records, audit.Record{Index: int64(7 - i), Entry: e})
	}
	e := entries[1]
	e.Time, e.From, e.Zone, e.Terminal, e.RequestID, e.Case = t0, "10.2.0.7", "lgwan", "madoguchi-1", "01JABCDEFGHJKMNPQRSTVWXYZ0", "2026-7"
	e.Detail = map[string]string{"login": "<b>x</b>\n二行目", "user_agent": agent}
	data, err := json.Marshal(map[string]any{"time": "2026-04-01T00:05:00.000000Z", "actor": e.Actor, "action": e.Action, "object": e.Object, "detail": e.Detail})
	if err != nil {
		panic(err)
	}
	w.trail.sight = audit.Sight{
		Record: audit.Record{Index: 6, Hash: tlog.RecordHash(data), Data: data, Entry: e}, Readable: true, Fits: true, Last: 9, Covers: 8, SignedAt: t0.Add(time.Second),
		Checkpoint: "gate.example/trail\n8\nJ7nTmbx9Uy0k1m5E5vW0o9Q1D7q4GkQy3tq0m8hX9bA=\n\n— gate.example/trail 4vDq8z9P1n3c0Zf6yVhYbJmUu4pXo2kL8rWmD1a7nQ==\n",
	}
	return w
}

func init() {
	for _, name := range []string{"trail-person", "trail-nothing-more"} {
		alike[name] = true
	}
	scenes = append(scenes, []scene{
		{"trail", 200, func(w *world) *answer { return atTrail(w).get("/trail") }},
		{"trail-found", 200, func(w *world) *answer {
			return atTrail(w).get("/trail?from=2026-03-01&from_at=09%3A30&to=2026-04-01&action=sign_in.&outcome=refused&article=62-1")
		}},
		{"trail-person", 200, func(w *world) *answer { return atTrail(w).get("/trail?actor=tanaka&case=2026-7&after=9") }},
		{"trail-none", 200, func(w *world) *answer {
			atTrail(w).trail.records, w.trail.next = nil, 0
			return w.get("/trail?action=no.longer")
		}},
		{"trail-nothing-more", 200, func(w *world) *answer {
			atTrail(w).trail.records, w.trail.next = nil, 0
			return w.get("/trail?action=lease.asked&after=5")
		}},
		{"trail-wrong", 422, func(w *world) *answer {
			return atTrail(w).get("/trail?from=yesterday&to=2026-02-30&to_at=noon&actor=tanaka&article=999&outcome=good&action=x%0A")
		}},
		{"trail-forbidden", 403, func(w *world) *answer { return w.signedIn("cio").get("/trail") }},
		{"trail-entry", 200, func(w *world) *answer { return atTrail(w).get("/trail/6?case=2026-7") }},
		{"trail-entry-changed", 200, func(w *world) *answer {
			s := &atTrail(w).trail.sight
			s.Fits, s.Readable, s.Checkpoint, s.Data = false, false, "", []byte("<b>\x1b[2Jno entry\xff")
			return w.get("/trail/9")
		}},
		{"trail-entry-gone", 404, func(w *world) *answer { return atTrail(w).get("/trail/10") }},
	}...)
}

// TestTrailSearch: what the form asks goes to the room as it means, and comes back in the
// form and in every link; each entry leads to its own page with the case.
func TestTrailSearch(t *testing.T) {
	w := atTrail(newWorld(t))
	a := w.get("/trail?from=2026-03-01&from_at=09%3A30&to=2026-03-31&actor=+tanaka+&case=2026-7&action=lease.&article=62-7&outcome=ok&lang=ja").is(200)
	want := inquiry.Question{
		From: time.Date(2026, 3, 1, 0, 30, 0, 0, time.UTC), To: time.Date(2026, 3, 31, 15, 0, 0, 0, time.UTC),
		Actor: "tanaka", Case: "2026-7", Action: "lease.", Article: "62-7", Outcome: "ok", Limit: trailShown,
	}
	if got := w.trail.asked[0]; got.Wrong != nil || got.From != want.From || got.To != want.To || got.Actor != want.Actor || got.Case != want.Case || got.Action != want.Action || got.Article != want.Article || got.Outcome != want.Outcome || got.Limit != want.Limit {
		t.Errorf("asked %+v", got)
	}
	a.says(`value="2026-03-01"`, `value="09:30"`, `value="2026-7"`, `<option value="lease." selected>`, `<option value="ok" selected>`, `value="62-7"`,
		`href="/trail/7?case=2026-7"`, `after=3&amp;article=62-7&amp;case=2026-7&amp;from=2026-03-01`, "特権の貸出しが始まった", "<code>lease.<wbr>activated</code>", "2026年4月1日 09:05:00 日本時間",
		`href="/reports/evidence?article=62-7#entries"`, `lang=en&amp;action=lease.`)
	if first := w.get("/trail?actor=tanaka&case=1&after=9").is(200); !strings.Contains(first.body, `href="/trail?actor=tanaka&amp;case=1"`) || w.trail.asked[1].After != 9 {
		t.Errorf("a further page: %+v", w.trail.asked[1])
	}
	// Every act that there is can be chosen, and one that there is no more is kept.
	for _, n := range inquiry.Nouns() {
		for _, action := range n.Actions {
			if !strings.Contains(a.body, `<option value="`+action+`"`) {
				t.Errorf("%s cannot be chosen", action)
			}
		}
	}
	// An entry that somebody has broken in the store hides none beside it.
	w.trail.records = append(w.trail.records, audit.Record{Index: 2, Data: []byte("<b>"), Broken: true})
	w.get("/trail?from=2026-03-01&lang=ja").is(200).says("読めません", `href="/trail/2"`, "<code>lease.<wbr>activated</code>").keepsSilentOn("<b>", "<code></code>", "0001", "1年1月1日")
	w.get("/trail?action=no.longer").is(200).says(`<option value="no.longer" selected>`)
	// The bare page looks for nothing.
	asked := len(w.trail.asked)
	if w.get("/trail").is(200).keepsSilentOn("lease.<wbr>activated"); len(w.trail.asked) != asked {
		t.Error("the empty form searches")
	}
	if w.get("/trail?from=&to=&actor=").is(200); len(w.trail.asked) != asked+1 {
		t.Error("a form that restricts nothing does not search")
	}
	for _, path := range []string{"/trail?actor=a&case=1&after=x", "/trail?from=&after=-1", "/trail?from=&after=0"} {
		w.get(path).is(404)
	}
}

// TestTrailSaysWhatIsWrong: in the reader's language, beside the field, with what was typed.
func TestTrailSaysWhatIsWrong(t *testing.T) {
	for query, field := range map[string]string{
		"from=yesterday": "from", "from=2026-02-30": "from", "from=&from_at=09:00": "from", "to=2026-04-01&to_at=25:00": "to", "to=%3Cb%3E": "to", "from=2026-04-02&to=2026-04-01": "from",
		"actor=tanaka": "case", "actor=tanaka&case=+": "case", "actor=a%0Ab&case=1": "actor", "actor=a%E2%80%AEb&case=1": "actor", "actor=%FF&case=1": "actor", "actor=" + strings.Repeat("a", 300) + "&case=1": "actor",
		"article=999": "article", "outcome=good": "outcome", "action=a%00b": "action", "case=%1B": "case",
	} {
		for _, lang := range languages {
			w := atTrail(newWorld(t))
			w.lang = lang
			a := w.get("/trail?"+query).is(422).says(`href="#`+field+`"`, `id="`+field+`-wrong-0"`).keepsSilentOn("<b>", "lease.<wbr>activated")
			if len(w.trail.asked) > 0 {
				t.Errorf("%s is asked: %+v", query, w.trail.asked)
			}
			if query == "from=yesterday" {
				a.says(`type="text" value="yesterday"`)
			}
		}
	}
}

func TestMomentOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		day, clock string
		last       bool
		want       string // "" for the zero time, "-" for none
	}{
		{"", "", false, ""}, {" ", " ", true, ""}, {"", "09:00", false, "-"},
		{"2026-04-01", "", false, "2026-03-31T15:00:00Z"}, {"2026-04-01", "", true, "2026-04-01T15:00:00Z"},
		{"2026-04-01", "09:30", false, "2026-04-01T00:30:00Z"}, {"2026-04-01", "09:30", true, "2026-04-01T00:31:00Z"},
		{"2026-12-31", "23:59", true, "2026-12-31T15:00:00Z"},
		{"2026-04-01T09:30:00.5+09:00", "", true, "2026-04-01T00:30:00.5Z"}, {"2026-04-01T00:30:00Z", "09:00", false, "-"},
		{"2026-02-29", "", false, "-"}, {"1 April", "", false, "-"}, {"2026-04-01", "24:00", false, "-"}, {"2026-04-01'--", "", false, "-"},
	} {
		got, ok := momentOf(tt.day, tt.clock, tt.last)
		says := "-"
		if ok && got.IsZero() {
			says = ""
		} else if ok {
			says = got.Format(time.RFC3339Nano)
		}
		if says != tt.want {
			t.Errorf("momentOf(%q, %q, %t) = %s, want %s", tt.day, tt.clock, tt.last, says, tt.want)
		}
	}
}

// TestTrailEntry: an entry is shown whole, with its bytes as they are exported, what covers
// it, its neighbours with the same case, and how its line is found.
func TestTrailEntry(t *testing.T) {
	w := atTrail(newWorld(t))
	a := w.get("/trail/6?case=2026-7").is(200).says(`href="/trail/5?case=2026-7"`, `href="/trail/7?case=2026-7"`, w.trail.sight.Hash.String(), "8件", "10.2.0.7", "LGWAN", "2026-7", "第62条第1項", "サインイン（パスワード）",
		"lang=en&amp;case=2026-7")
	page := parse(t, a.body)
	var texts []string
	for _, e := range page.all("code") {
		texts = append(texts, e.text)
	}
	if !slices.Contains(texts, string(w.trail.sight.Data)) || !slices.Contains(texts, strings.TrimSuffix(w.trail.sight.Checkpoint, "\n")) && !slices.Contains(texts, w.trail.sight.Checkpoint) {
		t.Errorf("neither its bytes nor its checkpoint are there: %q", texts)
	}
	line, begin := string(proof.AppendEntry(nil, 6, w.trail.sight.Hash, w.trail.sight.Data)), ""
	for _, s := range texts {
		if after, ok := strings.CutPrefix(s, "grep '^"); ok {
			begin, _, _ = strings.Cut(after, "'")
		}
	}
	if begin == "" || !strings.HasPrefix(line, begin) {
		t.Errorf("what is looked for, %q, does not find %q", begin, line)
	}
	if w.get("/trail/0").is(200).keepsSilentOn("/trail/-1", "?case="); w.trail.looked[1] != "" {
		t.Error("a case comes from nowhere")
	}
	w.get("/trail/9").is(200).keepsSilentOn(`href="/trail/10"`)
	for _, path := range []string{"/trail/10", "/trail/-1", "/trail/+6", "/trail/06", "/trail/x", "/trail/6.0", "/trail/99999999999999999999"} {
		if path == "/trail/-1" {
			w.trail.err = audit.ErrNoEntry
		}
		w.get(path).is(404)
		w.trail.err = nil
	}
	s := &w.trail.sight
	s.Fits = false
	w.get("/trail/6").is(200).says("書き換えられています", `role="alert"`)
}

// TestStrangersOnTheTrail: a login is whatever somebody typed at the sign-in. Nothing of it
// is markup, and no sign that nobody sees misleads the reader.
func TestStrangersOnTheTrail(t *testing.T) {
	w := atTrail(newWorld(t))
	w.get("/trail?from=").is(200).says("&lt;script&gt;", `sato\u202egnp.exe`).keepsSilentOn("<script>alert", "\u202e")
	w.get("/trail/6").is(200).says("&lt;script&gt;", "&lt;b&gt;x").keepsSilentOn("<script>alert", "<b>x")
	w.trail.sight.Data, w.trail.sight.Readable = []byte("<i>\x1b\u202e"), false
	w.get("/trail/6").is(200).says(`&lt;i&gt;\u001b\u202e`).keepsSilentOn("<i>", "\u202e")
	w.get("/trail?actor=%22%3E%3Cscript%3E&case=1").is(200).keepsSilentOn(`"><script>`)
}

// TestTrailIsShut: the trail is the auditors' alone. Nobody else is shown the form, or
// where it is; and what the room refuses is not shown.
func TestTrailIsShut(t *testing.T) {
	for _, posts := range [][]string{nil, {"system_administrator"}, {"system_operator"}, {"security_manager"}, {"security_officer"}, {"cio"}, {"csirt"}, {"cio", "csirt"}} {
		w := atTrail(newWorld(t)).signedIn(posts...)
		w.trail.err = inquiry.May(w.policy, nil)
		for _, path := range []string{"/trail", "/trail?from=2026-04-01", "/trail?actor=sato&case=1", "/trail/6"} {
			w.get(path).is(403).keepsSilentOn("tanaka</bdi>", "lease.<wbr>activated", "10.2.0.7", `name="actor"`)
		}
		for _, path := range []string{"/me", "/leases", "/reports"} {
			if a := w.get(path); strings.Contains(a.body, `href="/trail"`) {
				t.Errorf("%v are shown the way at %s", posts, path)
			}
		}
	}
	w := atTrail(newWorld(t))
	for _, path := range []string{"/me", "/leases", "/reports"} {
		w.get(path).is(200).says(`href="/trail"`)
	}
	w.cookie = ""
	w.get("/trail").leadsTo("/signin?rd=%2Ftrail&why=sign_in")
	w.get("/trail/6?case=1").leadsTo("/signin?rd=%2Ftrail%2F6&why=sign_in")
	w = atTrail(newWorld(t))
	w.trail.err = &account.StepUp{Required: policy.AAL2, MaxAge: time.Hour}
	w.get("/trail?actor=sato&case=1").leadsTo("/signin?acr=aal2&max_age=3600&rd=%2Ftrail%3Factor%3Dsato%26case%3D1")
	w.get("/trail/6?case=1").leadsTo("/signin?acr=aal2&max_age=3600&rd=%2Ftrail%2F6%3Fcase%3D1")
	w.trail.err = session.ErrNone // locked, suspended or ended since
	w.get("/trail?from=").leadsTo("/signin?why=ended")
	w.get("/trail/6").leadsTo("/signin?why=ended")
	w.trail.err = errors.New("the trail is away")
	for _, path := range []string{"/trail?from=", "/trail/6"} {
		w.get(path).is(500).keepsSilentOn("lease.<wbr>activated", "10.2.0.7")
	}
	w.get("/trail").is(200) // the form asks nobody
	h := &house{}
	if got := h.evidenceOf("62-7"); got != "" {
		t.Errorf("evidence where there are no reports: %q", got)
	}
}
