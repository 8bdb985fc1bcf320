package lifecycle

import (
	"context"
	"testing"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/policy"
	"sekisho/policy/store"
)

// unused is what the directory holds of somebody with a post who was last seen at t0.
var unused = map[string][]string{"pwdLastSuccess": {generalized(t0)}}

// TestTheLastOfAPost: two stay open of each post that could undo what a sweep does.
func TestTheLastOfAPost(t *testing.T) {
	t.Parallel()
	admins := []policy.PostID{policy.SystemAdministrator}
	w := newWorld(t, member{login: "a1", posts: admins, more: unused}, member{login: "a2", posts: admins, more: unused}, member{login: "a3", posts: admins, more: unused})
	w.must(w.Tick(t.Context()))
	for _, day := range []int{60, 120, 121} {
		w.on(day)
		if s := w.sweep(); s.State != Finished {
			t.Fatalf("day %d: %+v", day, s)
		}
	}
	open := 0
	for _, login := range []string{"a1", "a2", "a3"} {
		closed, err := standing.Closed(t.Context(), w.db, w.person(login).ID, w.clock.Now())
		w.must(err)
		if !closed && !w.person(login).Account.Disabled {
			open++
		}
	}
	if open != fewestOf {
		t.Errorf("%d of three are open, want %d", open, fewestOf)
	}
	found, err := w.Findings(t.Context(), 10)
	w.must(err)
	n := 0
	for _, f := range found {
		if f.Kind == LastHolder && f.Detail == string(policy.SystemAdministrator) {
			n++
		}
	}
	if n != fewestOf || w.count(`SELECT COUNT(*) FROM sweep_entry WHERE hold = 'last_of_post' AND outcome = 'passed_over'`) != fewestOf || w.entries("dormancy.held", "last_of_post") == 0 {
		t.Errorf("findings: %+v", found)
	}
	// They are used again.
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO outside_use (login, system, used_at, told_at, told_by) SELECT login, 'x', $1, $1, 'operator' FROM dormancy`, store.Micros(w.clock.Now()))
		return err
	}))
	w.on(122)
	w.sweep()
	if n := w.count(`SELECT COUNT(*) FROM lifecycle_finding WHERE kind = 'last_of_post' AND closed_at = 0`); n != 0 {
		t.Errorf("%d are found still that are used again", n)
	}
}

// TestOwn: Sekisho does not lock itself out.
func TestOwn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		own  string
		want bool
	}{
		{embeddedtest.PersonDN("gate"), true}, {"UID=Gate, OU=people," + base, true}, {"gate@pref.example", true}, {`PREF\gate`, true}, {"", false}, {embeddedtest.AdminDN, false}, {"other@pref.example", false},
	} {
		b := &Book{House: House{Own: tt.own}}
		if got := b.own(directory.Person{Login: "gate", DN: embeddedtest.PersonDN("gate")}); got != tt.want {
			t.Errorf("%q: %t", tt.own, got)
		}
	}
	w := newWorld(t, member{login: "gate", kind: "service", used: t0, number: "K-1"})
	w.Own = embeddedtest.PersonDN("gate")
	w.must(w.Tick(t.Context()))
	for _, day := range []int{100, 200, 300} {
		w.on(day)
		w.sweep()
		w.isStage("gate", "")
	}
}

// TestAPastDayWarnsToday: a warning is as old as the notice that was sent, whatever
// day the directory was looked at for.
func TestAPastDayWarnsToday(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0})
	w.must(w.Tick(t.Context()))
	w.on(100)
	for _, asOf := range []time.Time{t0.AddDate(0, 0, 65), w.clock.Now()} {
		if _, err := w.ByHand(t.Context(), "operator", asOf, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.isStage("tanaka", rowWarned)
	w.on(129)
	w.sweep()
	w.isStage("tanaka", rowWarned)
	w.on(130)
	w.sweep()
	w.isStage("tanaka", rowDisabled)
}

// changing is a directory that refuses to close anybody for a while, and tells of a
// use.
type changing struct {
	Directory
	refuse  bool
	used    time.Time
	guarded bool
}

func (d *changing) Disable(ctx context.Context, p directory.Person) error {
	if d.refuse {
		return directory.ErrDenied
	}
	return d.Directory.Disable(ctx, p)
}

func (d *changing) ByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	p, err := d.Directory.ByID(ctx, id)
	if !d.used.IsZero() {
		p.Account.LastUsedAt = d.used
	}
	p.Protected = d.guarded
	return p, err
}

// TestNothingIsClosedUnjudged: what waited for the directory is not done to an ID
// that was used meanwhile, or that the directory guards by now, nor after days.
func TestNothingIsClosedUnjudged(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		used, guarded bool
		after         time.Duration
		closes        bool
	}{
		{"not used, and soon", false, false, time.Hour, true}, {"used meanwhile", true, false, time.Hour, false},
		{"guarded meanwhile", false, true, time.Hour, false}, {"after days", false, false, staleAfter + time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, member{login: "tanaka", used: t0})
			w.must(w.Tick(t.Context()))
			w.on(60)
			w.sweep()
			w.on(90)
			d := &changing{Directory: w.dir, refuse: true}
			w.Book = w.gateway(d)
			w.sweep()
			d.refuse, d.guarded = false, tt.guarded
			w.clock.Advance(tt.after)
			if tt.used {
				d.used = w.clock.Now()
			}
			w.must(w.Effects(t.Context()))
			tanaka := w.person("tanaka")
			r, err := rowOf(t.Context(), w.db, tanaka.ID)
			w.must(err)
			if tanaka.Account.Disabled != tt.closes || r.effect != "" || r.stage != rowDisabled {
				t.Errorf("disabled in the directory %t, row %+v", tanaka.Account.Disabled, r)
			}
			if n := w.count(`SELECT COUNT(*) FROM lifecycle_finding WHERE kind = 'not_confirmed' AND closed_at = 0`); (n == 1) == tt.closes {
				t.Errorf("%d findings", n)
			}
			if closed, err := standing.Closed(t.Context(), w.db, tanaka.ID, w.clock.Now()); err != nil || !closed {
				t.Errorf("open here: %v", err)
			}
			d.guarded = false
			w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
				if err := standing.Lift(t.Context(), tx, tanaka.ID, standing.Dormant, w.clock.Now()); err != nil {
					return err
				}
				return w.Reopen(t.Context(), tx, tanaka)
			}))
			w.must(w.Bring(t.Context(), tanaka.ID))
			w.isStage("tanaka", rowOpen)
			if n := w.count(`SELECT COUNT(*) FROM lifecycle_finding WHERE kind = 'not_confirmed' AND closed_at = 0`); n != 0 {
				t.Errorf("%d findings of what a person decided", n)
			}
		})
	}
}
