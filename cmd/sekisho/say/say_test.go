package say_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"sekisho/cmd/sekisho/say"
)

func TestLanguage(t *testing.T) {
	for _, tt := range []struct {
		all, messages, lang, want string
	}{
		{"", "", "", "en"},
		{"", "", "ja_JP.UTF-8", "ja"},
		{"", "", "C.UTF-8", "en"},
		{"C", "", "ja_JP.UTF-8", "en"},
		{"ja_JP", "C", "C", "ja"},
		{"", "ja", "C", "ja"},
	} {
		env := map[string]string{"LC_ALL": tt.all, "LC_MESSAGES": tt.messages, "LANG": tt.lang}
		if got := say.Language(func(k string) string { return env[k] }); got != tt.want {
			t.Errorf("Language(%v) = %s, want %s", env, got, tt.want)
		}
	}
}

func TestSentenceIsOneLineAndKeepsItsCause(t *testing.T) {
	err := fmt.Errorf("outer: %w", say.Errorf("%[1]s を読めません\n（%[2]v）", "cannot read %[1]s\n(%[2]v)", "a", fs.ErrNotExist))
	if got := say.In("en", err); got != "cannot read a (file does not exist)" {
		t.Errorf("en = %q", got)
	}
	if got := say.In("ja", err); got != "a を読めません （file does not exist）" {
		t.Errorf("ja = %q", got)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
	if got := say.In("ja", errors.New("plain\nwords")); got != "plain words" {
		t.Errorf("an error without a sentence = %q", got)
	}
}
