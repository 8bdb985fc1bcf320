package notice

import (
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// TestAfter is the whole timetable.
func TestAfter(t *testing.T) {
	for _, tt := range []struct {
		name            string
		tries, refusals int
		refused         bool
		age             time.Duration
		rest            time.Duration
		again           bool
	}{
		{"first", 1, 0, false, 0, 5 * time.Second, true},
		{"second", 2, 0, false, 5 * time.Second, 15 * time.Second, true},
		{"third", 3, 0, false, 20 * time.Second, time.Minute, true},
		{"fourth", 4, 0, false, time.Minute, 5 * time.Minute, true},
		{"fifth", 5, 0, false, 6 * time.Minute, 30 * time.Minute, true},
		{"sixth", 6, 0, false, time.Hour, time.Hour, true},
		{"the last wait repeats", 60, 0, false, 60 * time.Hour, time.Hour, true},
		{"a moment before patience ends", 70, 0, false, Patience - 1, time.Hour, true},
		{"patience ends", 70, 0, false, Patience, 0, false},
		{"old, and hardly tried", leastTries - 1, 0, false, 40 * Patience, time.Hour, true},
		{"old, and tried enough", leastTries, 0, false, 40 * Patience, 0, false},
		{"under a clock set back", 1, 0, false, -time.Hour, 5 * time.Second, true},
		{"refused", 1, 1, true, 0, time.Minute, true},
		{"refused again", 2, 2, true, time.Minute, 30 * time.Minute, true},
		{"refused a third time", 3, 3, true, time.Hour, 6 * time.Hour, true},
		{"refused for good", 4, 4, true, 7 * time.Hour, 0, false},
		{"refused after long failing", 50, 1, true, 40 * time.Hour, time.Minute, true},
		{"failing after a refusal", 2, 1, false, time.Minute, 15 * time.Second, true},
	} {
		rest, again := after(tt.tries, tt.refusals, tt.refused, tt.age)
		if rest != tt.rest || again != tt.again {
			t.Errorf("%s: after = %v, %t; want %v, %t", tt.name, rest, again, tt.rest, tt.again)
		}
		if rest > longestWait {
			t.Errorf("%s: rests %v, longer than the longest wait", tt.name, rest)
		}
	}
}

func TestAClaimIsExclusiveUntilItsLeaseEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.beside()
	w.add(Notice{Kind: PasswordChanged})
	first := w.claim()
	if len(first) != 1 {
		t.Fatalf("claimed %d, want 1", len(first))
	}
	w.clock.Advance(lease - time.Microsecond)
	if due, err := other.Claim(ctx, 100, lease); err != nil || len(due) != 0 {
		t.Fatalf("another gateway got %d during the lease, %v", len(due), err)
	}
	// The first gateway has died; nobody says anything.
	w.clock.Advance(time.Microsecond)
	due, err := other.Claim(ctx, 100, lease)
	if err != nil || len(due) != 1 || due[0].ID != first[0].ID {
		t.Fatalf("after the lease: %+v, %v", due, err)
	}
	// It had not died after all: its failure is not the other's, its success is
	// a fact.
	how := w.failed(first[0], false)
	w.clock.Advance(waits[0])
	if how != "" || len(w.claim()) != 0 {
		t.Error("a claim that had run out was put back under its new owner")
	}
	w.done(first[0])
	if how := w.failed(due[0], false); how != "" || w.state(due[0]) != string(Sent) {
		t.Errorf("sent, and then failed: %s", w.state(due[0]))
	}
	w.clock.Advance(24 * time.Hour)
	if again := w.claim(); len(again) != 0 {
		t.Errorf("sent, and due again: %+v", again)
	}
}

// TestNobodyGetsWhatAnotherHas: several gateways, each with a connection of its
// own and a clock that runs a little differently, empty one queue.
func TestNobodyGetsWhatAnotherHas(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sekisho.db")
	rules := newWorld(t).rules
	var gates []*Queue
	for i := range 4 {
		mine := clock.NewFake(t0.Add(time.Duration(i) * 50 * time.Millisecond))
		ticking := func() time.Time { mine.Advance(time.Millisecond); return mine.Now() }
		gates = append(gates, New(storetest.OpenWith(t, store.Config{Path: path}), ticking, func() *policy.Policy { return rules }))
	}
	const notices = 120
	for range notices {
		err := gates[0].db.WithTx(ctx, func(tx *store.Tx) error {
			return gates[0].Add(ctx, tx, Notice{Person: tanaka, Kind: PasswordChanged, Zone: policy.LGWAN, At: t0.Add(-time.Second)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var (
		mu    sync.Mutex
		taken = map[string]int{}
		work  sync.WaitGroup
	)
	claim := func(g *Queue) (some bool) {
		due, err := g.Claim(ctx, 4, lease)
		if err != nil {
			t.Error(err)
			return false
		}
		for i, d := range due {
			mu.Lock()
			taken[d.ID]++
			mu.Unlock()
			if i%2 == 0 {
				if err := g.Done(ctx, d); err != nil {
					t.Error(err)
				}
			}
		}
		return len(due) > 0
	}
	for _, g := range gates {
		if !claim(g) {
			t.Error("a gateway does not see what another has queued")
		}
	}
	for _, g := range gates {
		for range 3 {
			work.Go(func() {
				for claim(g) {
				}
			})
		}
	}
	work.Wait()
	if len(taken) != notices {
		t.Errorf("%d of %d were claimed", len(taken), notices)
	}
	for id, n := range taken {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
}

func TestFailuresAreTriedUntilPatienceEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(Notice{Kind: PasswordChanged})
	tries := 0
	for end := t0.Add(2 * Patience); w.clock.Now().Before(end); {
		due := w.claim()
		if len(due) == 0 {
			w.clock.Advance(30 * time.Minute)
			continue
		}
		tries++
		if due[0].Tries != tries-1 {
			t.Fatalf("try %d says %d before it", tries, due[0].Tries)
		}
		if how := w.failed(due[0], false); how != "" {
			if age := w.clock.Now().Sub(t0); how != Undelivered || age < Patience || age > Patience+time.Hour {
				t.Errorf("given up as %q after %v", how, age)
			}
			if tries < 70 {
				t.Errorf("given up after %d tries", tries)
			}
			if w.state(due[0]) != string(Undelivered) {
				t.Errorf("the store says %q", w.state(due[0]))
			}
			return
		}
	}
	t.Fatal("never given up")
}

func TestRefusalsEndSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(Notice{Kind: PasswordChanged})
	var outcomes []Outcome
	for range 4 {
		due := w.claim()
		if len(due) != 1 {
			t.Fatalf("try %d: %d due", len(outcomes)+1, len(due))
		}
		outcomes = append(outcomes, w.failed(due[0], true))
		w.clock.Advance(6 * time.Hour)
	}
	if !slices.Equal(outcomes, []Outcome{"", "", "", Refused}) {
		t.Errorf("outcomes = %q", outcomes)
	}
	if due := w.claim(); len(due) != 0 {
		t.Error("refused for good, and due again")
	}
}

// TestCopiesAreWaitedForOneByOne: one address that fails does not bring the
// other its notice twice.
func TestCopiesAreWaitedForOneByOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("me@home.example")
	due := w.claim()
	i := slices.IndexFunc(due, func(d Due) bool { return d.Address == "" })
	w.done(due[i])
	if how := w.failed(due[1-i], false); how != "" {
		t.Fatal("given up at once")
	}
	w.clock.Advance(time.Hour)
	again := w.claim()
	if len(again) != 1 || again[0].Address != "me@home.example" || again[0].ID != due[0].ID {
		t.Errorf("due again: %+v", again)
	}
}

func TestReleaseGivesBackAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(Notice{Kind: PasswordChanged})
	w.add(Notice{Kind: RecoveryUsed})
	due := w.claim()
	if err := w.Release(ctx, due[:1]); err != nil {
		t.Fatal(err)
	}
	again := w.claim()
	if len(again) != 1 || again[0].ID != due[0].ID || again[0].Tries != 0 {
		t.Fatalf("after the release: %+v", again)
	}
	// A release that comes late is not the new owner's.
	if err := w.Release(ctx, due); err != nil {
		t.Fatal(err)
	}
	if stolen := w.claim(); len(stolen) != 1 || stolen[0].ID != due[1].ID {
		t.Errorf("a late release gave away %+v", stolen)
	}
}

func TestClaimTakesTheOldestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []Kind
	for _, k := range Kinds() {
		w.add(Notice{Kind: k})
		w.clock.Advance(time.Second)
		want = append(want, k)
	}
	var got []Kind
	for len(got) < len(want) {
		due, err := w.Claim(ctx, 2, lease)
		if err != nil || len(due) == 0 || len(due) > 2 {
			t.Fatalf("claimed %d, %v", len(due), err)
		}
		for _, d := range due {
			got = append(got, d.Kind)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("order = %v, want %v", got, want)
	}
}

// TestAWrongClockHoldsNothingUp: what was written under a clock that ran far
// ahead is due under the right one; a clock a little ahead is nothing unusual.
func TestAWrongClockHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		ahead time.Duration
		due   int
	}{
		{"a year", 365 * 24 * time.Hour, 3},
		{"just beyond any wait", farthest + lease + time.Second, 3},
		{"a minute", time.Minute, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for range 3 {
				w.add(Notice{Kind: PasswordChanged})
			}
			w.clock.Advance(tt.ahead)
			due := w.claim() // one stays claimed, one rests, one rests after a refusal
			w.failed(due[1], false)
			w.failed(due[2], true)
			w.clock.Advance(-tt.ahead)
			if got := w.claim(); len(got) != tt.due {
				t.Errorf("%d due after the clock was set right, want %d", len(got), tt.due)
			}
		})
	}
}

// TestAJumpDropsNothingUntried: a clock that jumps a month ahead does not make
// the queue forget what nobody has tried to send.
func TestAJumpDropsNothingUntried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(Notice{Kind: PasswordChanged})
	w.clock.Advance(29 * 24 * time.Hour)
	for i := range leastTries {
		due := w.claim()
		if len(due) != 1 {
			t.Fatalf("try %d: %d due", i+1, len(due))
		}
		want := Outcome("")
		if i == leastTries-1 {
			want = Undelivered
		}
		if how := w.failed(due[0], false); how != want {
			t.Fatalf("try %d: %q, want %q", i+1, how, want)
		}
		w.clock.Advance(time.Hour)
	}
}

func TestADamagedDetailHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(Notice{Kind: SignInUnusual, Detail: map[string]string{"from": "10.2.0.7"}})
	w.tx(func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE notice SET detail = '{"from'`)
		return err
	})
	w.add(Notice{Kind: PasswordChanged})
	due := w.claim()
	if len(due) != 2 {
		t.Fatalf("%d due, want both", len(due))
	}
	if want := map[string]string{"from": "", "browser": "", "failures": ""}; !maps.Equal(due[0].Detail, want) && !maps.Equal(due[1].Detail, want) {
		t.Errorf("details = %v, %v", due[0].Detail, due[1].Detail)
	}
}
