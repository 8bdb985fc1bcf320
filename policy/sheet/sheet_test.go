package sheet

import (
	"errors"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"plain", "login,name\r\n", "login,name\r\n"},
		{"UTF-8", "氏名,髙橋\n", "氏名,髙橋\n"},
		{"UTF-8 with a mark", "\ufeff氏名\n", "氏名\n"},
		{"a mark inside is no mark", "a\ufeffb", "a\ufeffb"},
		{"Shift_JIS", "\x8e\x81\x96\xbc,\x93c\x92\x86\r\n", "氏名,田中\r\n"},
		{"what Windows added to it: ① 髙 ㈱", "\x87\x40\xfb\xfc\x87\x8a", "①髙㈱"},
		{"half-width kana", "\xc0\xc5\xb6", "ﾀﾅｶ"},
		{"a second byte that is a backslash", "\x95\x5c,\x83\x5c", "表,ソ"},
		{"UTF-16, little end first", "\xff\xfea\x00\x42\x30", "aあ"},
		{"UTF-16, big end first", "\xfe\xff\x00a\x30\x42", "aあ"},
	} {
		if got, err := Text([]byte(tt.in)); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
	for name, in := range map[string]string{
		"half a character of Shift_JIS": "\x8e\x81\x96", "a byte that stands for nothing": "\x8e\x81\xff", "half a character of UTF-16": "\xff\xfea",
		"a lone surrogate": "\xff\xfe\x00\xd8a\x00", "NUL": "a\x00b", "NUL in UTF-16": "\xff\xfe\x00\x00", "a picture": "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
	} {
		if got, err := Text([]byte(in)); !errors.Is(err, ErrText) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, in := range []string{"", "\ufeffa", "\x8e\x81\x96\xbc", "\xff\xfea\x00", "\xfe\xff\x00a", "\x80", "a\x00"} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Text(in)
		if err == nil && (!utf8.ValidString(out) || len(out) > 3*len(in)) {
			t.Errorf("%q became %q", in, out)
		}
	})
}
