package elevate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"sekisho/authz/elevate"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// childVar tells a re-executed test binary what to do, and where to die.
const childVar = "SEKISHO_ELEVATE_TEST_CHILD"

type orders struct {
	Store, LDAP, Lease, Point string
	Undo                      bool
	Now                       time.Time
}

// dieThere is a gateway of its own that is killed at a point, by a signal that
// leaves it no last word.
func dieThere(text string) int {
	ctx := context.Background()
	var o orders
	err := json.Unmarshal([]byte(text), &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	db, err := store.Open(ctx, storetest.Named(o.Store))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	now := clock.NewFake(o.Now).Now
	dir, err := ldap.Open(ctx, embeddedtest.Config(o.LDAP), now)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	b := elevate.New(elevate.House{
		DB: db, Trail: audit.New(db, now), Directory: dir, Policy: policy.Standard, Now: now,
		Stop: func(point string) error {
			if point == o.Point {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			return nil
		},
	})
	if o.Undo {
		err = b.Undo(ctx)
	} else {
		_, err = b.Apply(ctx, o.Lease)
	}
	fmt.Fprintln(os.Stderr, "it lived:", err)
	return 1
}

// kill runs a gateway that dies at a point.
func (w *world) kill(o orders) {
	w.Helper()
	self, err := os.Executable()
	w.must(err)
	o.Store, o.LDAP, o.Now = storetest.Name(w.place), w.server.URL(), w.clock.Now()
	text, err := json.Marshal(o)
	w.must(err)
	child := exec.CommandContext(w.Context(), self)
	child.Env = append(os.Environ(), childVar+"="+string(text))
	out, err := child.CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		w.Fatalf("at %s the child ended with %v: %s", o.Point, err, out)
	}
}

// TestKill9: F1 with processes. Each is killed at one point of giving and of
// taking back, while the gateway beside it lives; what it leaves converges, and
// directory and store agree.
func TestKill9(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("processes of their own are not looked at by the race detector")
	}
	rounds := 1
	if os.Getenv("SEKISHO_SOAK") == "1" {
		rounds = 20
	}
	for kind, g := range map[string]policy.Gift{"group": ofGroup(dbAdmins), "account": named(), "ephemeral": ephemeral()} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range rounds {
				for _, point := range points {
					if point == "made" && kind != "ephemeral" {
						continue
					}
					lease := fmt.Sprintf("G%d-%s", i, point)
					w.must(w.intend(lease, w.tanaka, g))
					w.kill(orders{Lease: lease, Point: point})
					w.clock.Advance(elevate.DecideWithin + 3*time.Second)
					if err := w.keep(lease, 10); !errors.Is(err, elevate.ErrTurned) {
						t.Errorf("%s: kept by nobody: %v", point, err)
					}
					w.undoAll()
					w.nothingLent("killed while giving at " + point)
				}
				for _, point := range []string{"claimed", "remove", "removed", "done", "confirmed"} {
					lease := fmt.Sprintf("T%d-%s", i, point)
					w.lend(lease, w.tanaka, 10, g)
					w.withdraw(lease)
					w.kill(orders{Undo: true, Point: point})
					w.clock.Advance(31 * time.Second)
					w.undoAll()
					w.nothingLent("killed while taking at " + point)
					w.cleanup(lease, elevate.CleanupConfirmed)
				}
			}
		})
	}
}
