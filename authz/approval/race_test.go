package approval

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// TestAllOrNothing breaks each step; whatever broke, matter, decision, settlement
// and trail agree, and one retry later there is one of each.
func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, point := range []string{"trail", "settle", "decision", "notice"} {
		t.Run(point, func(t *testing.T) {
			w := newWorld(t)
			m := w.ask(t)
			by := w.signedIn(t, "eto")
			mend := func() {}
			switch point {
			case "trail":
				mend = storetest.Refuse(t, w.DB, "INSERT", "trail_pending", "")
			case "decision":
				mend = storetest.Refuse(t, w.DB, "INSERT", "approval_decision", "")
			case "notice":
				mend = storetest.Refuse(t, w.DB, "INSERT", "notice", "")
			case "settle":
				w.settled = func(context.Context, *store.Tx, Matter, State) error { return broken }
			}
			if _, err := w.Decide(ctx, by, m.ID, true, ""); err == nil {
				t.Fatal("decided on a broken store")
			}
			if w.state(t, m.ID) != Pending || w.count(t, `SELECT COUNT(*) FROM approval_decision`) != 0 || w.entries(t, `"action":"approval.given"`) != 0 {
				t.Error("half of it is there")
			}
			mend()
			w.settled = nil
			if v, err := w.Decide(ctx, by, m.ID, true, ""); err != nil || v.At() != Approved || w.entries(t, `"action":"approval.given"`) != 1 {
				t.Errorf("retry: %v", err)
			}
		})
	}
}

// rounds is how often a race is run: the long form is of security.md, F2.
func rounds() int {
	if os.Getenv("SEKISHO_SOAK") == "1" {
		return 1000
	}
	return 50
}

// TestRacingWords is F2: two approvals and a withdrawal at once, and a try to
// approve oneself. There is one outcome, the desk hears it once, the quorum is
// exact, and the trail says the same.
func TestRacingWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	heard := map[string][]State{}
	w.Open(Elevation, Desk{Settled: func(_ context.Context, m Matter, to State) {
		mu.Lock()
		defer mu.Unlock()
		heard[m.ID] = append(heard[m.ID], to)
	}})
	eto, both, sato := w.signedIn(t, "eto"), w.signedIn(t, "both"), w.signedIn(t, "sato")
	outcomes := map[State]int{}
	for range rounds() {
		eto.AuthAt, both.AuthAt = w.clock.Now(), w.clock.Now()
		m := w.ask(t, func(m *Matter) { m.Rule.Steps[0].Quorum = 2 })
		var (
			wg  sync.WaitGroup
			err [4]error
		)
		for i, do := range []func() error{
			func() error { _, err := w.Decide(ctx, eto, m.ID, true, ""); return err },
			func() error { _, err := w.Decide(ctx, both, m.ID, true, ""); return err },
			func() error { _, err := w.Cancel(ctx, sato, m.ID, ""); return err },
			func() error { _, err := w.Decide(ctx, sato, m.ID, true, ""); return err },
		} {
			wg.Go(func() { err[i] = do() })
		}
		wg.Wait()
		v, got := w.Get(ctx, m.ID)
		must(t, got)
		yes := 0
		for i := range 2 {
			if err[i] == nil {
				yes++
			} else if reasonOf(err[i]) != Over {
				t.Fatalf("an approval: %v", err[i])
			}
		}
		if r := reasonOf(err[3]); r != OwnMatter && r != Over {
			t.Fatalf("a self-approval: %v", err[3])
		}
		if err[2] != nil && reasonOf(err[2]) != Over || len(v.Decisions) != yes {
			t.Fatalf("withdrawal %v, %d said yes and %d were written", err[2], yes, len(v.Decisions))
		}
		switch {
		case v.At() == Approved && yes == 2 && err[2] != nil:
		case v.At() == Cancelled && yes < 2 && err[2] == nil:
		default:
			t.Fatalf("%s with %d approvals and withdrawal %v", v.At(), yes, err[2])
		}
		mu.Lock()
		if len(heard[m.ID]) != 1 || heard[m.ID][0] != v.At() {
			t.Fatalf("the desk heard %v of %s", heard[m.ID], v.At())
		}
		mu.Unlock()
		if n := w.entries(t, `"action":"approval.given"`, m.ID); n != yes {
			t.Fatalf("%d entries of %d approvals", n, yes)
		}
		outcomes[v.At()]++
	}
	t.Logf("outcomes: %v", outcomes)
}
