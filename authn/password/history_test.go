package password_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sekisho/authn/password"
	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

type past struct {
	*password.History
	t      *testing.T
	db     *store.DB
	path   string
	clock  *clock.Fake
	keys   string
	hasher *secret.Hasher
}

func newPast(t *testing.T) *past {
	t.Helper()
	p := &past{
		t: t, path: filepath.Join(t.TempDir(), "sekisho.db"), keys: filepath.Join(t.TempDir(), "keys"),
		clock:  clock.NewFake(time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)),
		hasher: secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, nil, 16),
	}
	p.db = storetest.OpenWith(t, store.Config{Path: p.path})
	ring, err := secret.CreateKeyRing(p.keys)
	if err != nil {
		t.Fatal(err)
	}
	p.History = password.New(p.db, p.hasher, ring, p.clock.Now)
	return p
}

func (p *past) digest(person directory.PersonID, pw string) password.Digest {
	p.t.Helper()
	d, err := p.Digest(p.t.Context(), person, secret.NewText([]byte(pw)))
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

func (p *past) tx(fn func(tx *store.Tx) error) {
	p.t.Helper()
	if err := p.db.WithTx(p.t.Context(), fn); err != nil {
		p.t.Fatal(err)
	}
}

// record remembers a password and lets a day pass.
func (p *past) record(person directory.PersonID, pw string) {
	p.t.Helper()
	d := p.digest(person, pw)
	p.tx(func(tx *store.Tx) error { return p.Record(p.t.Context(), tx, d) })
	p.clock.Advance(24 * time.Hour)
}

func (p *past) seen(d password.Digest, n int) bool {
	p.t.Helper()
	yes, err := p.Seen(p.t.Context(), d, n)
	if err != nil {
		p.t.Fatal(err)
	}
	return yes
}

func TestSeen(t *testing.T) {
	p := newPast(t)
	for i := range 3 {
		p.record("a", fmt.Sprint("former password ", i))
	}
	for _, tt := range []struct {
		name   string
		person directory.PersonID
		pw     string
		n      int
		want   bool
	}{
		{"the newest", "a", "former password 2", 1, true},
		{"the oldest within three", "a", "former password 0", 3, true},
		{"the oldest beyond two", "a", "former password 0", 2, false},
		{"another spelling of it", "a", "ｆｏｒｍｅｒ password 2", 3, true},
		{"never used", "a", "former password 9", 3, false},
		{"somebody else's", "b", "former password 2", 3, false},
		{"no history asked for", "a", "former password 2", 0, false},
		{"more asked for than is kept", "a", "former password 0", 1000, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := p.seen(p.digest(tt.person, tt.pw), tt.n); got != tt.want {
				t.Errorf("Seen = %v, want %v", got, tt.want)
			}
		})
	}
	if yes, err := p.Used(t.Context(), "a", secret.NewText([]byte("former password 0"))); err != nil || !yes {
		t.Errorf("Used = %v, %v", yes, err)
	}
}

func TestPrune(t *testing.T) {
	p := newPast(t)
	for i := range password.Kept + 2 {
		p.record("a", fmt.Sprint("former password ", i))
	}
	var n int
	if err := p.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM password_history`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != password.Kept {
		t.Errorf("%d digests are kept, want %d", n, password.Kept)
	}
	if p.seen(p.digest("a", "former password 1"), password.Kept) {
		t.Error("a pruned password is still known")
	}
	if !p.seen(p.digest("a", "former password 2"), password.Kept) {
		t.Error("the oldest kept password is not known")
	}
}

// TestIntend walks a change through its two transactions, and through the ways it
// can end in between.
func TestIntend(t *testing.T) {
	p, ctx := newPast(t), t.Context()
	began := p.clock.Now()
	d := p.digest("a", "a new password")
	var id string
	p.tx(func(tx *store.Tx) (err error) { id, err = p.Intend(ctx, tx, d); return err })

	if p.seen(d, 24) {
		t.Error("an unsettled change counts as history")
	}
	if at, err := p.ChangedAt(ctx, "a"); err != nil || !at.IsZero() {
		t.Errorf("ChangedAt before settling = %v, %v", at, err)
	}
	open, err := p.Unsettled(ctx)
	if err != nil || len(open) != 1 || open[0] != (password.Pending{ID: id, Person: "a", At: began}) {
		t.Fatalf("Unsettled = %v, %v", open, err)
	}

	p.clock.Advance(time.Minute)
	p.tx(func(tx *store.Tx) error { return p.Settle(ctx, tx, id) })
	if !p.seen(d, 1) {
		t.Error("a settled change does not count")
	}
	if at, err := p.ChangedAt(ctx, "a"); err != nil || !at.Equal(began) {
		t.Errorf("ChangedAt = %v, %v, want when it was intended", at, err)
	}
	if open, err := p.Unsettled(ctx); err != nil || len(open) != 0 {
		t.Errorf("Unsettled after settling = %v, %v", open, err)
	}
	for name, again := range map[string]func(tx *store.Tx) error{
		"settled twice":         func(tx *store.Tx) error { return p.Settle(ctx, tx, id) },
		"dropped after settled": func(tx *store.Tx) error { return p.Drop(ctx, tx, id) },
		"settled, never was":    func(tx *store.Tx) error { return p.Settle(ctx, tx, "nothing") },
		"dropped, never was":    func(tx *store.Tx) error { return p.Drop(ctx, tx, "nothing") },
	} {
		if err := p.db.WithTx(ctx, again); !errors.Is(err, password.ErrNoIntent) {
			t.Errorf("%s: %v, want ErrNoIntent", name, err)
		}
	}

	other := p.digest("a", "refused by the directory")
	p.tx(func(tx *store.Tx) (err error) { id, err = p.Intend(ctx, tx, other); return err })
	p.tx(func(tx *store.Tx) error { return p.Drop(ctx, tx, id) })
	if p.seen(other, 24) {
		t.Error("a dropped change counts")
	}

	p.tx(func(tx *store.Tx) error { return p.Forget(ctx, tx, "a") })
	if p.seen(p.digest("a", "a new password"), 24) {
		t.Error("a forgotten history is still known")
	}
	if err := p.db.WithTx(ctx, func(tx *store.Tx) error { return p.Record(ctx, tx, password.Digest{}) }); err == nil {
		t.Error("an empty digest was remembered")
	}
}

// TestRotation: a password remembered under an old key is known under a new one,
// and a key that is gone is an error, never "not used".
func TestRotation(t *testing.T) {
	p, ctx := newPast(t), t.Context()
	p.record("a", "under the first key")
	ring, err := secret.AddKey(p.keys)
	if err != nil {
		t.Fatal(err)
	}
	p.History = password.New(p.db, p.hasher, ring, p.clock.Now)
	p.record("a", "under the second key")
	for _, pw := range []string{"under the first key", "under the second key"} {
		if !p.seen(p.digest("a", pw), 24) {
			t.Errorf("%q is not known after rotation", pw)
		}
	}
	stranger, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	h := password.New(p.db, p.hasher, stranger, p.clock.Now)
	d, err := h.Digest(ctx, "a", secret.NewText([]byte("under the first key")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Seen(ctx, d, 24); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("Seen without the key: %v, want ErrUnknownKey", err)
	}
}

func TestSaltRace(t *testing.T) {
	p := newPast(t)
	digests := make(chan password.Digest, 8)
	for range cap(digests) {
		go func() {
			d, err := p.Digest(t.Context(), "a", secret.NewText([]byte("the same password")))
			if err != nil {
				t.Error(err)
			}
			digests <- d
		}()
	}
	d := <-digests
	p.tx(func(tx *store.Tx) error { return p.Record(t.Context(), tx, d) })
	for range cap(digests) - 1 {
		if !p.seen(<-digests, 1) {
			t.Error("two first digests of one person used two salts")
		}
	}
}

// TestDigestKeepsTheSecret: neither what is printed nor the database holds the
// password or the slow hash of it.
func TestDigestKeepsTheSecret(t *testing.T) {
	const canary = "zz-canary-password"
	p := newPast(t)
	d := p.digest("a", canary)
	if shown := fmt.Sprintf("%v %+v %#v %s", d, d, d, d); bytes.Contains([]byte(shown), []byte(canary)) || !bytes.Contains([]byte(shown), []byte("[secret]")) {
		t.Errorf("a digest prints as %s", shown)
	}
	p.record("a", canary)
	var salt []byte
	if err := p.db.QueryRow(t.Context(), `SELECT salt FROM password_salt WHERE person = 'a'`).Scan(&salt); err != nil {
		t.Fatal(err)
	}
	key, err := p.hasher.Key(t.Context(), salt, []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	storetest.OnlySQLite(t)
	for _, file := range []string{p.path, p.path + "-wal"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(canary)) || bytes.Contains(data, key) {
			t.Errorf("%s holds the password or its slow hash", filepath.Base(file))
		}
	}
}
