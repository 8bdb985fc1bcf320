package web

import (
	"errors"
	"fmt"

	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/authz/people"
	"sekisho/policy"
)

// mostFaults of a file are listed; a file of another kind has one a line.
const mostFaults = 100

// ofOthers says what the errors mean of what administrators do to others, to
// terminals and to tokens. Whoever gets them holds a post, so they say what the
// state is.
func ofOthers(err error) (Problem, bool) {
	var (
		denied *people.Denied
		bad    *people.Invalid
		lame   *terminal.Invalid
		faults *oath.Faults
		state  = func(ja, en string) (Problem, bool) {
			return Problem{Code: CodeState, Detail: policy.Words{JA: ja, EN: en}}, true
		}
	)
	switch {
	case errors.As(err, &denied):
		return Problem{Code: CodeForbidden, Detail: denied.Permission.Says, Articles: denied.Permission.Articles, Next: Next{Next: denied.Permission.Next()}}, true
	case errors.As(err, &bad):
		return Problem{Code: CodeInvalid, Errors: []FieldError{{bad.Field, bad.Rule, bad.Says}}}, true
	case errors.As(err, &lame):
		return Problem{Code: CodeInvalid, Errors: []FieldError{{lame.Field, lame.Rule, lame.Says}}}, true
	case errors.As(err, &faults):
		return Problem{Code: CodeInvalid, Errors: lines(faults)}, true
	case errors.Is(err, people.ErrNotFound), errors.Is(err, terminal.ErrNotFound):
		return Problem{Code: CodeNotFound}, true
	case errors.Is(err, people.ErrNothingToLift):
		return state("利用停止でも、未利用による停止でもありません。休業・休職中の方は、「休業・休職を終わらせる」で戻してください。",
			"This ID is neither suspended nor closed as unused. For somebody on leave, end the leave.")
	case errors.Is(err, people.ErrDeleting):
		return state("このIDは削除が決まり、取り消せません。同じ方が使うときは、別のログイン名で新しいIDを登録してください（要綱第62条第5項）。",
			"The deletion of this ID has been decided and cannot be taken back. For the same person, register a new ID under another login (article 62(5)).")
	case errors.Is(err, people.ErrLeaveApart):
		return state("今の休業・休職が、新しい始まりの日より前に終わります。続くときは始まりの日を今の終わりの日の翌日以前にし、間が空くときは、戻った後に登録してください。",
			"The leave in force ends before the new one begins. If it goes on, let the new one begin on the day after it or earlier; if not, record it when they are back.")
	case errors.Is(err, people.ErrNoLeave):
		return state("休業・休職は登録されていません。", "No leave is recorded.")
	case errors.Is(err, people.ErrUnusable):
		return state("このIDは今は使えないため、認証の手段を渡せません。先に利用できる状態に戻してください。",
			"This ID cannot be used now, so nothing can be given to sign in with. Open it again first.")
	case errors.Is(err, people.ErrShared):
		return state("これは共用IDです。だれが使っているか分からなくなるため、共用IDではサインインできず、認証の手段も渡せません（要綱第46条第1項）。使う人は、ご自分のIDでサインインし、「共用ID」の画面（/shared）で受け取ります。",
			"This is a shared ID: nobody signs in with one, for nobody could say who uses it, so nothing is given to sign in with (article 46(1)). Those who use it check it out under their own IDs, on the page of shared IDs (/shared).")
	case errors.Is(err, people.ErrNoFactor):
		return state("二つ目の認証要素が登録されていないので、回復コードは要りません。本人がサインインすると登録に進みます。",
			"No second factor is enrolled, so no recovery code is needed: signing in leads to enrolling one.")
	case errors.Is(err, totp.ErrResyncHeld):
		return Problem{Code: CodeHeld, RetryAfter: totp.ResyncRest}, true
	case errors.Is(err, totp.ErrTokenState):
		return state("このトークンは、在庫にない、だれにも渡していない、紛失済み又は期限切れのいずれかのため、この操作はできません。",
			"This token is not in stock, or with nobody, or lost, or past its date, so this cannot be done with it.")
	case errors.Is(err, terminal.ErrLost):
		return state("この端末機は、既に紛失の届出があります。", "This terminal was reported lost already.")
	case errors.Is(err, terminal.ErrExists):
		return state("この端末機は既に登録されています。", "This terminal is enrolled already.")
	case errors.Is(err, people.ErrState):
		return Problem{Code: CodeState}, true
	}
	return Problem{}, false
}

// lines are the faults of a file, one error each. What is wrong with the key
// that opens it is about that field; the rest is about the file.
func lines(f *oath.Faults) []FieldError {
	var out []FieldError
	for i, one := range f.List {
		if i == mostFaults {
			n := len(f.List) - i
			return append(out, FieldError{"data", "more", policy.Words{
				JA: fmt.Sprintf("ほかに%d件あります。", n), EN: fmt.Sprintf("There are %d more.", n)}})
		}
		if one.Line == 0 && one.Field == "key" {
			out = append(out, FieldError{"key", one.Rule, one.Detail})
			continue
		}
		out = append(out, FieldError{"data", one.Rule, policy.Words{JA: one.Text("ja"), EN: one.Text("en")}})
	}
	return out
}
