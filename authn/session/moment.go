package session

import (
	"context"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// Moment is when a request is decided: now, and after CatchUp where the last poll is
// too old.
func (s *Sessions) Moment(ctx context.Context) clock.Moment {
	at := s.moment()
	if s.InStepAt(at) {
		return at
	}
	s.CatchUp(ctx)
	return s.moment()
}

func (s *Sessions) moment() clock.Moment { return clock.Moment{Now: s.now(), Tick: s.ticks()} }

// A Loaded is a session that is used, and whose it is.
type Loaded struct {
	Session Session
	Person  directory.Person
	// At is the moment from which on all the rest is asked: the one that LoadAt was
	// given, or a later one where it had to wait.
	At clock.Moment
}

// LoadAt is Load for who goes on to ask other rooms at the same moment, and needs the
// person that was asked about.
func (s *Sessions) LoadAt(ctx context.Context, at clock.Moment, cookie string) (Loaded, error) {
	mac, ok := s.mac(KindSession, cookie)
	if !ok {
		return Loaded{}, ErrNone
	}
	pol := s.policy()
	var err error
	c := s.remembered(mac[:], pol, at)
	if c == nil {
		if c, err = s.find(ctx, string(mac[:]), pol, at.Now); err != nil {
			return Loaded{}, err
		}
		at = s.onward(at)
	}
	u := Loaded{At: at}
	if u.Person, u.At, err = s.mayGoOn(ctx, &c.s, pol, at); err != nil {
		return Loaded{}, err
	}
	now := u.At.Now
	if at := store.Micros(now); at-c.seen.Load() >= seenWithin.Microseconds() {
		touch(&c.seen, at)
		if c.s.Parent != "" {
			s.touchParent(c, at, pol, now)
		}
		s.usePrivileged(&c.s, at, pol, now)
	}
	u.Session = c.s
	u.Session.SeenAt = now
	u.Session.ExpiresAt, u.Session.IdleExpiresAt = u.Session.bounds(pol)
	return u, nil
}

// lingered is how long after a moment what it said of copies is gone by: little beside
// the staleness that is allowed, and much beside what it takes to look into memory.
const lingered = 20 * time.Millisecond

// onward is the moment to go on by after something that may have waited, for the store,
// the directory, or a processor: the same, unless it is past.
func (s *Sessions) onward(at clock.Moment) clock.Moment {
	if s.ticks()-at.Tick < lingered {
		return at
	}
	return s.moment()
}
