package permit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
)

var t0 = time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)

func kindOf(t testing.TB, id string) policy.PermitKind {
	t.Helper()
	k, ok := policy.Standard().Permit(id)
	if !ok {
		t.Fatalf("no kind %s", id)
	}
	return k
}

func rules() *policy.Policy {
	p := policy.Standard()
	p.Applications = []policy.Application{{ID: "bunsho", Zone: policy.LGWAN}, {ID: "juki", Zone: policy.MyNumber}}
	return p
}

// TestStates: a permit is over when its time is, whatever its row says, and lives at
// no other time (rule 2).
func TestStates(t *testing.T) {
	t.Parallel()
	at := func(h int) time.Time { return t0.Add(time.Duration(h) * time.Hour) }
	m := Permit{From: at(1), Until: at(10), LapsesAt: at(5)}
	for _, tt := range []struct {
		name string
		is   State
		at   time.Time
		want State
		live bool
	}{
		{"nothing", "", at(2), "", false},
		{"waiting", Pending, at(4), Pending, false},
		{"nobody decided", Pending, at(5), Lapsed, false},
		{"approved, not begun", Approved, at(0), Approved, false},
		{"its first instant", Approved, at(1), Approved, true},
		{"its last", Approved, at(10).Add(-1), Approved, true},
		{"its end", Approved, at(10), Expired, false},
		{"revoked", Revoked, at(2), Revoked, false},
		{"ended", Ended, at(2), Ended, false},
		{"denied", Denied, at(2), Denied, false},
	} {
		m.state = tt.is
		if got, live := m.State(tt.at), m.Live(tt.at); got != tt.want || live != tt.live {
			t.Errorf("%s: %q, live %t; want %q, %t", tt.name, got, live, tt.want, tt.live)
		}
	}
}

// TestTerm: from when and until when a permit may be, and what caps it.
func TestTerm(t *testing.T) {
	t.Parallel()
	fiscal := time.Date(2027, 3, 31, 15, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name        string
		from, until string
		room        func(*room)
		end         time.Time
		rule        string
	}{
		{"to the fiscal year's last day", "2026-11-27", "2027-03-31", nil, fiscal, ""},
		{"a day beyond", "2026-11-27", "2027-04-01", nil, time.Time{}, "too_late"},
		{"an instant beyond", "2026-11-27", "2027-03-31T15:00:01Z", nil, time.Time{}, "too_late"},
		{"next year's, asked for before", "2027-03-20", "2027-03-31", nil, fiscal, ""},
		{"next year's", "2027-03-20", "2028-03-31", nil, time.Time{}, "too_late"},
		{"too far ahead", "2027-04-01", "2028-03-31", nil, time.Time{}, "too_early"},
		{"begun long ago", "2026-10-01", "2026-12-31", nil, time.Time{}, "past"},
		{"begun today", "2026-11-26", "2026-12-31", nil, time.Date(2026, 12, 31, 15, 0, 0, 0, time.UTC), ""},
		{"the ID ends before", "2026-11-27", "2027-03-31", func(r *room) { r.whose.Account.ExpiresAt = t0.Add(48 * time.Hour) }, t0.Add(48 * time.Hour), ""},
		{"the terminal's own permit ends before", "2026-11-27", "2027-03-31", func(r *room) { r.cap = t0.Add(24 * time.Hour) }, time.Time{}, "terminal_end"},
		{"so many days", "2026-11-27", "2026-12-10", func(r *room) { r.k.LongestDays = 7 }, time.Time{}, "too_late"},
		{"so many days, to the end of the last", "2026-11-26", "2026-12-03", func(r *room) { r.k.LongestDays = 7 }, time.Date(2026, 12, 3, 15, 0, 0, 0, time.UTC), ""},
		{"so many days and one", "2026-11-26", "2026-12-04", func(r *room) { r.k.LongestDays = 7 }, time.Time{}, "too_late"},
		{"the ID ends before it begins", "2026-12-27", "2027-03-31", func(r *room) { r.whose.Account.ExpiresAt = t0.Add(48 * time.Hour) }, time.Time{}, "id_ends"},
		{"a lost terminal", "2026-11-27", "2027-03-31", func(r *room) { r.terminal = Lost }, time.Time{}, "lost"},
		{"another spelling", "2026-11-27", "2027-03-31", func(r *room) { r.terminal = Misspelt }, time.Time{}, "spelling"},
	} {
		r := room{p: rules(), k: kindOf(t, policy.PermitRemote), now: t0, whose: directory.Person{ID: "p"}, tied: authz.Untied}
		if tt.room != nil {
			tt.room(&r)
		}
		m, err := r.read(Wish{Reason: "在宅", From: tt.from, Until: tt.until, Stated: Stated{"terminal": {"t"}, "applications": {"bunsho"}}})
		var bad *Invalid
		switch {
		case tt.rule == "" && (err != nil || !m.Until.Equal(tt.end) || m.From.Before(t0)):
			t.Errorf("%s: %v to %v: %v", tt.name, m.From, m.Until, err)
		case tt.rule != "" && (!errors.As(err, &bad) || len(bad.Faults) != 1 || bad.Faults[0].Rule != tt.rule):
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestWhoAsks: a contractor's permit is asked for by the section; who audits asks for
// nothing; a crossing is the system administrator's to ask for.
func TestWhoAsks(t *testing.T) {
	t.Parallel()
	p := rules()
	tanaka := directory.Person{ID: "tanaka", Section: "jinji"}
	for _, tt := range []struct {
		name  string
		kind  string
		by    directory.Person
		posts []policy.PostID
		for_  directory.Person
		want  Reason
	}{
		{"for oneself", policy.PermitRemote, tanaka, []policy.PostID{policy.Staff}, tanaka, ""},
		{"an auditor", policy.PermitRemote, tanaka, []policy.PostID{policy.Staff, policy.Auditor}, tanaka, ReadsOnly},
		{"a contractor", policy.PermitRemote, tanaka, []policy.PostID{policy.Contractor}, tanaka, ByOwner},
		{"for a colleague", policy.PermitRemote, tanaka, []policy.PostID{policy.Staff}, directory.Person{ID: "x", Section: "jinji"}, ""},
		{"for a stranger", policy.PermitRemote, tanaka, []policy.PostID{policy.Staff}, directory.Person{ID: "x", Section: "zaisei"}, NotTheirs},
		{"for a stranger, by a post", policy.PermitRemote, tanaka, []policy.PostID{policy.SecurityManager}, directory.Person{ID: "x", Section: "zaisei"}, ""},
		{"for who may use nothing", policy.PermitRemote, tanaka, []policy.PostID{policy.Staff}, directory.Person{ID: "x", Section: "jinji", Account: directory.Account{Disabled: true}}, AccountEnds},
		{"a crossing, by staff", policy.PermitCrossing, tanaka, []policy.PostID{policy.Staff}, tanaka, NoPost},
		{"a crossing", policy.PermitCrossing, tanaka, []policy.PostID{policy.SystemAdministrator}, tanaka, ""},
		{"an exception, by staff", "exception", tanaka, []policy.PostID{policy.Staff}, tanaka, NoPost},
	} {
		err := MayAsk(p, kindOf(t, tt.kind), approval.Holder{Person: tt.by, Posts: tt.posts}, tt.for_, t0)
		var no *Refused
		if got := errors.As(err, &no); got != (tt.want != "") || got && no.Reason != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestEveryKind: each kind has somebody who decides it, articles that there are, and
// can be asked for with what it wants stated; without any of it, it cannot.
func TestEveryKind(t *testing.T) {
	t.Parallel()
	samples := map[string][]string{
		policy.FieldText: {"書いたこと"}, policy.FieldDate: {"2027-03-31"}, policy.FieldTerminal: {"t"}, policy.FieldApplication: {"juki"}, policy.FieldApplications: {"bunsho"},
		policy.FieldNetworks: {"198.51.100.0/24"}, policy.FieldDays: {"mon"}, policy.FieldHours: {"08:30-17:15"}, policy.FieldZone: {"lgwan"}, policy.FieldPath: {"/kensu"},
	}
	for _, k := range policy.Standard().Permits {
		if len(k.Steps) == 0 || len(k.Articles) == 0 || k.Name.JA == "" || k.Name.EN == "" {
			t.Errorf("%s: %+v", k.ID, k)
		}
		for _, a := range k.Articles {
			if !policy.ValidArticle(a) {
				t.Errorf("%s: no article %s", k.ID, a)
			}
		}
		w := Wish{Kind: k.ID, Reason: "必要", From: "2026-11-27", Until: "2026-12-27", Stated: Stated{}}
		for _, f := range k.Fields {
			if f.Type == policy.FieldChoice {
				w.Stated[f.ID] = f.Choices[:1]
			} else if !f.OfContractors {
				w.Stated[f.ID] = samples[f.Type]
			}
		}
		r := room{p: rules(), k: k, now: t0, whose: directory.Person{ID: "p"}, tied: authz.Untied, terminal: Enrolled}
		if _, err := r.read(w); err != nil {
			t.Errorf("%s cannot be asked for: %v", k.ID, err)
		}
		for _, f := range k.Fields {
			if !f.Required || f.OfContractors {
				continue
			}
			less := w
			less.Stated = Stated{}
			for id, v := range w.Stated {
				if id != f.ID {
					less.Stated[id] = v
				}
			}
			var bad *Invalid
			if _, err := r.read(less); !errors.As(err, &bad) || !slices.ContainsFunc(bad.Faults, func(one Fault) bool { return one.Field == f.ID && one.Rule == "required" }) {
				t.Errorf("%s without %s: %v", k.ID, f.ID, err)
			}
		}
	}
}

// TestMemory holds what is held in memory to a model: whatever was approved, changed and
// ended in whatever order, each person has their own permits that live, and nobody's
// else.
func TestMemory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := New(House{Policy: rules, Now: func() time.Time { return t0 }})
		model := map[string]Permit{}
		for range 300 {
			id := fmt.Sprint("m", r.IntN(20))
			m := model[id]
			if m.ID == "" {
				m = Permit{ID: id, Kind: policy.PermitRemote, Person: Ref{ID: directory.PersonID(fmt.Sprint("p", r.IntN(4)))}, Stated: Stated{"applications": {"bunsho"}}, Until: t0.Add(time.Hour)}
				if r.IntN(3) == 0 {
					m.Kind, m.Stated = policy.PermitCrossing, Stated{"application": {"juki"}, "from_zone": {"lgwan"}, "path": {"/"}}
				}
			}
			m.state = []State{Pending, Approved, Approved, Revoked, Ended}[r.IntN(5)]
			model[id] = m
			b.hold(m, t0)
		}
		var crossings, live int
		mine := map[directory.PersonID]int{}
		for _, m := range model {
			if m.state != Approved {
				continue
			}
			if live++; m.Kind == policy.PermitRemote {
				mine[m.Person.ID]++
			} else {
				crossings++
			}
		}
		for n := range 4 {
			who := directory.PersonID(fmt.Sprint("p", n))
			if got := b.person[who]; len(got) != mine[who] || slices.ContainsFunc(got, func(f authz.Permit) bool { return f.Person != who }) {
				t.Fatalf("seed %d: %s has %d, want %d", seed, who, len(got), mine[who])
			}
		}
		juki := 0
		for to, led := range b.way {
			if to.app == "juki" {
				juki += len(led)
			}
		}
		if len(b.held) != live || juki != crossings || len(b.zone[policy.LGWAN]) != crossings {
			t.Fatalf("seed %d: %d held, %d to juki; want %d and %d", seed, len(b.held), juki, live, crossings)
		}
	}
}

// TestAlong: a request is looked up along exactly the paths that it is below, so no
// crossing is missed that Decide would let through by.
func TestAlong(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`(/[ab%4]{1,2}){0,3}/?(\?x=/a)?`).Draw(t, "uri")
		root := rapid.StringMatching(`(/[ab]{1,2}){0,3}/?`).Draw(t, "root")
		plain, ok := policy.PlainPath(path)
		if path == "" {
			plain, ok = "/", true
		}
		want := ok && policy.Below(plain, root)
		if got := slices.Contains(slices.Collect(along("juki", path)), wayOf("juki", root)); got != want {
			t.Fatalf("a crossing to %q is found for %q: %v, want %v", root, path, got, want)
		}
	})
}

// TestGuard: a value that a spreadsheet would take for a formula is none, and comes
// back as it was.
func TestGuard(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"", "田中", "=1+1", "+81", "-1", "@x", "'=x", "'x"} {
		if got := unguard(guard(v)); got != v {
			t.Errorf("%q comes back as %q", v, got)
		}
		if g := guard(v); g != "" && (g[0] == '=' || g[0] == '+' || g[0] == '-' || g[0] == '@') {
			t.Errorf("%q is written as %q", v, g)
		}
	}
}

// TestMisspelt: an enrolled terminal has one spelling.
func TestMisspelt(t *testing.T) {
	t.Parallel()
	all := []terminal.Terminal{{ID: "kashi-01"}}
	for name, want := range map[string]bool{"kashi-01": false, "KASHI-01": true, "ｋａｓｈｉ－０１": true, "kashi -01": true, "jitaku-pc": false} {
		if got := misspelt(name, all); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}

// TestUnheard: nobody decides beforehand what takes confirmations.
func TestUnheard(t *testing.T) {
	t.Parallel()
	p := rules()
	for _, tt := range []struct {
		kind, app, from string
		want            bool
	}{
		{policy.PermitCrossing, "juki", "lgwan", true}, {policy.PermitCrossing, "bunsho", "mynumber", true},
		{policy.PermitCrossing, "bunsho", "internet", false}, {policy.PermitRemote, "", "", false},
	} {
		m := Permit{Stated: Stated{"application": {tt.app}, "from_zone": {tt.from}}}
		if got := unheard(p, kindOf(t, tt.kind), m); got != tt.want {
			t.Errorf("%s from %s to %s: %t", tt.kind, tt.from, tt.app, got)
		}
	}
}
