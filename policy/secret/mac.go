package secret

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
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

	mu    sync.RWMutex
	epoch int64
	pool  map[string]*sync.Pool // of *lengthMAC, by purpose, in this epoch
}

// sum is the HMAC of parts, each behind its length.
func (m *macs) sum(epoch int64, purpose string, parts [][]byte) ([]byte, error) {
	m.mu.RLock()
	pool := m.pool[purpose]
	if m.epoch != epoch {
		pool = nil
	}
	m.mu.RUnlock()
	if pool == nil {
		var err error
		if pool, err = m.prepare(epoch, purpose); err != nil {
			return nil, err
		}
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

// A lengthMAC is an HMAC with room for the length that goes before each part.
type lengthMAC struct {
	hash.Hash
	length [8]byte
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch != epoch {
		m.epoch, m.pool = epoch, nil
	}
	if len(m.pool) < purposesKept {
		if m.pool == nil {
			m.pool = map[string]*sync.Pool{}
		}
		m.pool[purpose] = pool
	}
	return pool, nil
}
