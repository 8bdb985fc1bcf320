package authz

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// TestOwnTerminal: a remote access whose terminal is not the prefecture's takes the
// permit for a private terminal beside it, and one that is lent the permit that lends it,
// each of the same person and alive (articles 38-4, 63-3). The way in and each
// application ask alike.
func TestOwnTerminal(t *testing.T) {
	t.Parallel()
	end := now.Add(time.Hour)
	own := func(kind PermitKind, change func(*Permit)) []Permit {
		m := Permit{ID: "t", Kind: kind, Person: "p1", Terminal: "note", Until: now.Add(30 * time.Minute)}
		if change != nil {
			change(&m)
		}
		return []Permit{m}
	}
	declared := func(class string) []policy.Terminal { return []policy.Terminal{{ID: "note", Class: class}} }
	for _, tt := range []struct {
		name     string
		enrolled string
		declared []policy.Terminal
		byRemote bool // the policy's lent_by_remote_permit
		beside   []Permit
		want     Reason
		ask      PermitKind
		article  policy.Article
		until    time.Time
	}{
		{"on no register", "", nil, true, nil, NoTerminal, PrivateTerminal, "38-4", time.Time{}},
		{"on no register, permitted", "", nil, false, own(PrivateTerminal, nil), Allowed, "", "62-1", now.Add(30 * time.Minute)},
		{"permitted for longer than the remote access", "", nil, false, own(PrivateTerminal, func(m *Permit) { m.Until = end.Add(time.Hour) }), Allowed, "", "62-1", end},
		{"permitted to somebody else", "", nil, false, own(PrivateTerminal, func(m *Permit) { m.Person = "p2" }), NoTerminal, PrivateTerminal, "38-4", time.Time{}},
		{"another terminal is permitted", "", nil, false, own(PrivateTerminal, func(m *Permit) { m.Terminal = "other" }), NoTerminal, PrivateTerminal, "38-4", time.Time{}},
		{"permitted until this instant", "", nil, false, own(PrivateTerminal, func(m *Permit) { m.Until = now }), NoTerminal, PrivateTerminal, "38-4", time.Time{}},
		{"permitted from the next instant", "", nil, false, own(PrivateTerminal, func(m *Permit) { m.Since = now.Add(1) }), NoTerminal, PrivateTerminal, "38-4", time.Time{}},
		{"a lent one's permit is no private one's", "", nil, false, own(LentTerminal, nil), NoTerminal, PrivateTerminal, "38-4", time.Time{}},

		{"lent by nobody", policy.TerminalLent, nil, false, nil, NoTerminal, LentTerminal, "63-3", time.Time{}},
		{"lent", policy.TerminalLent, nil, false, own(LentTerminal, nil), Allowed, "", "62-1", now.Add(30 * time.Minute)},
		{"lent by the remote access itself", policy.TerminalLent, nil, true, nil, Allowed, "", "62-1", end},
		{"a private one's permit lends nothing", policy.TerminalLent, nil, false, own(PrivateTerminal, nil), NoTerminal, LentTerminal, "63-3", time.Time{}},
		{"enrolled for a counter", policy.TerminalCounter, nil, false, nil, Allowed, "", "62-1", end},
		{"declared as lent", "", declared(policy.TerminalLent), false, nil, NoTerminal, LentTerminal, "63-3", time.Time{}},
		{"declared as dedicated", "", declared(policy.TerminalDedicated), false, nil, Allowed, "", "62-1", end},
		{"what the policy declares goes before what is enrolled", policy.TerminalLent, declared(policy.TerminalDedicated), false, nil, Allowed, "", "62-1", end},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := policy.Standard()
			p.Terminals, p.Remote.LentByRemotePermit = tt.declared, tt.byRemote
			f := Facts{
				SignedIn: true, Person: directory.Person{ID: "p1"}, ACR: policy.PHR, AuthAt: now, SessionEnds: now.Add(9 * time.Hour), From: policy.Internet, Outside: true, Checked: true, Now: now,
				Application: policy.Application{ID: "bunsho", Zone: policy.LGWAN, Class: 4},
				Permits:     append([]Permit{{ID: "r", Kind: RemoteAccess, Person: "p1", Applications: []string{"bunsho"}, Terminal: "note", Enrolled: tt.enrolled, Until: end}}, tt.beside...),
			}
			want := []string{"r"}
			if len(tt.beside) > 0 {
				want = append(want, "t")
			}
			for asked, v := range map[string]Verdict{"the application": Decide(p, f), "the way in": Enter(p, f)} {
				if v.Reason != tt.want || v.Ask != tt.ask || v.Allowed(now) != (tt.want == Allowed) || !slices.Contains(v.Articles, tt.article) {
					t.Errorf("%s: %q, ask for %q, allowed %t, %v; want %q, %q, %s", asked, v.Reason, v.Ask, v.Allowed(now), v.Articles, tt.want, tt.ask, tt.article)
				}
				if v.Allowed(now) && (!v.Until.Equal(tt.until) || fmt.Sprint(v.Permits) != fmt.Sprint(want)) {
					t.Errorf("%s: until %v by %v; want %v by %v", asked, v.Until, v.Permits, tt.until, want)
				}
				if next := v.Next(p, f.Application); tt.want != Allowed && (v.Says.JA == "" || v.Says.EN == "" || next.Move != AskPermit || next.Says.JA == "" || next.Says.EN == "") {
					t.Errorf("%s: refused with %+v, next %+v", asked, v.Says, next)
				}
			}
			// Another remote access by a terminal that takes none lets through, whichever comes first.
			f.Permits = append(f.Permits, Permit{ID: "office", Kind: RemoteAccess, Person: "p1", Applications: []string{"bunsho"}, Until: now.Add(time.Minute)})
			for range 2 {
				if v := Decide(p, f); !v.Allowed(now) {
					t.Errorf("with another remote access: %s", v.Reason)
				}
				slices.Reverse(f.Permits)
			}
		})
	}
}
