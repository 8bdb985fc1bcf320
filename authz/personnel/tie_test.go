package personnel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// registers has projects of joho: zei until November and juki until March, of development,
// and unyo of production.
func (w *world) registers() {
	w.Helper()
	for _, n := range []project.New{
		{ID: "zei", Name: "税務システム刷新", Environment: policy.Development, Until: After(day("2026-11-30"))},
		{ID: "juki", Name: "住基システム改修", Environment: policy.Development, Until: After(day("2027-03-20"))},
		{ID: "unyo", Name: "運用・保守", Environment: policy.Production, Until: After(day("2027-03-20"))},
	} {
		n.Section = "joho"
		_, err := w.projects.RegisterAs(w.Context(), w.as("chosa"), n)
		w.must(err)
	}
}

// completed has a project be completed.
func (w *world) completed(id string) {
	w.Helper()
	w.must(w.db.WithTx(w.Context(), func(tx *store.Tx) error {
		at := store.Micros(w.clock.Now())
		return tx.ExecOne(w.Context(), `UPDATE project SET completed_at = $1, changed_at = $1, version = version + 1 WHERE id = $2`, at, id)
	}))
}

// bound says what an ID is bound to, which environment it is of, and both of its ends.
func (w *world) bound(login string) string {
	w.Helper()
	p := w.person(login)
	all, err := w.projects.BoundOf(w.Context(), w.db, []directory.PersonID{p.ID})
	w.must(err)
	var ids []string
	for _, m := range all[p.ID] {
		ids = append(ids, m.Project)
	}
	f := authz.Facts{Now: w.clock.Now(), Person: p}
	w.must(w.projects.Fill(w.Context(), &f))
	s := "shut"
	if of, ok := authz.EnvironmentOf(f.Ties, f.Now); ok {
		s = string(of)
	}
	ends, err := w.projects.EndsOf(w.Context(), w.db, []directory.PersonID{p.ID})
	w.must(err)
	day := func(at time.Time) string {
		if at.IsZero() {
			return "never"
		}
		return at.In(japan).Format(time.DateOnly)
	}
	return fmt.Sprintf("[%s] %s until %s, own %s", strings.Join(ids, " "), s, day(p.Account.ExpiresAt), day(ends[p.ID].OwnEnd(p.Account.ExpiresAt)))
}

func (w *world) wantBound(when string, want map[string]string) {
	w.Helper()
	for login, s := range want {
		if got := w.bound(login); got != s {
			w.Errorf("%s: %s is %s, want %s", when, login, got, s)
		}
	}
}

// tied is a file that binds who joins and who is there.
const tied = "number,name,login,section,kind,company,ends,mail,project\n" +
	"K-keiyaku,桂 約,keiyaku,joho,事業者,例電算,2027-03-31,k@x.example,zei\n" +
	"K-ito,例 ito,,,,,,,税務システム刷新、住基システム改修\n"

// TestTied: an ID is bound with its line, whatever dies on the way; it is once on the
// trail, what is open in the other environment ends, and the account ends with the last
// of its projects. What the file says of another day is planned on that.
func TestTied(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"none", "intended", "line", "confirmed"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.registers()
			before := w.gate.SignIn(t, "ito", planned)
			w.approved(tied)
			w.tick()
			w.at(effective)
			if point != "none" {
				w.death.Once(point, 0)
				if err := w.Tick(t.Context()); !errors.Is(err, authztest.ErrDied) {
					t.Fatalf("it did not die: %v", err)
				}
				w.clock.Advance(workLasts + time.Second)
			}
			w.tick()
			w.wantBound("carried out", map[string]string{
				"keiyaku": "[zei] development until 2026-12-01, own 2027-04-01", "ito": "[juki zei] development until 2027-03-21, own never",
			})
			if n := w.entries(`"action":"project.bound"`); n != 3 {
				t.Errorf("bound %d times, want 3", n)
			}
			if n := w.count(`SELECT COUNT(*) FROM session WHERE id = $1 AND ended_at = 0`, before.SessionID); n != 0 {
				t.Error("who turns to development is signed in still")
			}
			p, err := w.Look(t.Context(), "oda", file(tied), time.Time{})
			if err != nil || len(p.Changes) != 0 || p.Unchanged != 2 {
				t.Errorf("the same file once more: %+v %v", p.Changes, err)
			}
			w.at(day("2026-12-01"))
			w.wantBound("after November", map[string]string{"keiyaku": "[zei] shut until 2026-12-01, own 2027-04-01", "ito": "[juki zei] development until 2027-03-21, own never"})
		})
	}
}

// TestTiedAndUndone: an undoing gives back what was, also where it is over since, and not
// what somebody did by hand since.
func TestTiedAndUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.registers()
	w.approved(tied)
	w.tickAt(effective)
	i, _, err := w.Propose(t.Context(), "oda", file("number,name,ends,project\nK-ito,例 ito,,なし\nK-suzuki,例 suzuki,,\nK-keiyaku,桂 約,2027-09-30,juki\n"), time.Time{}, false)
	w.must(err)
	if n := i.Projects; len(n) != 2 || n[0].Bound != 1 || n[0].Released != 1 || n[1].Released != 2 {
		t.Errorf("by project: %+v", n)
	}
	v, err := w.matters.Get(t.Context(), i.ID)
	w.must(err)
	var card approval.Card
	w.must(w.card(t.Context(), v.Matter, &card))
	if !slices.ContainsFunc(card.Facts, func(f approval.Fact) bool {
		return strings.Contains(f.Says.JA, "税務システム刷新") && strings.Contains(f.Says.EN, "0 bound, 2 released")
	}) {
		t.Errorf("who decides is not told: %+v", card.Facts)
	}
	w.decide("kobayashi", i.ID, true)
	w.tick()
	w.wantBound("released", map[string]string{"ito": "[] production until never, own never", "keiyaku": "[juki] development until 2027-03-21, own 2027-10-01"})
	w.completed("zei")
	section := "joho"
	w.must(w.dir.Amend(t.Context(), w.person("suzuki"), directory.Amendment{Section: &section}))
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return w.projects.Tie(t.Context(), tx, "unyo", w.person("suzuki"), project.Responsible, "chosa", "")
	}))
	w.undo(i.ID)
	w.wantBound("undone", map[string]string{
		"ito": "[juki zei] development until 2027-03-21, own never", "keiyaku": "[zei] shut until 2026-12-01, own 2027-04-01",
	})
	w.must(w.projects.Tick(t.Context()))
	if s := w.is("keiyaku"); !strings.Contains(s, "dormant") {
		t.Errorf("bound again to what is completed since, the ID is not closed: %s", s)
	}
	if got := w.bound("suzuki"); !strings.HasPrefix(got, "[unyo] production") {
		t.Errorf("bound by hand: %s", got)
	}
}

// TestTiedToWhatIsOver: a project that is over since a file was planned binds nobody, and
// nobody is made for it; where it ends while the line is in hand, who was made for it is
// good for nothing.
func TestTiedToWhatIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.registers()
	i := w.approved(tied)
	w.completed("zei")
	w.tickAt(effective)
	if s := w.is("keiyaku"); s != "nobody" {
		t.Errorf("made for what is completed: %s", s)
	}
	w.wantBound("not carried out", map[string]string{"ito": "[] production until never, own never"})
	lines, err := w.Lines(t.Context(), i.ID, "", 0, 10)
	w.must(err)
	for _, l := range lines {
		if says := l.Problem(); l.Step != "failed" || !strings.Contains(says.JA, "案件") || !strings.Contains(says.EN, "project") {
			t.Errorf("%s: %s %+v", l.Login, l.Step, says)
		}
	}

	w = newWorld(t)
	w.registers()
	w.approved(tied)
	w.tick()
	w.at(effective)
	w.Stop = func(point string) error {
		if point == "line" {
			w.Stop = nil
			w.completed("zei")
		}
		return nil
	}
	w.tick()
	if got := w.bound("keiyaku"); !strings.HasPrefix(got, "[zei] shut") {
		t.Errorf("made for what ended meanwhile: %s", got)
	}
	if n := w.entries(`"action":"import.line_failed"`); n != 1 {
		t.Errorf("%d lines are told of", n)
	}
}
