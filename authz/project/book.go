package project

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// ErrNotFound says that there is no such project, or none that is the reader's to see.
var ErrNotFound = errors.New("no such project")

// A Directory is where the IDs are; ldap.Directory is one.
type Directory interface {
	ByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
	// Several reads people in one go; who is not there any more is left out.
	Several(ctx context.Context, ids []directory.PersonID) ([]directory.Person, error)
	Find(ctx context.Context, login string) (directory.Person, error)
	Amend(ctx context.Context, p directory.Person, a directory.Amendment) error
}

// IDs close IDs; lifecycle.Book is one.
type IDs interface {
	LastUses(ctx context.Context, people []directory.Person) (map[directory.PersonID]time.Time, error)
	Prepare(ctx context.Context, id directory.PersonID) (lifecycle.Closing, error)
	CloseOut(ctx context.Context, tx *store.Tx, c lifecycle.Closing, by, reason, why string, asked bool) (lifecycle.Hold, error)
	Kept(ctx context.Context, in store.Reader, who directory.Person) (lifecycle.Hold, error)
	Shut(ctx context.Context, in store.Reader, people []directory.Person) (map[directory.PersonID]bool, error)
	Bring(ctx context.Context, id directory.PersonID) error
	Told(ctx context.Context)
}

// Leases are privilege that is lent, and permits; grant.Book and permit.Book are some.
type Leases interface {
	EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error)
	Changed(ctx context.Context)
}

// Sessions end what somebody has open; session.Sessions are some.
type Sessions interface {
	EndAll(ctx context.Context, tx *store.Tx, person directory.PersonID, login, except, why string) error
	Poll(ctx context.Context) error
}

// House is what the book is built on.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	Policy    func() *policy.Policy
	Directory Directory
	IDs       IDs
	Sessions  Sessions
	Leases    Leases         // nil: nothing is lent
	Permits   Leases         // nil: nothing is permitted
	Matters   *approval.Book // who acts, and who is asked
	Notices   *notice.Queue
	Forget    interface{ Forget(id directory.PersonID) } // nil: nobody remembers
	// Fresh reports whether what was polled is young enough at a moment to be gone by.
	Fresh func(clock.Moment) bool
	Now   clock.Now
	Log   *slog.Logger // nil: nothing is logged
	// Stop is called at named points; an error ends what is under way there, as a
	// crash would. Tests alone set it.
	Stop func(point string) error
}

// A Book keeps projects, and who is bound to them. It is safe for concurrent use.
type Book struct {
	House
	ties    ties
	wake    chan struct{}
	refused approval.Refusals // by person, project and reason
}

// errCrash is what a test's Stop ends something with.
var errCrash = errors.New("crashed")

func (b *Book) at(point string) error {
	if err := b.Stop(point); err != nil {
		return fmt.Errorf("%w: %w", errCrash, err)
	}
	return nil
}

// Open opens the book.
func Open(h House) *Book {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	if h.Stop == nil {
		h.Stop = func(string) error { return nil }
	}
	b := &Book{House: h, wake: make(chan struct{}, 1)}
	h.Matters.Open(Widening, b.desk())
	return b
}

// nudge has Run look at once. It is a hint.
func (b *Book) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// system is who acts where nobody does.
const system = "system"

// reader is who is behind a cookie, read afresh.
func (b *Book) reader(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error) {
	if cookie == "" {
		return approval.Approver{}, signin.ErrNone
	}
	by, err := b.Matters.Signed(ctx, o, cookie)
	if err != nil {
		return by, err
	}
	if !by.Usable {
		return by, session.ErrNone
	}
	return by, nil
}

// entry begins an entry about a project on the trail. by is the zero Approver where
// nobody acts.
func (p Project) entry(action string, by approval.Approver, reason string) audit.Entry {
	e := audit.Entry{
		Actor: system, Action: action, Object: "project/" + p.ID, Outcome: audit.OK, Reason: reason, Articles: articles,
		Detail: map[string]string{"project": p.ID, "section": p.Section, "environment": string(p.Environment)},
	}
	if by.Person.ID != "" {
		e.Actor, e.From, e.RequestID, e.Terminal, e.Zone = by.Person.Login, by.From, by.RequestID, by.Terminal, string(by.Zone)
	}
	return e
}

// about begins an entry about one ID of a project.
func (p Project) about(action string, who Ref, by approval.Approver, reason string) audit.Entry {
	e := p.entry(action, by, reason)
	e.Object = object(who.Login, who.ID)
	return e
}

// refuse enters on the trail that something was refused, once a minute for each person,
// project and reason, and answers it. What was merely mistyped is no breach.
func (b *Book) refuse(ctx context.Context, by approval.Approver, p Project, why *Refusal) error {
	if why.Is == Invalid && len(why.Articles) == 0 {
		return why
	}
	e := p.entry("project.refused", by, why.Reason)
	e.Outcome = audit.Refused
	if len(why.Articles) > 0 {
		e.Articles = why.Articles
	}
	if err := b.refused.Enter(ctx, b.DB, b.Trail, string(by.Person.ID)+" "+p.ID+" "+why.Reason, e, b.Now()); err != nil {
		return fmt.Errorf("recording a refusal: %w", err)
	}
	return why
}

// acting is who acts on a project of a section, by a sign-in that is fresh enough.
// *Refusal and *account.StepUp say what is missing.
func (b *Book) acting(ctx context.Context, by approval.Approver, p Project) error {
	switch {
	case audits(b.Policy(), by.Posts):
		return b.refuse(ctx, by, p, readsOnly())
	case !MayAct(b.Policy(), p.Section, by.Holder, b.Now()):
		return b.refuse(ctx, by, p, notTheirs())
	}
	if need := by.Elevated(b.Policy(), b.Now()); need != nil {
		return need
	}
	return nil
}

func readsOnly() *Refusal {
	return no(Forbidden, "reads_only", "監査の役割を持つ方は、閲覧だけができます。", "Whoever audits reads and changes nothing.", "16-2", "82-2")
}

func notTheirs() *Refusal {
	return no(Forbidden, "not_theirs", "この室課の案件は、あなたの役割では扱えません。室課の情報システム管理者が扱います。",
		"Your post does not manage projects of this section. Its system administrator does.", "14-1", "67-2(1)")
}

// still refuses who has been signed out, or closed out, since the request began.
func (b *Book) still(ctx context.Context, tx *store.Tx, by approval.Approver) error {
	return session.StillSignedIn(ctx, tx, by.SessionID, by.Person.ID, b.Now())
}

// seen has what was committed about people seen here at once, and by the directory. What
// fails is done again by Run.
func (b *Book) seen(ctx context.Context, people ...directory.PersonID) {
	ctx = context.WithoutCancel(ctx)
	if b.Forget != nil {
		for _, id := range people {
			b.Forget.Forget(id)
		}
	}
	for _, of := range []Leases{b.Leases, b.Permits} {
		if of != nil {
			of.Changed(ctx)
		}
	}
	b.complain(ctx, "noting what a project has ended", b.Sessions.Poll(ctx))
	b.nudge()
}

func (b *Book) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		b.Log.WarnContext(ctx, what+" failed; it is tried again", "error", err)
	}
}
