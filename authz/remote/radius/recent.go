package radius

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// recent remembers which requests are worked at and what was answered lately, so
// that one that is sent again is not done again (RFC 5080 section 2.2.2): a code is
// good once, and its owner would be refused because an answer was lost.
//
// A request is the same if every byte of it is, up to its length, from the same
// address. That contains identifier and authenticator, and more: whoever may leave
// the Message-Authenticator out could else be answered for what they never asked.
// What stands behind its length and the port it comes from are anybody's to change.
type recent struct {
	ticks func() time.Duration

	mu    sync.Mutex
	of    map[asked]*answered
	queue []*answered // about the oldest first
}

type asked struct {
	from netip.Addr
	sum  [sha256.Size]byte
}

type answered struct {
	key   asked
	at    time.Duration
	reply []byte
	class string // of a session that the answer lets in
	done  bool   // false: still at work
	gone  bool
}

const (
	// remembered is for how long an answer is kept: longer than gear goes on asking.
	remembered = 30 * time.Second
	// mostRemembered bounds those of one client. Only what has its signature, and has
	// a place, gets here.
	mostRemembered = 8192
)

func newRecent(ticks func() time.Duration) *recent {
	return &recent{ticks: ticks, of: map[asked]*answered{}}
}

// look is what is known of a request.
func (r *recent) look(k asked) (known answered, again bool) {
	now := r.ticks()
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.of[k]; a != nil && !a.old(now) {
		return *a, true
	}
	return answered{}, false
}

func (a *answered) old(now time.Duration) bool { return a.done && now-a.at > remembered }

// begin notes a request that has a place to be worked at, unless it is known.
func (r *recent) begin(k asked) (known answered, again bool) {
	now := r.ticks()
	r.mu.Lock()
	defer r.mu.Unlock()
	for range len(r.queue) {
		first := r.queue[0]
		if !first.gone && now-first.at <= remembered && len(r.queue) < mostRemembered {
			break
		}
		r.queue = r.queue[1:]
		switch {
		case first.gone:
		case !first.done: // at work: never forgotten, and there are few of them
			r.queue = append(r.queue, first)
		default:
			delete(r.of, first.key)
		}
	}
	if a := r.of[k]; a != nil {
		if !a.old(now) {
			return *a, true
		}
		a.gone = true // another gateway's, and older than its place in the queue
	}
	a := &answered{key: k, at: now}
	r.of[k], r.queue = a, append(r.queue, a)
	return answered{}, false
}

// end keeps the answer, which was given so long ago; none and not spent forgets the
// request, so that it may be tried again. One that is spent without an answer is dropped
// when it comes again.
func (r *recent) end(k asked, reply []byte, class string, spent bool, ago time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of[k]
	switch {
	case a == nil:
	case reply == nil && !spent:
		a.gone = true
		delete(r.of, k)
	default:
		a.reply, a.class, a.done = reply, class, true
		a.at -= ago
	}
}
