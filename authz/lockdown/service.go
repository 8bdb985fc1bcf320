package lockdown

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Leases ends what is lent; grant is one. It is declared here because this is where
// it is needed.
type Leases interface {
	// EndFor takes back everything lent to people, in the caller's transaction.
	EndFor(ctx context.Context, tx *store.Tx, people []directory.PersonID, by, why string) (int, error)
	// Borrowers are those whom it would take something from.
	Borrowers(ctx context.Context, in store.Reader) ([]directory.PersonID, error)
	// Changed has what was taken back seen at once, after the commit.
	Changed(ctx context.Context)
}

// A Directory finds whom an order is aimed at, and who holds a post.
type Directory interface {
	Find(ctx context.Context, typed string) (directory.Person, error)
	Holders(ctx context.Context, groupDN string) ([]directory.Person, error)
}

// House is what the service is built on. Leases may be nil: nothing is lent.
type House struct {
	Orders    *Orders
	In        *signin.Service
	Directory Directory
	Leases    Leases
}

// Service orders, ratifies and lifts.
type Service struct{ House }

// NewService builds the service.
func NewService(h House) *Service { return &Service{h} }

// An actor is somebody signed in, with the posts they hold.
type actor struct {
	session.Session
	person directory.Person
	posts  []policy.PostID
}

// orderer is actor for who stops something: that goes by what was last known where
// the directory is away, which an attacker may have seen to.
func (s *Service) orderer(ctx context.Context, o signin.Origin, cookie string) (actor, error) {
	return s.acting(ctx, o, cookie, func(n session.Session) (standing.Facts, error) {
		zone, _ := s.In.Policy().Zone(n.Zone)
		return s.In.Watch.Lately(ctx, n.Person, zone.DirectoryStale)
	})
}

// actor is somebody who is signed in, read afresh.
func (s *Service) actor(ctx context.Context, o signin.Origin, cookie string) (actor, error) {
	return s.acting(ctx, o, cookie, func(n session.Session) (standing.Facts, error) { return s.In.Watch.Of(ctx, n.Person) })
}

func (s *Service) acting(ctx context.Context, o signin.Origin, cookie string, read func(session.Session) (standing.Facts, error)) (actor, error) {
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
	facts, err := read(*step.Session)
	if err != nil {
		return actor{}, err
	}
	if !facts.Usable(s.In.Now()) {
		return actor{}, session.ErrNone
	}
	return actor{*step.Session, facts.Person, s.In.Policy().PostsOf(facts.Person.Groups)}, nil
}

// proved asks how well and how lately whoever acts has proved themselves (ASVS
// 7.5.3).
func (s *Service) proved(a actor) error {
	rules := s.In.Policy().Session
	need := &account.StepUp{Required: rules.ElevatedACR, MaxAge: min(s.In.Policy().SignIn.FreshFor, rules.ElevatedIdleEnd, rules.ElevatedAbsoluteEnd)}
	if !a.ACR.AtLeast(need.Required) || s.In.Now().Sub(a.AuthAt) > need.MaxAge {
		return need
	}
	return nil
}

// refuse enters a refusal on the trail, once a minute for each person, act and
// reason.
func (s *Service) refuse(ctx context.Context, o signin.Origin, a actor, action string, why *Refusal) error {
	if n, err := s.In.Flows.Count(ctx, "lockdown:"+string(a.Person)+":"+action+":"+why.Reason, time.Minute); err != nil || n > 1 {
		return why
	}
	e := s.entry(o, a, action, "", why.Reason, nil)
	e.Outcome = audit.Refused
	if err := s.In.DB.WithTx(ctx, func(tx *store.Tx) error { return s.In.Trail.Append(ctx, tx, e) }); err != nil {
		return fmt.Errorf("recording a refused act: %w", err)
	}
	return why
}

func (s *Service) entry(o signin.Origin, a actor, action, object, reason string, detail map[string]string) audit.Entry {
	return audit.Entry{
		Actor: a.Login, Action: action, Object: object, Outcome: audit.OK, Reason: reason, Articles: articles, Detail: detail,
		From: o.Source.String(), Zone: string(o.Zone), Terminal: a.Terminal, RequestID: o.RequestID,
	}
}

// concerned are those who are told of a lock-down: whoever may ratify or lift it,
// and whoever answers for a 部局. Who cannot be read is not told: stopping what goes
// on waits for nobody.
func (s *Service) concerned(ctx context.Context) []directory.Person {
	var out []directory.Person
	for _, id := range []policy.PostID{policy.CIO, policy.CSIRT, policy.SecurityOfficer} {
		post, ok := s.In.Policy().Post(id)
		if !ok || post.Group == "" {
			continue
		}
		people, err := s.Directory.Holders(ctx, post.Group)
		if err != nil {
			slog.ErrorContext(ctx, "reading whom to tell of a lock-down", "post", string(id), "error", err)
			continue
		}
		for _, p := range people {
			if !slices.ContainsFunc(out, func(q directory.Person) bool { return q.ID == p.ID }) {
				out = append(out, p)
			}
		}
	}
	return out
}

func (s *Service) tell(ctx context.Context, tx *store.Tx, o signin.Origin, to []directory.Person, k notice.Kind, detail map[string]string) error {
	for _, p := range to {
		if err := s.In.Tell(ctx, tx, o, p.ID, k, detail); err != nil {
			return err
		}
	}
	return nil
}

// noted has every gateway hear of it at once. The act stands whether or not this
// succeeds: what is held in memory goes unused until it does.
func (s *Service) noted(ctx context.Context) {
	if err := s.In.Sessions.Poll(context.WithoutCancel(ctx)); err != nil {
		slog.ErrorContext(ctx, "noting a lock-down; memory is not used until it is noted", "error", err)
	}
}

// byID reads one lock-down in force, in the transaction that changes it.
func (s *Service) byID(ctx context.Context, in store.Reader, id string) (authz.LockDown, error) {
	l, err := scan(in.QueryRow(ctx, `SELECT `+columns+` FROM lockdown WHERE id = $1`, id))
	if err != nil {
		return authz.LockDown{}, err
	}
	if !l.Live(s.In.Now()) {
		return authz.LockDown{}, ErrNotFound
	}
	return l, nil
}
