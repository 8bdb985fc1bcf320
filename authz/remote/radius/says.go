package radius

import (
	"unicode/utf8"

	"sekisho/authz"
	"sekisho/policy"
)

// What people read in the window of their VPN program: both languages in one
// Reply-Message, since gear tells nobody's language, and 253 bytes at most (RFC 2865
// section 5.18).
var (
	// One for a wrong name, password or code, for who may use nothing, and for who is
	// held: telling them apart would list our staff to a stranger.
	saysRefused = policy.Words{
		JA: "サインインできません。何度か失敗したときは、しばらく待ってください。",
		EN: "Sign-in refused. After several failures, wait a while."}
	saysCode = policy.Words{
		JA: "端末機の点検を済ませ、確認コードを入力してください。",
		EN: "Check your terminal, then enter your one-time code."}
	saysAgain = policy.Words{
		JA: "時間が過ぎました。パスワードからやり直してください。",
		EN: "Too late. Please start again with your password."}
	saysNoCode = policy.Words{
		JA: "ここでは確認コードが必要です。庁内の「自分のページ」で認証アプリを登録してください。",
		EN: "A one-time code is needed here. Enrol an app on your own page, inside."}
	saysWeb = policy.Words{
		JA: "先に、庁内の関所の画面でサインインし、求められる手続を済ませてください。",
		EN: "First sign in on the gate's page inside, and do what it asks."}
	saysPAP = policy.Words{
		JA: "この接続の認証方式（PAP以外）は使えません。管理者に連絡してください。",
		EN: "This authentication method is not supported; PAP is. Tell the administrator."}
	saysNoPermit = policy.Words{
		JA: "庁外からの接続には、ＣＩＯの許可が必要です。リモートアクセスの許可を申請してください。",
		EN: "Access from outside needs the CIO's permit. Please ask for remote access."}
	saysLocked = policy.Words{
		JA: "緊急停止中のため、今は利用できません。庁内の連絡をお待ちください。",
		EN: "A lock-down is in force. Wait for word from your office."}
	saysShared = policy.Words{
		JA: "共用IDでは接続できません（第46条）。ご自分のIDで接続してください。",
		EN: "Nobody connects with a shared ID. Use your own."}
	saysZone = policy.Words{
		JA: "この接続の領域は、この関所では扱っていません。管理者に連絡してください。",
		EN: "This gateway does not serve the zone. Tell the administrator."}
	saysTerminal = policy.Words{
		JA: "許可に書かれた端末機を使う許可（私物又は貸与）がありません。庁内で申請してください。",
		EN: "The terminal named takes its own permit (private or lent). Ask for it from inside."}
	saysNotYours = policy.Words{
		JA: "この接続は、あなたの所属又は役割では利用できません。情報システム管理者に相談してください。",
		EN: "Not for your section or post. Ask the system administrator."}
	saysOther = policy.Words{
		JA: "この接続の先は、このIDとは別の環境（運用又は開発）です。その環境のIDで接続してください。",
		EN: "This leads to the other environment. Connect with your ID for it."}
	saysOver = policy.Words{
		JA: "このIDの案件は終わっています。案件を担当する情報システム管理者に相談してください。",
		EN: "The project of this ID is over. Ask its system administrator."}
)

// saysOf is what a verdict tells whoever it refuses.
func saysOf(v authz.Verdict) policy.Words {
	switch v.Reason {
	case authz.NoRemote:
		return saysNoPermit
	case authz.NoTerminal:
		return saysTerminal
	case authz.LockedDown:
		return saysLocked
	case authz.SharedID:
		return saysShared
	case authz.TooWeak, authz.Stale, authz.Synced:
		return saysNoCode
	case authz.NotYours, authz.NoLease:
		return saysNotYours
	case authz.WrongZones, authz.Walled, authz.NoCrossing:
		return saysZone
	case authz.WrongEnvironment:
		return saysOther
	case authz.ProjectOver:
		return saysOver
	}
	return saysRefused
}

// message is words as a Reply-Message. What does not fit is cut at a character.
func message(w policy.Words) []byte {
	b := []byte(w.JA + " / " + w.EN)
	for len(b) > longest {
		_, n := utf8.DecodeLastRune(b)
		b = b[:len(b)-n]
	}
	return b
}
