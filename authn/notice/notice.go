// Package notice is the queue of what people are told about their own factors,
// passwords and sign-ins.
package notice

import (
	"context"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Kind is what happened.
type Kind string

// The kinds.
const (
	FactorAdded       Kind = "factor_added"       // Detail: factor (kind), name
	FactorRemoved     Kind = "factor_removed"     // Detail: factor, name
	PasswordChanged   Kind = "password_changed"   //
	PasswordTemporary Kind = "password_temporary" // Detail: by
	PasswordLeaked    Kind = "password_leaked"    //
	PasskeyCloned     Kind = "passkey_cloned"     // Detail: name
	RecoveryIssued    Kind = "recovery_issued"    // Detail: by
	RecoveryUsed      Kind = "recovery_used"      //
	SignInUnusual     Kind = "sign_in_unusual"    // Detail: from, browser, failures
	AddressChanged    Kind = "address_changed"    // told to the address before, too
	Suspended         Kind = "suspended"          // Detail: by, reason
	Restored          Kind = "restored"           // Detail: by
	Unlocked          Kind = "unlocked"           // Detail: by
)

// A Notice is something to tell a person. It never carries a secret.
type Notice struct {
	Person directory.PersonID
	Kind   Kind
	Zone   policy.ZoneID // where it happened: a zone may send no mail
	At     time.Time     // zero: now
	Detail map[string]string
}

// Queue keeps what is to be told until it was.
type Queue struct{}

// New makes the queue.
func New(db *store.DB, now clock.Now, pol func() *policy.Policy) *Queue { return &Queue{} }

// Add queues a notice in the caller's transaction.
func (q *Queue) Add(ctx context.Context, tx *store.Tx, n Notice) error { return nil }

// Second is the person's second address, "" for none.
func (q *Queue) Second(ctx context.Context, person directory.PersonID) (string, error) {
	return "", nil
}

// SetSecond changes the person's second address, "" for none, in the caller's
// transaction. The address before is told too.
func (q *Queue) SetSecond(ctx context.Context, tx *store.Tx, person directory.PersonID, address string, zone policy.ZoneID) error {
	return nil
}
