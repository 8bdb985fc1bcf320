package grant

import (
	"slices"
	"sync/atomic"
	"time"

	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
)

// hold puts a lease into memory, or takes it out; b.mu is held.
func (b *Book) hold(l Lease, now time.Time) {
	was, held := b.held[l.ID]
	if l.State(now) != Active {
		if held {
			delete(b.held, l.ID)
			delete(b.judged, was.By.ID)
			b.unlist(was.By.ID, l.ID)
		}
		return
	}
	if held && was.version == l.version { // polls read the last seconds again
		return
	}
	delete(b.judged, l.By.ID)
	b.held[l.ID] = l
	if !held {
		b.byWhom[l.By.ID] = append(b.byWhom[l.By.ID], l.ID)
	}
}

func (b *Book) unlist(who directory.PersonID, id string) {
	rest := slices.DeleteFunc(slices.Clone(b.byWhom[who]), func(o string) bool { return o == id })
	if len(rest) == 0 {
		delete(b.byWhom, who)
		return
	}
	b.byWhom[who] = rest
}

// A judgement is what somebody lives with, found once: it is asked for at every
// request of theirs, and holds until a lease of theirs changes, the first of them
// gives nothing any more, or the rules or what the directory says of them is another.
type judgement struct {
	rules  *policy.Policy
	person directory.Person
	tied   authz.Tied
	given  []Given
	ends   time.Time // of the first; zero: none of them gives anything
}

// holds reports whether it would be found again.
func (j *judgement) holds(rules *policy.Policy, p directory.Person, tied authz.Tied, now time.Time) bool {
	was := &j.person
	return j.rules == rules && j.tied == tied && (j.ends.IsZero() || now.Before(j.ends)) && p.Account.Usable(now) &&
		was.Login == p.Login && was.Kind == p.Kind && was.Section == p.Section && slices.Equal(was.Groups, p.Groups)
}

// fromMemory is what a person lives with, as the last poll had it.
func (b *Book) fromMemory(rules *policy.Policy, p directory.Person, tied authz.Tied, now time.Time) []Given {
	b.mu.RLock()
	j, any := b.judged[p.ID], len(b.byWhom[p.ID]) > 0
	b.mu.RUnlock()
	switch {
	case !any:
		return nil
	case j != nil && j.holds(rules, p, tied, now):
		return j.given
	}
	// Under the lock that a poll writes under, so that no judgement outlives a lease
	// that ended while it was made.
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := make([]Lease, 0, len(b.byWhom[p.ID]))
	for _, id := range b.byWhom[p.ID] {
		mine = append(mine, b.held[id])
	}
	j = &judgement{rules: rules, person: p, tied: tied, given: judge(rules, Borrower{Person: p, Posts: rules.PostsOf(p.Groups), Tied: tied}, mine, now)}
	for _, g := range j.given {
		if j.ends.IsZero() || g.Until.Before(j.ends) {
			j.ends = g.Until
		}
	}
	if p.Account.Usable(now) {
		b.judged[p.ID] = j
	}
	return j.given
}

// judge is what leases give their borrower at a time.
func judge(rules *policy.Policy, whose Borrower, leases []Lease, now time.Time) (out []Given) {
	for _, l := range leases {
		until, live := l.Live(now)
		if !live {
			continue
		}
		v, ok := rules.Privilege(l.Privilege)
		if !ok || MayBorrow(rules, v, whose, now) != nil {
			continue
		}
		until = earliest(until, whose.Tied.Until)
		out = append(out, Given{l.ID, l.Privilege, l.By.ID, until, l.Emergency, l.Session, l.Outlives, v.ACR, l.Gives})
	}
	return out
}

// A Tally is how many leases are active, by what matters to who looks on.
type Tally struct {
	Approved  int // others said yes, and it gives what it gives
	Emergency int // taken without approval (article 80-2)
	Paused    int // of two people, and not confirmed: it gives nothing
}

// Tally counts the leases that are active, as this gateway knows.
func (b *Book) Tally() (n Tally) {
	now := b.Now()
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, l := range b.held {
		switch _, live := l.Live(now); {
		case l.Paused(now):
			n.Paused++
		case live && l.Emergency:
			n.Emergency++
		case live:
			n.Approved++
		}
	}
	return n
}

// raise raises a number, never lowers it.
func raise(at *atomic.Int64, to int64) {
	for {
		was := at.Load()
		if was >= to || at.CompareAndSwap(was, to) {
			return
		}
	}
}
