package secret

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"
)

// purposesKept bounds how many purposes have their key kept. Purposes are
// words of the program, a dozen; one that was made from data is derived each
// time.
const purposesKept = 64

// macs hold the HMACs of one key, ready for use: every request of every browser
// is looked up by one, and deriving its key anew costs more than the HMAC.
type macs struct {
	prk []byte

	mu   sync.RWMutex
	pool map[string]*sync.Pool // of hash.Hash, by purpose
}

// take lends an HMAC for a purpose. back must be called when it was summed.
func (m *macs) take(purpose string) (mac hash.Hash, back func(), err error) {
	m.mu.RLock()
	pool := m.pool[purpose]
	m.mu.RUnlock()
	if pool == nil {
		if pool, err = m.prepare(purpose); err != nil {
			return nil, nil, err
		}
	}
	mac, _ = pool.Get().(hash.Hash)
	return mac, func() { mac.Reset(); pool.Put(mac) }, nil
}

func (m *macs) prepare(purpose string) (*sync.Pool, error) {
	sub, err := hkdf.Expand(sha256.New, m.prk, "sekisho mac v1 "+purpose, keyLength)
	if err != nil {
		return nil, fmt.Errorf("deriving the key for %s: %w", purpose, err)
	}
	pool := &sync.Pool{New: func() any { return hmac.New(sha256.New, sub) }}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pool) < purposesKept {
		if m.pool == nil {
			m.pool = map[string]*sync.Pool{}
		}
		m.pool[purpose] = pool
	}
	return pool, nil
}
