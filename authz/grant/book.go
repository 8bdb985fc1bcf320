package grant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Matters decide what is asked for; approval.Book is one. It is what this room
// needs of it.
type Matters interface {
	Consider(ctx context.Context, m approval.Matter) (approval.Considered, error)
	Ask(ctx context.Context, tx *store.Tx, c approval.Considered) (approval.Matter, error)
	Cancel(ctx context.Context, by approval.Approver, id, comment string) (approval.View, error)
	Void(ctx context.Context, tx *store.Tx, id, why string) error
}

// Effects change the directory; elevate.Book is one.
type Effects interface {
	Intend(ctx context.Context, tx *store.Tx, lease string, who elevate.Who, gifts []policy.Gift, notAfter time.Time) error
	Apply(ctx context.Context, lease string) (elevate.Result, error)
	Keep(ctx context.Context, tx *store.Tx, lease string, until time.Time) error
	Withdraw(ctx context.Context, tx *store.Tx, lease string) error
	Cleanup(ctx context.Context, in store.Reader, lease string) (elevate.Cleanup, error)
	Renew(ctx context.Context, lease string) (*elevate.Account, error)
}

// People are read afresh, or from memory for those whose leases live.
type People interface {
	Of(ctx context.Context, id directory.PersonID) (standing.Facts, error)
	Person(ctx context.Context, id directory.PersonID, stale time.Duration) (directory.Person, error)
}

// Holders finds who holds a post.
type Holders interface {
	Holders(ctx context.Context, groupDN string) ([]directory.Person, error)
}

// Sessions are what leases are used in; session.Sessions is one. A lease begins in
// a privileged session over its borrower's, whose handle is another from then on, and
// the last one to end takes that session with it.
type Sessions interface {
	Over(ctx context.Context, id string) (bool, error)
	Rotate(ctx context.Context, tx *store.Tx, id string, authAt time.Time) (handle string, err error)
	Elevate(ctx context.Context, tx *store.Tx, id string) (session.Privileged, error)
	Lower(ctx context.Context, tx *store.Tx, id, why string) error
	Poll(ctx context.Context) error
}

// House is what the book is built on.
type House struct {
	DB       *store.DB
	Trail    *audit.Trail
	Policy   func() *policy.Policy
	Version  func() int64 // of the policy
	Matters  Matters
	Effects  Effects
	People   People
	Holders  Holders
	Sessions Sessions
	Notices  *notice.Queue
	Sealing  *secret.KeyRing
	Now      clock.Now
	// Barred reports whether a lock-down shuts somebody out, for what began while it
	// was ordered. nil: nothing does.
	Barred func(ctx context.Context, p directory.Person) (bool, error)
	// Ties are the projects of those who borrow. nil: there are none.
	Ties approval.Ties
	// Leaving are the groups that borrowers are being taken out of. nil: nobody is.
	Leaving Leaving
	// Ring has the other gateways look sooner than they would. nil: they look by
	// themselves.
	Ring func()
	// Stop ends a call at a named point, as if the process had died there: tests
	// of crashes. nil in production.
	Stop func(point string) error
}

// The points at which a test may stop a call: after each transaction, and after
// what is done outside.
const (
	PointAsked    = "asked"
	PointIntended = "intended"
	PointApplied  = "applied"
	PointStarted  = "started"
	PointOver     = "over"
	PointExpired  = "expired"
)

// Kinds of matters that this room settles.
const (
	KindElevation = approval.Elevation
	KindExtension = approval.Kind("extension")
)

// A Book keeps leases. It is safe for concurrent use.
type Book struct {
	House
	polling sync.Mutex // one poll at a time

	tidying  sync.Mutex
	batch    int                // tidyBatch
	setbacks map[string]setback // leases that could not be tidied lately, by id

	mu     sync.RWMutex
	held   map[string]Lease // the active ones, by id
	byWhom map[directory.PersonID][]string
	judged map[directory.PersonID]*judgement // of those who hold any
	known  map[string]known                  // rows that polls have read lately, by id; under polling
	polled atomic.Int64                      // microseconds of the last poll that succeeded
	heard  atomic.Int64                      // the same, in nanoseconds of ticks
	polls  atomic.Int64
	ticks  func() time.Duration

	holders sync.Map          // of each post, as last read
	refused approval.Refusals // by person, privilege and reason
}

// New opens the book.
func New(h House) *Book {
	if h.Stop == nil {
		h.Stop = func(string) error { return nil }
	}
	if h.Ring == nil {
		h.Ring = func() {}
	}
	return &Book{House: h, held: map[string]Lease{}, byWhom: map[directory.PersonID][]string{}, judged: map[directory.PersonID]*judgement{}, known: map[string]known{}, batch: tidyBatch, setbacks: map[string]setback{}, ticks: clock.Ticks}
}

// signed asks what must be true of whoever acts, whatever the act: they may use
// something, and have signed in.
func (b *Book) signed(by By) error {
	if by.Person.ID == "" || by.SessionID == "" {
		return session.ErrNone
	}
	if !by.Usable || !by.Person.Account.Usable(b.Now()) {
		return forbidden(AccountEnds, lending, "このIDは現在利用できません。", "This ID cannot be used at present.")
	}
	return nil
}

// proved asks for the sign-in that a privilege needs.
func (b *Book) proved(by By, acr policy.ACR, fresh time.Duration) error {
	need := &account.StepUp{Required: acr, MaxAge: fresh}
	if !Meets(acr, by.ACR, by.Synced) || by.AuthAt.IsZero() || b.Now().Sub(by.AuthAt) > fresh {
		return need
	}
	return nil
}

// elevated is the sign-in that acts about other people's leases need.
func (b *Book) elevated(by By) error {
	if need := by.Elevated(b.Policy(), b.Now()); need != nil {
		return need
	}
	return nil
}

// still refuses who has been signed out, or closed out, since the request began.
func (b *Book) still(ctx context.Context, tx *store.Tx, by By) error {
	return session.StillSignedIn(ctx, tx, by.SessionID, by.Person.ID, b.Now())
}

// privilege is one of the policy in force.
func (b *Book) privilege(id string) (policy.Privilege, error) {
	v, ok := b.Policy().Privilege(id)
	if !ok {
		return policy.Privilege{}, forbidden(UnknownPrivilege, lending, "そのような特権はありません。", "There is no such privilege.")
	}
	return v, nil
}

// own is a lease that is the actor's.
func (b *Book) own(ctx context.Context, by By, id string) (Lease, error) {
	if err := b.signed(by); err != nil {
		return Lease{}, err
	}
	l, err := read(ctx, b.DB, id)
	if err != nil {
		return Lease{}, err
	}
	if l.By.ID != by.Person.ID {
		return Lease{}, forbidden(NotTheirs, lending, "借りた本人だけができます。", "Only its borrower does this.")
	}
	return l, nil
}

// change is one act about a lease, in a transaction of its own with its entry on
// the trail; also is what the entry says besides.
func (b *Book) change(ctx context.Context, by By, id, action, reason string, do func(tx *store.Tx, l Lease) (Lease, error), also ...func(*audit.Entry)) (Lease, error) {
	var out Lease
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		l, err := read(ctx, tx, id)
		if err != nil {
			return err
		}
		if out, err = do(tx, l); err != nil {
			return err
		}
		if err := b.put(ctx, tx, &out); err != nil {
			return err
		}
		e := b.entry(out, by, action, reason)
		for _, more := range also {
			more(&e)
		}
		return b.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return Lease{}, err
	}
	if _, over := out.Over(b.Now()); over { // and its privileged session perhaps with it
		b.raised(ctx)
	} else {
		b.changed(ctx)
	}
	return out, nil
}

// put saves a lease and answers it as it is now.
func (b *Book) put(ctx context.Context, tx *store.Tx, l *Lease) error {
	if err := save(ctx, tx, *l, b.Now()); err != nil {
		return err
	}
	l.version++
	return nil
}

// changed has what was just committed seen here at once, and by the other
// gateways soon. It stands whether or not this succeeds: what is held in memory
// goes unused until it does.
func (b *Book) changed(ctx context.Context) {
	b.Ring()
	if err := b.poll(context.WithoutCancel(ctx)); err != nil {
		slog.ErrorContext(ctx, "noting changed leases; memory is not used until it is noted", "error", err)
	}
}

// raised has the handle that was replaced refused at once, and the privileged session
// that began or ended with a lease seen, here and soon at the other gateways. It stands
// whether or not this succeeds: until it is seen, less is given, for a lease that is
// over gives nothing in any session.
func (b *Book) raised(ctx context.Context) {
	committed := int64(b.ticks())
	if err := b.Sessions.Poll(context.WithoutCancel(ctx)); err != nil {
		slog.ErrorContext(ctx, "noting a privileged session; memory is not used until it is noted", "error", err)
	}
	if b.heard.Load() < committed { // the sessions' poll did not carry ours along
		b.changed(ctx)
	}
}

// entry begins the entry of an act about a lease.
func (b *Book) entry(l Lease, by By, action, reason string) audit.Entry {
	e := audit.Entry{
		Actor: by.Person.Login, Action: action, Object: l.Privilege, Outcome: audit.OK, Reason: reason, Articles: lending,
		From: by.From, Zone: string(by.Zone), Terminal: by.Terminal, RequestID: by.RequestID,
		Detail: map[string]string{"lease": l.ID, "borrower": l.By.Login},
	}
	if e.Zone == "" {
		e.Zone = string(l.Zone)
	}
	if e.Actor == "" {
		e.Actor = "system"
	}
	if l.Emergency {
		e.Articles, e.Detail["emergency"] = breaking, strconv.Itoa(l.Times)
	}
	return e
}

// refuse enters on the trail that something was refused, once a minute for each
// person, privilege and reason, and answers it. What somebody typed wrong, and
// what a fresh sign-in mends, is no breach.
func (b *Book) refuse(ctx context.Context, by By, privilege string, err error) error {
	var r *Refusal
	if !errors.As(err, &r) || r.Is != Forbidden && r.Reason != RecordDue {
		return err
	}
	e := b.entry(Lease{Privilege: privilege, By: approval.Ref(by.Person)}, by, "lease.refused", string(r.Reason))
	e.Outcome, e.Articles = audit.Refused, r.Articles
	delete(e.Detail, "lease")
	if wrote := b.refused.Enter(ctx, b.DB, b.Trail, string(by.Person.ID)+" "+privilege+" "+string(r.Reason), e, b.Now()); wrote != nil {
		return fmt.Errorf("recording a refusal: %w", wrote)
	}
	return err
}

// tell queues a notice in the caller's transaction.
func (b *Book) tell(ctx context.Context, tx *store.Tx, l Lease, to directory.PersonID, k notice.Kind, detail map[string]string) error {
	if detail == nil {
		detail = map[string]string{}
	}
	detail["privilege"] = l.Privilege
	return b.Notices.Add(ctx, tx, notice.Notice{Person: to, Kind: k, Zone: l.Zone, At: b.Now(), Detail: detail})
}
