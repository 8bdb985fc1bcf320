package lockdown

import (
	"strings"
	"testing"
	"time"

	"sekisho/authz"
	"sekisho/policy"
)

var t0 = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func rules(change ...func(*policy.Policy)) *policy.Policy {
	p := policy.Standard()
	p.Zones = []policy.Zone{{ID: policy.LGWAN}}
	p.Sections = []policy.Section{{ID: "jinji"}}
	p.Applications = []policy.Application{{ID: "bunsho"}}
	p.Clients = []policy.Client{{ID: "kintai"}, {ID: "part", Application: "bunsho"}}
	for _, c := range change {
		c(p)
	}
	return p
}

func delegated(p *policy.Policy) {
	p.LockDown.Delegation = policy.Delegation{Decision: "情政第14号", Until: "2026-03-02"}
}

func TestMayOrder(t *testing.T) {
	for _, tt := range []struct {
		name  string
		p     *policy.Policy
		posts []policy.PostID
		at    time.Time
		right Authority
		why   string
	}{
		{"the CIO", rules(), []policy.PostID{policy.Staff, policy.CIO}, t0, Own, ""},
		{"CSIRT without delegation", rules(), []policy.PostID{policy.CSIRT}, t0, "", "not_delegated"},
		{"CSIRT under delegation", rules(delegated), []policy.PostID{policy.CSIRT}, t0, Delegated, ""},
		{"to the end of its last day in Japan", rules(delegated), []policy.PostID{policy.CSIRT}, t0.Add(15*time.Hour - 1), Delegated, ""},
		{"not after it", rules(delegated), []policy.PostID{policy.CSIRT}, t0.Add(15 * time.Hour), "", "not_delegated"},
		{"a delegation without a decision", rules(func(p *policy.Policy) { p.LockDown.Delegation.Until = "2099-01-01" }), []policy.PostID{policy.CSIRT}, t0, "", "not_delegated"},
		{"a CIO who is of CSIRT orders as CIO", rules(delegated), []policy.PostID{policy.CSIRT, policy.CIO}, t0, Own, ""},
		{"who administers", rules(delegated), []policy.PostID{policy.SystemAdministrator}, t0, "", "no_post"},
		{"who answers for a 部局", rules(delegated), []policy.PostID{policy.SecurityOfficer}, t0, "", "no_post"},
		{"a CIO who audits", rules(), []policy.PostID{policy.CIO, policy.Auditor}, t0, "", "reads_only"},
		{"nobody", rules(delegated), nil, t0, "", "no_post"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			right, no := MayOrder(tt.p, tt.posts, tt.at)
			if right != tt.right || (no == nil) != (tt.why == "") || no != nil && (no.Reason != tt.why || no.Says.JA == "" || no.Says.EN == "" || len(no.Articles) == 0) {
				t.Errorf("MayOrder = %q, %+v", right, no)
			}
		})
	}
}

func TestMayLift(t *testing.T) {
	own := authz.LockDown{ID: "l"}
	theirs := authz.LockDown{ID: "l", RatifyBy: t0.Add(time.Hour)}
	made := theirs
	made.RatifiedAt = t0
	for _, tt := range []struct {
		name  string
		posts []policy.PostID
		l     authz.LockDown
		ok    bool
	}{
		{"the CIO, their own", []policy.PostID{policy.CIO}, own, true},
		{"the CIO, what CSIRT ordered", []policy.PostID{policy.CIO}, theirs, true},
		{"the CIO, what was ratified", []policy.PostID{policy.CIO}, made, true},
		{"CSIRT, what it ordered", []policy.PostID{policy.CSIRT}, theirs, true},
		{"CSIRT, what was ratified", []policy.PostID{policy.CSIRT}, made, false},
		{"CSIRT, the CIO's", []policy.PostID{policy.CSIRT}, own, false},
		{"another", []policy.PostID{policy.SecurityOfficer}, theirs, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if no := MayLift(rules(delegated), tt.posts, tt.l, t0); (no == nil) != tt.ok {
				t.Errorf("MayLift = %+v", no)
			}
		})
	}
	if no := MayRatify(rules(delegated), []policy.PostID{policy.CSIRT}); no == nil {
		t.Error("CSIRT ratifies what it ordered itself")
	}
	if no := MayRatify(rules(), []policy.PostID{policy.CIO}); no != nil {
		t.Errorf("the CIO may not ratify: %v", no)
	}
}

func TestOrderCheck(t *testing.T) {
	good := Order{Scope: authz.LockAll, Reason: "侵入の疑い", Minutes: 60}
	with := func(change func(*Order)) Order { r := good; change(&r); return r }
	aimed := func(s authz.Scope, at string) Order {
		return with(func(r *Order) { r.Scope, r.Target = s, at })
	}
	for _, tt := range []struct {
		name  string
		r     Order
		field string
	}{
		{"everything", good, ""},
		{"a section", aimed(authz.LockSection, "jinji"), ""},
		{"an application", aimed(authz.LockApplication, "bunsho"), ""},
		{"a program that is its own application", aimed(authz.LockApplication, "kintai"), ""},
		{"a program of an application", aimed(authz.LockApplication, "part"), "target"},
		{"a zone", aimed(authz.LockZone, "lgwan"), ""},
		{"no section of ours", aimed(authz.LockSection, "jinjo"), "target"},
		{"no application of ours", aimed(authz.LockApplication, "x"), "target"},
		{"a zone that is not served", aimed(authz.LockZone, "mynumber"), "target"},
		{"aimed at nothing", aimed(authz.LockPerson, "  "), "target"},
		{"everything, aimed", aimed(authz.LockAll, "jinji"), "target"},
		{"no scope", aimed("", ""), "scope"},
		{"an unheard-of scope", aimed("world", ""), "scope"},
		{"no reason", with(func(r *Order) { r.Reason = " \n" }), "reason"},
		{"a reason that turns the line round", with(func(r *Order) { r.Reason = "a\u202eb" }), "reason"},
		{"a reason without end", with(func(r *Order) { r.Reason = strings.Repeat("あ", 501) }), "reason"},
		{"no time", with(func(r *Order) { r.Minutes = 0 }), "minutes"},
		{"the longest time", with(func(r *Order) { r.Minutes = 72 * 60 }), ""},
		{"longer", with(func(r *Order) { r.Minutes = 72*60 + 1 }), "minutes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			no := tt.r.tidy().check(rules())
			if (no == nil) != (tt.field == "") || no != nil && (no.Field != tt.field || no.Says.JA == "" || no.Says.EN == "") {
				t.Errorf("check = %+v, want %q", no, tt.field)
			}
		})
	}
}
