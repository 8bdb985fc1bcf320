package blocklist_test

import (
	"fmt"
	"testing"

	"sekisho/authn/password/blocklist"
)

func TestContains(t *testing.T) {
	for s, want := range map[string]bool{
		"password": true, "12345678": true, "princess": true, "iloveyou": true, "qwertyuiop": true, "1q2w3e4r": true,
		"passwor":                      false, // common, but shorter than what is kept
		"correct horse battery staple": false,
		"kamo-7fxw-2mqp-h9rt":          false,
		"":                             false,
	} {
		if got, err := blocklist.Contains([]rune(s)); got != want || err != nil {
			t.Errorf("Contains(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
}

// TestFalsePositives: of strings that nobody uses as a password, fewer than one in
// ten thousand is taken for a common one.
func TestFalsePositives(t *testing.T) {
	const strangers = 200_000
	wrong := 0
	for i := range strangers {
		yes, err := blocklist.Contains([]rune(fmt.Sprintf("nobody uses this as a password %d", i)))
		if err != nil {
			t.Fatal(err)
		}
		if yes {
			wrong++
		}
	}
	if wrong > strangers/10_000 {
		t.Errorf("%d of %d strangers are taken for common passwords", wrong, strangers)
	}
}

func TestFold(t *testing.T) {
	for s, want := range map[string]string{
		"ＰａｓｓＷｏｒｄ": "password", "ﾊﾟｽﾜｰﾄﾞ": "パスワード", "Straße": "strasse", "か\u3099": "が", "①②": "12",
	} {
		if got := blocklist.Fold(s); got != want {
			t.Errorf("Fold(%q) = %q, want %q", s, got, want)
		}
	}
}
