package radius_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/remote/radius"
	"sekisho/policy/store"
)

func num(t wire.Type, n uint32) av { return av{t, binary.BigEndian.AppendUint32(nil, n)} }

func telling(status rfc2866.AcctStatusType, class []byte, more ...av) []av {
	return append([]av{
		num(rfc2866.AcctStatusType_Type, uint32(status)), str(rfc2865.UserName_Type, "tanaka"), {rfc2865.Class_Type, class},
		str(rfc2866.AcctSessionID_Type, "0001"), str(rfc2865.NASIdentifier_Type, "vpn-gw"), {rfc2865.NASIPAddress_Type, []byte{10, 2, 0, 9}},
		{rfc2865.FramedIPAddress_Type, []byte{10, 9, 0, 7}},
	}, more...)
}

// TestAccounting: what gear tells of a session is written down, whatever order it
// comes in, and its end ends the gate's session.
func TestAccounting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tanaka := w.person(t, "tanaka")
	w.permit(tanaka, "bunsho", w.clock.Now().Add(8*time.Hour))
	class := w.admitted(t, "tanaka").Get(rfc2865.Class_Type)
	tell := func(status rfc2866.AcctStatusType, more ...av) {
		t.Helper()
		if p := w.account(t, shared, telling(status, class, more...)...); p.Code != wire.CodeAccountingResponse {
			t.Fatal(p.Code)
		}
	}
	tell(rfc2866.AcctStatusType_Value_InterimUpdate, num(rfc2866.AcctInputOctets_Type, 7), num(rfc2869.AcctInputGigawords_Type, 1))
	tell(rfc2866.AcctStatusType_Value_Start)
	r := w.one(t)
	if r.StartedAt.IsZero() || r.Told.Session != "0001" || r.Told.Framed != "10.9.0.7" || r.Told.BytesIn != 1<<32+7 || r.Told.GearName != "vpn-gw" {
		t.Errorf("told: %+v", r)
	}
	// Use at the gear is use of the gate's session.
	w.clock.Advance(12 * time.Minute)
	tell(rfc2866.AcctStatusType_Value_InterimUpdate)
	w.clock.Advance(12 * time.Minute)
	if mine, err := w.sessions.List(ctx, tanaka.ID); err != nil || len(mine) != 1 {
		t.Errorf("the gate's session idled out under somebody who works: %v, %v", mine, err)
	}
	tell(rfc2866.AcctStatusType_Value_Stop, num(rfc2866.AcctTerminateCause_Type, 1))
	tell(rfc2866.AcctStatusType_Value_InterimUpdate) // late
	if all, err := w.door.Live(ctx); err != nil || len(all) != 0 {
		t.Errorf("after its end: %v, %v", all, err)
	}
	if mine, err := w.sessions.List(ctx, tanaka.ID); err != nil || len(mine) != 0 {
		t.Errorf("the gate's session goes on: %v, %v", mine, err)
	}
	if w.entries(t, "remote.ended") != 1 {
		t.Errorf("%d entries of the end", w.entries(t, "remote.ended"))
	}
	must(t, w.door.Tidy(ctx))
	var rows int
	must(t, w.db.QueryRow(ctx, `SELECT COUNT(*) FROM remote_session`).Scan(&rows))
	w.clock.Advance(31 * 24 * time.Hour)
	must(t, w.door.Tidy(ctx))
	var left int
	must(t, w.db.QueryRow(ctx, `SELECT COUNT(*) FROM remote_session`).Scan(&left))
	if rows != 1 || left != 0 {
		t.Errorf("%d rows, after a month %d", rows, left)
	}
}

// TestAccountingUnmatched: what was not begun here changes nothing, and what is
// forged is not answered.
func TestAccountingUnmatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	class := w.admitted(t, "tanaka").Get(rfc2865.Class_Type)
	if p := w.account(t, shared, telling(rfc2866.AcctStatusType_Value_Stop, []byte("made up"))...); p.Code != wire.CodeAccountingResponse {
		t.Fatal(p.Code)
	}
	if w.count(radius.Unmatched) != 1 {
		t.Error("not counted as of nobody's")
	}
	w.account(t, "another secret of the same length", telling(rfc2866.AcctStatusType_Value_Stop, class)...)
	if w.count(radius.Forged) != 1 || !w.one(t).EndedAt.IsZero() {
		t.Error("a forged end was believed")
	}
	// Gear that began anew has none of its sessions any more.
	w.account(t, shared, telling(rfc2866.AcctStatusType_Value_Start, class)...)
	w.account(t, shared, num(rfc2866.AcctStatusType_Type, uint32(rfc2866.AcctStatusType_Value_AccountingOn)), str(rfc2865.NASIdentifier_Type, "another"))
	w.one(t)
	w.account(t, shared, num(rfc2866.AcctStatusType_Type, uint32(rfc2866.AcctStatusType_Value_AccountingOn)),
		str(rfc2865.NASIdentifier_Type, "vpn-gw"), av{rfc2865.NASIPAddress_Type, []byte{10, 2, 0, 9}})
	if all, err := w.door.Live(ctx); err != nil || len(all) != 0 {
		t.Errorf("after the gear began anew: %v, %v", all, err)
	}
}

// TestBlindWatch: what cannot be asked ends nothing.
func TestBlindWatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	w.admitted(t, "tanaka")
	w.mu.Lock()
	w.blind = errBlind
	w.mu.Unlock()
	must(t, w.door.Look(ctx))
	if r := w.one(t); !r.CutAt.IsZero() {
		t.Errorf("ended for want of an answer: %q", r.CutWhy)
	}
}

// TestLookWhileTheDirectoryIsAway: what has ended is cut before anybody is asked, and
// one answer that the directory is away stands for all of a look.
func TestLookWhileTheDirectoryIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, login := range []string{"tanaka", "suzuki", "sato", "ito"} {
		w.permit(w.person(t, login), "bunsho", w.clock.Now().Add(time.Hour))
		w.admitted(t, login)
	}
	all, err := w.door.Live(ctx)
	must(t, err)
	ended := all[2].ID
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { return w.sessions.End(ctx, tx, ended, "signed out") }))
	cut := func(id string) bool {
		all, err := w.door.Live(ctx)
		must(t, err)
		for _, r := range all {
			if r.ID == id {
				return !r.CutAt.IsZero()
			}
		}
		return false
	}
	asked := 0
	w.mu.Lock()
	w.people = func(ctx context.Context) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if asked++; asked == 1 && !cut(ended) {
			t.Error("the directory is asked before what has ended is cut")
		}
		return standing.ErrAway
	}
	w.mu.Unlock()
	must(t, w.door.Look(ctx))
	if asked != 1 {
		t.Errorf("a directory that is away was asked %d times in one look", asked)
	}
	if !cut(ended) {
		t.Error("what has ended is not cut")
	}
	// Whoever is asked about first, is another at the next look; so nobody is left out.
	w.mu.Lock()
	w.people = nil
	w.mu.Unlock()
	w.revoke()
	must(t, w.door.Look(ctx))
	for _, r := range all {
		if !cut(r.ID) {
			t.Errorf("%s goes on without a permit", r.Login)
		}
	}
}

// TestGoesOnAfterItsEnd: an end that gear confirmed is believed until the gear itself
// says that the session goes on; then it is told again.
func TestGoesOnAfterItsEnd(t *testing.T) {
	t.Parallel()
	l := listens(t, func(n int) (wire.Code, uint32) {
		if n == 0 {
			return wire.CodeDisconnectNAK, 503 // not yet: its Access-Accept is under way
		}
		return wire.CodeDisconnectACK, 0
	})
	w := newWorld(t, gear(func(c *radius.Client) { c.Disconnect = l.addr() }))
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	c := w.call(t)
	raw := signed(request("tanaka", pw+","+w.code(t)))
	class := c.send(raw).Get(rfc2865.Class_Type)
	if p := c.send(raw); p.Code != wire.CodeAccessAccept {
		t.Fatal(p.Code)
	}
	w.revoke()
	must(t, w.door.Look(ctx))
	_, err := c.Write(raw)
	must(t, err)
	until(t, "the lost Access-Accept to be asked for again", func() bool { return w.count(radius.Unanswered) == 1 })
	c.silence(w)

	must(t, w.door.Cut(ctx))
	if r := w.one(t); r.CutAnswer != radius.AnswerGone {
		t.Errorf("it is not there yet, and %q", r.CutAnswer)
	}
	w.clock.Advance(time.Minute)
	must(t, w.door.Cut(ctx))
	if all, err := w.door.Live(ctx); err != nil || len(all) != 0 {
		t.Fatalf("confirmed, and here %v, %v", all, err)
	}
	w.account(t, shared, telling(rfc2866.AcctStatusType_Value_Start, class)...)
	if r := w.one(t); r.CutAt.IsZero() || r.Told.Session != "0001" {
		t.Errorf("it goes on: %+v", r)
	}
	must(t, w.door.Cut(ctx))
	if len(l.heard) != 3 || w.entries(t, "remote.cut") != 2 || w.entries(t, "remote.ended") != 2 {
		t.Errorf("told %d times; entries: cut %d, ended %d", len(l.heard), w.entries(t, "remote.cut"), w.entries(t, "remote.ended"))
	}
	if all, err := w.door.Live(ctx); err != nil || len(all) != 0 {
		t.Errorf("told again, and here %v, %v", all, err)
	}
}

// TestAnotherStop: the end of another session of the same Class ends nothing, and
// what accounting leaves out is not forgotten.
func TestAnotherStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
	class := w.admitted(t, "tanaka").Get(rfc2865.Class_Type)
	w.account(t, shared, telling(rfc2866.AcctStatusType_Value_Start, class, num(rfc2865.NASPort_Type, 7))...)
	number := func(status rfc2866.AcctStatusType, more ...av) {
		t.Helper()
		w.account(t, shared, append([]av{num(rfc2866.AcctStatusType_Type, uint32(status)), {rfc2865.Class_Type, class}}, more...)...)
	}
	number(rfc2866.AcctStatusType_Value_InterimUpdate)
	if r := w.one(t); r.Told.Session != "0001" || r.Told.GearName != "vpn-gw" || r.Told.Framed != "10.9.0.7" || r.Told.Port != 7 {
		t.Errorf("forgotten: %+v", r.Told)
	}
	number(rfc2866.AcctStatusType_Value_Stop, str(rfc2866.AcctSessionID_Type, "0002"))
	w.one(t)
	number(rfc2866.AcctStatusType_Value_Stop, str(rfc2866.AcctSessionID_Type, "0001"))
	if all, err := w.door.Live(ctx); err != nil || len(all) != 0 {
		t.Errorf("after its end: %v, %v", all, err)
	}
}

// TestGearBeganAnew: behind a proxy it ends what is that gear's, and has what may be
// that gear's ended.
func TestGearBeganAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, login := range []string{"tanaka", "suzuki", "sato"} {
		w.permit(w.person(t, login), "bunsho", w.clock.Now().Add(time.Hour))
	}
	began := func(login, gear string) {
		t.Helper()
		class := w.admitted(t, login).Get(rfc2865.Class_Type)
		if gear == "" {
			return
		}
		w.account(t, shared, num(rfc2866.AcctStatusType_Type, uint32(rfc2866.AcctStatusType_Value_Start)), av{rfc2865.Class_Type, class}, str(rfc2865.NASIdentifier_Type, gear))
	}
	began("tanaka", "one")
	began("suzuki", "two")
	began("sato", "") // its gear has not told yet
	w.account(t, shared, num(rfc2866.AcctStatusType_Type, uint32(rfc2866.AcctStatusType_Value_AccountingOn)),
		str(rfc2865.NASIdentifier_Type, "one"), av{rfc2865.NASIPAddress_Type, []byte{10, 2, 0, 9}})
	all, err := w.door.Live(ctx)
	must(t, err)
	got := map[string]bool{}
	for _, r := range all {
		got[r.Login] = !r.CutAt.IsZero()
	}
	if cut, on := got["suzuki"]; len(got) != 2 || !on || cut || !got["sato"] {
		t.Errorf("open, and to end: %v", got)
	}
}

// TestOverIsTold: however a session ends, its end is told once, with the permits that it
// was let in by; also where gear takes it for going on and it ends again (article 63-7).
func TestOverIsTold(t *testing.T) {
	t.Parallel()
	l := listens(t, func(int) (wire.Code, uint32) { return wire.CodeDisconnectACK, 0 })
	for _, tt := range []struct {
		name string
		gear radius.Client
		end  func(t *testing.T, w *world, class []byte)
	}{
		{"accounting says so", gear(), func(t *testing.T, w *world, class []byte) {
			for range 2 { // the answer to the first was lost
				w.account(t, shared, telling(rfc2866.AcctStatusType_Value_Stop, class)...)
			}
		}},
		{"its time is over and nobody confirms it", gear(), func(t *testing.T, w *world, _ []byte) {
			w.clock.Advance(time.Hour)
			must(t, w.door.Look(ctx))
			w.clock.Advance(15 * time.Minute)
			must(t, w.door.Look(ctx))
			must(t, w.door.Look(ctx))
		}},
		{"the gear began anew", gear(), func(t *testing.T, w *world, _ []byte) {
			w.account(t, shared, num(rfc2866.AcctStatusType_Type, uint32(rfc2866.AcctStatusType_Value_AccountingOn)), str(rfc2865.NASIdentifier_Type, "vpn-gw"))
		}},
		{"its permit is revoked and the gear told, and it goes on for a moment", gear(func(c *radius.Client) { c.Disconnect = l.addr() }), func(t *testing.T, w *world, class []byte) {
			w.revoke()
			for range 2 {
				must(t, w.door.Look(ctx))
				must(t, w.door.Cut(ctx))
				w.account(t, shared, telling(rfc2866.AcctStatusType_Value_InterimUpdate, class)...)
			}
			must(t, w.door.Cut(ctx))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.gear)
			w.permit(w.person(t, "tanaka"), "bunsho", w.clock.Now().Add(time.Hour))
			class := w.admitted(t, "tanaka").Get(rfc2865.Class_Type)
			w.account(t, shared, telling(rfc2866.AcctStatusType_Value_Start, class)...)
			if told := w.told(); len(told) > 0 {
				t.Fatalf("told before it ended: %v", told)
			}
			tt.end(t, w, class)
			if told := w.told(); len(told) != 1 || told[0] != "例 tanaka 127.0.0.1 permit-of-tanaka" {
				t.Errorf("told: %q", told)
			}
			if all, err := w.door.Live(ctx); err != nil || len(all) != 0 {
				t.Errorf("it goes on: %v, %v", all, err)
			}
		})
	}
}

// TestNotAdmittedIsOver: whose sign-in went through, and was told, and whom Decide does
// not admit, is told of as gone.
func TestNotAdmittedIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.permit(w.person(t, "tanaka"), "elsewhere", w.clock.Now().Add(time.Hour))
	if p := w.call(t).send(signed(request("tanaka", pw+","+w.code(t)))); p.Code != wire.CodeAccessReject {
		t.Fatal(p.Code)
	}
	if told := w.told(); len(told) != 1 || told[0] != "例 tanaka 127.0.0.1" {
		t.Errorf("told: %q", told)
	}
}

// TestOneHoldsUpNoOther: a session whose end cannot be written down does not keep the
// next one from being ended.
func TestOneHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, login := range []string{"tanaka", "suzuki"} {
		w.permit(w.person(t, login), "bunsho", w.clock.Now().Add(time.Hour))
		w.admitted(t, login)
	}
	all, err := w.door.Live(ctx)
	must(t, err)
	slices.SortFunc(all, func(a, b radius.Remote) int { return strings.Compare(a.ID, b.ID) }) // as they are looked at
	first, next := all[0], all[1]
	w.mu.Lock()
	w.untold = first.Login
	w.permits = slices.DeleteFunc(w.permits, func(p authz.Permit) bool { return p.Person == first.Person })
	w.mu.Unlock()
	must(t, w.door.Look(ctx))
	w.clock.Advance(75 * time.Minute) // nobody has confirmed that the first is over, and the time of the next is
	if err := w.door.Look(ctx); !errors.Is(err, errUntold) {
		t.Errorf("the look says %v", err)
	}
	all, err = w.door.Live(ctx)
	must(t, err)
	for _, r := range all {
		if r.ID == next.ID && r.CutAt.IsZero() {
			t.Error("the next one goes on")
		}
	}
	w.mu.Lock()
	w.untold = ""
	w.mu.Unlock()
	must(t, w.door.Look(ctx))
	if r := w.one(t); r.ID != next.ID {
		t.Errorf("%s has not ended", r.Login)
	}
}
