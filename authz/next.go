package authz

import (
	"slices"

	"sekisho/policy"
)

// A Move is what somebody who was refused can do about it, for programs.
type Move string

// The moves.
const (
	SignIn           Move = "sign_in"
	SignInStronger   Move = "sign_in_stronger"
	SignInAgain      Move = "sign_in_again"
	SignInOtherwise  Move = "sign_in_otherwise" // with a key that stays on its device
	AskPermit        Move = "ask_permit"        // Verdict.Ask says which
	ChangeNetwork    Move = "change_network"
	AskManager       Move = "ask_manager" // of one's own section
	AskAdministrator Move = "ask_administrator"
	AskColleague     Move = "ask_colleague"     // another who holds the post
	StartOver        Move = "start_over"        // from the application's own first page
	AskSecond        Move = "ask_second_person" // who decides with the first
	WaitForWord      Move = "wait_for_word"     // a lock-down is in force
	BorrowPrivilege  Move = "borrow_privilege"  // Verdict.Borrow says which
	SignInAsOther    Move = "sign_in_as_other"  // sign out, and in with an ID of the other environment
)

// A Next is the next step of somebody who was refused. Its zero value says that
// nobody has thought of one.
type Next struct {
	Move Move
	Says policy.Words
}

// Next says what whoever met a verdict can do. Nothing for who was let through.
func (v Verdict) Next(p *policy.Policy, app policy.Application) Next {
	switch v.Reason {
	case Allowed:
		return Next{}
	case NoSession:
		return Next{SignIn, policy.Words{
			JA: "サインインすると開きます。", EN: "Sign in, and it opens."}}
	case TooWeak:
		if v.StepUp == policy.PHR {
			return Next{SignInStronger, policy.Words{
				JA: "パスキー又はICカードでサインインすると開きます。どちらもお持ちでないときは、先に「自分のページ」でパスキーを登録してください。",
				EN: "Sign in with a passkey or an IC card, and it opens. If you have neither, first enrol a passkey on your own page."}}
		}
		return Next{SignInStronger, policy.Words{
			JA: "パスワードに加えて確認コード、パスキー又はICカードを使ってサインインすると開きます。",
			EN: "Sign in with a one-time code, a passkey or an IC card beside the password, and it opens."}}
	case Stale, Unchecked:
		return Next{SignInAgain, policy.Words{
			JA: "もう一度サインインすると、続けて開きます。", EN: "Sign in once more, and it opens."}}
	case Synced:
		return Next{SignInOtherwise, policy.Words{
			JA: "いったんサインアウトし、端末に固定されたパスキー、ICカード又は確認コードでサインインしてください。",
			EN: "Sign out, then sign in with a passkey that stays on its device, an IC card or a one-time code."}}
	case NoLease:
		return Next{BorrowPrivilege, policy.Words{
			JA: "「特権を借りる」の画面で申請してください。承認を受けて開始すると、時間の間だけ開きます。",
			EN: "Ask under “Borrow privilege”. Once it is approved and started, this opens for its time."}}
	case SharedID:
		return Next{SignIn, policy.Words{
			JA: "ご自分のIDでサインインし、「共用ID」の画面（/shared）で受け取ってください。その画面にないときは、情報システム管理者に伝えてください。",
			EN: "Sign in with your own ID and check this one out on the page of shared IDs (/shared). If it is not there, tell the system administrator."}}
	case WrongEnvironment:
		return Next{SignInAsOther, policy.Words{
			JA: "いったんサインアウトし、運用の仕事には運用のID、開発・テストの仕事には開発用のIDでサインインし直してください。開発用のIDがないときは、案件を担当する情報システム管理者に登録を依頼してください。",
			EN: "Sign out, then sign in with the ID that is for this work: one of production, or one for development. If you have none for development, ask the system administrator of your project to register one."}}
	case ProjectOver:
		return Next{AskAdministrator, policy.Words{
			JA: "案件が続くときや別の案件に移るときは、案件を担当する情報システム管理者に伝えてください。このIDを続けて使えるようにするには、改めて手続が要ります。",
			EN: "If the project goes on, or you work for another, tell the system administrator who answers for it: it takes a procedure of its own for this ID to be good again."}}
	case LockedDown:
		return Next{WaitForWord, policy.Words{
			JA: "解除の連絡をお待ちください。急ぎの場合は、CSIRT又は情報システム管理者に電話で連絡してください。",
			EN: "Wait for word that it was lifted. If it is urgent, call CSIRT or the system administrator."}}
	case NotYours:
		return Next{AskManager, policy.Words{
			JA: "業務に必要なときは、所属の情報セキュリティ管理者に申し出てください。認められると、情報システム管理者が使える人の範囲を改めます。",
			EN: "If your work needs it, tell the security manager of your section. When they agree, the system administrator changes whom the application is for."}}
	case WrongZones, Walled:
		return elsewhere(p, app)
	case NoCrossing:
		n := elsewhere(p, app)
		return Next{AskPermit, policy.Words{
			JA: "この通信がどうしても必要なときは、このシステムの情報システム管理者に、関所の「許可の申請」の画面（/permits）から領域をまたぐ通信の許可をＣＩＯに申請するよう依頼してください。" + n.Says.JA,
			EN: "If this path is really needed, ask the application's system administrator to request a crossing permit of the CIO, on the gate's page “Permits” (/permits). " + n.Says.EN}}
	case NoRemote:
		return Next{AskPermit, policy.Words{
			JA: "庁外で使う必要があるときは、庁内の端末から、関所の「許可の申請」の画面（/permits）でリモートアクセスの許可を申請してください。承認されると開きます。事業者の方は、担当の室課の職員に申請を依頼してください。",
			EN: "If you need it from outside, ask for a remote-access permit on the gate's page “Permits” (/permits), from a terminal inside; it opens once that is approved. Contractors have their contact's section ask for it."}}
	case NoTerminal:
		if v.Ask == LentTerminal {
			return Next{AskPermit, policy.Words{
				JA: "庁内の端末から、関所の「許可の申請」の画面（/permits）で、この端末機の「端末機の貸与」の許可を申請してください。承認されると開きます。",
				EN: "Ask for the permit “Lent terminal” of this terminal on the gate's page “Permits” (/permits), from a terminal inside; it opens once that is approved."}}
		}
		return Next{AskPermit, policy.Words{
			JA: "庁内の端末から、関所の「許可の申請」の画面（/permits）で、この端末機の「私物の端末機の使用」の許可を申請してください。承認されると開きます。登録された端末機を使うときは、その端末機を書いてリモートアクセスの許可を申請し直してください。",
			EN: "Ask for the permit “Private terminal” of this terminal on the gate's page “Permits” (/permits), from a terminal inside; it opens once that is approved. To use an enrolled terminal instead, ask for remote access that names it."}}
	case Unreadable:
		return Next{StartOver, policy.Words{
			JA: "システムの最初の画面から、開き直してください。", EN: "Open the application from its first page."}}
	}
	return Next{AskAdministrator, policy.Words{
		JA: "情報システム管理者に、この画面に書かれていることを伝えてください。",
		EN: "Tell the system administrator what this page says."}}
}

// elsewhere names the networks from which an application opens.
func elsewhere(p *policy.Policy, app policy.Application) Next {
	zone := ZoneName(p, app.Zone)
	return Next{ChangeNetwork, policy.Words{
		JA: "「" + zone.JA + "」の端末からは、そのまま使えます。",
		EN: "From a terminal of the zone “" + zone.In("en") + "” it opens as it is."}}
}

// zoneNames are said of zones that this gateway does not serve.
var zoneNames = map[policy.ZoneID]policy.Words{
	policy.MyNumber: {JA: "個人番号利用事務系", EN: "My Number"},
	policy.LGWAN:    {JA: "LGWAN接続系", EN: "LGWAN"},
	policy.Internet: {JA: "インターネット接続系", EN: "Internet"},
}

// ZoneName is what people call a zone, whether or not this gateway serves it.
func ZoneName(p *policy.Policy, id policy.ZoneID) policy.Words {
	if z, ok := p.Zone(id); ok && !z.Name.IsEmpty() {
		return z.Name
	}
	if w, ok := zoneNames[id]; ok {
		return w
	}
	return policy.Words{JA: string(id), EN: string(id)}
}

// Next says what whoever met a permission that refuses can do.
func (p Permission) Next() Next {
	switch p.Reason {
	case Allowed:
		return Next{}
	case NoPost:
		return Next{AskAdministrator, policy.Words{
			JA: "この操作が必要なときは、その役割の方に依頼してください。役割を受け持つことになった場合は、情報システム管理者に伝えてください。",
			EN: "If it must be done, ask somebody who holds the post. If you have been given the post, tell the system administrator."}}
	case ReadsOnly, OwnAccount:
		return Next{AskColleague, policy.Words{
			JA: "同じ操作ができる別の方に依頼してください。", EN: "Ask another person who may do it."}}
	case TwoPersons:
		return Next{AskSecond, policy.Words{
			JA: "急ぐときは、先にIDを利用停止にしてください。利用停止は一人でできます。",
			EN: "In a hurry, suspend the ID first: one person may do that."}}
	}
	return Next{AskAdministrator, policy.Words{
		JA: "情報システム管理者に、この画面に書かれていることを伝えてください。",
		EN: "Tell the system administrator what this page says."}}
}

// Moves are all there are.
func Moves() []Move {
	return slices.Clone([]Move{
		SignIn, SignInStronger, SignInAgain, SignInOtherwise, AskPermit, ChangeNetwork,
		AskManager, AskAdministrator, AskColleague, StartOver, AskSecond, SignInAsOther,
	})
}
