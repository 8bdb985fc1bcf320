package permit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// why is the reason or the rules for which something was refused.
func why(err error) string {
	var no *Refused
	var bad *Invalid
	var matter *approval.Refused
	var up *approval.StepUp
	switch {
	case err == nil:
		return ""
	case errors.As(err, &no):
		return string(no.Reason)
	case errors.As(err, &matter):
		return "matter:" + string(matter.Verdict.Reason)
	case errors.As(err, &up):
		return "step_up"
	case errors.As(err, &bad):
		var out []string
		for _, f := range bad.Faults {
			out = append(out, f.Field+"/"+f.Rule)
		}
		return strings.Join(out, " ")
	}
	return err.Error()
}

// TestOversight: whoever decides permits of a section takes them away and has them
// reviewed there, and nowhere else; the CIO and the CSIRT anywhere. Nobody reviews what
// is theirs, what they asked for, or what they decided, by whichever ID.
func TestOversight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.office.People["zen"] // endo's second ID, and a post of the CSIRT
	second.ID, second.Login, second.Number, second.Groups = "id-endo2", "endo2", "endo", []string{"cn=csirt,ou=groups"}
	w.office.People["endo2"] = second
	m := w.given("tanaka", privately(), "endo") // of jinji
	for _, tt := range []struct{ login, revoke, review string }{
		{"endo", "", "decided"}, {"endo2", "", "decided"}, {"eto", "no_post", "no_post"}, {"zen", "no_post", "no_post"}, {"ono", "", ""}, {"oda", "no_post", "no_post"},
		{"cho", "", ""}, {"sasa", "", ""}, {"kan", "reads_only", "reads_only"}, {"sato", "no_post", "no_post"}, {"mori", "no_post", "no_post"},
	} {
		p := w.office.People[tt.login]
		by := approval.Holder{Person: p, Posts: w.policy.PostsOf(p.Groups)}
		k := kindOf(t, m.Kind)
		if got := why(MayRevoke(w.policy, k, m, by, w.clock.Now())); got != tt.revoke {
			t.Errorf("%s takes it away: %q, want %q", tt.login, got, tt.revoke)
		}
		if got := why(MayReview(w.policy, k, m, m.Deciders, by, w.clock.Now())); got != tt.review {
			t.Errorf("%s reviews it: %q, want %q", tt.login, got, tt.review)
		}
	}
	own := Permit{Kind: m.Kind, Person: approval.Ref(w.office.People["endo"]), Requester: approval.Ref(w.office.People["ono"])}
	for _, login := range []string{"endo", "endo2", "ono"} {
		p := w.office.People[login]
		if got := why(MayReview(w.policy, kindOf(t, m.Kind), own, nil, approval.Holder{Person: p, Posts: w.policy.PostsOf(p.Groups)}, t0)); got != "not_theirs" {
			t.Errorf("%s reviews their own, or what they asked for: %q", login, got)
		}
	}
	// The acts ask the same.
	review := func(login, id string) string {
		_, err := w.Review(t.Context(), w.as(login), id, "")
		return why(err)
	}
	for login, want := range map[string]string{"eto": ErrNotFound.Error(), "endo": "decided", "endo2": "decided", "tanaka": "no_post"} {
		if got := review(login, m.ID); got != want {
			t.Errorf("%s reviews: %q, want %q", login, got, want)
		}
	}
	if _, err := w.Revoke(t.Context(), w.as("zen"), m.ID, "不要"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a manager of another section revokes: %v", err)
	}
	if _, err := w.Record(t.Context(), w.as("eto"), m.ID, Done{At: t0, By: "江藤", What: "x"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a manager of another section writes down what was done: %v", err)
	}
	if n, m := w.entries("permit.refused", `"no_post"`), w.entries("permit.refused", `"decided"`); n != 1 || m != 2 {
		t.Errorf("%d and %d entries about refusals", n, m)
	}
	// Those who may review are told when it is time, once; who decided it is not.
	w.past(90*24*time.Hour + time.Second)
	for range 2 {
		w.must(w.Tidy(t.Context()))
	}
	told := map[string]int{}
	for login := range w.office.People {
		told[login] = w.told(login, notice.PermitReview)
	}
	if fmt.Sprint(told) != "map[cho:1 choei:1 endo:0 endo2:0 eto:0 kan:0 mori:0 oda:0 ono:1 sasa:1 sato:0 tanaka:0 zen:0]" {
		t.Errorf("told: %v", told)
	}
	if got := review("sasa", m.ID); got != "" {
		t.Errorf("the CSIRT reviews: %q", got)
	}
	if got, err := w.Revoke(t.Context(), w.as("endo"), m.ID, "不要"); err != nil || got.State(w.clock.Now()) != Revoked {
		t.Errorf("the manager of the section revokes: %v, %v", got.State(w.clock.Now()), err)
	}
}

// TestFollows: a permit follows one of the same kind and person that is in force or
// ended lately, and no other.
func TestFollows(t *testing.T) {
	t.Parallel()
	tanaka := Ref{ID: "id-tanaka", Login: "tanaka", Name: "田中", Number: "tanaka"}
	at := func(d int) time.Time { return t0.AddDate(0, 0, d) }
	was := func(state State, change func(*Permit)) Permit {
		m := Permit{ID: "m", Kind: policy.PermitRemote, Person: tanaka, From: at(-300), Until: at(30), DecidedAt: at(-300), LapsesAt: at(-290), state: state}
		if change != nil {
			change(&m)
		}
		return m
	}
	for name, tt := range map[string]struct {
		before Permit
		want   bool
	}{
		"none":                      {Permit{}, false},
		"in force":                  {was(Approved, nil), true},
		"expired yesterday":         {was(Approved, func(m *Permit) { m.Until = at(-1) }), true},
		"expired 90 days ago":       {was(Expired, func(m *Permit) { m.Until = at(-90) }), false},
		"given back lately":         {was(Ended, func(m *Permit) { m.EndedAt = at(-89) }), true},
		"given back long ago":       {was(Ended, func(m *Permit) { m.EndedAt = at(-91) }), false},
		"taken away":                {was(Revoked, func(m *Permit) { m.EndedAt = at(-1) }), false},
		"denied":                    {was(Denied, nil), false},
		"waiting":                   {was(Pending, func(m *Permit) { m.LapsesAt = at(1) }), false},
		"another kind":              {was(Approved, func(m *Permit) { m.Kind = "dispose" }), false},
		"another's":                 {was(Approved, func(m *Permit) { m.Person = Ref{ID: "id-mori", Login: "mori", Number: "mori"} }), false},
		"the same person's, second": {was(Approved, func(m *Permit) { m.Person = Ref{ID: "id-tanaka2", Login: "tanaka2", Number: "tanaka"} }), true},
	} {
		if got := Follows(tt.before, policy.PermitRemote, tanaka, t0); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	w := newWorld(t)
	mine, others := w.given("tanaka", remote(), "cho"), w.given("mori", remote(), "cho")
	for id, want := range map[string]string{mine.ID: "", others.ID: "renews/other", "no-such": "renews/other"} {
		m, err := w.Ask(t.Context(), w.as("tanaka"), remote(func(w *Wish) { w.Renews = id }))
		if got := why(err); got != want || want == "" && m.Renews != id {
			t.Errorf("following %s: %q, want %q", id, got, want)
		}
	}
}

// TestAskTwice: a form sent twice is one permit, also where both come at once.
func TestAskTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by, wish := w.as("tanaka"), remote(func(w *Wish) { w.Key = "form x" })
	type answer struct {
		id  string
		err error
	}
	got := make(chan answer, 4)
	for range cap(got) {
		go func() {
			m, err := w.Ask(t.Context(), by, wish)
			got <- answer{m.ID, err}
		}()
	}
	ids := map[string]bool{}
	for range cap(got) {
		a := <-got
		w.must(a.err)
		ids[a.id] = true
	}
	if n := w.count(`SELECT COUNT(*) FROM permit`); n != 1 || len(ids) != 1 {
		t.Errorf("%d permits, ids %v", n, ids)
	}
}

// TestAFileTwice: what a file has asked for is asked for once, however often it is taken
// in; where a line cannot be taken, or decided by anybody, nothing is asked for.
func TestAFileTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	head := "person,reason,from,until,terminal,applications\n"
	line := func(login, reason string) string {
		return login + "," + reason + ",2026-11-27,2027-03-31,kashi-01,bunsho\n"
	}
	bring := func(login, text string) string {
		t.Helper()
		before := w.count(`SELECT COUNT(*) FROM permit`)
		lines, err := w.Import(t.Context(), w.as(login), policy.PermitRemote, strings.NewReader(text))
		var out []string
		for _, l := range lines {
			says := fmt.Sprint(l.Line)
			switch {
			case l.Err != nil:
				says += " " + why(l.Err)
			case l.Known:
				says += " known"
			}
			out = append(out, says)
		}
		if err != nil {
			out = append(out, why(err))
		}
		return fmt.Sprintf("%s: %d", strings.Join(out, ", "), w.count(`SELECT COUNT(*) FROM permit`)-before)
	}
	two := head + line("tanaka", "在宅") + line("mori", "在宅")
	for _, tt := range []struct{ name, login, text, want string }{
		{"two lines", "eto", two, "2, 3: 2"},
		{"the same file again", "eto", two, "2 known, 3 known: 0"},
		{"with a line more", "eto", two + line("mori", "出張"), "2 known, 3 known, 4: 1"},
		{"a line twice", "eto", head + line("tanaka", "災害") + line("tanaka", "災害"), "2, 3 known: 1"},
		{"another's file", "endo", two, "2, 3: 2"},
		{"a wrong line", "eto", head + line("tanaka", "新") + line("mori", ""), "2, 3 reason/required: 0"},
		{"two that are wrong", "eto", head + line("nobody", "新") + line("mori", ""), "2 person/unknown, 3 reason/required: 0"},
		{"an unknown column", "eto", "who,reason\n", "file/column: 0"},
		{"no CSV", "eto", head + line("tanaka", "新") + "\"\n", "file/csv: 0"},
	} {
		if got := bring(tt.login, tt.text); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	// A known line's time may have gone by since: it is known all the same.
	w.past(150 * 24 * time.Hour)
	if got := bring("eto", two); got != "2 known, 3 known: 0" {
		t.Errorf("long after: %s", got)
	}
	// Where nobody is left who could decide, the file is refused before anything is asked.
	for _, login := range []string{"cho", "choei", "ono", "oda"} {
		delete(w.office.People, login)
	}
	w.past(time.Minute) // who holds a post is remembered for a while
	if got := bring("eto", head+"tanaka,新,2027-04-26,2027-05-31,kashi-01,bunsho\n"); got != "2 matter:not_theirs: 0" {
		t.Errorf("without a CIO: %s", got)
	}
}

// TestDecideAllGrowsOld: what was decided before the sign-in grew old, or ended, stays
// decided and is told; the rest is answered with why not.
func TestDecideAllGrowsOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []string
	for _, reason := range []string{"一", "二", "三"} {
		ids = append(ids, w.asks("tanaka", remote(func(w *Wish) { w.Reason = reason })).ID)
	}
	by := w.as("cho")
	stop := &stopping{Matters: w.Matters, after: 1, err: &approval.StepUp{}}
	w.Matters = stop
	became, err := w.DecideAll(t.Context(), by, ids, true, "", nil)
	if err != nil || len(became) != 3 || became[0].Err != nil || became[0].Permit.State(t0) != Approved || why(became[1].Err) != "step_up" || why(became[2].Err) != "step_up" || stop.asked != 2 {
		t.Fatalf("%+v, %v; asked %d times", became, err, stop.asked)
	}
	if n := w.count(`SELECT COUNT(*) FROM permit WHERE state = 'approved'`); n != 1 {
		t.Errorf("%d are approved", n)
	}
	// Too old for the first, it decides none, and the way to sign in is answered.
	stop.after, stop.asked = 0, 0
	if became, err := w.DecideAll(t.Context(), by, ids[1:], true, "", nil); became != nil || why(err) != "step_up" || stop.asked != 1 {
		t.Errorf("%+v, %v", became, err)
	}
	stop.after, stop.asked, stop.err = 1, 0, session.ErrNone
	became, err = w.DecideAll(t.Context(), by, ids[1:], false, "不要", nil)
	if err != nil || len(became) != 2 || became[0].Err != nil || !errors.Is(became[1].Err, session.ErrNone) {
		t.Errorf("%+v, %v", became, err)
	}
}

// TestDecideAllUntilTheReaderIsGone: what was decided by then is among the outcomes.
func TestDecideAllUntilTheReaderIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := []string{w.asks("tanaka", remote()).ID, w.asks("mori", remote()).ID}
	by := w.as("cho")
	ctx, gone := context.WithCancel(t.Context())
	defer gone()
	w.Matters = leaving{w.Matters, gone}
	became, err := w.DecideAll(ctx, by, ids, true, "", nil)
	if err != nil || len(became) != 2 || became[1].Err == nil {
		t.Fatalf("%+v, %v", became, err)
	}
	if n := w.count(`SELECT COUNT(*) FROM permit WHERE state = 'approved'`); n != 1 {
		t.Errorf("%d are approved", n)
	}
}

// leaving is the engine with somebody who goes away once a decision is made.
type leaving struct {
	Matters
	gone func()
}

func (l leaving) DecideWith(ctx context.Context, by approval.Approver, id string, yes bool, comment string, confirmed []string) (approval.View, error) {
	v, err := l.Matters.DecideWith(ctx, by, id, yes, comment, confirmed)
	l.gone()
	return v, err
}

// TestTally: what is counted is what is in force, begins later or waits at that time.
func TestTally(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.given("tanaka", remote(), "cho")
	w.given("mori", remote(func(w *Wish) { w.From = "2026-12-01" }), "cho")
	w.given("tanaka", privately(), "endo")
	w.asks("mori", remote(func(w *Wish) { w.Until = "2026-11-28" }))
	counted := func() string {
		t.Helper()
		all, err := w.Tally(t.Context())
		w.must(err)
		return fmt.Sprint(all)
	}
	if got := counted(); got != "map[private_terminal:{1 0 0} remote_access:{1 1 1}]" {
		t.Errorf("counted %s", got)
	}
	w.past(7 * 24 * time.Hour) // what waited is over, what was to begin has
	if got := counted(); got != "map[private_terminal:{1 0 0} remote_access:{2 0 0}]" {
		t.Errorf("a week later: %s", got)
	}
	w.past(365 * 24 * time.Hour)
	if got := counted(); got != "map[]" {
		t.Errorf("a year later: %s", got)
	}
}

// stopping is the engine with a sign-in that grows old after so many decisions.
type stopping struct {
	Matters
	after, asked int
	err          error
}

func (s *stopping) DecideWith(ctx context.Context, by approval.Approver, id string, yes bool, comment string, confirmed []string) (approval.View, error) {
	if s.asked++; s.asked > s.after {
		return approval.View{}, s.err
	}
	return s.Matters.DecideWith(ctx, by, id, yes, comment, confirmed)
}

// TestEndAsked: who moved loses what they asked for before, in force or waiting, and
// keeps what they asked for since; what is the house's goes on.
func TestEndAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := func(w *Wish) { w.Stated = Stated{"terminal": {"kashi-01"}, "applications": {"juki"}} }
	before, waits := w.given("tanaka", remote(), "cho"), w.asks("tanaka", remote(other))
	colleague := w.given("sato", remote(), "cho")
	moved := w.clock.Now().Add(time.Hour)
	w.clock.Advance(time.Hour)
	since := w.given("tanaka", remote(other), "cho")
	var n int
	w.must(w.DB.WithTx(t.Context(), func(tx *store.Tx) (err error) {
		n, err = w.EndAsked(t.Context(), tx, "id-tanaka", moved, "oda", "handover over")
		return err
	}))
	if n != 2 {
		t.Errorf("%d ended", n)
	}
	for _, tt := range []struct {
		name string
		m    Permit
		want State
	}{{"asked before", before, Revoked}, {"waiting since before", waits, Cancelled}, {"asked since", since, Approved}, {"a colleague's", colleague, Approved}} {
		m, err := read(t.Context(), w.DB, tt.m.ID)
		if w.must(err); m.State(w.clock.Now()) != tt.want {
			t.Errorf("%s: %s", tt.name, m.State(w.clock.Now()))
		}
	}
}
