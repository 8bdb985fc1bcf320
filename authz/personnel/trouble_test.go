package personnel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/policy/store"
)

// TestDies: whatever dies at whichever line, what is left is gone on with, and comes to
// the same; each act is on the trail once.
func TestDies(t *testing.T) {
	t.Parallel()
	for point, times := range map[string][]int{"intended": {0}, "line": {0, 3, 6}, "confirmed": {0}} {
		for _, n := range times {
			t.Run(fmt.Sprint(point, n), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.approved(changes)
				w.tick()
				w.at(effective)
				w.death.Once(point, n)
				if err := w.Tick(t.Context()); !errors.Is(err, authztest.ErrDied) {
					t.Fatalf("it did not die: %v", err)
				}
				other := w.gateway(w.dir)
				w.must(other.Tick(t.Context())) // in another's hands still
				w.clock.Advance(workLasts + time.Second)
				w.must(other.Tick(t.Context()))
				w.want("gone on with", after)
				if n := w.entries(`"action":"person.`); n != 9 {
					t.Errorf("%d entries about people, want 9", n)
				}
			})
		}
	}
}

// TestTwoGateways: however many gateways carry out, each line is done once.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approved(changes)
	w.at(effective)
	gates := []*Book{w.gateway(w.dir), w.gateway(w.dir), w.gateway(w.dir)}
	var wg sync.WaitGroup
	for _, g := range gates {
		wg.Go(func() {
			if err := g.Tick(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.want("carried out", after)
	if n := w.entries(`"action":"person.`); n != 9 {
		t.Errorf("%d entries about people, want 9", n)
	}
}

// TestLate: steps whose turn did not come while they were in hand, because the clock was
// set or the directory is slow, have not failed: they rest for nothing, and however often
// it happens nobody is told that they were refused.
func TestLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approved(changes)
	w.at(effective)
	jumps := 2 * stubborn
	w.Stop = func(point string) error {
		if point == "intended" && jumps > 0 {
			jumps--
			w.clock.Advance(workLasts + time.Second)
		}
		return nil
	}
	for jumps > 0 {
		w.must(w.Tick(t.Context()))
	}
	w.must(w.Tick(t.Context()))
	w.want("with time enough", after)
	if n := w.entries(`"action":"import.line_failed"`); n != 0 {
		t.Errorf("%d lines are told of as failing", n)
	}
	if n := w.entries(`"action":"person.`); n != 9 {
		t.Errorf("%d entries about people, want 9", n)
	}
}

// TestOvertaken: what was decided after an import was planned counts: an end that was set
// sooner is kept, and a login that was somebody's meanwhile is given to nobody.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose(changes)
	sooner := planned.AddDate(0, 0, 2)
	w.must(w.dir.Amend(t.Context(), w.person("kinnen"), directory.Amendment{ExpiresAt: &sooner}))
	w.decide("kobayashi", i.ID, true)
	w.tick()
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO tombstone (login, person_id, at, matter) VALUES ('arai', 'x', 1, 'm')`)
		return err
	}))
	w.tickAt(effective)
	if p := w.person("kinnen"); !p.Account.ExpiresAt.Equal(sooner) {
		t.Errorf("an end that was set sooner has become %v", p.Account.ExpiresAt)
	}
	if s := w.is("arai"); s != "nobody" {
		t.Errorf("a login was given again: %s", s)
	}
	lines, err := w.Lines(t.Context(), i.ID, Joins, 0, 10)
	w.must(err)
	if says := lines[len(lines)-1].Problem(); lines[len(lines)-1].Step != "failed" || !strings.Contains(says.JA, "ログイン") || !strings.Contains(says.EN, "login") {
		t.Errorf("%s: %+v", lines[len(lines)-1].Step, says)
	}
	if says := (Standing{Error: "LDAP Result Code 53 at ldap://10.0.0.1"}).Problem(); says.JA == "" || strings.Contains(says.EN, "10.0.0.1") {
		t.Errorf("%+v", says)
	}
}

// TestOneLineFails: a line that cannot be carried out is named, and keeps back no other.
func TestOneLineFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.approved(changes)
	w.tick()
	_, err := w.dir.Create(t.Context(), directory.NewPerson{Login: "nitta", Name: "別の人", Kind: directory.KindStaff, Number: "K-other"})
	w.must(err)
	w.must(w.dir.Delete(t.Context(), w.person("modori")))
	w.tickAt(effective)
	p, err := w.Progress(t.Context(), i.ID)
	if err != nil || p.Failed != 2 || p.Done != 5 {
		t.Errorf("%+v %v", p, err)
	}
	if got := w.person("nitta"); got.Number != "K-other" || got.Section != "" {
		t.Errorf("somebody else was changed: %+v", got)
	}
	if w.entries(`"action":"import.line_failed"`) != 2 {
		t.Error("the trail does not say so")
	}
}

// TestAway: while the directory is away, lines wait, and are carried out when it is back.
func TestAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approved(changes)
	w.at(effective)
	gone := &away{Directory: w.dir, gone: true}
	w.Book = w.gateway(gone)
	w.tick()
	w.want("away", before)
	gone.set(false)
	w.clock.Advance(time.Minute)
	w.tick()
	w.want("back", after)
}

// TestOneIsStuck: an entry that the directory does not come back from keeps no other from
// being confirmed in the time that the steps are in hand.
func TestOneIsStuck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.propose("number,name,section\nK-tanaka,例 tanaka,zaisei\nK-suzuki,例 suzuki,joho\nK-ito,例 ito,jinji\n")
	w.decide("kobayashi", i.ID, true)
	w.at(effective)
	w.Book = w.gateway(&stuck{w.dir, "tanaka"})
	jobs, err := w.due(t.Context(), batch)
	w.must(err)
	w.look(t.Context(), jobs)
	jobs, err = w.intend(t.Context(), jobs)
	w.must(err)
	w.clock.Advance(workLasts - 2*time.Second) // nobody waits for longer than what is left
	w.must(w.write(t.Context(), jobs))
	failed, err := w.settled(t.Context(), jobs)
	if err != nil || failed != 1 || w.is("suzuki") != "joho +staff" || w.is("ito") != "jinji +staff" {
		t.Errorf("%d failed, %v", failed, err)
	}
	if p, err := w.Progress(t.Context(), i.ID); err != nil || p.Done != 2 || p.Failed != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

// stuck is a directory that never answers about one login.
type stuck struct {
	Directory
	login string
}

func (s *stuck) Amend(ctx context.Context, p directory.Person, d directory.Amendment) error {
	if p.Login == s.login {
		<-ctx.Done()
		return directory.ErrAway
	}
	return s.Directory.Amend(ctx, p, d)
}

// away is a directory that may be away.
type away struct {
	Directory
	mu   sync.Mutex
	gone bool
}

func (a *away) Amend(ctx context.Context, p directory.Person, d directory.Amendment) error {
	if err := a.state(); err != nil {
		return err
	}
	return a.Directory.Amend(ctx, p, d)
}

func (a *away) Create(ctx context.Context, n directory.NewPerson) (directory.Person, error) {
	if err := a.state(); err != nil {
		return directory.Person{}, err
	}
	return a.Directory.Create(ctx, n)
}

func (a *away) set(gone bool) { a.mu.Lock(); a.gone = gone; a.mu.Unlock() }

func (a *away) state() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return directory.ErrAway
	}
	return nil
}
