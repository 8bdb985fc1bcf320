package ephemeral

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"sekisho/policy/clock"
)

// A Distant store is one that may be away.
type Distant interface {
	Store
	Ping(ctx context.Context) error
}

// Spare is a Store of two: the first, and a second that takes over while the
// first is away or full. It turns to the second at the first failure and back
// when the first answers again, which Run finds out.
//
// What the first held is not there while it is away: a sign-in under way begins
// again. What went to the second is found there afterwards. Counts are the sum of
// both. While one gateway has lost the first and another has not, of two who Take
// the same value both may be answered, which is one of the reasons why nothing
// that must happen once is decided here.
type Spare struct {
	first  Distant
	second Store
	now    clock.Now
	log    *slog.Logger

	away    atomic.Bool
	turned  atomic.Int64 // how often first was given up
	spilled atomic.Int64 // microseconds: until then the second may hold values of ours
}

const (
	// lookEvery is how soon a first that is away is tried again, and how soon one
	// that went away unasked is missed.
	lookEvery = time.Second
)

// NewSpare puts second behind first. It takes first for present.
func NewSpare(first Distant, second Store, now clock.Now, log *slog.Logger) *Spare {
	return &Spare{first: first, second: second, now: now, log: log}
}

// Away reports whether the second stands in for the first now.
func (s *Spare) Away() bool { return s.away.Load() }

// Turned is how often the first was given up.
func (s *Spare) Turned() int64 { return s.turned.Load() }

// Run looks after the first until ctx ends.
func (s *Spare) Run(ctx context.Context) {
	for s.Look(ctx); clock.Wait(ctx, lookEvery) == nil; s.Look(ctx) {
	}
}

// Look asks the first whether it is there, and goes by the answer.
func (s *Spare) Look(ctx context.Context) {
	err := s.first.Ping(ctx)
	if err != nil {
		s.lost(ctx, err)
	} else if s.away.CompareAndSwap(true, false) {
		s.log.Warn("redis is back; sign-ins under way are kept there again")
	}
}

// lost reports whether err says that the first is away, rather than that the
// caller has gone, and remembers it.
func (s *Spare) lost(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil {
		return false
	}
	if errors.Is(err, ErrFull) {
		return true
	}
	if s.away.CompareAndSwap(false, true) {
		s.turned.Add(1)
		s.log.Warn("redis is away; sign-ins under way begin again, new ones are kept in the store", "error", err.Error())
	}
	return true
}

// spills notes that the second is given something that lasts so long.
func (s *Spare) spills(ttl time.Duration) {
	end := s.now().Add(ttl).UnixMicro()
	for was := s.spilled.Load(); was < end && !s.spilled.CompareAndSwap(was, end); was = s.spilled.Load() {
	}
}

// Put implements Store.
func (s *Spare) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkValue(key, value, ttl); err != nil {
		return err
	}
	if !s.Away() {
		err := s.first.Put(ctx, key, value, ttl)
		if err == nil && s.now().UnixMicro() < s.spilled.Load() {
			err = s.second.Delete(ctx, key) // an older one must not outlast this
		}
		if !s.lost(ctx, err) {
			return err
		}
	}
	s.spills(ttl)
	return s.second.Put(ctx, key, value, ttl)
}

// Get implements Store.
func (s *Spare) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if !s.Away() {
		if v, ok, err := s.first.Get(ctx, key); ok || !s.lost(ctx, err) && err != nil {
			return v, ok, err
		}
	}
	// Another gateway may have lost the first when it put this.
	return s.second.Get(ctx, key)
}

// Take implements Store.
func (s *Spare) Take(ctx context.Context, key string) ([]byte, bool, error) {
	if !s.Away() {
		if v, ok, err := s.first.Take(ctx, key); ok || !s.lost(ctx, err) && err != nil {
			return v, ok, err
		}
	}
	return s.second.Take(ctx, key)
}

// Count implements Store.
func (s *Spare) Count(ctx context.Context, key string, window time.Duration) (int, error) {
	if err := checkEntry(key, window); err != nil {
		return 0, err
	}
	if !s.Away() {
		n, err := s.first.Count(ctx, key, window)
		if err == nil {
			more, err := s.second.Peek(ctx, key)
			return n + more, err
		}
		if !s.lost(ctx, err) {
			return 0, err
		}
	}
	return s.second.Count(ctx, key, window)
}

// Peek implements Store.
func (s *Spare) Peek(ctx context.Context, key string) (int, error) {
	n := 0
	if !s.Away() {
		var err error
		if n, err = s.first.Peek(ctx, key); err != nil && !s.lost(ctx, err) {
			return 0, err
		}
	}
	more, err := s.second.Peek(ctx, key)
	return n + more, err
}

// Delete implements Store.
func (s *Spare) Delete(ctx context.Context, key string) error {
	if !s.Away() {
		if err := s.first.Delete(ctx, key); err != nil && !s.lost(ctx, err) {
			return err
		}
	}
	return s.second.Delete(ctx, key)
}
