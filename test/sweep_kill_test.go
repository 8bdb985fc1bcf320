package test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// TestSweepIsKilled: kill -9 inside a sweep that warns, and inside one that closes. The
// gate that comes after goes on where it was left: each ID is dealt with once, and the
// directory follows.
func TestSweepIsKilled(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	db, err := sql.Open("sqlite", "file:"+folder.Folder(d.Folder).Store()+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	count := func(q string) int {
		var n int
		if err := db.QueryRowContext(t.Context(), q).Scan(&n); err != nil && !strings.Contains(err.Error(), "locked") {
			t.Fatal(err)
		}
		return n
	}
	over := func(sweeps int) func() bool {
		return func() bool {
			return count(`SELECT COUNT(*) FROM sweep WHERE state = 'done'`) >= sweeps &&
				count(`SELECT COUNT(*) FROM sweep WHERE state IN ('reading', 'acting')`) == 0 && count(`SELECT COUNT(*) FROM dormancy WHERE effect <> ''`) == 0
		}
	}
	d.Advance(t, 2*time.Minute) // who moved the sample in may have stopped within it: nobody waits longer for them
	harness.Until(t, "the first sweep is over", over(1))
	for i, step := range []struct {
		days          int
		action, stage string
	}{{60, "dormancy.warned", "warned"}, {30, "dormancy.disabled", "disabled"}} {
		d.Advance(t, time.Duration(step.days)*24*time.Hour)
		inside := `SELECT COUNT(*) FROM dormancy WHERE stage = '` + step.stage + `'`
		before := count(inside)
		for begun := time.Now(); count(inside) < before+2; { // as close as it can be watched: a sweep takes no second
			if time.Since(begun) > time.Minute {
				t.Fatalf("nobody was %s", step.stage)
			}
		}
		d.Kill()
		left := count(`SELECT COUNT(*) FROM sweep WHERE state = 'acting'`)
		t.Logf("%s: killed with %d done, %d under way", step.action, count(inside), left)
		d = harness.StartDev(t, d.Folder)
		d.Advance(t, 2*time.Minute) // nobody waits longer for one who died
		harness.Until(t, "the sweep is over", over(i+2))
		acts, _ := trail(t, d)
		told := map[string]int{}
		for _, a := range acts {
			if a.Action == step.action {
				told[a.Object]++
			}
		}
		if len(told) < 8 {
			t.Errorf("%s of %d IDs, want those of the sample", step.action, len(told))
		}
		for who, n := range told {
			if n != 1 {
				t.Errorf("%s of %s is there %d times", step.action, who, n)
			}
		}
	}
	if n := count(`SELECT COUNT(*) FROM dormancy WHERE stage = 'disabled' AND ours = 0`); n != 0 {
		t.Errorf("%d IDs are closed here and not in the directory", n)
	}
}
