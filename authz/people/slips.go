package people

import (
	"context"
	"errors"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// MostSlips is how many people one request gives temporary passwords to at most, and
// slipsWithin how long it goes on before it leaves the rest to the next: what was made
// must still be shown.
const (
	MostSlips   = 100
	slipsWithin = 12 * time.Second
)

// ErrLater says that a request's time was over before somebody's turn.
var ErrLater = errors.New("there was no time left for this one")

// A Passed is somebody who was given nothing, and why.
type Passed struct {
	Login string
	Err   error
}

// A Handful is what one request has made: slips, and who was passed over.
type Handful struct {
	Given  []Slip
	Passed []Passed
}

// TemporaryPasswords gives several people a temporary password each, as
// TemporaryPassword gives one, with an entry each. What stands against one of them
// stands in no other's way: they are passed over, and whoever takes a second person is
// proposed. Once something was made the answer is no error, for it is shown only once.
func (s *Service) TemporaryPasswords(ctx context.Context, o signin.Origin, cookie string, logins []string) (Handful, error) {
	wanted := once(logins)
	switch {
	case len(wanted) == 0:
		return Handful{}, &Invalid{Field: "logins", Rule: "required", Says: policy.Words{JA: "仮パスワードを渡す人を選ぶか、ログイン名を入力してください。", EN: "Choose people, or enter their logins."}}
	case len(wanted) > MostSlips:
		return Handful{}, &Invalid{Field: "logins", Rule: "too_many", Says: policy.Words{JA: "一度に100人までです。分けて行ってください。", EN: "At most 100 people at a time; please divide them."}}
	}
	if _, err := s.begin(ctx, o, cookie, authz.TemporaryPassword, nobody); err != nil {
		return Handful{}, err
	}
	var (
		out  Handful
		stop error // for all that are left
	)
	for spent := clock.Stopwatch(); len(wanted) > 0; wanted = wanted[1:] {
		if stop == nil && spent() > slipsWithin {
			stop = ErrLater
		}
		err := stop
		if err == nil {
			var one Slip
			if one, err = s.TemporaryPassword(ctx, o, cookie, wanted[0]); err == nil {
				out.Given = append(out.Given, one)
				continue
			}
			if stops(err) {
				stop = err
			}
		}
		out.Passed = append(out.Passed, Passed{wanted[0], err})
	}
	if len(out.Given) == 0 && stop != nil {
		return Handful{}, stop
	}
	return out, nil
}

// stops reports whether an error is about whoever acts, or about what everybody's turn
// needs.
func stops(err error) bool {
	var need *account.StepUp
	return errors.As(err, &need) || errors.Is(err, session.ErrNone) || errors.Is(err, directory.ErrAway) || errors.Is(err, store.ErrAway) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// once are logins as they were typed, each the first time.
func once(logins []string) []string {
	var out []string
	seen := map[string]bool{"": true}
	for _, login := range logins {
		if key := directory.Canonical(login); !seen[key] {
			seen[key] = true
			out = append(out, login)
		}
	}
	return out
}
