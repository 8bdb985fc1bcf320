package sealed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/policy"
)

var (
	t0    = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	rules = policy.SealedRules{TestDays: 30, RotateDays: 60, ReportWithin: 24 * time.Hour}
	sato  = Ref{ID: "1", Login: "sato", Number: "n1"}
	sato2 = Ref{ID: "9", Login: "sato-adm", Number: "n1"} // the same human being
	mori  = Ref{ID: "2", Login: "mori", Number: "n2"}
	ueda  = Ref{ID: "3", Login: "ueda", Number: "n3"}
)

func begun(t *testing.T) Envelope {
	t.Helper()
	e, err := Begin("e1", Draft{System: " firewall ", Account: "admin", Place: "金庫"}, sato, t0)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// reasonOf is why something was refused, with its field; "" where it was not.
func reasonOf(err error) string {
	var no *Refusal
	if !errors.As(err, &no) {
		return fmt.Sprint(err)
	}
	return strings.TrimPrefix(no.Field+"."+no.Reason, ".")
}

func TestBegin(t *testing.T) {
	for _, tt := range []struct {
		d    Draft
		want string
	}{
		{Draft{"a", "b", "c", ""}, ""},
		{Draft{" ", "b", "c", ""}, "system.required"},
		{Draft{"a", "", "c", ""}, "account.required"},
		{Draft{"a", "b", "", ""}, "place.required"},
		{Draft{"a", "b", strings.Repeat("あ", 101), ""}, "place.too_long"},
		{Draft{"a\nb", "b", "c", ""}, "system.unusable"},
		{Draft{"a", "b\u202e", "c", ""}, "account.unusable"},
		{Draft{"a", "b", "c", "一\n二"}, ""},
		{Draft{"a", "b", "c", strings.Repeat("x", 1001)}, "note.too_long"},
	} {
		_, err := Begin("x", tt.d, sato, t0)
		if got := reasonOf(err); err == nil && tt.want != "" || err != nil && got != tt.want {
			t.Errorf("%+v: %v, want %q", tt.d, err, tt.want)
		}
	}
}

// TestLife walks an envelope through its life: each act where it fits, by whom it
// may be done, and what is owed after it.
func TestLife(t *testing.T) {
	e, now := begun(t), t0
	owes := func(want ...Debt) {
		t.Helper()
		var got []Debt
		for _, d := range e.Debts(rules, now) {
			got = append(got, d.What)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("at %v it owes %q, want %q", now, got, want)
		}
	}
	does := func(a Act, by Ref, s Said) {
		t.Helper()
		var err error
		if e, err = e.After(a, by, s, rules, now); err != nil {
			t.Fatalf("%s by %s: %v", a, by.Login, err)
		}
	}
	refuses := func(a Act, by Ref, s Said, want string) {
		t.Helper()
		after, err := e.After(a, by, s, rules, now)
		if err == nil || reasonOf(err) != want {
			t.Fatalf("%s by %s: %v, want %q", a, by.Login, err, want)
		}
		if fmt.Sprint(after) != fmt.Sprint(e) {
			t.Fatalf("%s was refused and changed something", a)
		}
	}
	owes(OwesConfirm)
	refuses(Confirm, sato, Said{}, "oneself")
	refuses(Confirm, sato2, Said{}, "oneself")
	does(Confirm, mori, Said{})
	refuses(Confirm, ueda, Said{}, "confirmed")
	owes()
	refuses(Report, mori, Said{Note: "x"}, "closed")
	refuses(Reconcile, mori, Said{Note: "x"}, "unreported")
	refuses("burn", mori, Said{}, "unknown")

	now = t0.Add(30*day - 1)
	owes()
	now = t0.Add(30 * day)
	owes(OwesTest)
	refuses(Test, mori, Said{}, "note.required")
	does(Test, mori, Said{Note: "封が破れていた", Failed: true})
	owes(OwesSeal)
	does(Seal, mori, Said{Place: "別館"})
	if e.Place != "別館" {
		t.Errorf("it lies in %q", e.Place)
	}
	refuses(Confirm, mori, Said{}, "oneself")
	does(Confirm, sato, Said{})
	owes(OwesTest) // the new password was not tried
	does(Test, sato, Said{Note: "良"})
	owes()
	refuses(Move, sato, Said{}, "place.required")
	does(Move, ueda, Said{Place: "金庫"})
	owes(OwesConfirm)
	refuses(Confirm, ueda, Said{}, "oneself")
	does(Confirm, mori, Said{})
	now = t0.Add(60*day - 1)
	does(Test, sato, Said{Note: "良"})
	owes()
	now = t0.Add(90 * day)
	owes(OwesRotation, OwesTest)
	now = t0.Add(40 * day)

	refuses(Open, sato, Said{}, "note.required")
	refuses(Open, sato, Said{Note: "停止", At: now.Add(1)}, "at.bounds")
	refuses(Open, sato, Said{Note: "停止", At: t0}, "at.bounds")
	does(Open, sato, Said{Note: "停止", By: ueda, At: now.Add(-time.Hour)})
	if o := e.Opened(); o.By.Login != "ueda" || o.Writer.Login != "sato" || !e.ReportDue.Equal(now.Add(24*time.Hour)) || !e.IsOpen() || !e.Owes() {
		t.Fatalf("%+v", e)
	}
	owes(OwesReport, OwesSeal, OwesReconcile)
	for _, a := range []Act{Confirm, Test, Open, Move} {
		refuses(a, mori, Said{Note: "x", Place: "y"}, "open")
	}
	refuses(Withdraw, mori, Said{Note: "x"}, "owes")
	refuses(Reconcile, mori, Said{Note: "x"}, "unreported")
	refuses(Report, ueda, Said{Note: strings.Repeat("あ", MaxText+1)}, "note.too_long")
	does(Seal, ueda, Said{})
	owes(OwesReport, OwesReconcile, OwesConfirm)
	// The emergency is not over: it is opened once more, and one report is owed of both.
	now = now.Add(time.Hour)
	does(Open, mori, Said{Note: "再び"})
	if len(e.Openings) != 2 || !e.Owes() {
		t.Fatalf("%+v", e.Openings)
	}
	does(Report, ueda, Said{Note: "経路を戻した"})
	refuses(Report, mori, Said{Note: "x"}, "reported")
	for _, by := range []Ref{ueda, mori} {
		refuses(Reconcile, by, Said{Note: "x"}, "oneself")
	}
	does(Reconcile, sato, Said{Note: "一致した"})
	refuses(Reconcile, sato, Said{Note: "x"}, "reconciled")
	owes(OwesSeal)
	now = now.Add(time.Minute)
	does(Seal, mori, Said{})
	does(Confirm, sato, Said{})
	if e.Owes() {
		t.Error("something is owed still")
	}
	does(Open, sato, Said{Note: "次の件"})
	if len(e.Openings) != 1 {
		t.Errorf("another case counts %d openings", len(e.Openings))
	}
	now = now.Add(time.Minute)
	does(Seal, sato, Said{})
	does(Report, sato, Said{Note: "した"})
	does(Reconcile, mori, Said{Note: "一致した"})
	does(Withdraw, mori, Said{Note: "廃止"})
	for _, a := range Acts() {
		refuses(a, ueda, Said{Note: "x", Place: "y"}, "withdrawn")
	}
	now = t0.Add(1000 * day)
	owes()
	if (Envelope{}).Debts(rules, now) != nil {
		t.Error("nothing owes something")
	}
}

// TestPosts: who reads and who writes.
func TestPosts(t *testing.T) {
	p := policy.Standard()
	for post, want := range map[policy.PostID]string{
		policy.Staff: "no_post no_post", policy.Contractor: "no_post no_post", policy.SystemAdministrator: "", policy.SecurityManager: "", policy.SecurityOfficer: "",
		policy.CIO: "", policy.CSIRT: "", policy.Auditor: "reads_only", "": "no_post no_post",
	} {
		var got []string
		for _, why := range []*Refusal{MaySee(p, []policy.PostID{post}), MayWrite(p, []policy.PostID{post})} {
			if why != nil {
				got = append(got, why.Reason)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %q, want %q", post, s, want)
		}
	}
	if MayWrite(p, []policy.PostID{policy.CIO, policy.Auditor}) == nil {
		t.Error("who audits writes, holding another post besides")
	}
}

// TestTally: what is open, and what is owed past its date, is counted while it is of the
// register.
func TestTally(t *testing.T) {
	e := begun(t)
	opened, gone := e, e
	opened.Openings = []Opening{{At: t0}}
	opened.ReportDue = t0.Add(time.Hour)
	gone.Openings, gone.Withdrawn = opened.Openings, Deed{At: t0, By: sato}
	all := []Envelope{e, opened, gone}
	for _, tt := range []struct {
		at            time.Time
		open, overdue int
	}{{t0, 1, 0}, {t0.Add(time.Hour), 1, 1}, {t0.Add(confirmWithin), 1, 2}} {
		if open, overdue := Tally(all, rules, tt.at); open != tt.open || overdue != tt.overdue {
			t.Errorf("at %v: %d open, %d overdue; want %d, %d", tt.at, open, overdue, tt.open, tt.overdue)
		}
	}
}
