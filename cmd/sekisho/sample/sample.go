// Package sample is 例県, Rei Prefecture: a prefecture that does not exist, with
// enough people in it to try everything.
//
// It is data and the chance that goes into it: who there is, what state each of
// them is in, what rules they live under, and passwords and codes made afresh
// for each data folder. It knows neither directory nor store; cmd carries the
// people there.
package sample

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/policy"
	"sekisho/policy/secret"
)

// BaseDN is the suffix of the sample's directory. All its DNs are ASCII.
const BaseDN = "dc=pref,dc=example"

// AdminDN is Sekisho's own account there.
const AdminDN = "cn=sekisho,ou=services," + BaseDN

// A State says what a person is there to show.
type State string

// The states, as dev.json spells them.
const (
	Active     State = "active"
	MustChange State = "must_change" // has a temporary password
	Dormant    State = "dormant"     // has not signed in for months and was closed for it, article 62-5
	Left       State = "left"        // has left; the account is disabled, article 62-4
	OnLeave    State = "on_leave"    // 育休; closed, but not for dormancy
	Ended      State = "ended"       // a contractor whose contract has ended, article 38-7
)

// UnusedFor is how long ago the dormant person last signed in.
const UnusedFor = 130 * 24 * time.Hour

// EndedFor is how long ago the ended contract ended.
const EndedFor = 10 * 24 * time.Hour

// A Person is one of the sample's people. ASCII names the directory's sn, which
// some tools cannot show in Japanese.
type Person struct {
	Login   string
	Name    string // as people write it
	Surname string
	State   State
	Section string
	Company string // of a contractor
	Posts   []policy.PostID
	For     policy.Words // what to try as this person
}

// DN is where the person stands in the directory.
func (p Person) DN() string { return "uid=" + p.Login + ",ou=people," + BaseDN }

// Mail is the person's address.
func (p Person) Mail() string { return p.Login + "@pref.example" }

// GroupDN is the group whose members hold a post.
func GroupDN(post policy.PostID) string { return fmt.Sprintf("cn=%s,ou=groups,%s", post, BaseDN) }

// People is everybody, in the order in which they are introduced. There are two
// of every post that approves or witnesses, because nobody may approve what is
// their own (article 16).
func People() []Person {
	staff := func(also ...policy.PostID) []policy.PostID {
		return append([]policy.PostID{policy.Staff}, also...)
	}
	return []Person{
		{"tanaka", "田中 美咲", "Tanaka", Active, "jinji", "", staff(),
			policy.Words{JA: "ふつうの職員としてサインインする", EN: "sign in as ordinary staff"}},
		{"suzuki", "鈴木 一郎", "Suzuki", Active, "shichoson", "", staff(),
			policy.Words{JA: "個人番号利用事務系の職員", EN: "staff of the My Number zone"}},
		{"sato", "佐藤 健", "Sato", Active, "joho", "", staff(policy.SystemAdministrator),
			policy.Words{JA: "情報システム管理者", EN: "system administrator"}},
		{"takahashi", "高橋 由美", "Takahashi", Active, "zaisei", "", staff(policy.SystemAdministrator),
			policy.Words{JA: "情報システム管理者（もう一人）", EN: "the other system administrator"}},
		{"ito", "伊藤 翔", "Ito", Active, "joho", "", staff(policy.SystemOperator),
			policy.Words{JA: "情報システム担当者", EN: "system operator"}},
		{"watanabe", "渡辺 さくら", "Watanabe", Active, "zaisei", "", staff(policy.SystemOperator),
			policy.Words{JA: "情報システム担当者（もう一人）", EN: "the other system operator"}},
		{"yamamoto", "山本 直樹", "Yamamoto", Active, "joho", "", staff(policy.SecurityManager),
			policy.Words{JA: "情報セキュリティ管理者", EN: "security manager"}},
		{"nakamura", "中村 恵", "Nakamura", Active, "jinji", "", staff(policy.SecurityManager),
			policy.Words{JA: "情報セキュリティ管理者（もう一人）", EN: "the other security manager"}},
		{"kobayashi", "小林 誠", "Kobayashi", Active, "dejitaru", "", staff(policy.SecurityOfficer),
			policy.Words{JA: "情報セキュリティ責任者。方針の変更を承認する", EN: "security officer; approves policy changes"}},
		{"kato", "加藤 裕子", "Kato", Active, "soumu", "", staff(policy.SecurityOfficer),
			policy.Words{JA: "情報セキュリティ責任者（もう一人）", EN: "the other security officer"}},
		{"yoshida", "吉田 隆", "Yoshida", Active, "dejitaru", "", staff(policy.CIO),
			policy.Words{JA: "CIO（副知事）。方針の変更を承認する", EN: "CIO (vice governor); approves policy changes"}},
		{"yamada", "山田 久美子", "Yamada", Active, "dejitaru", "", staff(policy.CIO),
			policy.Words{JA: "副CIO", EN: "deputy CIO"}},
		{"sasaki", "佐々木 亮", "Sasaki", Active, "joho", "", staff(policy.CSIRT),
			policy.Words{JA: "CSIRT", EN: "CSIRT"}},
		{"matsumoto", "松本 彩", "Matsumoto", Active, "joho", "", staff(policy.CSIRT),
			policy.Words{JA: "CSIRT（もう一人）", EN: "CSIRT, the other"}},
		{"inoue", "井上 浩", "Inoue", Active, "kansa", "", staff(policy.Auditor),
			policy.Words{JA: "監査。すべてを読み、何も変えない", EN: "auditor; reads everything, changes nothing"}},
		{"kimura", "木村 智子", "Kimura", Active, "kansa", "", staff(policy.Auditor),
			policy.Words{JA: "監査（もう一人）", EN: "the other auditor"}},
		{"hayashi", "林 大輔", "Hayashi", Active, "joho", "例電算株式会社", []policy.PostID{policy.Contractor},
			policy.Words{JA: "委託事業者", EN: "contractor"}},
		{"shimizu", "清水 陽菜", "Shimizu", MustChange, "kokuho", "", staff(),
			policy.Words{JA: "仮パスワード。変更とTOTPの登録から始まる", EN: "temporary password: begins with a change and TOTP enrolment"}},
		{"saito", "斎藤 実", "Saito", Dormant, "kokuho", "", staff(),
			policy.Words{JA: "120日より長く使われていない（入れない）", EN: "unused for more than 120 days (cannot sign in)"}},
		{"yamaguchi", "山口 修", "Yamaguchi", Left, "zaisei", "", staff(),
			policy.Words{JA: "退職者（入れない）", EN: "has left (cannot sign in)"}},
		{"mori", "森 千尋", "Mori", OnLeave, "jinji", "", staff(),
			policy.Words{JA: "育児休業中（入れない）", EN: "on parental leave (cannot sign in)"}},
		{"abe", "阿部 勇", "Abe", Ended, "joho", "例電算株式会社", []policy.PostID{policy.Contractor},
			policy.Words{JA: "契約の終わった委託事業者（入れない）", EN: "contractor whose contract has ended (cannot sign in)"}},
	}
}

// Holders are the logins of everyone who holds a post, in order.
func Holders(post policy.PostID) []string {
	var out []string
	for _, p := range People() {
		if slices.Contains(p.Posts, post) {
			out = append(out, p.Login)
		}
	}
	return out
}

//go:embed policy.yaml
var rules string

// Policy is the sample's policy.yaml with its terminals and clients, whose keys
// and secrets are made afresh for each folder. A client that is not given has a
// secret that nobody knows.
func Policy(terminals []Terminal, clients ...Client) []byte {
	known := secret.Token(32)
	for _, c := range clients {
		if c.ID == SampleWeb {
			known = c.Secret
		}
	}
	var b strings.Builder
	b.WriteString(strings.Replace(rules, "SAMPLE_WEB_SECRET_HASH", policy.HashSecret(known, secret.Bytes(16)), 1))
	b.WriteString("\nterminals:\n")
	for _, t := range terminals {
		fmt.Fprintf(&b, "  - id: %s\n    zone: %s\n    class: %s\n    name: {ja: %s, en: %s}\n    public_key: |\n",
			t.ID, t.Zone, t.Class, t.Name.JA, t.Name.EN)
		for line := range strings.Lines(t.PublicPEM) {
			b.WriteString("      " + line)
		}
	}
	return []byte(b.String())
}
