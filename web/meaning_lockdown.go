package web

import (
	"errors"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/lockdown"
	"sekisho/policy"
)

// ofLockDown says what the errors of lock-downs mean: to whoever orders one, and
// to whoever has proved who they are and is kept out, by one or by their kind of ID.
func ofLockDown(err error) (Problem, bool) {
	var (
		no   *lockdown.Refusal
		shut *signin.ShutOut
		own  *signin.NobodysOwn
	)
	switch {
	case errors.As(err, &own):
		v := authz.NobodysOwn()
		return Problem{Code: CodeForbidden, Title: noSharedID, Detail: v.Says, Articles: v.Articles,
			Next: Next{v.Next(nil, policy.Application{}), "/signin"}}, true
	case errors.As(err, &shut):
		return Problem{Code: CodeForbidden, Detail: authz.LockWords(), Articles: authz.LockArticles(),
			Next: Next{Next: authz.Verdict{Reason: authz.LockedDown}.Next(nil, policy.Application{})}}, true
	case errors.As(err, &no) && no.Field != "":
		return Problem{Code: CodeInvalid, Articles: no.Articles, Errors: []FieldError{{no.Field, no.Reason, no.Says}}}, true
	case errors.As(err, &no):
		return Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles}, true
	case errors.Is(err, lockdown.ErrNotFound):
		return Problem{Code: CodeNotFound}, true
	}
	return Problem{}, false
}

var noSharedID = policy.Words{JA: "共用IDではサインインできません", EN: "Nobody signs in with a shared ID"}
