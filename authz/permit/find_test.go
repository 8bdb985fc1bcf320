package permit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/policy/store"
)

// fits is what a filter means, said without a database: what the conditions in SQL are
// held to.
func fits(p *policy.Policy, f Filter, now time.Time, m Permit) bool {
	k, _ := p.Permit(m.Kind)
	state, due := m.State(now), m.ReviewDue(k, now)
	text := strings.ToLower(strings.Join([]string{m.Person.Name, m.Person.Login, m.Requester.Name, m.Requester.Login, m.Stated.One("company"), m.Reason}, "\n"))
	switch {
	case f.Kind != "" && m.Kind != f.Kind, f.State != "" && state != f.State, f.Unused && !m.UsedAt.IsZero(), f.Review && (due.IsZero() || due.After(now)),
		f.Soon && (state != Approved || k.RenewDays == 0 || now.Before(m.Until.AddDate(0, 0, -k.RenewDays))), f.Owed && !m.Owes(k, now), f.Over && state.Open(),
		!f.Ends.IsZero() && m.Until.After(f.Ends), f.Section != "" && m.Person.Section != f.Section && !p.InSection(m.Person.Section, []string{f.Section}),
		f.Application != "" && !slices.Contains(slices.Concat(m.Stated["applications"], m.Stated["application"]), f.Application):
		return false
	}
	return !slices.ContainsFunc(f.Words, func(w string) bool { return !strings.Contains(text, strings.ToLower(w)) })
}

// TestFind: whatever there is and whatever is asked for, the database lists and counts
// what the rules say, page by page, at any time.
func TestFind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := rand.New(rand.NewPCG(7, 7))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	at := func(days int) time.Time { return t0.AddDate(0, 0, r.IntN(2*days)-days) }
	var all []Permit
	w.must(w.DB.WithTx(t.Context(), func(tx *store.Tx) error {
		all = nil
		for i := range 300 {
			person := Ref{ID: "id-tanaka", Login: "tanaka", Name: pick("田中", "100%の人", "Ｔanaka_B"), Section: pick("jinji", "zaisei", "soumu", "joho", "gone")}
			m := Permit{
				ID: fmt.Sprintf("m%03d", i), Kind: pick(policy.PermitRemote, policy.PermitCrossing, policy.PermitPrivateTerminal, "dispose", "provide"), Person: person,
				Requester: Ref{ID: "id-endo", Login: "endo", Name: "遠藤"}, Reason: pick("在宅", "ABC", `a\b`, "50% off", "under_score"),
				Stated: Stated{"applications": []string{"bunsho", "zaimu"}[:r.IntN(3)], "company": {pick("例システム", "other")}}, AskedAt: t0.AddDate(0, 0, -r.IntN(5)), From: at(100), LapsesAt: at(20),
				state: States()[r.IntN(len(States()))], version: 1,
			}
			m.Until = m.From.AddDate(0, 0, 1+r.IntN(200))
			if m.Kind == policy.PermitCrossing {
				m.Stated = Stated{"application": {pick("juki", "ju")}}
			}
			if m.state != Pending && m.state != Denied && m.state != Cancelled && m.state != Lapsed {
				m.DecidedAt = m.From.AddDate(0, 0, -r.IntN(10))
				if r.IntN(3) == 0 {
					m.ReviewedAt = m.DecidedAt.AddDate(0, 0, r.IntN(100))
				}
				if r.IntN(3) == 0 {
					m.Done = Done{At: m.DecidedAt, By: "x", What: "y", Wrote: m.DecidedAt}
				}
			}
			if err := insert(t.Context(), tx, m, time.Time{}, t0); err != nil {
				return err
			}
			if r.IntN(2) == 0 {
				m.UsedAt = t0
				if err := w.used(t.Context(), tx, m.ID, t0, "198.51.100.7"); err != nil {
					return err
				}
			}
			all = append(all, m)
		}
		return nil
	}))
	slices.SortFunc(all, func(a, b Permit) int {
		if c := b.AskedAt.Compare(a.AskedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	filters := []Filter{
		{}, {Kind: policy.PermitRemote}, {Unused: true, State: Approved}, {Review: true}, {Soon: true}, {Owed: true}, {Over: true}, {Ends: t0}, {Section: "soumu"}, {Section: "gone"}, {Section: "nowhere"},
		{Application: "bunsho"}, {Application: "ju"}, {Application: "%"}, {Words: []string{"在宅"}}, {Words: []string{"abc", "ＴANAKA"}}, {Words: []string{"%"}}, {Words: []string{"_"}}, {Words: []string{`\`}},
		{Words: []string{"例シ"}}, {Kind: policy.PermitRemote, State: Approved, Section: "soumu", Application: "zaimu", Words: []string{"tanaka"}},
	}
	for _, s := range States() {
		filters = append(filters, Filter{State: s})
	}
	by := w.as("cho")
	hits := 0
	for _, days := range []int{0, 40, 120} {
		w.clock.Advance(t0.AddDate(0, 0, days).Add(time.Hour).Sub(w.clock.Now()))
		now := w.clock.Now()
		by.AuthAt = now
		for _, f := range filters {
			var want, got []string
			for _, m := range all {
				if fits(w.policy, f, now, m) {
					want = append(want, m.ID)
				}
			}
			hits += len(want)
			f.Limit = 7 + r.IntN(200)
			for {
				page, next, err := w.List(t.Context(), by, f)
				w.must(err)
				for _, m := range page {
					got = append(got, m.ID)
				}
				if len(page) > f.Limit {
					t.Fatalf("%d on a page of %d", len(page), f.Limit)
				}
				if f.After = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("after %d days, %+v lists %d, want %d", days, f, len(got), len(want))
			}
		}
		counts, err := w.Count(t.Context(), by, "")
		w.must(err)
		for kind, got := range counts {
			count := func(f Filter) (n int) {
				f.Kind = kind
				for _, m := range all {
					if fits(w.policy, f, now, m) {
						n++
					}
				}
				return n
			}
			want := Count{count(Filter{State: Approved}), count(Filter{Soon: true}), count(Filter{State: Approved, Unused: true}), count(Filter{State: Pending}), count(Filter{Review: true}), count(Filter{Owed: true})}
			if got != want {
				t.Errorf("after %d days, of %s: %+v, want %+v", days, kind, got, want)
			}
		}
	}
	if hits < 2000 {
		t.Errorf("the filters found %d in all: too few to show anything", hits)
	}
	// Whoever holds no post that looks at others' finds their own.
	if mine, _, err := w.List(t.Context(), w.as("mori"), Filter{}); err != nil || len(mine) != 0 {
		t.Errorf("a stranger is shown %d, %v", len(mine), err)
	}
	if counts, err := w.Count(t.Context(), w.as("mori"), ""); err != nil || len(counts) != 0 {
		t.Errorf("a stranger counts %v, %v", counts, err)
	}
	w.policy = rules() // a policy without these kinds finds nothing due, and does not fail
	w.policy.Permits = nil
	if found, _, err := w.List(t.Context(), by, Filter{Review: true}); err != nil || len(found) != 0 {
		t.Errorf("of no kinds, %d are due, %v", len(found), err)
	}
}

// TestListedByTheVersionBefore: what a gateway that knows nothing of the columns of lists
// has written beside this one is found like any other, soon.
func TestListedByTheVersionBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	given := w.given("tanaka", remote(), "cho")
	waits := w.asks("mori", remote())
	w.must(w.DB.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE permit SET section = '', applications = '', words = '', lapses_at = 0, decided_at = 0, looked_at = 0`)
		return err
	}))
	finds := func(want ...string) {
		t.Helper()
		for i, f := range []Filter{{State: Approved, Section: "jinji", Application: "bunsho", Words: []string{"tanaka"}}, {State: Pending, Section: "zaisei"}} {
			var got []string
			found, _, err := w.List(t.Context(), w.as("cho"), f)
			w.must(err)
			for _, m := range found {
				got = append(got, m.ID)
			}
			if fmt.Sprint(got) != "["+want[i]+"]" {
				t.Errorf("%+v finds %v, want %s", f, got, want[i])
			}
		}
	}
	finds("", "")
	w.must(w.relist(t.Context()))
	finds(given.ID, waits.ID)
	if n := w.count(`SELECT COUNT(*) FROM permit WHERE decided_at = looked_at AND (state = 'approved') = (decided_at > 0)`); n != 2 {
		t.Errorf("%d say when they were decided", n)
	}
}

// TestUses: each day of Japan keeps when a permit was first and last used, in whatever
// order gateways tell of it.
func TestUses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.given("tanaka", remote(), "cho")
	write := func(id string, at time.Time, from string) {
		t.Helper()
		w.must(w.DB.WithTx(t.Context(), func(tx *store.Tx) error { return w.used(t.Context(), tx, id, at, from) }))
	}
	evening := time.Date(2026, 11, 26, 14, 59, 0, 0, time.UTC) // 23:59 in Japan
	write(m.ID, evening, "a")
	write(m.ID, evening.Add(-2*time.Hour), "b") // another gateway, later
	write(m.ID, evening.Add(-time.Hour), "c")
	write(m.ID, evening.Add(time.Minute), "d") // the next day
	write("no-such", evening, "e")
	uses, err := w.Uses(t.Context(), m.ID, 10)
	w.must(err)
	want := []Use{{"2026-11-27", evening.Add(time.Minute), evening.Add(time.Minute), "d"}, {"2026-11-26", evening.Add(-2 * time.Hour), evening, "a"}}
	if !slices.Equal(uses, want) {
		t.Errorf("%v, want %v", uses, want)
	}
	if n := w.count(`SELECT COUNT(*) FROM permit_use`); n != 2 {
		t.Errorf("%d days", n)
	}
	if uses, err := w.Uses(t.Context(), m.ID, 1); err != nil || len(uses) != 1 || uses[0].Day != "2026-11-27" {
		t.Errorf("the last alone: %v, %v", uses, err)
	}
	w.clock.Advance(evening.Add(usesKept + time.Second).Sub(w.clock.Now()))
	w.must(w.forget(t.Context()))
	if uses, err := w.Uses(t.Context(), m.ID, 10); err != nil || len(uses) != 1 {
		t.Errorf("long after: %v, %v", uses, err)
	}
}
