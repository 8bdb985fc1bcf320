// Package session keeps who is signed in.
//
// A session is a row in the store; memory holds copies of it for speed. The
// cookie carries "keyid.handle"; the store keeps only the handle's HMAC, so a
// copy of the database opens nothing. Each rise in what was proved gives a new
// handle and kills the old one.
//
// The copies are each gateway's own. They are deliberately not in Redis: a replica
// that lags and is promoted would bring back sessions that had been ended.
//
// It does not know how a person signed in, nor what they may open.
package session

import (
	"context"
	"errors"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
)

// A Session is one sign-in that is still good, or the child of one that is good
// for a single application's host.
type Session struct {
	ID        string
	Person    directory.PersonID
	Login     string
	Name      string
	Zone      policy.ZoneID // of the network it began in
	Outside   bool          // begun outside all of the prefecture's networks
	Permits   []string      // ids of those that it was let in by; none where it took none
	ACR       policy.ACR
	AMR       []string // RFC 8176
	From      string   // source address
	UserAgent string
	StartedAt time.Time
	AuthAt    time.Time // when the last factor was proved
	// FactorAt is since when the person has had the phishing-resistant factor that
	// they signed in with; of several, the newest. Zero where there was none. A new
	// factor rests before it decides anything (design rule 7).
	FactorAt  time.Time
	ExpiresAt time.Time // absolute end
	// IdleExpiresAt is the end unless the session is used before.
	IdleExpiresAt time.Time
	SeenAt        time.Time
	App           string // "" for the gate itself, else the application's id
	Parent        string // of a child
	// Terminal is the enrolled terminal that this began on, and TerminalClass
	// what kind it is; "" where it did not speak for itself.
	Terminal, TerminalClass string
	Previous                Previous
	EndedAt                 time.Time // zero while it lives
}

// Previous is the sign-in before this one, shown so that a person notices one
// that was not theirs (article 63-7). The zero value: there was none.
type Previous struct {
	At            time.Time
	From          string
	OutAt         time.Time // zero: not signed out
	FailuresSince int
}

// ErrNone means that a cookie stands for no session that is alive.
var ErrNone = errors.New("no session")

// People tells whether a session's person may still use anything. A zero
// Person refuses; an error means that nobody could say, and refuses too.
type People interface {
	PersonAt(ctx context.Context, at clock.Moment, id directory.PersonID, stale time.Duration) (directory.Person, error)
}

// bounds are the ends of a session under the policy in force: a session never
// outlives what it was given, and a policy made stricter governs it at once.
func (s *Session) bounds(p *policy.Policy) (absolute, idle time.Time) {
	return s.boundsSeen(p, s.SeenAt)
}

// boundsSeen are the ends of a session that was last used at a time.
func (s *Session) boundsSeen(p *policy.Policy, seen time.Time) (absolute, idle time.Time) {
	zone, ok := p.RulesOf(s.Zone)
	if !ok { // the zone was taken out of the policy: nothing is open
		return s.StartedAt, s.StartedAt
	}
	zone = s.rules(p, zone)
	absolute = earlier(s.ExpiresAt, s.StartedAt.Add(zone.AbsoluteEnd))
	return absolute, earlier(absolute, seen.Add(s.idle(zone)))
}

// Ends is the absolute end of a session under the policy in force.
func (s *Session) Ends(p *policy.Policy) time.Time {
	absolute, _ := s.bounds(p)
	return absolute
}

// rules are the zone's, narrowed for a session that began outside (article 63-7).
func (s *Session) rules(p *policy.Policy, zone policy.Zone) policy.Zone {
	if !s.Outside {
		return zone
	}
	narrow := func(end *time.Duration, remote time.Duration) {
		if remote > 0 && remote < *end {
			*end = remote
		}
	}
	narrow(&zone.IdleEnd, p.Remote.IdleEnd)
	narrow(&zone.AbsoluteEnd, p.Remote.AbsoluteEnd)
	return zone
}

// idle is how long the session lives unused: on a terminal that many share,
// only as long as someone may turn away from it (article 38-6).
func (s *Session) idle(zone policy.Zone) time.Duration {
	if s.TerminalClass == policy.TerminalCounter {
		return min(zone.IdleEnd, zone.CounterIdleEnd)
	}
	return zone.IdleEnd
}

// alive reports whether the session is good at now, by its own row alone.
func (s *Session) alive(p *policy.Policy, now time.Time) bool { return s.aliveSeen(p, s.SeenAt, now) }

func (s *Session) aliveSeen(p *policy.Policy, seen, now time.Time) bool {
	absolute, idle := s.boundsSeen(p, seen)
	return s.ID != "" && s.EndedAt.IsZero() && now.Before(absolute) && now.Before(idle)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
