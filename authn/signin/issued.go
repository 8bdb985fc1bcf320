package signin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sekisho/authn/password"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// What others do to a person's credentials is decided elsewhere (authz). Here is
// how it is done, so that it cannot be done otherwise than what people do to
// their own.

// kinds are what failures are counted against, as credential names them.
var kinds = []string{"pw", "otp", "rec"}

// Unlock forgets every failure against a person's credentials, on all ways, in
// the caller's transaction.
func (s *Service) Unlock(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	for _, kind := range kinds {
		if err := clear(ctx, tx, credential(kind, string(person))); err != nil {
			return fmt.Errorf("forgetting failures: %w", err)
		}
	}
	return nil
}

// Rebound forgets the failures against a person's codes, in the transaction that
// gives them something new to make codes with: what was guessed at is not what
// they hold now.
func (s *Service) Rebound(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	if err := clear(ctx, tx, credential("otp", string(person))); err != nil {
		return fmt.Errorf("forgetting failures: %w", err)
	}
	return nil
}

// A Count is how failures stand against one kind of credential of a person, for
// whoever comes by a browser that is not known.
type Count struct {
	Failures  int       // consecutive
	HeldUntil time.Time // zero, or past: nothing is held
	Spent     bool      // opens nothing until it is bound again or unlocked
}

// Counts says how failures stand against a person's password and codes.
func (s *Service) Counts(ctx context.Context, p directory.Person) (pw, code Count, err error) {
	w := someone{name: p.Login}
	w.facts.Person = p
	ways, err := s.passwordWays(ctx, Origin{}, w)
	if err != nil {
		return pw, code, err
	}
	if pw, err = s.count(ctx, ways); err != nil {
		return pw, code, err
	}
	code, err = s.count(ctx, s.codeWays(p.ID))
	return pw, code, err
}

func (s *Service) count(ctx context.Context, ways []way) (Count, error) {
	var c Count
	for _, w := range ways {
		var (
			failures int
			held     int64
		)
		err := s.DB.QueryRow(ctx, `SELECT failures, held_until FROM attempt WHERE credential = $1`, w.credential).Scan(&failures, &held)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return Count{}, fmt.Errorf("counting failures: %w", err)
		}
		c.Failures = max(c.Failures, failures)
		if until := store.FromMicros(held); until.After(c.HeldUntil) {
			c.HeldUntil = until
		}
		c.Spent = c.Spent || failures >= w.rule.Limit
	}
	return c, nil
}

// An Issue is the giving out of a credential: to whom, and what its giver writes
// down. Both functions run inside a transaction and may run more than once.
type Issue struct {
	To directory.Person
	// Entry begins an entry of the trail about it, by whoever gives it out.
	Entry audit.Entry
	// Still refuses if whoever gives it out may not do so any more.
	Still func(tx *store.Tx) error
	// Undone, if there is one, is done when the directory did not take the password, or
	// nobody can say whether it did.
	Undone func(tx *store.Tx) error
	// Done writes down that it was given out.
	Done func(tx *store.Tx) error
}

// IssuePassword gives a person a temporary password, made here, which they must
// change at their next sign-in (articles 46-2(6), 64-2; ASVS 6.4.6). Every
// session of theirs ends. It is good until ends, shown to whoever gives it out,
// and written down nowhere.
//
// It is intended, done and settled as one's own change is (design rule 8):
// Recover settles what a crash leaves between the directory and the store, and
// the password, which nobody has then seen, dies with its end.
func (s *Service) IssuePassword(ctx context.Context, i Issue) (pw secret.Text, ends time.Time, err error) {
	pw = password.Temporary()
	digest, err := s.History.Digest(ctx, i.To.ID, pw)
	if err != nil {
		return secret.Text{}, time.Time{}, busy(err)
	}
	done, err := s.Changing(ctx, i.To.ID)
	if err != nil {
		return secret.Text{}, time.Time{}, err
	}
	defer done()
	var intent string
	err = s.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := i.Still(tx); err != nil {
			return err
		}
		if intent, err = s.History.Intend(ctx, tx, digest); err != nil {
			return err
		}
		// No browser is known any more from here on, whether the change is
		// settled at once or after a crash.
		if err := s.ForgetBrowsers(ctx, tx, i.To.ID); err != nil {
			return err
		}
		e := i.Entry
		e.Action, e.Articles = "password.changing", []policy.Article{"46-2(6)", "64-2"}
		return s.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return secret.Text{}, time.Time{}, err
	}
	// The directory dates passwords by whole seconds.
	ends = s.Now().Truncate(time.Second).Add(s.Policy().Password.TemporaryEnd)
	if err := s.Directory.ResetPassword(ctx, i.To, pw, true); err != nil {
		err = s.DropPassword(ctx, intent, err)
		if i.Undone != nil {
			err = errors.Join(err, s.DB.WithTx(context.WithoutCancel(ctx), i.Undone))
		}
		return secret.Text{}, time.Time{}, err
	}
	s.Watch.Forget(i.To.ID)
	ctx = context.WithoutCancel(ctx) // it is done: whoever hangs up now leaves nothing open
	err = s.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.SettlePassword(ctx, tx, i.To, intent, ""); err != nil {
			return err
		}
		return i.Done(tx)
	})
	if err != nil {
		return secret.Text{}, time.Time{}, err
	}
	return pw, ends, nil
}

// HasLost reports whether a person's last further factor was taken away and no
// other is bound yet.
func (s *Service) HasLost(ctx context.Context, person directory.PersonID) (bool, error) {
	return s.lost(ctx, person)
}

// IssueRecovery makes a recovery code for a person in the caller's transaction.
// byTwo: a second person has approved it, so that somebody powerful may use it.
// Failures were against the code before it.
func (s *Service) IssueRecovery(ctx context.Context, tx *store.Tx, person directory.PersonID, by string, byTwo bool) (secret.Text, time.Time, error) {
	if err := clear(ctx, tx, credential("rec", string(person))); err != nil {
		return secret.Text{}, time.Time{}, fmt.Errorf("forgetting failures: %w", err)
	}
	return s.Recovery.Issue(ctx, tx, person, by, byTwo)
}
