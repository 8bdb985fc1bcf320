package radius_test

import (
	"errors"
	"net"
	"testing"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"sekisho/authz/remote/radius"
)

const newer = "the secret that comes after the other"

// under is an Access-Request made with another secret than the usual one.
func under(key, login, password string) []byte {
	p := request(login, password)
	p.Secret = []byte(key)
	if err := rfc2865.UserPassword_SetString(p, password); err != nil {
		panic(err)
	}
	return signed(p)
}

// asks sends bytes made with a secret, and reads what is answered under the same.
func (c caller) asks(raw []byte, key string) *wire.Packet {
	c.t.Helper()
	_, err := c.Write(raw)
	must(c.t, err)
	must(c.t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	buffer := make([]byte, wire.MaxPacketLength)
	n, err := c.Read(buffer)
	must(c.t, err)
	if !wire.IsAuthenticResponse(buffer[:n], raw, []byte(key)) {
		c.t.Fatal("the answer is not made with the secret of the request")
	}
	p, err := wire.Parse(buffer[:n], []byte(key))
	must(c.t, err)
	return p
}

// TestFormerSecret: while a client's former secret counts, gear is answered, believed and
// told by either; at its end the former one is a forgery.
func TestFormerSecret(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() { // gear that has the former secret, and drops what is made with another
		defer close(done)
		buffer := make([]byte, wire.MaxPacketLength)
		for {
			n, from, err := conn.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			if !wire.IsAuthenticRequest(buffer[:n], []byte(shared)) {
				continue
			}
			p, err := wire.Parse(buffer[:n], []byte(shared))
			if err != nil {
				return
			}
			r := p.Response(wire.CodeDisconnectACK)
			copy(r.Authenticator[:], buffer[4:20])
			out, err := r.Encode()
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDP(out, from)
		}
	}()
	changing := gear(func(c *radius.Client) { c.Secret, c.Disconnect = gearSecret(newer), conn.LocalAddr().String() })
	w := newWorld(t, changing)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(3*time.Hour))
	c := w.call(t)
	if p := c.asks(under(newer, "tanaka", "wrong"), newer); p.Code != wire.CodeAccessReject {
		t.Fatal(p.Code)
	}
	_, err = c.Write(under(shared, "tanaka", pw))
	must(t, err)
	until(t, "the former secret to be refused where it does not count", func() bool { return w.count(radius.Forged) == 1 })

	changing.Former = []radius.Former{{Secret: gearSecret(shared), Until: w.clock.Now().Add(time.Hour)}}
	must(t, radius.Check([]radius.Client{changing}))
	w.door.Change([]radius.Client{changing})
	for _, key := range []string{newer, shared} {
		if p := c.asks(under(key, "tanaka", pw), key); p.Code != wire.CodeAccessChallenge {
			t.Errorf("under %q: %v", key, p.Code)
		}
	}
	if !w.logged("gear asks with a former secret") {
		t.Error("nobody is told that gear has the former secret still")
	}
	class := w.admitted(t, "tanaka").Get(rfc2865.Class_Type)
	w.account(t, shared, telling(rfc2866.AcctStatusType_Value_Start, class)...)
	if r := w.one(t); r.Told.Session != "0001" {
		t.Errorf("accounting under the former secret was not believed: %+v", r.Told)
	}
	w.revoke()
	must(t, w.door.Look(ctx))
	must(t, w.door.Cut(ctx))
	if all, err := w.door.Live(ctx); err != nil || len(all) != 0 {
		t.Errorf("gear with the former secret was not told: %v, %v", all, err)
	}

	w.clock.Advance(time.Hour)
	_, err = c.Write(under(shared, "tanaka", pw))
	must(t, err)
	until(t, "the former secret to end", func() bool { return w.count(radius.Forged) == 2 })
	if p := c.asks(under(newer, "tanaka", pw), newer); p.Code != wire.CodeAccessChallenge {
		t.Errorf("under the new one: %v", p.Code)
	}
}

// TestChange: gear is changed under the door. What was answered is answered alike, a
// session goes on and can be ended, and who is taken out is a stranger.
func TestChange(t *testing.T) {
	t.Parallel()
	l := listens(t, func(int) (wire.Code, uint32) { return wire.CodeDisconnectACK, 0 })
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	c := w.call(t)
	raw := signed(request("tanaka", pw+","+w.code(t)))
	first := c.send(raw)
	if first.Code != wire.CodeAccessAccept {
		t.Fatal(first.Code)
	}
	w.door.Change([]radius.Client{
		gear(func(c *radius.Client) { c.Disconnect = l.addr() }),
		gear(func(c *radius.Client) {
			c.ID, c.Secret, c.From[0], c.Unsigned = "more", gearSecret(newer), prefix("127.0.0.3/32"), true
		}),
	})
	if again := c.send(raw); again.Authenticator != first.Authenticator || w.count(radius.Repeated) != 1 {
		t.Error("what was answered before the change is not answered alike after it")
	}
	if ids := w.door.UnsignedClients(); len(ids) != 1 || ids[0] != "more" {
		t.Errorf("the finding names %v", ids)
	}
	w.revoke()
	must(t, w.door.Look(ctx))
	must(t, w.door.Cut(ctx))
	if all, err := w.door.Live(ctx); err != nil || len(all) != 0 || len(l.heard) != 1 {
		t.Errorf("told %d times at its new address: %v, %v", len(l.heard), all, err)
	}
	w.door.Change(nil)
	_, err := c.Write(signed(request("tanaka", pw)))
	must(t, err)
	until(t, "it to be a stranger's", func() bool { return w.count(radius.UnknownClient) == 1 })
}

// TestCheckFormer refuses secrets whose use nobody could tell apart, or that can be
// guessed, former ones alike.
func TestCheckFormer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(c *radius.Client)
		want   error
	}{
		{"short", func(c *radius.Client) { c.Former[0].Secret = gearSecret("short") }, radius.ErrShortSecret},
		{"another's", func(c *radius.Client) { c.Former[0].Secret = gearSecret(shared) }, radius.ErrSameSecret},
		{"of gear that does not sign", func(c *radius.Client) { c.Unsigned = true }, radius.ErrUntold},
		{"too many", func(c *radius.Client) { c.Former = append(c.Former, c.Former[0], c.Former[0]) }, radius.ErrManyFormer},
		{"one", func(*radius.Client) {}, nil},
	} {
		c := gear(func(c *radius.Client) {
			c.ID, c.Secret, c.From[0] = "vpn2", gearSecret(newer), prefix("127.0.0.2/32")
			c.Former = []radius.Former{{Secret: gearSecret("what it was before, of such a length"), Until: time.Unix(1<<40, 0)}}
		})
		tt.change(&c)
		if err := radius.Check([]radius.Client{gear(), c}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
