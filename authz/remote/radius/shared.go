package radius

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"time"

	wire "layeh.com/radius"

	"sekisho/policy/secret"
)

// answeredFor is for how long an Access-Request that was answered is known to all
// gateways, beyond the time in which it is answered again: whoever recorded it gets
// nothing for it.
const answeredFor = 10 * time.Minute

// A given is what one gateway answered, for the others: gear that heard nothing, or a
// balancer that found the first away, sends the same bytes to the next. Its code is
// spent, so that answering anew could only refuse it.
type given struct {
	From  netip.Addr `json:"from"`
	Sum   []byte     `json:"sum"` // of the request
	At    time.Time  `json:"at"`
	Reply []byte     `json:"reply,omitempty"` // nil: none, and there will be none
	Class string     `json:"class,omitempty"`
}

func nameOf(c *Client, p *wire.Packet) string {
	return "radius:" + c.ID + ":" + hex.EncodeToString(p.Authenticator[:])
}

func placeOf(name string) secret.Place {
	return secret.Place{Table: "radius", Column: "answer", Row: name}
}

// elsewhere is what was answered to a request by another gateway, or by this one before
// it began anew. Its answer is given to the same bytes from the same address alone, and
// as long as here; what else carries that authenticator is dropped. Where nobody knows,
// it is worked at: what it would spend twice the store refuses.
func (d *Door) elsewhere(ctx context.Context, c *Client, p *wire.Packet, k asked) (g given, again bool) {
	name := nameOf(c, p)
	sealed, again, err := d.Flows.Get(ctx, name)
	if err != nil || !again {
		d.complain(ctx, "asking whether a request was answered", err)
		return given{}, false
	}
	b, err := d.Sealing.Open(placeOf(name), sealed)
	if err == nil {
		err = json.Unmarshal(b, &g)
	}
	if err != nil || g.From != k.from || string(g.Sum) != string(k.sum[:]) || d.Now().Sub(g.At) > remembered {
		d.complain(ctx, "reading what a request was answered", err)
		return given{At: d.Now()}, true
	}
	return g, true
}

// ours reports whether this gateway is the one to work at a request that nobody has
// answered. Two of them at once would spend its code for one and refuse the other, and
// gear goes by whichever it hears. Who asks again meanwhile is dropped, as where one
// gateway is at it, and is given its answer later; one that died at it is waited for no
// longer than any may take. Where nobody can say, it is worked at.
func (d *Door) ours(ctx context.Context, c *Client, p *wire.Packet) bool {
	n, err := d.Flows.Count(ctx, nameOf(c, p), within)
	d.complain(ctx, "asking who works at a request", err)
	return err != nil || n == 1
}

// giveBack has whoever is asked next work at a request that was not answered.
func (d *Door) giveBack(ctx context.Context, c *Client, p *wire.Packet) {
	d.complain(ctx, "leaving a request to another gateway", d.Flows.Delete(ctx, nameOf(c, p)))
}

// share has the other gateways know of an answer, before it is sent.
func (d *Door) share(ctx context.Context, c *Client, p *wire.Packet, k asked, reply []byte, class string) {
	name := nameOf(c, p)
	b, err := json.Marshal(given{From: k.from, Sum: k.sum[:], At: d.Now(), Reply: reply, Class: class})
	if err == nil {
		b, err = d.Sealing.Seal(placeOf(name), b)
	}
	if err == nil {
		err = d.Flows.Put(ctx, name, b, answeredFor)
	}
	d.complain(ctx, "remembering that a request was answered", err)
}
