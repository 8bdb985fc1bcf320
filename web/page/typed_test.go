package page

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sekisho/web/desk"
)

// TestTypedIsNotLost: what somebody typed is there again when they come back from the
// sign-in that it took, for them alone, for a while, and not when it was done; and it
// stands in no address.
func TestTypedIsNotLost(t *testing.T) {
	t.Parallel()
	const said = "停電の復旧を確かめた"
	for _, tt := range []struct {
		name   string
		at     func(*world) *world
		path   string
		fields []string
		back   string // where the sign-in leads to
		says   []string
	}{
		{"a decision", asApprover, "/approvals/m1", []string{"answer", "yes", "comment", said}, "/approvals/m1", []string{said}},
		{"a longer time", func(w *world) *world { return atDesk(w) }, "/leases/l1/extend", []string{"minutes", "17", "comment", said}, "/leases/l1", []string{said, `value="17"`}},
		{"a record", func(w *world) *world { return atDesk(w) }, "/leases/l4/report", []string{"report", said}, "/leases/l4", []string{said}},
		{"a lock-down, looked at", atAlarm, "/lockdown/preview", []string{"scope", "section", "target", "joho", "minutes", "30", "reason", said}, "/lockdown/order?minutes=30&scope=section&target=joho", []string{said}},
		{"a lock-down's last word", atAlarm, "/lockdown/order", []string{"scope", "section", "target", "joho", "minutes", "30", "reason", said, "id", "id-1"}, "/lockdown/order?minutes=30&scope=section&target=joho", []string{said}},
		{"a lock-down's end", atAlarm, "/lockdown/l1/lift", []string{"reason", said}, "/lockdown", []string{said}},
		{"a review", toReview, "/reviews/d1", []string{"answer", "objection", "comment", said}, "/reviews", []string{said}},
		{"a finding", withLive, "/findings/f1/take", []string{"note", said}, "/findings", []string{said}},
		{"a permit's end", keepsRegisters, "/permits/r1/revoke", []string{"comment", said}, "/permits/r1", []string{said}},
		{"one of two", halfDecided, "/approvals", []string{"answer", "yes", "id", "m11", "comment", said}, "/approvals?done=part&n=1", []string{said, "1件は、本人確認の前に", `value="m11" form="all" checked`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := tt.at(newWorld(t))
			shown := func(want bool, when string) {
				t.Helper()
				body := w.get(tt.back).is(200).body
				for _, says := range tt.says {
					if strings.Contains(body, says) != want {
						t.Errorf("%s, %s says %q: want %t", when, tt.back, says, want)
					}
				}
			}
			w.desk.actErr, w.alarm.actErr, w.permits.actErr = freshly, freshly, freshly
			sent := w.post(tt.path, tt.fields...)
			sent.leadsTo("/signin?" + url.Values{"acr": {"phr"}, "max_age": {"600"}, "rd": {tt.back}}.Encode())
			w.desk.actErr, w.alarm.actErr, w.permits.actErr = nil, nil, nil
			shown(true, "back from the sign-in")
			me := w.now.Person.ID
			w.now.Person.ID = "p2"
			if body := w.get(tt.back).is(200).body; strings.Contains(body, said) {
				t.Error("it is shown to somebody else")
			}
			w.now.Person.ID = me
			w.permits.became = nil
			if a := w.post(tt.path, tt.fields...); tt.path == "/lockdown/preview" {
				a.is(http.StatusOK)
				w.clock.Advance(typedFor) // only looked at: it is there until its time is over
			} else {
				a.is(http.StatusSeeOther)
			}
			if body := w.get(tt.back).is(200).body; strings.Contains(body, said) {
				t.Error("it is shown when it was done, or long ago")
			}
		})
	}
}

// halfDecided has a sign-in grow old between the first permit and the second.
func halfDecided(w *world) *world {
	withRequests(w)
	w.permits.became = []desk.Decided{{ID: "m10"}}
	return w
}
