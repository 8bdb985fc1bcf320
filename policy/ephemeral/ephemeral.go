// Package ephemeral keeps what may be lost: the state of a sign-in under way,
// and counts that keep the trail from being flooded. It refuses to know what it
// keeps, and nobody may rely on it to remember. What must be spent exactly once
// across a crash, what limits guessing, and whatever grants anything, is decided
// by policy/store; losing everything here may only cost people time.
//
// There are four stores:
//
//	Memory  for one process
//	Redis   for several gateways
//	Rows    in the database: what several gateways use while Redis is away
//	Spare   the last two behind one face
//
// When Redis is away sign-ins go on, in rows. The other ways were worse. To
// refuse sign-ins would make Redis a thing whose death stops a prefecture at
// 8:30, for state that is worth ten minutes of one person's patience. To go on
// in each gateway's memory would break every second sign-in behind a balancer,
// and would make every counter start anew in each gateway: a stranger who can
// make Redis stop could then guess more. So nothing that limits guessing is kept
// here at all. Failures against a credential and failures of a source address
// are rows, always, counted in the transaction that records the refusal; killing
// Redis, emptying it or bringing back an old copy of it gives nobody a try more.
//
// Keys are seen by whoever can look into Redis: callers put MACs, ids and
// addresses into them, never a secret and nothing that somebody typed. Values are
// sealed there.
package ephemeral

import (
	"context"
	"errors"
	"time"
)

// ErrFull says that nothing more can be kept now. It is an answer about us, not
// about the caller: refuse with 503, not with 401.
var ErrFull = errors.New("the ephemeral store is full")

// A Store keeps values and counters under keys, each for a time. Values and
// counters are apart: Put and Count of one key do not meet. Implementations
// must pass ephemeraltest.Suite.
type Store interface {
	// Put keeps value for ttl, in the place of what was there. A ttl that is
	// not positive is an error. ErrFull when there is no room.
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Get answers a copy of the value, false when there is none or its time has
	// passed.
	Get(ctx context.Context, key string) ([]byte, bool, error)
	// Take is Get and Delete in one step: of all who race, one is answered.
	Take(ctx context.Context, key string) ([]byte, bool, error)
	// Count adds one and answers how many there were in the window that the
	// first of them opened, this one included. The window does not slide; when
	// it has passed, the next Count opens another. ErrFull when there is no
	// room for a new counter; one that exists is always counted.
	Count(ctx context.Context, key string, window time.Duration) (int, error)
	// Peek answers the count without adding to it, 0 when no window is open.
	Peek(ctx context.Context, key string) (int, error)
	// Delete forgets the value and the counter of the key.
	Delete(ctx context.Context, key string) error
}
