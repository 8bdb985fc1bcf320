package shared

import (
	"context"
	"fmt"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/directory/schema"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Presence knows who is behind a cookie, read afresh; approval.Book is one.
type Presence interface {
	Signed(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error)
}

// Effects change the directory; elevate.Book is one.
type Effects interface {
	Intend(ctx context.Context, tx *store.Tx, lease string, who elevate.Who, gifts []policy.Gift, notAfter time.Time) error
	Apply(ctx context.Context, lease string) (elevate.Result, error)
	Lent(ctx context.Context, account string) (directory.Person, error)
	Residuals(gifts []policy.Gift) []schema.Residual
	Keep(ctx context.Context, tx *store.Tx, lease string, until time.Time) error
	Withdraw(ctx context.Context, tx *store.Tx, lease string) error
}

// People are read from memory for those who have something; standing.Watch is one.
type People interface {
	Person(ctx context.Context, id directory.PersonID, stale time.Duration) (directory.Person, error)
}

// Sessions are what shared IDs are had in; session.Sessions are some.
type Sessions interface {
	Over(ctx context.Context, id string) (bool, error)
}

// House is what the book is built on.
type House struct {
	DB       *store.DB
	Trail    *audit.Trail
	Policy   func() *policy.Policy
	Presence Presence
	Effects  Effects
	People   People
	Sessions Sessions
	Sealing  *secret.KeyRing
	Notices  *notice.Queue
	Now      clock.Now
	// Barred reports whether a lock-down shuts somebody out. nil: nothing does.
	Barred func(ctx context.Context, p directory.Person) (bool, error)
	// Ties are the projects of those who have something. nil: there are none.
	Ties approval.Ties
	// Emergency names the systems for which an ID lies sealed for emergencies, by its login,
	// or where that is "", by the name that its DN begins with. nil: there is no register.
	Emergency func(ctx context.Context, in store.Reader, login, dn string) ([]string, error)
	// Count hears what became of each check-out that was asked for. nil: nobody counts.
	Count func(Outcome)
	// Stop ends a call at a named point, as if the process had died there: tests of
	// crashes. nil in production.
	Stop func(point string) error
}

// The points at which a test may stop a call.
const (
	PointIntended = "shared intended"
	PointApplied  = "shared applied"
	PointStarted  = "shared started"
	PointOver     = "shared over"
)

// A Book keeps check-outs. It is safe for concurrent use.
type Book struct {
	House
	refused approval.Refusals // by person, shared ID and reason
}

// New opens the book.
func New(h House) *Book {
	if h.Stop == nil {
		h.Stop = func(string) error { return nil }
	}
	return &Book{House: h}
}

// reader is who is behind a cookie, read afresh.
func (b *Book) reader(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error) {
	if cookie == "" {
		return approval.Approver{}, signin.ErrNone
	}
	by, err := b.Presence.Signed(ctx, o, cookie)
	if err != nil {
		return by, err
	}
	if !by.Usable {
		return by, session.ErrNone
	}
	return by, nil
}

// entry begins the entry of an act about a shared ID.
func (b *Book) entry(c Checkout, by approval.Approver, action, reason string) audit.Entry {
	e := audit.Entry{
		Actor: by.Person.Login, Action: action, Object: "shared:" + c.Shared, Outcome: audit.OK, Reason: reason, Articles: articles,
		From: by.From, Zone: string(by.Zone), Terminal: by.Terminal, RequestID: by.RequestID,
		Detail: map[string]string{"checkout": c.ID, "person": c.By.Login},
	}
	if e.Zone == "" {
		e.Zone = string(c.Zone)
	}
	if e.Actor == "" {
		e.Actor = "system"
	}
	if c.Account != "" {
		e.Detail["account"] = c.Account
	}
	if c.state == Starting || c.state == Active {
		e.Detail["ends_at"] = c.EndsAt.UTC().Format(time.RFC3339)
	}
	return e
}

// tell queues a notice for who has, or had, a shared ID.
func (b *Book) tell(ctx context.Context, tx *store.Tx, c Checkout, k notice.Kind, detail map[string]string) error {
	detail["shared"] = c.Shared
	return b.Notices.Add(ctx, tx, notice.Notice{Person: c.By.ID, Kind: k, Zone: c.Zone, At: b.Now(), Detail: detail})
}

// tellEnded tells who had a shared ID that it was taken away before its time. who did so
// may be nobody in person, whose reason is none that somebody wrote.
func (b *Book) tellEnded(ctx context.Context, tx *store.Tx, c Checkout, who Ref, why string) error {
	detail := map[string]string{}
	if who.ID != "" {
		detail["by"], detail["reason"] = who.Name, why
	}
	return b.tell(ctx, tx, c, notice.SharedEnded, detail)
}

// refuse enters on the trail that something was refused, once a minute for each
// person, ID and reason.
func (b *Book) refuse(ctx context.Context, by approval.Approver, id string, why *Refusal) error {
	e := b.entry(Checkout{Shared: id, By: approval.Ref(by.Person)}, by, "shared.refused", why.Reason)
	e.Outcome, e.Articles = audit.Refused, why.Articles
	delete(e.Detail, "checkout")
	if id == "" {
		e.Object = "shared"
	}
	if err := b.refused.Enter(ctx, b.DB, b.Trail, string(by.Person.ID)+" "+id+" "+why.Reason, e, b.Now()); err != nil {
		return fmt.Errorf("recording a refusal: %w", err)
	}
	return why
}
