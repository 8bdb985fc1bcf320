// Package people is what administrators, and those who approve, do to others:
// to their accounts, to what they have open, to terminals and to hardware tokens.
//
// Each act is asked of authz.May when it is done, with the posts that both hold
// in the directory at that moment, by somebody who has proved themselves as
// strongly and as lately as the policy asks of administrators. What it changes,
// its entry on the trail, the end of the sessions that it costs and the notice
// to whom it was done commit together.
//
// It refuses to know how credentials work (authn), what an answer looks like
// (web), and anything that people do to what is their own (authn/account).
package people

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

var (
	// ErrNotFound means that there is no such person, factor, terminal or token.
	ErrNotFound = errors.New("not found")
	// ErrState means that the act does not fit the state of what it is done to.
	ErrState = errors.New("not in the present state")
	// ErrNothingToLift means that nothing which an administrator may lift is
	// recorded against the person. It is an ErrState.
	ErrNothingToLift = fmt.Errorf("%w: nothing is recorded that could be lifted", ErrState)
	// ErrUnusable means that the person may use nothing, so a new credential
	// would be of no use either. It is an ErrState.
	ErrUnusable = fmt.Errorf("%w: the person may use nothing", ErrState)
	// ErrShared means that the ID is one that several people use, which nobody signs in
	// with (article 46-1). It is an ErrState.
	ErrShared = fmt.Errorf("%w: nobody signs in with a shared ID", ErrState)
	// ErrNoFactor means that the person never had a further factor that could
	// have been lost. It is an ErrState.
	ErrNoFactor = fmt.Errorf("%w: the person has had no further factor", ErrState)
)

// Denied means that the posts of whoever acts, or of the one they act on, do not
// allow it.
type Denied struct{ Permission authz.Permission }

func (d *Denied) Error() string { return "not permitted: " + string(d.Permission.Reason) }

// Invalid means that something which was entered cannot be taken.
type Invalid struct {
	Field, Rule string
	Says        policy.Words
}

func (i *Invalid) Error() string { return "the " + i.Field + " cannot be taken: " + i.Rule }

// A Directory finds people, and ends the lock that it put on a password itself.
type Directory interface {
	Find(ctx context.Context, typed string) (directory.Person, error)
	Search(ctx context.Context, query, after string, limit int) (people []directory.Person, next string, err error)
	Look(ctx context.Context, w directory.Wanted, after string, limit int) (directory.Found, error)
	Unlock(ctx context.Context, p directory.Person) error
	Holders(ctx context.Context, groupDN string) ([]directory.Person, error)
}

// Permits name terminals; authz/permit keeps them.
type Permits interface {
	// Lost ends those that name a terminal, and what was opened by them, in the
	// caller's transaction.
	Lost(ctx context.Context, tx *store.Tx, terminal, by, why string) (int, error)
	// EndOf ends those of a person, and what they wait for.
	EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error)
	// Enrolled has those that name a terminal as a private one know that it is enrolled.
	Enrolled(ctx context.Context, tx *store.Tx, terminal string) error
	// Changed has that seen at once, after the commit.
	Changed(ctx context.Context)
	// Fill adds to facts the permits that they may rest on.
	Fill(ctx context.Context, f *authz.Facts) error
}

// House is what the service is built on.
type House struct {
	In        *signin.Service
	Account   *account.Service
	Directory Directory
	Stock     *totp.Tokens
	Shares    Shares // what applications hold of sessions
	// Permits is the register of permits. nil: there are none.
	Permits Permits
	// Approvals asks a second person where one may not act alone. Without it such
	// acts are refused.
	Approvals *approval.Book
	// Leases end with whoever is suspended.
	Leases Leases
	// Dormancy opens again what was closed because nobody used it. nil: nothing is.
	Dormancy Dormancy
}

// Dormancy is what was done about unused IDs; lifecycle.Book is one.
type Dormancy interface {
	// Reopen writes down that somebody's ID is used again; Bring has the directory
	// follow, after the commit.
	Reopen(ctx context.Context, tx *store.Tx, who directory.Person) error
	Bring(ctx context.Context, id directory.PersonID) error
	// Leave and EndLeave write down leave, whose days do not count; Told has what ended
	// with it seen at once, after the commit.
	Leave(ctx context.Context, tx *store.Tx, l lifecycle.Leave) error
	EndLeave(ctx context.Context, tx *store.Tx, who directory.Person, by string) error
	Told(ctx context.Context)
}

// Leases is privilege that is lent; grant.Book is one.
type Leases interface {
	EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error)
	Changed(ctx context.Context)
}

// searches may read through the directory at the same time. The rest wait, so
// that looking people up leaves connections to those who sign in.
const searches = 2

// Service acts for administrators and those who approve.
type Service struct {
	House
	searching chan struct{}
}

// New builds the service.
func New(h House) *Service {
	s := &Service{House: h, searching: make(chan struct{}, searches)}
	if h.Approvals != nil {
		h.Approvals.Open(approval.Credential, s.desk())
	}
	return s
}

// An actor is somebody signed in, with the posts they hold.
type actor struct {
	session.Session
	posts []policy.PostID
}

// actor is who is behind a cookie. An application's own cookie, and a sign-in
// under way, are nobody.
func (s *Service) actor(ctx context.Context, o signin.Origin, cookie string) (actor, error) {
	if session.KindOf(cookie) != session.KindSession {
		return actor{}, session.ErrNone
	}
	step, err := s.In.Current(ctx, o, cookie)
	if err != nil {
		return actor{}, err
	}
	if step.Session == nil || step.Session.App != "" {
		return actor{}, session.ErrNone
	}
	return actor{*step.Session, s.postsOf(step.Person)}, nil
}

func (s *Service) postsOf(p directory.Person) []policy.PostID {
	return s.In.Policy().PostsOf(p.Groups)
}

// viewer is who may read what act names. To read takes two factors, proved
// within the absolute end of administrators' pages.
func (s *Service) viewer(ctx context.Context, o signin.Origin, cookie string, act authz.Act) (actor, error) {
	a, err := s.actor(ctx, o, cookie)
	if err != nil {
		return actor{}, err
	}
	if may := authz.May(s.In.Policy(), act, a.posts, nil, false); !may.OK() {
		return actor{}, s.refuse(ctx, deed{act: act, origin: o, by: a}, "", may)
	}
	return a, s.proved(a.Session, &account.StepUp{Required: policy.AAL2, MaxAge: s.In.Policy().Session.ElevatedAbsoluteEnd})
}

func (s *Service) proved(n session.Session, need *account.StepUp) error {
	if !n.ACR.AtLeast(need.Required) || s.In.Now().Sub(n.AuthAt) > need.MaxAge {
		return need
	}
	return nil
}

// A deed is one act under way.
type deed struct {
	act    authz.Act
	origin signin.Origin
	by     actor
	on     directory.Person // zero where no person is its object
	may    authz.Permission
	// approval is the second person's, of this very act; "" where none is needed.
	approval string
}

// A finder finds the person whom an act is done to: nobody, for a terminal or a
// token that nobody holds.
type finder func(ctx context.Context) (directory.Person, error)

func nobody(context.Context) (directory.Person, error) { return directory.Person{}, nil }

// called finds a person by login, and by nothing else that might name them.
func (s *Service) called(login string) finder {
	return func(ctx context.Context) (directory.Person, error) {
		p, err := s.Directory.Find(ctx, login)
		switch {
		case errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrAmbiguous):
			return directory.Person{}, ErrNotFound
		case err != nil:
			return directory.Person{}, err
		case directory.Canonical(p.Login) != directory.Canonical(login):
			return directory.Person{}, ErrNotFound
		}
		return p, nil
	}
}

// begin asks everything that must be true before an act: the posts of whoever
// acts, read afresh; how well and how lately they have proved themselves (ASVS
// 7.5.3); and the posts of the one it is done to. Who has no post that includes
// the act is not told whether that person exists.
func (s *Service) begin(ctx context.Context, o signin.Origin, cookie string, act authz.Act, on finder) (deed, error) {
	return s.beginOn(ctx, o, cookie, act, "", on)
}

// beginOn is begin of an act on something of a person's: a factor, or a token.
func (s *Service) beginOn(ctx context.Context, o signin.Origin, cookie string, act authz.Act, what string, on finder) (deed, error) {
	d := deed{act: act, origin: o}
	var err error
	if d.by, err = s.actor(ctx, o, cookie); err != nil {
		return deed{}, err
	}
	facts, err := s.In.Watch.Of(ctx, d.by.Person)
	if err != nil {
		return deed{}, err
	}
	if !facts.Usable(s.In.Now()) {
		return deed{}, session.ErrNone
	}
	pol := s.In.Policy()
	d.by.posts = pol.PostsOf(facts.Person.Groups)
	if d.may = authz.May(pol, act, d.by.posts, nil, false); !d.may.OK() {
		return deed{}, s.refuse(ctx, d, "", d.may)
	}
	// Whoever proved themselves within the idle end has not been idle for longer.
	rules := pol.Session
	need := &account.StepUp{Required: rules.ElevatedACR, MaxAge: min(pol.SignIn.FreshFor, rules.ElevatedIdleEnd, rules.ElevatedAbsoluteEnd)}
	if err := s.proved(d.by.Session, need); err != nil {
		return deed{}, err
	}
	if d.on, err = on(ctx); err != nil {
		return deed{}, err
	}
	// A second ID of one's own is one's own.
	self := d.on.ID != "" && d.on.SameHuman(facts.Person)
	posts := append(pol.PostsOf(d.on.Groups), pol.StandsInFor(d.on.Login, s.In.Now())...)
	d.may = authz.May(pol, act, d.by.posts, posts, self)
	if d.may.Reason == authz.TwoPersons && s.Approvals != nil {
		if d.approval, err = s.secondPerson(ctx, d, facts.Person, what); err != nil {
			return deed{}, err
		}
		d.may = authz.MayJointly(pol, act, d.by.posts, posts, self)
	}
	if !d.may.OK() {
		return deed{}, s.refuse(ctx, d, object(d.on), d.may)
	}
	if act.Gives() {
		if err := s.In.Trail.MayBegin(); err != nil {
			return deed{}, err
		}
	}
	return d, nil
}

// commit does an act with its entry on the trail. It refuses if whoever acts has
// been signed out, or suspended, since it began: of two who suspend each other,
// one does.
func (s *Service) commit(ctx context.Context, d deed, e audit.Entry, do func(tx *store.Tx) error) error {
	err := s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.still(ctx, tx, d); err != nil {
			return err
		}
		if err := do(tx); err != nil {
			return err
		}
		return s.written(ctx, tx, d, e)
	})
	if err != nil {
		return err
	}
	s.noted(ctx)
	return nil
}

// written enters an act on the trail, and for whoever helps the same person next.
func (s *Service) written(ctx context.Context, tx *store.Tx, d deed, e audit.Entry) error {
	if d.on.ID != "" && e.Action != unlocking {
		if err := keep(ctx, tx, s.In.Now(), d.on.ID, e); err != nil {
			return err
		}
	}
	return s.In.Trail.Append(ctx, tx, e)
}

func (s *Service) still(ctx context.Context, tx *store.Tx, d deed) error {
	if err := session.StillSignedIn(ctx, tx, d.by.ID, d.by.Person, s.In.Now()); err != nil {
		return err
	}
	if d.approval != "" {
		// Good once: of two who use it at once, one does.
		return s.Approvals.Spend(ctx, tx, d.approval, approval.Credential, approval.PersonRef{ID: d.by.Person}, s.In.Policy().Approval.LapseAfter)
	}
	return nil
}

// noted has sessions that an act has ended refused here at once. The act stands
// whether or not this succeeds: what is held in memory goes unused until it does.
func (s *Service) noted(ctx context.Context) {
	if err := s.In.Sessions.Poll(context.WithoutCancel(ctx)); err != nil {
		slog.ErrorContext(ctx, "noting ended sessions; memory is not used until it is noted", "error", err)
	}
}

// end ends every session of the one an act was done to, in its transaction.
func (s *Service) end(ctx context.Context, tx *store.Tx, d deed, why string) error {
	return s.In.Sessions.EndAll(ctx, tx, d.on.ID, d.on.Login, "", why)
}

// tell queues a notice to the one an act was done to, in its transaction.
func (s *Service) tell(ctx context.Context, tx *store.Tx, d deed, k notice.Kind, detail map[string]string) error {
	return s.In.Tell(ctx, tx, d.origin, d.on.ID, k, detail)
}

// unlocking is what goes on the trail before the directory's lock is ended, and
// is nothing done yet.
const unlocking = "person.unlocking"

// actions name the acts on the trail.
var actions = map[authz.Act]string{
	authz.ViewPeople: "people.read", authz.Suspend: "person.suspended", authz.Restore: "person.restored",
	authz.RecordLeave: "leave.recorded", authz.EndLeave: "leave.ended", authz.Unlock: "person.unlocked", authz.TemporaryPassword: "password.temporary",
	authz.RecoveryCode: "recovery.issued", authz.RemoveFactor: "factor.removed",
	authz.ViewTerminals: "terminals.read", authz.EnrolTerminal: "terminal.enrolled",
	authz.LoseTerminal: "terminal.lost", authz.RemoveTerminal: "terminal.removed",
	authz.ViewTokens: "tokens.read", authz.ImportTokens: "tokens.imported", authz.AssignToken: "token.assigned",
	authz.ResyncToken: "token.resynced", authz.LoseToken: "token.lost",
	authz.ViewApplications: "applications.read", authz.TryAccess: "access.tried", authz.EndInside: "application.session_ended",
}

// object names a person on the trail: the login for its reader, the id because
// it is the person's for ever.
func object(p directory.Person) string {
	if p.ID == "" {
		return ""
	}
	return p.Login + " (" + string(p.ID) + ")"
}

// entry begins the entry of an act on the trail.
func (d deed) entry(object, reason string, detail map[string]string) audit.Entry {
	return audit.Entry{
		Actor: d.by.Login, Action: actions[d.act], Object: object, Outcome: audit.OK, Reason: reason,
		Articles: d.may.Articles, Detail: detail, From: d.origin.Source.String(), Zone: string(d.origin.Zone),
		Terminal: d.by.Terminal, RequestID: d.origin.RequestID,
	}
}

// refuse enters a refusal on the trail, once a minute for each person, act and
// reason, and returns it: a page that is reloaded must not fill the trail.
func (s *Service) refuse(ctx context.Context, d deed, object string, may authz.Permission) error {
	denied := &Denied{may}
	key := "denied:" + string(d.by.Person) + ":" + string(d.act) + ":" + string(may.Reason)
	if n, err := s.In.Flows.Count(ctx, key, time.Minute); err != nil || n > 1 {
		return denied
	}
	d.may = may
	e := d.entry(object, string(may.Reason), nil)
	e.Outcome = audit.Refused
	if err := s.In.DB.WithTx(ctx, func(tx *store.Tx) error { return s.In.Trail.Append(ctx, tx, e) }); err != nil {
		return fmt.Errorf("recording a refused act: %w", err)
	}
	return denied
}
