package assertion

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	maxKeySet = 64 << 10 // bytes of a JWK Set
	maxKeys   = 64       // of a JWK Set
	maxKid    = 128      // bytes of a key's id

	fetchWithin = 5 * time.Second
	// fresh is how long a set of keys is gone by before it is fetched again: what
	// the gate withdrew is refused here after that time.
	fresh = 5 * time.Minute
	// kept is how long one is gone by while the gate cannot be reached.
	kept = time.Hour
	// pause is the least time between two fetches: an assertion that names a key
	// nobody knows is a stranger's way to make us ask.
	pause = 10 * time.Second
	// pauseAfterFailure is the same after one that failed.
	pauseAfterFailure = time.Second
)

// A keySource finds a public key by its id. Its error is ErrKeys where that
// could not be found out.
type keySource interface {
	find(ctx context.Context, kid string) (*ecdsa.PublicKey, error)
}

var errUnknownKey = errors.New("it was signed with no key of the gate's")

func (c *Config) source() (keySource, error) {
	if c.Keys != nil {
		if c.KeysURL != "" {
			return nil, errors.New("assertion: Keys and KeysURL are both given: one of them")
		}
		keys, err := parseKeys(c.Keys)
		if err != nil {
			return nil, fmt.Errorf("assertion: Keys: %w", err)
		}
		return fixed(keys), nil
	}
	at := c.KeysURL
	if at == "" {
		at = c.Issuer + "/.well-known/jwks.json"
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !here(u.Hostname())) {
		return nil, fmt.Errorf("assertion: keys are not taken from %q: give an https address", at)
	}
	client := c.Client
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &remote{at: at, client: client, now: c.Now, turn: make(chan struct{}, 1)}, nil
}

// here reports whether a host is this machine, where nobody stands between.
func here(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

type fixed map[string]*ecdsa.PublicKey

func (f fixed) find(_ context.Context, kid string) (*ecdsa.PublicKey, error) {
	if key := f[kid]; key != nil {
		return key, nil
	}
	return nil, errUnknownKey
}

// A keySet is what was fetched at one time.
type keySet struct {
	keys map[string]*ecdsa.PublicKey
	at   time.Time
}

// remote keeps the keys that the gate publishes.
type remote struct {
	at     string
	client *http.Client
	now    func() time.Time

	set  atomic.Pointer[keySet]
	turn chan struct{} // held by whoever fetches
	next time.Time     // no fetch before; of whoever holds turn
}

func (k *remote) find(ctx context.Context, kid string) (*ecdsa.PublicKey, error) {
	set, now := k.set.Load(), k.now()
	known := set.has(kid)
	if known && set.age(now) < fresh {
		return set.keys[kid], nil
	}
	if known && set.age(now) < kept {
		// Old, but good enough for everybody except the one who looks.
		select {
		case k.turn <- struct{}{}:
		default:
			return set.keys[kid], nil
		}
	} else {
		select {
		case k.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrKeys, ctx.Err())
		}
	}
	defer func() { <-k.turn }()
	// Somebody may have fetched while we waited.
	set, now = k.set.Load(), k.now()
	if set.has(kid) && set.age(now) < fresh {
		return set.keys[kid], nil
	}
	var failure error
	if !now.Before(k.next) {
		if failure = k.fetch(ctx, now); failure == nil {
			set, k.next = k.set.Load(), now.Add(pause)
		} else {
			k.next = now.Add(pauseAfterFailure)
		}
	}
	switch {
	case set.has(kid) && set.age(now) < kept:
		return set.keys[kid], nil
	case failure != nil:
		return nil, fmt.Errorf("%w: %w", ErrKeys, failure)
	case set == nil || set.age(now) >= kept:
		return nil, fmt.Errorf("%w: the gate did not answer a moment ago", ErrKeys)
	}
	return nil, errUnknownKey
}

func (s *keySet) has(kid string) bool { return s != nil && s.keys[kid] != nil }

// age is how old the set is. A clock that was set back makes it old, not young.
func (s *keySet) age(now time.Time) time.Duration {
	if age := now.Sub(s.at); age >= 0 {
		return age
	}
	return fresh
}

// fetch asks the gate. Whoever asked first may go away meanwhile: the others wait
// for the answer too.
func (k *remote) fetch(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.at, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return fmt.Errorf("%s did not answer within %v", k.at, fetchWithin)
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", k.at, resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", k.at, err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return fmt.Errorf("reading %s: %w", k.at, err)
	}
	k.set.Store(&keySet{keys, now})
	return nil
}

// parseKeys reads a JWK Set. Keys for other uses are left out; a key for ours
// that is not whole, or an id that two have, spoils the set.
func parseKeys(text []byte) (map[string]*ecdsa.PublicKey, error) {
	if len(text) > maxKeySet {
		return nil, fmt.Errorf("a JWK Set of more than %d bytes is not read", maxKeySet)
	}
	var set struct {
		Keys []struct{ Kty, Use, Alg, Kid, Crv, X, Y string }
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("not a JWK Set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("a JWK Set of more than %d keys is not read", maxKeys)
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, k := range set.Keys {
		if k.Kty != "EC" || k.Crv != "P-256" || k.Alg != "" && k.Alg != "ES256" || k.Use != "" && k.Use != "sig" {
			continue
		}
		if k.Kid == "" || len(k.Kid) > maxKid || keys[k.Kid] != nil {
			return nil, fmt.Errorf("key %q has no id of its own", k.Kid)
		}
		x, errX := coordinate(k.X)
		y, errY := coordinate(k.Y)
		if err := errors.Join(errX, errY); err != nil {
			return nil, fmt.Errorf("key %s: %w", k.Kid, err)
		}
		point := append(append([]byte{4}, x...), y...) // SEC 1 section 2.3.3
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.Kid, err)
		}
		keys[k.Kid] = key
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no ES256 key in it")
	}
	return keys, nil
}

// coordinate reads one of 32 bytes (RFC 7518 section 6.2.1.2).
func coordinate(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err == nil && len(b) != 32 {
		err = fmt.Errorf("a coordinate of %d bytes", len(b))
	}
	return b, err
}
