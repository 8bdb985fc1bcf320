package desk

import (
	"context"
	"slices"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/authz/grant"
	"sekisho/authz/permit"
	"sekisho/authz/personnel"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/web"
)

// House is what a desk is built on.
type House struct {
	Approvals *approval.Book
	Lent      *grant.Book
	Effects   *elevate.Book
	Lookout   Lookout // nil: nobody looks
	Sealed    Sealed  // nil: no emergency ID lies in an envelope
	DB        *store.DB
	Permits   *permit.Book
	Personnel *personnel.Book
	Terminals Terminals
	Network   Network // nil: the gate has no network door
	Policy    func() *policy.Policy
	Sessions  Sessions
	Now       clock.Now
}

// Sessions are what leases and permits are used in; session.Sessions is one.
type Sessions interface {
	Everyone(ctx context.Context, in store.Reader) ([]session.Session, error)
	CSRF(handle string) string // the token that goes with a handle
	Privileged(ctx context.Context, n session.Session) (session.Privileged, bool, error)
}

// Terminals is the register of terminals; authn/terminal has one.
type Terminals interface {
	List(ctx context.Context) ([]terminal.Terminal, error)
}

// A Desk is safe for concurrent use: it keeps nothing.
type Desk struct{ House }

// New opens the desk.
func New(h House) *Desk { return &Desk{h} }

// A reader is who asks, with the rules and the time that all of one answer goes by.
type reader struct {
	grant.By
	p   *policy.Policy
	now time.Time
}

// reader is who is behind a cookie, read afresh.
func (d *Desk) reader(ctx context.Context, o signin.Origin, cookie string) (reader, error) {
	if cookie == "" {
		return reader{}, signin.ErrNone
	}
	by, err := d.Approvals.Signed(ctx, o, cookie)
	if err != nil {
		return reader{}, err
	}
	return reader{by, d.Policy(), d.Now()}, nil
}

// sees reports whether the reader holds a post that looks at what others borrow.
func (r reader) sees() bool {
	return slices.ContainsFunc(r.Posts, func(id policy.PostID) bool {
		post, ok := r.p.Post(id)
		return ok && (post.Approves || post.Audits || id == policy.CSIRT)
	})
}

// audits reports whether the reader holds a post that reads and changes nothing.
func (r reader) audits() bool {
	return slices.ContainsFunc(r.Posts, func(id policy.PostID) bool { post, ok := r.p.Post(id); return ok && post.Audits })
}

// needs is the sign-in that an act takes before it; nil: the present one does. It
// is asked again where the act is done.
func (r reader) needs(acr policy.ACR, fresh time.Duration) *account.StepUp {
	if !r.ACR.AtLeast(acr) || r.AuthAt.IsZero() || r.now.Sub(r.AuthAt) > fresh || acr == policy.PHR && r.Synced {
		return &account.StepUp{Required: acr, MaxAge: fresh}
	}
	return nil
}

// toBorrow, toOversee and toDecide are the sign-ins that a privilege, an act about
// somebody else's lease, and a decision take.
func (r reader) toBorrow(v policy.Privilege) *account.StepUp { return r.needs(v.ACR, v.FreshFor) }

func (r reader) toOversee() *account.StepUp {
	s := r.p.Session
	return r.needs(s.ElevatedACR, min(r.p.SignIn.FreshFor, s.ElevatedIdleEnd, s.ElevatedAbsoluteEnd))
}

func (r reader) toDecide() *account.StepUp { return r.needs(policy.PHR, r.p.Approval.FreshFor) }

// outsider refuses who has no business with what others borrow.
func outsider() error {
	return &web.Refusal{Problem: web.Problem{Code: web.CodeForbidden, Articles: []policy.Article{"47-3", "62-6"}, Detail: policy.Words{
		JA: "ほかの人が借りている特権を見られるのは、承認、監査又はCSIRTの役割を持つ方です。",
		EN: "What others borrow is seen by those who approve or audit, and by the CSIRT."}}}
}

func who(r approval.PersonRef) Who { return Who{Login: r.Login, Name: r.Name, Section: r.Section} }
