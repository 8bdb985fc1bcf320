// Package lockout slows down guessing against one credential.
//
// It is a rule, not a guard: it knows neither people nor passwords, holds no
// lock and never sleeps. The caller loads a State, asks, and stores what it
// gets back, so the whole policy is tested with plain values of time.
//
//	open --failure--> held --HeldUntil passes--> open
//	  any --Limit consecutive failures--> spent (until the factor is bound again)
//
// It locks the credential, never the person: a stranger who guesses passwords
// can spend a password, and the owner still enters with another factor. The
// limit is at most 100 (NIST SP 800-63B-4, section 3.2.2).
//
// An attempt is counted as a failure before it is verified and taken back when
// it proves right, so that a thousand guesses at once are no more than the
// limit allows one after another.
package lockout

import (
	"time"

	"sekisho/policy"
)

// A State is what is remembered of one credential. The zero value has seen no
// failure.
type State struct {
	Failures  int       // consecutive, without a success between
	HeldUntil time.Time // no attempt is verified before
}

// A Rule says how long failures delay and when the credential is spent.
type Rule struct {
	Free   int             // failures that delay nobody
	Delays []time.Duration // after the first failure beyond Free, the second, …; the last repeats
	Limit  int             // failures that spend the credential
}

// Of is the rule that the policy states (guideline, article 63-7), with the
// limit lowered to the given ceiling: the directory's own threshold less one,
// so that a stranger cannot lock the Windows logon through Sekisho. A ceiling
// of 0 means that the directory has none.
func Of(r policy.LockoutRules, ceiling int) Rule {
	limit := r.HardLimit
	if ceiling > 0 && ceiling < limit {
		limit = ceiling
	}
	return Rule{Free: r.FreeFailures, Delays: r.Delays, Limit: limit}
}

// Less returns the rule with a limit lower by n: what is kept back from
// strangers for browsers that have signed the person in before.
func (r Rule) Less(n int) Rule {
	r.Limit = max(1, r.Limit-n)
	return r
}

// AfterFailure is the state after one more failure at now.
func (r Rule) AfterFailure(s State, now time.Time) State {
	s.Failures++
	s.HeldUntil = time.Time{}
	if over := s.Failures - r.Free; over > 0 && len(r.Delays) > 0 {
		s.HeldUntil = now.Add(r.Delays[min(over, len(r.Delays))-1])
	}
	return s
}

// Spent reports whether the credential opens nothing until it is bound again.
func (r Rule) Spent(s State) bool { return s.Failures >= r.Limit }

// Wait is how long until an attempt may be verified: 0 for at once.
func (s State) Wait(now time.Time) time.Duration {
	return max(0, s.HeldUntil.Sub(now))
}
