package passkey_test

import (
	"testing"

	"sekisho/authn/passkey"
	"sekisho/authn/passkey/passkeytest"
	"sekisho/policy/store"
)

// TestCounter: a counter that does not grow ends a key, but for one that counts
// nothing and one that its maker copies.
func TestCounter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, tt := range map[string]struct {
		synced bool
		counts []uint32 // the first is said at enrolment
		cloned bool     // by the last
	}{
		"one by one":            {false, []uint32{0, 1, 2, 3}, false},
		"in leaps":              {false, []uint32{7, 9, 4_294_967_295}, false},
		"nothing":               {false, []uint32{0, 0, 0, 0}, false},
		"begins to count":       {false, []uint32{0, 0, 1, 2}, false},
		"stands still":          {false, []uint32{0, 5, 5}, true},
		"goes back":             {false, []uint32{0, 6, 5}, true},
		"stops counting":        {false, []uint32{0, 6, 0}, true},
		"as at its enrolment":   {false, []uint32{3, 3}, true},
		"copies, each its own":  {true, []uint32{0, 6, 5, 5, 0, 9}, false},
		"copies without counts": {true, []uint32{0, 0, 0}, false},
	} {
		t.Run(name, func(t *testing.T) {
			owner := somebody()
			count := func(n uint32) func(*passkeytest.Tweak) {
				return func(t *passkeytest.Tweak) { t.Count, t.BE, t.BS = n, tt.synced, tt.synced }
			}
			_, key := b.enrolled(owner, "key", count(tt.counts[0]))
			for i, n := range tt.counts[1:] {
				err := b.signIn(key, count(n))
				if tt.cloned && i == len(tt.counts)-2 {
					refused(t, "the last", err, passkey.ErrCloned, "cloned")
				} else if err != nil {
					t.Fatalf("counter %d: %v", n, err)
				}
			}
			if got := len(b.names(owner)) == 0; got != tt.cloned {
				t.Errorf("the key is gone: %v, want %v", got, tt.cloned)
			}
			if tt.cloned {
				refused(t, "the key afterwards", b.signIn(key, count(99)), passkey.ErrWrong, "unknown_key")
			}
		})
	}
}

// TestClone: a thief copies a key. Whoever of the two comes second ends it for
// both.
func TestClone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	if err := b.signIn(key); err != nil {
		t.Fatal(err)
	}
	clone := key.Copy()
	if err := b.signIn(clone); err != nil {
		t.Fatalf("the thief, unseen: %v", err)
	}
	refused(t, "the owner", b.signIn(key), passkey.ErrCloned, "cloned")
	refused(t, "the thief again", b.signIn(clone), passkey.ErrWrong, "unknown_key")
	// The owner binds the same authenticator anew.
	if _, again := b.enrolled(mira, "again"); b.signIn(again) != nil {
		t.Error("a new key does not open")
	}
}

// TestCloneRolledBack: a key ends with its caller's commit, not before.
func TestCloneRolledBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	clone := key.Copy()
	if err := b.signIn(key); err != nil {
		t.Fatal(err)
	}
	a, err := b.verify(b.answer(clone))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "Spend", b.tx(func(tx *store.Tx) error { return b.Spend(t.Context(), tx, a) }), passkey.ErrCloned)
	if len(b.names(mira)) != 1 {
		t.Error("the key is gone without a commit")
	}
	want(t, "Spend again", b.spend(a), passkey.ErrCloned)
	if len(b.names(mira)) != 0 {
		t.Error("the key is there after the commit")
	}
}

// TestOvertaken: two answers of one key, the later one first. From here that is a
// clone, and the key ends.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	var verified []passkey.Assertion
	for _, n := range []uint32{5, 6} {
		a, err := b.verify(b.answer(key, func(t *passkeytest.Tweak) { t.Count = n }))
		if err != nil {
			t.Fatal(err)
		}
		verified = append(verified, a)
	}
	if err := b.spend(verified[1]); err != nil {
		t.Fatal(err)
	}
	refused(t, "the earlier, later", b.spend(verified[0]), passkey.ErrCloned, "cloned")
}
