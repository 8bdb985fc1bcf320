package secret_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sekisho/policy/secret"
)

// cheap is what tests can afford; it is not what anybody should store.
var cheap = secret.Params{MemoryKiB: 64, Time: 1, Threads: 1}

func TestHasher(t *testing.T) {
	ring, path := newRing(t)
	grown, err := secret.AddKey(path)
	if err != nil {
		t.Fatal(err)
	}
	dear := secret.Params{MemoryKiB: 128, Time: 2, Threads: 1}
	for _, tt := range []struct {
		name          string
		made, checked *secret.Hasher
		rehash        bool
	}{
		{"plain", secret.NewHasher(cheap, nil, 1), secret.NewHasher(cheap, nil, 1), false},
		{"peppered", secret.NewHasher(cheap, ring, 1), secret.NewHasher(cheap, ring, 1), false},
		{"other costs", secret.NewHasher(cheap, nil, 1), secret.NewHasher(dear, nil, 1), true},
		{"a pepper since", secret.NewHasher(cheap, nil, 1), secret.NewHasher(cheap, ring, 1), true},
		{"another pepper since", secret.NewHasher(cheap, ring, 1), secret.NewHasher(cheap, grown, 1), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hash, err := tt.made.Hash(t.Context(), []byte("合言葉は山"))
			if err != nil {
				t.Fatal(err)
			}
			ok, rehash, err := tt.checked.Verify(t.Context(), hash, []byte("合言葉は山"))
			if !ok || rehash != tt.rehash || err != nil {
				t.Errorf("the right one: %v, rehash %v, %v, want rehash %v", ok, rehash, err, tt.rehash)
			}
			for _, wrong := range []string{"合言葉は川", "", "合言葉は山 "} {
				if ok, rehash, err := tt.checked.Verify(t.Context(), hash, []byte(wrong)); ok || rehash || err != nil {
					t.Errorf("%q: %v, %v, %v", wrong, ok, rehash, err)
				}
			}
			if again, _ := tt.made.Hash(t.Context(), []byte("合言葉は山")); again == hash {
				t.Error("one salt for two hashes")
			}
		})
	}
}

// TestPepperGuards: whoever has the table but not the ring cannot even try.
func TestPepperGuards(t *testing.T) {
	ring, _ := newRing(t)
	hash, err := secret.NewHasher(cheap, ring, 1).Hash(t.Context(), []byte("password"))
	if err != nil {
		t.Fatal(err)
	}
	keyid := base64.RawStdEncoding.EncodeToString([]byte(ring.CurrentID()))
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1,keyid="+keyid+"$") {
		t.Errorf("the hash is %s", hash)
	}
	other, _ := newRing(t)
	for name, h := range map[string]*secret.Hasher{
		"no ring":      secret.NewHasher(cheap, nil, 1),
		"another ring": secret.NewHasher(cheap, other, 1),
	} {
		if ok, _, err := h.Verify(t.Context(), hash, []byte("password")); ok || !errors.Is(err, secret.ErrUnknownKey) {
			t.Errorf("%s: %v, %v, want ErrUnknownKey", name, ok, err)
		}
	}
	stripped := strings.Replace(hash, ",keyid="+keyid, "", 1)
	if ok, _, err := secret.NewHasher(cheap, ring, 1).Verify(t.Context(), stripped, []byte("password")); ok || err != nil {
		t.Errorf("without its keyid: %v, %v, want no", ok, err)
	}
}

// TestArgon2idVectors: vectors of the reference implementation's command line
// (password "password", salt "somesalt"), as x/crypto carries them. RFC 9106's
// own needs a secret and associated data, which x/crypto does not offer.
func TestArgon2idVectors(t *testing.T) {
	for _, tt := range []struct {
		params secret.Params
		tag    string
	}{
		{secret.Params{MemoryKiB: 64, Time: 1, Threads: 1}, "655ad15eac652dc59f7170a7332bf49b8469be1fdb9c28bb"},
		{secret.Params{MemoryKiB: 64, Time: 2, Threads: 1}, "068d62b26455936aa6ebe60060b0a65870dbfa3ddf8d41f7"},
		{secret.Params{MemoryKiB: 64, Time: 2, Threads: 2}, "350ac37222f436ccb5c0972f1ebd3bf6b958bf2071841362"},
		{secret.Params{MemoryKiB: 256, Time: 3, Threads: 2}, "4668d30ac4187e6878eedeacf0fd83c5a0a30db2cc16ef0b"},
		{secret.Params{MemoryKiB: 4096, Time: 4, Threads: 4}, "145db9733a9f4ee43edf33c509be96b934d505a4efb33c5a"},
		{secret.Params{MemoryKiB: 1024, Time: 4, Threads: 8}, "8dafa8e004f8ea96bf7c0f93eecf67a6047476143d15577f"},
		{secret.Params{MemoryKiB: 64, Time: 2, Threads: 3}, "4a15b31aec7c2590b87d1f520be7d96f56658172deaa3079"},
		{secret.Params{MemoryKiB: 1024, Time: 3, Threads: 6}, "1640b932f4b60e272f5d2207b9a9c626ffa1bd88d2349016"},
	} {
		raw, err := hex.DecodeString(tt.tag)
		if err != nil {
			t.Fatal(err)
		}
		hash := phcString(tt.params, []byte("somesalt"), raw)
		h := secret.NewHasher(cheap, nil, 1)
		if ok, rehash, err := h.Verify(t.Context(), hash, []byte("password")); !ok || !rehash || err != nil {
			t.Errorf("%s: %v, rehash %v, %v", hash, ok, rehash, err)
		}
	}
	// The encoded form, from the reference implementation's test.c.
	const known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, _, err := secret.NewHasher(secret.DefaultParams, nil, 1).Verify(t.Context(), known, []byte("password")); !ok || err != nil {
		t.Errorf("the known string: %v, %v", ok, err)
	}
}

func phcString(p secret.Params, salt, tag []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return "$argon2id$v=19$m=" + decimal(p.MemoryKiB) + ",t=" + decimal(p.Time) + ",p=" + decimal(uint32(p.Threads)) +
		"$" + b64(salt) + "$" + b64(tag)
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func TestHostileHashes(t *testing.T) {
	salt, tag := make([]byte, 16), make([]byte, 32)
	good := phcString(cheap, salt, tag)
	h := secret.NewHasher(cheap, nil, 1)
	if ok, _, err := h.Verify(t.Context(), good, []byte("x")); ok || err != nil {
		t.Fatalf("the pattern itself: %v, %v", ok, err)
	}
	for name, bad := range map[string]string{
		"4 GiB":             strings.Replace(good, "m=64", "m=4194304", 1),
		"just over":         strings.Replace(good, "m=64", "m=262145", 1),
		"more than 32 bits": strings.Replace(good, "m=64", "m=4294967360", 1),
		"too little memory": strings.Replace(good, "m=64", "m=7", 1),
		"no passes":         strings.Replace(good, "t=1", "t=0", 1),
		"a million passes":  strings.Replace(good, "t=1", "t=1000000", 1),
		"no lanes":          strings.Replace(good, "p=1", "p=0", 1),
		"257 lanes":         strings.Replace(good, "p=1", "p=257", 1),
		"leading zero":      strings.Replace(good, "t=1", "t=01", 1),
		"sign":              strings.Replace(good, "t=1", "t=+1", 1),
		"order":             strings.Replace(good, "m=64,t=1", "t=1,m=64", 1),
		"argon2i":           strings.Replace(good, "argon2id", "argon2i", 1),
		"version 16":        strings.Replace(good, "v=19", "v=16", 1),
		"short salt":        phcString(cheap, salt[:7], tag),
		"short tag":         phcString(cheap, salt, tag[:15]),
		"no tag":            phcString(cheap, salt, nil),
		"long tag":          phcString(cheap, salt, make([]byte, 65)),
		"padding":           good + "=",
		"line break":        good[:len(good)-4] + "\n" + good[len(good)-4:],
		"more fields":       good + "$",
		"unknown parameter": strings.Replace(good, "p=1", "p=1,data=AAAA", 1),
		"empty keyid":       strings.Replace(good, "p=1", "p=1,keyid=", 1),
		"bcrypt":            "$2b$12$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"nothing":           "",
		"far too long":      good + strings.Repeat("A", 1000),
	} {
		ok, rehash, err := h.Verify(t.Context(), bad, []byte("x"))
		if ok || rehash || !errors.Is(err, secret.ErrPHC) {
			t.Errorf("%s: %v, %v, %v, want ErrPHC", name, ok, rehash, err)
		}
	}
	for _, p := range []secret.Params{{}, {MemoryKiB: 4 << 20, Time: 1, Threads: 1}, {MemoryKiB: 64, Time: 1}, {MemoryKiB: 64, Threads: 1}} {
		if _, err := secret.NewHasher(p, nil, 1).Hash(t.Context(), []byte("x")); err == nil {
			t.Errorf("hashed with %+v", p)
		}
	}
	if _, err := h.Hash(t.Context(), nil); err == nil {
		t.Error("an empty password was hashed")
	}
}

// TestGate fills the gate and the queue by hand: no more than GOMAXPROCS run,
// one more than the queue holds is told so, and who leaves makes room.
func TestGate(t *testing.T) {
	gates := runtime.GOMAXPROCS(0)
	h := secret.NewHasher(cheap, nil, 1)
	var asked, busy atomic.Int64
	h.Watch = func(context.Context) func(error) {
		asked.Add(1)
		return func(err error) {
			if errors.Is(err, secret.ErrBusy) {
				busy.Add(1)
			}
		}
	}
	var leave []func()
	for range gates {
		l, err := h.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	ctx, end := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() { waits <- h.Dummy(ctx, []byte("x")) }()
	h.AwaitInside(gates + 1)
	calls := map[string]func() error{
		"Hash":  func() error { _, err := h.Hash(t.Context(), []byte("x")); return err },
		"Dummy": func() error { return h.Dummy(t.Context(), []byte("x")) },
		"Key":   func() error { _, err := h.Key(t.Context(), make([]byte, 16), []byte("x")); return err },
		"Verify": func() error {
			_, _, err := h.Verify(t.Context(), phcString(cheap, make([]byte, 16), make([]byte, 32)), []byte("x"))
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, secret.ErrBusy) {
			t.Errorf("%s with a full queue: %v, want ErrBusy", name, err)
		}
	}
	if n := h.Waiting(); n != 1 {
		t.Errorf("%d wait, want 1", n)
	}
	if asked.Load() != 5 || busy.Load() != 4 {
		t.Errorf("the watch saw %d hashes asked for and %d turned away, want 5 and 4", asked.Load(), busy.Load())
	}
	end()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up waiting: %v", err)
	}
	for _, l := range leave {
		l()
	}
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s with an empty queue: %v", name, err)
		}
	}
	if err := h.Dummy(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	h.AwaitInside(0)
}

// TestRightIsNeverWrong: under overload an answer is right or busy, never no.
func TestRightIsNeverWrong(t *testing.T) {
	h := secret.NewHasher(cheap, nil, 4)
	hash, err := h.Hash(t.Context(), []byte("password"))
	if err != nil {
		t.Fatal(err)
	}
	var right, busy atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			ok, _, err := h.Verify(t.Context(), hash, []byte("password"))
			switch {
			case ok && err == nil:
				right.Add(1)
			case errors.Is(err, secret.ErrBusy):
				busy.Add(1)
			default:
				t.Errorf("the right password: %v, %v", ok, err)
			}
		})
	}
	wg.Wait()
	if right.Load() == 0 || right.Load()+busy.Load() != 200 {
		t.Errorf("%d right, %d busy", right.Load(), busy.Load())
	}
}

func TestKey(t *testing.T) {
	ring, path := newRing(t)
	grown, err := secret.AddKey(path)
	if err != nil {
		t.Fatal(err)
	}
	salt := []byte("sixteen bytes of")
	a, err := secret.NewHasher(cheap, ring, 1).Key(t.Context(), salt, []byte("x"))
	if err != nil || len(a) != 32 {
		t.Fatalf("%x, %v", a, err)
	}
	b, err := secret.NewHasher(cheap, grown, 1).Key(t.Context(), salt, []byte("x"))
	if err != nil || string(a) != string(b) {
		t.Errorf("after a rotation it is another key: %v", err)
	}
	if _, err := secret.NewHasher(cheap, nil, 1).Key(t.Context(), salt[:7], []byte("x")); err == nil {
		t.Error("a short salt was taken")
	}
}

// FuzzVerify: no string from the database stops the house or costs too much.
func FuzzVerify(f *testing.F) {
	h := secret.NewHasher(cheap, nil, 1)
	f.Add(phcString(cheap, make([]byte, 16), make([]byte, 32)))
	f.Add("$argon2id$v=19$m=65536,t=2,p=1,keyid=YWJj$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=4194304,t=2,p=1$$")
	f.Fuzz(func(t *testing.T, hash string) {
		p, canonical, err := secret.ParsePHC(hash)
		if err != nil {
			if !errors.Is(err, secret.ErrPHC) {
				t.Errorf("%q: %v", hash, err)
			}
			return
		}
		if canonical != hash {
			t.Errorf("%q reads as %q: two spellings of one hash", hash, canonical)
		}
		if p.Check() != nil {
			t.Errorf("%q: costs %+v are out of bounds", hash, p)
		}
		if p.MemoryKiB*p.Time > 1024 {
			return // within bounds, but not for ten thousand tries
		}
		if ok, _, _ := h.Verify(t.Context(), hash, []byte("not the password of any seed")); ok {
			t.Errorf("%q let a wrong password in", hash)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	h := secret.NewHasher(secret.DefaultParams, nil, 1)
	hash, err := h.Hash(b.Context(), []byte("password"))
	if err != nil {
		b.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"known":   func() error { _, _, err := h.Verify(b.Context(), hash, []byte("wrong")); return err },
		"unknown": func() error { return h.Dummy(b.Context(), []byte("wrong")) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
