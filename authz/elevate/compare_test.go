package elevate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
)

// compare is one round, a minute after the last.
func (w *world) compare() error {
	w.clock.Advance(time.Minute)
	return w.Compare(w.Context())
}

func (w *world) open() []elevate.Finding {
	w.Helper()
	all, err := w.Findings(w.Context(), 100)
	w.must(err)
	open := slices.DeleteFunc(all, func(f elevate.Finding) bool { return !f.ClosedAt.IsZero() })
	left := len(slices.DeleteFunc(slices.Clone(open), func(f elevate.Finding) bool { return !f.Taken.At.IsZero() }))
	if n, untaken, err := w.OpenFindings(w.Context()); err != nil || n != len(open) || untaken != left {
		w.Errorf("OpenFindings = %d, %d, %v, want %d, %d", n, untaken, err, len(open), left)
	}
	return open
}

func (w *world) closer(want elevate.Closer) {
	w.Helper()
	if open := w.open(); len(open) != 0 {
		w.Errorf("open are %+v", open)
	}
	all, err := w.Findings(w.Context(), 1)
	w.must(err)
	if len(all) != 1 || all[0].ClosedBy != want {
		w.Errorf("closed by %+v, want %s", all, want)
	}
}

// TestMembershipWithoutLease is found at once, entered, told, and removed where
// the policy says so.
func TestMembershipWithoutLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lend("L1", w.suzuki, 60, ofGroup(dbAdmins))
	w.must(w.compare())
	if got := w.open(); len(got) != 0 {
		t.Fatalf("found %+v", got)
	}
	// Only reported.
	w.policy.Privileges[0].Standing = policy.StandingReport
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	for range 2 {
		w.must(w.compare())
		got := w.open()
		if len(got) != 1 || got[0].Kind != elevate.Membership || got[0].Login != "tanaka" || got[0].Privilege != "db-admin" || !got[0].RemovedAt.IsZero() {
			t.Fatalf("found %+v", got)
		}
	}
	w.inGroup(dbAdmins, w.tanaka.DN, w.suzuki.DN)
	if n := w.entries("elevation.found"); n != 1 || len(w.told) != 1 {
		t.Errorf("%d entries and %d told", n, len(w.told))
	}
	// Removed.
	w.policy.Privileges[0].Standing = policy.StandingRemove
	w.must(w.compare())
	w.inGroup(dbAdmins, w.suzuki.DN)
	if got := w.open(); len(got) != 1 || got[0].RemovedAt.IsZero() {
		t.Errorf("removed: %+v", got)
	}
	w.must(w.compare())
	w.closer(elevate.ClosedBySekisho)
	if n := w.entries("elevation.finding_closed"); n != 1 {
		t.Errorf("%d entries", n)
	}
	// Gone by somebody else's hand, or accounted for.
	w.policy.Privileges[0].Standing = policy.StandingReport
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.compare())
	w.must(w.dir.RemoveMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.compare())
	w.closer(elevate.ClosedByDirectory)
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.compare())
	w.lend("L2", w.tanaka, 60, ofGroup(dbAdmins))
	w.must(w.compare())
	w.closer(elevate.ClosedByLease)
}

// TestStrangers: what is a member need not be a person.
func TestStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, dn := range []string{cioGroup, "uid=gone,ou=people," + base, admSwitch} {
		w.must(w.add(dbAdmins, dn))
	}
	w.must(w.compare())
	got := w.open()
	if len(got) != 3 {
		t.Fatalf("found %+v", got)
	}
	for _, f := range got {
		if f.RemovedAt.IsZero() || f.Login != "" {
			t.Errorf("%+v", f)
		}
	}
	w.inGroup(dbAdmins)
}

// TestTooManyAtOnce: many at once are looked at by somebody first.
func TestTooManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 11 {
		w.must(w.add(dbAdmins, fmt.Sprintf("uid=u%d,ou=people,%s", i, base)))
	}
	w.must(w.compare())
	got := w.open()
	if len(got) != 11 || len(w.server.Members(dbAdmins)) != 11 || len(w.told) != 1 {
		t.Fatalf("found %d, left %d", len(got), len(w.server.Members(dbAdmins)))
	}
	for _, f := range got {
		if f.Hindrance == "" || !f.RemovedAt.IsZero() {
			t.Errorf("%+v", f)
		}
	}
}

// TestEnabledWithoutLease: a named ID that somebody has opened.
func TestEnabledWithoutLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.compare())
	p, err := w.dir.Lent(t.Context(), admSwitch)
	w.must(err)
	open := func() {
		w.must(w.dir.OpenLent(t.Context(), p, text("By-somebody-1234"), w.clock.Now().Add(48*time.Hour)))
	}
	open()
	w.must(w.compare())
	if got := w.open(); len(got) != 1 || got[0].Kind != elevate.Enabled || got[0].Login != "adm-switch" || got[0].RemovedAt.IsZero() {
		t.Fatalf("found %+v", got)
	}
	if w.server.Lets(admSwitch, text("By-somebody-1234")) {
		t.Error("it is open")
	}
	w.must(w.compare())
	w.closer(elevate.ClosedBySekisho)
	w.policy.Privileges[2].Standing = policy.StandingReport
	open()
	w.must(w.compare())
	if got := w.open(); len(got) != 1 || !w.server.Lets(admSwitch, text("By-somebody-1234")) {
		t.Fatalf("found %+v", got)
	}
	a := w.lend("L1", w.tanaka, 60, named()).Account
	w.must(w.compare())
	w.closer(elevate.ClosedByLease)
	if !w.server.Lets(admSwitch, a.Password) {
		t.Error("what is lent was closed")
	}
}

// TestLeftover: an ID of a lease that is over is taken away; one of a store that
// this one does not know is not.
func TestLeftover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.lend("L1", w.tanaka, 60, ephemeral()).Account
	w.must(w.compare())
	if got := w.open(); len(got) != 0 {
		t.Fatalf("found %+v", got)
	}
	w.withdraw("L1")
	w.undoAll()
	again := func(login, note string) {
		_, err := w.dir.CreateLent(t.Context(), "", directory.NewPerson{Login: login, Name: "x", Note: note, Password: text("Lent-word-12345"), ExpiresAt: w.clock.Now().Add(time.Hour)})
		w.must(err)
	}
	again(a.Login, "sekisho:lease=L1;person=x;login=tanaka")
	again("tmp-other", "sekisho:lease=L99;person=x;login=tanaka")
	again("made-by-hand", "for the printers")
	w.must(w.compare())
	got := w.open()
	if len(got) != 2 {
		t.Fatalf("found %+v", got)
	}
	for _, f := range got {
		if (f.Login == a.Login) == f.RemovedAt.IsZero() || (f.Login == "tmp-other") != (f.Hindrance != "") {
			t.Errorf("%+v", f)
		}
	}
	lent := w.lent()
	slices.Sort(lent)
	if !slices.Equal(lent, []string{"adm-switch", "made-by-hand", "tmp-other"}) {
		t.Errorf("IDs are %v", lent)
	}
}

// TestTakenAwayByHand: what a lease gives and somebody took is a finding, and is
// not given again.
func TestTakenAwayByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lend("L1", w.tanaka, 60, ofGroup(dbAdmins))
	w.must(w.dir.RemoveMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.compare())
	if got := w.open(); len(got) != 1 || got[0].Kind != elevate.Missing || got[0].Login != "tanaka" {
		t.Fatalf("found %+v", got)
	}
	w.undoAll()
	w.inGroup(dbAdmins)
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.compare())
	w.closer(elevate.ClosedByDirectory)
	w.must(w.dir.RemoveMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.compare())
	w.withdraw("L1")
	w.undoAll()
	w.must(w.compare())
	w.closer(elevate.ClosedByLease)
}

// A cut is a directory that shows less than there is.
type cut struct {
	elevate.Directory
	members, lent error
}

func (c *cut) EachMember(ctx context.Context, group string, each func(string) error) error {
	if c.members != nil {
		return c.members
	}
	return c.Directory.EachMember(ctx, group, each)
}

func (c *cut) EachLent(ctx context.Context, each func(directory.Person) error) error {
	if c.lent != nil {
		return c.lent
	}
	return c.Directory.EachLent(ctx, each)
}

// TestNoAnswer: what is cut short or empty closes nothing, and one group that
// cannot be read does not keep the others from being compared.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Privileges[0].Standing = policy.StandingReport
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.compare())
	if got := w.open(); len(got) != 1 {
		t.Fatalf("found %+v", got)
	}
	c := &cut{Directory: w.dir, members: fmt.Errorf("%w: size limit", directory.ErrTruncated)}
	good := w.Book
	w.Book = w.book(func(h *elevate.House) { h.Directory = c })
	if err := w.compare(); !errors.Is(err, directory.ErrTruncated) {
		t.Errorf("Compare = %v", err)
	}
	if got := w.open(); len(got) != 1 {
		t.Errorf("an answer that was cut short closed %+v", got)
	}
	w.Book = good
	// A group that the policy names and the directory does not have.
	w.policy.Privileges = append([]policy.Privilege{{ID: "none", Gives: []policy.Gift{ofGroup("cn=aaa,ou=groups," + base)}}}, w.policy.Privileges...)
	w.must(w.dir.RemoveMember(t.Context(), dbAdmins, w.tanaka.DN))
	if err := w.compare(); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("Compare = %v", err)
	}
	w.closer(elevate.ClosedByDirectory)
	w.server.Away()
	if err := w.compare(); err == nil {
		t.Error("compared without a directory")
	}
	w.server.Back()
	// Lent no more.
	w.policy.Privileges = w.policy.Privileges[1:]
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.clock.Advance(time.Minute)
	w.must(w.compare())
	w.policy.Privileges = w.policy.Privileges[1:]
	w.must(w.compare())
	w.closer(elevate.ClosedByLease)
}

// TestOneComparesForAll: of two gateways one compares in each minute.
func TestOneComparesForAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.book()
	w.policy.Privileges[0].Standing = policy.StandingReport
	w.must(w.compare())
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(other.Compare(t.Context()))
	if got := w.open(); len(got) != 0 {
		t.Errorf("compared twice in one minute: %+v", got)
	}
	w.clock.Advance(time.Minute)
	w.must(other.Compare(t.Context()))
	if got := w.open(); len(got) != 1 {
		t.Errorf("found %+v", got)
	}
}

// A meanwhile is a directory in which something happens while it is compared.
type meanwhile struct {
	elevate.Directory
	once func()
}

func (m *meanwhile) Find(ctx context.Context, typed string) (directory.Person, error) {
	if do := m.once; do != nil {
		m.once = nil
		do()
	}
	return m.Directory.Find(ctx, typed)
}

// TestLeaseBegunMeanwhile: what was found without a lease has one by the time
// that it would be taken away.
func TestLeaseBegunMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	good := w.Book
	w.clock.Advance(time.Minute)
	comparing := w.book(func(h *elevate.House) {
		h.Directory = &meanwhile{w.dir, func() { w.lend("L1", w.tanaka, 30, ofGroup(dbAdmins)) }}
	})
	w.must(comparing.Compare(t.Context()))
	w.Book = good
	if open := w.open(); len(open) != 0 {
		t.Errorf("found %+v", open)
	}
	w.inGroup(dbAdmins, w.tanaka.DN)
}

// TestTakenUp: that somebody looks into a finding is written down, and closes nothing.
func TestTakenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Privileges[0].Standing = policy.StandingReport
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.compare())
	id := w.open()[0].ID
	who := elevate.Who{ID: w.suzuki.ID, Login: "suzuki", Name: "鈴木"}
	for _, note := range []string{"確認中", "委託先に聞いた"} {
		w.must(w.TakeUp(t.Context(), id, who, note, audit.Entry{From: "10.2.0.9"}))
		w.must(w.compare())
		got := w.open()
		if len(got) != 1 || got[0].Taken.Note != note || got[0].Taken.By.Login != "suzuki" || got[0].Taken.At.IsZero() {
			t.Fatalf("%+v", got)
		}
	}
	if n := w.entries("elevation.finding_taken_up"); n != 2 {
		t.Errorf("%d entries", n)
	}
	w.must(w.dir.RemoveMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.compare())
	w.closer(elevate.ClosedByDirectory)
	for _, id := range []string{id, "nothing"} {
		if err := w.TakeUp(t.Context(), id, who, "x", audit.Entry{}); !errors.Is(err, elevate.ErrNoFinding) {
			t.Errorf("taking up what is closed: %v", err)
		}
	}
}
