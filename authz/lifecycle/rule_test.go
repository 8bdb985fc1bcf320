package lifecycle

import (
	"testing"
	"time"

	"sekisho/policy"
)

var (
	staffDays = policy.DormancyDays{WarnDays: 60, DisableDays: 90, DeleteDays: 365}
	// used is the evening before the fiscal year, in Japan.
	used = time.Date(2026, 3, 31, 23, 59, 0, 0, japan)
)

// after is so many days after the day of used, at an hour of Japan.
func after(days, hour int) time.Time { return time.Date(2026, 3, 31+days, hour, 0, 0, 0, japan) }

func TestJudge(t *testing.T) {
	const fortnight = 14 * 24 * time.Hour
	made := used.AddDate(-1, 0, 0)
	dir := Evidence{CreatedAt: made, Directory: used}
	warned := Past{WarnedAt: after(60, 3)}
	closed := Past{WarnedAt: after(60, 3), DisabledAt: after(90, 3)}
	for _, tt := range []struct {
		name   string
		e      Evidence
		past   Past
		exempt bool
		at     time.Time
		stage  Stage
		hold   Hold
		unused int
	}{
		{"used today", dir, Past{}, false, used.Add(time.Second), InUse, "", 0},
		{"a minute later is the first of April", dir, Past{}, false, after(1, 0), InUse, "", 1},
		{"the evening before the day", dir, Past{}, false, after(60, 0).Add(-time.Second), InUse, "", 59},
		{"warned when the day begins", dir, Past{}, false, after(60, 0), Warned, "", 60},
		{"and still warned the day before it is closed", dir, warned, false, after(89, 23), Warned, "", 89},
		{"closed", dir, warned, false, after(90, 0), Disabled, "", 90},
		{"never without a warning", dir, Past{}, false, after(1000, 3), Warned, "", 1000},
		{"nor sooner after it than the policy's days", dir, Past{WarnedAt: after(85, 3)}, false, after(114, 3), Warned, "", 114},
		{"but then", dir, Past{WarnedAt: after(85, 3)}, false, after(115, 3), Disabled, "", 115},
		{"a warning of before its last use is none", dir, Past{WarnedAt: used.AddDate(0, -1, 0)}, false, after(90, 3), Warned, "", 90},
		{"proposed for deletion", dir, closed, false, after(365, 3), Deleted, "", 365},
		{"not the day before", dir, closed, false, after(364, 3), Disabled, "", 364},
		{"nor soon after it was closed", dir, Past{DisabledAt: after(360, 3)}, false, after(400, 3), Disabled, "", 400},
		{"what was closed stays so, also where it was used", Evidence{Directory: after(95, 9)}, closed, false, after(96, 3), Disabled, "", 1},

		{"used at one of our doors", Evidence{CreatedAt: made, Directory: used, Seen: after(50, 9)}, Past{}, false, after(60, 3), InUse, "", 10},
		{"an import tells of a use", Evidence{CreatedAt: made, Directory: used, Told: after(58, 9)}, Past{}, false, after(60, 3), InUse, "", 2},
		{"a use after it was warned", Evidence{CreatedAt: made, Directory: after(61, 9)}, warned, false, after(90, 3), InUse, "", 29},
		{"opened again by a decision", Evidence{CreatedAt: made, Directory: used, Reopened: after(100, 9)}, Past{}, false, after(101, 3), InUse, "", 1},
		{"a clock that runs ahead elsewhere", Evidence{CreatedAt: made, Directory: after(9, 9)}, Past{}, false, after(3, 3), InUse, "", 0},

		{"never used: from its creation", Evidence{CreatedAt: used}, Past{}, false, after(60, 3), Warned, "", 60},
		{"never used, and new", Evidence{CreatedAt: used}, Past{}, false, after(59, 3), InUse, "", 59},
		{"within the directory's lag", Evidence{CreatedAt: made, Directory: used, Lag: fortnight}, Past{}, false, after(73, 3), InUse, "", 59},
		{"beyond it", Evidence{CreatedAt: made, Directory: used, Lag: fortnight}, Past{}, false, after(74, 3), Warned, "", 60},
		{"a lag reaches no further than now", Evidence{CreatedAt: made, Directory: used, Lag: fortnight}, Past{}, false, after(5, 3), InUse, "", 0},
		{"no bound is known", Evidence{CreatedAt: made, Directory: used, Lag: -1}, warned, false, after(200, 3), InUse, Unknown, 200},
		{"nothing is known", Evidence{}, Past{}, false, after(200, 3), InUse, Unknown, 0},

		{"exempt", dir, warned, true, after(400, 3), InUse, Exempt, 400},
		{"exempt, and closed before", dir, closed, true, after(400, 3), Disabled, Exempt, 400},
		{"on leave", Evidence{CreatedAt: made, Directory: used, Rests: []Span{{From: after(10, 0)}}, Held: OnLeave}, Past{}, false, after(400, 3), InUse, OnLeave, 10},
		{"back from leave, the count goes on", Evidence{CreatedAt: made, Directory: used, Rests: []Span{{after(10, 0), after(300, 0)}}}, Past{}, false, after(349, 3), InUse, "", 59},
		{"and comes to its end", Evidence{CreatedAt: made, Directory: used, Rests: []Span{{after(10, 0), after(300, 0)}}}, Past{}, false, after(350, 3), Warned, "", 60},
		{"a leave of before the last use", Evidence{CreatedAt: made, Directory: used, Rests: []Span{{used.AddDate(-1, 0, 0), used.AddDate(0, -1, 0)}}}, Past{}, false, after(60, 3), Warned, "", 60},
		{"leave that ended early, and a later one", Evidence{CreatedAt: made, Directory: used, Rests: []Span{{after(10, 0), after(20, 0)}, {after(30, 0), after(50, 0)}}}, Past{}, false, after(90, 3), Warned, "", 60},
		{"suspended while on leave: each day once", Evidence{CreatedAt: made, Directory: used, Rests: []Span{{after(30, 0), after(50, 0)}, {after(10, 0), after(40, 0)}, {after(35, 0), after(36, 0)}}}, Past{}, false, after(99, 3), InUse, "", 59},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Judge(tt.e, tt.past, staffDays, tt.exempt, tt.at)
			if got.Stage != tt.stage || got.Hold != tt.hold || got.Unused != tt.unused {
				t.Errorf("Judge = %s %q after %d days, want %s %q after %d", got.Stage, got.Hold, got.Unused, tt.stage, tt.hold, tt.unused)
			}
		})
	}
}

// TestJudgeSaysWhen: what a warning says of the day of closing is kept.
func TestJudgeSaysWhen(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    Evidence
		past Past
		at   time.Time
		want time.Time
	}{
		{"in time", Evidence{Directory: used}, Past{}, after(60, 3), after(90, 0)},
		{"late: the days between warning and closing are kept", Evidence{Directory: used}, Past{}, after(200, 3), after(230, 0)},
		{"warned before", Evidence{Directory: used}, Past{WarnedAt: after(70, 3)}, after(80, 3), after(100, 0)},
	} {
		j := Judge(tt.e, tt.past, staffDays, false, tt.at)
		if !j.DisableOn.Equal(tt.want) {
			t.Errorf("%s: closed on %v, want %v", tt.name, j.DisableOn.In(japan), tt.want)
		}
		past := tt.past
		if past.WarnedAt.IsZero() {
			past.WarnedAt = tt.at
		}
		if got := Judge(tt.e, past, staffDays, false, tt.want.Add(-time.Second)); got.Stage != Warned {
			t.Errorf("%s: %s a second before it", tt.name, got.Stage)
		}
		if got := Judge(tt.e, past, staffDays, false, tt.want); got.Stage != Disabled {
			t.Errorf("%s: %s on the day", tt.name, got.Stage)
		}
	}
}

// TestAJumpClosesNobody: F15. However far the clock jumps, and wherever it lands,
// what follows at once is a warning.
func TestAJumpClosesNobody(t *testing.T) {
	for days := range 1500 {
		if got := Judge(Evidence{Directory: used}, Past{}, staffDays, false, after(days, 3)); got.Stage == Disabled || got.Stage == Deleted {
			t.Fatalf("after a jump of %d days: %s", days, got.Stage)
		}
		if got := Judge(Evidence{Directory: used}, Past{DisabledAt: after(days, 2)}, staffDays, false, after(days, 3)); got.Stage != Disabled {
			t.Fatalf("closed an hour ago, after %d days: %s", days, got.Stage)
		}
	}
}

func TestHalt(t *testing.T) {
	thousand, few := Answer{1000, 900, 0}, Answer{22, 22, 0}
	for _, tt := range []struct {
		name   string
		a      Answer
		before Answer
		want   Stop
	}{
		{"as last time", Answer{1000, 900, 10}, thousand, ""},
		{"the first time", Answer{1000, 900, 10}, Answer{}, ""},
		{"nobody", Answer{}, thousand, Empty},
		{"nobody, and nobody before", Answer{}, Answer{}, Empty},
		{"five in a hundred fewer", Answer{950, 900, 10}, thousand, ""},
		{"one more than that", Answer{949, 900, 10}, thousand, Differs},
		{"as many more", Answer{1051, 900, 10}, thousand, Differs},
		{"two of few", Answer{20, 20, 0}, few, ""},
		{"three of few", Answer{19, 19, 0}, few, Differs},
		{"the last use of five in a hundred fewer", Answer{1000, 855, 10}, thousand, ""},
		{"of one more than that", Answer{1000, 854, 10}, thousand, Fewer},
		{"and where nothing would follow", Answer{1000, 854, 0}, thousand, Fewer},
		{"of two of few", Answer{22, 20, 1}, few, ""},
		{"of three of few", Answer{22, 19, 1}, few, Fewer},
		{"of many more", Answer{1000, 1000, 10}, Answer{1000, 500, 0}, ""},
		{"five in a hundred at once", Answer{1000, 900, 50}, thousand, ""},
		{"one more at once", Answer{1000, 900, 51}, thousand, TooMany},
		{"ten of few", Answer{22, 20, 10}, few, ""},
		{"eleven of few", Answer{22, 20, 11}, few, TooMany},
		{"no last use is written down", Answer{1000, 0, 10}, Answer{}, Undated},
		{"and none is needed", Answer{1000, 0, 0}, Answer{}, ""},
	} {
		if got := Halt(tt.a, tt.before, 5, 10); got != tt.want {
			t.Errorf("%s: Halt = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSlot(t *testing.T) {
	for _, tt := range []struct{ at, want string }{
		{"2026-03-31T17:59:59Z", "2026-03-31"}, // 02:59 on 1 April in Japan
		{"2026-03-31T18:00:00Z", "2026-04-01"},
		{"2026-04-01T17:59:59Z", "2026-04-01"},
	} {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := slotOf(at, 3); got != tt.want {
			t.Errorf("at %s: %s, want %s", tt.at, got, tt.want)
		}
	}
}
