package totp_test

import (
	"encoding/base32"
	"errors"
	"strings"
	"testing"
	"time"

	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
)

var seed = []byte("12345678901234567890") // RFC 6238 appendix B, SHA-1

// TestVectors are RFC 6238 appendix B's. They have eight digits; a code of six is
// their last six (RFC 4226 section 5.3). The seeds for SHA-256 and SHA-512 are
// those of the appendix's program, 32 and 64 bytes.
func TestVectors(t *testing.T) {
	const digits = "1234567890123456789012345678901234567890123456789012345678901234"
	forms := []struct {
		form totp.Form
		seed []byte
	}{
		{totp.Form{Algorithm: oath.SHA1, Digits: 8, Period: 30 * time.Second}, seed},
		{totp.Form{Algorithm: oath.SHA256, Digits: 8, Period: 30 * time.Second}, []byte(digits[:32])},
		{totp.Form{Algorithm: oath.SHA512, Digits: 8, Period: 30 * time.Second}, []byte(digits[:64])},
	}
	for _, tt := range []struct {
		unix  int64
		step  int64
		codes [3]string
	}{
		{59, 0x1, [3]string{"94287082", "46119246", "90693936"}},
		{1111111109, 0x23523EC, [3]string{"07081804", "68084774", "25091201"}},
		{1111111111, 0x23523ED, [3]string{"14050471", "67062674", "99943326"}},
		{1234567890, 0x273EF07, [3]string{"89005924", "91819424", "93441116"}},
		{2000000000, 0x3F940AA, [3]string{"69279037", "90698825", "38618901"}},
		{20000000000, 0x27BC86AA, [3]string{"65353130", "77737706", "47863826"}},
	} {
		if step := totp.StepAt(time.Unix(tt.unix, 0)); step != tt.step {
			t.Errorf("StepAt(%d) = %d, want %d", tt.unix, step, tt.step)
		}
		for i, f := range forms {
			code, err := f.form.Code(f.seed, f.form.StepAt(time.Unix(tt.unix, 0)))
			if err != nil || code != tt.codes[i] {
				t.Errorf("%s at %d = %s, %v, want %s", f.form.Algorithm, tt.unix, code, err, tt.codes[i])
			}
			f.form.Digits = 6
			if code, err := f.form.Code(f.seed, tt.step); err != nil || code != tt.codes[i][2:] {
				t.Errorf("%s of six digits at %d = %s, %v", f.form.Algorithm, tt.unix, code, err)
			}
		}
		if code, err := totp.Code(seed, tt.step); err != nil || code != tt.codes[0][2:] {
			t.Errorf("Code at %d = %s, %v, want %s", tt.unix, code, err, tt.codes[0][2:])
		}
	}
}

// TestForm: what is no form makes no codes, and accepts none.
func TestForm(t *testing.T) {
	minute := totp.Form{Algorithm: oath.SHA1, Digits: 6, Period: time.Minute}
	if step := minute.StepAt(time.Unix(119, 0)); step != 1 {
		t.Errorf("a minute's step at 119 s is %d", step)
	}
	if step := minute.StepAt(time.Unix(-1, 0)); step != -1 {
		t.Errorf("a minute's step at -1 s is %d", step)
	}
	for name, f := range map[string]totp.Form{
		"zero":         {},
		"no algorithm": {Digits: 6, Period: time.Minute},
		"MD5":          {Algorithm: "MD5", Digits: 6, Period: time.Minute},
		"no digits":    {Algorithm: oath.SHA1, Period: time.Minute},
		"7 digits":     {Algorithm: oath.SHA1, Digits: 7, Period: time.Minute},
	} {
		if code, err := f.Code(seed, 1); err == nil {
			t.Errorf("%s: a code %s", name, code)
		}
		if _, ok, _ := f.Match(seed, "", time.Unix(60, 0), 1, 1); ok {
			t.Errorf("%s: a match", name)
		}
	}
	timeless := totp.Form{Algorithm: oath.SHA1, Digits: 6}
	if code, err := timeless.Code(seed, timeless.StepAt(time.Unix(60, 0))); err == nil {
		t.Errorf("no period: a code %s", code)
	}
}

func TestStepAt(t *testing.T) {
	for _, tt := range []struct {
		at   time.Time
		want int64
	}{
		{time.Unix(0, 0), 0},
		{time.Unix(29, 999_999_999), 0},
		{time.Unix(30, 0), 1},
		{time.Unix(59, 999_999_999), 1},
		{time.Unix(-1, 0), -1},
		{time.Unix(-30, 0), -1},
		{time.Unix(-31, 0), -2},
	} {
		if got := totp.StepAt(tt.at); got != tt.want {
			t.Errorf("StepAt(%v) = %d, want %d", tt.at, got, tt.want)
		}
	}
	if _, err := totp.Code(seed, -1); err == nil {
		t.Error("a code from before 1970")
	}
}

// TestMatch types the code of step 1000, which lasts from 30,000 s to the moment
// before 30,030 s, at times around it.
func TestMatch(t *testing.T) {
	code, err := totp.Code(seed, 1000)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(30_000, 0)
	for _, tt := range []struct {
		name string
		at   time.Time
		skew int
		want bool
	}{
		{"two steps early", start.Add(-totp.Period - time.Nanosecond), 1, false},
		{"the first instant, one step early", start.Add(-totp.Period), 1, true},
		{"the last instant before its own step", start.Add(-time.Nanosecond), 1, true},
		{"its first instant", start, 1, true},
		{"its last instant", start.Add(totp.Period - time.Nanosecond), 1, true},
		{"one step late", start.Add(totp.Period), 1, true},
		{"the last instant, one step late", start.Add(2*totp.Period - time.Nanosecond), 1, true},
		{"two steps late", start.Add(2 * totp.Period), 1, false},
		{"no skew, in its step", start, 0, true},
		{"no skew, early", start.Add(-time.Nanosecond), 0, false},
		{"no skew, late", start.Add(totp.Period), 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			step, ok, err := totp.Match(seed, code, tt.at, tt.skew)
			if err != nil || ok != tt.want || ok && step != 1000 {
				t.Errorf("Match = %d, %v, %v, want %v", step, ok, err, tt.want)
			}
		})
	}
	if _, ok, err := totp.Match(seed, "000000", start, 1); ok || err != nil {
		t.Errorf("a wrong code matched, or %v", err)
	}
	// At the beginning of time there is no step before.
	first, _ := totp.Code(seed, 0)
	if step, ok, err := totp.Match(seed, first, time.Unix(5, 0), 1); !ok || step != 0 || err != nil {
		t.Errorf("Match at step 0 = %d, %v, %v", step, ok, err)
	}
}

// TestMatchPrefersTheLater: where one code belongs to two steps of the window,
// burning the earlier would leave the code good for the later.
func TestMatchPrefersTheLater(t *testing.T) {
	const earlier, later = 910_737, 910_738 // the seed's first such pair
	code, err := totp.Code(seed, earlier)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := totp.Code(seed, later); err != nil || same != code {
		t.Fatalf("the steps do not share a code: %v", err)
	}
	for _, at := range []int64{earlier, later} {
		if step, ok, err := totp.Match(seed, code, time.Unix(30*at, 0), 1); err != nil || !ok || step != later {
			t.Errorf("Match = %d, %v, %v, want step %d", step, ok, err, later)
		}
	}
}

func TestNormal(t *testing.T) {
	for typed, want := range map[string]string{
		"123456":                             "123456",
		" 123 456 ":                          "123456",
		"１２３４５６":                             "123456",
		"１２３　４５６":                            "123456",
		"123\u00a0456\n":                     "123456",
		"":                                   "",
		"12345678":                           "12345678",
		"１２３４ ５６７８":                          "12345678",
		"12345":                              "",
		"1234567":                            "",
		"123456789":                          "",
		"12345a":                             "",
		"-12345":                             "",
		"+12345":                             "",
		"١٢٣٤٥٦":                             "",
		"12345\x00":                          "",
		strings.Repeat(" ", 1000):            "",
		"123456" + strings.Repeat(" ", 1000): "",
	} {
		if got, ok := totp.Normal(typed); got != want || ok != (want != "") {
			t.Errorf("Normal(%q) = %q, %v, want %q", typed, got, ok, want)
		}
	}
}

func FuzzNormal(f *testing.F) {
	f.Add("123 456")
	f.Add("１２３４５６")
	f.Add("12345678")
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := totp.Normal(typed)
		if ok && (len(code) != 6 && len(code) != 8 || strings.Trim(code, "0123456789") != "") || !ok && code != "" {
			t.Errorf("Normal(%q) = %q, %v", typed, code, ok)
		}
	})
}

func TestParseSecret(t *testing.T) {
	text := totp.FormatSecret(seed)
	for name, good := range map[string]string{
		"as shown": text, "lower case": strings.ToLower(text), "in groups": text[:4] + " " + text[4:8] + " " + text[8:],
	} {
		if got, err := totp.ParseSecret(good); err != nil || string(got) != string(seed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "not base32": "canary0189canary0189canary0189", "padded": base32.StdEncoding.EncodeToString(seed[:17]),
		"15 bytes": totp.FormatSecret(seed[:15]), "65 bytes": totp.FormatSecret(make([]byte, 65)),
		"left-over bits": totp.FormatSecret(seed[:16])[:25] + "7",
	} {
		_, err := totp.ParseSecret(bad)
		if !errors.Is(err, totp.ErrSecret) {
			t.Errorf("%s: %v, want ErrSecret", name, err)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error repeats the secret", name)
		}
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add(totp.FormatSecret(seed))
	f.Add("jbsw y3dp ehpk 3pxp jbsw y3dp ehpk 3pxp")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := totp.ParseSecret(s)
		if err == nil && totp.FormatSecret(got) != strings.ToUpper(strings.ReplaceAll(s, " ", "")) {
			t.Errorf("ParseSecret(%q) does not come back as it was", s)
		}
	})
}
