package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/password"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/charter"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// ProblemOf is the only place where a domain error becomes HTTP. Anything not
// listed is our own fault: the reader gets no detail, the log gets the cause.
func ProblemOf(err error) Problem {
	p := meaning(err)
	info := codeInfo(p.Code)
	if p.Status == 0 {
		p.Status = info.Status
	}
	if p.Title == (policy.Words{}) {
		p.Title = info.Title
	}
	if p.Detail == (policy.Words{}) {
		p.Detail = info.Detail
	}
	if p.Next.Move == "" {
		p.Next = nextOf(p)
	}
	return p
}

func meaning(err error) Problem {
	for _, say := range []func(error) (Problem, bool){ofApproval, said, ofFactors, ofOthers, ofLockDown, ofDesk, ofPermit, ofSealed, ofReport, ofInquiry, ofShared, ofRecertify, ofProject} {
		if p, ok := say(err); ok {
			return p
		}
	}
	switch {
	case errors.Is(err, signin.ErrRefused):
		// One answer for unknown person, wrong password and wrong code:
		// telling them apart would list our staff to a stranger.
		return Problem{Code: CodeRefused}
	case isNone(err):
		return Problem{Code: CodeNoSession}
	case errors.Is(err, signin.ErrCSRF):
		return Problem{Code: CodeCSRF}
	case errors.Is(err, signin.ErrStep):
		return Problem{Code: CodeStep}
	case errors.Is(err, account.ErrNotFound), errors.Is(err, charter.ErrNoProposal), errors.Is(err, totp.ErrNoEnrolment):
		return Problem{Code: CodeNotFound}
	case errors.Is(err, account.ErrLastFactor):
		return Problem{Code: CodeLastFactor, Articles: []policy.Article{"26no3-1"}}
	case errors.Is(err, charter.ErrStale):
		return Problem{Code: CodeStale}
	case errors.Is(err, charter.ErrSelfApproval):
		return Problem{Code: CodeForbidden, Articles: []policy.Article{"16"}, Detail: policy.Words{
			JA: "自分の提案を自分で承認することはできません。別の方の承認を受けてください。",
			EN: "Nobody approves their own proposal. Ask another person who holds the post."}}
	case errors.Is(err, charter.ErrPost):
		return Problem{Code: CodeForbidden, Articles: []policy.Article{"11", "12"}, Detail: policy.Words{
			JA: "承認できるのは、最高情報統括責任者又は情報セキュリティ責任者です。",
			EN: "Only the CIO or a security officer may approve this."}}
	case errors.Is(err, totp.ErrWrong), errors.Is(err, totp.ErrReplayed):
		return Problem{Code: CodeInvalid, Errors: []FieldError{{fieldName(err, "code"), "wrong", policy.Words{
			JA: "確認コードが正しくないか、使用済みです。次のコードを入力してください。",
			EN: "The code is not right or was used already. Enter the next one."}}}}
	case errors.Is(err, totp.ErrName):
		return Problem{Code: CodeInvalid, Errors: []FieldError{{"name", "unusable", policy.Words{
			JA: "この名前は使えません。短く、ふつうの文字で付けてください。",
			EN: "This name cannot be used. Give a short one of ordinary characters."}}}}
	case errors.Is(err, totp.ErrFull):
		return Problem{Code: CodeState, Detail: policy.Words{
			JA: "登録できる数に達しています。使わないものを削除してから、もう一度登録してください。",
			EN: "There are as many as can be registered. Remove one that is not used, then register again."}}
	case errors.Is(err, signin.ErrBusy), errors.Is(err, secret.ErrBusy), errors.Is(err, store.ErrBusy),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Problem{Code: CodeBusy, RetryAfter: 2 * time.Second}
	case errors.Is(err, standing.ErrAway), errors.Is(err, directory.ErrAway), errors.Is(err, directory.ErrTruncated):
		return away("directory")
	case errors.Is(err, store.ErrNoSpace), errors.Is(err, audit.ErrNoRoom):
		return full()
	case errors.Is(err, audit.ErrNoSeal):
		return away("trail")
	case errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrAway), errors.Is(err, store.ErrUnknown):
		return away("store")
	}
	return Problem{Code: CodeBroken}
}

// said reads the errors that carry something to say.
func said(err error) (Problem, bool) {
	var (
		refusal  *Refusal
		bad      *malformed
		held     *signin.Held
		gone     *signin.Away
		rejected *password.Rejected
		stepUp   *account.StepUp
		denied   *directory.Refused
		foreign  *signin.WrongZone
		tooLarge *http.MaxBytesError
	)
	switch {
	case errors.As(err, &refusal):
		return refusal.Problem, true
	case errors.As(err, &tooLarge):
		return Problem{Code: CodeTooLarge}, true
	case errors.As(err, &bad):
		return Problem{Code: CodeMalformed, Errors: []FieldError{{bad.where, "malformed", policy.Words{
			JA: "読み取れません。", EN: "It cannot be read."}}}}, true
	case errors.As(err, &held):
		// Safe to say: failures are counted per name typed, known or not.
		return Problem{Code: CodeHeld, RetryAfter: max(held.RetryAfter, time.Second)}, true
	case errors.As(err, &foreign):
		return Problem{Code: CodeForbidden, Detail: foreign.Says(), Articles: foreign.Articles(),
			Next: Next{Next: authz.Next{Move: authz.ChangeNetwork, Says: policy.Words{
				JA: "お使いの領域の関所を、情報システム管理者にお尋ねください。", EN: "Ask the system administrator where your zone's gateway is."}}}}, true
	case errors.As(err, &gone):
		return away(gone.What), true
	case errors.As(err, &rejected):
		return rejection(rejected, fieldName(err, "new_password")), true
	case errors.As(err, &stepUp):
		return Problem{Code: CodeStepUp, Extra: map[string]any{
			"required_acr": string(stepUp.Required), "max_age": int64(stepUp.MaxAge / time.Second)}}, true
	case errors.As(err, &denied):
		if denied.Reason == directory.ReasonWrongCurrent {
			return Problem{Code: CodeRefused}, true
		}
		return Problem{Code: CodeInvalid, Errors: []FieldError{{fieldName(err, "new_password"), string(denied.Reason), policy.Words{
			JA: "ディレクトリの規則により、このパスワードは使えません。",
			EN: "The directory's own rules do not take this password."}}}}, true
	}
	return Problem{}, false
}

func rejection(r *password.Rejected, field string) Problem {
	p := Problem{Code: CodeInvalid}
	for _, f := range r.Failures {
		p.Errors = append(p.Errors, FieldError{field, f.Code, f.Says})
		if f.Article != "" && !slices.Contains(p.Articles, f.Article) {
			p.Articles = append(p.Articles, f.Article)
		}
	}
	return p
}

func fieldName(err error, otherwise string) string {
	var f *fieldOf
	if errors.As(err, &f) {
		return f.name
	}
	return otherwise
}

func isNone(err error) bool { return errors.Is(err, signin.ErrNone) || errors.Is(err, session.ErrNone) }

var awayNames = map[string]policy.Words{
	"directory": {JA: "ディレクトリ（職員の台帳）", EN: "The directory of people"},
	"store":     {JA: "データベース", EN: "The database"},
	"trail":     {JA: "証跡の署名", EN: "The seal of the trail"},
}

// full says that there is no room to write down what was asked for. It was not done.
func full() Problem {
	return Problem{Code: CodeAway, RetryAfter: 30 * time.Second, Extra: map[string]any{"away": []string{"disk"}}, Detail: policy.Words{
		JA: "記録を書くディスクの空きが足りないため、今は受け付けられません。何も変わっていません。情報システムの管理者に知らせてください。",
		EN: "There is too little room left on the disk to write this down, so it cannot be done now. Nothing was changed. Tell the administrators of the system."}}
}

// away names what is missing: the reader can tell an administrator, and knows
// that it was not their password.
func away(what string) Problem {
	name, ok := awayNames[what]
	if !ok {
		name = policy.Words{JA: what, EN: what}
	}
	return Problem{Code: CodeAway, RetryAfter: 5 * time.Second, Extra: map[string]any{"away": []string{what}}, Detail: policy.Words{
		JA: name.JA + "につながらないため、今は受け付けられません。少し待ってもう一度行ってください。",
		EN: name.EN + " cannot be reached, so this cannot be done now. Wait a little and try again."}}
}
