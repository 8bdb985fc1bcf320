package notice

import (
	"maps"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	queue "sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
)

const gate = "https://sekisho.pref.example"

func testPolicy() *policy.Policy {
	return &policy.Policy{
		Prefecture: policy.Prefecture{Name: policy.Words{JA: "例県", EN: "Rei Prefecture"}},
		Zones: []policy.Zone{
			{ID: policy.LGWAN, Name: policy.Words{JA: "LGWAN接続系", EN: "LGWAN zone"}, MailNotices: true},
			{ID: policy.Internet, MailNotices: true}, {ID: policy.MyNumber},
		},
		Mail:       policy.MailRules{From: "sekisho@pref.example"},
		Sections:   []policy.Section{{ID: "joho", Name: policy.Words{JA: "情報システム課", EN: "Systems"}}},
		Privileges: []policy.Privilege{{ID: "db-admin", Name: policy.Words{JA: "データベース管理", EN: "Database administration"}}},
		SharedIDs:  []policy.SharedID{{ID: "hoso", Name: policy.Words{JA: "庁内放送", EN: "Public address"}}},
	}
}

var tanaka = directory.Person{ID: "p-tanaka", Login: "tanaka", Name: "田中 花子", Mail: "tanaka@pref.example"}

// shown are details as they are given, and the words that must stand in each
// half of the letter for them.
var shown = map[string]struct{ given, ja, en string }{
	"factor":   {"passkey", "パスキー", "A passkey"},
	"name":     {"庁用ノート", "「庁用ノート」", `"庁用ノート"`},
	"by":       {"総務 太郎", "手続きをした人：総務 太郎", "Done by: 総務 太郎"},
	"reason":   {"調査のため", "理由：調査のため", "Reason: 調査のため"},
	"from":     {"10.2.0.7", "発信元：10.2.0.7", "Network address: 10.2.0.7"},
	"browser":  {"Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/140.0", "ブラウザー：Firefox（Windows）", "Browser: Firefox on Windows"},
	"failures": {"17", "失敗が17回続いた", "After 17 failed attempts"},

	"privilege": {"db-admin", "「データベース管理」", `"Database administration"`},
	"shared":    {"hoso", "「庁内放送」", `"Public address"`},
	"minutes":   {"45", "45分", "for 45 minutes"},
	"until":     {"2026-04-01T01:30:00Z", "2026年4月1日（水）10:30:00 日本時間", "Wed 1 April 2026, 10:30:00 JST"},
	"due":       {"2026-04-03T08:00:00Z", "2026年4月3日（金）17:00:00 日本時間", "Fri 3 April 2026, 17:00:00 JST"},
	"section":   {"joho", "「情報システム課」", `"Systems"`},
	"times":     {"2", "この事案では2回目", "use number 2"},
}

func noticeOf(k queue.Kind) queue.Notice {
	n := queue.Notice{Person: tanaka.ID, Kind: k, Zone: policy.LGWAN, At: t0, Detail: map[string]string{}}
	for _, name := range k.Details() {
		n.Detail[name] = shown[name].given
	}
	return n
}

func write(t *testing.T, n queue.Notice, to directory.Person) (subject, ja, en string) {
	t.Helper()
	subject, text, err := NewLetters(gate).Write(n, to, testPolicy())
	if err != nil {
		t.Fatal(err)
	}
	ja, en, ok := strings.Cut(text, "\n--------\n")
	if !ok {
		t.Fatalf("%s is not in two languages:\n%s", n.Kind, text)
	}
	return subject, ja, en
}

var address = regexp.MustCompile(`[a-z]+://\S+|\S+@\S+`)

// TestEveryKindInFull writes every kind and looks at the whole letter: nothing
// left out, nothing left over, no secret asked for and no link but the gate.
func TestEveryKindInFull(t *testing.T) {
	subjects := map[string]queue.Kind{}
	for _, k := range queue.Kinds() {
		t.Run(string(k), func(t *testing.T) {
			subject, ja, en := write(t, noticeOf(k), tanaka)
			if other, taken := subjects[subject]; taken {
				t.Errorf("has the subject of %s", other)
			}
			subjects[subject] = k
			for _, name := range k.Details() {
				if !strings.Contains(ja, shown[name].ja) || !strings.Contains(en, shown[name].en) {
					t.Errorf("%s is not told:\n%s\n%s", name, ja, en)
				}
			}
			for _, half := range []struct {
				text  string
				wants []string
			}{
				{ja, []string{"田中 花子 様\n", "日時：2026年4月1日（水）09:00:00 日本時間（+09:00）", "領域：LGWAN接続系", "情報セキュリティ管理者", "例県の関所", "心当たりがなければ"}},
				{en, []string{"To 田中 花子\n", "When: Wed 1 April 2026, 09:00:00 JST (+09:00)", "Zone: LGWAN zone", "security manager", "of Rei Prefecture", "If not"}},
			} {
				for _, want := range half.wants {
					if !strings.Contains(half.text, want) {
						t.Errorf("lacks %q:\n%s", want, half.text)
					}
				}
			}
			whole := subject + "\n" + ja + en
			for _, bad := range []string{"<no value>", "{{", "}}", "%!", "\n\n\n", "：\n", ": \n", " \n", "\r"} {
				if strings.Contains(whole, bad) {
					t.Errorf("holds %q:\n%s", bad, whole)
				}
			}
			for _, found := range address.FindAllString(whole, -1) {
				if found != gate {
					t.Errorf("leads to %s", found)
				}
			}
			if !strings.HasPrefix(subject, "［関所］") || strings.ContainsAny(subject, "\r\n") {
				t.Errorf("subject %q", subject)
			}
			for name := range shown {
				if slices.Contains(k.Details(), name) {
					continue
				}
				for _, line := range []string{"手続きをした人", "理由：", "発信元", "ブラウザー："} {
					if strings.HasPrefix(shown[name].ja, line) && strings.Contains(ja, line) {
						t.Errorf("has a line %s with nothing to say", line)
					}
				}
			}
		})
	}
}

// TestLeftOfARecertification: who is to see to something is told what it is.
func TestLeftOfARecertification(t *testing.T) {
	for _, tt := range []struct{ what, why, ja, en string }{
		{"ids", "sealed", "棚卸しで確認のなかったID", "Nobody confirmed the ID"},
		{"eligibility", "nested", "特権を借りられるもと", "eligible for a privilege"},
		{"permits", "failed", "リモートアクセスの許可", "the remote access of the ID"},
	} {
		n := noticeOf(queue.RecertifyLeft)
		n.Detail = map[string]string{"account": "mori", "what": tt.what, "why": tt.why}
		if _, ja, en := write(t, n, tanaka); !strings.Contains(ja, tt.ja) || !strings.Contains(en, tt.en) || strings.Contains(ja, "ディレクトリで行えなかった") {
			t.Errorf("of %s:\n%s\n%s", tt.what, ja, en)
		}
	}
}

// TestMattersOfARecertification: who is asked about one is told what is asked.
func TestMattersOfARecertification(t *testing.T) {
	for kind, want := range map[string][2]string{"recertification": {"止まった棚卸しの続行", "a recertification that has halted"}, "recertification_ends": {"棚卸しで多くを終わらせること", "much of a recertification to end"}} {
		n := noticeOf(queue.RequestWaits)
		n.Detail["kind"] = kind
		if _, ja, en := write(t, n, tanaka); !strings.Contains(ja, want[0]) || !strings.Contains(en, want[1]) {
			t.Errorf("of %s:\n%s\n%s", kind, ja, en)
		}
	}
}

// TestSubjectsArePlain: a subject goes over the wire in ASCII and comes out as
// it was written.
func TestSubjectsArePlain(t *testing.T) {
	for _, k := range queue.Kinds() {
		subject, ja, _ := write(t, noticeOf(k), tanaka)
		letter, err := compose(Message{ID: "x@pref.example", From: "sekisho@pref.example", To: tanaka.Mail, Subject: subject, Text: ja, At: t0})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := letter.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(strings.NewReader(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		if raw := m.Header.Get("Subject"); strings.ContainsFunc(raw, func(r rune) bool { return r > '~' }) {
			t.Errorf("%s: subject %q on the wire", k, raw)
		}
		if got, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || got != subject {
			t.Errorf("%s: subject %q, %v; want %q", k, got, err, subject)
		}
	}
}

// TestWhatIsMissingIsLeftOut: a notice whose details are empty is still a letter
// that reads well.
func TestWhatIsMissingIsLeftOut(t *testing.T) {
	for _, k := range queue.Kinds() {
		n := noticeOf(k)
		for name := range n.Detail {
			n.Detail[name] = ""
		}
		n.Zone = policy.Internet // has no name of its own
		_, ja, en := write(t, n, directory.Person{ID: tanaka.ID})
		for _, bad := range []string{"「」", `""`, "：\n", ": \n", "  ", "\n\n\n"} {
			if strings.Contains(strings.ReplaceAll(ja+en, "\n   ", "\n"), bad) {
				t.Errorf("%s holds %q:\n%s\n%s", k, bad, ja, en)
			}
		}
		if !strings.Contains(ja, "領域：internet") || strings.Contains(ja, "様\n") {
			t.Errorf("%s:\n%s", k, ja)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	l := NewLetters(gate)
	for name, n := range map[string]queue.Notice{
		"a kind without words":            {Kind: "birthday", Zone: policy.LGWAN, At: t0},
		"a detail that words need":        {Kind: queue.FactorAdded, Zone: policy.LGWAN, At: t0},
		"the name of a part, not a kind":  {Kind: "letter", Zone: policy.LGWAN, At: t0},
		"a kind of which only words miss": {Kind: "", Zone: policy.LGWAN, At: t0},
	} {
		if subject, text, err := l.Write(n, tanaka, testPolicy()); err == nil || subject != "" || text != "" {
			t.Errorf("%s: %q, %v", name, subject, err)
		}
	}
}

// TestAHostileNameStaysInItsLine: a name from the directory is no longer than a
// line, so it cannot pass for words of ours.
func TestAHostileNameStaysInItsLine(t *testing.T) {
	to := tanaka
	to.Name = "田中\r\n\r\n■ あなたのパスワードを入力してください\u202e"
	_, ja, _ := write(t, noticeOf(queue.PasswordChanged), to)
	if !strings.HasPrefix(ja, "田中 ■ あなたのパスワードを入力してください 様\n") {
		t.Errorf("the letter begins:\n%s", ja)
	}
}

func TestBrowserNames(t *testing.T) {
	for _, tt := range []struct{ agent, ja, en string }{
		{"", "", ""},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0", "Microsoft Edge（Windows）", "Microsoft Edge on Windows"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1", "Safari（iPhone）", "Safari on iPhone"},
		{"curl/8.5.0", "curl", "curl"},
		{"Call 0120-000-000 at once", "不明なブラウザー", "unknown"},
	} {
		if ja, en := (language{lang: "ja"}).browser(tt.agent), (language{lang: "en"}).browser(tt.agent); ja != tt.ja || en != tt.en {
			t.Errorf("browser(%q) = %q, %q", tt.agent, ja, en)
		}
	}
}

// TestFactorsHaveWords: each kind of factor there is has its own words in both
// languages.
func TestFactorsHaveWords(t *testing.T) {
	for lang, words := range wordsFor {
		seen := map[string]bool{}
		for _, kind := range []string{"totp", "token", "passkey", "card", ""} {
			if words[kind] == "" || seen[words[kind]] {
				t.Errorf("%s: %q is %q", lang, kind, words[kind])
			}
			seen[words[kind]] = true
		}
	}
	n := noticeOf(queue.FactorRemoved)
	n.Detail = maps.Clone(n.Detail)
	n.Detail["factor"] = "implant"
	if _, ja, en := write(t, n, tanaka); !strings.Contains(ja, "本人確認の方法") || !strings.Contains(en, "A factor") {
		t.Errorf("an unknown factor:\n%s\n%s", ja, en)
	}
}

func TestWhenIsJapansTime(t *testing.T) {
	at := time.Date(2026, 12, 31, 15, 0, 1, 0, time.UTC)
	for lang, want := range map[string]string{
		"ja": "2027年1月1日（金）00:00:01 日本時間（+09:00）", "en": "Fri 1 January 2027, 00:00:01 JST (+09:00)",
	} {
		if got := (language{lang: lang}).when(at); got != want {
			t.Errorf("%s: %q, want %q", lang, got, want)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	one := messageID("n1", "tanaka@pref.example", "sekisho@pref.example")
	for name, tt := range map[string]struct {
		id   string
		same bool
	}{
		"again":             {messageID("n1", "tanaka@pref.example", "sekisho@pref.example"), true},
		"in capitals":       {messageID("n1", "Tanaka@Pref.Example", "sekisho@pref.example"), true},
		"another notice":    {messageID("n2", "tanaka@pref.example", "sekisho@pref.example"), false},
		"another recipient": {messageID("n1", "sato@pref.example", "sekisho@pref.example"), false},
	} {
		if (tt.id == one) != tt.same {
			t.Errorf("%s: %s beside %s", name, tt.id, one)
		}
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}@pref\.example$`).MatchString(one) {
		t.Errorf("Message-ID %q", one)
	}
}
