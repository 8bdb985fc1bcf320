package authz

import (
	"net/netip"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// TestEnter: inside nothing is asked for, outside a permit that fits the person, the
// place, the terminal and the hour, and from another zone one that leads here (articles
// 26no2-2, 63-1).
func TestEnter(t *testing.T) {
	t.Parallel()
	all := policy.Standard()
	all.Applications = []policy.Application{{ID: "bunsho", Zone: policy.LGWAN}, {ID: "juki", Zone: policy.MyNumber}}
	lgwan := all.Serving([]policy.ZoneID{policy.LGWAN})
	who, at := directory.Person{ID: "p1"}, netip.MustParseAddr("198.51.100.7")
	remote := func(change func(*Permit)) []Permit {
		m := Permit{ID: "r", Kind: RemoteAccess, Person: "p1", Applications: []string{"bunsho"}, Until: now.Add(time.Hour)}
		if change != nil {
			change(&m)
		}
		return []Permit{m}
	}
	cross := func(from policy.ZoneID, app string) []Permit {
		return []Permit{{ID: "c", Kind: ZoneCrossing, From: from, Applications: []string{app}, Path: "/", Until: now.Add(time.Hour)}}
	}
	open := policy.Hours{From: "00:00", Until: "24:00"}
	for _, tt := range []struct {
		name    string
		p       *policy.Policy
		from    policy.ZoneID
		outside bool
		acr     policy.ACR
		permits []Permit
		want    Reason
	}{
		{"inside", all, policy.LGWAN, false, policy.AAL1, nil, Allowed},
		{"outside without a permit", all, policy.Internet, true, policy.AAL2, nil, NoRemote},
		{"outside with one", all, policy.Internet, true, policy.AAL2, remote(nil), Allowed},
		{"from no network at all", lgwan, "", true, policy.AAL2, remote(nil), Allowed},
		{"with one factor", all, policy.Internet, true, policy.AAL1, remote(nil), TooWeak},
		{"another's", all, policy.Internet, true, policy.AAL2, remote(func(m *Permit) { m.Person = "p2" }), NoRemote},
		{"over this instant", all, policy.Internet, true, policy.AAL2, remote(func(m *Permit) { m.Until = now }), NoRemote},
		{"not begun", all, policy.Internet, true, policy.AAL2, remote(func(m *Permit) { m.Since = now.Add(time.Second) }), NoRemote},
		{"from its network", all, policy.Internet, true, policy.AAL2, remote(func(m *Permit) { m.Networks = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} }), Allowed},
		{"from another network", all, policy.Internet, true, policy.AAL2, remote(func(m *Permit) { m.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }), NoRemote},
		{"in its hours", all, policy.Internet, true, policy.AAL2, remote(func(m *Permit) { m.Hours = []policy.Hours{open} }), Allowed},
		{"out of its hours", all, policy.Internet, true, policy.AAL2, remote(func(m *Permit) { m.Hours = []policy.Hours{{Days: []string{"never"}, From: "00:00", Until: "24:00"}} }), NoRemote},
		{"at another terminal that speaks for itself", all, policy.Internet, true, policy.AAL2, remote(func(m *Permit) { m.Terminal = "other" }), NoRemote},
		{"at its terminal", all, policy.Internet, true, policy.AAL2, remote(func(m *Permit) { m.Terminal, m.Enrolled = "t1", policy.TerminalCounter }), Allowed},
		{"a crossing is no way in from outside", all, policy.Internet, true, policy.AAL2, cross(policy.Internet, "bunsho"), NoRemote},
		{"a zone that is not served", lgwan, policy.MyNumber, false, policy.AAL2, nil, NoCrossing},
		{"by a crossing that leads here", lgwan, policy.MyNumber, false, policy.AAL2, cross(policy.MyNumber, "bunsho"), Allowed},
		{"by one that leads elsewhere", lgwan, policy.MyNumber, false, policy.AAL2, cross(policy.MyNumber, "juki"), NoCrossing},
		{"by one from another zone", lgwan, policy.MyNumber, false, policy.AAL2, cross(policy.Internet, "bunsho"), NoCrossing},
		{"remote access crosses nothing", lgwan, policy.MyNumber, false, policy.AAL2, remote(nil), NoCrossing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := Facts{SignedIn: true, Person: who, ACR: tt.acr, From: tt.from, Outside: tt.outside, Source: at, Terminal: "t1", SessionEnds: now.Add(9 * time.Hour), Permits: tt.permits, Now: now}
			v := Enter(tt.p, f)
			if v.Reason != tt.want || v.Allowed(now) != (tt.want == Allowed) {
				t.Errorf("Enter = %q, allowed %t; want %q", v.Reason, v.Allowed(now), tt.want)
			}
			if v.Allowed(now) && len(tt.permits) > 0 && (v.Until.After(now.Add(time.Hour)) || len(v.Permits) != 1) {
				t.Errorf("until %v by %v", v.Until, v.Permits)
			}
			f.Person.Account.Disabled = true
			if v := Enter(tt.p, f); v.Allowed(now) {
				t.Error("somebody who may use nothing comes in")
			}
		})
	}
	if Enter(all, Facts{Now: now}).Allowed(now) {
		t.Error("no facts let nobody in")
	}
}

// TestUnchecked: a session that began inside opens nothing outside, permit or not.
func TestUnchecked(t *testing.T) {
	t.Parallel()
	f := Facts{
		SignedIn: true, Person: directory.Person{ID: "p1"}, ACR: policy.PHR, AuthAt: now, SessionEnds: now.Add(time.Hour), From: policy.Internet, Outside: true, Now: now,
		Application: policy.Application{ID: "bunsho", Zone: policy.LGWAN, Class: 4},
		Permits:     []Permit{{Kind: RemoteAccess, Person: "p1", Applications: []string{"bunsho"}, Until: now.Add(time.Hour)}},
	}
	if v := Decide(policy.Standard(), f); v.Reason != Unchecked || v.Allowed(now) || v.StepUp == "" || v.Fresh == 0 {
		t.Errorf("Decide = %+v", v)
	}
	f.Checked = true
	if v := Decide(policy.Standard(), f); !v.Allowed(now) {
		t.Errorf("Decide = %+v", v)
	}
}
