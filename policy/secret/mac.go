package secret

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"sync"
	"sync/atomic"
)

// MAC is the HMAC-SHA-256 of parts under a key derived for purpose from the key
// named, "" meaning the current one. Parts are prefixed with their lengths:
// ("ab", "c") and ("a", "bc") differ. ErrUnknownKey when the key is not there.
func (k *KeyRing) MAC(keyID, purpose string, parts ...[]byte) ([]byte, error) {
	macs, err := k.macs(keyID, purpose)
	if err != nil {
		return nil, err
	}
	return macs.sum(k.epoch.Load(), purpose, parts)
}

// MACOf is MAC of one part, for what every request comes by: it leaves nothing to
// collect.
func (k *KeyRing) MACOf(keyID, purpose, part string) ([sha256.Size]byte, error) {
	macs, err := k.macs(keyID, purpose)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return macs.sumOf(k.epoch.Load(), purpose, part)
}

func (k *KeyRing) macs(keyID, purpose string) (*macs, error) {
	state := k.state.Load()
	if keyID == "" {
		keyID = state.current
	}
	key, ok := state.keys[keyID]
	if !ok {
		return nil, fmt.Errorf("fingerprinting for %s with key %q: %w", purpose, keyID, ErrUnknownKey)
	}
	return key.macs, nil
}

// purposesKept bounds how many purposes have their key kept. Purposes are
// words of the program, a dozen; one that was made from data is derived each
// time.
const purposesKept = 64

// macs hold the HMACs of one key, ready for use: every request of every browser
// is looked up by one, and deriving its key anew costs more than the HMAC.
type macs struct {
	prk   []byte
	alter sync.Mutex // held while a new set is made of the one before
	ready atomic.Pointer[readyMACs]
}

// readyMACs are those of one epoch. A set is never changed.
type readyMACs struct {
	epoch int64
	pool  map[string]*sync.Pool // of *lengthMAC, by purpose
}

// of finds the HMACs of a purpose.
func (m *macs) of(epoch int64, purpose string) (*sync.Pool, error) {
	if set := m.ready.Load(); set != nil && set.epoch == epoch {
		if pool := set.pool[purpose]; pool != nil {
			return pool, nil
		}
	}
	return m.prepare(epoch, purpose)
}

// sum is the HMAC of parts, each behind its length.
func (m *macs) sum(epoch int64, purpose string, parts [][]byte) ([]byte, error) {
	pool, err := m.of(epoch, purpose)
	if err != nil {
		return nil, err
	}
	mac, _ := pool.Get().(*lengthMAC)
	for _, p := range parts {
		binary.BigEndian.PutUint64(mac.length[:], uint64(len(p)))
		mac.Write(mac.length[:])
		mac.Write(p)
	}
	out := mac.Sum(nil)
	mac.Reset() // nothing of the parts stays behind
	pool.Put(mac)
	return out, nil
}

// sumOf is sum of one part, without anything on the heap.
func (m *macs) sumOf(epoch int64, purpose, part string) (out [sha256.Size]byte, err error) {
	pool, err := m.of(epoch, purpose)
	if err != nil {
		return out, err
	}
	mac, _ := pool.Get().(*lengthMAC)
	mac.text = append(binary.BigEndian.AppendUint64(mac.text[:0], uint64(len(part))), part...)
	mac.Write(mac.text)
	copy(out[:], mac.Sum(mac.out[:0]))
	clear(mac.text) // nothing of the part stays behind
	clear(mac.out[:])
	mac.Reset()
	pool.Put(mac)
	return out, nil
}

// A lengthMAC is an HMAC with room for the length that goes before each part, for one
// part and for a sum.
type lengthMAC struct {
	hash.Hash
	length [8]byte
	text   []byte
	out    [sha256.Size]byte
}

func (m *macs) prepare(epoch int64, purpose string) (*sync.Pool, error) {
	info := "sekisho mac v1 " + purpose
	if epoch > 0 {
		info = fmt.Sprintf("sekisho mac v1 epoch %d %s", epoch, purpose)
	}
	sub, err := hkdf.Expand(sha256.New, m.prk, info, keyLength)
	if err != nil {
		return nil, fmt.Errorf("deriving the key for %s: %w", purpose, err)
	}
	pool := &sync.Pool{New: func() any { return &lengthMAC{Hash: hmac.New(sha256.New, sub)} }}
	m.alter.Lock()
	defer m.alter.Unlock()
	next := &readyMACs{epoch: epoch, pool: map[string]*sync.Pool{}}
	if set := m.ready.Load(); set != nil && set.epoch == epoch {
		maps.Copy(next.pool, set.pool)
	}
	if len(next.pool) < purposesKept {
		next.pool[purpose] = pool
		m.ready.Store(next)
	}
	return pool, nil
}
