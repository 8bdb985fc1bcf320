package ephemeral

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// A RedisConfig says how to reach Redis, version 7 or later: one server; with
// MasterName the servers' Sentinels; with Cluster some nodes of a Redis Cluster.
type RedisConfig struct {
	Addresses  []string // host:port
	MasterName string
	Cluster    bool
	Database   int
	// Username and Password are of an ACL user, or Password alone of
	// requirepass. Sentinels have their own.
	Username         string
	Password         secret.Text
	SentinelUsername string
	SentinelPassword secret.Text
	TLS              bool
	Roots            *x509.CertPool // nil: the machine's own list
	// Prefix begins every key and channel. Gates of one zone share it; nobody
	// else may.
	Prefix string
	Seal   Sealer
	Log    *slog.Logger // nil: nothing is logged
}

// A Sealer keeps values from being read, and from being made up, by whoever can
// reach Redis; secret.KeyRing is one.
type Sealer interface {
	Seal(at secret.Place, plain []byte) ([]byte, error)
	Open(at secret.Place, sealed []byte) ([]byte, error)
}

// Whatever is done in Redis is over, well or not, after opWithin: a Redis that
// accepts and does not answer must not hold a sign-in up.
const (
	opWithin    = 500 * time.Millisecond
	dialWithin  = 300 * time.Millisecond
	connections = 16
)

// Redis is a Store for several gateways.
//
// It trusts Redis to tell nothing truly: a value is sealed to its key with its
// end inside, so that who can write there can remove a sign-in under way, or put
// back what this gate itself put under that key, but can make none up and prolong
// none. A value that does not open is none.
//
// A value and the counter of the same key lie in one slot of a Cluster. Redis
// drops both by its own clock; what has ended by ours is not there, however long
// Redis keeps it.
type Redis struct {
	client redis.UniversalClient
	prefix string
	seal   Sealer
	now    clock.Now
	log    *slog.Logger
}

func init() {
	// The client reports through Spare and Ping; its own lines, several for each
	// connection that fails, would bury the log while Redis is away.
	redis.SetLogger(silent{})
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// NewRedis makes a Redis. It connects to nothing: Redis may be away at the start
// and come later. Close it.
func NewRedis(c RedisConfig, now clock.Now) (*Redis, error) {
	switch {
	case len(c.Addresses) == 0:
		return nil, errors.New("redis needs an address")
	case c.Prefix == "" || strings.ContainsAny(c.Prefix, "{} \r\n"):
		return nil, fmt.Errorf("%q cannot begin the keys in redis", c.Prefix)
	case c.Seal == nil:
		return nil, errors.New("redis needs a key to seal values with")
	case c.MasterName != "" && c.Cluster:
		return nil, errors.New("redis is watched by sentinels or is a cluster, not both")
	case len(c.Addresses) > 1 && c.MasterName == "" && !c.Cluster:
		return nil, errors.New("several redis addresses need the master's name or a cluster")
	}
	o := &redis.UniversalOptions{
		Addrs: c.Addresses, MasterName: c.MasterName, IsClusterMode: c.Cluster, DB: c.Database,
		Username: c.Username, Password: string(c.Password.Reveal()),
		SentinelUsername: c.SentinelUsername, SentinelPassword: string(c.SentinelPassword.Reveal()),
		Protocol: 2, DisableIdentity: true,
		DialTimeout: dialWithin, DialerRetries: 1, ReadTimeout: opWithin, WriteTimeout: opWithin,
		ContextTimeoutEnabled: true,
		MaxRetries:            2, MinRetryBackoff: 5 * time.Millisecond, MaxRetryBackoff: 50 * time.Millisecond,
		PoolSize: connections, MaxActiveConns: connections, PoolTimeout: dialWithin, ConnMaxIdleTime: 5 * time.Minute,
		FailingTimeoutSeconds:    1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if c.TLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots}
	}
	r := &Redis{client: redis.NewUniversalClient(o), prefix: c.Prefix, seal: c.Seal, now: now, log: c.Log}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r, nil
}

// Close ends the connections.
func (r *Redis) Close() error { return r.client.Close() }

// Ping asks whether Redis answers and takes writes here.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opWithin)
	defer cancel()
	// PING is answered by a replica, and by one that is cut off from its peers:
	// a write says what matters.
	if err := r.client.Set(ctx, r.prefix+"ping", "", time.Minute).Err(); err != nil && !redis.IsOOMError(err) {
		return fmt.Errorf("asking redis: %w", err)
	}
	return nil
}

func (r *Redis) valueKey(key string) string   { return r.prefix + "v:{" + key + "}" }
func (r *Redis) counterKey(key string) string { return r.prefix + "c:{" + key + "}" }

func (r *Redis) place(key string) secret.Place {
	return secret.Place{Table: "ephemeral", Column: "value", Row: r.prefix + key}
}

// Put implements Store.
func (r *Redis) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkValue(key, value, ttl); err != nil {
		return err
	}
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(value)), uint64(r.now().Add(ttl).UnixMicro()))
	sealed, err := r.seal.Seal(r.place(key), append(plain, value...))
	if err != nil {
		return fmt.Errorf("sealing a value for redis: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, opWithin)
	defer cancel()
	return said("putting a value", r.client.Set(ctx, r.valueKey(key), sealed, atLeast(ttl)).Err())
}

// atLeast is a time to live that Redis takes: whole milliseconds, one or more.
func atLeast(ttl time.Duration) time.Duration {
	return (ttl + time.Millisecond - 1).Truncate(time.Millisecond)
}

// Get implements Store.
func (r *Redis) Get(ctx context.Context, key string) ([]byte, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, opWithin)
	defer cancel()
	return r.open("getting a value", key, r.client.Get(ctx, r.valueKey(key)))
}

// Take implements Store.
func (r *Redis) Take(ctx context.Context, key string) ([]byte, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, opWithin)
	defer cancel()
	return r.open("taking a value", key, r.client.GetDel(ctx, r.valueKey(key)))
}

func (r *Redis) open(doing, key string, got *redis.StringCmd) ([]byte, bool, error) {
	sealed, err := got.Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, said(doing, err)
	}
	plain, err := r.seal.Open(r.place(key), sealed)
	if err != nil || len(plain) < 8 {
		// Somebody else wrote it, or the key that it was sealed with is gone.
		r.log.Warn("a value in redis does not open; it is taken for none", "error", fmt.Sprint(err))
		return nil, false, nil
	}
	if r.now().UnixMicro() >= int64(binary.BigEndian.Uint64(plain)) {
		return nil, false, nil
	}
	return plain[8:], true, nil
}

// The counters are hashes of a window's end, by our clock, and its count.
//
// countOpen adds to a window that is open, even when Redis has no room left: a
// flood of new counters must not stop one that already holds somebody back. It
// answers 0 when there is none. countAnew opens a window, or adds to the one that
// another caller opened meanwhile.
var (
	countOpen = redis.NewScript(`#!lua flags=allow-oom
local ends = redis.call('HGET', KEYS[1], 'ends')
if not ends or tonumber(ends) <= tonumber(ARGV[1]) then return 0 end
return redis.call('HINCRBY', KEYS[1], 'n', 1)`)
	countAnew = redis.NewScript(`#!lua
local ends = redis.call('HGET', KEYS[1], 'ends')
if ends and tonumber(ends) > tonumber(ARGV[1]) then return redis.call('HINCRBY', KEYS[1], 'n', 1) end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'ends', ARGV[2], 'n', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`)
)

// Count implements Store.
func (r *Redis) Count(ctx context.Context, key string, window time.Duration) (int, error) {
	if err := checkEntry(key, window); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, opWithin)
	defer cancel()
	now, keys := r.now(), []string{r.counterKey(key)}
	n, err := countOpen.Run(ctx, r.client, keys, now.UnixMicro()).Int()
	if err == nil && n == 0 {
		n, err = countAnew.Run(ctx, r.client, keys, now.UnixMicro(), now.Add(window).UnixMicro(), atLeast(window).Milliseconds()).Int()
	}
	return n, said("counting", err)
}

// Peek implements Store.
func (r *Redis) Peek(ctx context.Context, key string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, opWithin)
	defer cancel()
	got, err := r.client.HMGet(ctx, r.counterKey(key), "ends", "n").Result()
	if err != nil {
		return 0, said("reading a count", err)
	}
	ends, n := number(got[0]), number(got[1])
	if r.now().UnixMicro() >= ends {
		return 0, nil
	}
	return int(n), nil
}

// number reads a field of a counter; 0 for one that is not there or no number.
func number(field any) int64 {
	text, _ := field.(string)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Delete implements Store.
func (r *Redis) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, opWithin)
	defer cancel()
	return said("forgetting", r.client.Del(ctx, r.valueKey(key), r.counterKey(key)).Err())
}

// said turns what Redis answered into what a Store answers.
func said(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case redis.IsOOMError(err):
		return ErrFull
	}
	return fmt.Errorf("%s in redis: %w", doing, err)
}

var (
	// ErrEvicts says that Redis may drop what it keeps to make room.
	ErrEvicts = errors.New("redis evicts keys")
	// ErrOld says that Redis is older than version 7.
	ErrOld = errors.New("redis is older than version 7")
	// ErrForbidden says that our ACL user lacks a right; the text names the command.
	ErrForbidden = errors.New("redis does not permit it")
	// ErrAuth says that Redis refuses our own user or password.
	ErrAuth = errors.New("redis refuses our own sign-in")
)

// Try does once all that a gateway does with Redis, so that a missing right or a
// wrong setting is found before the first sign-in.
func (r *Redis) Try(ctx context.Context) error {
	if err := r.Ping(ctx); err != nil {
		return tried(err)
	}
	info, err := r.client.Info(ctx, "server", "memory").Result()
	if err != nil {
		return tried(err)
	}
	major, _, _ := strings.Cut(infoField(info, "redis_version"), ".")
	if n, err := strconv.Atoi(major); err == nil && n < 7 {
		return ErrOld
	}
	if p := infoField(info, "maxmemory_policy"); p != "" && p != "noeviction" {
		return fmt.Errorf("%w: maxmemory-policy is %s", ErrEvicts, p)
	}
	key := "try:" + secret.Token(9)
	bell := r.Bell()
	for _, do := range []func() error{
		func() error { return r.Put(ctx, key, []byte("x"), time.Minute) },
		func() error { _, _, err := r.Get(ctx, key); return err },
		func() error { _, _, err := r.Take(ctx, key); return err },
		func() error { _, err := r.Count(ctx, key, time.Minute); return err },
		func() error { _, err := r.Count(ctx, key, time.Minute); return err },
		func() error { _, err := r.Peek(ctx, key); return err },
		func() error { return r.Delete(ctx, key) },
		func() error { return bell.publish(ctx) },
		func() error { return bell.try(ctx) },
	} {
		if err := do(); err != nil && !errors.Is(err, ErrFull) {
			return tried(err)
		}
	}
	return nil
}

func tried(err error) error {
	switch {
	case redis.IsPermissionError(err), strings.Contains(err.Error(), "executing the script can't run this command"):
		return fmt.Errorf("%w: %w", ErrForbidden, err)
	case redis.IsAuthError(err):
		return fmt.Errorf("%w: %w", ErrAuth, err)
	}
	return err
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Loopback reports whether all addresses are of this machine, where the network
// cannot be listened to.
func Loopback(addresses []string) bool {
	for _, a := range addresses {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			return false
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
