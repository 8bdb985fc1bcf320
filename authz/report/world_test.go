package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// A world is a store in which rooms have left their rows, and a reader of it whose
// people are said by the test.
type world struct {
	*Reader
	t      *testing.T
	clock  *clock.Fake
	db     *store.DB
	policy *policy.Policy
	by     approval.Approver // who is behind the cookie
	seal   *audit.Sealer
}

func (w *world) Signed(context.Context, signin.Origin, string) (approval.Approver, error) {
	return w.by, nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewFake(t0), db: storetest.Open(t), policy: prefecture()}
	w.policy.Privileges = []policy.Privilege{{ID: "db-admin", Name: policy.Words{JA: "データベース管理", EN: "Databases"}}}
	w.policy.Deviations = []policy.Deviation{{ID: "d1", Rule: policy.DeviationSeveralZones, Reason: policy.Words{JA: "試行", EN: "a trial"}, Decision: "CIO-7", Decided: "2026-01-10"}}
	trail := audit.New(w.db, w.clock.Now)
	dir := t.TempDir()
	key, err := audit.CreateKey(filepath.Join(dir, "trail.key"), "trail.example")
	w.must(err)
	w.must(os.Mkdir(filepath.Join(dir, "outside"), 0o700))
	w.seal, err = audit.NewSealer(w.db, w.clock.Now, key, filepath.Join(dir, "outside", "anchor"))
	w.must(err)
	rules := func() *policy.Policy { return w.policy }
	w.Reader = New(House{
		DB: w.db, Trail: trail, Policy: rules, Version: func() int64 { return 3 }, Presence: w, Now: w.clock.Now,
		Lifecycle: lifecycle.New(lifecycle.House{DB: w.db, Trail: trail, Policy: rules, Now: w.clock.Now}),
		SectionOf: func(_ context.Context, login string) (string, error) {
			return map[string]string{"tanaka": "joho", "suzuki": "jinji"}[login], nil
		},
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(q string, args ...any) {
	w.t.Helper()
	w.must(w.db.WithTx(w.t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(w.t.Context(), q, args...); return err }))
}

func (w *world) json(v any) string {
	w.t.Helper()
	b, err := json.Marshal(v)
	w.must(err)
	return string(b)
}

type fields map[string]any

func ref(login, section string) fields {
	return fields{"id": "p-" + login, "login": login, "name": login + " の名", "section": section}
}

func micros(t time.Time) int64 { return store.Micros(t) }

// lease leaves the row of one that was asked for at a time; more is what its body has
// beside.
func (w *world) lease(id, login, section, state string, asked, ends time.Time, more fields) {
	body := fields{"by": ref(login, section), "reason": "保守", "asked": int64(time.Hour)}
	for k, v := range more {
		body[k] = v
	}
	w.exec(`INSERT INTO approval_matter (id, kind, subject, requester_id, beneficiary_id, body, asked_at, lapses_at) VALUES ($1, 'elevation', 'db-admin', $2, $2, '{}', $3, $3)`, "m-"+id, "p-"+login, micros(asked))
	w.exec(`INSERT INTO approval_decision (id, matter_id, human, body, at) VALUES ($1, $2, 'id:x', $3, $4)`, "d-"+id, "m-"+id,
		w.json(fields{"by": ref("yamamoto", "joho"), "post": "security_manager", "how": "post", "yes": state != "denied"}), micros(asked))
	w.exec(`INSERT INTO lease (id, privilege, person_id, state, version, asked_at, ends_at, due_at, matter, extension, incident, session_id, owes, changed_at, body)
		VALUES ($1, 'db-admin', $2, $3, 1, $4, $5, 0, $6, '', '', '', 0, 0, $7)`, id, "p-"+login, state, micros(asked), micros(ends), "m-"+id, w.json(body))
}

func (w *world) permit(id, login, section, state string, asked, from, until, used time.Time, more fields) {
	body := fields{"person": ref(login, section), "requester": ref(login, section), "reason": "在宅", "policy_version": 1, "stated": fields{"terminal": []string{"t-1"}, "applications": []string{"zaimu"}}, "lapses_at": micros(asked.AddDate(0, 0, 7))}
	for k, v := range more {
		body[k] = v
	}
	w.exec(`INSERT INTO permit (id, kind, person_id, requester_id, application, terminal, enforced, state, version, asked_at, starts_at, ends_at, due_at, matter, changed_at, used_at, body)
		VALUES ($1, 'remote_access', $2, $2, '', 't-1', 1, $3, 1, $4, $5, $6, 0, '', 0, $7, $8)`, id, "p-"+login, state, micros(asked), micros(from), micros(until), micros(used), w.json(body))
}

func (w *world) session(id, login string, outside int, from, seen, ended time.Time) {
	w.exec(`INSERT INTO session (id, handle_key, handle_mac, person_id, login, name, zone, outside, acr, amr, source, user_agent, app, parent, started_at, auth_at, expires_at, idle_expires_at, seen_at, previous_at, previous_from, previous_out_at, failures_since, ended_at, changed_at)
		VALUES ($1, 'k', $1, $2, $3, $3, 'lgwan', $4, 'aal2', 'pwd otp', '203.0.113.9', 'b', '', '', $5, $5, $6, $6, $7, 0, '', 0, 0, $8, 0)`,
		id, "p-"+login, login, outside, micros(from), micros(from.Add(9*time.Hour)), micros(seen), micros(ended))
}

// filled leaves rows of every room: days are those before t0.
func (w *world) filled() *world {
	day := func(n int) time.Time { return t0.AddDate(0, 0, -n) }
	w.lease("l1", "tanaka", "joho", "ended", day(3), day(3).Add(2*time.Hour), fields{
		"started_at": micros(day(3).Add(time.Hour)), "ended_at": micros(day(3).Add(90 * time.Minute)), "ended_by": ref("tanaka", "joho"), "record_asked": true, "record_within": int64(24 * time.Hour),
	})
	w.lease("l2", "suzuki", "jinji", "active", day(0).Add(-time.Hour), t0.Add(time.Hour), fields{"started_at": micros(t0.Add(-time.Hour)), "emergency": true, "times": 1, "record_within": int64(24 * time.Hour)})
	w.lease("l3", "tanaka", "joho", "denied", day(5), time.Time{}, nil)
	w.lease("old", "tanaka", "joho", "ended", day(60), day(60).Add(time.Hour), fields{"started_at": micros(day(60)), "ended_at": micros(day(60).Add(time.Hour)), "ended_by": ref("tanaka", "joho")})
	w.lease("across", "tanaka", "joho", "ended", day(31), day(29), fields{"started_at": micros(day(31)), "ended_at": micros(day(29)), "ended_by": ref("tanaka", "joho")})

	yes := fields{"decided_at": micros(day(40))}
	w.permit("p1", "tanaka", "joho", "approved", day(40), day(39), t0.AddDate(0, 0, 30), day(2), yes)
	w.permit("p2", "suzuki", "jinji", "approved", day(40), day(39), day(1), time.Time{}, yes) // over, never used
	w.permit("p3", "suzuki", "jinji", "pending", day(1), day(0), t0.AddDate(0, 0, 30), time.Time{}, nil)
	w.permit("gone", "tanaka", "joho", "ended", day(90), day(89), day(80), day(85), fields{"decided_at": micros(day(89)), "ended_at": micros(day(81)), "ended_by": ref("tanaka", "joho")})
	w.session("s1", "tanaka", 1, day(2), day(2).Add(time.Hour), day(2).Add(2*time.Hour))
	w.session("s2", "tanaka", 0, day(2), day(2).Add(time.Hour), time.Time{})
	w.session("s3", "tanaka", 1, t0.Add(-time.Hour), t0.Add(-time.Minute), time.Time{})
	w.session("s4", "tanaka", 1, day(70), day(70), day(70))
	w.exec(`INSERT INTO remote_session (class_key, class_mac, id, client, application, person_id, login, name, zone, source, gear, user_name, admitted_at, ends_at, bytes_in, ended_at)
		VALUES ('k', 'm', 's1', 'vpn-1', 'zaimu', 'p-tanaka', 'tanaka', '', 'lgwan', '203.0.113.9', '192.0.2.1', 'tanaka', $1, $2, 4096, $3)`, micros(day(2)), micros(t0), micros(day(2).Add(90*time.Minute)))

	finding := `INSERT INTO elevation_finding (id, kind, place, subject, login, privilege, found_at, seen_at, removed_at, closed_at, closed_by) VALUES ($1, $2, 'cn=db-admins', $3, $4, 'db-admin', $5, $6, $7, $8, $9)`
	w.exec(finding, "f1", "membership", "uid=tanaka", "tanaka", micros(day(50)), micros(t0), 0, 0, "")
	w.exec(finding, "f2", "membership", "uid=suzuki", "suzuki", micros(day(4)), micros(day(4)), micros(day(4)), micros(day(4)), "sekisho")
	w.exec(finding, "f3", "enabled", "uid=adm", "adm", micros(day(90)), micros(day(90)), 0, micros(day(80)), "directory")
	noticed := `INSERT INTO lifecycle_finding (kind, subject, login, section, detail, found_at, seen_at, closed_at) VALUES ($1, $2, $3, $4, '', $5, $6, $7)`
	w.exec(noticed, "orphan_factor", "p-gone", "", "", micros(day(10)), micros(day(0)), 0)
	w.exec(noticed, "no_owner", "p-batch", "batch", "joho", micros(day(10)), micros(day(0)), 0)
	w.exec(noticed, "temporary_password", "p-new", "new", "jinji", micros(day(20)), micros(day(12)), micros(day(12)))
	w.exec(`INSERT INTO emergency_id (id, name, account, body, registered_at) VALUES ('e1', 'x', 'root', $1, $2)`, w.json(fields{
		"id": "e1", "system": "税務サーバ", "account": "root", "registered": fields{"at": day(900)}, "sealed": fields{"at": day(900)}, "placed": fields{"at": day(900)}, "confirmed": fields{"at": day(900)},
	}), micros(day(900)))

	w.exec(`INSERT INTO sweep (id, slot, as_of, began_at, by_login, state, holder, claimed_until, people, ended_at) VALUES ('w1', 's', $1, $1, 'system', 'done', '', 0, 5, $1)`, micros(t0))
	for _, e := range []struct {
		login, section, class, age, stage string
		unused                            int
	}{{"tanaka", "joho", "staff", "60_to_89", "warned", 70}, {"suzuki", "jinji", "privileged", "90_to_179", "disabled", 100}} {
		w.exec(`INSERT INTO sweep_entry (sweep, person_id, login, name, section, company, kind, class, created_at, last_use_at, since_at, unused, stage, hold, act, outcome)
			VALUES ('w1', $1, $2, $2, $3, '', 'staff', $4, 0, $5, $5, $6, $7, '', '', '')`, "p-"+e.login, e.login, e.section, e.class, micros(day(e.unused)), e.unused, e.stage)
		w.exec(`INSERT INTO sweep_count (sweep, section, class, age, n) VALUES ('w1', $1, $2, $3, 1)`, e.section, e.class, e.age)
	}
	w.exec(`INSERT INTO sweep_count (sweep, section, class, age, n) VALUES ('w1', 'joho', 'staff', 'under_30', 3)`)

	for i := range 12 {
		e := audit.Entry{Time: day(1), Actor: "tanaka", Action: "session.began", Articles: []policy.Article{"62-1", "62-2"}}
		if i%4 == 0 {
			e.Outcome, e.Action = audit.Refused, "session.refused"
		}
		if i == 0 {
			e.Time = day(70)
		}
		w.must(w.db.WithTx(w.t.Context(), func(tx *store.Tx) error { return w.Trail.Append(w.t.Context(), tx, e) }))
	}
	w.must(w.seal.Seal(w.t.Context()))
	return w
}

func (w *world) make(what Name, scope Scope) Document {
	w.t.Helper()
	period, err := ParsePeriod("", "", t0)
	w.must(err)
	if what == OfDormant {
		period = Period{}
	}
	d, err := w.Make(w.t.Context(), what, period, scope)
	w.must(err)
	return d
}

// samples are all reports of a store in which every room has left rows.
func samples(t *testing.T) map[string]Document {
	w, out := newWorld(t).filled(), map[string]Document{}
	for _, name := range Names() {
		out[string(name)] = w.make(name, Everything)
	}
	return out
}

func (w *world) is(posts ...policy.PostID) {
	w.by = approval.Approver{
		Holder: approval.Holder{Person: directory.Person{ID: "p-reader", Login: "reader", Section: "joho"}, Posts: posts}, Usable: true,
		ACR: policy.AAL2, AuthAt: t0, From: "10.2.0.9", Zone: policy.LGWAN,
	}
}

// entries are those of the trail with an action, the newest first.
func (w *world) entries(action string) []audit.Record {
	w.t.Helper()
	w.must(w.seal.Seal(w.t.Context()))
	found, err := w.Trail.Search(w.t.Context(), audit.Filter{Action: action})
	w.must(err)
	return found
}

func loginsOf[T any](items []T, login func(T) string) []string {
	out := []string{}
	for _, one := range items {
		out = append(out, login(one))
	}
	return out
}

// more leaves what somebody asked for beyond what they had, and what was said on it.
func (w *world) more(id, lease string, minutes int, asked time.Time, state string) {
	w.exec(`INSERT INTO approval_matter (id, kind, subject, requester_id, beneficiary_id, body, asked_at, lapses_at, state) VALUES ($1, 'extension', 'db-admin', 'x', 'x', $2, $3, $4, $5)`,
		id, w.json(fields{"reason": "長引いた", "detail": fields{"lease": lease, "minutes": strconv.Itoa(minutes)}}), micros(asked), micros(t0.AddDate(0, 0, 7)), state)
	if state != "pending" {
		w.exec(`INSERT INTO approval_decision (id, matter_id, human, body, at) VALUES ($1, $1, 'id:x', $2, $3)`, id,
			w.json(fields{"by": ref("mori", "joho"), "post": "security_manager", "how": "post", "yes": state == "approved"}), micros(asked))
	}
}

// TestMoreTime: the report of privilege has who said what on more time, each with its
// lease, also where it was asked for before the period began.
func TestMoreTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	began := t0.AddDate(0, 0, -3).Add(time.Hour)
	w.more("x1", "l1", 30, began.Add(10*time.Minute), "approved")
	w.more("x2", "l1", 60, began.Add(20*time.Minute), "denied")
	w.more("x3", "l2", 15, t0.Add(-time.Minute), "pending")
	w.more("x4", "across", 45, t0.AddDate(0, 0, -31).Add(time.Minute), "approved")
	w.more("x5", "old", 45, t0.AddDate(0, 0, -2), "approved") // of a lease that is not in it
	d := w.make(OfPrivilege, Everything)
	got := map[string]string{}
	for _, u := range d.Answer("", 0).(PrivilegeAnswer).Items {
		for _, m := range u.More {
			by := ""
			for _, one := range m.Decisions {
				by += fmt.Sprintf(" %s:%t", one.By, one.Approved)
			}
			got[u.ID] += fmt.Sprintf("%d %s%s;", m.Minutes, m.State, by)
		}
	}
	want := map[string]string{"l1": "30 approved mori:true;60 denied mori:false;", "l2": "15 pending;", "across": "45 approved mori:true;"}
	if !maps.Equal(got, want) {
		t.Errorf("more time: %v, want %v", got, want)
	}
	s := d.Report("ja").Entries()
	at := slices.IndexFunc(s.Columns, func(c Column) bool { return c.Key == "extensions" })
	for _, row := range s.Rows {
		want := map[string]string{"l1": "+30 mori の名; +60 × mori の名", "l2": "+15", "across": "+45 mori の名"}[row[0].(Ref).ID]
		if row[at] != want {
			t.Errorf("%s is written as %q, want %q", row[0].(Ref).ID, row[at], want)
		}
	}
}

// TestPrivilege: uses of the period and no others, with who decided, for how long, and
// what is owed; what somebody holds without a lease; and of all that, what a section sees.
func TestPrivilege(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	got := w.make(OfPrivilege, Everything).Answer("", 0).(PrivilegeAnswer)
	ids := loginsOf(got.Items, func(u UseAnswer) string { return u.ID })
	if !slices.Equal(ids, []string{"l2", "l1", "l3", "across"}) {
		t.Fatalf("uses %v", ids)
	}
	glass, used, denied, across := got.Items[0], got.Items[1], got.Items[2], got.Items[3]
	if !glass.Emergency || glass.State != "active" || glass.Seconds != 3600 || glass.Record != "owed" || !glass.EndedAt.Equal(t0.Add(time.Hour)) {
		t.Errorf("the emergency: %+v", glass)
	}
	if used.Seconds != 1800 || used.Record != "overdue" || len(used.Decisions) != 1 || used.Decisions[0].By != "yamamoto" || !used.Decisions[0].Approved || used.Decisions[0].Post != "security_manager" {
		t.Errorf("the use: %+v", used)
	}
	if denied.State != "denied" || denied.StartedAt != nil || denied.Decisions[0].Approved {
		t.Errorf("the denied one: %+v", denied)
	}
	if across.Seconds != 24*3600 {
		t.Errorf("the one from before the period counts for %d s", across.Seconds)
	}
	if s := got.Privileges; len(s) != 1 || s[0].Name != "データベース管理" || s[0].Asked != 4 || s[0].Used != 3 || s[0].Active != 1 || s[0].Emergency != 1 || s[0].Denied != 1 || s[0].Owed != 2 || s[0].Seconds != 25*3600+1800 {
		t.Errorf("by privilege: %+v", s)
	}
	if s := got.Sections; len(s) != 2 || s[0].ID != "joho" || s[0].Asked != 3 {
		t.Errorf("by section: %+v", s)
	}
	var sum int64
	for _, week := range got.Weeks {
		sum += week.Seconds
	}
	if sum != 25*3600+1800 {
		t.Errorf("the weeks hold %d s: %+v", sum, got.Weeks)
	}
	if s := got.Standing; len(s) != 2 || s[0].Login != "tanaka" || s[0].ClosedAt != nil || s[0].Section != "joho" || s[1].Login != "suzuki" || s[1].ClosedAt == nil {
		t.Errorf("standing: %+v", s)
	}
	own := w.make(OfPrivilege, Scope{Sections: []string{"jinji"}}).Answer("", 0).(PrivilegeAnswer)
	if len(own.Items) != 1 || own.Items[0].ID != "l2" || len(own.Sections) != 1 || len(own.Standing) != 1 || own.Standing[0].Login != "suzuki" {
		t.Errorf("of a section: %+v", own)
	}
}

func TestRemote(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	got := w.make(OfRemote, Everything).Answer("", 0).(RemoteAnswer)
	if ids := loginsOf(got.Items, func(m PermissionAnswer) string { return m.ID }); !slices.Equal(ids, []string{"p3", "p2", "p1"}) {
		t.Fatalf("permits %v", ids)
	}
	asked, over, live := got.Items[0], got.Items[1], got.Items[2]
	if asked.State != "pending" || asked.NeverUsed {
		t.Errorf("the one that waits: %+v", asked)
	}
	if over.State != "expired" || !over.NeverUsed || over.LastUse != nil || over.Sessions != 0 {
		t.Errorf("the one that nobody used: %+v", over)
	}
	if live.State != "approved" || live.NeverUsed || live.Sessions != 2 || live.Terminal != "t-1" || !slices.Equal(live.Applications, []string{"zaimu"}) {
		t.Errorf("the live one: %+v", live)
	}
	if ids := loginsOf(got.Sessions, func(v VisitAnswer) string { return v.ID }); !slices.Equal(ids, []string{"s3", "s1"}) {
		t.Fatalf("sessions %v", ids)
	}
	now, gear := got.Sessions[0], got.Sessions[1]
	if now.EndedAt != nil || now.Gear != "" || !now.LastUse.Equal(t0.Add(-time.Minute)) {
		t.Errorf("the session that goes on: %+v", now)
	}
	if gear.Gear != "vpn-1" || gear.BytesIn != 4096 || !gear.EndedAt.Equal(t0.AddDate(0, 0, -2).Add(90*time.Minute)) {
		t.Errorf("the session through gear: %+v", gear)
	}
	if s := got.Sections; len(s) != 2 || s[0] != (RemoteSumAnswer{"jinji", "人事課", 2, 0, 1, 1, 1, 0}) || s[1] != (RemoteSumAnswer{"joho", "情報課", 1, 1, 0, 0, 0, 2}) {
		t.Errorf("by section: %+v", s)
	}
	if own := w.make(OfRemote, Scope{Sections: []string{"jinji"}}).Answer("", 0).(RemoteAnswer); len(own.Items) != 2 || len(own.Sessions) != 0 {
		t.Errorf("of a section: %+v", own)
	}
	// Its end is the session's, though nobody wrote it down.
	w.clock.Advance(10 * time.Hour)
	late := w.make(OfRemote, Everything).Answer("", 0).(RemoteAnswer)
	if end := late.Sessions[0].EndedAt; end == nil || !end.Equal(t0.Add(8*time.Hour)) {
		t.Errorf("ten hours later the session is over at %v", end)
	}
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	got := w.make(OfReconcile, Everything).Answer("", 0).(ReconcileAnswer)
	kinds := loginsOf(got.Items, func(m MismatchAnswer) string { return m.Kind + " " + m.Login })
	want := []string{"no_owner batch", "orphan_factor ", "membership tanaka", "sealed_rotation root", "sealed_test root", "membership suzuki", "temporary_password new"}
	slices.Sort(kinds)
	if slices.Sort(want); !slices.Equal(kinds, want) {
		t.Errorf("%q, want %q", kinds, want)
	}
	open := true
	for _, m := range got.Items {
		if m.ClosedAt == nil && !open {
			t.Errorf("%s is open and stands below what is closed", m.ID)
		}
		open = m.ClosedAt == nil
	}
	if got.Sealed != 1 || len(got.Kinds) != len(MismatchKinds()) {
		t.Errorf("%d emergency IDs, %d kinds", got.Sealed, len(got.Kinds))
	}
	for _, k := range MismatchKinds() {
		if mismatchWords[k].JA == "" || mismatchWords[k].EN == "" {
			t.Errorf("%s has no words", k)
		}
	}
	own := w.make(OfReconcile, Scope{Sections: []string{"joho"}}).Answer("", 0).(ReconcileAnswer)
	if logins := loginsOf(own.Items, func(m MismatchAnswer) string { return m.Login }); len(logins) != 2 || !slices.Contains(logins, "batch") || !slices.Contains(logins, "tanaka") || own.Sealed != 0 {
		t.Errorf("of a section: %v, %d emergency IDs", logins, own.Sealed)
	}
}

// TestFindingsCut: where a report leaves findings out, it says so.
func TestFindingsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	cut := func(name Name) bool {
		d := w.make(name, Everything)
		var said struct {
			Cut bool `json:"findings_cut"`
		}
		w.must(json.Unmarshal([]byte(w.json(d.Answer("", 0))), &said))
		if noted := slices.Contains(d.Report("en").Notes, cutNotes(true)[0]); noted != said.Cut {
			t.Errorf("%s: noted %v, said %v", name, noted, said.Cut)
		}
		return said.Cut
	}
	for _, name := range []Name{OfDormant, OfPrivilege, OfReconcile} {
		if w.most = mostFindings; cut(name) {
			t.Errorf("%s is said to be cut", name)
		}
		if w.most = 1; !cut(name) {
			t.Errorf("%s is cut, and does not say so", name)
		}
	}
}

// TestPrintedNotes: a signed checkpoint is printed with its lines, or nobody could check it.
func TestPrintedNotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	d := w.make(OfEvidence, Everything)
	var b bytes.Buffer
	w.must(d.Report("en").WriteHTML(&b, "en"))
	for _, want := range []string{".note{white-space:pre-wrap", `<p class="note">Tree head`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in %s", want, b.String())
		}
	}
}

// TestEvidence: for each article what the trail holds of the period, with the numbers of
// samples that are the article's, settings, deviations and the head of the tree.
func TestEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	got := w.make(OfEvidence, Everything).Answer("", 0).(EvidenceAnswer)
	by := map[string]ArticleEvidenceAnswer{}
	for _, e := range got.Items {
		by[e.Article] = e
	}
	e := by["62-1"]
	if e.Entries != 11 || e.Refused != 2 || e.First == nil || *e.First != 1 || *e.Last != 11 || len(e.Actions) != 2 || e.Actions[0].Action != "session.began" || e.Actions[0].Entries != 9 {
		t.Errorf("62-1: %+v", e)
	}
	if len(e.Samples) == 0 || len(e.Samples) > samplesEach {
		t.Errorf("%d samples", len(e.Samples))
	}
	for _, s := range e.Samples {
		if s.Index < 1 || s.Index > 11 || s.Actor != "tanaka" || s.Hash == "" {
			t.Errorf("a sample: %+v", s)
		}
	}
	if d := by["26no2-1"].Deviations; len(d) != 1 || d[0].Decision != "CIO-7" {
		t.Errorf("deviations: %+v", d)
	}
	if !slices.ContainsFunc(by["62-5"].Settings, func(s SettingAnswer) bool { return s.Path == "dormancy.warn_days" && s.Value == "60" }) {
		t.Errorf("settings of 62-5: %+v", by["62-5"].Settings)
	}
	if !slices.ContainsFunc(by["63-7"].Settings, func(s SettingAnswer) bool { return s.Path == "zones[mynumber].idle_end" && s.Value == "15m" }) {
		t.Errorf("settings of 63-7: %+v", by["63-7"].Settings)
	}
	if got.Policy != 3 || got.Size != 12 || got.Checkpoint == "" || got.SignedAt == nil {
		t.Errorf("the head: version %d, %d entries, %q", got.Policy, got.Size, got.Checkpoint)
	}
	order := orderOfArticles()
	if !slices.IsSortedFunc(got.Items, func(a, b ArticleEvidenceAnswer) int {
		return order(policy.Article(a.Article)) - order(policy.Article(b.Article))
	}) {
		t.Error("the articles are not in the guideline's order")
	}
	again := w.make(OfEvidence, Everything).Answer("", 0).(EvidenceAnswer)
	if w.json(again.Items) != w.json(got.Items) {
		t.Error("the same checkpoint gives other samples")
	}
}

// TestDormantOfASection: who answers for a section sees nobody else's, also in the sums.
func TestDormantOfASection(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	all := w.make(OfDormant, Everything).Answer("", 0).(DormantAnswer)
	if all.People != 5 || len(all.Items) != 2 || len(all.Sections) != 2 || len(all.Findings) != 2 {
		t.Errorf("all: %+v", all)
	}
	own := w.make(OfDormant, Scope{Sections: []string{"joho"}}).Answer("", 0).(DormantAnswer)
	if own.People != 4 || len(own.Items) != 1 || own.Items[0].Login != "tanaka" || len(own.Sections) != 1 || len(own.Findings) != 1 {
		t.Errorf("own: %+v", own)
	}
	d, err := w.Make(t.Context(), OfDormant, Period{t0.AddDate(0, 0, -80), t0}, Everything)
	w.must(err)
	if since := d.Answer("", 0).(DormantAnswer); len(since.Items) != 1 || since.Items[0].Login != "tanaka" || since.People != 5 {
		t.Errorf("since a day: %+v", since)
	}
}

// TestFor: reading takes a post and two factors, and is on the trail, as is the refusal,
// once a minute; where the trail takes nothing, nobody reads.
func TestFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	ask := func(what Name) error {
		_, err := w.For(t.Context(), signin.Origin{}, "cookie", Wish{Name: what, Format: "csv"})
		return err
	}
	w.is(policy.SecurityManager)
	w.must(ask(OfPrivilege))
	read := w.entries("report.read")
	if len(read) != 1 || read[0].Actor != "reader" || read[0].Object != "privilege" || read[0].Outcome != audit.OK || read[0].Detail["scope"] != "joho" || read[0].Detail["format"] != "csv" || read[0].Detail["entries"] != "3" {
		t.Fatalf("on the trail: %+v", read)
	}
	var no *Refusal
	for range 2 {
		if err := ask(OfEvidence); !errors.As(err, &no) || no.Reason != "no_post" {
			t.Errorf("evidence: %v", err)
		}
	}
	if refused := w.entries("report.read"); len(refused) != 2 || refused[0].Outcome != audit.Refused || refused[0].Reason != "no_post" {
		t.Errorf("the refusal on the trail: %+v", refused)
	}
	var up *account.StepUp
	w.by.ACR = policy.AAL1
	if err := ask(OfPrivilege); !errors.As(err, &up) {
		t.Errorf("with one factor: %v", err)
	}
	w.is(policy.SecurityManager)
	w.by.AuthAt = t0.Add(-w.policy.Session.ElevatedAbsoluteEnd - time.Second)
	if err := ask(OfPrivilege); !errors.As(err, &up) {
		t.Errorf("with an old sign-in: %v", err)
	}
	w.is(policy.SecurityManager)
	w.by.Usable = false
	if err := ask(OfPrivilege); err == nil {
		t.Error("who may use nothing reads")
	}
	w.is(policy.SecurityManager)
	if err := func() error {
		_, err := w.For(t.Context(), signin.Origin{}, "", Wish{Name: OfPrivilege})
		return err
	}(); !errors.Is(err, signin.ErrNone) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := w.For(t.Context(), signin.Origin{}, "cookie", Wish{Name: OfPrivilege, From: "x"}); !errors.As(err, &no) || no.Field != "from" {
		t.Errorf("a period that is none: %v", err)
	}
	mend := storetest.Refuse(t, w.db, "INSERT", "trail_pending", "")
	if err := ask(OfPrivilege); err == nil {
		t.Error("it was read, and nobody can tell")
	}
	mend()
	if _, err := w.AtTerminal(t.Context(), "root", Wish{Name: OfEvidence, Format: "json"}); err != nil {
		t.Error(err)
	}
	if read := w.entries("report.read"); read[0].Actor != "root" || read[0].Detail["at"] != "terminal" || read[0].Detail["scope"] != "all" {
		t.Errorf("at a terminal: %+v", read[0])
	}
}

// TestNothingYet: of unused IDs there is none before the first sweep, and that it was
// asked for is on the trail all the same.
func TestNothingYet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.is(policy.Auditor)
	d, err := w.For(t.Context(), signin.Origin{}, "cookie", Wish{Name: OfDormant})
	if !errors.Is(err, ErrNothingYet) || d == nil || d.Answer("", 0).(DormantAnswer).AsOf != nil {
		t.Errorf("%v, %v", d, err)
	}
	if read := w.entries("report.read"); len(read) != 1 {
		t.Error("not on the trail")
	} else if n, counted := read[0].Detail["entries"]; counted {
		t.Errorf("%s entries of nothing", n)
	}
	for _, name := range Names()[1:] {
		if b := w.json(w.make(name, Everything).Answer("", 0)); name != OfEvidence && !json.Valid([]byte(b)) {
			t.Errorf("%s of an empty store: %s", name, b)
		}
	}
}
