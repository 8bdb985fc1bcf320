package policy

import (
	"fmt"
	"reflect"
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
		{Path: "password.max_age", Unit: "duration", Kind: KindDuration, Default: time.Duration(0), Min: time.Duration(0), Max: 2 * 366 * day, Article: "62-7", Source: "NIST SP 800-63B-4 3.1.1.2",
			Says: Words{"パスワードの期限。0は期限なし。", "The age at which a password expires; 0: never."}},
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

		{Path: "recovery.code_end", Unit: "duration", Kind: KindDuration, Default: 24 * time.Hour, Min: 10 * time.Minute, Max: 24 * time.Hour, Article: "64-1", Source: "NIST SP 800-63B-4 4.2",
			Says: Words{"使われない回復コードが無効になるまでの時間。", "An unused recovery code dies after so long."}},

		{Path: "lockout.free_failures", Unit: "failures", Kind: KindInt, Default: 4, Min: 0, Max: 10, Article: "63-7", Source: "NIST SP 800-63B-4 3.2.2",
			Says: Words{"待たせない失敗の回数。次の失敗から待たせる。", "Failures that delay nobody; the next one begins to."}},
		{Path: "lockout.delays[]", Unit: "duration", Kind: KindDuration, Default: []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}, Min: time.Second, Max: 24 * time.Hour, Article: "63-7", Source: "NIST SP 800-63B-4 3.2.2",
			Says: Words{"失敗が続くごとに待たせる時間。最後の値が繰り返される。", "The waits, failure by failure; the last one repeats."}},
		{Path: "lockout.hard_limit", Unit: "failures", Kind: KindInt, Default: 50, Min: 1, Max: 100, Article: "63-7", Source: "NIST SP 800-63B-4 3.2.2",
			Says: Words{"続けて失敗するとその認証手段が再登録まで使えなくなる回数。", "Consecutive failures after which the factor is dead until it is bound again."}},
		{Path: "lockout.known_browser_share", Unit: "failures", Kind: KindInt, Default: 10, Min: 0, Max: 50, Article: "63-7",
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
			Says: Words{"管理の画面で、操作がないまま認証が効かなくなるまでの時間。", "The idle end on administrators' pages."}},
		{Path: "session.elevated_absolute_end", Unit: "duration", Kind: KindDuration, Default: 8 * time.Hour, Min: 15 * time.Minute, Max: 12 * time.Hour, Article: "65", Source: "NIST SP 800-63B-4 2.3.3",
			Says: Words{"管理の画面で、認証が効かなくなるまでの時間。", "The absolute end on administrators' pages."}},

		{Path: "dormancy.warn_days", Unit: "days", Kind: KindInt, Default: 60, Min: 1, Max: 730, Article: "62-5",
			Says: Words{"使われないIDの持ち主に知らせるまでの日数。", "Days unused before the holder is warned."}},
		{Path: "dormancy.disable_days", Unit: "days", Kind: KindInt, Default: 90, Min: 2, Max: 1095, Article: "62-5",
			Says: Words{"使われないIDを無効にするまでの日数。", "Days unused before the ID is disabled."}},
		{Path: "dormancy.delete_days", Unit: "days", Kind: KindInt, Default: 365, Min: 3, Max: 3660, Article: "62-5",
			Says: Words{"使われないIDを削除するまでの日数。", "Days unused before the ID is deleted."}},
		{Path: "dormancy.review_days", Unit: "days", Kind: KindInt, Default: 90, Min: 10, Max: 366, Article: "62-5",
			Says: Words{"室課がIDを点検する間隔の日数。", "Days between a section's reviews of its IDs."}},

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
