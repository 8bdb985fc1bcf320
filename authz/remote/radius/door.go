package radius

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"sekisho/policy/clock"
)

// within is how long a request may take. Gear has given up by then; its answer is
// kept for when it asks again.
const within = 20 * time.Second

// lastingAfter is how many errors of a socket in a row are more than messages about
// what was sent.
const lastingAfter = 64

// Serve answers what comes to a socket until ctx ends, and then what is at work. The
// socket is the caller's to close.
func (d *Door) Serve(ctx context.Context, conn *net.UDPConn) error {
	var working sync.WaitGroup
	defer working.Wait()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	buffer := make([]byte, wire.MaxPacketLength+1) // one more, so that what is too long shows
	failed := 0                                    // times without a packet between
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("answering RADIUS: %w", err)
		case err != nil:
			// Such as an ICMP message about a packet that was sent before: it says
			// nothing about the next one. What lasts is something else.
			if failed++; failed > lastingAfter {
				if failed == lastingAfter+1 {
					d.Log.ErrorContext(ctx, "a RADIUS socket cannot be read; it is tried again", "error", err)
				}
				_ = clock.Wait(ctx, 100*time.Millisecond)
			}
			continue
		}
		failed = 0
		switch {
		case n > wire.MaxPacketLength:
			d.Count(Malformed)
			continue
		}
		send := func(b []byte) {
			if _, err := conn.WriteToUDPAddrPort(b, from); err != nil && ctx.Err() == nil {
				d.Log.WarnContext(ctx, "an answer could not be sent", "from", from.String(), "error", err)
			}
		}
		work := d.take(from, buffer[:n], send)
		if work == nil {
			continue
		}
		working.Go(func() {
			doing, stop := context.WithTimeout(context.WithoutCancel(ctx), within)
			defer stop()
			work(doing)
		})
	}
}

// take looks at a packet and answers it at once, drops it, or says what work it is;
// nil for none. b is the caller's again when take returns.
func (d *Door) take(from netip.AddrPort, b []byte, send func([]byte)) func(context.Context) {
	c := d.client(from.Addr())
	if c == nil {
		d.Count(UnknownClient)
		return nil
	}
	p, err := read(c, b, d.Now())
	switch {
	case errors.Is(err, errUnsigned):
		d.Count(Unsigned)
	case errors.Is(err, errForged):
		d.Count(Forged)
	case err != nil:
		d.Count(Malformed)
	}
	if err != nil {
		return nil
	}
	if !bytes.Equal(p.Secret, c.Secret.Reveal()) && d.once("former\x00"+c.ID) {
		d.Log.Warn("gear asks with a former secret; give it the new one before the old one ends", "radius_client", c.ID)
	}
	if p.Code == wire.CodeStatusServer {
		d.status(p, send)
		return nil
	}
	raw, _, _ := framed(b) // as it was read
	key, theirs := asked{from.Addr().Unmap(), sha256.Sum256(raw)}, c.seat.recent
	if known, again := theirs.look(key); again {
		return d.again(c, known, send)
	}
	// What finds no place is not noted either: it would push out what is known.
	leave, ok := d.enter(c)
	if !ok {
		d.Count(Busy)
		return nil
	}
	if known, again := theirs.begin(key); again { // by another socket, meanwhile
		leave()
		return d.again(c, known, send)
	}
	return func(ctx context.Context) {
		defer leave()
		asks := p.Code == wire.CodeAccessRequest
		if asks {
			if before, again := d.elsewhere(ctx, c, p, key); again {
				theirs.end(key, before.Reply, before.Class, true, max(0, d.Now().Sub(before.At)))
				if work := d.again(c, answered{reply: before.Reply, class: before.Class, done: true}, send); work != nil {
					work(ctx)
				}
				return
			}
			if !d.ours(ctx, c, p) {
				theirs.end(key, nil, "", false, 0)
				d.Count(InWork)
				return
			}
		}
		answer, outcome, spent := d.work(ctx, c, from, p)
		var (
			out   []byte
			class string
		)
		if answer != nil {
			if out, err = reply(p, answer); err != nil {
				d.Log.ErrorContext(ctx, "an answer could not be written", "radius_client", c.ID, "error", err)
				out, outcome = nil, Unanswered
			}
			if outcome == Accepted {
				class = text(answer, rfc2865.Class_Type)
			}
		}
		finished := out != nil || spent
		if asks && !finished {
			d.giveBack(ctx, c, p)
		}
		theirs.end(key, out, class, spent, 0)
		if asks && finished {
			d.share(ctx, c, p, key, out, class)
		}
		d.Count(outcome)
		if out != nil {
			send(out)
		}
	}
}

// again answers what is known: as before, or not at all. That somebody may come in
// is not said again when they may not any more.
func (d *Door) again(c *Client, known answered, send func([]byte)) func(context.Context) {
	switch {
	case !known.done:
		d.Count(InWork)
		return nil
	case known.class == "":
		d.Count(Repeated)
		if known.reply != nil {
			send(known.reply)
		}
		return nil
	}
	leave, ok := d.enter(c)
	if !ok {
		d.Count(Busy)
		return nil
	}
	return func(ctx context.Context) {
		defer leave()
		in, err := d.stillIn(ctx, c, known.class)
		switch {
		case err != nil:
			d.complain(ctx, "looking for the session of an answer", err)
			d.Count(Unanswered)
		case !in:
			d.Count(Unanswered)
		default:
			d.Count(Repeated)
			send(known.reply)
		}
	}
}

// work answers a packet. spent: it used something up, and may not be worked at again.
func (d *Door) work(ctx context.Context, c *Client, from netip.AddrPort, p *wire.Packet) (answer *wire.Packet, outcome Outcome, spent bool) {
	if p.Code == wire.CodeAccountingRequest {
		answer, outcome = d.account(ctx, c, from, p)
		return answer, outcome, false
	}
	return d.access(ctx, d.asking(ctx, c, from, p))
}

// status tells gear that the door is there (RFC 5997).
func (d *Door) status(p *wire.Packet, send func([]byte)) {
	out, err := reply(p, p.Response(wire.CodeAccessAccept))
	if err != nil {
		d.Count(Malformed)
		return
	}
	d.Count(Status)
	send(out)
}

// enter takes a place for a client's packet; nobody waits for one.
func (d *Door) enter(c *Client) (leave func(), ok bool) {
	theirs := c.seat.places
	select {
	case theirs <- struct{}{}:
	default:
		return nil, false
	}
	select {
	case d.places <- struct{}{}:
		return func() { <-d.places; <-theirs }, true
	default:
		<-theirs
		return nil, false
	}
}
