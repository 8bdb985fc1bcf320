package page

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sekisho/authz/personnel"
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
		{"a lease", func(w *world) *world { return atDesk(w) }, "/leases/ask", []string{"privilege", "core", "minutes", "17", "ticket", "CHG-9", "reason", said}, "/leases/ask?privilege=core", []string{said, `value="17"`, `value="CHG-9"`}},
		{"a lease at once", func(w *world) *world { return atDesk(w) }, "/leases/emergency", []string{"privilege", "db-admin", "minutes", "7", "reason", said}, "/leases/emergency?privilege=db-admin", []string{said, `value="7"`}},
		{"a shared ID", atCloset, "/shared/hoso/checkout", []string{"minutes", "17", "reason", said}, "/shared", []string{said, `value="17"`}},
		{"a permit", func(w *world) *world { return atTollbooth(w) }, "/permits/new", []string{
			"kind", "remote_access", "reason", said, "stated-terminal", "lent-12", "stated-applications", "zaimu", "stated-days", "sat", "stated-hours", "07:15-08:15", "from", "2026-04-02", "until", "2026-04-03",
		}, "/permits/new?kind=remote_access", []string{said, `value="zaimu" checked`, `value="sat" checked`, `value="07:15-08:15"`, `value="2026-04-03"`}},
		{"a new emergency ID", atSafe, "/sealed/register", []string{"system", "FW", "account", "root-17", "place", "金庫三", "note", said}, "/sealed/register", []string{said, "root-17", "金庫三"}},
		{"an opened envelope", atSafe, "/sealed/e7/open", []string{"opener", "sato-17", "at", "2026-04-01T08:17", "note", said}, "/sealed/e7", []string{said, "sato-17", "2026-04-01T08:17"}},
		{"a test of an emergency ID", atSafe, "/sealed/e7/test", []string{"result", "failed", "note", said}, "/sealed/e7", []string{said, `value="failed" checked`}},
		{"a suspension", asOffice, "/people/suzuki/suspend", []string{"reason", said, "until", "2026-05-17"}, "/people/suzuki/suspend", []string{said, "2026-05-17"}},
		{"a leave", asOffice, "/people/suzuki/leave", []string{"reason", said, "from", "2026-05-16", "until", "2026-05-17"}, "/people/suzuki/leave", []string{said, "2026-05-16", "2026-05-17"}},
		{"a new project", atBureau, "/projects/new", append([]string{"x", "y"}, goodProject...), "/projects/new", []string{"財務会計 再構築", "例システム", "第12号", `value="development" required checked`, "2027-03-31"}},
		{"an ID for a project", atBureau, "/projects/zaimu-r9/bind", []string{"login", "gyosha9", "role", "responsible", "reason", said}, "/projects/zaimu-r9", []string{said, `value="gyosha9"`, `value="responsible" selected`}},
		{"a project's end", atBureau, "/projects/zaimu-r9/reschedule", []string{"until", "2026-04-05", "reason", said}, "/projects/zaimu-r9", []string{said, "2026-04-05"}},
		{"a project that is completed", atBureau, "/projects/zaimu-r9/complete", []string{"reason", said}, "/projects/zaimu-r9/complete", []string{said}},
		{"an ID's release", atBureau, "/projects/zaimu-r9/release/gyosha1", []string{"reason", said}, "/projects/zaimu-r9/release/gyosha1", []string{said}},
		{"an import to be undone", undoable, "/imports/import-1/undo", []string{"reason", said}, "/imports/import-1", []string{said}},
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
			refuse := func(err error) {
				w.desk.actErr, w.alarm.actErr, w.permits.actErr = err, err, err
				w.closet.actErr, w.safe.actErr, w.office.actErr, w.imports.actErr = err, err, err, err
				w.project.actErr = err
			}
			refuse(freshly)
			sent := w.post(tt.path, tt.fields...)
			sent.leadsTo("/signin?" + url.Values{"acr": {"phr"}, "max_age": {"600"}, "rd": {tt.back}}.Encode())
			refuse(nil)
			shown(true, "back from the sign-in")
			me := w.now.Person.ID
			w.now.Person.ID = "p2"
			if body := w.get(tt.back).is(200).body; strings.Contains(body, said) {
				t.Error("it is shown to somebody else")
			}
			w.now.Person.ID = me
			w.permits.became = nil
			switch a := w.post(tt.path, tt.fields...); {
			case tt.path == "/lockdown/preview":
				a.is(http.StatusOK)
				w.clock.Advance(typedFor) // only looked at: it is there until its time is over
			case strings.HasSuffix(tt.path, "/checkout"):
				a.is(http.StatusOK).says("Abcd-efgh-2345")
			default:
				a.is(http.StatusSeeOther)
			}
			if body := w.get(tt.back).is(200).body; strings.Contains(body, said) {
				t.Error("it is shown when it was done, or long ago")
			}
		})
	}
}

// TestTypedStaysWithItsForm: what was typed about one thing is in no form about another.
func TestTypedStaysWithItsForm(t *testing.T) {
	t.Parallel()
	const said = "停電の復旧を確かめた"
	for _, tt := range []struct {
		name      string
		at        func(*world) *world
		path      string
		fields    []string
		elsewhere []string
	}{
		{"a lease", func(w *world) *world { return atDesk(w) }, "/leases/ask", []string{"privilege", "core", "minutes", "17", "ticket", "CHG-9", "reason", said}, []string{"/leases/ask?privilege=db-admin", "/leases/emergency?privilege=db-admin"}},
		{"a permit", func(w *world) *world { return atTollbooth(w) }, "/permits/new", []string{"kind", "dispose", "reason", said, "stated-asset", "調査票", "stated-class", "2", "from", "2026-05-01", "until", "2026-06-01"}, []string{"/permits/new?kind=remote_access", "/permits/new?kind=dispose&stated-asset=x", "/permits/new?renew=p3"}},
		{"an act on an envelope", atSafe, "/sealed/e7/open", []string{"note", said}, []string{"/sealed/e6", "/sealed/register"}},
		{"an act on somebody", asOffice, "/people/suzuki/suspend", []string{"reason", said}, []string{"/people/suzuki/leave", "/people/suzuki/restore"}},
	} {
		w := tt.at(newWorld(t))
		w.desk.actErr, w.permits.actErr, w.safe.actErr, w.office.actErr = freshly, freshly, freshly, freshly
		w.post(tt.path, tt.fields...).is(http.StatusSeeOther)
		for _, path := range tt.elsewhere {
			if body := w.get(path).is(200).body; strings.Contains(body, said) {
				t.Errorf("%s: it is shown at %s", tt.name, path)
			}
		}
	}
}

func asOffice(w *world) *world { return inOffice(w).world }

// undoable has an import that was carried out and can be undone still.
func undoable(w *world) *world {
	c := filed(personnel.Done)
	c.all[0].UndoUntil = t0.AddDate(0, 0, 7)
	return atCabinet(w, c)
}

// halfDecided has a sign-in grow old between the first permit and the second.
func halfDecided(w *world) *world {
	withRequests(w)
	w.permits.became = []desk.Decided{{ID: "m10"}}
	return w
}
