package radius_test

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"sekisho/authz/remote/radius"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A listener is gear that hears Disconnect-Requests.
type listener struct {
	conn  *net.UDPConn
	heard chan *wire.Packet
}

// listens answers each request by a code, 0 for not at all, and an Error-Cause.
func listens(t *testing.T, answer func(n int) (wire.Code, uint32)) *listener {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	l := &listener{conn, make(chan *wire.Packet, 100)}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, wire.MaxPacketLength)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			raw := buffer[:size]
			p, err := wire.Parse(raw, []byte(shared))
			if err != nil || !wire.IsAuthenticRequest(raw, []byte(shared)) || p.Attributes[0].Type != rfc2869.MessageAuthenticator_Type {
				t.Errorf("a Disconnect-Request that is not authentic, or does not begin with its Message-Authenticator: %v", err)
				return
			}
			unsigned := append([]byte(nil), raw...)
			copy(unsigned[4:20], make([]byte, 16))
			copy(unsigned[22:38], make([]byte, 16))
			h := hmac.New(md5.New, []byte(shared))
			h.Write(unsigned)
			if !hmac.Equal(h.Sum(nil), raw[22:38]) {
				t.Error("its Message-Authenticator is wrong")
			}
			l.heard <- p
			code, cause := answer(n)
			if code == 0 {
				continue
			}
			r := p.Response(code)
			copy(r.Authenticator[:], raw[4:20])
			if cause != 0 {
				r.Add(101, binary.BigEndian.AppendUint32(nil, cause))
			}
			out, err := r.Encode()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = conn.WriteToUDP(out, from)
		}
	}()
	return l
}

func (l *listener) addr() string { return l.conn.LocalAddr().String() }

// TestCut: whatever ends what lets a session go on ends the session at the gear; that
// is intended, done and confirmed (design rule 8).
func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, w *world)
		why  string
	}{
		{"the permit is revoked", func(_ *testing.T, w *world) { w.revoke() }, "no_remote"},
		{"the session is ended", func(t *testing.T, w *world) {
			must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { return w.sessions.End(ctx, tx, w.one(t).ID, "signed out") }))
		}, "signed out"},
		{"a lock-down", func(t *testing.T, w *world) {
			must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO lockdown (id, scope, target, reason, ordered_by, ordered_at, ends_at) VALUES ('l', 'remote', '', '', 'cio', $1, $2)`,
					store.Micros(w.clock.Now()), store.Micros(w.clock.Now().Add(time.Hour)))
				return err
			}))
		}, "locked_down"},
		{"the person is closed in the directory", func(t *testing.T, w *world) {
			p, err := w.dir.Find(ctx, "tanaka")
			must(t, err)
			must(t, w.dir.Disable(ctx, p))
			w.watch.Forget(p.ID)
		}, "closed"},
		{"its time is over", func(_ *testing.T, w *world) { w.clock.Advance(time.Hour) }, "its time is over"},
		{"the applications become of the other environment", func(_ *testing.T, w *world) {
			w.rule(func(p *policy.Policy) {
				for i := range p.Applications {
					p.Applications[i].Environment = policy.Development
				}
			})
		}, "wrong_environment"},
		{"the application is taken out of the policy", func(_ *testing.T, w *world) { w.rule(func(p *policy.Policy) { p.Applications = nil }) }, "no_application"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := listens(t, func(int) (wire.Code, uint32) { return wire.CodeDisconnectACK, 0 })
			w := newWorld(t, gear(func(c *radius.Client) { c.Disconnect = l.addr() }))
			w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
			class := w.admitted(t, "tanaka").Get(rfc2865.Class_Type)
			w.account(t, shared, telling(rfc2866.AcctStatusType_Value_Start, class)...)
			must(t, w.door.Look(ctx))
			must(t, w.door.Cut(ctx))
			w.one(t) // it goes on
			if len(l.heard) > 0 {
				t.Fatal("the gear was told to end a session that may go on")
			}
			tt.do(t, w)
			must(t, w.door.Look(ctx))
			if r := w.one(t); r.CutAt.IsZero() || r.CutWhy != tt.why {
				t.Errorf("intended: %v, %q, want %q", r.CutAt, r.CutWhy, tt.why)
			}
			must(t, w.door.Cut(ctx))
			p := <-l.heard
			if rfc2865.UserName_GetString(p) != "tanaka" || rfc2866.AcctSessionID_GetString(p) != "0001" || rfc2865.NASIdentifier_GetString(p) != "vpn-gw" ||
				rfc2865.FramedIPAddress_Get(p).String() != "10.9.0.7" {
				t.Errorf("the request names %v", p.Attributes)
			}
			all, err := w.door.Live(ctx)
			must(t, err)
			if len(all) != 0 || w.entries(t, "remote.cut") != 1 || w.entries(t, "remote.ended") != 1 {
				t.Errorf("after it was confirmed: %v, %d, %d", all, w.entries(t, "remote.cut"), w.entries(t, "remote.ended"))
			}
			if mine, err := w.sessions.Everyone(ctx, w.db); err != nil || len(mine) != 0 {
				t.Errorf("the gate's session goes on: %v, %v", mine, err)
			}
		})
	}
}

// TestCutUnconfirmed: gear that does not confirm is told again, for as long as it
// does not, and whoever looks on sees that.
func TestCutUnconfirmed(t *testing.T) {
	t.Parallel()
	l := listens(t, func(n int) (wire.Code, uint32) {
		switch n {
		case 0, 1:
			return 0, 0 // silent
		case 2:
			return wire.CodeDisconnectNAK, 501
		}
		return wire.CodeDisconnectNAK, 503 // it has no such session any more
	})
	w := newWorld(t, gear(func(c *radius.Client) { c.Disconnect = l.addr() }))
	w.door.Hasten(20*time.Millisecond, 20*time.Millisecond)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	w.admitted(t, "tanaka")
	w.revoke()
	must(t, w.door.Look(ctx))
	must(t, w.door.Cut(ctx))
	if r := w.one(t); r.CutAnswer != radius.AnswerSilent || r.CutTries != 1 {
		t.Errorf("silent: %q, %d", r.CutAnswer, r.CutTries)
	}
	must(t, w.door.Cut(ctx)) // not due yet
	if r := w.one(t); r.CutTries != 1 {
		t.Errorf("told again at once: %d", r.CutTries)
	}
	w.clock.Advance(time.Minute)
	w.door.Hasten(30 * time.Second)
	must(t, w.door.Cut(ctx))
	if r := w.one(t); !strings.HasPrefix(r.CutAnswer, radius.AnswerNak) || !strings.Contains(r.CutAnswer, "501") {
		t.Errorf("refused: %q", r.CutAnswer)
	}
	if n, err := w.door.Levels(ctx); err != nil || n.Cutting != 1 || n.Open != 0 || n.Oldest.IsZero() {
		t.Errorf("seen from outside: %+v, %v", n, err)
	}
	w.clock.Advance(time.Minute)
	must(t, w.door.Cut(ctx))
	if all, err := w.door.Live(ctx); err != nil || len(all) != 0 {
		t.Errorf("gone at the gear, and here %v, %v", all, err)
	}
	if w.entries(t, "remote.cut_unanswered") != 1 {
		t.Errorf("%d entries that it was not answered, want the first", w.entries(t, "remote.cut_unanswered"))
	}
}

// TestCutByTimeout: gear that cannot be told ends the session by the end it was given.
func TestCutByTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	w.admitted(t, "tanaka")
	w.revoke()
	must(t, w.door.Look(ctx))
	must(t, w.door.Cut(ctx))
	if r := w.one(t); r.CutAnswer != radius.AnswerNone {
		t.Errorf("what came of it: %q", r.CutAnswer)
	}
	w.clock.Advance(time.Hour + 5*time.Minute)
	must(t, w.door.Look(ctx))
	w.one(t)
	w.clock.Advance(10 * time.Minute)
	must(t, w.door.Look(ctx))
	if all, err := w.door.Live(ctx); err != nil || len(all) != 0 {
		t.Errorf("long after its end: %v, %v", all, err)
	}
}

// TestRunCuts: the watch does it by itself, when the gate's sessions are polled.
func TestRunCuts(t *testing.T) {
	t.Parallel()
	l := listens(t, func(int) (wire.Code, uint32) { return wire.CodeDisconnectACK, 0 })
	w := newWorld(t, gear(func(c *radius.Client) { c.Disconnect = l.addr() }))
	tanaka := w.person(t, "tanaka")
	w.permit(tanaka, "bunsho", w.clock.Now().Add(time.Hour))
	w.admitted(t, "tanaka")
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); w.door.Run(running) }()
	defer func() { stop(); <-done }()
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		return w.sessions.EndAll(ctx, tx, tanaka.ID, "tanaka", "", "suspended")
	}))
	must(t, w.sessions.Poll(ctx))
	<-l.heard
	until(t, "the session to be over", func() bool {
		all, err := w.door.Live(ctx)
		must(t, err)
		return len(all) == 0
	})
}

// TestStricterEnds: ends that are made stricter govern what goes on.
func TestStricterEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(8*time.Hour))
	w.admitted(t, "tanaka")
	w.clock.Advance(2 * time.Minute)
	must(t, w.door.Look(ctx))
	if r := w.one(t); !r.CutAt.IsZero() {
		t.Fatalf("cut: %q", r.CutWhy)
	}
	w.rule(func(p *policy.Policy) { p.Remote.AbsoluteEnd = time.Minute })
	must(t, w.door.Look(ctx))
	if r := w.one(t); r.CutAt.IsZero() {
		t.Error("it goes on past the end that is in force")
	}
}

// TestCutPastStrangers: sessions of gear that is not in the configuration any more
// hold up nobody's end.
func TestCutPastStrangers(t *testing.T) {
	t.Parallel()
	l := listens(t, func(int) (wire.Code, uint32) { return wire.CodeDisconnectACK, 0 })
	w := newWorld(t, gear(func(c *radius.Client) { c.Disconnect = l.addr() }))
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	w.admitted(t, "tanaka")
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		for i := range 100 {
			_, err := tx.Exec(ctx, `
				INSERT INTO remote_session (class_key, class_mac, id, client, application, person_id, login, name, zone, source, gear, user_name, admitted_at, ends_at, cut_at, cut_due)
				SELECT class_key, $1, $1, 'gone', application, person_id, login, name, zone, source, gear, user_name, admitted_at, ends_at, 1, 1 FROM remote_session WHERE client = 'vpn'`,
				"gone-"+strconv.Itoa(i))
			if err != nil {
				return err
			}
		}
		return nil
	}))
	w.revoke()
	must(t, w.door.Look(ctx))
	must(t, w.door.Cut(ctx))
	if len(l.heard) != 1 {
		t.Errorf("the gear was told %d times", len(l.heard))
	}
}
