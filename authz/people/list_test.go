package people_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/standing"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestList: people are found by section, kind and state, also where the
// directory knows nothing of the state.
func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "yamada1", func(n *directory.NewPerson) { n.Section, n.Kind = "zaisei", directory.KindContractor })
	w.person(t, "yamada2", func(n *directory.NewPerson) { n.Section = "zaisei" })
	w.person(t, "yamada3", func(n *directory.NewPerson) { n.MustChange, n.ExpiresAt = true, w.clock.Now() })
	w.person(t, "batch", func(n *directory.NewPerson) { n.Kind = directory.KindService })
	w.record(t, "suzuki", standing.OnLeave)
	w.record(t, "yamada2", standing.Dormant)
	w.device(t, "tanaka")
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO attempt (credential, failures, held_until, updated_at) VALUES ($1, 5, $2, 0)`,
			"otp:"+string(w.all["operator"].ID), store.Micros(w.clock.Now().Add(time.Minute)))
		return err
	}))
	cookie := w.session(t, "auditor", policy.AAL2)
	list := func(f people.Filter, after string, limit int) people.List {
		t.Helper()
		l, err := w.List(ctx, w.origin, cookie, f, after, limit)
		must(t, err)
		return l
	}
	for _, tt := range []struct {
		name  string
		f     people.Filter
		want  string
		total int
	}{
		{"everybody", people.Filter{}, "admin auditor batch officer operator suzuki tanaka yamada1 yamada2 yamada3", 10},
		{"of a section", people.Filter{Section: "zaisei"}, "yamada1 yamada2", 2},
		{"of a kind", people.Filter{Kind: directory.KindContractor}, "yamada1", 1},
		{"staff", people.Filter{Kind: directory.KindStaff, Section: "zaisei"}, "yamada2", 1},
		{"programs", people.Filter{Kind: directory.KindService}, "batch", 1},
		{"by words, too", people.Filter{Words: "yamada", Section: "jinji"}, "yamada3", 1},
		{"of no section", people.Filter{Section: "*"}, "", 0},
		{"active", people.Filter{State: people.Active, Words: "yamada"}, "yamada1", 3},
		{"expired", people.Filter{State: people.Expired}, "yamada3", 10},
		{"on leave", people.Filter{State: people.OnLeave}, "suzuki", 10},
		{"dormant", people.Filter{State: people.Dormant}, "yamada2", 10},
		{"with a temporary password", people.Filter{State: people.Temporary}, "yamada3", 10},
		{"with no factor", people.Filter{State: people.NoFactor, Kind: directory.KindStaff}, "admin auditor officer operator suzuki yamada2 yamada3", 8},
		{"shut out", people.Filter{State: people.ShutOut}, "operator", 10},
		{"of no such state", people.Filter{State: "asleep"}, "", 10},
	} {
		l := list(tt.f, "", 50)
		if got := logins(l); got != tt.want || l.Total != tt.total || l.Next != "" {
			t.Errorf("%s: %q of %d, then %q", tt.name, got, l.Total, l.Next)
		}
	}

	// A page at a time it is the same people, whatever they are narrowed to.
	for _, f := range []people.Filter{{}, {State: people.NoFactor}, {Words: "yamada"}} {
		var paged []string
		for after, pages := "", 0; ; pages++ {
			l := list(f, after, 2)
			paged = append(paged, strings.Fields(logins(l))...)
			if after = l.Next; after == "" || pages > 10 {
				break
			}
		}
		if got, want := strings.Join(paged, " "), logins(list(f, "", 100)); got != want {
			t.Errorf("%+v: page by page %q, at once %q", f, got, want)
		}
	}
	w.clock.Advance(time.Minute) // the hold is over
	if got := logins(list(people.Filter{State: people.ShutOut}, "", 50)); got != "" {
		t.Errorf("after the hold: %q", got)
	}
	if _, err := w.List(ctx, w.origin, w.session(t, "tanaka", policy.AAL2), people.Filter{}, "", 1); err == nil {
		t.Error("somebody without a post reads the list")
	}
}

func logins(l people.List) string {
	var out []string
	for _, p := range l.People {
		out = append(out, p.Login)
	}
	return strings.Join(out, " ")
}

// crowd is a directory of many, of whom nobody is in the state looked for.
type crowd struct {
	people.Directory
	asked int
}

func (c *crowd) Look(_ context.Context, _ directory.Wanted, after string, limit int) (directory.Found, error) {
	c.asked++
	found := directory.Found{Total: 1_000_000, Next: fmt.Sprint(after, "x")}
	for i := range limit {
		found.People = append(found.People, directory.Person{ID: directory.PersonID(fmt.Sprint(after, i)), Login: fmt.Sprint("p", i)})
	}
	return found, nil
}

// TestListEnds: one answer reads through no more than a part of a large
// directory, and says that there is more.
func TestListEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := &crowd{Directory: w.dir}
	s := people.New(people.House{In: w.in, Account: w.Account, Directory: c})
	l, err := s.List(ctx, w.origin, w.session(t, "admin", policy.AAL2), people.Filter{State: people.Dormant}, "", 50)
	must(t, err)
	if len(l.People) != 0 || l.Next == "" || l.Read != 1000 || c.asked != 10 {
		t.Errorf("%d found, %d read in %d questions, then %q", len(l.People), l.Read, c.asked, l.Next)
	}
}

// TestPast: what administrators did to a person is on their page, newest first,
// and nothing of what was refused or done to others.
func TestPast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device(t, "suzuki")
	admin := w.session(t, "admin", policy.PHR)
	past := func(login string) []string {
		t.Helper()
		d, err := w.Show(ctx, w.origin, admin, login)
		must(t, err)
		var out []string
		for _, p := range d.Past {
			if p.At.IsZero() {
				t.Errorf("%+v has no time", p)
			}
			out = append(out, strings.TrimSpace(p.Action+" "+p.By+" "+p.Reason+" "+p.What))
		}
		return out
	}
	if got := past("suzuki"); got != nil {
		t.Errorf("before anything: %q", got)
	}
	must(t, w.Suspend(ctx, w.origin, admin, "suzuki", "lost the phone", time.Time{}))
	w.clock.Advance(time.Second)
	must(t, w.Restore(ctx, w.origin, admin, "suzuki", ""))
	w.clock.Advance(time.Second)
	if err := w.Restore(ctx, w.origin, admin, "suzuki", "again"); err == nil {
		t.Fatal("restored twice")
	}
	_, err := w.RecoveryCode(ctx, w.origin, admin, "suzuki")
	must(t, err)
	w.clock.Advance(time.Second)
	must(t, w.RemoveFactor(ctx, w.origin, admin, "suzuki", w.factor(t, "suzuki")))
	w.clock.Advance(time.Second)
	_, err = w.TemporaryPassword(ctx, w.origin, admin, "suzuki")
	must(t, err)
	want := []string{"password.temporary admin", "factor.removed admin  電話", "recovery.issued admin", "person.restored admin", "person.suspended admin lost the phone"}
	if got := past("suzuki"); !slices.Equal(got, want) {
		t.Errorf("suzuki's past is %q", got)
	}
	if got := past("tanaka"); got != nil {
		t.Errorf("tanaka's past is %q", got)
	}

	// No trail, no past: they commit together.
	defer w.breakTrail(t, "person.suspended")()
	if err := w.Suspend(ctx, w.origin, admin, "tanaka", "x", time.Time{}); err == nil {
		t.Error("suspended without the trail")
	}
	if got := past("tanaka"); got != nil {
		t.Errorf("after the broken trail: %q", got)
	}
}
