package lockdown

import (
	"context"
	"errors"
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
	"sekisho/policy/secret"
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

// draft is the lock-down that an order would make.
func (s *Service) draft(ctx context.Context, o signin.Origin, a actor, r Order) (authz.LockDown, Authority, error) {
	pol, now := s.In.Policy(), s.In.Now()
	right, why := MayOrder(pol, a.posts, now)
	if why != nil {
		return authz.LockDown{}, "", s.refuse(ctx, o, a, "lockdown.ordered", why)
	}
	if err := s.proved(a); err != nil {
		return authz.LockDown{}, "", err
	}
	if why := r.check(pol); why != nil {
		return authz.LockDown{}, "", why
	}
	l := authz.LockDown{
		ID: r.ID, Scope: r.Scope, Target: r.Target, Reason: r.Reason, By: a.Login,
		OrderedAt: now, EndsAt: now.Add(time.Duration(r.Minutes) * time.Minute),
	}
	if l.ID == "" {
		l.ID = secret.Token(idBytes)
	}
	if right == Delegated {
		l.RatifyBy = now.Add(pol.LockDown.RatifyWithin)
	}
	switch r.Scope {
	case authz.LockPerson:
		p, err := s.Directory.Find(ctx, r.Target)
		switch {
		case errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrAmbiguous), errors.Is(err, directory.ErrMalformed):
			return l, right, bad("target", "unknown", "その名前の人は見つかりません。", "Nobody of that name is known.")
		case err != nil:
			return l, right, err
		case p.ID == a.Person:
			return l, right, bad("target", "oneself", "自分自身は指定できません。", "Nobody aims it at themselves.")
		case right == Delegated && slices.Contains(pol.PostsOf(p.Groups), policy.CIO):
			return l, right, bad("target", "delegated_by", "委任した本人（ＣＩＯ）に対しては使えません。", "What the CIO has delegated is not used against the CIO.")
		}
		l.Person, l.Target = p.ID, p.Login
	case authz.LockTerminal:
		if _, ok := pol.Terminal(r.Target); !ok {
			if known, err := s.enrolled(ctx, r.Target); err != nil {
				return l, right, err
			} else if !known {
				return l, right, bad("target", "unknown", "その端末機は登録されていません。", "No such terminal is enrolled.")
			}
		}
	}
	return l, right, nil
}

func (s *Service) enrolled(ctx context.Context, id string) (bool, error) {
	var n int
	if err := s.In.DB.QueryRow(ctx, `SELECT COUNT(*) FROM terminal WHERE id = $1`, id).Scan(&n); err != nil {
		return false, fmt.Errorf("reading the register of terminals: %w", err)
	}
	return n > 0, nil
}

// unansweredFor is how long what the CIO did not ratify is not ordered again under
// delegation.
const unansweredFor = 24 * time.Hour

// unanswered refuses an order under delegation that is the same as one which nobody
// ratified: renewed each time, it would need the CIO no more (article 11-4).
func unanswered(ctx context.Context, tx *store.Tx, l authz.LockDown) error {
	var n int
	err := tx.QueryRow(ctx, `
		SELECT COUNT(*) FROM lockdown
		WHERE  scope = $1 AND target = $2 AND ordered_at > $3 AND ratify_by > 0 AND ratify_by <= $4 AND ratified_at = 0 AND lifted_at = 0`,
		string(l.Scope), l.Target, store.Micros(l.OrderedAt.Add(-unansweredFor)), store.Micros(l.OrderedAt)).Scan(&n)
	if err != nil {
		return fmt.Errorf("looking for lock-downs that nobody ratified: %w", err)
	}
	if n > 0 {
		return no("not_ratified", "同じ緊急停止が追認されないまま終わっています。ＣＩＯに連絡してください。",
			"The same lock-down ended without being ratified. Please call the CIO.")
	}
	return nil
}

// Order gives an order: its row, the end of every session and lease in scope, and
// its entry on the trail commit together.
func (s *Service) Order(ctx context.Context, o signin.Origin, cookie string, r Order) (authz.LockDown, error) {
	a, err := s.orderer(ctx, o, cookie)
	if err != nil {
		return authz.LockDown{}, err
	}
	l, right, err := s.draft(ctx, o, a, r.tidy())
	if err != nil {
		return authz.LockDown{}, err
	}
	seen, err := s.reach(ctx, l, a)
	if err != nil {
		return authz.LockDown{}, err
	}
	tell := s.concerned(ctx)
	var before *authz.LockDown
	err = s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
		before = nil
		if err := s.In.Sessions.StillOpen(ctx, tx, a.ID); err != nil {
			return err
		}
		if same, err := s.ordered(ctx, tx, l); err != nil || same != nil {
			before = same
			return err
		}
		if right == Delegated {
			if err := unanswered(ctx, tx, l); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO lockdown (id, scope, target, person_id, reason, ordered_by, ordered_at, ends_at, ratify_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			l.ID, string(l.Scope), l.Target, string(l.Person), l.Reason, l.By, store.Micros(l.OrderedAt), store.Micros(l.EndsAt), store.Micros(l.RatifyBy))
		if err != nil {
			return fmt.Errorf("ordering a lock-down: %w", err)
		}
		// Who came in since the people were read is in the list of now. Nobody
		// comes in after it: a sign-in reads the row.
		all, err := s.In.Sessions.Everyone(ctx, tx)
		if err != nil {
			return err
		}
		now := reached{people: seen.people}
		now.look(s.Orders, l, all, a)
		why := "lock-down " + l.ID
		ended, err := s.In.Sessions.Shut(ctx, tx, now.sessions, why)
		if err != nil {
			return err
		}
		if l.Scope == authz.LockApplication {
			n, err := s.In.Sessions.ShutApplication(ctx, tx, l.Target, why)
			if err != nil {
				return err
			}
			ended += n
		}
		lent := 0
		if s.Leases != nil { // of now, likewise
			held, err := s.Leases.Borrowers(ctx, tx)
			if err != nil {
				return err
			}
			now.borrow(s.Orders, l, held)
			if lent, err = s.Leases.EndFor(ctx, tx, now.lent, a.Login, why); err != nil {
				return err
			}
		}
		detail := map[string]string{
			"scope": string(l.Scope), "right": string(right), "until": l.EndsAt.UTC().Format(time.RFC3339),
			"sessions": fmt.Sprint(ended), "leases": fmt.Sprint(lent),
		}
		if l.Target != "" {
			detail["target"] = l.Target
		}
		if right == Delegated {
			detail["ratify_by"], detail["decision"] = l.RatifyBy.UTC().Format(time.RFC3339), s.In.Policy().LockDown.Delegation.Decision
		}
		err = s.tell(ctx, tx, o, tell, notice.LockDownOrdered, map[string]string{
			"by": a.Name, "scope": string(l.Scope), "target": l.Target, "until": l.Until().UTC().Format(time.RFC3339), "reason": l.Reason,
		})
		if err != nil {
			return err
		}
		return s.In.Trail.Append(ctx, tx, s.entry(o, a, "lockdown.ordered", l.ID, l.Reason, detail))
	})
	if err != nil {
		return authz.LockDown{}, err
	}
	if before != nil {
		return *before, nil
	}
	s.noted(ctx)
	if s.Leases != nil {
		s.Leases.Changed(context.WithoutCancel(ctx))
	}
	return l, nil
}

// ordered finds the same order, given a moment ago: a button was pressed twice.
func (s *Service) ordered(ctx context.Context, tx *store.Tx, l authz.LockDown) (*authz.LockDown, error) {
	same, err := scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM lockdown WHERE id = $1`, l.ID))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if same.By != l.By || same.Scope != l.Scope || same.Target != l.Target {
		return nil, ErrNotFound // somebody else's
	}
	return &same, nil
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

// Ratify makes what was ordered under delegation the CIO's own.
func (s *Service) Ratify(ctx context.Context, o signin.Origin, cookie, id string) (authz.LockDown, error) {
	a, err := s.actor(ctx, o, cookie)
	if err != nil {
		return authz.LockDown{}, err
	}
	if why := MayRatify(s.In.Policy(), a.posts); why != nil {
		return authz.LockDown{}, s.refuse(ctx, o, a, "lockdown.ratified", why)
	}
	if err := s.proved(a); err != nil {
		return authz.LockDown{}, err
	}
	var l authz.LockDown
	err = s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.In.Sessions.StillOpen(ctx, tx, a.ID); err != nil {
			return err
		}
		if l, err = s.byID(ctx, tx, id); err != nil {
			return err
		}
		now := s.In.Now()
		err = tx.ExecOne(ctx, `
			UPDATE lockdown SET ratified_at = $1, ratified_by = $2, version = version + 1
			WHERE  id = $3 AND lifted_at = 0 AND ratified_at = 0 AND ratify_by > $1 AND ends_at > $1`, store.Micros(now), a.Login, id)
		if errors.Is(err, store.ErrUntouched) {
			return ErrNotFound // the CIO's own, ratified already, or over
		}
		if err != nil {
			return err
		}
		l.RatifiedAt, l.RatifiedBy = now, a.Login
		return s.In.Trail.Append(ctx, tx, s.entry(o, a, "lockdown.ratified", id, "", map[string]string{"until": l.EndsAt.UTC().Format(time.RFC3339)}))
	})
	if err != nil {
		return authz.LockDown{}, err
	}
	s.noted(ctx)
	return l, nil
}

// Lift ends a lock-down. What it ended stays ended.
func (s *Service) Lift(ctx context.Context, o signin.Origin, cookie, id, why string) error {
	a, err := s.actor(ctx, o, cookie)
	if err != nil {
		return err
	}
	if _, refused := MayOrder(s.In.Policy(), a.posts, s.In.Now()); refused != nil {
		return s.refuse(ctx, o, a, "lockdown.lifted", refused)
	}
	if err := s.proved(a); err != nil {
		return err
	}
	if refused := reason("reason", Order{Reason: why}.tidy().Reason); refused != nil {
		return refused
	}
	l, err := s.byID(ctx, s.In.DB, id)
	if err != nil {
		return err
	}
	if refused := MayLift(s.In.Policy(), a.posts, l, s.In.Now()); refused != nil {
		return s.refuse(ctx, o, a, "lockdown.lifted", refused)
	}
	tell := s.concerned(ctx)
	err = s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.In.Sessions.StillOpen(ctx, tx, a.ID); err != nil {
			return err
		}
		if l, err = s.byID(ctx, tx, id); err != nil { // ratified meanwhile, perhaps
			return err
		}
		if refused := MayLift(s.In.Policy(), a.posts, l, s.In.Now()); refused != nil {
			return refused
		}
		if err := lift(ctx, tx, id, a.Login, why, false, s.In.Now()); err != nil {
			return err
		}
		err := s.tell(ctx, tx, o, tell, notice.LockDownLifted, map[string]string{"by": a.Name, "scope": string(l.Scope), "target": l.Target, "reason": why})
		if err != nil {
			return err
		}
		return s.In.Trail.Append(ctx, tx, s.entry(o, a, "lockdown.lifted", id, why, nil))
	})
	if err != nil {
		return err
	}
	s.noted(ctx)
	return nil
}

func lift(ctx context.Context, tx *store.Tx, id, by, why string, sealed bool, now time.Time) error {
	mark := 0
	if sealed {
		mark = 1
	}
	err := tx.ExecOne(ctx, `
		UPDATE lockdown SET lifted_at = $1, lifted_by = $2, lift_reason = $3, envelope = $4, version = version + 1
		WHERE  id = $5 AND lifted_at = 0`, store.Micros(now), by, why, mark, id)
	if errors.Is(err, store.ErrUntouched) {
		return ErrNotFound
	}
	return err
}

// List are the last lock-downs, in force or over, newest first.
func (s *Service) List(ctx context.Context, o signin.Origin, cookie string) ([]authz.LockDown, error) {
	a, err := s.actor(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	if why := MaySee(s.In.Policy(), a.posts); why != nil {
		return nil, s.refuse(ctx, o, a, "lockdown.read", why)
	}
	return s.Orders.Lately(ctx)
}

// A Room is what somebody who looks at lock-downs finds.
type Room struct {
	InForce []authz.LockDown
	Past    []authz.LockDown
	Right   Authority       // by which the reader orders; "" for none
	Refused *Refusal        // why they do not
	StepUp  *account.StepUp // the sign-in that each act takes first; nil: the present one does
	Ratify  map[string]bool // by id: the reader may
	Lift    map[string]bool
	Longest time.Duration
	Within  time.Duration // in which the CIO ratifies
}

// Room opens also while the directory is away: it goes by what was last known.
func (s *Service) Room(ctx context.Context, o signin.Origin, cookie string) (Room, error) {
	a, err := s.orderer(ctx, o, cookie)
	if err != nil {
		return Room{}, err
	}
	pol, now := s.In.Policy(), s.In.Now()
	if why := MaySee(pol, a.posts); why != nil {
		return Room{}, s.refuse(ctx, o, a, "lockdown.read", why)
	}
	r := Room{Ratify: map[string]bool{}, Lift: map[string]bool{}, Longest: pol.LockDown.Longest, Within: pol.LockDown.RatifyWithin}
	r.Right, r.Refused = MayOrder(pol, a.posts, now)
	var need *account.StepUp
	if errors.As(s.proved(a), &need) {
		r.StepUp = need
	}
	all, err := s.Orders.Lately(ctx)
	if err != nil {
		return Room{}, err
	}
	for _, l := range all {
		if !l.Live(now) {
			r.Past = append(r.Past, l)
			continue
		}
		r.InForce = append(r.InForce, l)
		r.Lift[l.ID] = MayLift(pol, a.posts, l, now) == nil
		r.Ratify[l.ID] = !l.RatifyBy.IsZero() && l.RatifiedAt.IsZero() && MayRatify(pol, a.posts) == nil
	}
	return r, nil
}

// TellSealed tells those concerned of what a sealed key lifted: at the console
// where that is done, nobody can be asked who they are. Of several gateways one
// does.
func (s *Service) TellSealed(ctx context.Context) error {
	if err := s.Orders.Count(ctx); err != nil {
		return err
	}
	untold, err := read(ctx, s.In.DB, `envelope = 1 AND told_at = 0 ORDER BY lifted_at`)
	if err != nil || len(untold) == 0 {
		return err
	}
	pol := s.In.Policy()
	var from signin.Origin
	for _, z := range pol.Zones {
		if notice.Mails(pol, z.ID) {
			from.Zone = z.ID
		}
	}
	tell := s.concerned(ctx)
	for _, l := range untold {
		slog.WarnContext(ctx, "a lock-down was lifted by a sealed key", "lockdown", l.ID, "operator", l.LiftedBy)
		err := s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
			err := tx.ExecOne(ctx, `UPDATE lockdown SET told_at = $1 WHERE id = $2 AND told_at = 0`, store.Micros(s.In.Now()), l.ID)
			if errors.Is(err, store.ErrUntouched) {
				return nil // another gateway has
			}
			if err != nil {
				return err
			}
			return s.tell(ctx, tx, from, tell, notice.LockDownLifted, map[string]string{
				"by": l.LiftedBy, "scope": string(l.Scope), "target": l.Target, "reason": l.LiftReason,
			})
		})
		if err != nil {
			return fmt.Errorf("telling of a sealed key: %w", err)
		}
	}
	return nil
}
