package audit

import (
	"context"
	"errors"

	"golang.org/x/mod/sumdb/note"

	"sekisho/policy/store"
)

// Silenced is k with a signer that refuses, as a token that was pulled out.
func (k *Key) Silenced() *Key {
	own := k.inUse()
	return &Key{held: []signer{{silent{own.Signer}, own.public}}}
}

var ErrSilent = errors.New("the signer is away")

type silent struct{ note.Signer }

func (silent) Sign([]byte) ([]byte, error) { return nil, ErrSilent }

const BatchSize = batchSize

// AppendIn is Append in a transaction of its own.
func (t *Trail) AppendIn(ctx context.Context, db *store.DB, e Entry) error {
	return db.WithTx(ctx, func(tx *store.Tx) error { return t.Append(ctx, tx, e) })
}
