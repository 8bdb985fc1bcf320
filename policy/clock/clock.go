// Package clock is where time comes from.
//
// It refuses to know what time is used for: no expiry, no zone, no calendar.
// Services hold a Now and call it; rules take a plain time.Time and never ask.
// Besides cmd this is the only package that may read the machine's clock, so
// that a whole day can pass in a test in no time at all.
package clock

import (
	"sync"
	"time"
)

// A Now tells the time. The answer is in UTC. It must be safe to call from
// several goroutines at once.
type Now func() time.Time

// System is the machine's own clock in UTC, with the monotonic reading
// stripped: what is compared with a stored time must behave as a stored time.
func System() Now {
	return func() time.Time { return time.Now().UTC().Round(0) }
}

// A Fake is a clock that stands still until it is told to move.
type Fake struct {
	mu sync.Mutex
	at time.Time
}

// NewFake starts a Fake at t.
func NewFake(t time.Time) *Fake { return &Fake{at: t.UTC().Round(0)} }

// Now answers where the clock stands.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// Advance moves the clock by d. A negative d sets it back, which is how tests
// play an operator who corrects a wrong machine.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

// A Floor is a clock that never runs backwards. What has ended stays ended
// even when the machine's clock is set back: nobody gets a lapsed privilege
// again by turning a clock.
type Floor struct {
	base Now

	mu  sync.Mutex
	low time.Time // the highest time ever answered or raised to
}

// NewFloor puts a floor under base. The floor is base's first answer until
// Raise lifts it, usually to the store's high-water mark.
func NewFloor(base Now) *Floor { return &Floor{base: base} }

// Now answers base's time, or the highest time known so far when base has
// fallen behind it.
func (f *Floor) Now() time.Time {
	// base is asked under the lock: two callers who ask and then queue could
	// otherwise be answered in the wrong order.
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.base(); t.After(f.low) {
		f.low = t
	}
	return f.low
}

// Raise lifts the floor to t. A t below the floor changes nothing.
func (f *Floor) Raise(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.After(f.low) {
		f.low = t.UTC().Round(0)
	}
}

// Behind is how far base runs below the floor at this moment, zero when it does
// not. A gateway that is far behind is not ready to serve.
func (f *Floor) Behind() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(0, f.low.Sub(f.base()))
}

// An Offset is base shifted by a duration that can be changed while others
// read it: the clock by which a development server is moved through a day.
type Offset struct {
	base Now

	mu sync.Mutex
	by time.Duration
}

// NewOffset shifts base by the given duration.
func NewOffset(base Now, by time.Duration) *Offset { return &Offset{base: base, by: by} }

// Now is base's time plus the shift.
func (o *Offset) Now() time.Time { return o.base().Add(o.By()) }

// Add shifts the clock by d more.
func (o *Offset) Add(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.by += d
}

// By is the shift in force.
func (o *Offset) By() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.by
}
