// Package elevate brings about outside Sekisho what a lease gives, and takes it
// back: membership of a group, a named ID that is opened for the time, an ID that
// is made for the lease and goes with it.
//
// An outside effect is intended, done and confirmed (design rule 8):
//
//	Intend, in the caller's transaction      intended
//	Apply, outside any transaction           applied      seen in the directory
//	Keep, in the transaction in which
//	the lease becomes active                 kept         until its end
//	Withdraw, in the one in which it ends    withdrawn    undone for as long as it takes
//	                                         closed       seen to be gone
//
// Whatever dies in between, it ends well: an effect that is not kept half a minute
// after it was intended is turned round and undone, by whichever gateway lives;
// so is one whose end has come, whether or not anybody withdrew it. Nothing is
// given in the background: only Apply, on behalf of a person who waits, adds. (A
// membership that a hand which came too late has taken away is put back.)
//
// Several leases may be about one thing in the directory (the same person in the
// same group). A thing is worked at by one gateway at a time, under a claim with
// an end; whoever's claim has run out while they were away cannot confirm, and
// has the thing looked at again, since their hand may have moved since. A wish
// whose answer was lost may be granted late: after it was undone, the thing is
// looked at a few times more, and the comparison of each minute finds the rest.
//
// It refuses to know who asked and who said yes (approval, grant). What it cannot
// reach (tickets, open sessions) it names: Residuals.
package elevate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekisho/directory"
	"sekisho/directory/schema"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// What a caller must tell apart. directory.ErrAway comes through as it is.
var (
	// ErrTurned: the effects of the lease were turned round, or withdrawn, before
	// they were kept. Nothing is given; it may be intended again.
	ErrTurned = errors.New("what the lease gives was taken back before it was kept")
	// ErrTaken: the named ID is lent to somebody else.
	ErrTaken = errors.New("the ID is lent to somebody else")
	// ErrBusy: another gateway works at the same thing, and went on too long.
	ErrBusy = errors.New("another gateway works at this now")
	// ErrUnlendable: a group that carries a post, an entry that the directory
	// protects, or an ID that is not among those that are lent. No try mends it.
	ErrUnlendable = errors.New("this cannot be lent")
)

// How long things take.
const (
	// DecideWithin is how long an effect may be intended or applied without its
	// lease being live. Whoever activates has done so by then, or begins again.
	DecideWithin = 30 * time.Second
	// decideGrace is how much later it is turned round: clocks of gateways differ.
	decideGrace = 2 * time.Second
	// claimLasts is how long one gateway works at a thing; workLasts, less than
	// that, how long it waits for the directory.
	claimLasts = 30 * time.Second
	workLasts  = 20 * time.Second
	// patience is how long Apply waits for another gateway's hand.
	patience = 5 * time.Second
	// longestRest is between two tries to undo: the directory is clean within 30 s
	// of its return.
	longestRest = 10 * time.Second
	// overdueAfter is how long an effect may be to be undone before somebody is
	// woken; OverdueEvery how often that is looked at. Together: within a minute.
	overdueAfter = 45 * time.Second
	overdueEvery = 10 * time.Second
	compareEvery = time.Minute
)

// Who borrows.
type Who struct {
	ID    directory.PersonID
	Login string
	Name  string
}

// An Account is an ID that a lease gives, with the password that is shown once.
type Account struct {
	Login    string
	Password secret.Text
}

// A Result is what Apply has brought about.
type Result struct {
	Account *Account // nil: the lease gives no ID
}

// A Cleanup says how far the undoing of a lease's effects has come.
type Cleanup string

// As contract.md spells them.
const (
	CleanupNone      Cleanup = "none"      // nothing is, or was, to be undone
	CleanupPending   Cleanup = "pending"   // not everything was seen to be gone
	CleanupConfirmed Cleanup = "confirmed" // everything was
)

// Groups are those whose membership is lent.
type Groups interface {
	Join(ctx context.Context, groupDN string, id directory.PersonID) (directory.Person, error)
	Leave(ctx context.Context, groupDN string, id directory.PersonID, formerDN string) error
	EachMember(ctx context.Context, groupDN string, each func(memberDN string) error) error
	Holds(ctx context.Context, groupDN, memberDN string) (bool, error)
	Expel(ctx context.Context, groupDN, memberDN string) error
	JoinLent(ctx context.Context, groupDN string, p directory.Person) error
}

// IDs are those that are lent.
type IDs interface {
	Lent(ctx context.Context, typed string) (directory.Person, error)
	LentByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
	EachLent(ctx context.Context, each func(directory.Person) error) error
	OpenLent(ctx context.Context, p directory.Person, pw secret.Text, until time.Time) error
	CloseLent(ctx context.Context, p directory.Person, pw secret.Text) error
	LendUntil(ctx context.Context, p directory.Person, until time.Time) error
	CreateLent(ctx context.Context, under string, n directory.NewPerson) (directory.Person, error)
	DeleteLent(ctx context.Context, p directory.Person) error
}

// A Directory is where effects are. Its methods are those of ldap.Directory.
type Directory interface {
	Groups
	IDs
	Find(ctx context.Context, typed string) (directory.Person, error)
	ByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
	Residuals() []schema.Residual
}

// A Forgetter is told whose facts changed in the directory. standing.Watch is one.
type Forgetter interface {
	Forget(id directory.PersonID)
}

// House is what the room stands on.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	Directory Directory
	Policy    func() *policy.Policy
	Forget    Forgetter
	Now       clock.Now
	Log       *slog.Logger // nil: silent
	// Tell is called in the transaction in which something new was found, to queue
	// notices. nil: nobody is told.
	Tell func(ctx context.Context, tx *store.Tx, f Finding) error
	// Stop ends the process, or the call, at a named point: tests of crashes. nil
	// in production.
	Stop func(point string) error
}

// A Book keeps effects. It is safe for concurrent use.
type Book struct {
	House
	wake  chan struct{}
	hands chan struct{} // of those who undo, at the directory
	met   meter
}

// New makes the book.
func New(h House) *Book {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	if h.Stop == nil {
		h.Stop = func(string) error { return nil }
	}
	return &Book{House: h, wake: make(chan struct{}, 1), hands: make(chan struct{}, undoHands)}
}

// Residuals are what goes on after an effect of these gifts was undone, as the
// directory's kind has it.
func (b *Book) Residuals(gifts []policy.Gift) []schema.Residual {
	var out []schema.Residual
	outside, accounts := false, false
	for _, g := range gifts {
		outside, accounts = outside || g.Outside(), accounts || g.ShowsSecret()
	}
	for _, r := range b.Directory.Residuals() {
		if outside && (accounts || !r.Accounts) {
			out = append(out, r)
		}
	}
	return out
}

// hint tells this process's own loop that something may be due.
func (b *Book) hint() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Intend stores, in the caller's transaction, what a lease is to bring about. The
// end is the latest that the lease may have; Keep says the real one. What the
// same lease intended before and was turned round is intended again.
//
// Errors: ErrTaken; ErrUnlendable for a group that carries a post.
func (b *Book) Intend(ctx context.Context, tx *store.Tx, lease string, who Who, gifts []policy.Gift, notAfter time.Time) error {
	if lease == "" || who.ID == "" || who.Login == "" || !notAfter.After(b.Now()) {
		return errors.New("intending an effect: a lease, a person and an end to come are needed")
	}
	for place, g := range gifts {
		if !g.Outside() {
			continue
		}
		for _, group := range g.GroupDNs() {
			if b.Policy().CarriesPost(group) {
				return fmt.Errorf("intending an effect: %w: %s carries a post", ErrUnlendable, group)
			}
		}
		e, err := effectOf(lease, place, who, g)
		if err != nil {
			return fmt.Errorf("intending an effect: %w", err)
		}
		now := b.Now()
		e.intendedAt, e.decideBy, e.notAfter = now, now.Add(DecideWithin), notAfter
		if err := intend(ctx, tx, e); err != nil {
			return fmt.Errorf("intending an effect: %w", err)
		}
	}
	return nil
}

// Keep says, in the transaction in which a lease becomes active, until when its
// effects are to last; and later, when it was extended, the new end. ErrTurned
// must end that transaction: the effects are not there any more.
func (b *Book) Keep(ctx context.Context, tx *store.Tx, lease string, until time.Time) error {
	effects, err := ofLease(ctx, tx, lease)
	if err != nil {
		return fmt.Errorf("keeping effects: %w", err)
	}
	now := b.Now()
	for _, e := range effects {
		live := e.state == applied && now.Before(e.decideBy) || e.state == kept && now.Before(e.notAfter)
		if !live || !now.Before(until) {
			return fmt.Errorf("keeping effects: %w", ErrTurned)
		}
		due := until
		if e.kind != policy.GiftGroup && !e.toldUntil.Equal(until) {
			due = now // the directory is to be told
		}
		if err := keep(ctx, tx, e, until, due); err != nil {
			return fmt.Errorf("keeping effects: %w", err)
		}
	}
	b.hint()
	return nil
}

// Withdraw has all effects of a lease undone, in the caller's transaction. Those
// that were never begun are closed at once; the rest for as long as it takes.
func (b *Book) Withdraw(ctx context.Context, tx *store.Tx, lease string) error {
	return b.withdraw(ctx, tx, lease, "ended")
}

func (b *Book) withdraw(ctx context.Context, tx *store.Tx, lease, why string) error {
	effects, err := ofLease(ctx, tx, lease)
	if err != nil {
		return fmt.Errorf("withdrawing effects: %w", err)
	}
	for _, e := range effects {
		switch {
		case e.state == withdrawn || e.state == closed:
			continue
		case e.state == intended && !e.doubt:
			err = shut(ctx, tx, e, why, b.Now())
		default:
			err = takeBack(ctx, tx, e, why, b.Now())
		}
		if err != nil {
			return fmt.Errorf("withdrawing effects: %w", err)
		}
	}
	b.hint()
	return nil
}

// Lent is a named ID as the directory has it now.
//
// Errors: directory.ErrNotFound, there is no such ID where IDs are lent; those of
// directory.Find.
func (b *Book) Lent(ctx context.Context, account string) (directory.Person, error) {
	p, err := b.Directory.Lent(ctx, account)
	if err != nil {
		return p, fmt.Errorf("reading %s: %w", account, err)
	}
	return p, nil
}

// Cleanup answers how far the undoing of a lease has come. in is the store, or
// the transaction that must not go on.
func (b *Book) Cleanup(ctx context.Context, in store.Reader, lease string) (Cleanup, error) {
	effects, err := ofLease(ctx, in, lease)
	if err != nil {
		return "", fmt.Errorf("reading effects: %w", err)
	}
	out, now := CleanupNone, b.Now()
	for _, e := range effects {
		switch {
		case e.state == closed && e.appliedAt.IsZero():
			// it never was
		case e.state == closed:
			if out == CleanupNone {
				out = CleanupConfirmed
			}
		case e.state == withdrawn, e.state == kept && !now.Before(e.notAfter):
			out = CleanupPending
		}
	}
	return out, nil
}
