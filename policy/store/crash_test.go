package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// childStore names the store that a re-executed test binary commits to.
const childStore = "SEKISHO_STORE_TEST_CHILD"

// commitForEver commits from eight goroutines and prints each id once WithTx has
// acknowledged it. It ends by being killed.
func commitForEver(name string) int {
	db, err := store.Open(context.Background(), storetest.Named(name))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				id := int(next.Add(1))
				if err := insert(db, id); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				// One write each: a pipe keeps lines this short whole.
				_, _ = os.Stdout.WriteString(strconv.Itoa(id) + "\n")
			}
		})
	}
	wg.Wait()
	return 1
}

// TestKill9 kills a process in the middle of its commits. Whatever it had
// acknowledged is there afterwards, and the store is whole.
func TestKill9(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []int{1, 50, 400} {
		t.Run(fmt.Sprintf("after %d acknowledgements", after), func(t *testing.T) {
			each(t, func(t *testing.T, at store.Config) { killAfter(t, self, after, at) })
		})
	}
}

func killAfter(t *testing.T, self string, after int, at store.Config) {
	first, err := store.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	withItems(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	child := exec.Command(self)
	child.Env = append(os.Environ(), childStore+"="+storetest.Name(at))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []int
	for lines := bufio.NewScanner(out); lines.Scan(); {
		id, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("the child said %q", lines.Text())
		}
		acknowledged = append(acknowledged, id)
		if len(acknowledged) == after {
			_ = child.Process.Kill() // and read on what it had printed
		}
	}
	_ = child.Wait()
	if len(acknowledged) < after {
		t.Fatalf("the child ended by itself after %d", len(acknowledged))
	}

	db := storetest.OpenWith(t, at)
	there := map[int]bool{}
	for _, id := range items(t, db) {
		there[id] = true
	}
	for _, id := range acknowledged {
		if !there[id] {
			t.Errorf("%d was acknowledged and is gone", id)
		}
	}
	if at.Driver == "sqlite" {
		var verdict string
		if err := db.QueryRow(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity_check: %q, %v", verdict, err)
		}
	}
	if err := insert(db, -1); err != nil {
		t.Error("writing after the crash:", err)
	}
}
