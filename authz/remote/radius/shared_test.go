package radius_test

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"sekisho/authz/remote/radius"
)

// TestAnsweredElsewhere: what one gateway answered and gear never heard, another answers
// alike for as long as the first would, and for nobody else (security.md section 3, F25).
func TestAnsweredElsewhere(t *testing.T) {
	t.Parallel()
	excused := gear(func(c *radius.Client) { c.Unsigned = true })
	w := newWorld(t, excused)
	tanaka := w.person(t, "tanaka")
	w.permit(tanaka, "bunsho", w.clock.Now().Add(time.Hour))
	other := w.beside(t, excused)
	asked := request("tanaka", pw+","+w.code(t))
	bent := *asked // the same password and authenticator, in what seems another request
	bent.Identifier++
	raw := signed(asked)
	first := w.call(t).send(raw)
	if first.Code != wire.CodeAccessAccept {
		t.Fatalf("%v %q", first.Code, says(first))
	}
	there := other.call(t)
	again := there.send(raw)
	a, err := first.MarshalBinary()
	must(t, err)
	b, err := again.MarshalBinary()
	must(t, err)
	if !bytes.Equal(a, b) {
		t.Error("another gateway answers the same request otherwise")
	}
	w.one(t)
	if w.count(radius.Accepted) != 1 || w.count(radius.Repeated) != 1 || w.entries(t, "remote.admitted") != 1 {
		t.Errorf("accepted %d, repeated %d, entered %d", w.count(radius.Accepted), w.count(radius.Repeated), w.entries(t, "remote.admitted"))
	}
	dropped := func(when string, raw []byte, as radius.Outcome) {
		t.Helper()
		before := w.count(as)
		_, err := there.Write(raw)
		must(t, err)
		until(t, when, func() bool { return w.count(as) == before+1 })
		there.silence(other)
	}
	dropped("what only looks like it to be dropped", plain(&bent), radius.Repeated)

	// A challenge's State is the same at both.
	asks := signed(request("tanaka", pw))
	state := w.call(t).send(asks).Get(rfc2865.State_Type)
	if got := there.send(asks).Get(rfc2865.State_Type); len(state) == 0 || !bytes.Equal(got, state) {
		t.Errorf("another State: %x, %x", state, got)
	}
	// That somebody may come in is not said when they may not any more.
	other = w.beside(t, excused)
	there = other.call(t)
	w.revoke()
	must(t, w.door.Look(ctx))
	dropped("a permit that is gone to count", raw, radius.Unanswered)
	// Nor is anything, when its time is over.
	other = w.beside(t, excused)
	there = other.call(t)
	w.clock.Advance(31 * time.Second)
	dropped("what is too old to be dropped", asks, radius.Repeated)
}

// TestAtWorkElsewhere: what one gateway is at, no other works at beside it, or one of the
// two would refuse the code that the other took. The answer is there to be asked for
// again; a gateway that died at it, or could not answer, is not waited for.
func TestAtWorkElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	here, there := w.call(t), w.beside(t, gear()).call(t)
	// hold has the first password that comes wait.
	hold := func() (arrived chan struct{}, goOn func()) {
		arrived, wait := make(chan struct{}), make(chan struct{})
		goOn = sync.OnceFunc(func() { close(wait) })
		t.Cleanup(goOn)
		var held atomic.Bool
		w.mu.Lock()
		defer w.mu.Unlock()
		w.entered = func() {
			if held.CompareAndSwap(false, true) {
				close(arrived)
				<-wait
			}
		}
		return arrived, goOn
	}
	sent := func(c caller, raw []byte) {
		t.Helper()
		_, err := c.Write(raw)
		must(t, err)
	}
	arrived, goOn := hold()
	raw := signed(request("tanaka", pw+","+w.code(t)))
	sent(here, raw)
	<-arrived
	sent(there, raw)
	until(t, "it to be dropped where it is not worked at", func() bool { return w.count(radius.InWork) == 1 })
	goOn()
	first := here.receive(raw)
	if first.Code != wire.CodeAccessAccept {
		t.Fatalf("%v %q", first.Code, says(first))
	}
	if again := there.send(raw); again.Authenticator != first.Authenticator {
		t.Errorf("asked again there: %v %q", again.Code, says(again))
	}
	w.one(t)
	if w.count(radius.Accepted) != 1 || w.count(radius.Refused) != 0 {
		t.Errorf("accepted %d, refused %d", w.count(radius.Accepted), w.count(radius.Refused))
	}

	// A gateway died at it.
	arrived, _ = hold()
	raw = signed(request("tanaka", pw))
	sent(here, raw)
	<-arrived
	w.clock.Advance(21 * time.Second)
	if p := there.send(raw); p.Code != wire.CodeAccessChallenge {
		t.Errorf("after a gateway that died: %v %q", p.Code, says(p))
	}

	// A gateway could not answer.
	w.mu.Lock()
	w.entered, w.away = nil, true
	w.mu.Unlock()
	raw = signed(request("tanaka", pw))
	sent(here, raw)
	until(t, "one to be given up", func() bool { return w.count(radius.Unanswered) == 1 })
	w.mu.Lock()
	w.away = false
	w.mu.Unlock()
	if p := there.send(raw); p.Code != wire.CodeAccessChallenge {
		t.Errorf("after a gateway that could not answer: %v %q", p.Code, says(p))
	}
}
