// Package account is what signed-in people do to what is theirs: password,
// factors, sessions, and telling that a password leaked.
//
// It acts for the person behind the cookie alone and never takes a person's id
// from outside, so nobody can reach another's account through it. It does not
// know how administrators act on others.
package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sekisho/authn"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

var (
	// ErrNotFound means that nothing of that id is the person's.
	ErrNotFound = errors.New("not found")
	// ErrLastFactor means that the factor is the last that reaches what the
	// person's zone asks for; another must be added first.
	ErrLastFactor = errors.New("the last factor cannot be removed")
)

// ErrInPerson means that a leak was reported and dealt with, and that the person
// gets a new password in person: there is no other factor to go on with. It is
// session.ErrNone too, since nothing is signed in any more.
var ErrInPerson = fmt.Errorf("reported; a new password is given in person: %w", session.ErrNone)

// StepUp means that the act needs the person to sign in again, or more
// strongly.
type StepUp struct {
	Required policy.ACR
	MaxAge   time.Duration
}

func (s *StepUp) Error() string {
	return fmt.Sprintf("sign in again with %s within the last %v", s.Required, s.MaxAge)
}

// A Factor is something the person can prove who they are with.
type Factor struct {
	ID, Kind, Name      string // Kind: "totp", "token", "passkey" or "card"
	Synced              bool   // a passkey that its maker copies between devices
	Serial              string // of a hardware token
	AddedAt, LastUsedAt time.Time
}

// A Directory changes the password of a person who knows the current one.
type Directory interface {
	signin.Directory
	ChangePassword(ctx context.Context, p directory.Person, current, pw secret.Text) error
	ByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
}

// Service acts for signed-in people.
type Service struct {
	in  *signin.Service
	dir Directory
}

// New builds on the sign-in of the house.
func New(in *signin.Service, dir Directory) *Service { return &Service{in, dir} }

// me is the session behind a cookie and its person.
func (s *Service) me(ctx context.Context, o signin.Origin, cookie string) (session.Session, directory.Person, error) {
	if session.KindOf(cookie) != session.KindSession {
		return session.Session{}, directory.Person{}, session.ErrNone
	}
	step, err := s.in.Current(ctx, o, cookie)
	if err != nil {
		return session.Session{}, directory.Person{}, err
	}
	if step.Session.App != "" { // an application's own cookie opens its host alone
		return session.Session{}, directory.Person{}, session.ErrNone
	}
	return *step.Session, step.Person, nil
}

// fresh asks for a sign-in recent and strong enough to change a factor: as
// strong as what the person has enrolled (ASVS 7.5.1, 6.1.3).
func (s *Service) fresh(ctx context.Context, n session.Session) error {
	rules := s.in.Policy().SignIn
	factors, err := s.FactorsOf(ctx, n.Person)
	if err != nil {
		return err
	}
	need := &StepUp{Required: policy.AAL1, MaxAge: rules.FreshFor}
	if len(factors) > 0 {
		need.Required = policy.AAL2
	}
	if !n.ACR.AtLeast(need.Required) || s.in.Now().Sub(n.AuthAt) > rules.FreshFor {
		return need
	}
	return nil
}

// ChangePassword replaces the person's password, who must know the current
// one. Every session ends but this, which gets a new handle.
func (s *Service) ChangePassword(ctx context.Context, o signin.Origin, cookie string, current, pw secret.Text) (signin.Step, error) {
	n, p, err := s.me(ctx, o, cookie)
	if err != nil {
		return signin.Step{}, err
	}
	if err := s.in.Recheck(ctx, o, p, current); err != nil {
		return signin.Step{}, err
	}
	enrolled, err := s.enrolled(ctx, p.ID)
	if err != nil {
		return signin.Step{}, err
	}
	digest, err := s.in.Acceptable(ctx, p, enrolled, current, pw)
	if err != nil {
		return signin.Step{}, err
	}
	done, err := s.in.Changing(ctx, p.ID)
	if err != nil {
		return signin.Step{}, err
	}
	defer done()
	intent, err := s.in.IntendPassword(ctx, o, p, digest)
	if err != nil {
		return signin.Step{}, err
	}
	if err := s.dir.ChangePassword(ctx, p, current, pw); err != nil {
		return signin.Step{}, s.in.DropPassword(ctx, intent, err)
	}
	s.in.Watch.Forget(p.ID)
	return s.rise(ctx, o, n, p, "password.changed", nil, func(tx *store.Tx) error {
		if err := s.in.Tell(ctx, tx, o, p.ID, notice.PasswordChanged, nil); err != nil {
			return err
		}
		return s.in.SettlePassword(ctx, tx, p, intent, n.ID)
	})
}

// enrolled is what a new password will stand beside.
func (s *Service) enrolled(ctx context.Context, id directory.PersonID) ([]authn.Method, error) {
	factors, err := s.FactorsOf(ctx, id)
	if err != nil || len(factors) == 0 {
		return nil, err
	}
	return []authn.Method{authn.OTP}, nil
}

// rise commits an act on the person's own credentials with its trail entry,
// ends their other sessions, and gives this one a new handle.
func (s *Service) rise(ctx context.Context, o signin.Origin, n session.Session, p directory.Person, action string, detail map[string]string, act func(*store.Tx) error) (signin.Step, error) {
	var cookie string
	e := s.entry(o, n, action)
	e.Detail = detail
	err := s.in.Commit(ctx, func(tx *store.Tx) error {
		err := act(tx)
		if err != nil {
			return err
		}
		if err := s.in.Sessions.EndAll(ctx, tx, p.ID, p.Login, n.ID, action); err != nil {
			return err
		}
		if cookie, err = s.in.Sessions.Rotate(ctx, tx, n.ID, n.AuthAt); err != nil {
			return err
		}
		return s.in.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return signin.Step{}, err
	}
	if err := s.in.Sessions.Poll(ctx); err != nil {
		return signin.Step{}, err
	}
	return signin.Step{State: authn.SignedIn, Cookie: cookie, CSRF: s.in.Sessions.CSRF(cookie), Session: &n, Person: p}, nil
}

func (s *Service) entry(o signin.Origin, n session.Session, action string) audit.Entry {
	return audit.Entry{
		Actor: n.Login, Action: action, Object: string(n.Person), Outcome: "ok",
		Articles: []policy.Article{"46-2(3)", "64-1", "64-3"},
		From:     o.Source.String(), Zone: string(o.Zone), RequestID: o.RequestID,
	}
}

// Sessions lists the person's sessions; current is the id of this one.
func (s *Service) Sessions(ctx context.Context, o signin.Origin, cookie string) (list []session.Session, current string, err error) {
	n, _, err := s.me(ctx, o, cookie)
	if err != nil {
		return nil, "", err
	}
	list, err = s.in.Sessions.List(ctx, n.Person)
	return list, n.ID, err
}

// EndSession ends one of the person's own sessions.
func (s *Service) EndSession(ctx context.Context, o signin.Origin, cookie, id string) error {
	n, _, err := s.me(ctx, o, cookie)
	if err != nil {
		return err
	}
	list, err := s.in.Sessions.List(ctx, n.Person)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(other session.Session) bool { return other.ID == id }) {
		return ErrNotFound
	}
	return s.in.EndSession(ctx, o, n, id, "ended by its owner")
}

// ReportLeak records that the person's password is known to others (article
// 46-2(4)). When it returns the password is dead and every session has ended.
// A person with another factor is led on to a new password; others must come in
// person.
func (s *Service) ReportLeak(ctx context.Context, o signin.Origin, cookie, what string) (signin.Step, error) {
	n, p, err := s.me(ctx, o, cookie)
	if err != nil {
		return signin.Step{}, err
	}
	err = s.in.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.Leaked(ctx, tx, o, p, what); err != nil {
			return err
		}
		e := s.entry(o, n, "password.leak_reported")
		e.Articles = []policy.Article{"43-1", "46-2(4)"}
		return s.in.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return signin.Step{}, err
	}
	// From here on the report stands, whatever fails.
	if err := s.in.Sessions.Poll(ctx); err != nil {
		slog.ErrorContext(ctx, "noting ended sessions; memory is not used until it is noted", "error", err)
	}
	// The directory is told as well, so that the password dies at every other
	// door. Here it is dead already, whatever the directory answers.
	if err := s.killLeaked(ctx); err != nil {
		slog.ErrorContext(ctx, "telling the directory of a leaked password; it is tried again", "error", err)
	}
	step, err := s.in.AfterLeak(ctx, o, p, n.Zone, n.Outside)
	if err != nil {
		if !errors.Is(err, session.ErrNone) {
			slog.WarnContext(ctx, "a new password after a leak could not be begun; it is given in person", "error", err)
		}
		return signin.Step{}, ErrInPerson
	}
	return step, nil
}

// Leaked records, in the caller's transaction, that a person's password is known to
// others: it opens nothing from now on, and Run has the directory follow.
func (s *Service) Leaked(ctx context.Context, tx *store.Tx, o signin.Origin, p directory.Person, what string) error {
	if _, err := tx.Exec(ctx, `
		INSERT INTO leak_report (id, person_id, what, reported_at) VALUES ($1, $2, $3, $4)`,
		secret.Token(16), string(p.ID), what, store.Micros(s.in.Now())); err != nil {
		return fmt.Errorf("recording a leak: %w", err)
	}
	if err := s.in.ForgetBrowsers(ctx, tx, p.ID); err != nil {
		return err
	}
	if err := s.in.Tell(ctx, tx, o, p.ID, notice.PasswordLeaked, nil); err != nil {
		return err
	}
	return s.in.Sessions.EndAll(ctx, tx, p.ID, p.Login, "", "password reported as leaked")
}

// Run tells the directory of leaked passwords until it has understood, and
// returns when ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		if err := s.killLeaked(ctx); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "telling the directory of a leaked password; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// killLeaked gives every password that was reported, not yet replaced, and not
// yet dead in the directory a random value there.
func (s *Service) killLeaked(ctx context.Context) error {
	rows, err := s.in.DB.Query(ctx, `
		SELECT id, person_id FROM leak_report WHERE cleared_at = 0 AND directory_done_at = 0`)
	if err != nil {
		return fmt.Errorf("reading leak reports: %w", err)
	}
	defer rows.Close()
	type report struct{ id, person string }
	var open []report
	for rows.Next() {
		var r report
		if err := rows.Scan(&r.id, &r.person); err != nil {
			return fmt.Errorf("reading leak reports: %w", err)
		}
		open = append(open, r)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading leak reports: %w", err)
	}
	// One that the directory does not take must not keep it from the others.
	var failed []error
	for _, r := range open {
		failed = append(failed, s.kill(ctx, r.id, directory.PersonID(r.person)))
	}
	return errors.Join(failed...)
}

// kill makes one reported password useless in the directory, unless it was
// replaced meanwhile.
func (s *Service) kill(ctx context.Context, report string, person directory.PersonID) error {
	done, err := s.in.Changing(ctx, person)
	if err != nil {
		return err
	}
	defer done()
	var open int
	err = s.in.DB.QueryRow(ctx, `SELECT COUNT(*) FROM leak_report WHERE id = $1 AND cleared_at = 0 AND directory_done_at = 0`, report).Scan(&open)
	if err != nil || open == 0 {
		return err
	}
	p, err := s.dir.ByID(ctx, person)
	if err == nil {
		err = s.dir.ResetPassword(ctx, p, secret.NewText([]byte(secret.Token(32))), true)
	}
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return err
	}
	return s.in.DB.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE leak_report SET directory_done_at = $1 WHERE id = $2`, store.Micros(s.in.Now()), report)
		if err != nil {
			return err
		}
		return s.in.Trail.Append(ctx, tx, audit.Entry{
			Actor: "system", Action: "password.killed", Object: string(person), Outcome: "ok", Articles: []policy.Article{"46-2(4)"},
		})
	})
}
