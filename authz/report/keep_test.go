package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/claim"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// posts says who holds which.
type posts map[string][]directory.Person

func (p posts) Holders(_ context.Context, groupDN string) ([]directory.Person, error) {
	if who, ok := p[groupDN]; ok {
		return who, nil
	}
	return nil, directory.ErrAway
}

// keeper is a gateway that makes the report of privilege on the first of each month, for
// the managers and the CIO.
func (w *world) keeper() *Keeper {
	for i := range w.policy.Posts {
		w.policy.Posts[i].Group = "cn=" + string(w.policy.Posts[i].ID)
	}
	for i := range w.policy.Zones {
		w.policy.Zones[i].MailNotices = true
	}
	w.policy.Mail.From = "sekisho@pref.example"
	w.policy.Reports = policy.ReportRules{KeepDays: 90, Schedule: []policy.ReportSchedule{{
		ID: "monthly", Report: "privilege", Posts: []policy.PostID{policy.SecurityManager, policy.CIO, policy.Staff}, Every: policy.EveryMonth, Day: "1", Hour: 7,
	}}}
	person := func(login, section string) directory.Person {
		return directory.Person{ID: directory.PersonID("p-" + login), Login: login, Section: section}
	}
	closed := person("closed", "joho")
	closed.Account.Disabled = true
	return &Keeper{
		Reader: w.Reader, Notices: notice.New(w.db, w.clock.Now, w.Policy), Log: slog.New(slog.DiscardHandler),
		Directory: posts{
			"cn=security_manager": {person("yamamoto", "joho"), person("mori", "joho"), person("ueda", "jinji"), closed},
			"cn=cio":              {person("yoshida", "soumu"), person("yamamoto", "joho")},
			"cn=staff":            {person("tanaka", "joho")},
		},
	}
}

func (w *world) tick(k *Keeper) {
	w.t.Helper()
	w.must(k.Tick(w.t.Context()))
}

type told struct{ Person, Kind, Detail string }

func (w *world) told() []told {
	w.t.Helper()
	var out []told
	rows, err := w.db.Query(w.t.Context(), `SELECT person_id, kind, detail FROM notice ORDER BY person_id`)
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		var one told
		w.must(rows.Scan(&one.Person, &one.Kind, &one.Detail))
		out = append(out, one)
	}
	w.must(rows.Err())
	return out
}

func (w *world) number(q string) (n int) {
	w.t.Helper()
	w.must(w.db.QueryRow(w.t.Context(), q).Scan(&n))
	return n
}

// TestSchedule: what is new begins with the next time; each reads their own; what was
// slept through is made once; what is over goes.
func TestSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	k := w.keeper()
	w.tick(k)
	w.clock.Advance(19 * time.Hour) // 2 April, 7:00 in Japan
	w.tick(k)
	if n := w.number(`SELECT COUNT(*) FROM report_kept`); n != 0 {
		t.Fatalf("%d reports before their day", n)
	}
	w.clock.Advance(3 * 30 * 24 * time.Hour) // to 1 July, 7:00
	w.tick(k)
	w.tick(k)
	made := w.entries("report.made")
	if len(made) != 1 || made[0].Detail["reports"] != "3" || made[0].Detail["told"] != "4" || made[0].Detail["slot"] != "2026-07-01T07" {
		t.Fatalf("on the trail: %+v", made)
	}
	var people []string
	for _, n := range w.told() {
		if n.Kind != string(notice.ReportReady) {
			t.Errorf("told %+v", n)
		}
		people = append(people, n.Person)
	}
	// Who is closed, and who may not read it whatever the policy says, is not told.
	if !slices.Equal(people, []string{"p-mori", "p-ueda", "p-yamamoto", "p-yoshida"}) {
		t.Errorf("told: %v", people)
	}

	w.is(policy.CIO)
	all, err := w.KeptFor(t.Context(), signin.Origin{}, "c")
	w.must(err)
	if len(all) != 3 {
		t.Fatalf("the CIO reads %+v", all)
	}
	w.is(policy.SecurityManager) // of joho
	w.by.AuthAt = w.clock.Now()
	own, err := w.KeptFor(t.Context(), signin.Origin{}, "c")
	w.must(err)
	if len(own) != 1 || own[0].Section != "joho" || !own[0].EndsAt.Equal(w.clock.Now().AddDate(0, 0, 90)) || own[0].Period.To.In(japan).Format(time.DateTime) != "2026-07-01 07:00:00" || own[0].Period.From.In(japan).Format(time.DateTime) != "2026-06-01 07:00:00" {
		t.Fatalf("a manager reads %+v", own)
	}
	got, d, err := w.KeptOne(t.Context(), signin.Origin{}, "c", own[0].ID, "page")
	w.must(err)
	if got.ID != own[0].ID || d.Report("en").Title != Titles[OfPrivilege] {
		t.Errorf("it reads %+v", d.Report("en"))
	}
	if a := d.Answer("", 0).(KeptAnswer); a.Kept.ID != got.ID || a.Kept.Section != "joho" || len(a.Items) != got.Entries || a.Next != nil {
		t.Errorf("a program reads %+v", a)
	}
	if read := w.entries("report.read"); len(read) != 1 || read[0].Detail["kept"] != own[0].ID || read[0].Detail["scope"] != "joho" {
		t.Errorf("on the trail: %+v", read)
	}
	for range 2 {
		for _, one := range all {
			if one.Section != "joho" {
				if _, _, err := w.KeptOne(t.Context(), signin.Origin{}, "c", one.ID, "page"); !errors.Is(err, ErrNotKept) {
					t.Errorf("a manager of joho reads what is of %q: %v", one.Section, err)
				}
			}
		}
	}
	// Each refusal is entered, once a minute.
	if refused := w.entries("report.read"); len(refused) != 3 || refused[0].Outcome != audit.Refused || refused[0].Reason != "other_section" || refused[0].Detail["kept"] == "" {
		t.Errorf("refusals on the trail: %+v", refused)
	}
	w.by.AuthAt = w.clock.Now().Add(-24 * time.Hour)
	if _, _, err := w.KeptOne(t.Context(), signin.Origin{}, "c", own[0].ID, "page"); err == nil || errors.Is(err, ErrNotKept) {
		t.Errorf("an old sign-in reads it: %v", err)
	}
	last, err := LastRun(t.Context(), w.db, "monthly")
	w.must(err)
	if !last.Equal(w.clock.Now().Truncate(time.Microsecond)) {
		t.Errorf("last run %v", last)
	}

	w.policy.Reports.Schedule = nil
	w.clock.Advance(90 * 24 * time.Hour)
	w.is(policy.CIO)
	if left, err := w.KeptFor(t.Context(), signin.Origin{}, "c"); err != nil || len(left) != 0 {
		t.Errorf("at its end it is read: %+v, %v", left, err)
	}
	w.tick(k)
	if n := w.number(`SELECT COUNT(*) FROM report_kept`); n != 0 {
		t.Errorf("%d are kept past their end", n)
	}
}

// TestScheduleOnce: many gateways come to the day together, some die on the way, and the
// directory is away for a while; one report is made, and everybody told once.
func TestScheduleOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t).filled()
	gates := make([]*Keeper, 6)
	for i := range gates {
		gates[i] = w.keeper()
	}
	w.tick(gates[0])
	w.clock.Advance(30 * 24 * time.Hour)

	dead := errors.New("killed")
	gates[0].Stop = func(string) error { return dead }
	if err := gates[0].Tick(t.Context()); !errors.Is(err, dead) {
		t.Fatalf("killed: %v", err)
	}
	gates[1].Directory = posts{}
	if err := gates[1].Tick(t.Context()); !errors.Is(err, directory.ErrAway) {
		t.Fatalf("the directory is away: %v", err)
	}
	mend := storetest.Refuse(t, w.db, "INSERT", "notice_copy", "")
	if err := gates[2].Tick(t.Context()); err == nil {
		t.Fatal("nobody can be told, and it is made")
	}
	mend()
	if n := w.number(`SELECT COUNT(*) FROM report_kept`) + w.number(`SELECT COUNT(*) FROM notice`); n != 0 {
		t.Fatalf("%d rows of what was not finished", n)
	}
	// One that died while it read is waited for, no longer than its claim lasts.
	_, err := claim.New(w.db, w.clock.Now).Try(t.Context(), "report:monthly")
	w.must(err)
	w.tick(gates[3])
	if n := w.number(`SELECT COUNT(*) FROM report_kept`); n != 0 {
		t.Fatal("it is made beside who makes it")
	}
	w.clock.Advance(time.Minute)
	var read atomic.Int64
	ready, over := make(chan struct{}), sync.WaitGroup{}
	for _, k := range gates[2:] {
		k.Stop = func(string) error { read.Add(1); return nil }
		over.Go(func() {
			<-ready
			if err := k.Tick(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	close(ready)
	over.Wait()
	if kept, people, made := w.number(`SELECT COUNT(*) FROM report_kept`), len(w.told()), len(w.entries("report.made")); kept != 3 || people != 4 || made != 1 {
		t.Errorf("%d reports, %d people told, made %d times", kept, people, made)
	}
	if n := read.Load(); n != 1 {
		t.Errorf("%d gateways read everything for it", n)
	}
}

// TestScheduledEvidenceIsWhole: evidence counts what is sealed, and the next report begins
// where this one ends. So it waits for what was written before its end.
func TestScheduledEvidenceIsWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.keeper()
	w.policy.Reports.Schedule[0].Report = "evidence"
	w.tick(k)
	w.clock.Advance(30*24*time.Hour - 5*time.Hour - time.Second) // 1 May, a second before 7:00
	last := audit.Entry{Actor: "tanaka", Action: "session.began", Articles: []policy.Article{"62-1"}}
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error { return w.Trail.Append(t.Context(), tx, last) }))
	kept := func() int { return w.number(`SELECT COUNT(*) FROM report_kept`) }
	w.clock.Advance(time.Second)
	w.tick(k)
	w.clock.Advance(settles)
	if w.tick(k); kept() != 0 {
		t.Fatal("it was made before its last entry was sealed")
	}
	w.must(w.seal.Seal(t.Context()))
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error { return w.Trail.Append(t.Context(), tx, last) })) // of the next one
	if w.tick(k); kept() != 1 {
		t.Fatalf("%d are kept", kept())
	}
	w.is(policy.CIO)
	w.by.AuthAt = w.clock.Now()
	all, err := w.KeptFor(t.Context(), signin.Origin{}, "c")
	w.must(err)
	_, d, err := w.KeptOne(t.Context(), signin.Origin{}, "c", all[0].ID, "page")
	w.must(err)
	if n := len(d.Report("ja").Entries().Where(Filter{"article": "62-1", "action": "session.began"}).Rows); n != 1 {
		t.Errorf("%d acts of article 62-1: %+v", n, d.Report("ja").Entries().Rows)
	}
}

// TestKeptForASection: however many reports others have, a section's own are listed.
func TestKeptForASection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		for i := range mostKept + 2 {
			name, section := OfPrivilege, "jinji"
			switch i {
			case 0:
				section = "joho"
			case 1:
				name, section = OfEvidence, "joho"
			}
			id := fmt.Sprintf("k%03d", i)
			if _, err := tx.Exec(t.Context(), `INSERT INTO report_kept (id, schedule, slot, name, section, from_at, to_at, made_at, ends_at, entries, body) VALUES ($1, 's', $1, $2, $3, 0, 0, $4, $5, 0, '{}')`,
				id, string(name), section, micros(t0)+int64(i), micros(t0.AddDate(0, 0, 90))); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, tt := range []struct {
		post  policy.PostID
		first string
		n     int
	}{
		{policy.SecurityManager, "k000", 1}, {policy.SecurityOfficer, "k501", mostKept}, {policy.CIO, "k501", mostKept}, {policy.Staff, "", 0},
	} {
		w.is(tt.post)
		got, err := w.KeptFor(t.Context(), signin.Origin{}, "c")
		w.must(err)
		if len(got) != tt.n || tt.n > 0 && got[0].ID != tt.first {
			t.Errorf("%s: %d reports, %+v", tt.post, len(got), got[:min(len(got), 1)])
		}
	}
}

// TestScheduleWaitsForTheFirstSweep: there is nothing to tell of yet, and the day is not
// lost.
func TestScheduleWaitsForTheFirstSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.keeper()
	w.policy.Reports.Schedule[0].Report = "dormant"
	w.tick(k)
	w.clock.Advance(30 * 24 * time.Hour)
	w.tick(k)
	if n := len(w.told()); n != 0 {
		t.Fatalf("%d people are told of nothing", n)
	}
	w.filled()
	w.tick(k)
	if n := len(w.told()); n != 4 {
		t.Errorf("%d people are told", n)
	}
}

// TestKeptForm: a report comes back as it was.
func TestKeptForm(t *testing.T) {
	t.Parallel()
	for name, d := range samples(t) {
		want := d.Report("ja")
		f, err := keepForm(want)
		if err != nil {
			t.Fatal(err)
		}
		var back reportForm
		b, err := json.Marshal(f)
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		if err != nil {
			t.Fatal(err)
		}
		got := back.report()
		for i := range want.Sheets {
			for j := range want.Sheets[i].Rows {
				for c := range want.Sheets[i].Rows[j] {
					a, b := want.Sheets[i].Rows[j][c], got.Sheets[i].Rows[j][c]
					if at, ok := a.(time.Time); ok {
						if again, ok := b.(time.Time); !ok || !again.Equal(at.Truncate(time.Microsecond)) {
							t.Fatalf("%s: %v came back as %v", name, a, b)
						}
					} else if !reflect.DeepEqual(a, b) {
						t.Fatalf("%s: %#v came back as %#v", name, a, b)
					}
				}
			}
		}
		if got.Name != want.Name || got.Title != want.Title || len(got.Sheets) != len(want.Sheets) || got.Entries().ID != "entries" {
			t.Errorf("%s came back as %s with %d sheets", name, got.Name, len(got.Sheets))
		}
	}
	if _, err := formOf(audit.OK == "ok"); err == nil {
		t.Error("a cell that is none is kept")
	}
}
