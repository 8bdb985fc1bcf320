package radius_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"sekisho/authz/remote/radius"
	"sekisho/policy/secret"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func gearSecret(s string) secret.Text { return secret.NewText([]byte(s)) }

// plain is a packet's bytes without a Message-Authenticator.
func plain(p *wire.Packet) []byte {
	raw, err := p.Encode()
	if err != nil {
		panic(err)
	}
	return raw
}

// TestMessageAuthenticator: what lacks it, or carries a wrong one, is dropped before
// anybody is looked up (CVE-2024-3596; security.md section 2, row 24).
func TestMessageAuthenticator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	c := w.call(t)
	drop := func(name string, raw []byte, as radius.Outcome) {
		t.Helper()
		before := w.count(as)
		_, err := c.Write(raw)
		must(t, err)
		c.silence(w)
		if w.count(as) != before+1 {
			t.Errorf("%s: not counted as %s", name, as)
		}
	}
	drop("without one", plain(request("tanaka", pw)), radius.Unsigned)
	drop("without one, with random Proxy-State", plain(request("tanaka", pw, av{rfc2865.ProxyState_Type, secret.Bytes(64)})), radius.Unsigned)
	bent := signed(request("tanaka", pw))
	bent[len(bent)-1] ^= 1
	drop("a bent one", bent, radius.Forged)
	other := request("tanaka", pw)
	other.Secret = []byte("another secret of the same length")
	drop("of another secret", signed(other), radius.Forged)
	twice := append(signed(request("tanaka", pw)), append([]byte{80, 18}, make([]byte, 16)...)...)
	binary.BigEndian.PutUint16(twice[2:4], uint16(len(twice)))
	drop("two of them", twice, radius.Malformed)
	drop("half of one", plain(request("tanaka", pw, av{rfc2869.MessageAuthenticator_Type, make([]byte, 8)})), radius.Malformed)
	drop("a Status-Server without one", plain(wire.New(wire.CodeStatusServer, []byte(shared))), radius.Unsigned)
	drop("another code", signed(wire.New(wire.CodeAccessAccept, []byte(shared))), radius.Malformed)
	if n := w.count(radius.Challenged) + w.count(radius.Refused); n != 0 {
		t.Errorf("%d were worked at", n)
	}
	if ids := w.door.UnsignedClients(); len(ids) != 0 {
		t.Errorf("excused: %v", ids)
	}
}

// TestUnsignedClient: gear that is excused may leave it out, but for what a forger
// needs; it gets one in every answer all the same, and is a finding.
func TestUnsignedClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gear(func(c *radius.Client) { c.Unsigned = true }))
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	c := w.call(t)
	if p := c.send(plain(request("tanaka", pw+","+w.code(t)))); p.Code != wire.CodeAccessAccept {
		t.Errorf("answered %v", p.Code)
	}
	for _, a := range []av{{rfc2865.ProxyState_Type, secret.Bytes(64)}, {rfc2869.EAPMessage_Type, []byte{2, 1, 0, 4}}} {
		_, err := c.Write(plain(request("tanaka", pw, a)))
		must(t, err)
		c.silence(w)
	}
	bent := signed(request("tanaka", pw))
	bent[25] ^= 1
	_, err := c.Write(bent)
	must(t, err)
	c.silence(w)
	if w.count(radius.Unsigned) != 2 || w.count(radius.Forged) != 1 {
		t.Errorf("counted: %d, %d", w.count(radius.Unsigned), w.count(radius.Forged))
	}
	if ids := w.door.UnsignedClients(); len(ids) != 1 || ids[0] != "vpn" {
		t.Errorf("the finding names %v", ids)
	}
}

// TestUnknownSender: who is no client is not answered, whatever they send.
func TestUnknownSender(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gear(func(c *radius.Client) { c.From[0] = prefix("127.0.0.2/32") }))
	c := w.call(t)
	for _, raw := range [][]byte{signed(request("tanaka", pw)), {}, {1}, signed(wire.New(wire.CodeStatusServer, []byte(shared)))} {
		_, err := c.Write(raw)
		must(t, err)
	}
	until(t, "all of it to be dropped", func() bool { return w.count(radius.UnknownClient) == 4 })
}

// TestNarrowestNetwork: of two clients whose networks hold an address, the narrower
// one's secret counts.
func TestNarrowestNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gear(func(c *radius.Client) {
		c.ID, c.Secret, c.From[0] = "wide", gearSecret("a wide secret of thirty-two chars"), prefix("127.0.0.0/8")
	}), gear())
	c := w.call(t)
	c.silence(w) // is a question under the narrow one's secret
}

// TestF25: requests that are sent again, out of order, or in floods (security.md
// section 3, F25). One code is spent for one sign-in, and the same answer given
// however often it is asked for.
func TestF25(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	c := w.call(t)
	raw := signed(request("tanaka", pw+","+w.code(t)))

	// Sent again while the first is at work: dropped.
	arrived, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.mu.Lock()
	w.entered = func() { once.Do(func() { close(arrived) }); <-goOn }
	w.mu.Unlock()
	_, err := c.Write(raw)
	must(t, err)
	<-arrived
	for range 5 {
		_, err := c.Write(raw)
		must(t, err)
	}
	until(t, "what is sent again to be dropped", func() bool { return w.count(radius.InWork) == 5 })
	close(goOn)
	first := c.receive(raw)
	if first.Code != wire.CodeAccessAccept {
		t.Fatalf("answered %v %q", first.Code, says(first))
	}
	// Sent again after its answer was lost: the same answer, byte by byte.
	for range 5 {
		again := c.send(raw)
		a, err := again.MarshalBinary()
		must(t, err)
		b, err := first.MarshalBinary()
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Error("another answer to the same request")
		}
	}
	if w.count(radius.Repeated) != 5 || w.count(radius.Accepted) != 1 || w.entries(t, "remote.admitted") != 1 {
		t.Errorf("repeated %d, accepted %d, entered %d", w.count(radius.Repeated), w.count(radius.Accepted), w.entries(t, "remote.admitted"))
	}
	w.one(t)

	// A flood of rubbish and forgeries asks nobody anything, and the door stays open.
	random := rand.New(rand.NewPCG(1, 2))
	var forged, rubbish int
	for i := range 3000 {
		b := bytes.Clone(raw)
		switch i % 3 {
		case 0:
			b[24+random.IntN(len(b)-24)] ^= byte(1 + random.IntN(255))
		case 1:
			b = b[:random.IntN(len(b))]
		default:
			b = make([]byte, random.IntN(200))
			for j := range b {
				b[j] = byte(random.Uint32())
			}
		}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if i%50 == 49 { // a socket's buffer is short; what it drops costs even less
			c.silence(w)
		}
	}
	forged, rubbish = w.count(radius.Forged), w.count(radius.Malformed)
	if forged < 500 || rubbish < 1000 {
		t.Errorf("dropped as forged %d, as malformed %d", forged, rubbish)
	}
	if n := w.count(radius.Accepted) + w.count(radius.Refused) + w.count(radius.Challenged); n != 1 {
		t.Errorf("%d were worked at, want the one of before", n)
	}
	// Two in another order than they were made.
	one, two := signed(request("tanaka", pw)), signed(request("tanaka", pw))
	if p := c.send(two); p.Code != wire.CodeAccessChallenge {
		t.Errorf("the later one: %v", p.Code)
	}
	if p := c.send(one); p.Code != wire.CodeAccessChallenge {
		t.Errorf("the earlier one: %v", p.Code)
	}
}

// TestBusy: more requests than are worked at are dropped, and asked again they are
// answered.
func TestBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	goOn := make(chan struct{})
	w.mu.Lock()
	w.entered = func() { <-goOn }
	w.mu.Unlock()
	c := w.call(t)
	var first []byte
	for w.count(radius.Busy) == 0 {
		raw := signed(request("tanaka", pw))
		if first == nil {
			first = raw
		}
		_, err := c.Write(raw)
		must(t, err)
		c.silence(w)
	}
	// What found no place pushed nothing out: what is at work is known.
	_, err := c.Write(first)
	must(t, err)
	c.silence(w)
	if w.count(radius.InWork) != 1 {
		t.Errorf("%d known as at work", w.count(radius.InWork))
	}
	close(goOn)
	w.mu.Lock()
	w.entered = nil
	w.mu.Unlock()
	until(t, "those at work to be done", func() bool { return w.count(radius.Challenged)+w.count(radius.Unanswered) >= 128 })
	again := w.call(t)
	if p := again.send(signed(request("tanaka", pw))); p.Code != wire.CodeAccessChallenge {
		t.Errorf("asked again: %v", p.Code)
	}
}

// TestPlayedAgain: a request that somebody recorded gets nothing, with bytes behind
// its end, from another port, or after its answer is forgotten.
func TestPlayedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gear(func(c *radius.Client) { c.Unsigned = true }))
	w.person(t, "tanaka")
	raw := signed(request("tanaka", pw))
	first := w.call(t).send(raw)
	padded := append(bytes.Clone(raw), 0, 0, 0)
	c := w.call(t)
	_, err := c.Write(padded)
	must(t, err)
	again := c.receive(raw)
	if !bytes.Equal(again.Get(rfc2865.State_Type), first.Get(rfc2865.State_Type)) || w.count(radius.Challenged) != 1 || w.count(radius.Repeated) != 1 {
		t.Errorf("played again with bytes behind its end: challenged %d, repeated %d", w.count(radius.Challenged), w.count(radius.Repeated))
	}
	// Whoever may leave the Message-Authenticator out can be made to seem to ask
	// something else by the same password.
	unsigned := request("tanaka", pw)
	other := *unsigned
	w.call(t).send(plain(unsigned))
	other.Identifier++
	_, err = c.Write(plain(&other))
	must(t, err)
	until(t, "it to be dropped", func() bool { return w.count(radius.Repeated) == 2 })
	c.silence(w)
	if n := w.count(radius.Challenged); n != 2 {
		t.Errorf("challenged %d times", n)
	}
}

// TestUnreadableSocket: a socket that cannot be read for a while is tried again, which
// is said once, and answers when it can be read.
func TestUnreadableSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const says = "a RADIUS socket cannot be read; it is tried again"
	c := w.call(t)
	c.silence(w)
	must(t, w.conn.SetReadDeadline(time.Unix(1, 0)))
	until(t, "it to be said", func() bool { return w.logged(says) })
	must(t, w.conn.SetReadDeadline(time.Time{}))
	c.silence(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := strings.Count(w.log.String(), says); n != 1 {
		t.Errorf("said %d times", n)
	}
}
