package radius

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"sekisho/policy/secret"
	"sekisho/policy/store"
)

const (
	// dynamicPort is where gear listens for Disconnect-Requests (RFC 5176 section 2.3).
	dynamicPort = 3799
	// errorCause is the attribute in which gear says why not (RFC 5176 section 3.5),
	// and contextNotFound that it has no such session.
	errorCause      wire.Type = 101
	contextNotFound uint32    = 503

	cutHands = 64               // sessions that one client is being told of at a time
	claimed  = 20 * time.Second // for which one gateway has the telling of one session
	slowest  = time.Minute      // between two tries
	// settled is how long after it was let in a session that gear does not know is not
	// one which it has yet to begin: its Access-Accept may be under way.
	settled = time.Minute
)

// pauses are how long an answer is waited for after each sending of a request. All
// are the same packet, so that gear ends a session once (RFC 5176 section 2.3).
func pauses() []time.Duration { return []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} }

// What came of telling gear.
const (
	AnswerAck    = "ack"
	AnswerGone   = "gone"   // it has no such session any more
	AnswerNak    = "nak"    // it refuses; what it says stands beside it
	AnswerSilent = "silent" // it does not answer, or not with its secret
	AnswerNone   = "none"   // it cannot be told: its own time-out ends the session
)

// Answers are all of them.
func Answers() []string { return []string{AnswerAck, AnswerGone, AnswerNak, AnswerSilent, AnswerNone} }

// Cut tells gear which sessions are to end, once for each that is due, and waits for
// what it says.
func (d *Door) Cut(ctx context.Context) error {
	var telling sync.WaitGroup
	defer telling.Wait()
	return d.begin(ctx, &telling)
}

// begin is Cut without the waiting. Each client has hands of its own and rows of its
// own, so that gear which is silent, or which we do not know, holds up no other; of
// one client those come first of which it has heard nothing yet.
func (d *Door) begin(ctx context.Context, telling *sync.WaitGroup) error {
	clients := d.gear.Load().clients
	for i := range clients {
		c := &clients[i]
		due, err := store.All(ctx, d.DB, "the remote sessions to end", scanDue, `
			SELECT `+columns+`, cut_due FROM remote_session
			WHERE  client = $1 AND ended_at = 0 AND cut_due > 0 AND cut_due <= $2
			ORDER  BY CASE WHEN cut_tries = 0 THEN 0 ELSE 1 END, cut_due LIMIT `+strconv.Itoa(cutHands), c.ID, store.Micros(d.Now()))
		if err != nil {
			return err
		}
		if err := d.beginOf(ctx, telling, c.seat.hands, due); err != nil {
			return err
		}
	}
	return d.strangers(ctx)
}

func (d *Door) beginOf(ctx context.Context, telling *sync.WaitGroup, hands chan struct{}, due []dueRemote) error {
	for _, r := range due {
		select {
		case hands <- struct{}{}:
		default:
			return nil // those that wait are due at the next look
		}
		mine, err := d.claim(ctx, r)
		if err != nil || !mine {
			<-hands
			if err != nil {
				return err
			}
			continue
		}
		telling.Go(func() {
			defer func() { <-hands }()
			d.complain(ctx, "ending a remote session", d.cut(ctx, r))
		})
	}
	return nil
}

// strangers says once of each client that is not ours that sessions are to end at it
// and nobody tells it: it was taken out of the configuration, or another gateway
// that has it is away.
func (d *Door) strangers(ctx context.Context) error {
	ids, err := store.All(ctx, d.DB, "the clients whose sessions are to end", func(row store.Row) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	}, `SELECT DISTINCT client FROM remote_session WHERE ended_at = 0 AND cut_due > 0 AND cut_due <= $1`, store.Micros(d.Now().Add(-slowest)))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if d.clientByID(id) == nil && d.once("stranger\x00"+id) {
			d.Log.WarnContext(ctx, "remote sessions are to end at gear that this gate does not know", "radius_client", id)
		}
	}
	return nil
}

// claim takes the telling of one session, if no other gateway has it.
func (d *Door) claim(ctx context.Context, r dueRemote) (bool, error) {
	if d.clientByID(r.Client) == nil {
		return false, nil // not our gear
	}
	err := d.DB.WithTx(ctx, func(tx *store.Tx) error {
		return tx.ExecOne(ctx, `UPDATE remote_session SET cut_due = $1, cut_tries = cut_tries + 1 WHERE id = $2 AND cut_due = $3 AND ended_at = 0`,
			store.Micros(d.Now().Add(claimed)), r.ID, r.due)
	})
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	return err == nil, err
}

type dueRemote struct {
	Remote
	due int64
}

func scanDue(row store.Row) (r dueRemote, err error) { return r, scanInto(row, &r.Remote, &r.due) }

// cut tells gear of one session and writes down what came of it.
func (d *Door) cut(ctx context.Context, r dueRemote) error {
	c := d.clientByID(r.Client)
	if c == nil {
		return nil // it was taken out meanwhile; the claim runs out
	}
	answer, why := d.tell(ctx, c, r.Remote)
	d.Told(answer)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // stopped: the claim runs out, and somebody goes on
	}
	ended := false
	err := d.DB.WithTx(ctx, func(tx *store.Tx) error {
		if ended = answer == AnswerAck || answer == AnswerGone && d.Now().Sub(r.AdmittedAt) >= settled; ended {
			return d.over(ctx, tx, r.Remote, r.CutWhy, answer)
		}
		next := int64(0)
		if answer != AnswerNone {
			next = store.Micros(d.Now().Add(min(slowest, time.Second<<min(r.CutTries, 6))))
		}
		said := answer
		if why != "" {
			said += ": " + why
		}
		if _, err := tx.Exec(ctx, `UPDATE remote_session SET cut_due = $1, cut_answer = $2 WHERE id = $3 AND ended_at = 0`, next, said, r.ID); err != nil {
			return err
		}
		if r.CutTries > 0 && answer != AnswerNone { // the first try says it once
			return nil
		}
		e := r.entry("remote.cut_unanswered", said, ending)
		e.Outcome = "failed"
		return d.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return fmt.Errorf("writing down what came of ending a remote session: %w", err)
	}
	if !ended {
		d.Log.WarnContext(ctx, "gear has not ended a remote session", "radius_client", c.ID, "answer", answer, "tries", r.CutTries+1)
	}
	return nil
}

// tell sends a Disconnect-Request and waits for what the gear says.
func (d *Door) tell(ctx context.Context, c *Client, r Remote) (answer, why string) {
	to := c.Disconnect
	switch to {
	case NoDisconnect:
		return AnswerNone, ""
	case "":
		to = net.JoinHostPort(r.Gear, strconv.Itoa(dynamicPort))
	}
	// Which of its secrets gear goes by, it alone knows: it drops what is under another.
	keys := c.keys(d.Now())
	var requests [][]byte
	for _, key := range keys {
		raw, err := disconnectRequest(key, r, d.Now())
		if err != nil {
			return AnswerSilent, err.Error()
		}
		requests = append(requests, raw)
	}
	conn, err := net.Dial("udp", to)
	if err != nil {
		return AnswerSilent, err.Error()
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answers := make(chan *wire.Packet, 1)
	go func() {
		buffer := make([]byte, wire.MaxPacketLength)
		for {
			n, err := conn.Read(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // an ICMP message; it may listen again at the next try
			}
			for i, raw := range requests {
				if p := answerTo(raw, buffer[:n], keys[i]); p != nil {
					answers <- p
					return
				}
			}
		}
	}()
	wait := func(d time.Duration) *wire.Packet {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case p := <-answers:
			return p
		case <-t.C:
		case <-ctx.Done():
		}
		return nil
	}
	for _, pause := range d.pauses {
		for _, raw := range requests {
			_, _ = conn.Write(raw) // a send that fails is one that is not answered
		}
		if p := wait(pause); p != nil {
			return saidBy(p)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return AnswerSilent, ""
}

// disconnectRequest names a session by all that gear has told of it, or, where it
// tells nothing, by its user (RFC 5176 section 3).
func disconnectRequest(key []byte, r Remote, now time.Time) ([]byte, error) {
	p := &wire.Packet{Code: wire.CodeDisconnectRequest, Identifier: secret.Bytes(1)[0], Secret: key}
	add(p, rfc2865.UserName_Type, []byte(r.UserName))
	for _, v := range []struct {
		typ   wire.Type
		value string
	}{{rfc2865.NASIPAddress_Type, r.Told.GearAddress}, {rfc2865.FramedIPAddress_Type, r.Told.Framed}} {
		if a, err := netip.ParseAddr(v.value); err == nil && a.Is4() {
			add(p, v.typ, a.AsSlice())
		}
	}
	if r.Told.Port > 0 {
		addNumber(p, rfc2865.NASPort_Type, uint32(r.Told.Port))
	}
	add(p, rfc2865.NASIdentifier_Type, []byte(r.Told.GearName))
	add(p, rfc2865.CallingStationID_Type, []byte(r.Told.Calling))
	add(p, rfc2866.AcctSessionID_Type, []byte(r.Told.Session))
	// Against a request that is recorded and played again (RFC 5176 section 6.3).
	addNumber(p, rfc2869.EventTimestamp_Type, uint32(now.Unix()))
	return sign(p)
}

// answerTo is gear's answer to a request, nil for what is none.
func answerTo(request, b, key []byte) *wire.Packet {
	raw, mac, err := framed(b)
	if err != nil || raw[1] != request[1] || !wire.IsAuthenticResponse(raw, request, key) {
		return nil
	}
	// RFC 5176 section 3.4 reckons it over the request's authenticator, FreeRADIUS over an
	// empty one.
	if mac != 0 && !hmac.Equal(signature(raw, mac, [16]byte(request[4:headerLength]), key), raw[mac:mac+macLength]) &&
		!hmac.Equal(signature(raw, mac, [16]byte{}, key), raw[mac:mac+macLength]) {
		return nil
	}
	p, err := wire.Parse(raw, key)
	if err != nil || p.Code != wire.CodeDisconnectACK && p.Code != wire.CodeDisconnectNAK {
		return nil
	}
	return p
}

func saidBy(p *wire.Packet) (answer, why string) {
	if p.Code == wire.CodeDisconnectACK {
		return AnswerAck, ""
	}
	cause := p.Get(errorCause)
	if len(cause) != 4 {
		return AnswerNak, ""
	}
	n := binary.BigEndian.Uint32(cause)
	if n == contextNotFound {
		return AnswerGone, ""
	}
	return AnswerNak, "Error-Cause " + strconv.FormatUint(uint64(n), 10)
}
