package inquiry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/approval"
	"sekisho/authz/grant"
	"sekisho/authz/permit"
	"sekisho/authz/sealed"
	"sekisho/policy"
	"sekisho/policy/audit/audittest"
)

var t0 = time.Date(2026, 4, 1, 0, 5, 0, 0, time.UTC)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		q    Question
		want string
	}{
		{"nothing restricts", Question{}, ""},
		{"everything", Question{From: t0, To: t0.Add(time.Hour), Actor: "sato", Action: "lease.", Article: "62-7", Outcome: "refused", Case: "2026-7"}, ""},
		{"a person without a case", Question{Actor: "sato"}, "case:required"},
		{"a person with blanks for a case", Question{Actor: "sato", Case: " \u3000"}, "case:required"},
		{"the machine without a case", Question{Actor: "system"}, "case:required"},
		{"a case alone", Question{Case: "2026-7"}, ""},
		{"what an injector writes is a name like others", Question{Actor: "' OR 1=1 --", Case: "1"}, ""},
		{"a line break in a name", Question{Actor: "sato\nroot", Case: "1"}, "actor:characters"},
		{"a name that is no text", Question{Actor: "sato\xff", Case: "1"}, "actor:characters"},
		{"a name with a zero", Question{Actor: "sato\x00", Case: "1"}, "actor:characters"},
		{"a name that turns round", Question{Actor: "sato\u202e", Case: "1"}, "actor:characters"},
		{"a name without end", Question{Actor: strings.Repeat("a", 257), Case: "1"}, "actor:too_long"},
		{"the longest name", Question{Actor: strings.Repeat("a", 256), Case: "1"}, ""},
		{"an escape in the case", Question{Case: "\x1b[2J"}, "case:characters"},
		{"an article that is not there", Question{Article: "99-1"}, "article:unknown"},
		{"an outcome that is none", Question{Outcome: "good"}, "outcome:unknown"},
		{"the end before the beginning", Question{From: t0, To: t0}, "from:order"},
		{"what could not be read is said once, in order", Question{Outcome: "x", Actor: "sato", Wrong: []Fault{{Field: "after", Rule: "number"}, {Field: "to", Rule: "time"}}}, "to:time outcome:unknown case:required after:number"},
	} {
		var got []string
		for _, f := range tt.q.Check() {
			got = append(got, f.Field+":"+f.Rule)
			if f.Rule != "time" && f.Rule != "number" && f.Says.IsEmpty() {
				t.Errorf("%s: %s says nothing", tt.name, f.Field)
			}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
		}
	}
}

func TestMay(t *testing.T) {
	t.Parallel()
	p := policy.Standard()
	for _, post := range p.Posts {
		if no := May(p, []policy.PostID{post.ID}); (no == nil) != (post.ID == policy.Auditor) {
			t.Errorf("%s: %v", post.ID, no)
		}
	}
	for _, posts := range [][]policy.PostID{nil, {"nobody"}, {policy.CIO, policy.CSIRT, policy.SystemAdministrator}} {
		if May(p, posts) == nil {
			t.Errorf("%v may look", posts)
		}
	}
	if May(&policy.Policy{}, []policy.PostID{policy.Auditor}) == nil {
		t.Error("a post that the policy does not know may look")
	}
}

// ends are the acts whose end is a state or an act of its own room.
func ends() map[string][]string {
	out := map[string][]string{}
	for _, s := range []grant.State{grant.Approved, grant.Denied, grant.Cancelled, grant.Lapsed, grant.Ended, grant.Expired, grant.Revoked} {
		out["lease."] = append(out["lease."], string(s))
	}
	for _, s := range []approval.State{approval.Approved, approval.Denied, approval.Cancelled, approval.Lapsed} {
		out["lease.extension_"] = append(out["lease.extension_"], string(s))
	}
	for _, s := range []permit.State{permit.Approved, permit.Denied, permit.Cancelled, permit.Lapsed, permit.Ended, permit.Expired, permit.Revoked} {
		out["permit."] = append(out["permit."], string(s))
	}
	for _, a := range []sealed.Act{sealed.Register, sealed.Confirm, sealed.Test, sealed.Open, sealed.Report, sealed.Seal, sealed.Reconcile, sealed.Move, sealed.Withdraw, "read"} {
		out["sealed."] = append(out["sealed."], string(a))
	}
	for _, o := range []notice.Outcome{notice.Undelivered, notice.Refused, notice.Unaddressed, notice.Withheld} {
		out["notice."] = append(out["notice."], string(o))
	}
	out["shared."] = []string{"checked_in", "expired", "revoked"}
	return out
}

// TestEveryActionHasWords: whatever the house enters on the trail, people can read, in both
// languages.
func TestEveryActionHasWords(t *testing.T) {
	t.Parallel()
	grown, known := ends(), map[string]bool{}
	for action, where := range audittest.Actions(t, "../..") {
		all := []string{action}
		if strings.HasSuffix(action, ".") || strings.HasSuffix(action, "_") {
			if all = nil; grown[action] == nil {
				t.Errorf("how does %s (%s) end? Put it into ends", action, where)
			}
			for _, end := range grown[action] {
				all = append(all, action+end)
			}
		}
		for _, one := range all {
			known[one] = true
			if w := Words(one); w.JA == "" || w.EN == "" {
				t.Errorf("%s (%s) has no words in both languages: %+v", one, where, w)
			}
		}
	}
	if len(known) < 200 {
		t.Errorf("only %d actions were found: the test no longer sees them", len(known))
	}
	said := map[string]string{}
	seen := 0
	for _, n := range Nouns() {
		seen += len(n.Actions)
		if n.Says.JA == "" || n.Says.EN == "" || len(n.Actions) == 0 {
			t.Errorf("the noun %s: %+v", n.ID, n)
		}
		for _, action := range n.Actions {
			w := fmt.Sprint(Words(action))
			if said[w] != "" {
				t.Errorf("%s and %s are called the same", action, said[w])
			}
			said[w] = action
		}
	}
	if seen != len(acts) || len(nouns) != len(Nouns()) {
		t.Errorf("%d of %d actions have a noun; %d nouns of %d", seen, len(acts), len(Nouns()), len(nouns))
	}
}
