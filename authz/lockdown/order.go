package lockdown

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

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
		if _, err := tx.Exec(ctx, insert, values(l)...); err != nil {
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
