package signin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"sekisho/authn/password"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// someone is who a typed name leads to: a person and what is known against
// them, or nobody.
type someone struct {
	facts standing.Facts // Person.ID is "" for nobody
	name  string         // canonical form of what was typed
}

func (w someone) known() bool { return w.facts.Person.ID != "" }

func (s *Service) who(ctx context.Context, typed string) (someone, error) {
	w := someone{name: directory.Canonical(typed)}
	var (
		p     directory.Person
		asked standing.Asked
	)
	err := s.flight.lookUp(ctx, func() (err error) {
		asked = s.Watch.Asking()
		p, err = s.Directory.Find(ctx, typed)
		return err
	})
	switch {
	case errors.Is(err, ErrBusy):
		return w, ErrBusy
	case errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrAmbiguous), errors.Is(err, directory.ErrMalformed):
		return w, nil // a name that leads to two people leads to nobody
	case err != nil:
		return w, &Away{What: "directory", Err: err}
	}
	w.facts, err = s.Watch.WithPerson(ctx, p, asked)
	return w, err
}

// outcome is what verifying a password came to.
type outcome struct {
	refused    string // why, for the trail alone; "" for a right password
	asked      bool   // the directory compared the password
	mustChange bool
}

// verify compares the password of someone who may be nobody. The directory is
// asked only for a person whom the right password would let in; for all others
// the answer is the same and, by the caller's pace, takes the same time.
func (s *Service) verify(ctx context.Context, w someone, pw secret.Text) (outcome, error) {
	now := s.Now()
	// Who knows the password of an ID that several use is told what to do instead, so
	// it is compared.
	against := w.facts.Why(now)
	if against != "" && against != standing.SeveralUse {
		return outcome{refused: against}, nil
	}
	a, rules := w.facts.Person.Account, s.Policy().Password
	if a.MustChange && temporaryEnded(a, rules, now) {
		return outcome{refused: "temporary_password_ended"}, nil
	}
	dead, err := leaked(ctx, s.DB, w.facts.Person.ID)
	if err != nil {
		return outcome{}, err
	}
	if dead {
		return outcome{refused: "password_reported_leaked"}, nil
	}
	if pw.IsEmpty() { // an empty password would be an anonymous bind, which succeeds
		return outcome{refused: "empty_password"}, nil
	}
	// A client that hangs up must not end the question half-way: the directory
	// would count a failure that we take back, and so reach its own lock. The
	// client of the directory has time limits of its own.
	var said directory.Outcome
	err = s.flight.ask(func() (err error) {
		said, err = s.Directory.Authenticate(context.WithoutCancel(ctx), w.facts.Person, pw)
		return err
	})
	if err != nil {
		return outcome{}, &Away{What: "directory", Err: err}
	}
	switch said {
	case directory.OutcomeRight:
		return outcome{asked: true, refused: against, mustChange: a.MustChange || aged(a, rules, now)}, nil
	case directory.OutcomeMustChange, directory.OutcomeExpired:
		return outcome{asked: true, refused: against, mustChange: true}, nil
	case directory.OutcomeLocked:
		return outcome{asked: true, refused: "locked_in_directory"}, nil
	case directory.OutcomeDisabled:
		return outcome{asked: true, refused: "disabled"}, nil
	case directory.OutcomeBarred:
		return outcome{asked: true, refused: "barred_in_directory"}, nil
	}
	return outcome{asked: true, refused: "wrong_password"}, nil
}

// temporaryEnded reports whether a temporary password that nobody has changed
// is too old to be changed (article 64-2; ASVS 6.4.1). One of unknown age is:
// config check asks for a directory that dates passwords.
func temporaryEnded(a directory.Account, r policy.PasswordRules, now time.Time) bool {
	return !now.Before(a.PasswordChangedAt.Add(r.TemporaryEnd))
}

// aged reports whether a password is older than the directory or the policy lets
// it be. Profile standard sets no age: NIST SP 800-63B-4 forbids changing by the
// calendar.
func aged(a directory.Account, r policy.PasswordRules, now time.Time) bool {
	expired := !a.PasswordExpiresAt.IsZero() && !now.Before(a.PasswordExpiresAt)
	return expired || password.Expired(r, a.PasswordChangedAt, now)
}

// leaked reports whether the person's password was reported as known to others
// and not replaced since (article 46-2(4)).
func leaked(ctx context.Context, db *store.DB, id directory.PersonID) (bool, error) {
	var n int
	err := db.QueryRow(ctx, `SELECT COUNT(*) FROM leak_report WHERE person_id = $1 AND cleared_at = 0`, string(id)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("reading leak reports: %w", err)
	}
	return n > 0, nil
}

// refuse enters a refusal on the trail, counts it against the source and, for
// a person, among what they are shown at their next sign-in. It returns
// ErrRefused, or what kept it from doing so.
func (s *Service) refuse(ctx context.Context, o Origin, w someone, action, why string) error {
	// Who does not wait for the answer is entered and counted all the same.
	ctx = context.WithoutCancel(ctx)
	e := s.entry(o, w, action)
	e.Outcome, e.Reason = "refused", why
	err := s.DB.WithTx(ctx, func(tx *store.Tx) error {
		if w.known() {
			if err := session.CountFailure(ctx, tx, w.facts.Person.ID); err != nil {
				return err
			}
		}
		if _, err := s.sources.CountIn(ctx, tx, o.SourceKey(), s.Policy().SignIn.SourceWindow); err != nil {
			return err
		}
		return s.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return fmt.Errorf("recording a refused sign-in: %w", err)
	}
	return ErrRefused
}

// entry begins a trail entry about someone. What was typed as an unknown name
// is not written down: people type passwords there. Its HMAC still lets an
// auditor see that the same name was tried again.
func (s *Service) entry(o Origin, w someone, action string) audit.Entry {
	e := audit.Entry{
		Actor: "unknown", Action: action, Articles: []policy.Article{"62-2", "63-7"},
		From: o.Source.String(), Zone: string(o.Zone), RequestID: o.RequestID,
	}
	if w.known() {
		e.Actor, e.Object = w.facts.Person.Login, string(w.facts.Person.ID)
	} else {
		e.Object = "name:" + s.nameTag(w.name)
	}
	return e
}

// nameTag stands for a name that leads to nobody.
func (s *Service) nameTag(name string) string {
	return hex.EncodeToString(s.Sessions.Tag("name", name))[:24]
}

// zoneOpen refuses whoever comes from a network of a zone that this gateway
// does not serve and that no permit leads from, before anything about anybody is
// asked. It is entered once a minute for each source.
func (s *Service) zoneOpen(ctx context.Context, o Origin) error {
	err := s.Welcomes(ctx, o)
	var refusal *WrongZone
	if !errors.As(err, &refusal) {
		return err
	}
	n, err := s.Flows.Count(ctx, "zone:"+o.SourceKey(), time.Minute)
	if err != nil {
		return &Away{What: "ephemeral store", Err: err}
	}
	if n > 1 {
		return refusal
	}
	err = s.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		return s.Trail.Append(ctx, tx, audit.Entry{
			Actor: "unknown", Action: "sign_in.zone", Object: string(o.Zone), Outcome: audit.Refused, Reason: "zone_not_served",
			Articles: refusal.Articles(), From: o.Source.String(), Zone: string(o.Zone), RequestID: o.RequestID,
		})
	})
	if err != nil {
		return fmt.Errorf("recording a sign-in from another zone: %w", err)
	}
	return refusal
}

// sourceOpen refuses a source address of another zone, and one that has failed
// too often lately, whatever names it tries. The count is a row, in the transaction
// of the refusal: it is the same at every gateway, and emptying Redis gives no
// tries back.
func (s *Service) sourceOpen(ctx context.Context, o Origin) error {
	if err := s.zoneOpen(ctx, o); err != nil {
		return err
	}
	rules := s.Policy().SignIn
	n, err := s.sources.Peek(ctx, o.SourceKey())
	if err != nil {
		return err
	}
	if rules.SourceFailures > 0 && n >= rules.SourceFailures {
		return &Held{RetryAfter: rules.SourceWindow}
	}
	return nil
}

// SourceKey groups addresses as one source: an IPv4 address is one, an IPv6
// network of 64 bits is one, since a single machine has all of it.
func (o Origin) SourceKey() string {
	addr := o.Source.Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return "source:" + p.String()
		}
	}
	return "source:" + addr.String()
}
