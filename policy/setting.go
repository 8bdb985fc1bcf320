package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Kind is what a setting's values are.
type Kind string

// The kinds of settings. A number of days, years or failures is a KindInt with
// that unit.
const (
	KindDuration Kind = "duration" // Go syntax, such as 15m
	KindInt      Kind = "int"
	KindFlag     Kind = "flag"
	KindChoice   Kind = "choice"
)

// A Setting is one value of policy.yaml: what it means, in which unit, between
// which bounds, what holds when the file does not say, and which article it
// serves. This one table fills the profile, checks every file and writes the
// documentation, so that the three cannot disagree.
type Setting struct {
	Path    string // "zones[].idle_end": [] stands for each item
	Unit    string
	Kind    Kind
	Default any            // int, time.Duration, []time.Duration, bool or a choice
	ByZone  map[ZoneID]any // defaults of zones that differ from Default
	Legacy  any            // the default of the profile jp-legacy, where it differs
	Min     any            // int or time.Duration; nil where there are no bounds
	Max     any            //
	Choices []string       // of a KindChoice
	Article Article        // empty: our own rule, Source says whose
	Source  string         // a section of a standard, where there is one
	Says    Words          // what it does
}

const day = 24 * time.Hour

// Settings are all of them, in the order of policy.yaml.
func Settings() []Setting {
	return slices.Concat(generalSettings(), dormancySettings(DormancyPrivileged, "承認又は管理の職にある者のID", "an ID that approves or administers", 30, 45, 180),
		dormancySettings(DormancyContractor, "事業者のID", "a contractor's ID", 30, 60, 180),
		dormancySettings(DormancyService, "プログラムのID", "a program's ID", 60, 90, 365),
		dormancySettings(DormancyShared, "共用ID", "a shared ID", 60, 90, 365), personnelSettings(), projectSettings(), reportSettings(), recertifySettings(), retentionSettings())
}

// generalSettings are those that are written one by one.
func generalSettings() []Setting {
	return []Setting{
		{Path: "zones[].sign_in_acr", Kind: KindChoice, Default: string(AAL2), Choices: []string{string(AAL1), string(AAL2), string(PHR)}, Article: "26no3-1", Source: "NIST SP 800-63B-4 2.2",
			Says: Words{"この領域からのサインインが達すべき認証の強さ。", "The assurance a sign-in from this zone must reach."}},
		{Path: "zones[].idle_end", Unit: "duration", Kind: KindDuration, Default: 30 * time.Minute, ByZone: map[ZoneID]any{MyNumber: 15 * time.Minute}, Min: time.Minute, Max: time.Hour, Article: "63-7", Source: "NIST SP 800-63B-4 2.2.3",
			Says: Words{"操作がないままこの時間が過ぎると、セッションが終わる。", "A session ends after so long without a request."}},
		{Path: "zones[].absolute_end", Unit: "duration", Kind: KindDuration, Default: 9 * time.Hour, ByZone: map[ZoneID]any{MyNumber: 8 * time.Hour}, Min: 15 * time.Minute, Max: 24 * time.Hour, Article: "63-7", Source: "NIST SP 800-63B-4 2.2.3",
			Says: Words{"サインインからこの時間が過ぎると、使用中でもセッションが終わる。", "A session ends so long after its sign-in, used or not."}},
		{Path: "zones[].counter_idle_end", Unit: "duration", Kind: KindDuration, Default: 3 * time.Minute, ByZone: map[ZoneID]any{MyNumber: 2 * time.Minute}, Min: 15 * time.Second, Max: 15 * time.Minute, Article: "38-6",
			Says: Words{"窓口の共用端末機で、操作がないままセッションが終わるまでの時間。", "The idle end on a counter terminal."}},
		{Path: "zones[].directory_stale", Unit: "duration", Kind: KindDuration, Default: 30 * time.Minute, ByZone: map[ZoneID]any{MyNumber: 5 * time.Minute}, Min: time.Duration(0), Max: 8 * time.Hour, Article: "62-2",
			Says: Words{"ディレクトリに届かないとき、最後に読んだ職員の情報を使い続ける時間。0は使わない。", "How old facts about a person may be while the directory is away; 0: not at all."}},
		{Path: "zones[].mail_notices", Kind: KindFlag, Default: false, Article: "26no4-1",
			Says: Words{"この領域から通知のメールを送るか。", "Whether notices leave this zone by mail."}},

		{Path: "applications[].fresh_for", Unit: "duration", Kind: KindDuration, Default: time.Duration(0), Min: time.Duration(0), Max: 24 * time.Hour, Article: "62-2", Source: "OWASP ASVS 7.5.3",
			Says: Words{"このシステムを使うときに許される、最後の認証からの経過時間。0はセッションが続く間。", "How long ago its user may have signed in; 0: for as long as the session lasts."}},
		{Path: "applications[].paths[].fresh_for", Unit: "duration", Kind: KindDuration, Default: time.Duration(0), Min: time.Duration(0), Max: 24 * time.Hour, Article: "62-2", Source: "OWASP ASVS 7.5.3",
			Says: Words{"この場所から下を使うときに許される、最後の認証からの経過時間。0はシステムの値。", "The same below a path; 0: the application's own."}},

		{Path: "applications[].environment", Kind: KindChoice, Default: string(Production), Choices: texts(Environments()), Article: "68-2",
			Says: Words{"このシステムの環境。運用（production）のシステムは運用のIDだけに、開発・テスト（development）のシステムは開発用のIDだけに、共通（either）のシステムは両方に開く。", "What the application is for. One at work (production) opens to IDs of production alone, one that is made or tried out (development) to IDs of development alone, one of either to both."}},

		{Path: "sign_in.flow_end", Unit: "duration", Kind: KindDuration, Default: 10 * time.Minute, Min: time.Minute, Max: 30 * time.Minute, Article: "63-7",
			Says: Words{"途中のサインインが無効になるまでの時間。", "A sign-in under way ends after so long."}},
		{Path: "sign_in.source_failures", Unit: "failures", Kind: KindInt, Default: 100, Min: 10, Max: 10000, Article: "63-7", Source: "OWASP ASVS 6.3.1",
			Says: Words{"一つの接続元が期間内に起こせる失敗の回数。庁内のプロキシの後ろには多くの人がいる。", "Failures one source may cause within the window; many people stand behind a proxy."}},
		{Path: "sign_in.source_window", Unit: "duration", Kind: KindDuration, Default: 10 * time.Minute, Min: time.Minute, Max: 24 * time.Hour, Article: "63-7",
			Says: Words{"接続元ごとの失敗を数える期間。", "The window in which a source's failures are counted."}},
		{Path: "sign_in.fresh_for", Unit: "duration", Kind: KindDuration, Default: 10 * time.Minute, Min: time.Minute, Max: time.Hour, Article: "64-3", Source: "OWASP ASVS 7.5.1",
			Says: Words{"認証手段の変更に必要な認証からの経過時間の上限。", "A change of factors needs an authentication this recent."}},
		{Path: "sign_in.notice_after", Unit: "failures", Kind: KindInt, Default: 1, Min: 1, Max: 50, Article: "63-7", Source: "OWASP ASVS 6.3.5",
			Says: Words{"初めてのネットワーク又はブラウザからのサインインを本人に知らせる、直前までの失敗の回数。", "After so many failures, a sign-in from a new network or browser is told to its owner."}},

		{Path: "password.min_length", Unit: "characters", Kind: KindInt, Default: 12, Min: 6, Max: 64, Article: "46-2(3)", Source: "NIST SP 800-63B-4 3.1.1.2",
			Says: Words{"多要素認証で使うパスワードの最小の文字数。", "The least length beside a second factor."}},
		{Path: "password.min_length_single", Unit: "characters", Kind: KindInt, Default: 15, Min: 6, Max: 64, Article: "46-2(3)", Source: "NIST SP 800-63B-4 3.1.1.2",
			Says: Words{"パスワードだけで入る場合の最小の文字数。", "The least length where the password stands alone."}},
		{Path: "password.max_length", Unit: "characters", Kind: KindInt, Default: 128, Min: 64, Max: 256, Article: "46-2(3)", Source: "NIST SP 800-63B-4 3.1.1.2",
			Says: Words{"受け付けるパスワードの最大の文字数。", "The greatest length accepted."}},
		{Path: "password.history", Unit: "passwords", Kind: KindInt, Default: 5, Min: 0, Max: 24, Article: "46-2(5)",
			Says: Words{"使い回しを拒む過去のパスワードの数。", "How many former passwords are refused."}},
		{Path: "password.max_age", Unit: "duration", Kind: KindDuration, Default: time.Duration(0), Legacy: 365 * day, Min: time.Duration(0), Max: 2 * 366 * day, Article: "62-7", Source: "NIST SP 800-63B-4 3.1.1.2",
			Says: Words{"パスワードの期限。過ぎると、次のサインインで変更を求める。0は期限なし。", "The age from which the next sign-in asks for a new password; 0: never."}},
		{Path: "password.fiscal_year_end", Kind: KindFlag, Default: false, Article: "62-7", Source: "NIST SP 800-63B-4 3.1.1.2",
			Says: Words{"前の年度までに決めたパスワードの変更を、4月1日（日本時間）からのサインインで求めるか。", "Whether a password chosen in an earlier fiscal year must be changed at the first sign-in from 1 April, Japan time."}},
		{Path: "password.warn_days", Unit: "days", Kind: KindInt, Default: 14, Min: 1, Max: 28, Article: "62-7",
			Says: Words{"期限のあるパスワードについて、期限の何日前に本人へ知らせるか。3日前にも知らせる。", "Days before a password that grows old must be changed at which its owner is told; they are once more three days before."}},
		{Path: "password.min_classes", Unit: "classes", Kind: KindInt, Default: 0, Legacy: 3, Min: 0, Max: 4, Article: "46-2(3)", Source: "NIST SP 800-63B-4 3.1.1.2",
			Says: Words{"新しいパスワードに求める文字の種類の数。種類は、大文字、小文字、数字、記号（かな、漢字を含む。）。0は求めない。", "How many kinds of characters a new password has, of upper case, lower case, digits and others (symbols, kana, kanji); 0: not asked."}},
		{Path: "password.min_score", Unit: "score", Kind: KindInt, Default: 3, Min: 0, Max: 4, Article: "46-2(3)",
			Says: Words{"推測のしにくさ（zxcvbn）の最低点。", "The least strength by zxcvbn's estimate."}},
		{Path: "password.temporary_end", Unit: "duration", Kind: KindDuration, Default: 24 * time.Hour, Min: time.Hour, Max: 168 * time.Hour, Article: "64-2", Source: "OWASP ASVS 6.4.1",
			Says: Words{"使われない仮パスワードが無効になるまでの時間。", "An unused temporary password dies after so long."}},
		{Path: "password.autofill_discouraged", Kind: KindFlag, Default: true, Article: "46-2(7)",
			Says: Words{"端末機にパスワードを記憶させないようブラウザに求めるか。", "Whether browsers are asked not to remember passwords."}},

		{Path: "totp.skew", Unit: "steps", Kind: KindInt, Default: 1, Min: 0, Max: 1, Article: "62-2", Source: "RFC 6238 5.2",
			Says: Words{"前後に受け付ける30秒の刻みの数。", "Steps of 30 s accepted before and after."}},
		{Path: "totp.enrolment_end", Unit: "duration", Kind: KindDuration, Default: 10 * time.Minute, Min: time.Minute, Max: 30 * time.Minute, Article: "64-1", Source: "NIST SP 800-63B-4 4.1",
			Says: Words{"確認されない登録が無効になるまでの時間。", "An unconfirmed enrolment dies after so long."}},
		{Path: "totp.max_devices", Unit: "devices", Kind: KindInt, Default: 5, Min: 1, Max: 10, Article: "64-1",
			Says: Words{"一人が登録できる機器の数。", "Devices one person may enrol."}},

		{Path: "passkey.ceremony_end", Unit: "duration", Kind: KindDuration, Default: 5 * time.Minute, Min: 30 * time.Second, Max: 10 * time.Minute, Article: "62-2", Source: "W3C WebAuthn L3 5.4",
			Says: Words{"パスキーの登録や認証の求めが無効になるまでの時間。", "A passkey's challenge dies after so long."}},
		{Path: "passkey.max_keys", Unit: "keys", Kind: KindInt, Default: 5, Min: 1, Max: 20, Article: "64-1",
			Says: Words{"一人が登録できるパスキーの数。", "Passkeys one person may enrol."}},
		{Path: "passkey.demands[].attestation", Kind: KindFlag, Default: false, Article: "64-1", Source: "W3C WebAuthn L3 6.5",
			Says: Words{"製造者の証明（アテステーション）を求めるか。", "Whether the maker must vouch for the key."}},

		{Path: "cards[].match", Kind: KindChoice, Default: CardMatchLogin, Choices: []string{CardMatchLogin, CardMatchMail}, Article: "62-1",
			Says: Words{"カードの証明書が示す人を、ログイン名とメールアドレスのどちらで探すか。", "What of a person a card's subject is compared with."}},

		{Path: "clients[].environment", Kind: KindChoice, Default: string(Production), Choices: texts(Environments()), Article: "68-2",
			Says: Words{"システム（application）を書かないクライアントの環境。書いたものには、そのシステムの環境が当てはまる。", "The environment of a client that names no application; one that does has its application's."}},
		{Path: "clients[].auth_method", Kind: KindChoice, Default: AuthBasic, Choices: ClientAuthMethods(), Article: "62-2", Source: "OpenID Connect Core 9",
			Says: Words{"クライアントが自分を証明する方法。", "How a client proves itself."}},
		{Path: "clients[].consent", Kind: KindFlag, Default: false, Article: "47-3", Source: "OWASP ASVS 10.7.1",
			Says: Words{"このシステムへ情報を渡す前に、本人に尋ねるか。", "Whether people are asked before the client is told of them."}},
		{Path: "clients[].refresh", Kind: KindFlag, Default: false, Article: "62-7", Source: "OpenID Connect Core 11",
			Says: Words{"offline_access で更新トークンを渡すか。", "Whether offline_access gives refresh tokens."}},
		{Path: "clients[].require_par", Kind: KindFlag, Default: false, Article: "62-1", Source: "RFC 9126 5",
			Says: Words{"認可の求めを、先に直接送らせるか。", "Whether authorization requests must be pushed first."}},
		{Path: "clients[].dpop", Kind: KindChoice, Default: DPoPNone, Choices: DPoPChoices(), Article: "62-2", Source: "RFC 9449",
			Says: Words{"トークンをクライアントの鍵に結び付けるか（DPoP）。公開クライアントと管理用のシステムはrequiredにする。", "Whether tokens are bound to the client's key (DPoP): required for public clients and for administrators' applications."}},
		{Path: "clients[].max_age", Unit: "duration", Kind: KindDuration, Default: time.Duration(0), Min: time.Duration(0), Max: 24 * time.Hour, Article: "62-2", Source: "OpenID Connect Core 3.1.2.1",
			Says: Words{"認証からの経過時間の上限。0は求めない。", "People must have signed in so recently; 0: not asked."}},

		{Path: "privileges[].approvers.quorum", Unit: "persons", Kind: KindInt, Default: 1, Min: 1, Max: 5, Article: "16-1", Source: "OWASP ASVS 2.3.5",
			Says: Words{"特権の申請を承認する人の数。", "How many persons approve a request for a privilege."}},
		{Path: "privileges[].approvers.where", Kind: KindChoice, Default: ApproversUpward, Choices: ApproverPlaces(), Article: "12-2",
			Says: Words{"承認する人を、申請者の室課から上へ探すか、県全体で探すか。", "Whether approvers are looked for from the asking section upward or in the whole prefecture."}},
		{Path: "privileges[].environment", Kind: KindChoice, Default: string(Production), Choices: texts(Environments()), Article: "68-2",
			Says: Words{"この特権が開くものの環境。その環境のIDだけに貸し出す。", "The environment of what the privilege opens; it is lent to IDs of that one alone."}},
		{Path: "privileges[].usual", Unit: "duration", Kind: KindDuration, Default: 30 * time.Minute, Min: time.Minute, Max: 8 * time.Hour, Article: "65",
			Says: Words{"申請の画面に初めから入っている時間。", "The time that a request begins with."}},
		{Path: "privileges[].longest", Unit: "duration", Kind: KindDuration, Default: time.Hour, Min: time.Minute, Max: 8 * time.Hour, Article: "65", Source: "NIST SP 800-63B-4 2.3.3",
			Says: Words{"開始から終わりまでの最長の時間。延長を含む。", "The longest time from activation to the end, extensions included."}},
		{Path: "privileges[].ask_end", Unit: "duration", Kind: KindDuration, Default: 24 * time.Hour, Min: 10 * time.Minute, Max: 168 * time.Hour, Article: "62-6",
			Says: Words{"誰も決めない申請が無効になるまでの時間。", "A request that nobody decides lapses after so long."}},
		{Path: "privileges[].activate_end", Unit: "duration", Kind: KindDuration, Default: 4 * time.Hour, Min: 5 * time.Minute, Max: 72 * time.Hour, Article: "62-7",
			Says: Words{"承認されても開始されない申請が無効になるまでの時間。", "An approval that is not used lapses after so long."}},
		{Path: "privileges[].cool_down", Unit: "duration", Kind: KindDuration, Default: time.Duration(0), Min: time.Duration(0), Max: 24 * time.Hour, Article: "62-7",
			Says: Words{"終わってから、同じ人が次に申請できるまでの時間。", "How long after an end the same person may ask again."}},
		{Path: "privileges[].acr", Kind: KindChoice, Default: string(PHR), Choices: []string{string(AAL2), string(PHR)}, Article: "62-7", Source: "OWASP ASVS 6.3.3",
			Says: Words{"申請と開始に必要な認証の強さ。", "The assurance it takes to ask and to activate."}},
		{Path: "privileges[].fresh_for", Unit: "duration", Kind: KindDuration, Default: 15 * time.Minute, Min: time.Minute, Max: 8 * time.Hour, Article: "62-7", Source: "OWASP ASVS 7.5.3",
			Says: Words{"申請と開始のときに許される、最後の認証からの経過時間。", "How recent the sign-in must be that asks and activates."}},
		{Path: "privileges[].witness_every", Unit: "duration", Kind: KindDuration, Default: 10 * time.Minute, Min: time.Minute, Max: time.Hour, Article: "49-3",
			Says: Words{"二人で行う特権で、立会人が確認する間隔。過ぎると止まる。", "How often the second person confirms; without it the lease pauses."}},
		{Path: "privileges[].outlives_session", Kind: KindFlag, Default: false, Article: "65",
			Says: Words{"サインアウトした後も終わりの時刻まで続くか。", "Whether it goes on to its end when its session ends."}},
		{Path: "privileges[].emergency", Kind: KindFlag, Default: false, Article: "80-2",
			Says: Words{"緊急のときに承認なしで使えるか。", "Whether it may be taken in an emergency without approval."}},
		{Path: "privileges[].emergency_longest", Unit: "duration", Kind: KindDuration, Default: 30 * time.Minute, Min: time.Minute, Max: 2 * time.Hour, Article: "80-2",
			Says: Words{"承認のない緊急の利用の最長の時間。", "The longest time of a use that nobody approved."}},
		{Path: "privileges[].work_record", Kind: KindFlag, Default: true, Article: "49-1",
			Says: Words{"終わった後に作業の記録を求めるか。", "Whether a work record is owed at the end."}},
		{Path: "privileges[].record_end", Unit: "duration", Kind: KindDuration, Default: 24 * time.Hour, Min: time.Hour, Max: 168 * time.Hour, Article: "49-1",
			Says: Words{"作業の記録を出す期限。過ぎると新しい特権は借りられない。", "A work record is due within so long; after that nothing new is lent."}},
		{Path: "privileges[].standing", Kind: KindChoice, Default: StandingRemove, Choices: StandingRules(), Article: "62-6",
			Says: Words{"貸出しのない特権を見つけたとき、取り除くか、知らせるだけか。", "Whether privilege without a lease is removed, or only reported."}},

		{Path: "lockdown.ratify_within", Unit: "duration", Kind: KindDuration, Default: 2 * time.Hour, Min: 15 * time.Minute, Max: 24 * time.Hour, Article: "11-4",
			Says: Words{"CSIRTが委任により命じた緊急停止を、ＣＩＯが追認するまでの時間。過ぎると自動で解ける。", "How soon the CIO ratifies a lock-down that CSIRT ordered under delegation; without it, it is lifted by itself."}},
		{Path: "lockdown.longest", Unit: "duration", Kind: KindDuration, Default: 72 * time.Hour, Min: 15 * time.Minute, Max: 168 * time.Hour, Article: "75-2",
			Says: Words{"緊急停止の最長の時間。続けるときは、改めて命じる。", "The longest time of a lock-down; to go on, it is ordered again."}},

		{Path: "shared_ids[].environment", Kind: KindChoice, Default: string(Production), Choices: texts(Environments()), Article: "68-2",
			Says: Words{"共用IDが使われるシステムの環境。その環境のIDを持つ人だけが受け取れる。", "The environment of what the shared ID is used at; people check it out with IDs of that one alone."}},
		{Path: "shared_ids[].holders", Unit: "persons", Kind: KindInt, Default: 1, Min: 1, Max: 50, Article: "46-1",
			Says: Words{"共用IDを同時に使える人の数。1なら、使っている間はほかの人に渡さない。", "How many people may have a shared ID at once; 1: nobody else does meanwhile."}},
		{Path: "shared_ids[].usual", Unit: "duration", Kind: KindDuration, Default: 30 * time.Minute, Min: time.Minute, Max: 12 * time.Hour, Article: "46-1",
			Says: Words{"共用IDを受け取る画面に初めから入っている時間。", "The time that a check-out begins with."}},
		{Path: "shared_ids[].longest", Unit: "duration", Kind: KindDuration, Default: 2 * time.Hour, Min: time.Minute, Max: 12 * time.Hour, Article: "46-1",
			Says: Words{"共用IDを受け取ってから返すまでの最長の時間。何人かが同時に使うときは、一つのパスワードを使い続ける最長の時間でもある。", "The longest time from check-out to the end; where several have it at once, also of one password."}},
		{Path: "shared_ids[].acr", Kind: KindChoice, Default: string(AAL2), Choices: []string{string(AAL2), string(PHR)}, Article: "46-1", Source: "OWASP ASVS 7.5.3",
			Says: Words{"共用IDを受け取るときに必要な認証の強さ。", "The assurance it takes to check one out."}},
		{Path: "shared_ids[].fresh_for", Unit: "duration", Kind: KindDuration, Default: 15 * time.Minute, Min: time.Minute, Max: 8 * time.Hour, Article: "46-1", Source: "OWASP ASVS 7.5.3",
			Says: Words{"共用IDを受け取るときに許される、最後の認証からの経過時間。", "How recent the sign-in must be that checks one out."}},
		{Path: "shared_ids[].outlives_session", Kind: KindFlag, Default: false, Article: "46-1",
			Says: Words{"受け取った人のセッションが終わった後も、共用IDを終わりの時刻まで使えるか。", "Whether it is kept to its end when its holder's session ends before."}},

		{Path: "sealed_ids.test_days", Unit: "days", Kind: KindInt, Default: 180, Min: 7, Max: 366, Article: "80-2",
			Says: Words{"封印した緊急用IDを試す間隔の日数。過ぎると知らせる。", "Days between tests of a sealed emergency ID; beyond them people are told."}},
		{Path: "sealed_ids.rotate_days", Unit: "days", Kind: KindInt, Default: 365, Min: 30, Max: 1095, Article: "62-6",
			Says: Words{"封印した緊急用IDのパスワードを変えて封印し直す間隔の日数。", "Days after which a sealed emergency ID gets a new password and is sealed anew."}},
		{Path: "sealed_ids.report_within", Unit: "duration", Kind: KindDuration, Default: 24 * time.Hour, Min: time.Hour, Max: 168 * time.Hour, Article: "80-2",
			Says: Words{"開封してから、報告、封印のし直し、突き合わせを済ませるまでの期限。", "After one was opened, it is reported, sealed anew and reconciled within."}},

		{Path: "recovery.code_end", Unit: "duration", Kind: KindDuration, Default: 24 * time.Hour, Min: 10 * time.Minute, Max: 24 * time.Hour, Article: "64-1", Source: "NIST SP 800-63B-4 4.2",
			Says: Words{"使われない回復コードが無効になるまでの時間。", "An unused recovery code dies after so long."}},

		{Path: "lockout.free_failures", Unit: "failures", Kind: KindInt, Default: 4, Legacy: 2, Min: 0, Max: 10, Article: "63-7", Source: "NIST SP 800-63B-4 3.2.2",
			Says: Words{"待たせない失敗の回数。次の失敗から待たせる。", "Failures that delay nobody; the next one begins to."}},
		{Path: "lockout.delays[]", Unit: "duration", Kind: KindDuration, Default: []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}, Min: time.Second, Max: 24 * time.Hour, Article: "63-7", Source: "NIST SP 800-63B-4 3.2.2",
			Says: Words{"失敗が続くごとに待たせる時間。最後の値が繰り返される。", "The waits, failure by failure; the last one repeats."}},
		{Path: "lockout.hard_limit", Unit: "failures", Kind: KindInt, Default: 50, Legacy: 3, Min: 1, Max: 100, Article: "63-7", Source: "NIST SP 800-63B-4 3.2.2",
			Says: Words{"続けて失敗するとその認証手段が再登録まで使えなくなる回数。", "Consecutive failures after which the factor is dead until it is bound again."}},
		{Path: "lockout.known_browser_share", Unit: "failures", Kind: KindInt, Default: 10, Legacy: 0, Min: 0, Max: 50, Article: "63-7",
			Says: Words{"上限のうち、本人がサインインしたことのあるブラウザのために残す回数。", "Of the limit, what is kept back for browsers that have signed the person in."}},
		{Path: "lockout.known_browser_end", Unit: "duration", Kind: KindDuration, Default: 90 * day, Min: day, Max: 366 * day, Article: "63-7",
			Says: Words{"最後のサインインからブラウザを覚えている時間。", "How long a browser stays known after its last sign-in."}},

		{Path: "session.max_per_person", Unit: "sessions", Kind: KindInt, Default: 5, Min: 1, Max: 100, Article: "62-1", Source: "OWASP ASVS 7.1.2",
			Says: Words{"一人が同時に持てるセッションの数。超えると古いものから終わる。", "Sessions one person may hold; one more ends the oldest."}},
		{Path: "session.handover_end", Unit: "duration", Kind: KindDuration, Default: 60 * time.Second, Min: 5 * time.Second, Max: 60 * time.Second, Article: "62-1",
			Says: Words{"アプリケーションへセッションを渡す符号の有効な時間。", "A code that hands a session to an application's host lives so long."}},
		{Path: "session.revocation_poll", Unit: "duration", Kind: KindDuration, Default: 250 * time.Millisecond, Min: 50 * time.Millisecond, Max: 250 * time.Millisecond, Article: "62-1",
			Says: Words{"失効したセッションを読みに行く間隔。", "How often revocations are read."}},
		{Path: "session.revocation_stale", Unit: "duration", Kind: KindDuration, Default: 750 * time.Millisecond, Min: 100 * time.Millisecond, Max: 750 * time.Millisecond, Article: "62-1",
			Says: Words{"失効の情報がこれより古いと、手元の写しを使わない。", "With revocations older than this, the cache is off."}},
		{Path: "session.revocation_reread", Unit: "duration", Kind: KindDuration, Default: 5 * time.Second, Min: time.Second, Max: time.Minute, Article: "62-1",
			Says: Words{"遅れて確定した失効のために読み直す長さ。", "How far back each reading goes again, for late commits."}},
		{Path: "session.directory_refresh", Unit: "duration", Kind: KindDuration, Default: 15 * time.Second, Min: time.Second, Max: 25 * time.Second, Article: "62-4",
			Says: Words{"ディレクトリで直接変えられた職員の情報を読み直す間隔。30秒以内に効くこと。", "How often a person is read again, so that a change made in the directory counts within 30 s."}},
		{Path: "session.elevated_acr", Kind: KindChoice, Default: string(PHR), Choices: []string{string(AAL2), string(PHR)}, Article: "62-7", Source: "OWASP ASVS 6.3.3",
			Says: Words{"管理の操作に必要な認証の強さ。", "The assurance that administrators' acts need."}},
		{Path: "session.elevated_idle_end", Unit: "duration", Kind: KindDuration, Default: 15 * time.Minute, Min: time.Minute, Max: 15 * time.Minute, Article: "62-7", Source: "NIST SP 800-63B-4 2.3.3",
			Says: Words{"管理の画面の認証と特権のセッションが、操作がないまま効かなくなるまでの時間。", "The idle end on administrators' pages, and of privileged sessions."}},
		{Path: "session.elevated_absolute_end", Unit: "duration", Kind: KindDuration, Default: 8 * time.Hour, Min: 15 * time.Minute, Max: 8 * time.Hour, Article: "65", Source: "NIST SP 800-63B-4 2.3.3",
			Says: Words{"管理の画面の認証と特権のセッションが、最後に本人を確かめてから効かなくなるまでの時間。", "The absolute end on administrators' pages, and of privileged sessions, from the last proof of who it is."}},

		{Path: "openid.code_end", Unit: "duration", Kind: KindDuration, Default: 60 * time.Second, Min: 10 * time.Second, Max: 60 * time.Second, Article: "62-1", Source: "OWASP ASVS 10.4.3",
			Says: Words{"認可コードの有効な時間。", "An authorization code lives so long."}},
		{Path: "openid.request_end", Unit: "duration", Kind: KindDuration, Default: 5 * time.Minute, Min: time.Minute, Max: 10 * time.Minute, Article: "62-1", Source: "RFC 9126 2.2",
			Says: Words{"先に送られた認可の求めの有効な時間。", "A pushed authorization request lives so long."}},
		{Path: "openid.token_end", Unit: "duration", Kind: KindDuration, Default: 5 * time.Minute, Min: time.Minute, Max: 5 * time.Minute, Article: "62-7", Source: "RFC 9700 2.2",
			Says: Words{"アクセストークンとIDトークンの有効な時間。", "Access tokens and ID tokens live so long."}},
		{Path: "openid.refresh_idle_end", Unit: "duration", Kind: KindDuration, Default: time.Hour, Min: 5 * time.Minute, Max: 24 * time.Hour, Article: "62-5", Source: "RFC 9700 4.14.2",
			Says: Words{"使われない更新トークンが無効になるまでの時間。", "A refresh token that is not used dies after so long."}},
		{Path: "openid.refresh_end", Unit: "duration", Kind: KindDuration, Default: 9 * time.Hour, Min: 15 * time.Minute, Max: 24 * time.Hour, Article: "62-7", Source: "OWASP ASVS 10.4.8",
			Says: Words{"一つの認可から始まる更新の終わり。セッションの終わりを超えない。", "The absolute end of refreshing; never beyond the session's."}},
		{Path: "openid.logout_end", Unit: "duration", Kind: KindDuration, Default: 24 * time.Hour, Min: 10 * time.Minute, Max: 72 * time.Hour, Article: "62-1", Source: "OpenID Connect Back-Channel Logout 2.8",
			Says: Words{"サインアウトをシステムに知らせる試みを続ける時間。", "An application is tried to be told of a sign-out for so long."}},

		{Path: "approval.lapse_after", Unit: "duration", Kind: KindDuration, Default: 24 * time.Hour, Min: 10 * time.Minute, Max: 168 * time.Hour, Article: "16-1",
			Says: Words{"決まらない申請が失効するまでの時間。", "An undecided request lapses after so long."}},
		{Path: "approval.fresh_for", Unit: "duration", Kind: KindDuration, Default: 10 * time.Minute, Min: time.Minute, Max: time.Hour, Article: "62-7", Source: "OWASP ASVS 7.5.3",
			Says: Words{"承認又は却下に必要な、フィッシングに強い認証からの経過時間の上限。", "A decision needs a phishing-resistant sign-in this recent."}},
		{Path: "approval.factor_rest", Unit: "duration", Kind: KindDuration, Default: 24 * time.Hour, Min: 24 * time.Hour, Max: 168 * time.Hour, Article: "16-1",
			Says: Words{"新しい認証手段で承認できるようになるまでの時間。", "A new factor decides nothing for so long."}},
		{Path: "approval.remind_after", Unit: "duration", Kind: KindDuration, Default: time.Hour, Min: time.Duration(0), Max: 72 * time.Hour, Article: "16-1",
			Says: Words{"決まらない申請を承認者に催促するまでの時間。0は催促しない。", "Who may decide is reminded after so long; 0: not at all."}},
		{Path: "approval.escalate_after", Unit: "duration", Kind: KindDuration, Default: 4 * time.Hour, Min: time.Duration(0), Max: 72 * time.Hour, Article: "12-2",
			Says: Words{"決まらない申請を一つ上の職も決められるようになるまでの時間。0は上げない。", "The next post up the tree may decide too after so long; 0: never."}},
		{Path: "approval.review_within", Unit: "duration", Kind: KindDuration, Default: 72 * time.Hour, Min: time.Hour, Max: 30 * day, Article: "16-1",
			Says: Words{"代決を、職にある者が後閲するまでの期限。", "An acting decision is reviewed by a holder of the post within."}},

		{Path: "permits[].enforces", Kind: KindChoice, Default: EnforcesNothing, Choices: PermitEnforcements(), Article: "63-1",
			Says: Words{"生きている許可だけが開けるもの。nothingは台帳への記録だけ。", "What only a live permit opens; nothing: the register is the record."}},
		{Path: "permits[].steps[].quorum", Unit: "persons", Kind: KindInt, Default: 1, Min: 1, Max: 5, Article: "16-1",
			Says: Words{"その段階で許可する人の数。", "How many persons say yes at this step."}},
		{Path: "permits[].steps[].all", Kind: KindFlag, Default: false, Article: "58-1",
			Says: Words{"書いた職のすべての許可を求めるか。兼ねている人は一度で両方として決める。", "Whether each of the posts must say yes; one official who holds several decides once for all of them."}},
		{Path: "permits[].steps[].where", Kind: KindChoice, Default: ApproversUpward, Choices: ApproverPlaces(), Article: "12-2",
			Says: Words{"許可する人を、申請する室課から上へ探すか、県全体で探すか。", "Whether who decides is looked for from the asking section upward or in the whole prefecture."}},
		{Path: "permits[].fields[].type", Kind: KindChoice, Default: FieldText, Choices: PermitFieldTypes(), Article: "63-2(1)",
			Says: Words{"書く項目の種類。種類ごとに値を確かめる。", "What sort of thing the field holds; its value is checked by it."}},
		{Path: "permits[].fields[].max", Unit: "characters", Kind: KindInt, Default: fieldMax, Min: 1, Max: 2000, Article: "63-2(1)",
			Says: Words{"文字数の上限。並びでは個数の上限。", "The most characters; of a list, the most items."}},
		{Path: "permits[].longest_days", Unit: "days", Kind: KindInt, Default: 0, Min: 0, Max: 366, Article: "63-2(1)",
			Says: Words{"許可の最長の日数。0は始まる年度の末まで。", "The longest term in days; 0: to the end of the fiscal year in which it begins."}},
		{Path: "permits[].ahead_days", Unit: "days", Kind: KindInt, Default: 120, Min: 0, Max: 366, Article: "63-2(1)",
			Says: Words{"始まりの何日前から申請できるか。", "How many days before its beginning a permit may be asked for."}},
		{Path: "permits[].renew_days", Unit: "days", Kind: KindInt, Default: 30, Min: 0, Max: 120, Article: "63-2(1)",
			Says: Words{"終わりの何日前に本人へ知らせるか。0は知らせない。", "Its holder is told so many days before the end; 0: not at all."}},
		{Path: "permits[].review_days", Unit: "days", Kind: KindInt, Default: 0, Min: 0, Max: 366, Article: "63-2(1)",
			Says: Words{"許可した側が点検する間隔の日数。0は点検しない。", "Whoever decides such permits looks at each so often; 0: never."}},
		{Path: "permits[].done", Kind: KindFlag, Default: false, Article: "26-2",
			Says: Words{"終わった処理の日時、担当者及び内容の記録を求めるか。", "Whether what was done under it is written down: when, by whom, what."}},
		{Path: "permits[].tell_start", Kind: KindFlag, Default: false, Article: "63-7",
			Says: Words{"使い始めたことを、申請した人に知らせるか。", "Whether whoever asked is told when its use begins."}},
		{Path: "permits[].tell_end", Kind: KindFlag, Default: false, Article: "63-7",
			Says: Words{"使い終わったことを、申請した人に知らせるか。", "Whether whoever asked is told when its use ends."}},
		{Path: "remote.idle_end", Unit: "duration", Kind: KindDuration, Default: 15 * time.Minute, Min: time.Minute, Max: time.Hour, Article: "63-7", Source: "NIST SP 800-63B-4 2.2.3",
			Says: Words{"庁外から始めたセッションが、操作がないまま終わるまでの時間。領域の値より長くはならない。", "The idle end of a session that began outside; never longer than the zone's."}},
		{Path: "remote.absolute_end", Unit: "duration", Kind: KindDuration, Default: 8 * time.Hour, Min: 15 * time.Minute, Max: 24 * time.Hour, Article: "63-7", Source: "NIST SP 800-63B-4 2.2.3",
			Says: Words{"庁外から始めたセッションの最長の時間。領域の値より長くはならない。", "The absolute end of a session that began outside; never longer than the zone's."}},
		{Path: "remote.lent_by_remote_permit", Kind: KindFlag, Default: false, Article: "63-3",
			Says: Words{"リモートアクセスの許可が、そこに書かれた貸与端末機の貸与の許可を兼ねるか。兼ねないときは、端末機の貸与の許可も要る。", "Whether remote access that names a lent terminal is also the CIO's word that it is lent; otherwise it takes the permit lent_terminal beside."}},

		{Path: "dormancy.warn_days", Unit: "days", Kind: KindInt, Default: 60, Min: 1, Max: 730, Article: "62-5",
			Says: Words{"使われないIDの持ち主に知らせるまでの日数。", "Days unused before the holder is warned."}},
		{Path: "dormancy.disable_days", Unit: "days", Kind: KindInt, Default: 90, Min: 2, Max: 1095, Article: "62-5",
			Says: Words{"使われないIDを無効にするまでの日数。", "Days unused before the ID is disabled."}},
		{Path: "dormancy.delete_days", Unit: "days", Kind: KindInt, Default: 365, Min: 3, Max: 3660, Article: "62-5",
			Says: Words{"使われないIDを削除するまでの日数。", "Days unused before the ID is deleted."}},
		{Path: "dormancy.review_days", Unit: "days", Kind: KindInt, Default: 90, Min: 10, Max: 366, Article: "62-5",
			Says: Words{"削除しないと決めたIDを、もう一度提案するまでの日数。", "Days after which it is proposed again to delete an ID that somebody decided to keep."}},
		{Path: "dormancy.sweep_hour", Unit: "hour", Kind: KindInt, Default: 3, Min: 0, Max: 23, Article: "62-5",
			Says: Words{"使われないIDを毎日点検する時刻（日本時間の時）。", "The hour, Japan time, at which unused IDs are looked for each day."}},
		{Path: "dormancy.stop_share", Unit: "percent", Kind: KindInt, Default: 5, Min: 1, Max: 50, Article: "62-5",
			Says: Words{"ディレクトリの答えが前回とこの割合より大きく違うとき、又は一度に処理するIDがこの割合を超えるとき、止めて人に尋ねる。", "Where the directory's answer differs from the last by more than this share of all IDs, or more would be done at once, the sweep stops and asks somebody."}},
		{Path: "dormancy.stop_few", Unit: "count", Kind: KindInt, Default: 10, Min: 1, Max: 1000, Article: "62-5",
			Says: Words{"一度に知らせる、又は無効にするIDがこの数までなら、割合にかかわらず止まらない。小さな県や試用では、割合だけでは数件で止まるため。", "Up to so many IDs are warned or disabled at once whatever their share: in a small prefecture, or a trial, the share alone would stop the sweep for a few."}},
	}
}

// retentionSettings are years, of our own trail and by importance.
func retentionSettings() []Setting {
	return []Setting{
		retention("trail_years", 7, "51-2", Words{"証跡を保存する年数。", "Years the trail is kept."}),
		retention("class1_years", 7, "51-2", Words{"重要度1のシステムの記録を保存する年数。", "Years records of class 1 systems are kept."}),
		retention("class2_years", 5, "51-2", Words{"重要度2のシステムの記録を保存する年数。", "Years records of class 2 systems are kept."}),
		retention("class3_years", 3, "51-2", Words{"重要度3のシステムの記録を保存する年数。", "Years records of class 3 systems are kept."}),
		retention("class4_years", 1, "51-2", Words{"重要度4のシステムの記録を保存する年数。", "Years records of class 4 systems are kept."}),
	}
}

func retention(key string, years int, article Article, says Words) Setting {
	return Setting{Path: "retention." + key, Unit: "years", Kind: KindInt, Default: years, Min: 1, Max: 10, Article: article, Says: says}
}

// DefaultFor is what holds in a zone whose file does not say.
func (s Setting) DefaultFor(zone ZoneID) any {
	if v, ok := s.ByZone[zone]; ok {
		return v
	}
	return s.Default
}

// settingsByPath finds a setting by its path in a type, indexes as [].
var settingsByPath = func() map[string]Setting {
	index := make(map[string]Setting)
	for _, s := range Settings() {
		index[s.Path] = s
	}
	return index
}()

// within reports whether v lies in the setting's bounds and, if not, the
// nearest value that does.
func (s Setting) within(v int64) (nearest int64, ok bool) {
	if s.Min != nil && v < number(s.Min) {
		return number(s.Min), false
	}
	if s.Max != nil && v > number(s.Max) {
		return number(s.Max), false
	}
	return v, true
}

func number(v any) int64 {
	if d, ok := v.(time.Duration); ok {
		return int64(d)
	}
	return int64(v.(int))
}

// show writes a value as policy.yaml would.
func (s Setting) show(v int64) string {
	if s.Kind == KindDuration {
		return ShowDuration(time.Duration(v))
	}
	return strconv.FormatInt(v, 10)
}

// ShowDuration writes a duration as people do: 15m, not 15m0s.
func ShowDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// fill sets every setting below v, a struct at path, to its default. Items of
// lists that are there already are filled too; zone decides between defaults.
func fill(v reflect.Value, path string, zone ZoneID) {
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("yaml")
		if key == "" {
			continue
		}
		field, at := v.Field(i), join(path, key)
		if s, ok := settingsByPath[at]; ok {
			field.Set(reflect.ValueOf(s.DefaultFor(zone)).Convert(field.Type()))
			continue
		}
		if s, ok := settingsByPath[at+"[]"]; ok {
			field.Set(reflect.AppendSlice(reflect.Zero(field.Type()), reflect.ValueOf(s.Default)))
			continue
		}
		if field.Kind() == reflect.Struct && field.Type() != prefixType {
			fill(field, at, zone)
		}
	}
}

// settle sets the one setting at a path below v, which leads through no list.
func settle(v reflect.Value, path string, to any) {
	key, rest, _ := strings.Cut(path, ".")
	for i := range v.NumField() {
		switch field := v.Field(i); {
		case v.Type().Field(i).Tag.Get("yaml") != key:
		case rest != "":
			settle(field, rest, to)
		default:
			field.Set(reflect.ValueOf(to).Convert(field.Type()))
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// SettingsMarkdown is the reference of all settings, as a table.
func SettingsMarkdown(lang string) string {
	var b strings.Builder
	if lang == "en" {
		b.WriteString("| setting | meaning | unit | default | from | to | source |\n|---|---|---|---|---|---|---|\n")
	} else {
		b.WriteString("| 項目 | 意味 | 単位 | 既定値 | 下限 | 上限 | 根拠 |\n|---|---|---|---|---|---|---|\n")
	}
	for _, s := range Settings() {
		def := showAny(s.Default)
		for _, z := range ZoneIDs() {
			if v, ok := s.ByZone[z]; ok {
				def += fmt.Sprintf(" (%s: %s)", z, showAny(v))
			}
		}
		if s.Legacy != nil {
			def += fmt.Sprintf(" (%s: %s)", ProfileLegacy, showAny(s.Legacy))
		}
		from, to := showAny(s.Min), showAny(s.Max)
		if len(s.Choices) > 0 {
			from, to = s.Choices[0], s.Choices[len(s.Choices)-1]
		}
		source := s.Article.Label(lang)
		if s.Source != "" {
			source += "; " + s.Source
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", s.Path, s.Says.In(lang), s.Unit, def, from, to, source)
	}
	return b.String()
}

func showAny(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case time.Duration:
		return ShowDuration(v)
	case []time.Duration:
		parts := make([]string, len(v))
		for i, d := range v {
			parts[i] = ShowDuration(d)
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(v)
}
