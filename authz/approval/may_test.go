package approval

import (
	"slices"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// TestWho is who may decide what, by the organisation tree.
func TestWho(t *testing.T) {
	t.Parallel()
	manager := Step{Posts: []policy.PostID{policy.SecurityManager}}
	for _, tt := range []struct {
		name   string
		by     string // who asks
		asFor  string
		step   Step
		strict bool
		made   []string
		after  time.Duration
		change func(*policy.Policy, map[string]directory.Person)
		want   []string
	}{
		{name: "the managers of the own section", by: "sub", step: manager, want: []string{"eto", "both", "eto2"}},
		{name: "who asks is not among them, whatever their posts", by: "both", step: manager, want: []string{"eto", "eto2"}},
		{name: "nor is their second ID", by: "eto2", step: manager, want: []string{"both"}},
		{name: "nor whom it is for", by: "sato", asFor: "eto", step: manager, want: []string{"both"}},
		{name: "the only manager asks: the officer of the department", by: "endo", step: manager, want: []string{"ono"}},
		{name: "a section without a manager", by: "zai", step: manager, want: []string{"ono"}},
		{name: "the officer asks: the CIO", by: "ono", step: manager, want: []string{"cho", "choei"}},
		{name: "officers are asked and the own one asks: the CIO", by: "oda", step: Step{Posts: []policy.PostID{policy.SecurityOfficer}}, want: []string{"cho", "choei"}},
		{name: "the CIO asks: the officers, two of them", by: "cho", step: manager, want: []string{"oda", "ono"}},
		{name: "nobody answers: the officer too", by: "sub", step: manager, after: 4 * time.Hour, want: []string{"eto", "oda", "both", "eto2"}},
		{name: "and then the CIO too", by: "sub", step: manager, after: 8 * time.Hour, want: []string{"eto", "oda", "cho", "choei", "both", "eto2"}},
		{name: "not a moment before", by: "sub", step: manager, after: 4*time.Hour - 1, want: []string{"eto", "both", "eto2"}},
		{name: "strict: nobody above", by: "sub", step: manager, strict: true, after: 8 * time.Hour, want: []string{"eto", "both", "eto2"}},
		{name: "never, where the policy says so", by: "sub", step: manager, after: 20 * time.Hour,
			change: func(p *policy.Policy, _ map[string]directory.Person) { p.Approval.EscalateAfter = 0 }, want: []string{"eto", "both", "eto2"}},
		{name: "anywhere", by: "sub", step: Step{Posts: []policy.PostID{policy.SecurityManager}, Where: Anywhere}, want: []string{"eto", "endo", "both", "eto2"}},
		{name: "who has said yes is used up, with all their IDs", by: "sub", step: Step{Posts: manager.Posts, Quorum: 3}, made: []string{"eto"}, want: []string{"both"}},
		{name: "and when all are, the way up is open", by: "sub", step: Step{Posts: manager.Posts, Quorum: 3}, made: []string{"eto", "both"}, want: []string{"oda"}},
		{name: "of each post: who is left", by: "sub", step: Step{Posts: []policy.PostID{policy.SecurityManager, policy.CIO}, All: true}, made: []string{"eto"}, want: []string{"cho", "choei"}},
		{name: "a manager who left counts for nothing", by: "endo", step: manager,
			change: func(_ *policy.Policy, all map[string]directory.Person) {
				p := all["ono"]
				p.Account.Disabled = true
				all["ono"] = p
			}, want: nil},
		{name: "an auditor decides nothing, whatever else they are", by: "sub", step: manager,
			change: func(_ *policy.Policy, all map[string]directory.Person) {
				p := all["eto"]
				p.Groups = append(slices.Clone(p.Groups), groupOf(policy.Auditor))
				all["eto"] = p
			}, want: []string{"both", "eto2"}},
		{name: "a deputy in time", by: "endo", step: manager,
			change: deputy(policy.Deputy{ID: "d", Login: "SUB", Post: policy.SecurityManager, Section: "jinji", From: "2026-04-01", Until: "2026-04-01"}), want: []string{"sub"}},
		{name: "a deputy of another section", by: "endo", step: manager,
			change: deputy(policy.Deputy{ID: "d", Login: "sub", Post: policy.SecurityManager, Section: "zaisei", From: "2026-04-01", Until: "2026-04-01"}), want: []string{"ono"}},
		{name: "a deputy from tomorrow", by: "endo", step: manager,
			change: deputy(policy.Deputy{ID: "d", Login: "sub", Post: policy.SecurityManager, Section: "jinji", From: "2026-04-02", Until: "2026-04-09"}), want: []string{"ono"}},
		{name: "a deputy for what they ask themselves", by: "sub", step: Step{Posts: []policy.PostID{policy.CIO}},
			change: deputy(policy.Deputy{ID: "d", Login: "sub", Post: policy.CIO, From: "2026-04-01", Until: "2026-04-01"}), want: []string{"cho", "choei"}},
		{name: "strict: no deputy", by: "sato", step: Step{Posts: []policy.PostID{policy.CIO}}, strict: true,
			change: deputy(policy.Deputy{ID: "d", Login: "sub", Post: policy.CIO, From: "2026-04-01", Until: "2026-04-01"}), want: []string{"cho", "choei"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, all := rules(), people()
			all["zai"] = person("zai", "zaisei")
			if tt.change != nil {
				tt.change(p, all)
			}
			asker := all[tt.by]
			m := Matter{Requester: Ref(asker), AskedAt: t0, LapsesAt: t0.Add(24 * time.Hour), state: Pending}
			m.Rule = effective(Rule{Steps: []Step{tt.step}, Strict: tt.strict}, p.PostsOf(asker.Groups))
			if tt.asFor != "" {
				m.Beneficiary = Ref(all[tt.asFor])
			}
			m.Section = m.section()
			var made []Decision
			for _, login := range tt.made {
				made = append(made, Decision{By: Ref(all[login]), Post: policy.SecurityManager, Yes: true})
			}
			var roster []Holder
			for _, login := range everybody {
				roster = append(roster, Holder{Person: all[login], Posts: p.PostsOf(all[login].Groups)})
			}
			var got []string
			for _, c := range Who(p, m, made, roster, t0.Add(tt.after)) {
				if c.Verdict.OK() {
					got = append(got, c.Person.Login)
				} else if c.Verdict.Says.JA == "" || c.Verdict.Says.EN == "" || len(c.Verdict.Articles) == 0 {
					t.Errorf("%s is refused without words or articles: %+v", c.Person.Login, c.Verdict)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func deputy(d policy.Deputy) func(*policy.Policy, map[string]directory.Person) {
	return func(p *policy.Policy, _ map[string]directory.Person) { p.Approval.Deputies = []policy.Deputy{d} }
}

func TestTheCIOsOwnRequestTakesTwo(t *testing.T) {
	t.Parallel()
	r := effective(Rule{Steps: []Step{{Posts: []policy.PostID{policy.SecurityManager}, Quorum: 1}}}, []policy.PostID{policy.CIO})
	if s := r.Steps[0]; s.Quorum != 2 || s.Where != Anywhere || !slices.Equal(s.Posts, []policy.PostID{policy.SecurityOfficer}) {
		t.Errorf("%+v", r)
	}
}

func TestZeroValuesRefuse(t *testing.T) {
	t.Parallel()
	if (Verdict{}).OK() || May(rules(), Matter{}, nil, nil, Approver{}, t0).OK() || (Matter{}).State(t0) != "" {
		t.Error("a zero value allows")
	}
	if v := May(rules(), Matter{}, nil, nil, Approver{Usable: true, ACR: policy.PHR}, t0); v.OK() {
		t.Error("a matter that is not there is decided")
	}
}

// TestSameHuman tells IDs from human beings.
func TestSameHuman(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		a, b PersonRef
		want bool
	}{
		"one ID":                          {PersonRef{ID: "1"}, PersonRef{ID: "1", Number: "9"}, true},
		"one number":                      {PersonRef{ID: "1", Number: "0042"}, PersonRef{ID: "2", Number: "００42"}, true},
		"two numbers and one address":     {PersonRef{ID: "1", Number: "1", Mail: "a@x"}, PersonRef{ID: "2", Number: "2", Mail: "a@x"}, false},
		"no number and one address":       {PersonRef{ID: "1", Mail: "A@x"}, PersonRef{ID: "2", Number: "2", Mail: "a@X"}, true},
		"nothing in common":               {PersonRef{ID: "1"}, PersonRef{ID: "2"}, true},
		"an account of the machine":       {AtTerminal("ops"), PersonRef{ID: "2", Login: "yoshida", Number: "2"}, false},
		"an account by the same name":     {AtTerminal("Yoshida"), PersonRef{ID: "2", Login: "yoshida", Number: "2"}, true},
		"two accounts of the machine":     {AtTerminal("ops"), AtTerminal("root"), true},
		"nobody is everybody":             {PersonRef{}, PersonRef{ID: "2"}, true},
		"numbers of nothing but blanks":   {PersonRef{ID: "1", Number: " "}, PersonRef{ID: "2", Number: "　"}, true},
		"an empty address is no address":  {PersonRef{ID: "1", Mail: " "}, PersonRef{ID: "2", Mail: " "}, true},
		"a number here, an address there": {PersonRef{ID: "1", Number: "1"}, PersonRef{ID: "2", Mail: "b@x"}, true},
		"two IDs, two addresses, no more": {PersonRef{ID: "1", Mail: "a@x"}, PersonRef{ID: "2", Mail: "b@x"}, false},
	} {
		if tt.a.Same(tt.b) != tt.want || tt.b.Same(tt.a) != tt.want {
			t.Errorf("%s: %t", name, !tt.want)
		}
	}
}

// TestElevated is which sign-in is good enough for acts about others' rights.
func TestElevated(t *testing.T) {
	t.Parallel()
	p := rules()
	p.Session.ElevatedACR, p.SignIn.FreshFor = policy.PHR, 15*time.Minute
	p.Session.ElevatedIdleEnd, p.Session.ElevatedAbsoluteEnd = 10*time.Minute, time.Hour
	weaker := rules()
	weaker.Session, weaker.SignIn = p.Session, p.SignIn
	weaker.Session.ElevatedACR = policy.AAL2
	for _, tt := range []struct {
		name string
		p    *policy.Policy
		by   Approver
		ok   bool
	}{
		{"nobody", p, Approver{}, false},
		{"a moment ago", p, Approver{ACR: policy.PHR, AuthAt: t0}, true},
		{"the last instant of the least bound", p, Approver{ACR: policy.PHR, AuthAt: t0.Add(-10 * time.Minute)}, true},
		{"too long ago", p, Approver{ACR: policy.PHR, AuthAt: t0.Add(-10*time.Minute - 1)}, false},
		{"nobody knows when", p, Approver{ACR: policy.PHR}, false},
		{"too weak", p, Approver{ACR: policy.AAL2, AuthAt: t0}, false},
		{"a passkey that is copied", p, Approver{ACR: policy.PHR, AuthAt: t0, Synced: true}, false},
		{"a passkey that is copied, where less would do", weaker, Approver{ACR: policy.PHR, AuthAt: t0, Synced: true}, true},
		{"less, where that does", weaker, Approver{ACR: policy.AAL2, AuthAt: t0}, true},
	} {
		need := tt.by.Elevated(tt.p, t0)
		if tt.ok != (need == nil) {
			t.Errorf("%s: needs %+v", tt.name, need)
		}
		if need != nil && (need.Required != tt.p.Session.ElevatedACR || need.MaxAge != 10*time.Minute) {
			t.Errorf("%s: asks for %+v", tt.name, need)
		}
	}
}
