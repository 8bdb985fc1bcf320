package token

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/policy/store"
)

func TestLife(t *testing.T) {
	const day = 24 * time.Hour
	l := DefaultLife
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	a := Key{ID: "a", From: t0}
	b := Key{ID: "b", From: at(90 * day)}
	gone := 90*day + settle + l.Longest + Leeway
	for _, tt := range []struct {
		name   string
		keys   []Key
		at     time.Duration
		states []State
		due    bool
		from   time.Duration // of the key that is due
	}{
		{"none at all", nil, 0, nil, true, 0},
		{"the first", []Key{a}, 0, []State{Current}, false, 0},
		{"just before the next is made", []Key{a}, 89*day - time.Second, []State{Current}, false, 0},
		{"the next is made a day before", []Key{a}, 89 * day, []State{Current}, true, 90 * day},
		{"late, the day is kept all the same", []Key{a}, 100 * day, []State{Current}, true, 101 * day},
		{"published", []Key{a, b}, 89 * day, []State{Current, Next}, false, 0},
		{"the last instant of the old", []Key{a, b}, 90*day - 1, []State{Current, Next}, false, 0},
		{"the first of the new", []Key{a, b}, 90 * day, []State{Retiring, Current}, false, 0},
		{"the last instant of its tokens", []Key{a, b}, gone - 1, []State{Retiring, Current}, false, 0},
		{"retired", []Key{a, b}, gone, []State{Retired, Current}, false, 0},
		{"distrusted", []Key{{ID: "a", From: t0, Ends: at(day)}, {ID: "b", From: at(day)}}, day, []State{Retired, Current}, false, 0},
		{"distrusted, the next stands in early", []Key{{ID: "a", From: t0, Ends: at(day)}, b}, day, []State{Retired, Current}, false, 0},
		{"all distrusted", []Key{{ID: "a", From: t0, Ends: at(day)}}, day, []State{Retired}, true, day},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []State
			for i := range tt.keys {
				got = append(got, l.State(tt.keys, i, at(tt.at)))
			}
			if !slices.Equal(got, tt.states) {
				t.Errorf("states %v, want %v", got, tt.states)
			}
			from, due := l.Due(tt.keys, at(tt.at))
			if due != tt.due || (due && !from.Equal(at(tt.from))) {
				t.Errorf("Due = %v, %v; want %v, %v", from, due, at(tt.from), tt.due)
			}
		})
	}
}

func kids(t *testing.T, k *Keys) (out []string) {
	t.Helper()
	set, err := k.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(set, &doc); err != nil {
		t.Fatal(err)
	}
	for _, j := range doc.Keys {
		out = append(out, j.Kid)
	}
	return out
}

// TestTurn lets eight gateways share a store for 91 days. One key is made, it
// is published a day before, what the old one signed last is good to its end,
// and then the old one is gone.
func TestTurn(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	gateways := make([]*Keys, 8)
	for i := range gateways {
		gateways[i] = b.open(t)
	}
	turn := func() {
		var all sync.WaitGroup
		for _, k := range gateways {
			all.Go(func() {
				if err := errors.Join(k.Refresh(ctx), k.Turn(ctx), k.Refresh(ctx)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	turn()
	first := gateways[0].kid()
	b.clock.Advance(89 * 24 * time.Hour)
	turn()
	for _, k := range gateways {
		if got := kids(t, k); len(got) != 2 || got[0] != first || k.kid() != first {
			t.Fatalf("a day before: %v published, %s signs, want %s to sign and another beside it", got, k.kid(), first)
		}
	}
	b.clock.Advance(24*time.Hour - time.Second)
	last, err := gateways[1].Assert(assertion(b.clock.Now().Add(5 * time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(time.Second)
	turn()
	second := gateways[0].kid()
	if second == first {
		t.Fatal("the first key signs beyond its time")
	}
	for b.clock.Now().Before(t0.Add(90*24*time.Hour + 5*time.Minute + Leeway - 2*time.Second)) {
		for _, k := range gateways {
			if _, err := k.Verify(last, "https://gate.example", "juki"); err != nil {
				t.Fatalf("%v after its key was replaced: %v", b.clock.Now().Sub(t0), err)
			}
		}
		b.clock.Advance(30 * time.Second)
		turn()
	}
	b.clock.Advance(time.Minute)
	turn()
	for _, k := range gateways {
		if got := kids(t, k); !slices.Equal(got, []string{second}) {
			t.Errorf("after the last token's end: %v published, want %s alone", got, second)
		}
		if _, err := k.Verify(last, "https://gate.example", "juki"); !errors.Is(err, ErrNotOurs) {
			t.Errorf("a retired key's token: %v", err)
		}
	}
	for action, want := range map[string]int{"key.created": 2, "key.in_use": 2, "key.dropped": 1} {
		if n := told(t, b, action); n != want {
			t.Errorf("%d entries %s, want %d", n, action, want)
		}
	}
}

func told(t *testing.T, b bench, action string) (n int) {
	t.Helper()
	rows, err := b.db.Query(context.Background(), `SELECT data FROM trail_pending`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			t.Fatal(err)
		}
		n += strings.Count(string(data), `"action":"`+action+`"`)
	}
	return n
}

func TestRotate(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name  string
		how   Urgency
		after time.Duration // until the new key signs
		old   bool          // what the old one signed is good then
		count int           // published then
	}{
		{"planned", Planned, 24 * time.Hour, false, 2}, // its five minutes are over
		{"urgent", Urgent, settle, true, 2},
		{"distrusted", Distrusted, 0, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			here, there := b.open(t), b.open(t)
			signed, err := there.Assert(assertion(t0.Add(5 * time.Minute)))
			if err != nil {
				t.Fatal(err)
			}
			made, err := here.Rotate(ctx, "tanaka", tt.how)
			if err != nil {
				t.Fatal(err)
			}
			if err := there.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			if tt.after > 0 && there.kid() == made.ID {
				t.Error("the new key signs at once")
			}
			b.clock.Advance(tt.after)
			if err := there.Turn(ctx); err != nil {
				t.Fatal(err)
			}
			if there.kid() != made.ID || len(kids(t, there)) != tt.count {
				t.Errorf("%s signs of %v, want %s of %d", there.kid(), kids(t, there), made.ID, tt.count)
			}
			if _, err := there.Verify(signed, "https://gate.example", "juki"); (err == nil) != tt.old {
				t.Errorf("what the old key signed: %v", err)
			}
			if n := told(t, b, "key.created"); n != 2 {
				t.Errorf("%d keys were made by the trail", n)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		b := newBench(t)
		k := b.open(t)
		if _, err := k.Rotate(ctx, "tanaka", Planned); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Rotate(ctx, "tanaka", Planned); !errors.Is(err, ErrPending) {
			t.Errorf("a second one: %v", err)
		}
		if _, err := k.Rotate(ctx, "tanaka", Urgent); err != nil {
			t.Fatal(err)
		}
		if keys, _ := List(ctx, b.db); len(keys) != 2 {
			t.Errorf("%d keys, want the overtaken one gone", len(keys))
		}
	})
}

// TestAlgorithmOfAKey: a key id stands for one algorithm.
func TestAlgorithmOfAKey(t *testing.T) {
	b := newBench(t)
	k := b.open(t)
	signed, err := k.Assert(assertion(t0.Add(time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	k.mu.Lock()
	k.keys[0].Alg = "ES384"
	k.mu.Unlock()
	if _, err := k.Verify(signed, "https://gate.example", "juki"); !errors.Is(err, ErrNotOurs) {
		t.Errorf("another algorithm than the key's: %v", err)
	}
}

// TestKeyOfAMomentAgo: what another gateway signs with a key that it has just made is
// read here at once, and an id that nobody made stays unknown.
func TestKeyOfAMomentAgo(t *testing.T) {
	b := newBench(t)
	here, there := b.open(t), b.open(t)
	if _, err := there.Rotate(context.Background(), "tanaka", Distrusted); err != nil {
		t.Fatal(err)
	}
	signed, err := there.Assert(assertion(t0.Add(5 * time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	if here.kid() == there.kid() {
		t.Fatal("it is known already: nothing is tried")
	}
	if _, err := here.Verify(signed, "https://gate.example", "juki"); err != nil {
		t.Errorf("signed by a key that is unknown here: %v", err)
	}
	stranger := newBench(t).open(t)
	if signed, err = stranger.Assert(assertion(t0.Add(5 * time.Minute))); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Verify(signed, "https://gate.example", "juki"); !errors.Is(err, ErrNotOurs) {
		t.Errorf("signed by a stranger: %v", err)
	}
}

// TestKeyThatCannotBeRead: a token by a key that could not be read, here or at all, is
// nobody's to judge. Were it called a stranger's, revoking it would be a false success.
func TestKeyThatCannotBeRead(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name, spoil string
	}{
		{"the store does not answer", `ALTER TABLE signing_key RENAME TO signing_key_lost`},
		{"the key does not open", `UPDATE signing_key SET sealed = substr(sealed, 2)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			here, there := b.open(t), b.open(t)
			if _, err := there.Rotate(ctx, "tanaka", Distrusted); err != nil {
				t.Fatal(err)
			}
			asserted, err := there.Assert(assertion(t0.Add(5 * time.Minute)))
			if err != nil {
				t.Fatal(err)
			}
			access, err := there.Sign(TypeAccess, jwt.MapClaims{"iss": "https://gate.example", "exp": t0.Add(time.Minute).Unix()})
			if err != nil {
				t.Fatal(err)
			}
			known, err := here.Assert(assertion(t0.Add(5 * time.Minute)))
			if err != nil {
				t.Fatal(err)
			}
			if err := b.db.WithTx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(ctx, tt.spoil); return err }); err != nil {
				t.Fatal(err)
			}
			if _, err := here.Verify(asserted, "https://gate.example", "juki"); err == nil || errors.Is(err, ErrNotOurs) {
				t.Errorf("an assertion: %v", err)
			}
			if _, err := here.Read(access, TypeAccess, "https://gate.example", true); err == nil || errors.Is(err, ErrNotOurs) {
				t.Errorf("an access token: %v", err)
			}
			// What is known here needs no store.
			if _, err := here.Verify(known, "https://gate.example", "juki"); err != nil {
				t.Errorf("by a key that is known: %v", err)
			}
		})
	}
}
