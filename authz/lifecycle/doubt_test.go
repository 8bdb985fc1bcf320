package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"sekisho/authn/standing"
	"sekisho/authn/totp"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// doubtful is a directory whose answers are changed on their way.
type doubtful struct {
	Directory
	stream   func(directory.Person) (directory.Person, bool) // false: it is not in the answer
	byID     func(directory.Person, error) (directory.Person, error)
	numbered func([]directory.Person, error) ([]directory.Person, error)
}

func (d *doubtful) Stream(ctx context.Context, each func(directory.Person) error) error {
	return d.Directory.Stream(ctx, func(p directory.Person) error {
		if d.stream == nil {
			return each(p)
		}
		if p, ok := d.stream(p); ok {
			return each(p)
		}
		return nil
	})
}

func (d *doubtful) ByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	p, err := d.Directory.ByID(ctx, id)
	if d.byID == nil {
		return p, err
	}
	return d.byID(p, err)
}

func (d *doubtful) Numbered(ctx context.Context, number string) ([]directory.Person, error) {
	all, err := d.Directory.Numbered(ctx, number)
	if d.numbered == nil {
		return all, err
	}
	return d.numbered(all, err)
}

// factored is a world in which everybody named has a factor.
func factored(t *testing.T, people ...member) *world {
	t.Helper()
	w := newWorld(t, people...)
	devices := totp.New(w.db, w.ring, w.clock.Now)
	w.Factors = []Keeper{devices}
	for _, m := range people {
		w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
			return devices.Import(t.Context(), tx, w.person(m.login).ID, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "電話")
		}))
	}
	w.must(w.Tick(t.Context()))
	return w
}

func (w *world) devices() int {
	w.Helper()
	return w.count(`SELECT COUNT(*) FROM totp_device`)
}

// TestFactorsOfTheSeen: a finding of before says nothing of an ID that this sweep has
// met, whatever the answer about it alone.
func TestFactorsOfTheSeen(t *testing.T) {
	t.Parallel()
	always := t0.AddDate(9, 0, 0)
	w := factored(t, member{login: "tanaka", used: always})
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return w.found(t.Context(), tx, Finding{Kind: Orphan, Subject: string(w.person("tanaka").ID)})
	}))
	factors := w.Factors
	w.Book = w.gateway(&doubtful{Directory: w.dir, byID: func(directory.Person, error) (directory.Person, error) {
		return directory.Person{}, directory.ErrNotFound
	}})
	w.Factors = factors
	w.on(8)
	if s := w.sweep(); s.State != Finished || w.devices() != 1 {
		t.Errorf("%d devices after %+v", w.devices(), s)
	}
}

// TestFactorsOfThoseOnLeave: whose ID was put aside for their leave finds them there
// again; when the leave is over, so are they.
func TestFactorsOfThoseOnLeave(t *testing.T) {
	t.Parallel()
	always := t0.AddDate(9, 0, 0)
	w := factored(t, member{login: "mori", used: always}, member{login: "gone", used: always})
	mori := w.person("mori")
	w.must(w.leave("mori", t0, t0.AddDate(0, 0, 20)))
	w.must(w.dir.Delete(t.Context(), mori))
	w.must(w.dir.Delete(t.Context(), w.person("gone")))
	for _, tt := range []struct{ day, left int }{{1, 2}, {8, 1}, {19, 1}, {20, 0}} {
		w.on(tt.day)
		if w.sweep(); w.devices() != tt.left {
			t.Errorf("%d devices on day %d, want %d", w.devices(), tt.day, tt.left)
		}
	}
}

// TestFactorsOfVeryMany: a part of the directory that is not shown costs nobody what
// they prove themselves with, before somebody must have noticed.
func TestFactorsOfVeryMany(t *testing.T) {
	t.Parallel()
	always := t0.AddDate(9, 0, 0)
	w := factored(t, member{login: "a", used: always}, member{login: "b", used: always}, member{login: "c", used: always})
	w.policy.Dormancy.StopFew = 1
	for _, login := range []string{"a", "b"} {
		w.must(w.dir.Delete(t.Context(), w.person(login)))
	}
	for _, tt := range []struct{ day, left int }{{1, 3}, {8, 3}, {30, 3}, {31, 1}} {
		w.on(tt.day)
		if s := w.sweep(); s.State != Finished || w.devices() != tt.left {
			t.Errorf("%d devices on day %d, want %d (%s)", w.devices(), tt.day, tt.left, s.State)
		}
	}
}

// TestANumberOfMany: who answers for more IDs than are read stands in the way of no
// sweep, and is asked about once.
func TestANumberOfMany(t *testing.T) {
	t.Parallel()
	always, asked := t0.AddDate(9, 0, 0), 0
	w := newWorld(t, member{login: "batch1", kind: "service", used: always, number: "100"}, member{login: "batch2", kind: "service", used: always, number: "100"},
		member{login: "tanaka", used: t0})
	w.Book = w.gateway(&doubtful{Directory: w.dir, numbered: func([]directory.Person, error) ([]directory.Person, error) {
		asked++
		return nil, directory.ErrTruncated
	}})
	w.must(w.Tick(t.Context()))
	w.on(60)
	if s := w.sweep(); s.State != Finished || s.Warned != 1 || asked != 2 {
		t.Errorf("asked %d times in two sweeps: %+v", asked, s)
	}
	if found, err := w.Findings(t.Context(), 10); err != nil || len(found) != 0 {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestSlowQuestions: whoever asks about one ID after another is alive meanwhile, and no
// other gate begins anew.
func TestSlowQuestions(t *testing.T) {
	t.Parallel()
	var people []member
	for i := range 4 {
		people = append(people, member{login: fmt.Sprintf("batch%d", i), kind: "service", used: t0.AddDate(9, 0, 0), number: fmt.Sprint("K-", i)})
	}
	w := factored(t, people...)
	for _, m := range people[:2] {
		w.must(w.dir.Delete(t.Context(), w.person(m.login)))
	}
	other, begun := w.gateway(w.dir), 0
	other.Stop = func(point string) error {
		if point == "reading" {
			begun++
		}
		return nil
	}
	passes := func() {
		w.clock.Advance(2 * claimLasts / 3)
		w.must(other.Tick(t.Context()))
	}
	w.on(1)
	w.Book = w.gateway(&doubtful{Directory: w.dir,
		byID:     func(p directory.Person, err error) (directory.Person, error) { passes(); return p, err },
		numbered: func(all []directory.Person, err error) ([]directory.Person, error) { passes(); return all, err },
	})
	if s := w.sweep(); s.State != Finished || begun != 0 {
		t.Errorf("begun anew %d times: %+v", begun, s)
	}
}

// TestTheFirstThatFailed: nobody is warned before a first look has come to its end.
func TestTheFirstThatFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0.AddDate(-1, 0, 0)})
	away := w.gateway(&broken{w.dir, func(context.Context, func(directory.Person) error, func(context.Context, func(directory.Person) error) error) error {
		return directory.ErrAway
	}})
	for _, day := range []int{0, 1} {
		w.on(day)
		if err := away.Tick(t.Context()); !errors.Is(err, directory.ErrAway) {
			t.Fatal(err)
		}
	}
	w.on(2)
	if s := w.sweep(); s.State != Finished || !s.OnlyLooked() || s.Warned != 0 {
		t.Errorf("the first that came to its end: %+v", s)
	}
	w.isStage("tanaka", "")
	w.on(3)
	if s := w.sweep(); s.OnlyLooked() || s.Warned != 1 {
		t.Errorf("the day after: %+v", s)
	}
}

// TestClosedOnlyAsRead: an ID that was to be warned is not closed instead, because the
// directory says something else by then: who else holds its post was not asked.
func TestClosedOnlyAsRead(t *testing.T) {
	t.Parallel()
	admins := []policy.PostID{policy.SystemAdministrator}
	w := newWorld(t, member{login: "a1", posts: admins, more: unused}, member{login: "a2", posts: admins, more: unused})
	w.must(w.Tick(t.Context()))
	w.on(60)
	w.sweep()
	w.isStage("a1", rowWarned)
	w.Book = w.gateway(&doubtful{Directory: w.dir, stream: func(p directory.Person) (directory.Person, bool) {
		if p.Login == "a1" || p.Login == "a2" {
			p.Account.LastUsedAt = t0.AddDate(0, 0, 61)
		}
		return p, true
	}})
	w.on(121)
	if s := w.sweep(); s.State != Finished || s.ToWarn != 2 || s.Disabled != 0 {
		t.Errorf("%+v", s)
	}
	w.isStage("a1", rowWarned)
	w.isStage("a2", rowWarned)
}

// TestOpenedUnderGuard: that an ID is opened again was decided; where the directory
// guards it meanwhile, that is tried until it is so, by whomever.
func TestOpenedUnderGuard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0})
	w.must(w.Tick(t.Context()))
	for _, day := range []int{60, 90} {
		w.on(day)
		w.sweep()
	}
	w.isStage("tanaka", rowDisabled)
	tanaka := w.person("tanaka")
	d := &changing{Directory: w.dir, guarded: true}
	w.Book = w.gateway(d)
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		if err := standing.Lift(t.Context(), tx, tanaka.ID, standing.Dormant, w.clock.Now()); err != nil {
			return err
		}
		return w.Reopen(t.Context(), tx, tanaka)
	}))
	for range stubborn {
		if err := w.Bring(t.Context(), tanaka.ID); !errors.Is(err, directory.ErrProtected) {
			t.Fatal(err)
		}
		w.clock.Advance(time.Hour)
	}
	found, err := w.Findings(t.Context(), 10)
	if r, other := rowOf(t.Context(), w.db, tanaka.ID); err != nil || other != nil || r.stage != rowOpen || r.effect != toEnable || len(found) != 1 || found[0].Kind != NotClosed {
		t.Errorf("row %+v, found %+v, %v, %v", r, found, err, other)
	}
	w.must(w.dir.Enable(t.Context(), tanaka)) // somebody does it there
	w.must(w.Effects(t.Context()))
	w.isStage("tanaka", rowOpen)
	if found, err := w.Findings(t.Context(), 10); err != nil || len(found) != 0 {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestDeletedAndThere: an answer that does not have an ID is not yet its end; where it
// turns up again, it is found, shut here as it is.
func TestDeletedAndThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0})
	w.must(w.Tick(t.Context()))
	for _, day := range []int{60, 90, 365} {
		w.on(day)
		w.sweep()
	}
	tanaka, m := w.person("tanaka"), w.matter("tanaka")
	w.decide("yamamoto", m, true)
	w.decide("kobayashi", m, true)
	w.must(w.gateway(&doubtful{Directory: w.dir, byID: func(directory.Person, error) (directory.Person, error) {
		return directory.Person{}, directory.ErrNotFound
	}}).Effects(t.Context()))
	if r, err := rowOf(t.Context(), w.db, tanaka.ID); err != nil || r.stage != rowDeleted {
		t.Fatalf("%+v, %v", r, err)
	}
	w.on(366)
	w.sweep()
	found, err := w.Findings(t.Context(), 10)
	if err != nil || len(found) != 1 || found[0].Kind != Reused || found[0].Subject != string(tanaka.ID) {
		t.Errorf("found %+v, %v", found, err)
	}
	if closed, err := standing.Closed(t.Context(), w.db, tanaka.ID, w.clock.Now()); err != nil || !closed {
		t.Errorf("closed here %t, %v", closed, err)
	}
}

// stuck are leases that cannot be ended of one person.
type stuck struct{ whose directory.PersonID }

var errStuck = errors.New("cannot be ended, says the test")

func (s *stuck) EndOf(_ context.Context, _ *store.Tx, who directory.PersonID, _, _ string) (int, error) {
	if who == s.whose {
		return 0, errStuck
	}
	return 0, nil
}
func (*stuck) Changed(context.Context) {}

// TestLeaveBeginsForTheOthers: one of whom it fails keeps nobody else inside.
func TestLeaveBeginsForTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "a", used: t0}, member{login: "b", used: t0})
	w.as("a")
	w.as("b")
	w.must(w.leave("a", t0.Add(time.Hour), time.Time{}))
	w.must(w.leave("b", t0.Add(2*time.Hour), time.Time{}))
	w.clock.Advance(2 * time.Hour)
	s := &stuck{w.person("a").ID}
	w.Leases = s
	inside := func() int { return w.count(`SELECT COUNT(*) FROM session WHERE ended_at = 0`) }
	if err := w.BeginLeaves(t.Context()); !errors.Is(err, errStuck) || inside() != 1 {
		t.Errorf("%d are inside, %v", inside(), err)
	}
	s.whose = ""
	if err := w.BeginLeaves(t.Context()); err != nil || inside() != 0 {
		t.Errorf("%d are inside afterwards, %v", inside(), err)
	}
}

// TestHeldBackIsNoReasonToStop: those of whom nobody can be told are asked about once, and
// do not stop each sweep after it.
func TestHeldBackIsNoReasonToStop(t *testing.T) {
	t.Parallel()
	none := map[string][]string{"mail": {}}
	w := newWorld(t, member{login: "batch1", kind: "service", used: t0, more: none}, member{login: "batch2", kind: "service", used: t0, more: none},
		member{login: "tanaka", used: t0.AddDate(0, 0, 1)})
	w.policy.Dormancy.StopFew = 1
	w.must(w.Tick(t.Context()))
	w.on(60)
	s := w.sweep()
	if s.State != Halted || s.Why != string(TooMany) {
		t.Fatalf("%+v", s)
	}
	w.decide("yamamoto", s.Matter, true)
	w.sweep()
	w.on(61)
	if s := w.sweep(); s.State != Finished || s.Warned != 1 || s.PassedOver != 2 {
		t.Errorf("the day after: %+v", s)
	}
	w.isStage("batch1", "")
	w.isStage("tanaka", rowWarned)
}
