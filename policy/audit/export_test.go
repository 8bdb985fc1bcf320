package audit

import (
	"errors"

	"golang.org/x/mod/sumdb/note"
)

// Silenced is k with a signer that refuses, as a token that was pulled out.
func (k *Key) Silenced() *Key { return &Key{signer: silent{k.signer}, public: k.public} }

var ErrSilent = errors.New("the signer is away")

type silent struct{ note.Signer }

func (silent) Sign([]byte) ([]byte, error) { return nil, ErrSilent }

const BatchSize = batchSize
