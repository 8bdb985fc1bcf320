package radius_test

import (
	"bytes"
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
