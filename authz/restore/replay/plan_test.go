package replay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/policy/audit"
)

var (
	t0  = time.Date(2026, 4, 1, 8, 0, 0, 0, time.UTC)
	now = t0.Add(2 * time.Hour)
)

func entry(i int, action, object string, detail ...string) audit.Record {
	r := audit.Record{Index: int64(i), Entry: audit.Entry{Time: t0.Add(time.Duration(i) * time.Minute), Actor: "takahashi", Action: action, Object: object, Outcome: audit.OK}}
	for k := 0; k < len(detail); k += 2 {
		if r.Detail == nil {
			r.Detail = map[string]string{}
		}
		r.Detail[detail[k]] = detail[k+1]
	}
	return r
}

// told is a plan in one line for each entry, in words that a table can hold.
func told(p Plan) string {
	var out []string
	for _, a := range p.Again {
		out = append(out, fmt.Sprintf("%d again %s %s %s", a.Index, a.Kind, a.Person, a.About()))
	}
	for _, l := range p.Over {
		out = append(out, fmt.Sprintf("%d over: %s", l.Index, l.Why.EN))
	}
	for _, l := range p.Dark {
		out = append(out, fmt.Sprintf("%d dark: %s", l.Index, l.Why.EN))
	}
	for _, r := range p.ByHand {
		out = append(out, fmt.Sprintf("%d by hand %s", r.Index, r.Action))
	}
	if p.Ended > 0 {
		out = append(out, fmt.Sprintf("ended %d", p.Ended))
	}
	if p.Past > 0 {
		out = append(out, fmt.Sprintf("past %d", p.Past))
	}
	return strings.Join(out, "\n")
}

func TestJudge(t *testing.T) {
	t.Parallel()
	later := now.Add(time.Hour).Format(time.RFC3339)
	refused := entry(1, "person.suspended", "tanaka (p1)")
	refused.Outcome = audit.Refused
	for _, tt := range []struct {
		name string
		lost []audit.Record
		want string
	}{
		{"a suspension", []audit.Record{entry(1, "person.suspended", "tanaka (p1)")}, "1 again suspension p1 tanaka"},
		{"a suspension for a time", []audit.Record{entry(1, "person.suspended", "tanaka (p1)", "until", later)}, "1 again suspension p1 tanaka"},
		{"whose last instant has come", []audit.Record{entry(1, "person.suspended", "tanaka (p1)", "until", now.Format(time.RFC3339))}, "1 over: It is over by now."},
		{"that somebody has lifted", []audit.Record{entry(1, "person.suspended", "tanaka (p1)"), entry(2, "person.restored", "tanaka (p1)")},
			"1 over: It was undone later, before the loss.\n2 by hand person.restored"},
		{"and ordered once more", []audit.Record{entry(1, "person.suspended", "tanaka (p1)"), entry(2, "person.restored", "tanaka (p1)"), entry(3, "person.suspended", "tanaka (p1)")},
			"3 again suspension p1 tanaka\n1 over: It was undone later, before the loss.\n2 by hand person.restored"},
		{"in whose place another came", []audit.Record{entry(1, "person.suspended", "tanaka (p1)"), entry(2, "person.suspended", "tanaka (p1)", "until", later)},
			"2 again suspension p1 tanaka\n1 over: Another suspension took its place later, before the loss."},
		{"in whose place came what nobody can read", []audit.Record{entry(1, "person.suspended", "tanaka (p1)"), entry(2, "person.suspended", "tanaka (p1)", "until", "soon")},
			"1 again suspension p1 tanaka\n2 dark: The entry does not say: until."},
		{"another person's lifting", []audit.Record{entry(1, "person.suspended", "tanaka (p1)"), entry(2, "person.restored", "suzuki (p2)")},
			"1 again suspension p1 tanaka\n2 by hand person.restored"},
		{"a lifting that was refused", []audit.Record{entry(1, "person.suspended", "tanaka (p1)"), func() audit.Record {
			r := entry(2, "person.restored", "tanaka (p1)")
			r.Outcome = audit.Refused
			return r
		}()}, "1 again suspension p1 tanaka\npast 1"},
		{"a suspension that was refused", []audit.Record{refused}, "past 1"},
		{"of nobody", []audit.Record{entry(1, "person.suspended", "")}, "1 dark: The entry does not say: person."},
		{"until when nobody can read", []audit.Record{entry(1, "person.suspended", "tanaka (p1)", "until", "soon")}, "1 dark: The entry does not say: until."},

		{"leave", []audit.Record{entry(1, "leave.recorded", "tanaka (p1)", "leave_from", later), entry(2, "leave.began", "tanaka (p1)")}, "1 again leave p1 tanaka\npast 1"},
		{"leave that was ended", []audit.Record{entry(1, "leave.recorded", "tanaka (p1)", "leave_from", later), entry(2, "leave.ended", "tanaka (p1)")},
			"1 over: It was undone later, before the loss.\n2 by hand leave.ended"},
		{"leave by a file", []audit.Record{entry(1, "person.on_leave", "tanaka (p1)", "leave_from", later, "until", t0.Format(time.RFC3339), "import", "i1", "line", "3"), entry(2, "person.undone", "tanaka (p1)", "import", "i2", "line", "3")},
			"1 again leave p1 tanaka\npast 1"},
		{"that was undone", []audit.Record{entry(1, "person.on_leave", "tanaka (p1)", "leave_from", later, "import", "i1", "line", "3"), entry(2, "person.undone", "tanaka (p1)", "import", "i1", "line", "3")},
			"1 over: It was undone later, before the loss.\npast 1"},
		{"from which they are back", []audit.Record{entry(1, "person.on_leave", "tanaka (p1)", "leave_from", later, "import", "i1", "line", "3"), entry(2, "person.returned", "tanaka (p1)", "import", "i2", "line", "3")},
			"1 over: It was undone later, before the loss.\npast 1"},
		{"a file of personnel changes", []audit.Record{entry(1, "import.proposed", "import/i1"), entry(2, "import.approved", "import/i1"), entry(3, "person.left", "tanaka (p1)"), entry(4, "import.done", "import/i1")},
			"1 by hand import.proposed\n2 by hand import.approved\npast 2"},
		{"leave that is over", []audit.Record{entry(1, "leave.recorded", "tanaka (p1)", "leave_from", t0.Format(time.RFC3339), "until", now.Format(time.RFC3339))}, "1 over: It is over by now."},
		{"leave from nobody knows when", []audit.Record{entry(1, "leave.recorded", "tanaka (p1)")}, "1 dark: The entry does not say: leave_from."},

		{"a leak, told by its owner", []audit.Record{entry(1, "password.leak_reported", "p1")}, "1 again leak p1 takahashi"},
		{"a leak, done again before", []audit.Record{entry(1, "password.leak_reported", "tanaka (p1)")}, "1 again leak p1 tanaka"},
		{"with another password since", []audit.Record{entry(1, "password.leak_reported", "p1"), entry(2, "password.killed", "p1"), entry(3, "password.changed", "p1")},
			"1 over: It was undone later, before the loss.\npast 2"},
		{"after another password", []audit.Record{entry(1, "password.changed", "p1"), entry(2, "password.leak_reported", "p1")}, "2 again leak p1 takahashi\npast 1"},
		{"with a temporary password since", []audit.Record{entry(1, "password.leak_reported", "p1"), entry(2, "password.temporary", "tanaka (p1)")},
			"1 again leak p1 takahashi\n2 by hand password.temporary"},

		{"a factor, by an administrator", []audit.Record{entry(1, "factor.removed", "tanaka (p1)", "factor", "f1", "kind", "totp")}, "1 again factor p1 tanaka"},
		{"a factor, by its owner", []audit.Record{entry(1, "factor.removed", "p1", "factor", "f1", "kind", "totp")}, "1 again factor p1 takahashi"},
		{"a factor that nobody named", []audit.Record{entry(1, "factor.removed", "p1")}, "1 dark: The entry does not say: factor."},
		{"a copied passkey", []audit.Record{entry(1, "factor.ended", "p1", "factor", "f1")}, "1 again factor p1 takahashi"},
		{"a lost token", []audit.Record{entry(1, "token.lost", "tanaka (p1)", "serial", "A-1")}, "1 again token p1 tanaka"},
		{"a lost token of nobody", []audit.Record{entry(1, "token.lost", "", "serial", "A-1")}, "1 again token  A-1"},
		{"a token taken back and given to another", []audit.Record{entry(1, "token.unassigned", "tanaka (p1)", "serial", "A-1"), entry(2, "token.assigned", "suzuki (p2)", "serial", "A-1")},
			"1 again token p1 tanaka\n2 by hand token.assigned"},
		{"a terminal lost, and its successor", []audit.Record{entry(1, "terminal.lost", "c1"), entry(2, "terminal.enrolled", "c1")}, "1 again terminal  c1\n2 by hand terminal.enrolled"},
		{"a terminal off the register", []audit.Record{entry(1, "terminal.removed", "c1")}, "1 again terminal  c1"},
		{"a permit", []audit.Record{entry(1, "permit.revoked", "outside_work", "permit", "m1", "person", "tanaka"), entry(2, "permit.ended", "outside_work", "permit", "m2", "person", "suzuki")},
			"1 again permit  tanaka\n2 again permit  suzuki"},
		{"a permit that was given", []audit.Record{entry(1, "permit.asked", "outside_work", "permit", "m1"), entry(2, "approval.given", "m1")}, "1 by hand permit.asked\nended 1"},

		{"a lock-down", []audit.Record{entry(1, "lockdown.ordered", "l1", "scope", "person", "target", "tanaka", "until", later)}, "1 again lockdown  person tanaka"},
		{"that was lifted", []audit.Record{entry(1, "lockdown.ordered", "l1", "scope", "all", "until", later), entry(2, "lockdown.lifted", "l1")},
			"1 over: It was undone later, before the loss.\npast 1"},
		{"that a sealed key lifted", []audit.Record{entry(1, "lockdown.ordered", "l1", "scope", "all", "until", later), entry(2, "lockdown.lifted_by_sealed_key", "l1")},
			"1 over: It was undone later, before the loss.\npast 1"},
		{"one from before the backup that was lifted", []audit.Record{entry(2, "lockdown.lifted", "l0")}, "2 by hand lockdown.lifted"},
		{"that has run out", []audit.Record{entry(1, "lockdown.ordered", "l1", "scope", "all", "until", now.Format(time.RFC3339))}, "1 over: It is over by now."},
		{"that nobody ratified in time", []audit.Record{entry(1, "lockdown.ordered", "l1", "scope", "all", "until", later, "ratify_by", now.Format(time.RFC3339))}, "1 over: It is over by now."},
		{"that was ratified in time", []audit.Record{
			entry(1, "lockdown.ordered", "l1", "scope", "all", "until", later, "ratify_by", now.Format(time.RFC3339)), entry(2, "lockdown.ratified", "l1", "until", later)},
			"1 again lockdown  all\n2 again ratification  l1"},
		{"aimed at nothing", []audit.Record{entry(1, "lockdown.ordered", "l1", "scope", "person", "until", later)}, "1 dark: The entry does not say: scope."},
		{"without an end", []audit.Record{entry(1, "lockdown.ordered", "l1", "scope", "all")}, "1 dark: The entry does not say: until."},

		{"a signing key", []audit.Record{entry(1, "key.distrusted", "signing/k1")}, "1 again signing_key  k1"},
		{"a key in a file", []audit.Record{entry(1, "key.distrusted", "session/k1")}, "1 by hand key.distrusted"},
		{"what gives", []audit.Record{
			entry(1, "policy.approved", "7"), entry(2, "factor.added", "p1"), entry(3, "notice_address.changed", "p1"), entry(4, "dormancy.disabled", "tanaka (p1)"), entry(5, "sealed.register", "e1")},
			"1 by hand policy.approved\n2 by hand factor.added\n3 by hand notice_address.changed\n4 by hand dormancy.disabled\n5 by hand sealed.register"},
		{"what the restore has ended", []audit.Record{entry(1, "lease.activated", "l1"), entry(2, "session.started", "tanaka"), entry(3, "recovery.issued", "tanaka (p1)")}, "ended 3"},
		{"what leaves nothing", []audit.Record{entry(1, "sign_in", "p1"), entry(2, "sign_in.totp", "p1"), entry(3, "trail.searched", ""), entry(4, "store.backed_up", "x"), entry(5, "report.read", "privilege"), entry(6, "import.viewed", "file/x")}, "past 6"},
		{"seeds that came into stock", []audit.Record{entry(1, "tokens.read", ""), entry(2, "tokens.imported", "")}, "2 by hand tokens.imported\npast 1"},
		{"shared IDs", []audit.Record{entry(1, "shared.checked_out", "shared:x"), entry(2, "shared.checked_in", "shared:x")}, "1 by hand shared.checked_out\nended 1"},
		{"what nobody has heard of is looked at", []audit.Record{entry(1, "person.banished", "tanaka (p1)")}, "1 by hand person.banished"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := told(Judge(tt.lost, now)); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

// TestKindsAreNamed: whatever can be taken away again has a name in both languages.
func TestKindsAreNamed(t *testing.T) {
	t.Parallel()
	for action, take := range takes {
		a, _ := take(entry(1, action, "signing/k1", "scope", "all"))
		if w := a.Kind.Words(); w.JA == "" || w.EN == "" {
			t.Errorf("%s is called %q", action, w)
		}
		if among(past, action) || among(ended, action) {
			t.Errorf("%s is also said to leave nothing", action)
		}
	}
}
