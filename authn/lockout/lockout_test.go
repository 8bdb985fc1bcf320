package lockout

import (
	"testing"
	"time"

	"sekisho/policy"
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func TestAfterFailure(t *testing.T) {
	rule := Rule{Free: 4, Delays: []time.Duration{time.Second, time.Minute}, Limit: 9}
	for _, tt := range []struct {
		name string
		from State
		want State
	}{
		{"the first failure delays nobody", State{}, State{Failures: 1}},
		{"nor does the fourth", State{Failures: 3}, State{Failures: 4}},
		{"the fifth does", State{Failures: 4}, State{5, t0.Add(time.Second)}},
		{"the delay grows", State{Failures: 5}, State{6, t0.Add(time.Minute)}},
		{"and stays at the last step", State{Failures: 8}, State{9, t0.Add(time.Minute)}},
		{"a hold is counted from now", State{5, t0.Add(-time.Hour)}, State{6, t0.Add(time.Minute)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := rule.AfterFailure(tt.from, t0); got != tt.want {
				t.Errorf("AfterFailure(%+v) = %+v, want %+v", tt.from, got, tt.want)
			}
		})
	}
}

func TestSpent(t *testing.T) {
	for _, tt := range []struct {
		name     string
		rule     Rule
		failures int
		want     bool
	}{
		{"one below the limit is open", Rule{Limit: 50}, 49, false},
		{"the limit spends", Rule{Limit: 50}, 50, true},
		{"a directory that locks at 20 lowers it to 19", Of(policy.LockoutRules{HardLimit: 50}, 19), 19, true},
		{"and 18 are still verified", Of(policy.LockoutRules{HardLimit: 50}, 19), 18, false},
		{"a directory without a threshold lowers nothing", Of(policy.LockoutRules{HardLimit: 50}, 0), 49, false},
		{"a higher threshold raises nothing", Of(policy.LockoutRules{HardLimit: 50}, 99), 50, true},
		{"strangers reach the end before the owner's browser does", Rule{Limit: 19}.Less(5), 14, true},
		{"keeping everything back still leaves one try", Rule{Limit: 3}.Less(5), 0, false},
		{"the zero rule refuses", Rule{}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.rule.Spent(State{Failures: tt.failures}); got != tt.want {
				t.Errorf("Spent after %d of %+v = %t, want %t", tt.failures, tt.rule, got, tt.want)
			}
		})
	}
}

// TestModes: what ordinances ask for (security.md section 1.3, throttle, for a
// time, until somebody lifts it) are the same rule with other numbers. After each
// failure: whether the next attempt is verified at once, after how long, or never.
func TestModes(t *testing.T) {
	const never = time.Duration(-1)
	day := 24 * time.Hour
	for _, tt := range []struct {
		name string
		rule Rule
		want []time.Duration // after failures 1, 2, …
	}{
		{"throttled", Of(policy.LockoutRules{FreeFailures: 2, Delays: []time.Duration{time.Second, time.Minute}, HardLimit: 6}, 0), []time.Duration{0, 0, time.Second, time.Minute, time.Minute, never}},
		{"for a day from the third", Of(policy.LockoutRules{FreeFailures: 2, Delays: []time.Duration{day}, HardLimit: 5}, 0), []time.Duration{0, 0, day, day, never}},
		{"three strikes, until it is bound again", Of(policy.Legacy().Lockout, 0), []time.Duration{0, 0, never}},
		{"three strikes before a directory that locks at two", Of(policy.Legacy().Lockout, 1), []time.Duration{never}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, now := State{}, t0
			for i, want := range tt.want {
				s = tt.rule.AfterFailure(s, now)
				got := s.Wait(now)
				if tt.rule.Spent(s) {
					got = never
				}
				if got != want {
					t.Errorf("after failure %d: %v, want %v", i+1, got, want)
				}
				now = now.Add(max(0, want))
			}
		})
	}
}

func TestWait(t *testing.T) {
	s := State{HeldUntil: t0.Add(time.Minute)}
	for _, tt := range []struct {
		at   time.Time
		want time.Duration
	}{
		{t0, time.Minute},
		{t0.Add(59 * time.Second), time.Second},
		{t0.Add(time.Minute), 0},
		{t0.Add(time.Hour), 0},
	} {
		if got := s.Wait(tt.at); got != tt.want {
			t.Errorf("Wait(%v) = %v, want %v", tt.at, got, tt.want)
		}
	}
	if got := (State{}).Wait(t0); got != 0 {
		t.Errorf("the zero state waits %v", got)
	}
}
