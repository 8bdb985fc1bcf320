package token

import (
	"slices"
	"strings"
	"time"
)

// A Life is how long a signing key serves (security.md section 4): published
// before it signs, so that every application has it by then, and published
// after, until the last token it signed has ended.
type Life struct {
	Use       time.Duration // from its first signature to the next key's
	Published time.Duration // before its first signature
	Longest   time.Duration // of the tokens it signs
}

// DefaultLife is every gateway's.
var DefaultLife = Life{Use: 90 * 24 * time.Hour, Published: 24 * time.Hour, Longest: 5 * time.Minute}

const (
	// refreshEvery is how often a gateway reads which keys there are.
	refreshEvery = 2 * time.Second
	// settle is how long after a key was made every gateway that lives has read
	// it; how soon an emergency's key may sign, and how long a gateway may still
	// sign with the key before.
	settle = 5 * refreshEvery
)

// A State is what a key is for now.
type State string

const (
	Next     State = "next"     // published, signs nothing yet
	Current  State = "current"  // signs
	Retiring State = "retiring" // signs no more, what it signed may still be good
	Retired  State = "retired"  // verifies nothing, is published no more
)

// A Key is what is known of a signing key but the key itself.
type Key struct {
	ID    string
	Alg   string
	Made  time.Time
	From  time.Time // signs from then on
	Begun time.Time // when the trail was told so; zero: not yet
	Ends  time.Time // distrusted from then on; zero: its life decides
}

// inOrder sorts by first use, which gives each key its successor.
func inOrder(keys []Key) {
	slices.SortFunc(keys, func(a, b Key) int {
		if c := a.From.Compare(b.From); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

func (k Key) distrusted(now time.Time) bool { return !k.Ends.IsZero() && !now.Before(k.Ends) }

// current is the key that signs now, -1 for none: the newest whose time has
// come, else, where that one is distrusted, the first whose time will.
func current(keys []Key, now time.Time) int {
	found := -1
	for i, k := range keys {
		switch {
		case k.distrusted(now):
		case !k.From.After(now):
			found = i
		case found < 0:
			return i
		}
	}
	return found
}

// Gone is when a key of several in order verifies nothing any more; zero for
// one without an end, because nothing replaces it yet.
func (l Life) Gone(keys []Key, i int) time.Time {
	var end time.Time
	if i+1 < len(keys) {
		end = keys[i+1].From.Add(settle + l.Longest + Leeway)
	}
	if d := keys[i].Ends; !d.IsZero() && (end.IsZero() || d.Before(end)) {
		end = d
	}
	return end
}

// State is that of a key of several in order.
func (l Life) State(keys []Key, i int, now time.Time) State {
	gone := l.Gone(keys, i)
	switch c := current(keys, now); {
	case !gone.IsZero() && !now.Before(gone):
		return Retired
	case i == c:
		return Current
	case i < c:
		return Retiring
	}
	return Next
}

// Due reports whether a key must be made now, and from when it is to sign.
func (l Life) Due(keys []Key, now time.Time) (from time.Time, due bool) {
	c := current(keys, now)
	if c < 0 {
		return now, true
	}
	if c+1 < len(keys) || keys[c].From.After(now) {
		return time.Time{}, false // the next is there
	}
	from = keys[c].From.Add(l.Use)
	if now.Before(from.Add(-l.Published)) {
		return time.Time{}, false
	}
	if soonest := now.Add(l.Published); soonest.After(from) {
		from = soonest
	}
	return from, true
}
