// Package custody keeps the book of the keys that lie in files: which there are,
// which gateway holds which, which one is used, and what still stands under an
// older one.
//
//	next --every live gateway holds it--> current --another is--> retiring --nothing is left--> retired
//
// It holds no key and reads no key file; what it knows of a key is an id and a
// fingerprint. Which columns of the store depend on a key is told to it as data
// (Column). When a key is used is decided by the database: a gateway that does
// not hold it yet would not understand the others.
package custody

import (
	"cmp"
	"slices"
	"time"

	"sekisho/policy"
)

// A Ring is one kind of key files.
type Ring string

// The rings.
const (
	Session Ring = "session" // cookies, codes, challenges
	Sealing Ring = "sealing" // secrets in the store
	Trail   Ring = "trail"   // signatures under the trail
)

// A State is what a key is for now.
type State string

const (
	Next     State = "next"     // some gateway does not hold it yet
	Current  State = "current"  // used for all that is new
	Retiring State = "retiring" // something still stands under it
	Retired  State = "retired"  // nothing does, and no gateway holds it
)

// A Key is its line in the book. Times that have not come are zero.
type Key struct {
	Ring                                  Ring
	ID, Fingerprint                       string
	MadeAt, UsedAt, ReplacedAt, DroppedAt time.Time
}

// State follows from what is written.
func (k Key) State() State {
	switch {
	case !k.DroppedAt.IsZero():
		return Retired
	case !k.ReplacedAt.IsZero():
		return Retiring
	case !k.UsedAt.IsZero():
		return Current
	}
	return Next
}

// Held is a key in somebody's hands, as it is told.
type Held struct{ ID, Fingerprint string }

// A Holder says of one gateway that it held a key when it was last heard.
type Holder struct {
	Gateway, Name string
	Ring          Ring
	ID            string
	SeenAt        time.Time
}

const (
	// AnnounceEvery is how often a gateway says what it holds.
	AnnounceEvery = 10 * time.Second
	// silence is after how long a gateway that says nothing counts as stopped.
	silence = 30 * time.Second
)

func (h Holder) live(now time.Time) bool { return now.Sub(h.SeenAt) < silence }

// Promotable is the newest key that every live gateway holds, if it is newer
// than the current one. mine are the keys of whoever asks: a key that nobody
// can show is not used. waiting names the gateways that lack the newest.
func Promotable(keys []Key, holders []Holder, mine []string, now time.Time) (id string, waiting []string) {
	inOrder(keys)
	for _, k := range slices.Backward(keys) {
		if k.State() == Current {
			return "", waiting
		}
		if k.State() != Next || !slices.Contains(mine, k.ID) {
			continue
		}
		lacking := map[string]string{}
		for _, h := range holders {
			if h.live(now) {
				lacking[h.Gateway] = h.Name
			}
		}
		for _, h := range holders {
			if h.Ring == k.Ring && h.ID == k.ID {
				delete(lacking, h.Gateway)
			}
		}
		if len(lacking) == 0 {
			return k.ID, nil
		}
		if waiting == nil {
			for _, name := range lacking {
				waiting = append(waiting, name)
			}
			slices.Sort(waiting)
		}
	}
	return "", waiting
}

// inOrder sorts keys of one ring as they were made.
func inOrder(keys []Key) {
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Ring, b.Ring), a.MadeAt.Compare(b.MadeAt), cmp.Compare(a.ID, b.ID))
	})
}

// A Tie is what stands under a key in one place. Until is when the last of it
// ends by itself; zero where it has no end.
type Tie struct {
	What  policy.Words
	Count int64
	Until time.Time
	// Sealed values can be sealed under another key; fingerprints cannot.
	Sealed bool
}

// DropAt is when a replaced key may go: what is counted has ended, and what is
// not counted anywhere (a sign-in under way, a challenge) lives for uncounted at
// most. False while no time can be told: it is not replaced, or something stands
// under it that has no end.
func DropAt(k Key, ties []Tie, uncounted time.Duration) (time.Time, bool) {
	if k.State() != Retiring {
		return time.Time{}, false
	}
	at := k.ReplacedAt.Add(uncounted)
	for _, t := range ties {
		switch {
		case t.Count == 0:
		case t.Until.IsZero():
			return time.Time{}, false
		case t.Until.After(at):
			at = t.Until
		}
	}
	return at, true
}
