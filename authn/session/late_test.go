package session

import (
	"testing"
	"time"

	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
	"sekisho/test/postgres"
)

// TestLateCommit: what was ended in a transaction that other gateways have polled
// past is found when it commits; at once where it is a few seconds late, by one
// of the next polls where it is later. SQLite's transactions do not overlap.
func TestLateCommit(t *testing.T) {
	postgres.Missing(t)
	for _, tt := range []struct {
		late  time.Duration
		polls int
	}{{3 * time.Second, 1}, {30 * time.Second, deepEvery}} {
		t.Run(tt.late.String(), func(t *testing.T) {
			g := newGateOn(t, storetest.Place(t, "postgres"), "")
			other := g.beside()
			n, cookie := g.begin(t)
			poll := func() {
				t.Helper()
				if err := other.Poll(ctx); err != nil {
					t.Fatal(err)
				}
			}
			poll()
			wantAlive(t, other, cookie, "before")
			ended, commit, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			go func() {
				done <- g.db.WithTx(ctx, func(tx *store.Tx) error {
					err := g.End(ctx, tx, n.ID, "signed out")
					close(ended)
					<-commit
					return err
				})
			}()
			<-ended
			g.clock.Advance(tt.late)
			poll()
			wantAlive(t, other, cookie, "not committed yet")
			close(commit)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			for range tt.polls {
				poll()
			}
			wantDead(t, other, cookie, "committed late")
		})
	}
}
