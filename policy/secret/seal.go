package secret

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Place is the cell a sealed value belongs to. All three parts are needed;
// Row must be something that never changes and is never used again.
type Place struct{ Table, Column, Row string }

// The layout of a sealed value, version 1:
//
//	1 byte   version, 1
//	1 byte   length of the key id, n
//	n bytes  key id, which names the key on the ring
//	60 bytes the value's own key: nonce 12, AES-256-GCM 32, tag 16
//	rest     the value: nonce 12, AES-256-GCM, tag 16
//
// Each value has a key of its own (DEK) so that GCM's bound of 2^32 random nonces
// under one key (NIST SP 800-38D, 8.3) counts records, not bytes or rewrites of
// them. The value is bound to the ring's key as well as to its own: Reseal
// therefore does both anew, so that whoever has kept a DEK from a copy of the
// store cannot read what stands there later.
const (
	sealVersion = 1
	wrapLength  = 12 + keyLength + 16
	sealTail    = 12 + 16
)

// Seal encrypts plain so that it opens only at the same place: AES-256-GCM,
// with table, column, row, key id and format version as associated data. A
// value copied to another person's row is not theirs.
func (k *KeyRing) Seal(at Place, plain []byte) ([]byte, error) {
	state := k.state.Load()
	bound, err := at.bind(state.current)
	if err != nil {
		return nil, err
	}
	dek := Bytes(keyLength)
	defer clear(dek)
	aead, err := newAEAD(dek)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 2+len(state.current)+wrapLength+len(plain)+sealTail)
	out = append(out, sealVersion, byte(len(state.current)))
	out = append(out, state.current...)
	out = state.keys[state.current].wrap.Seal(out, nil, dek, append(bound, "key"...))
	return aead.Seal(out, nil, plain, append(bound, "value"...)), nil
}

// Open is Seal undone. ErrUnknownKey when the value names a key that is not on
// the ring, ErrSealBroken when anything else is not as it was sealed.
func (k *KeyRing) Open(at Place, sealed []byte) ([]byte, error) {
	id, rest, err := splitSealed(sealed)
	if err != nil {
		return nil, fmt.Errorf("opening %s.%s: %w", at.Table, at.Column, err)
	}
	key, ok := k.state.Load().keys[id]
	if !ok {
		return nil, fmt.Errorf("opening %s.%s with key %q: %w", at.Table, at.Column, id, ErrUnknownKey)
	}
	bound, err := at.bind(id)
	if err != nil {
		return nil, err
	}
	dek, err := key.wrap.Open(nil, nil, rest[:wrapLength], append(bound, "key"...))
	if err != nil {
		return nil, fmt.Errorf("opening %s.%s: %w", at.Table, at.Column, ErrSealBroken)
	}
	defer clear(dek)
	aead, err := newAEAD(dek)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, rest[wrapLength:], append(bound, "value"...))
	if err != nil {
		return nil, fmt.Errorf("opening %s.%s: %w", at.Table, at.Column, ErrSealBroken)
	}
	return plain, nil
}

// Reseal seals a value anew under the current key, at the same place. What the
// secret is worth does not change by that: one that somebody has read must be
// replaced.
func (k *KeyRing) Reseal(at Place, sealed []byte) ([]byte, error) {
	plain, err := k.Open(at, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return k.Seal(at, plain)
}

// SealedPrefix is how every value that is sealed under a key begins, for finding
// them by it.
func SealedPrefix(keyID string) []byte {
	return append([]byte{sealVersion, byte(len(keyID))}, keyID...)
}

// SealedUnder is the id of the key a sealed value names, for finding what must
// be sealed anew before a key can go. It does not check the seal.
func SealedUnder(sealed []byte) (keyID string, err error) {
	id, _, err := splitSealed(sealed)
	return id, err
}

func splitSealed(sealed []byte) (id string, rest []byte, err error) {
	if len(sealed) < 2 || sealed[0] != sealVersion {
		return "", nil, ErrSealBroken
	}
	n := int(sealed[1])
	if len(sealed) < 2+n+wrapLength+sealTail || !keyID.Match(sealed[2:2+n]) {
		return "", nil, ErrSealBroken
	}
	return string(sealed[2 : 2+n]), sealed[2+n:], nil
}

// bind is the associated data of everything sealed at a place. Lengths stand in
// front, so that no two places read the same.
func (at Place) bind(keyID string) ([]byte, error) {
	if at.Table == "" || at.Column == "" || at.Row == "" {
		return nil, errors.New("a sealed value needs a table, a column and a row to belong to")
	}
	b := []byte{sealVersion}
	for _, part := range []string{at.Table, at.Column, at.Row, keyID} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b[:len(b):len(b)], nil // both uses append: neither may write into the other's
}
