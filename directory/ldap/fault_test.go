package ldap_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"go.uber.org/goleak"

	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// TestSilence: a directory that takes connections and never answers
// (security.md F7). Every operation ends within the limit, and nothing is left
// behind. That the pool stays within its bound is TestPoolIsBounded.
func TestSilence(t *testing.T) {
	before := goleak.IgnoreCurrent()
	f := serveFake(t, func(net.Conn, int64, *ber.Packet) {})
	c := onFake(f.url())
	d, err := ldap.Open(t.Context(), c, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	const callers = 200
	var (
		wg   sync.WaitGroup
		took [callers]time.Duration
		now  = clock.System()
	)
	for i := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			began := now()
			var err error
			if i%2 == 0 {
				_, err = d.Find(t.Context(), "taro")
			} else {
				var got directory.Outcome
				if got, err = d.Authenticate(t.Context(), someone, text("right")); got != directory.OutcomeWrong {
					t.Errorf("Authenticate = %v", got)
				}
			}
			if !errors.Is(err, directory.ErrAway) || errors.Is(err, directory.ErrNotFound) {
				t.Errorf("%v, want %v", err, directory.ErrAway)
			}
			took[i] = now().Sub(began)
		}()
	}
	wg.Wait()
	// A second more for two hundred goroutines on a busy machine.
	if got := slices.Max(took[:]); got > c.OpTimeout+time.Second {
		t.Errorf("the slowest took %v, the limit is %v", got, c.OpTimeout)
	}
	for what, err := range map[string]error{
		"Ping":           d.Ping(t.Context()),
		"Stream":         d.Stream(t.Context(), func(directory.Person) error { return nil }),
		"ChangePassword": d.ChangePassword(t.Context(), someone, text("a"), text("b")),
		"ResetPassword":  d.ResetPassword(t.Context(), someone, text("b"), true),
		"Disable":        d.Disable(t.Context(), someone),
		"Delete":         d.Delete(t.Context(), someone),
		"AddMember":      d.AddMember(t.Context(), "cn=g,ou=groups,"+fakeBase, someone.DN),
		"RemoveMember":   d.RemoveMember(t.Context(), "cn=g,ou=groups,"+fakeBase, someone.DN),
	} {
		if !errors.Is(err, directory.ErrAway) {
			t.Errorf("%s: %v, want %v", what, err, directory.ErrAway)
		}
	}
	d.Close()
	f.close()
	goleak.VerifyNone(t, before)
	if _, err := d.Find(t.Context(), "taro"); !errors.Is(err, directory.ErrAway) {
		t.Errorf("Find after Close: %v", err)
	}
}

// TestWaiters: more callers than may wait are told at once.
func TestWaiters(t *testing.T) {
	release := make(chan struct{})
	f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) {
		<-release
		witness(c, id)
		done(c, id, 5, 0, nil)
	})
	c := onFake(f.url())
	c.PoolSize, c.Waiters, c.OpTimeout = 1, 1, 20*time.Second
	d := open(t, c)
	answers := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := d.Find(t.Context(), "taro")
			answers <- err
		}()
	}
	if err := <-answers; !errors.Is(err, directory.ErrAway) {
		t.Errorf("the third caller got %v", err)
	}
	close(release)
	for range 2 {
		if err := <-answers; !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("a caller who waited got %v", err)
		}
	}
}

// TestFalseAnswers: what a broken, bounded or overloaded directory says is an
// error and never "nobody" (security.md F8).
func TestFalseAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(c net.Conn, id int64)
		find   error
		stream error
	}{
		{"empty", func(c net.Conn, id int64) { done(c, id, 5, 0, lastPage("")) }, directory.ErrTruncated, directory.ErrTruncated},
		{"size limit, nothing yet", func(c net.Conn, id int64) { done(c, id, 5, 4, nil) }, directory.ErrTruncated, directory.ErrTruncated},
		{"size limit, one person", func(c net.Conn, id int64) { taro(c, id); done(c, id, 5, 4, nil) }, directory.ErrTruncated, directory.ErrTruncated},
		{"administrative limit", func(c net.Conn, id int64) { witness(c, id); done(c, id, 5, 11, nil) }, directory.ErrTruncated, directory.ErrTruncated},
		{"time limit", func(c net.Conn, id int64) { witness(c, id); done(c, id, 5, 3, nil) }, directory.ErrTruncated, directory.ErrTruncated},
		{"referred", func(c net.Conn, id int64) { done(c, id, 5, 10, nil) }, directory.ErrTruncated, directory.ErrTruncated},
		{"continued elsewhere", func(c net.Conn, id int64) { witness(c, id); referral(c, id); done(c, id, 5, 0, lastPage("")) }, directory.ErrTruncated, directory.ErrTruncated},
		{"no such base", func(c net.Conn, id int64) { done(c, id, 5, 32, nil) }, directory.ErrAway, directory.ErrAway},
		{"busy", func(c net.Conn, id int64) { done(c, id, 5, 51, nil) }, directory.ErrAway, directory.ErrAway},
		{"unavailable", func(c net.Conn, id int64) { done(c, id, 5, 52, nil) }, directory.ErrAway, directory.ErrAway},
		{"not allowed", func(c net.Conn, id int64) { done(c, id, 5, 50, nil) }, directory.ErrDenied, directory.ErrDenied},
		{"hangs up", func(c net.Conn, id int64) { _ = c.Close() }, directory.ErrAway, directory.ErrAway},
		{"hangs up half-way", func(c net.Conn, id int64) { witness(c, id); taro(c, id); _ = c.Close() }, directory.ErrAway, directory.ErrAway},
		{"garbage", func(c net.Conn, id int64) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); _ = c.Close() }, directory.ErrAway, directory.ErrAway},
		{"people without IDs", func(c net.Conn, id int64) {
			witness(c, id)
			entry(c, id, "uid=taro,ou=people,"+fakeBase, map[string]string{"uid": "taro"})
			done(c, id, 5, 0, lastPage(""))
		}, nil, nil},
		{"a lock that does not parse", func(c net.Conn, id int64) {
			witness(c, id)
			entry(c, id, "uid=taro,ou=people,"+fakeBase, map[string]string{
				"uid": "taro", "entryUUID": string(someone.ID), "pwdAccountLockedTime": "soon"})
			done(c, id, 5, 0, lastPage(""))
		}, nil, nil},
		{"one page without an end", func(c net.Conn, id int64) { witness(c, id); taro(c, id); done(c, id, 5, 0, nil) }, errNone, directory.ErrTruncated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) {
				if isPolicySearch(op) {
					done(c, id, 5, 32, nil)
					return
				}
				tt.answer(c, id)
			})
			d := open(t, onFake(f.url()))
			check := func(what string, err, want error) {
				t.Helper()
				switch {
				case errors.Is(err, directory.ErrNotFound):
					t.Errorf("%s said nobody: %v", what, err)
				case errors.Is(want, errNone) && err != nil, !errors.Is(want, errNone) && err == nil:
					t.Errorf("%s: %v", what, err)
				case want != nil && !errors.Is(want, errNone) && !errors.Is(err, want):
					t.Errorf("%s: %v, want %v", what, err, want)
				}
			}
			_, err := d.Find(t.Context(), "taro")
			check("Find", err, tt.find)
			_, err = d.ByID(t.Context(), someone.ID)
			check("ByID", err, tt.find)
			check("Stream", d.Stream(t.Context(), func(directory.Person) error { return nil }), tt.stream)
			_, _, err = d.Search(t.Context(), "tar", "", 10)
			check("Search", err, tt.stream)
		})
	}
}

// errNone stands for "no error wanted" where nil stands for "any".
var errNone = errors.New("no error")

// TestCutStream: a second page that never comes.
func TestCutStream(t *testing.T) {
	for name, second := range map[string]func(c net.Conn, id int64){
		"hangs up":   func(c net.Conn, id int64) { _ = c.Close() },
		"size limit": func(c net.Conn, id int64) { done(c, id, 5, 4, nil) },
		"silence":    func(net.Conn, int64) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var pages atomic.Int64
			f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) {
				switch {
				case isPolicySearch(op):
					done(c, id, 5, 32, nil)
				case pages.Add(1) == 1:
					witness(c, id)
					taro(c, id)
					done(c, id, 5, 0, lastPage("more"))
				default:
					second(c, id)
				}
			})
			calls := 0
			err := open(t, onFake(f.url())).Stream(t.Context(), func(directory.Person) error { calls++; return nil })
			if calls != 1 || !errors.Is(err, directory.ErrAway) && !errors.Is(err, directory.ErrTruncated) {
				t.Errorf("Stream = %v after %d calls", err, calls)
			}
		})
	}
}

// TestBindAnswers: what a bind's answer means, one result code at a time. Only
// a server that looked at the password may say that it was wrong.
func TestBindAnswers(t *testing.T) {
	closed, locked := directory.Account{Disabled: true}, directory.Account{PasswordLocked: true}
	for _, tt := range []struct {
		name string
		code int
		as   directory.Account
		want directory.Outcome
		away bool
	}{
		{"success", 0, directory.Account{}, directory.OutcomeRight, false},
		{"success of an account we read as closed", 0, closed, directory.OutcomeDisabled, false},
		{"success with a temporary password", 0, directory.Account{MustChange: true}, directory.OutcomeMustChange, false},
		{"wrong", 49, directory.Account{}, directory.OutcomeWrong, false},
		{"wrong, where the server does not say locked", 49, locked, directory.OutcomeLocked, false},
		{"wrong, where the server does not say closed", 49, closed, directory.OutcomeDisabled, false},
		{"no password", 48, directory.Account{}, directory.OutcomeWrong, false},
		{"no entry", 32, directory.Account{}, directory.OutcomeWrong, false},
		{"unwilling", 53, directory.Account{}, directory.OutcomeWrong, true},
		{"busy", 51, directory.Account{}, directory.OutcomeWrong, true},
		{"confidentiality required", 13, directory.Account{}, directory.OutcomeWrong, true},
		{"referral", 10, directory.Account{}, directory.OutcomeWrong, true},
		{"a code of the future", 121, directory.Account{}, directory.OutcomeWrong, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) { done(c, id, 1, tt.code, nil) })
			p := someone
			p.Account = tt.as
			got, err := open(t, onFake(f.url())).Authenticate(t.Context(), p, text("x"))
			if got != tt.want || tt.away != errors.Is(err, directory.ErrAway) || !tt.away && err != nil {
				t.Errorf("Authenticate = %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// TestEmptyPasswordStaysHome counts what reaches the wire.
func TestEmptyPasswordStaysHome(t *testing.T) {
	f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) { done(c, id, 1, 0, nil) })
	d := open(t, onFake(f.url()))
	for _, empty := range []secret.Text{{}, text("")} {
		if got, err := d.Authenticate(t.Context(), someone, empty); got != directory.OutcomeWrong || err != nil {
			t.Errorf("Authenticate = %v, %v", got, err)
		}
		if err := d.ChangePassword(t.Context(), someone, empty, text("new")); err == nil {
			t.Error("ChangePassword took an empty current password")
		}
	}
	nobody := someone
	nobody.DN = ""
	if got, err := d.Authenticate(t.Context(), nobody, text("x")); got != directory.OutcomeWrong || err == nil {
		t.Errorf("Authenticate without a DN = %v, %v", got, err)
	}
	if n := f.binds.Load(); n != 0 {
		t.Errorf("%d binds reached the server", n)
	}
	if got, err := d.Authenticate(t.Context(), someone, text("x")); got != directory.OutcomeRight || err != nil || f.binds.Load() != 1 {
		t.Errorf("Authenticate = %v, %v after %d binds: the counter does not count", got, err, f.binds.Load())
	}
}

// TestServersInOrder: the first that answers serves; one that failed is asked
// last for a while; one that is silent leaves time for the next.
func TestServersInOrder(t *testing.T) {
	answer := func(c net.Conn, id int64, op *ber.Packet) {
		if isPolicySearch(op) {
			done(c, id, 5, 32, nil)
			return
		}
		witness(c, id)
		taro(c, id)
		done(c, id, 5, 0, nil)
	}
	first, second := serveFake(t, answer), serveFake(t, answer)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	refusing := "ldap://127.0.0.1:1"
	find := func(d *ldap.Directory) {
		t.Helper()
		if _, err := d.Find(t.Context(), "taro"); err != nil {
			t.Error(err)
		}
	}
	d := open(t, onFake(refusing, first.url(), second.url()))
	find(d)
	if first.binds.Load() != 1 || second.binds.Load() != 0 {
		t.Errorf("binds: first %d, second %d", first.binds.Load(), second.binds.Load())
	}
	// The first dies with its connections; the same client goes on.
	first.close()
	find(d)
	if second.binds.Load() != 1 {
		t.Errorf("the second server was bound to %d times", second.binds.Load())
	}
	// Accepted by the kernel, greeted with nothing: StartTLS-less LDAP waits in
	// the service bind.
	slow := onFake("ldap://"+silent.Addr().String(), second.url())
	slow.OpTimeout = time.Second
	d = open(t, slow)
	find(d)
	for range 4 { // and from then on without the wait
		quick, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		if _, err := d.Find(quick, "taro"); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

// TestFailedConnectionsAreNotReturned: after a hang-up the next caller gets a
// fresh connection and an answer, without a retry of its own.
func TestFailedConnectionsAreNotReturned(t *testing.T) {
	var n atomic.Int64
	f := serveFake(t, func(c net.Conn, id int64, op *ber.Packet) {
		if isPolicySearch(op) {
			done(c, id, 5, 32, nil)
			return
		}
		if n.Add(1)%2 == 0 {
			_ = c.Close() // on a connection that had been idle: found out and repeated
			return
		}
		witness(c, id)
		taro(c, id)
		done(c, id, 5, 0, nil)
	})
	d := open(t, onFake(f.url()))
	for range 20 {
		if _, err := d.Find(t.Context(), "taro"); err != nil {
			t.Fatal(err)
		}
	}
}
