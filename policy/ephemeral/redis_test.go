package ephemeral_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/ephemeral/ephemeraltest"
	"sekisho/policy/secret"
	"sekisho/policy/store/storetest"
	"sekisho/test/redis"
)

func TestMain(m *testing.M) {
	status := m.Run()
	redis.Close()
	os.Exit(status)
}

func ring(t testing.TB) *secret.KeyRing {
	t.Helper()
	r, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "sealing.key"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// openRedis opens an empty store: a prefix is never used twice.
func openRedis(t testing.TB, now clock.Now, c ephemeral.RedisConfig) *ephemeral.Redis {
	t.Helper()
	if c.Prefix == "" {
		c.Prefix = "t" + secret.Token(9) + ":"
	}
	if c.Seal == nil {
		c.Seal = ring(t)
	}
	r, err := ephemeral.NewRedis(c, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for !cond() {
		if clock.Wait(ctx, 5*time.Millisecond) != nil {
			t.Fatal("waited in vain for ", what)
		}
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()
	server := redis.Shared(t)
	ephemeraltest.Suite(t, func(t *testing.T, now clock.Now) ephemeral.Store {
		return openRedis(t, now, ephemeral.RedisConfig{Addresses: []string{server.Addr}})
	})
}

func TestRows(t *testing.T) {
	t.Parallel()
	ephemeraltest.Suite(t, func(t *testing.T, now clock.Now) ephemeral.Store {
		return ephemeral.NewRows(storetest.Open(t), now)
	})
}

// TestSpare is the suite in each of the three states of a spare.
func TestSpare(t *testing.T) {
	t.Parallel()
	server := redis.Shared(t)
	open := func(t *testing.T, now clock.Now, addr string) ephemeral.Store {
		first := openRedis(t, now, ephemeral.RedisConfig{Addresses: []string{addr}})
		return ephemeral.NewSpare(first, ephemeral.NewRows(storetest.Open(t), now), now, quiet)
	}
	t.Run("redis is there", func(t *testing.T) {
		ephemeraltest.Suite(t, func(t *testing.T, now clock.Now) ephemeral.Store { return open(t, now, server.Addr) })
	})
	t.Run("redis is away", func(t *testing.T) {
		ephemeraltest.Suite(t, func(t *testing.T, now clock.Now) ephemeral.Store { return open(t, now, "127.0.0.1:1") })
	})
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	nodes := redis.Cluster(t)
	ephemeraltest.Suite(t, func(t *testing.T, now clock.Now) ephemeral.Store {
		return openRedis(t, now, ephemeral.RedisConfig{Addresses: []string{nodes[1].Addr}, Cluster: true})
	})
	r := openRedis(t, clock.System(), ephemeral.RedisConfig{Addresses: []string{nodes[0].Addr}, Cluster: true})
	if err := r.Try(t.Context()); err != nil {
		t.Error("Try:", err)
	}
	rings(t, r, openRedis(t, clock.System(), ephemeral.RedisConfig{Addresses: []string{nodes[2].Addr}, Cluster: true, Prefix: r.Prefix()}))
}

// TestRedisSentinel: what is put is there, the master dies, and within five
// seconds the store takes values again at the same addresses.
func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	master := redis.Start(t, redis.Options{})
	replica := redis.Replica(t, master)
	sentinel := redis.Sentinel(t, master)
	r := openRedis(t, clock.System(), ephemeral.RedisConfig{Addresses: []string{sentinel.Addr}, MasterName: "sekisho"})
	if err := r.Put(t.Context(), "flow:a", []byte("x"), time.Minute); err != nil {
		t.Fatal(err)
	}
	until(t, "the value to be copied", func() bool { return strings.Contains(replica.Do(t, "KEYS", "*"), "flow:a") })
	until(t, "the sentinel to know the replica", func() bool { return strings.Contains(sentinel.Do(t, "INFO", "sentinel"), "slaves=1") })
	master.Kill()
	elapsed := clock.Stopwatch()
	until(t, "the replica to take over", func() bool {
		return r.Put(t.Context(), "flow:b", []byte("y"), time.Minute) == nil
	})
	if took := elapsed(); took > 5*time.Second {
		t.Errorf("recovered after %v", took)
	} else {
		t.Logf("recovered after %v", took)
	}
	if v, ok, err := r.Get(t.Context(), "flow:a"); !ok || string(v) != "x" || err != nil {
		t.Errorf("what was copied is %q, %v, %v", v, ok, err)
	}
}

// TestRedisIsFull: a new counter and a value are refused with ErrFull, a counter
// that is open still counts, and nothing is evicted to make room.
func TestRedisIsFull(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, redis.Options{Arguments: []string{"--maxmemory-policy", "noeviction"}})
	r := openRedis(t, clock.System(), ephemeral.RedisConfig{Addresses: []string{server.Addr}})
	for range 3 {
		if _, err := r.Count(t.Context(), "held:tanaka", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	server.Do(t, "CONFIG", "SET", "maxmemory", "1")
	if err := r.Put(t.Context(), "flow:a", []byte("x"), time.Minute); !errors.Is(err, ephemeral.ErrFull) {
		t.Errorf("Put: %v, want ErrFull", err)
	}
	if _, err := r.Count(t.Context(), "held:junk", time.Minute); !errors.Is(err, ephemeral.ErrFull) {
		t.Errorf("a new counter: %v, want ErrFull", err)
	}
	if n, err := r.Count(t.Context(), "held:tanaka", time.Hour); n != 4 || err != nil {
		t.Errorf("the open counter: %d, %v, want 4", n, err)
	}
	if err := r.Ping(t.Context()); err != nil {
		t.Errorf("a full redis is not away: %v", err)
	}
}

// TestRedisTellsNothing: who reads Redis sees neither values nor their parts, and
// who writes there makes nothing up: not by exchanging two values, by prolonging
// one, by writing one or by sealing one with another key.
func TestRedisTellsNothing(t *testing.T) {
	t.Parallel()
	server := redis.Shared(t)
	clk := clock.NewFake(monday)
	r := openRedis(t, clk.Now, ephemeral.RedisConfig{Addresses: []string{server.Addr}})
	other := openRedis(t, clk.Now, ephemeral.RedisConfig{Addresses: []string{server.Addr}, Prefix: r.Prefix()})
	for key, value := range map[string]string{"flow:tanaka": "tanaka, with a password", "flow:sato": "sato, with password and key"} {
		if err := r.Put(t.Context(), key, []byte(value), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	at := func(key string) string { return r.Prefix() + "v:{" + key + "}" }
	raw := server.Do(t, "GET", at("flow:sato"))
	if raw == "" || strings.Contains(raw, "sato") || strings.Contains(raw, "password") {
		t.Fatalf("what Redis keeps of a sign-in: %q", raw)
	}
	none := func(what string) {
		t.Helper()
		if v, ok, err := r.Get(t.Context(), "flow:tanaka"); ok || err != nil {
			t.Errorf("%s: Get = %q, %v, %v, want nothing", what, v, ok, err)
		}
		if v, ok, err := r.Take(t.Context(), "flow:tanaka"); ok || err != nil {
			t.Errorf("%s: Take = %q, %v, %v, want nothing", what, v, ok, err)
		}
	}
	mine := server.Do(t, "GET", at("flow:tanaka"))
	server.Do(t, "SET", at("flow:tanaka"), raw)
	none("another's value")
	server.Do(t, "SET", at("flow:tanaka"), "sato, with password and key")
	none("a value in clear")
	if err := other.Put(t.Context(), "flow:tanaka", []byte("x"), time.Hour); err != nil {
		t.Fatal(err)
	}
	none("a value sealed with another key")
	clk.Advance(time.Minute)
	server.Do(t, "SET", at("flow:tanaka"), mine)
	none("a value that has ended, kept for ever")
}

// TestRedisThatIsSilent: a Redis that accepts and does not answer fails within a
// second, and so does one that is gone; many at once do not wait for one another.
func TestRedisThatIsSilent(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, redis.Options{})
	r := openRedis(t, clock.System(), ephemeral.RedisConfig{Addresses: []string{server.Addr}})
	if err := r.Put(t.Context(), "flow:a", []byte("x"), time.Minute); err != nil {
		t.Fatal(err)
	}
	fails := func(state string) {
		t.Helper()
		elapsed := clock.Stopwatch()
		errs := make(chan error, 100)
		for range cap(errs) {
			go func() {
				_, _, err := r.Get(context.Background(), "flow:a")
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err == nil {
				t.Errorf("%s: no error", state)
			}
		}
		if took := elapsed(); took > 2*time.Second { // each within 500 ms; the rest is a busy machine
			t.Errorf("%s: took %v", state, took)
		}
	}
	server.Pause(t)
	fails("silent")
	server.Resume(t)
	until(t, "redis to be back", func() bool { return r.Ping(t.Context()) == nil })
	if _, ok, err := r.Get(t.Context(), "flow:a"); !ok || err != nil {
		t.Errorf("after the silence: %v, %v", ok, err)
	}
	server.Kill()
	fails("gone")
	server.Restart(t)
	until(t, "redis to be back", func() bool { return r.Ping(t.Context()) == nil })
}

// TestSpareTurns walks a spare through an outage: what was in Redis is not there,
// what came meanwhile is found afterwards, also by a gateway that lost nothing,
// and counts go on.
func TestSpareTurns(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, redis.Options{})
	db := storetest.Open(t)
	keys := ring(t)
	gateway := func() *ephemeral.Spare {
		first := openRedis(t, clock.System(), ephemeral.RedisConfig{Addresses: []string{server.Addr}, Prefix: "s:", Seal: keys})
		return ephemeral.NewSpare(first, ephemeral.NewRows(db, clock.System()), clock.System(), quiet)
	}
	a, b := gateway(), gateway()
	ctx := t.Context()
	put := func(s *ephemeral.Spare, key, value string) {
		t.Helper()
		if err := s.Put(ctx, key, []byte(value), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	want := func(s *ephemeral.Spare, key, value string, there bool) {
		t.Helper()
		if v, ok, err := s.Get(ctx, key); ok != there || string(v) != value || err != nil {
			t.Errorf("Get(%s) = %q, %v, %v, want %q", key, v, ok, err, value)
		}
	}
	count := func(s *ephemeral.Spare, want int) {
		t.Helper()
		if n, err := s.Count(ctx, "held:x", time.Hour); n != want || err != nil {
			t.Errorf("Count = %d, %v, want %d", n, err, want)
		}
	}
	put(a, "flow:before", "1")
	count(a, 1)
	count(b, 2)
	server.Kill()
	put(a, "flow:during", "2")
	if !a.Away() || a.Turned() != 1 || b.Away() {
		t.Errorf("away %v and %v, turned %d", a.Away(), b.Away(), a.Turned())
	}
	want(b, "flow:during", "2", true)
	want(b, "flow:before", "", false)
	count(b, 1)
	put(a, "flow:again", "3")
	server.Restart(t)
	a.Look(ctx)
	b.Look(ctx)
	if a.Away() || b.Away() {
		t.Fatal("still away after the return")
	}
	want(a, "flow:during", "2", true)
	count(a, 2)
	put(a, "flow:again", "4")
	want(b, "flow:again", "4", true)
	for i, there := range []bool{true, false} {
		if v, ok, err := b.Take(ctx, "flow:again"); ok != there || err != nil || ok && string(v) != "4" {
			t.Errorf("take %d: %q, %v, %v", i, v, ok, err)
		}
	}
	if v, ok, _ := b.Take(ctx, "flow:during"); !ok || string(v) != "2" {
		t.Errorf("what was kept in rows: %q, %v", v, ok)
	}
	// A caller who has gone does not make Redis look away.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := a.Get(gone, "flow:x"); err == nil || a.Away() {
		t.Errorf("a caller who has gone: %v, away %v", err, a.Away())
	}
	// Nor does what is the caller's own fault.
	if err := a.Put(ctx, "flow:x", nil, 0); err == nil || a.Away() {
		t.Errorf("a faulty call: %v, away %v", err, a.Away())
	}
	// One that is full is not away, and the rows take what it does not.
	server.Do(t, "CONFIG", "SET", "maxmemory", "1")
	put(a, "flow:full", "5")
	want(b, "flow:full", "5", true)
	if a.Away() {
		t.Error("a full redis was taken for away")
	}
}

// TestBell: a ring is heard by the others, not by whoever rang, and again after
// Redis was away.
func TestBell(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, redis.Options{})
	open := func() *ephemeral.Redis {
		return openRedis(t, clock.System(), ephemeral.RedisConfig{Addresses: []string{server.Addr}, Prefix: "s:"})
	}
	rings(t, open(), open())
	stranger := openRedis(t, clock.System(), ephemeral.RedisConfig{Addresses: []string{server.Addr}, Prefix: "o:"}).Bell()
	a, b := open().Bell(), open().Bell()
	for _, bell := range []*ephemeral.Bell{a, b, stranger} {
		running(t, bell)
	}
	heard(t, a)
	heard(t, stranger)
	heard(t, b)
	a.Ring()
	heard(t, b)
	select {
	case <-stranger.Rung():
		t.Error("another prefix's bell was heard")
	default:
	}
	server.Kill()
	a.Ring()
	server.Restart(t)
	heard(t, b) // what may have been missed
	until(t, "the bell to be heard again", func() bool {
		a.Ring()
		select {
		case <-b.Rung():
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
}

func running(t *testing.T, b *ephemeral.Bell) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

func heard(t *testing.T, b *ephemeral.Bell) {
	t.Helper()
	select {
	case <-b.Rung():
	case <-time.After(10 * time.Second):
		t.Error("nothing was heard")
	}
}

func rings(t *testing.T, one, two *ephemeral.Redis) {
	t.Helper()
	a, b := one.Bell(), two.Bell()
	running(t, a)
	running(t, b)
	heard(t, a) // that it listens
	heard(t, b)
	a.Ring()
	heard(t, b)
	select {
	case <-a.Rung():
		t.Error("whoever rang heard it")
	default:
	}
}

// TestRedisTry: what an operator gets wrong is told apart.
func TestRedisTry(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, redis.Options{})
	try := func(c ephemeral.RedisConfig) error {
		c.Addresses, c.Prefix = []string{server.Addr}, "sekisho:"
		return openRedis(t, clock.System(), c).Try(t.Context())
	}
	if err := try(ephemeral.RedisConfig{}); err != nil {
		t.Errorf("all is well: %v", err)
	}
	server.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	if err := try(ephemeral.RedisConfig{}); !errors.Is(err, ephemeral.ErrEvicts) {
		t.Errorf("evicting: %v", err)
	}
	server.Do(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	// The ACL user of docs/operations.md, and the same without one right.
	rule := aclRule(t)
	server.Do(t, append([]string{"ACL", "SETUSER", "sekisho", "on", ">secret"}, rule...)...)
	named := ephemeral.RedisConfig{Username: "sekisho", Password: secret.NewText([]byte("secret"))}
	if err := try(named); err != nil {
		t.Errorf("the documented user: %v", err)
	}
	for i, right := range rule {
		if !strings.HasPrefix(right, "+") && !strings.HasPrefix(right, "&") && !strings.HasPrefix(right, "~") {
			continue
		}
		if strings.HasPrefix(right, "+cluster") || strings.HasPrefix(right, "+readonly") || right == "+eval" || right == "+ping" || right == "+select" {
			continue // for a cluster, for a script that is new, while listening, for another database
		}
		less := append(append([]string{"ACL", "SETUSER", "less", "reset", "on", ">secret"}, rule[:i]...), rule[i+1:]...)
		server.Do(t, less...)
		err := try(ephemeral.RedisConfig{Username: "less", Password: secret.NewText([]byte("secret"))})
		if !errors.Is(err, ephemeral.ErrForbidden) {
			t.Errorf("without %s: %v", right, err)
		}
	}
	wrong := ephemeral.RedisConfig{Username: "sekisho", Password: secret.NewText([]byte("wrong"))}
	if err := try(wrong); !errors.Is(err, ephemeral.ErrAuth) {
		t.Errorf("a wrong password: %v", err)
	}
	server.Kill()
	if err := try(ephemeral.RedisConfig{}); err == nil || errors.Is(err, ephemeral.ErrAuth) || errors.Is(err, ephemeral.ErrForbidden) {
		t.Errorf("away: %v", err)
	}
}

// aclRule is the rule that docs/operations.md tells operators to set.
func aclRule(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "user sekisho on ")
	if !ok {
		t.Fatal("docs/operations.md names no user for Redis")
	}
	rule, _, _ := strings.Cut(rest, "\n```")
	rule = strings.ReplaceAll(rule, "\\\n", " ")
	var out []string
	for _, word := range strings.Fields(rule) {
		if !strings.HasPrefix(word, ">") && !strings.HasPrefix(word, "#") {
			out = append(out, word)
		}
	}
	return out
}

func TestRedisTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, roots := certificate(t, dir)
	server := redis.Start(t, redis.Options{Password: "secret", TLS: &redis.TLS{Certificate: ca + ".pem", Key: ca + ".key", CA: ca + ".pem"}})
	ok := ephemeral.RedisConfig{Addresses: []string{server.Addr}, Password: secret.NewText([]byte("secret")), TLS: true, Roots: roots}
	if err := openRedis(t, clock.System(), ok).Try(t.Context()); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	strange := ok
	strange.Roots = x509.NewCertPool()
	var unknown x509.UnknownAuthorityError
	if err := openRedis(t, clock.System(), strange).Try(t.Context()); !errors.As(err, &unknown) {
		t.Errorf("an unknown authority: %v", err)
	}
	clear := ok
	clear.TLS = false
	if err := openRedis(t, clock.System(), clear).Ping(t.Context()); err == nil {
		t.Error("in clear: no error")
	}
}

// certificate writes one that signs itself, for 127.0.0.1.
func certificate(t *testing.T, dir string) (path string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "redis")
	for name, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path+name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return path, roots
}

func TestNewRedisRefuses(t *testing.T) {
	good := ephemeral.RedisConfig{Addresses: []string{"127.0.0.1:6379"}, Prefix: "s:", Seal: ring(t)}
	for name, spoil := range map[string]func(*ephemeral.RedisConfig){
		"no address":           func(c *ephemeral.RedisConfig) { c.Addresses = nil },
		"no prefix":            func(c *ephemeral.RedisConfig) { c.Prefix = "" },
		"a prefix with a slot": func(c *ephemeral.RedisConfig) { c.Prefix = "{s}" },
		"no key":               func(c *ephemeral.RedisConfig) { c.Seal = nil },
		"both forms":           func(c *ephemeral.RedisConfig) { c.MasterName, c.Cluster = "x", true },
		"several of no form":   func(c *ephemeral.RedisConfig) { c.Addresses = append(c.Addresses, "127.0.0.1:6380") },
	} {
		c := good
		spoil(&c)
		if r, err := ephemeral.NewRedis(c, clock.System()); err == nil {
			t.Errorf("%s: taken", name)
			_ = r.Close()
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v %+v", good, good)
	good.Password = secret.NewText([]byte("hunter2"))
	fmt.Fprintf(&b, "%v %+v %#v", good, good, good)
	if strings.Contains(b.String(), "hunter2") {
		t.Error("the password prints")
	}
}

func TestTidy(t *testing.T) {
	clk := clock.NewFake(monday)
	db := storetest.Open(t)
	r := ephemeral.NewRows(db, clk.Now)
	for i, lasts := range []time.Duration{time.Minute, time.Hour} {
		key := fmt.Sprintf("flow:%d", i)
		if err := r.Put(t.Context(), key, []byte("x"), lasts); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Count(t.Context(), key, lasts); err != nil {
			t.Fatal(err)
		}
	}
	clk.Advance(time.Minute)
	if err := r.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	var values, counts int
	if err := db.QueryRow(t.Context(), `SELECT (SELECT COUNT(*) FROM ephemeral_value), (SELECT COUNT(*) FROM ephemeral_count)`).Scan(&values, &counts); err != nil {
		t.Fatal(err)
	}
	if values != 1 || counts != 1 {
		t.Errorf("%d values and %d counts are left, want one of each", values, counts)
	}
}

var quiet = slog.New(slog.DiscardHandler)
