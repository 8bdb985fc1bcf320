package totp_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

var (
	miraHerself = directory.Person{ID: mira, Login: "mira", Name: "三好 美良"}
	taro        = directory.Person{ID: "77aa-taro", Login: "Taro.Y", Name: "山田 太郎"}
)

// hard is a token in the hand: its seed, and a clock that is ahead of ours by so
// many steps.
type hard struct {
	oath.Seed
	b     *bench
	ahead int64
}

// token imports a token of eight digits, SHA-256, a code a minute.
func (b *bench) token(serial string) *hard {
	b.t.Helper()
	h := &hard{b: b, Seed: oath.Seed{Serial: serial, Maker: "製造社", Algorithm: oath.SHA256, Digits: 8, Period: time.Minute,
		Key: secret.NewText(secret.Bytes(32))}}
	b.stock(h.Seed)
	return h
}

func (b *bench) stock(seeds ...oath.Seed) totp.Imported {
	b.t.Helper()
	var done totp.Imported
	b.do(func(tx *store.Tx) (err error) {
		done, err = b.tokens.Import(b.t.Context(), tx, seeds)
		return err
	})
	return done
}

// do must work.
func (b *bench) do(act func(tx *store.Tx) error) {
	b.t.Helper()
	if err := b.db.WithTx(b.t.Context(), act); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) assign(serial string, p directory.Person) error {
	return b.db.WithTx(b.t.Context(), func(tx *store.Tx) error { return b.tokens.Assign(b.t.Context(), tx, serial, p) })
}

func (b *bench) unassign(serial string) error {
	return b.db.WithTx(b.t.Context(), func(tx *store.Tx) error { return b.tokens.Unassign(b.t.Context(), tx, serial) })
}

func (b *bench) lose(serial string) error {
	return b.db.WithTx(b.t.Context(), func(tx *store.Tx) error { return b.tokens.Lose(b.t.Context(), tx, serial) })
}

// assigned is a token that somebody has.
func (b *bench) assigned(serial string, p directory.Person) *hard {
	b.t.Helper()
	h := b.token(serial)
	if err := b.assign(serial, p); err != nil {
		b.t.Fatal(err)
	}
	return h
}

func (b *bench) find(serial string) totp.Token {
	b.t.Helper()
	found, err := b.tokens.Find(b.t.Context(), b.db, serial)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// shows is the code on the token's display, so many steps from what it shows now.
func (h *hard) shows(steps int64) string {
	h.b.t.Helper()
	form := totp.Form{Algorithm: h.Algorithm, Digits: h.Digits, Period: h.Period}
	code, err := form.Code(h.Key.Reveal(), form.StepAt(h.b.clock.Now())+h.ahead+steps)
	if err != nil {
		h.b.t.Fatal(err)
	}
	return code
}

// device is what the store holds of an assigned token's clock.
func (h *hard) device() (lastStep, drift int64) {
	h.b.t.Helper()
	if err := h.b.db.QueryRow(h.b.t.Context(), `SELECT last_step, drift FROM totp_device WHERE serial = $1`, h.Serial).
		Scan(&lastStep, &drift); err != nil {
		h.b.t.Fatal(err)
	}
	return lastStep, drift
}

// TestAssign: a token is a device of its owner, with codes of its own form.
func TestAssign(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	phone, base32 := b.enrolled(mira, "phone")
	h := b.token("A-1")
	_, err := b.spend(mira, h.shows(0))
	want(t, "a token in stock", err, totp.ErrWrong)
	want(t, "an unknown serial", b.assign("A-2", miraHerself), totp.ErrNoToken)
	want(t, "no serial", b.assign("", miraHerself), totp.ErrNoToken)
	if b.assign("A-1", directory.Person{Login: "x"}) == nil {
		t.Error("assigned to nobody")
	}
	if err := b.assign("ａ-1", miraHerself); err != nil {
		t.Fatal(err)
	}
	found := b.find("A-1")
	if found.State != totp.StateAssigned || found.Person != mira || found.Login != "mira" || found.Name != "三好 美良" ||
		!found.AssignedAt.Equal(b.clock.Now()) || !found.LastUsedAt.IsZero() {
		t.Errorf("assigned: %+v", found)
	}
	want(t, "a second time", b.assign("A-1", miraHerself), totp.ErrTokenState)
	want(t, "to another person", b.assign("A-1", taro), totp.ErrTokenState)

	_, err = b.spend(taro.ID, h.shows(0))
	want(t, "another person with her code", err, totp.ErrWrong)
	_, err = b.spend(mira, h.shows(0)[2:])
	want(t, "six of eight digits", err, totp.ErrWrong)
	_, err = b.spend(mira, h.shows(2))
	want(t, "two steps ahead", err, totp.ErrWrong)
	_, err = b.spend(mira, h.shows(-2))
	want(t, "two steps late", err, totp.ErrWrong)
	b.clock.Advance(time.Minute)
	id, err := b.spend(mira, h.shows(0)[:4]+"　"+h.shows(0)[4:])
	if err != nil || id == phone {
		t.Fatalf("her code: %q, %v", id, err)
	}
	if got, err := b.spend(mira, b.code(base32, 0)); err != nil || got != phone {
		t.Errorf("the phone beside it: %q, %v", got, err)
	}

	devices, err := b.List(t.Context(), mira)
	if err != nil || len(devices) != 2 {
		t.Fatal(devices, err)
	}
	if d := devices[0]; d.ID != phone || d.Kind != totp.KindApp || d.Serial != "" {
		t.Errorf("the phone is listed as %+v", d)
	}
	if d := devices[1]; d.ID != id || d.Kind != totp.KindToken || d.Serial != "A-1" || d.Name != "A-1" || !d.LastUsedAt.Equal(b.clock.Now()) {
		t.Errorf("the token is listed as %+v", d)
	}
	if found := b.find("A-1"); !found.LastUsedAt.Equal(b.clock.Now()) {
		t.Errorf("last used: %v", found.LastUsedAt)
	}
	var n int
	b.do(func(tx *store.Tx) (err error) { n, err = b.Count(t.Context(), tx, mira); return err })
	if n != 2 {
		t.Errorf("%d devices are counted", n)
	}
}

// TestAssignFull: tokens count among MaxDevices, from both sides.
func TestAssignFull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rules := func() policy.TOTPRules { return policy.TOTPRules{Skew: 1, MaxDevices: 2} }
	b.Devices, b.tokens = totp.NewUnder(b.db, b.ring, b.clock.Now, rules), totp.NewTokens(b.db, b.ring, b.clock.Now, rules)
	b.enrolled(mira, "phone")
	b.assigned("A-1", miraHerself)
	b.token("A-2")
	want(t, "a third device", b.assign("A-2", miraHerself), totp.ErrFull)
	if found := b.find("A-2"); found.State != totp.StateStock || found.Person != "" {
		t.Errorf("a token that was refused: %+v", found)
	}
	want(t, "an app beside them", b.imported(mira, totp.FormatSecret(seed), "x"), totp.ErrFull)
	_, err := b.Begin(t.Context(), mira, "mira", "Sekisho")
	want(t, "an enrolment beside them", err, totp.ErrFull)
	if err := b.assign("A-2", taro); err != nil {
		t.Errorf("to somebody with room: %v", err)
	}
}

// TestAssignOnce: many administrators give one token to as many people at once.
func TestAssignOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.token("A-1")
	var right, refused atomic.Int32
	var owner atomic.Value
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			p := directory.Person{ID: directory.PersonID(fmt.Sprint("person-", i)), Login: fmt.Sprint("p", i)}
			switch err := b.assign("A-1", p); {
			case err == nil:
				right.Add(1)
				owner.Store(p.ID)
			case errors.Is(err, totp.ErrTokenState):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if right.Load() != 1 || refused.Load() != 49 {
		t.Fatalf("%d assigned and %d refused, want 1 and 49", right.Load(), refused.Load())
	}
	if found := b.find("A-1"); found.Person != owner.Load() {
		t.Errorf("it is %s's, but %s was told so", found.Person, owner.Load())
	}
	var rows int
	if err := b.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM totp_device`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d device rows, %v", rows, err)
	}
	if _, err := b.spend(owner.Load().(directory.PersonID), h.shows(0)); err != nil {
		t.Error(err)
	}
}

// TestTokenSpendOnce is security.md section 2 row 2 for tokens.
func TestTokenSpendOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.assigned("A-1", miraHerself)
	code := h.shows(0)
	var right, replayed atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch _, err := b.spend(mira, code); {
			case err == nil:
				right.Add(1)
			case errors.Is(err, totp.ErrReplayed):
				replayed.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if right.Load() != 1 || replayed.Load() != 49 {
		t.Errorf("%d accepted and %d replayed, want 1 and 49", right.Load(), replayed.Load())
	}
	b.restart()
	_, err := b.spend(mira, code)
	want(t, "the code after a restart", err, totp.ErrReplayed)
	b.clock.Advance(time.Minute)
	_, err = b.spend(mira, code)
	want(t, "the code one step later", err, totp.ErrReplayed)
	if _, err := b.spend(mira, h.shows(0)); err != nil {
		t.Errorf("the next code: %v", err)
	}
}

// TestHandedOn: whichever way a token comes back, what its former owner spent
// does not open the next one's door, and its clock is still known.
func TestHandedOn(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]func(b *bench, id string) error{
		"unassigned": func(b *bench, _ string) error { return b.unassign("A-1") },
		"removed by its owner": func(b *bench, id string) error {
			return b.db.WithTx(b.t.Context(), func(tx *store.Tx) error { return b.Remove(b.t.Context(), tx, mira, id) })
		},
		"with everything its owner had": func(b *bench, _ string) error {
			return b.db.WithTx(b.t.Context(), func(tx *store.Tx) error { return b.RemoveAll(b.t.Context(), tx, mira) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			h := b.assigned("A-1", miraHerself)
			h.ahead = 1
			code := h.shows(0)
			id, err := b.spend(mira, code)
			if err != nil {
				t.Fatal(err)
			}
			used := b.clock.Now()
			if err := back(b, id); err != nil {
				t.Fatal(err)
			}
			if found := b.find("A-1"); found.State != totp.StateStock || found.Person != "" || found.Login != "" || found.Name != "" ||
				!found.AssignedAt.IsZero() || !found.LastUsedAt.Equal(used) {
				t.Errorf("back in stock: %+v", found)
			}
			_, err = b.spend(mira, h.shows(1))
			want(t, "her next code", err, totp.ErrWrong)
			if names := b.names(mira); len(names) != 0 {
				t.Errorf("she still has %v", names)
			}
			b.restart()
			if err := b.assign("A-1", taro); err != nil {
				t.Fatal(err)
			}
			if found := b.find("A-1"); !found.LastUsedAt.IsZero() {
				t.Errorf("the new owner has used it at %v", found.LastUsedAt)
			}
			_, err = b.spend(taro.ID, code)
			want(t, "what she spent", err, totp.ErrReplayed)
			// One step ahead, and one more: only a clock that is known allows it.
			if _, err := b.spend(taro.ID, h.shows(1)); err != nil {
				t.Errorf("his own code: %v", err)
			}
		})
	}
}

// TestHandedOnInARace: a code is typed by its owner at the very moment at which
// the token is given to another, who types it too. One of them gets in at most.
func TestHandedOnInARace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.token("A-1")
	for range 20 {
		b.clock.Advance(time.Minute)
		if err := b.assign("A-1", miraHerself); err != nil {
			t.Fatal(err)
		}
		code := h.shows(0)
		var in atomic.Int32
		var all sync.WaitGroup
		try := func(p directory.PersonID) {
			switch _, err := b.spend(p, code); {
			case err == nil:
				in.Add(1)
			case !errors.Is(err, totp.ErrWrong) && !errors.Is(err, totp.ErrReplayed):
				t.Error(err)
			}
		}
		for range 3 {
			all.Go(func() { try(mira) })
		}
		all.Go(func() {
			if err := b.unassign("A-1"); err != nil {
				t.Error(err)
			}
			if err := b.assign("A-1", taro); err != nil {
				t.Error(err)
			}
			try(taro.ID)
		})
		all.Wait()
		if in.Load() != 1 {
			t.Fatalf("%d got in with one code", in.Load())
		}
		if err := b.unassign("A-1"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnassign(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.assigned("A-1", miraHerself)
	b.token("A-2")
	want(t, "what is nobody's", b.unassign("A-2"), totp.ErrTokenState)
	want(t, "what is not there", b.unassign("A-3"), totp.ErrNoToken)
	want(t, "what is no serial", b.unassign("?"), totp.ErrNoToken)
	remove := func(person directory.PersonID, id string) error {
		return b.db.WithTx(t.Context(), func(tx *store.Tx) error { return b.Remove(t.Context(), tx, person, id) })
	}
	devices, err := b.List(t.Context(), mira)
	if err != nil || len(devices) != 1 {
		t.Fatal(devices, err)
	}
	want(t, "removed by another", remove(taro.ID, devices[0].ID), totp.ErrNoDevice)
	if _, err := b.spend(mira, h.shows(0)); err != nil {
		t.Errorf("after another tried to remove it: %v", err)
	}
	if found := b.find("A-1"); found.Person != mira {
		t.Errorf("after another tried to remove it: %+v", found)
	}
}

// TestLose: a lost token is nobody's ever again, and nothing opens its seed.
func TestLose(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.assigned("A-1", miraHerself)
	if _, err := b.spend(mira, h.shows(0)); err != nil {
		t.Fatal(err)
	}
	used := b.clock.Now()
	b.clock.Advance(time.Minute)
	if err := b.lose("A-1"); err != nil {
		t.Fatal(err)
	}
	_, err := b.spend(mira, h.shows(0))
	want(t, "its code", err, totp.ErrWrong)
	want(t, "assigned again", b.assign("A-1", miraHerself), totp.ErrTokenState)
	want(t, "taken back", b.unassign("A-1"), totp.ErrTokenState)
	want(t, "lost again", b.lose("A-1"), totp.ErrTokenState)
	want(t, "set right", b.resync("A-1", h.shows(0), h.shows(1)), totp.ErrTokenState)
	if found := b.find("A-1"); found.State != totp.StateLost || found.Person != mira || found.Login != "mira" || !found.LastUsedAt.Equal(used) {
		t.Errorf("lost: %+v", found)
	}
	b.do(func(tx *store.Tx) error { return b.RemoveAll(t.Context(), tx, mira) })
	if found := b.find("A-1"); found.State != totp.StateLost {
		t.Errorf("after its owner left: %+v", found)
	}
	var sealed []byte
	if err := b.db.QueryRow(t.Context(), `SELECT seed FROM otp_token WHERE serial = 'A-1'`).Scan(&sealed); err != nil || len(sealed) != 0 {
		t.Errorf("%d bytes of its seed are left, %v", len(sealed), err)
	}
	b.token("A-2")
	if err := b.lose("A-2"); err != nil {
		t.Errorf("out of the stock: %v", err)
	}
	want(t, "what is not there", b.lose("A-3"), totp.ErrNoToken)
	want(t, "what is no serial", b.lose(" "), totp.ErrNoToken)
}
