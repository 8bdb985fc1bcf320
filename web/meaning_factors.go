package web

import (
	"errors"

	"sekisho/authn/card"
	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/recovery"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/policy"
)

// ofFactors says what the errors of passkeys, cards, terminals and recovery
// codes mean. Each is told to whoever holds the thing, and tells no more than
// that: a terminal's or a card's own reason is for the trail.
func ofFactors(err error) (Problem, bool) {
	var (
		weak  *passkey.NotAccepted
		mute  *terminal.Refused
		torn  *card.Refused
		field = func(name, rule, ja, en string) (Problem, bool) {
			return Problem{Code: CodeInvalid, Errors: []FieldError{{name, rule, policy.Words{JA: ja, EN: en}}}}, true
		}
		state = func(ja, en string) (Problem, bool) {
			return Problem{Code: CodeState, Detail: policy.Words{JA: ja, EN: en}}, true
		}
		refused = func(ja, en string) (Problem, bool) {
			return Problem{Code: CodeRefused, Detail: policy.Words{JA: ja, EN: en}}, true
		}
	)
	switch {
	case errors.As(err, &weak):
		// At a sign-in the key was right and does not serve here; at its
		// enrolment nobody was turned away.
		if errors.Is(err, signin.ErrRefused) {
			return Problem{Code: CodeRefused, Detail: weak.Says, Articles: weak.Articles}, true
		}
		return Problem{Code: CodeInvalid, Articles: weak.Articles, Errors: []FieldError{{"credential", weak.Reason, weak.Says}}}, true
	case errors.As(err, &mute):
		return refused("この端末機の証明を確認できませんでした。少し待ってもう一度行い、続くときは担当者に連絡してください。",
			"What this terminal says of itself could not be confirmed. Wait a little and try again; if it goes on, ask your administrator.")
	case errors.As(err, &torn):
		return refused("このICカードは使えません。期限切れや失効、使える領域の違いが考えられます。担当者に連絡してください。",
			"This IC card cannot be used: it may have expired, have been revoked, or be meant for another zone. Please ask your administrator.")
	case errors.Is(err, card.ErrNone):
		return refused("ICカードを読み取れませんでした。カードを差してPINを入力し、もう一度行ってください。",
			"No IC card was read. Insert it, enter its PIN, and try again.")
	case errors.Is(err, passkey.ErrWrong):
		return refused("パスキーを確認できませんでした。もう一度行い、続くときは別の方法を選んでください。",
			"The passkey could not be confirmed. Try again; if it goes on, choose another way.")
	case errors.Is(err, recovery.ErrWrong):
		return refused("回復コードが正しくないか、期限が過ぎています。もう一度入力し、続くときは担当者に連絡してください。",
			"The recovery code is not right or has expired. Enter it again; if it goes on, ask your administrator.")
	case errors.Is(err, passkey.ErrNoEnrolment), errors.Is(err, passkey.ErrNoKey), errors.Is(err, card.ErrNoCard):
		return Problem{Code: CodeNotFound}, true
	case errors.Is(err, passkey.ErrName):
		return field("name", "unusable", "この名前は使えません。短く、ふつうの文字で付けてください。",
			"This name cannot be used. Give a short one of ordinary characters.")
	case errors.Is(err, passkey.ErrFull):
		return state("登録できるパスキーの数に達しています。使わないものを削除してから、もう一度登録してください。",
			"There are as many passkeys as can be registered. Remove one that is not used, then register again.")
	case errors.Is(err, passkey.ErrTwice):
		return state("このパスキーは既に登録されています。", "This passkey is registered already.")
	case errors.Is(err, notice.ErrAddress):
		return field("address", "malformed", "メールアドレスの形が正しくありません。半角で、一つだけ入力してください。",
			"This is not one plain mail address.")
	case errors.Is(err, notice.ErrSameAddress):
		return field("address", "same", "台帳のアドレスと同じです。別のアドレスを入力してください。",
			"This is the address that the directory has already. Enter another one.")
	}
	return Problem{}, false
}
