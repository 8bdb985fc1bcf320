package lifecycle

import (
	"context"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
)

// TestAgeing: whose password grows old hears of it fourteen and three days before, once
// however many gateways look, and nobody does where passwords live for ever.
func TestAgeing(t *testing.T) {
	t.Parallel()
	chosen := func(at time.Time) map[string][]string {
		return map[string][]string{"pwdChangedTime": {generalized(at)}}
	}
	old := t0.AddDate(0, 0, -200)
	w := newWorld(t,
		member{login: "tanaka", more: chosen(old)}, member{login: "suzuki", more: chosen(t0)}, member{login: "batch", kind: "service", more: chosen(old)},
		member{login: "kari", more: map[string][]string{"pwdChangedTime": {generalized(old)}, "pwdReset": {"TRUE"}}},
		member{login: "closed", more: map[string][]string{"pwdChangedTime": {generalized(old)}, "pwdAccountLockedTime": {"000001010000Z"}}},
	)
	gates := make([]*Ageing, 4)
	for i := range gates {
		gates[i] = &Ageing{Book: w.gateway(w.dir)}
	}
	look := func() {
		t.Helper()
		var wg sync.WaitGroup
		for _, g := range gates {
			wg.Go(func() {
				if err := g.Tick(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	are := func(when string, want map[string]int) {
		t.Helper()
		for _, login := range []string{"tanaka", "suzuki", "batch", "kari", "closed"} {
			if got := w.told(login, notice.PasswordAgeing); got != want[login] {
				t.Errorf("%s: %s was told %d times, want %d", when, login, got, want[login])
			}
		}
	}
	look()
	are("no age", nil)

	w.policy.Password.WarnDays, w.policy.Password.MaxAge = 14, 216*24*time.Hour // tanaka's is over in 16 days
	for _, g := range gates {
		g.looked = ""
	}
	look()
	are("sixteen days before", nil)
	w.on(2)
	look()
	look()
	are("fourteen days before", map[string]int{"tanaka": 1})
	w.on(12)
	look()
	are("four days before", map[string]int{"tanaka": 1})
	w.on(13)
	look()
	w.on(14)
	look()
	are("two days before", map[string]int{"tanaka": 2})
	if n := w.count(`SELECT COUNT(*) FROM notice WHERE kind = 'password_ageing' AND detail LIKE '%2026-04-17T03:00:00Z%'`); n != 2 {
		t.Errorf("%d letters say until when", n)
	}
	w.on(20)
	look()
	are("too old", map[string]int{"tanaka": 2})

	// F15: the clock comes to the end of the fiscal year in one step.
	w.policy.Password.MaxAge, w.policy.Password.FiscalYearEnd = 0, true
	w.clock.Advance(time.Date(2027, 3, 30, 3, 0, 0, 0, time.UTC).Sub(w.clock.Now()))
	look()
	are("the fiscal year's last days", map[string]int{"tanaka": 2, "suzuki": 1})
	w.clock.Advance(48 * time.Hour)
	look()
	are("the new fiscal year", map[string]int{"tanaka": 2, "suzuki": 1})
}
