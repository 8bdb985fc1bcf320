package custody

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func TestPromotable(t *testing.T) {
	a := Key{Ring: Session, ID: "a", MadeAt: t0, UsedAt: t0}
	b := Key{Ring: Session, ID: "b", MadeAt: t0.Add(1)}
	c := Key{Ring: Session, ID: "c", MadeAt: t0.Add(2)}
	holds := func(gateway string, ago time.Duration, ids ...string) (out []Holder) {
		for _, id := range ids {
			out = append(out, Holder{Gateway: gateway, Name: gateway, Ring: Session, ID: id, SeenAt: t0.Add(-ago)})
		}
		return out
	}
	all := []string{"a", "b", "c"}
	for _, tt := range []struct {
		name    string
		keys    []Key
		holders []Holder
		mine    []string
		want    string
		waiting []string
	}{
		{"nothing new", []Key{a}, holds("one", 0, "a"), all, "", nil},
		{"nobody runs", []Key{a, b}, nil, all, "b", nil},
		{"nobody runs, and we lack it too", []Key{a, b}, nil, []string{"a"}, "", nil},
		{"all hold it", []Key{a, b}, slices.Concat(holds("one", 0, "a", "b"), holds("two", 0, "a", "b")), all, "b", nil},
		{"one lacks it", []Key{a, b}, slices.Concat(holds("one", 0, "a", "b"), holds("two", 0, "a")), all, "", []string{"two"}},
		{"one that lacks it is silent", []Key{a, b}, slices.Concat(holds("one", 0, "a", "b"), holds("two", silence, "a")), all, "b", nil},
		{"almost silent", []Key{a, b}, slices.Concat(holds("one", 0, "a", "b"), holds("two", silence-1, "a")), all, "", []string{"two"}},
		{"the newest of two", []Key{a, b, c}, holds("one", 0, "a", "b", "c"), all, "c", nil},
		{"the newest that all hold", []Key{a, b, c}, slices.Concat(holds("one", 0, "a", "b", "c"), holds("two", 0, "a", "b")), all, "b", nil},
		{"never an older one", []Key{{ID: "x", Ring: Session, MadeAt: t0.Add(-1)}, a}, holds("one", 0, "a", "x"), []string{"a", "x"}, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, waiting := Promotable(slices.Clone(tt.keys), tt.holders, tt.mine, t0)
			if got != tt.want || (tt.want == "" && !slices.Equal(waiting, tt.waiting)) {
				t.Errorf("Promotable = %q, waiting %v; want %q, %v", got, waiting, tt.want, tt.waiting)
			}
		})
	}
}

func TestDropAt(t *testing.T) {
	replaced := Key{MadeAt: t0, UsedAt: t0, ReplacedAt: t0}
	for _, tt := range []struct {
		name string
		key  Key
		ties []Tie
		want time.Duration
		ok   bool
	}{
		{"in use", Key{MadeAt: t0, UsedAt: t0}, nil, 0, false},
		{"never used", Key{MadeAt: t0}, nil, 0, false},
		{"nothing under it", replaced, nil, time.Hour, true},
		{"empty places", replaced, []Tie{{Count: 0}, {Count: 0, Sealed: true}}, time.Hour, true},
		{"what is not counted lives longer", replaced, []Tie{{Count: 1, Until: t0.Add(time.Minute)}}, time.Hour, true},
		{"the last session", replaced, []Tie{{Count: 2, Until: t0.Add(9 * time.Hour)}, {Count: 1, Until: t0.Add(2 * time.Hour)}}, 9 * time.Hour, true},
		{"something sealed", replaced, []Tie{{Count: 1, Sealed: true}}, 0, false},
		{"a fingerprint without an end", replaced, []Tie{{Count: 1}}, 0, false},
		{"gone", Key{MadeAt: t0, UsedAt: t0, ReplacedAt: t0, DroppedAt: t0}, nil, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, ok := DropAt(tt.key, tt.ties, time.Hour)
			if ok != tt.ok || (ok && !at.Equal(t0.Add(tt.want))) {
				t.Errorf("DropAt = %v, %v; want %v, %v", at, ok, t0.Add(tt.want), tt.ok)
			}
		})
	}
}

type bench struct {
	db    *store.DB
	clock *clock.Fake
	book  *Book
}

var seeds = Column{Ring: Sealing, Table: "totp_device", Column: "seed", Row: "id"}

func newBench(t *testing.T) bench {
	t.Helper()
	db, now := storetest.Open(t), clock.NewFake(t0)
	sessions := Column{Ring: Session, Table: "session", Column: "handle_mac", Key: "handle_key", Where: "ended_at = 0", Ends: "expires_at"}
	return bench{db, now, New(db, audit.New(db, now.Now), now.Now, Register{
		Columns:   []Column{seeds, sessions, {Ring: Sealing, Table: "password_history", Column: "digest", Key: "key_id"}},
		Uncounted: func(Ring) time.Duration { return 10 * time.Minute },
	})}
}

func (b bench) exec(t *testing.T, q string, args ...any) {
	t.Helper()
	if err := b.db.WithTx(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(context.Background(), q, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func (b bench) state(t *testing.T, ring Ring, id string) State {
	t.Helper()
	keys, err := Keys(context.Background(), b.db)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k.Ring == ring && k.ID == id {
			return k.State()
		}
	}
	return ""
}

// TestBegin: of gateways that begin an empty store with keys of their own, one
// is first with all of them.
func TestBegin(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	var all sync.WaitGroup
	answers := make([]error, 8)
	held := func(i int) map[Ring][]Held {
		return map[Ring][]Held{
			Session: {{fmt.Sprintf("s%d", i), fmt.Sprintf("fs%d", i)}}, Sealing: {{fmt.Sprintf("k%d", i), fmt.Sprintf("fk%d", i)}},
		}
	}
	for i := range answers {
		all.Go(func() { answers[i] = b.book.Begin(ctx, held(i)) })
	}
	all.Wait()
	first := -1
	for i, err := range answers {
		var lacking *Lacking
		switch {
		case err == nil && first < 0:
			first = i
		case err == nil:
			t.Errorf("gateways %d and %d both began", first, i)
		case !errors.As(err, &lacking):
			t.Errorf("gateway %d: %v", i, err)
		}
	}
	if first < 0 {
		t.Fatal("nobody began")
	}
	if err := b.book.Begin(ctx, held(first)); err != nil {
		t.Error("again:", err)
	}
	other := held(first)
	other[Session][0].Fingerprint = "another"
	var lacking *Lacking
	if err := b.book.Begin(ctx, other); !errors.As(err, &lacking) || !lacking.Other {
		t.Errorf("another key under the same id: %v", err)
	}
}

// TestRotation takes a session key from next to retired.
func TestRotation(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	if err := b.book.Begin(ctx, map[Ring][]Held{Session: {{"a", "fa"}}}); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.book.Announce(ctx, "g1", "one", map[Ring][]string{Session: {"a"}}))
	must(b.book.Announce(ctx, "g2", "two", map[Ring][]string{Session: {"a"}}))
	must(b.book.Meet(ctx, "operator", Session, Held{"b", "fb"}))
	must(b.book.Meet(ctx, "system", Session, Held{"a", "fa"}, Held{"b", "fb"})) // a gateway finds it in the file
	must(b.book.Announce(ctx, "g1", "one", map[Ring][]string{Session: {"a", "b"}}))
	mine := []string{"a", "b"}
	if id, waiting, err := b.book.Promote(ctx, Session, mine, nil); err != nil || id != "" || !slices.Equal(waiting, []string{"two"}) {
		t.Fatalf("Promote = %q, %v, %v; want to wait for two", id, waiting, err)
	}
	must(b.book.Announce(ctx, "g2", "two", map[Ring][]string{Session: {"a", "b"}}))
	b.exec(t, `INSERT INTO session (id, handle_key, handle_mac, person_id, login, name, zone, outside, acr, amr, source, user_agent, app, parent,
		started_at, auth_at, expires_at, idle_expires_at, seen_at, previous_at, previous_from, previous_out_at, failures_since, changed_at)
		VALUES ('s', 'a', 'm', 'p', 'l', 'n', 'z', 0, '', '', '', '', '', '', 0, 0, $1, 0, 0, 0, '', 0, 0, 0)`, store.Micros(t0.Add(time.Hour)))
	var all sync.WaitGroup
	var promoted [8]string
	for i := range promoted {
		all.Go(func() {
			id, _, err := b.book.Promote(ctx, Session, mine, nil)
			if err != nil {
				t.Error(err)
			}
			promoted[i] = id
		})
	}
	all.Wait()
	if n := len(slices.DeleteFunc(promoted[:], func(id string) bool { return id == "" })); n != 1 {
		t.Errorf("%d gateways took the key into use, want one", n)
	}
	if b.state(t, Session, "a") != Retiring || b.state(t, Session, "b") != Current {
		t.Fatalf("a is %s, b %s", b.state(t, Session, "a"), b.state(t, Session, "b"))
	}
	if err := b.book.Drop(ctx, "operator", Session, "b"); !errors.Is(err, ErrNotReplaced) {
		t.Errorf("dropping the key in use: %v", err)
	}
	for _, tt := range []struct {
		at   time.Duration
		want State
	}{{10 * time.Minute, Retiring}, {time.Hour - time.Second, Retiring}, {time.Hour, Retired}} {
		b.clock.Advance(t0.Add(tt.at).Sub(b.clock.Now()))
		if tt.want == Retiring {
			if err := b.book.Drop(ctx, "operator", Session, "a"); !errors.Is(err, ErrNeeded) {
				t.Errorf("after %v, dropping the key of a live session: %v", tt.at, err)
			}
		}
		must(b.book.DropEnded(ctx, Session))
		if got := b.state(t, Session, "a"); got != tt.want {
			t.Errorf("after %v: %s, want %s", tt.at, got, tt.want)
		}
	}
	if err := b.book.Drop(ctx, "operator", Session, "zz"); !errors.Is(err, ErrUnknown) {
		t.Errorf("dropping nothing: %v", err)
	}
}

// TestReseal seals a thousand values anew while somebody changes them, is broken
// off, and goes on. Nothing is lost, and nothing newer is overwritten.
func TestReseal(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "ring")
	ring, err := secret.CreateKeyRing(path)
	if err != nil {
		t.Fatal(err)
	}
	old := ring.CurrentID()
	const n = 400
	id := func(i int) string { return fmt.Sprintf("d%04d", i) }
	sealed := func(i int, text string) []byte {
		s, err := ring.Seal(seeds.place(id(i)), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := b.db.WithTx(ctx, func(tx *store.Tx) error {
		for i := range n {
			if _, err := tx.Exec(ctx, `INSERT INTO totp_device (id, person, seed, added_at) VALUES ($1, 'p', $2, 0)`, id(i), sealed(i, "first")); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO totp_device (id, person, seed, added_at) VALUES ('broken', 'p', $1, 0)`, bytes.Repeat([]byte("x"), 100))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.AddKey(path); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Renew(path); err != nil {
		t.Fatal(err)
	}
	// Somebody who has not heard of the new key writes on under the old one.
	writes := map[int][]byte{}
	for i := 0; i < n; i += 3 {
		writes[i] = sealed(i, "second")
	}
	fresh := ring.IDs()[1]
	if err := ring.Use(fresh); err != nil {
		t.Fatal(err)
	}
	broken, stop := context.WithCancel(ctx)
	if _, err := Reseal(broken, b.db, ring, []Column{seeds}, func(Pass) { stop() }); err == nil {
		t.Error("a pass that was broken off came to its end")
	}
	var all sync.WaitGroup
	all.Go(func() {
		for i, value := range writes {
			b.exec(t, `UPDATE totp_device SET seed = $1 WHERE id = $2`, value, id(i))
		}
	})
	for range 3 {
		all.Go(func() {
			if _, err := Reseal(ctx, b.db, ring, []Column{seeds}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for range 2 { // until a whole pass finds nothing
		if _, err := Reseal(ctx, b.db, ring, []Column{seeds}, nil); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Reseal(ctx, b.db, ring, []Column{seeds}, nil)
	if err != nil || p != (Pass{Left: 1}) {
		t.Errorf("the last pass came to %+v, %v; want the broken one left", p, err)
	}
	for i := range n {
		var value []byte
		if err := b.db.QueryRow(ctx, `SELECT seed FROM totp_device WHERE id = $1`, id(i)).Scan(&value); err != nil {
			t.Fatal(err)
		}
		want := "first"
		if i%3 == 0 {
			want = "second"
		}
		plain, err := ring.Open(seeds.place(id(i)), value)
		if under, _ := secret.SealedUnder(value); err != nil || string(plain) != want || under != fresh {
			t.Fatalf("row %d holds %q under %s, %v; want %q under %s", i, plain, under, err, want, fresh)
		}
	}
	ties, err := b.book.register.Ties(ctx, b.db, Key{Ring: Sealing, ID: old}, t0)
	if err != nil || slices.ContainsFunc(ties, func(t Tie) bool { return t.Count > 0 }) {
		t.Errorf("under the old key: %+v, %v", ties, err)
	}
	if ties, _ = b.book.register.Ties(ctx, b.db, Key{Ring: Sealing, ID: fresh}, t0); ties[0].Count != n {
		t.Errorf("under the new key: %+v", ties)
	}
}

// TestFingerprintsKeepTheirKey: former passwords cannot be sealed anew, so their
// key stays, and whoever lacks it does not start.
func TestFingerprintsKeepTheirKey(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	a, c := Held{"a", "fa"}, Held{"c", "fc"}
	if err := b.book.Begin(ctx, map[Ring][]Held{Sealing: {a}}); err != nil {
		t.Fatal(err)
	}
	b.exec(t, `INSERT INTO password_history (id, person, key_id, digest, at) VALUES ('h', 'p', 'a', 'm', 0)`)
	if err := b.book.Meet(ctx, "operator", Sealing, c); err != nil {
		t.Fatal(err)
	}
	if id, _, err := b.book.Promote(ctx, Sealing, []string{"a", "c"}, nil); err != nil || id != "c" {
		t.Fatalf("Promote = %q, %v", id, err)
	}
	b.clock.Advance(365 * 24 * time.Hour)
	if err := b.book.Drop(ctx, "operator", Sealing, "a"); !errors.Is(err, ErrNeeded) {
		t.Errorf("dropping the key of a former password: %v", err)
	}
	if err := b.book.Distrust(ctx, "operator", Sealing, "a"); !errors.Is(err, ErrNeeded) {
		t.Errorf("distrusting it: %v", err)
	}
	if err := b.book.Begin(ctx, map[Ring][]Held{Sealing: {c}}); err == nil || !strings.Contains(err.Error(), "lacks key a") {
		t.Errorf("starting without it: %v", err)
	}
	b.exec(t, `DELETE FROM password_history`)
	if err := b.book.Begin(ctx, map[Ring][]Held{Sealing: {c}}); err != nil {
		t.Errorf("starting without a key that nothing needs: %v", err)
	}
	if err := b.book.Drop(ctx, "operator", Sealing, "a"); err != nil {
		t.Error(err)
	}
}
