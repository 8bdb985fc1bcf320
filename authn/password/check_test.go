package password_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sekisho/authn/password"
	"sekisho/policy"
	"sekisho/policy/secret"
)

var rules = policy.PasswordRules{
	MinLength: 12, MinLengthSingle: 15, MaxLength: 128, MinScore: 3, BlockWords: []string{"Sekisho Gateway"},
}

var tanaka = password.Context{
	Login: "tanaka", Name: "田中 美咲", Mail: "misaki.tanaka@pref.example", Section: "情報政策課",
	Prefecture: []string{"関所県", "sekisho", "Kansaiken"},
}

func codes(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var rejected *password.Rejected
	if !errors.As(err, &rejected) {
		t.Fatalf("Check answered %v, which is not a refusal", err)
	}
	return rejected.Codes()
}

// TestCheck names for each password the codes that must be among the failures;
// none means that it is accepted.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		pw   string
		want string
	}{
		// accepted: long, and nothing a guesser would start with
		{"correct horse battery staple", ""},
		{"kamo-7fxw-2mqp-h9rt", ""},
		{"Tk9!mw2#Lq7$", ""},
		{"vulpine-quorum-teacup-47", ""},
		{"gzrnwq pkbvtd xjlm", ""},
		{"吾輩は猫であるが名前はまだ無い", ""},
		{"ちくわ天とおばけの算数教室", ""},
		{"ほうれん草に雷が落ちた午後", ""},
		{"kujira-tsukue-denwa-nasubi-mado", ""},
		{"пять синих верблюдов", ""},
		{"🦊🎻🧊🪁🍙🚲🧵🔭🦉🪐🧲🎈", ""},
		{"rhubarb.glacier.tuning", ""},
		{"q7Zr-2wLm-8vKx", ""},
		{"  spaces are welcome, 皆さん  ", ""},
		{strings.Repeat("mq8Zt!vK", 1) + "x3Rw#bN7pL2yC9dF5gH1jS4kA6zQ0uE", ""},

		// too short, counted in code points after NFKC
		{"", "too_short"},
		{"Tk9!mw2#Lq7", "too_short"},
		{"Ｔｋ９！ｍｗ２＃Ｌｑ７", "too_short"},
		{"か\u3099き\u3099く\u3099け\u3099こ\u3099さ\u3099", "too_short"},
		{"ほうれん草に雷", "too_short"},

		{strings.Repeat("mq8Zt!vKx3Rw#bN7", 9), "too_long"},
		{strings.Repeat("鬱", 9000), "too_long"},
		{"Tk9!mw2#\x00Lq7$zz", "control_character"},
		{"Tk9!mw2#\tLq7$zz", "control_character"},
		{"Tk9!mw2#Lq7$\r\n", "control_character"},
		{"Tk9!mw2#\u0085Lq7$", "control_character"},
		{"Tk9!mw2#\xffLq7$zz", "not_text"},

		// the list of common passwords, also dressed up
		{"passwordpassword", "common"},
		{"Passw0rd1234", "common"},
		{"P@ssw0rd!!!!", "common"},
		{"ｐａｓｓｗｏｒｄ１２３", "common"},
		{"princess2026", "common"},
		{"123princess!", "common"},
		{"qwertyuiop123", "common"},
		{"iloveyou!!!!", "common"},
		{"1q2w3e4r5t6y", "common"},
		{"PASSWORD12345678", "common"},

		// one or two familiar words
		{"sakura-sakura-77", "common_word"},
		{"さくらさくら１２３４", "common_word"},
		{"サクラ☆ﾀﾝﾎﾟﾎﾟ☆４７", "common_word"},
		{"hanshintigers!!", "common_word"},
		{"hanshin#tigers#47", "common_word"},
		{"osaka-sakura-58", "common_word"},
		{"桜と富士山123456", "weak"},
		{"阪神タイガース大好き", "too_short,common_word"},
		{"阪神タイガース！！大好き２", "common_word"},
		{"大阪府職員００１７４８", "common_word"},
		{"0saka-t1gers-93", "common_word"},
		{"hokkaido-sapporo", "common_word"},
		{"himawari_5837_!", "common_word"},
		{"雲-みやもと-47888", "common_word"},

		// the person's and the prefecture's own words
		{"tanaka-misaki", "own_word"},
		{"Tanaka!4h#Q9z", "own_word"},
		{"田中美咲の合言葉です壱", "too_short"},
		{"情報政策課・田中美咲・参", "own_word"},
		{"t4n4k4-m1s4k1-x", "own_word"},
		{"ＴＡＮＡＫＡ＿ｍｉｓａｋｉ", "own_word"},
		{"sekisho-kansaiken", "blocked_word"},
		{"sekisho gateway!", "blocked_word"},
		{"関所県庁関所県庁関所県", "too_short"},
		{"関所県！関所県？関所県。", "blocked_word"},

		// keyboards
		{"qwertyuiop[]", "keyboard"},
		{"1qaz2wsx3edc", "keyboard"},
		{"QAZwsxEDCrfv", "keyboard"},
		{"!\"#$%&'()qwe", "keyboard"},
		{"asdfghjkl;:]", "keyboard"},
		{"147258369951", "keyboard"},
		{"poiuytrewq99", "keyboard"},

		// runs
		{"abcdefgh1234", "sequence"},
		{"987654321zyxw", "sequence"},
		{"あいうえおかきくけこさし", "sequence"},
		{"いろはにほへとちりぬるを", "sequence"},
		{"一二三四五六七八九十百千", "sequence"},
		{"２４６８１３５７９ａｂｃｄ", "sequence"},

		// repetitions
		{"aaaaaaaaaaaa", "repetition"},
		{"xq7xq7xq7xq7", "repetition"},
		{"kq8vmz2tkq8vmz2tkq8v", "repetition"},
		{"ああああああああああああ", "repetition"},
		{"!!!!!!!!zq!!", "repetition"},

		// dates and eras
		{"Reiwa8-04-01", "date"},
		{"R8.4.1-H30.4.1", "date"},
		{"reiwa8heisei30", "date"},
		{"令和八年四月一日午後", "too_short,date"},
		{"令和８年１１月２３日月曜日", "date"},
		{"Ｓ６３．１２．３１＆Ｈ１", "date"},
		{"20261123!xY7", "date"},
		{"2026/11/23-zq", "date"},
		{"April-2026-!!", "date"},
		{"しょうわ６３ねん！！！？", "date"},
		{"19991231235959", "date"},
		{"Osaka2026!", "too_short,common_word"},
		{"Osaka-20261123!", "common_word"},

		// together they leave nothing
		{"tanaka-qwerty-2026", "own_word,keyboard,date"},

		// guessable although no pattern dominates
		{"monkeydragon1", "weak"},
		{"loveloveme12", "weak"},
	} {
		name := tt.pw
		if utf8.RuneCountInString(name) > 40 {
			name = name[:12] + "…"
		}
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			got := codes(t, password.Check(rules, tanaka, secret.NewText([]byte(tt.pw))))
			if tt.want == "" {
				if len(got) > 0 {
					t.Fatalf("refused for %v, want it accepted", got)
				}
				return
			}
			for want := range strings.SplitSeq(tt.want, ",") {
				if !slices.Contains(got, want) {
					t.Errorf("refused for %v, want %s among them", got, want)
				}
			}
		})
	}
}

func TestAllFailuresAtOnce(t *testing.T) {
	got := codes(t, password.Check(rules, tanaka, secret.NewText([]byte("tanaka\t2026"))))
	for _, want := range []string{password.TooShort, password.ControlCharacter, password.OwnWord, password.Date, password.Weak} {
		if !slices.Contains(got, want) {
			t.Errorf("refused for %v, want %s among them", got, want)
		}
	}
}

func TestLengths(t *testing.T) {
	random := "mq8Zt!vKx3Rw#bN7pL2yC9dF5gH1jS4kA6zQ0uE.7Ytr-Wo9,Ei4_Pa2;Sd8:Fg3+Hj5*Kl1=Zx6~Cv0^Bn%M&q(w)e[r]t{y}u<i>o?p@a$s'd`f|g\"h/j\\k1l2z3xQ"
	if n := utf8.RuneCountInString(random); n < 128 {
		t.Fatalf("the sample has %d characters", n)
	}
	single := tanaka
	single.SingleFactor = true
	for _, tt := range []struct {
		n     int
		in    password.Context
		rules policy.PasswordRules
		want  string
	}{
		{11, tanaka, rules, password.TooShort},
		{12, tanaka, rules, ""},
		{14, single, rules, password.TooShort},
		{15, single, rules, ""},
		{64, tanaka, rules, ""},
		{128, tanaka, rules, ""},
		{11, tanaka, policy.PasswordRules{}, password.TooShort},
		{12, tanaka, policy.PasswordRules{}, ""},
		{14, single, policy.PasswordRules{}, password.TooShort},
		{15, single, policy.PasswordRules{}, ""},
	} {
		t.Run(fmt.Sprint(tt.n, tt.in.SingleFactor), func(t *testing.T) {
			got := codes(t, password.Check(tt.rules, tt.in, secret.NewText([]byte(random[:tt.n]))))
			if tt.want == "" && len(got) > 0 || tt.want != "" && !slices.Equal(got, []string{tt.want}) {
				t.Errorf("refused for %v, want %q", got, tt.want)
			}
		})
	}
	if got := codes(t, password.Check(rules, tanaka, secret.NewText([]byte(random[:128]+"x")))); !slices.Contains(got, password.TooLong) {
		t.Errorf("129 characters refused for %v", got)
	}
}

func TestUnchanged(t *testing.T) {
	in := tanaka
	in.Current = secret.NewText([]byte("Tk9!mw2#Lq7$"))
	for pw, want := range map[string]bool{"Tk9!mw2#Lq7$": true, "Ｔｋ９！ｍｗ２＃Ｌｑ７＄": true, "Tk9!mw2#Lq7%": false} {
		if got := slices.Contains(codes(t, password.Check(rules, in, secret.NewText([]byte(pw)))), password.Unchanged); got != want {
			t.Errorf("unchanged = %v, want %v", got, want)
		}
	}
}

// TestWords: every code has its sentence in both languages and its article, and
// the code list here is the one of the package.
func TestWords(t *testing.T) {
	failures := map[string]password.Failure{}
	collect := func(err error) {
		var rejected *password.Rejected
		if errors.As(err, &rejected) {
			for _, f := range rejected.Failures {
				failures[f.Code] = f
			}
		}
	}
	in := tanaka
	in.Current = secret.NewText([]byte("aaaaaaaaaaaa"))
	for _, pw := range []string{
		"aaaaaaaaaaaa", "password\x01", "\xff", strings.Repeat("ab", 80), "tanaka", "sekisho", "sakura1", "qwertyuiop", "abcdefgh", "20261123",
	} {
		collect(password.Check(rules, in, secret.NewText([]byte(pw))))
	}
	collect(password.Check(policy.PasswordRules{MinClasses: 2}, in, secret.NewText([]byte("tanaka"))))
	failures[password.Reused] = password.WasUsed(rules)
	for _, code := range []string{
		password.TooShort, password.TooLong, password.NotText, password.ControlCharacter, password.Unchanged, password.Common,
		password.OwnWord, password.BlockedWord, password.CommonWord, password.Keyboard, password.Sequence, password.Repetition,
		password.Date, password.Weak, password.Reused, password.TooFewClasses,
	} {
		f, ok := failures[code]
		if !ok {
			t.Errorf("%s: no sample produced it", code)
			continue
		}
		if f.Says.JA == "" || f.Says.EN == "" {
			t.Errorf("%s has no words", code)
		}
		if _, ok := f.Article.Info(); !ok {
			t.Errorf("%s names article %q, which is not known", code, f.Article)
		}
	}
}

// TestRefusalKeepsTheSecret: nothing that is printed, logged or shown repeats the
// password.
func TestRefusalKeepsTheSecret(t *testing.T) {
	const canary = "zzcanary"
	for _, pw := range []string{canary, canary + "\t" + canary, canary + "\xff", strings.Repeat(canary, 40)} {
		text := secret.NewText([]byte(pw))
		in := tanaka
		in.Current = text
		err := password.Check(rules, in, text)
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Error("refused", "err", err, "pw", text, "in", in)
		shown := fmt.Sprintf("%v %+v %#v", err, err, in) + log.String()
		var rejected *password.Rejected
		if !errors.As(err, &rejected) {
			t.Fatal("accepted")
		}
		for _, f := range rejected.Failures {
			shown += f.Says.JA + f.Says.EN
		}
		if strings.Contains(shown, canary) {
			t.Errorf("the password shows in %s", shown)
		}
	}
}

func TestExpired(t *testing.T) {
	t0 := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	april := time.Date(2026, 3, 31, 15, 0, 0, 0, time.UTC)
	year := policy.PasswordRules{MaxAge: 365 * 24 * time.Hour}
	fiscal := policy.PasswordRules{FiscalYearEnd: true}
	both := policy.PasswordRules{MaxAge: year.MaxAge, FiscalYearEnd: true}
	for _, tt := range []struct {
		name    string
		rules   policy.PasswordRules
		changed time.Time
		want    bool
	}{
		{"no age, no end", policy.PasswordRules{}, time.Time{}, false},
		{"young", year, t0.Add(-time.Hour), false},
		{"a moment before", year, t0.Add(time.Microsecond - year.MaxAge), false},
		{"at its age", year, t0.Add(-year.MaxAge), true},
		{"age unknown", year, time.Time{}, true},

		// 1 April in Japan begins at 15:00 of 31 March in UTC; t0 is 18:00 of it.
		{"this fiscal year's", fiscal, t0.Add(-time.Hour), false},
		{"of its first moment", fiscal, april, false},
		{"of the last moment before", fiscal, april.Add(-time.Microsecond), true},
		{"of the morning of 31 March", fiscal, april.Add(-12 * time.Hour), true},
		{"of an earlier fiscal year", fiscal, t0.AddDate(-2, 0, 0), true},
		{"of unknown age", fiscal, time.Time{}, true},
		{"dated by a clock that runs ahead", fiscal, t0.AddDate(0, 0, 1), false},
		{"both: young and of the last fiscal year", both, april.Add(-time.Hour), true},
		{"both: too old within the fiscal year", policy.PasswordRules{MaxAge: time.Hour, FiscalYearEnd: true}, t0.Add(-time.Hour), true},
	} {
		if got := password.Expired(tt.rules, tt.changed, t0); got != tt.want {
			t.Errorf("%s: Expired = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestExpiryFollowsTheClock is F15 at the turn of the fiscal year: a password is as
// old as the clock says it is, and one that ran ahead has made it no older once it
// is put right.
func TestExpiryFollowsTheClock(t *testing.T) {
	april := time.Date(2027, 4, 1, 0, 0, 0, 0, time.FixedZone("JST", 9*60*60))
	rules := policy.PasswordRules{FiscalYearEnd: true}
	chosen := april.AddDate(0, -3, 0)
	for _, tt := range []struct {
		name string
		now  time.Time
		want bool
	}{
		{"the last moment of 31 March", april.Add(-time.Nanosecond), false},
		{"1 April", april, true},
		{"the evening of 31 March, a day ahead", april.Add(-6*time.Hour).AddDate(0, 0, 1), true},
		{"and put right", april.Add(-6 * time.Hour), false},
		{"1 April, an hour behind", april.Add(-time.Hour), false},
		{"1 April in UTC, nine hours after Japan's", time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC), true},
	} {
		if got := password.Expired(rules, chosen, tt.now); got != tt.want {
			t.Errorf("%s: Expired = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTemporary(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		pw := string(password.Temporary().Reveal())
		if seen[pw] {
			t.Fatal("the same temporary password twice")
		}
		seen[pw] = true
		if strings.Trim(pw, "abcdefghjkmnpqrstvwxyz23456789-") != "" || len(pw) != 19 {
			t.Errorf("unreadable temporary password of %d characters", len(pw))
		}
		in := tanaka
		in.SingleFactor = true
		if got := codes(t, password.Check(rules, in, secret.NewText([]byte(pw)))); got != nil {
			t.Errorf("a temporary password is refused for %v", got)
		}
	}
}

// TestCost bounds what a stranger can make us spend on judging.
func TestCost(t *testing.T) {
	for name, pw := range map[string]string{
		"look-alikes": strings.Repeat("4{([8(|<|3&069!|1+$5%2", 6)[:128],
		"one digit":   strings.Repeat("1", 128),
		"separators":  strings.Repeat("1/2-", 32),
		"kana":        strings.Repeat("さくら", 42),
		"expanding":   strings.Repeat("\ufdfa", 5000),
		"huge":        strings.Repeat("x", 10<<20),
		"combining":   "a" + strings.Repeat("\u0301", 8000),
	} {
		started := time.Now()
		_ = password.Check(rules, tanaka, secret.NewText([]byte(pw)))
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("%s: judging took %v", name, took)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"", "correct horse battery staple", "令和8年4月1日", "Osaka2026!", "\xff\xfe", "1qaz2wsx", "\ufdfa", "ｶﾞｷﾞｸﾞ", "R8.4.1", strings.Repeat("1/2-", 40)} {
		f.Add(seed, "tanaka", "田中 美咲")
	}
	f.Fuzz(func(t *testing.T, pw, login, name string) {
		started := time.Now()
		err := password.Check(rules, password.Context{Login: login, Name: name}, secret.NewText([]byte(pw)))
		if took := time.Since(started); took > 5*time.Second {
			t.Fatalf("judging took %v", took)
		}
		got := codes(t, err)
		if err == nil && utf8.RuneCountInString(pw) > 0 && len(pw) < 4 {
			t.Fatalf("%q accepted", pw)
		}
		if err != nil && len(got) == 0 {
			t.Fatal("refused without a reason")
		}
	})
}
