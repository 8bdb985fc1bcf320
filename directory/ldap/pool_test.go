package ldap

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// silent accepts connections and says nothing on them.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, c) // until the client hangs up
				_ = c.Close()
			}()
		}
	}()
	return "ldap://" + l.Addr().String()
}

func testPool(t *testing.T, now clock.Now, probe func(*link) error) *pool {
	t.Helper()
	c := Config{
		Servers: []string{silent(t)}, BindDN: "cn=x", BindPassword: secret.NewText([]byte("x")),
		BaseDN: "dc=pref,dc=example", PoolSize: 3, OpTimeout: 10 * time.Second,
	}
	p, err := c.plan()
	if err != nil {
		t.Fatal(err)
	}
	pool := newPool(p, now, nil, probe)
	t.Cleanup(pool.close)
	return pool
}

// TestPoolIsBounded: whatever callers do, there are never more connections than
// were allowed, and one that failed is never given out again.
func TestPoolIsBounded(t *testing.T) {
	p := testPool(t, clock.System(), func(*link) error { return nil })
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed = make(map[*link]bool)
	)
	for i := range 60 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_ = p.do(t.Context(), false, func(_ context.Context, l *link) error {
				p.mu.Lock()
				n := len(p.idle) + len(p.taken)
				p.mu.Unlock()
				if n > 3 {
					t.Errorf("%d connections", n)
				}
				mu.Lock()
				defer mu.Unlock()
				if failed[l] {
					t.Error("a connection that failed was given out again")
				}
				if i%3 == 0 {
					failed[l] = true
					return errors.New("not understood")
				}
				return nil
			})
		}()
	}
	wg.Wait()
	if len(p.idle) == 0 || len(p.taken) != 0 || len(p.slots) != 0 || len(p.waiters) != 0 {
		t.Errorf("afterwards: %d idle, %d taken, %d slots, %d waiters", len(p.idle), len(p.taken), len(p.slots), len(p.waiters))
	}
	p.close()
	if err := p.do(t.Context(), true, func(context.Context, *link) error { return nil }); !errors.Is(err, directory.ErrAway) {
		t.Errorf("a closed pool: %v", err)
	}
}

// TestPoolLooksAfterSleepers: a connection is probed when it has been idle, and
// closed when it has been so for long, when it is old, or when it fails.
func TestPoolLooksAfterSleepers(t *testing.T) {
	var (
		fake   = clock.NewFake(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
		probes int
		answer error
	)
	p := testPool(t, fake.Now, func(*link) error { probes++; return answer })
	use := func() (used *link) {
		t.Helper()
		if err := p.do(t.Context(), false, func(_ context.Context, l *link) error { used = l; return nil }); err != nil {
			t.Fatal(err)
		}
		return used
	}
	first := use()
	for _, tt := range []struct {
		name    string
		idle    time.Duration
		answer  error
		same    bool
		probing int
	}{
		{"used just now", 0, nil, true, 0},
		{"idle a little", probeAfter - 1, nil, true, 0},
		{"idle", probeAfter, nil, true, 1},
		{"idle and dead", probeAfter, errors.New("hung up"), false, 1},
		{"idle for long", idleEnd, nil, false, 0},
		{"the clock went back", -time.Second, nil, false, 0},
	} {
		probes, answer = 0, tt.answer
		fake.Advance(tt.idle)
		next := use()
		if (next == first) != tt.same || probes != tt.probing {
			t.Errorf("%s: the same connection: %v, probes: %d", tt.name, next == first, probes)
		}
		if next != first && !first.IsClosing() {
			// Closed in the background, after the caller was served.
			first.cut()
		}
		first = next
	}
	answer = nil
	for range int(bornEnd/(idleEnd-time.Second)) + 1 { // always in use, and still it ends
		fake.Advance(idleEnd - time.Second)
		use()
	}
	if use() == first {
		t.Error("a connection outlives its age")
	}
}

func TestCutOfNothing(t *testing.T) {
	var l *link
	l.cut() // go-ldap's own Close panics here
}
