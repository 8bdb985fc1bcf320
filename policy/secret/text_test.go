package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"

	"sekisho/policy/secret"
)

// TestTextIsNeverPrinted prints a secret in every way people print things, and
// looks for it in all the spellings a printer might choose.
func TestTextIsNeverPrinted(t *testing.T) {
	const canary = "k4naria-Zx"
	s := secret.NewText([]byte(canary))
	type outer struct {
		Shown  secret.Text
		hidden secret.Text
		point  *secret.Text
	}
	in := outer{s, s, &s}
	all := []any{s, &s, in, &in, []secret.Text{s}, map[string]secret.Text{"a": s}, struct{ any }{s}, []any{s, in}}

	var out bytes.Buffer
	for _, v := range all {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%t", "%e", "%p", "%T", "%10v", "%-5.2s", "%!"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		fmt.Fprintln(&out, fmt.Errorf("checking %v: %w", v, io.EOF), errors.Join(fmt.Errorf("%+v", v)))
		log.New(&out, "", 0).Print(v)
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("signing in", "with", v, slog.Group("g", "with", v))
		}
		b, _ := json.Marshal(v) // an error is fine too, if it keeps quiet
		out.Write(b)
		y, err := yaml.Marshal(v)
		out.Write(y)
		fmt.Fprintln(&out, err)
		x, err := xml.Marshal(v)
		out.Write(x)
		fmt.Fprintln(&out, err)
		func() {
			defer func() { fmt.Fprintln(&out, recover()) }()
			panic(fmt.Sprint(v))
		}()
	}
	var dec []string
	for _, c := range []byte(canary) {
		dec = append(dec, fmt.Sprint(c))
	}
	printed := out.String()
	for _, spelling := range []string{
		canary,
		fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("% x", canary),
		strings.Join(dec, " "), strings.Join(dec, ", "), strings.Join(dec, ","),
		fmt.Sprintf("%#v", []byte(canary))[7:20],
		"azRuYXJpYS1aeA", // base64, which is how JSON writes bytes
	} {
		if i := strings.Index(printed, spelling); i >= 0 {
			t.Errorf("the secret was printed: …%s…", printed[max(0, i-60):min(len(printed), i+60)])
		}
	}
	if !strings.Contains(printed, "[secret]") {
		t.Error("nothing was printed at all")
	}
	if got := fmt.Sprintf("%v|%+v|%#v|%s|%q|%x|%d", s, s, s, s, s, s, s); got != strings.Repeat("[secret]|", 6)+"[secret]" {
		t.Errorf("it prints as %s", got)
	}
	if string(s.Reveal()) != canary {
		t.Error("Reveal does not reveal")
	}
}

func TestText(t *testing.T) {
	var zero secret.Text
	if !zero.IsEmpty() || zero.Reveal() != nil || zero.String() != "[secret]" {
		t.Error("the zero value is not an empty secret")
	}
	if !secret.NewText(nil).IsEmpty() || secret.NewText([]byte("a")).IsEmpty() {
		t.Error("IsEmpty is wrong")
	}
	b := []byte("abc")
	s := secret.NewText(b)
	clear(b)
	if string(s.Reveal()) != "abc" {
		t.Error("a caller who wipes its slice wipes the secret")
	}
	var form struct {
		Password secret.Text `json:"password"`
	}
	if err := json.Unmarshal([]byte(`{"password":"合言葉"}`), &form); err != nil || string(form.Password.Reveal()) != "合言葉" {
		t.Errorf("from JSON: %q, %v", form.Password.Reveal(), err)
	}
	if err := json.Unmarshal([]byte(`{"password":"[secret]"}`), &form); err == nil {
		t.Error("a printed secret was read back as a password")
	}
}

func TestToken(t *testing.T) {
	a, b := secret.Token(32), secret.Token(32)
	if len(a) != 43 || a == b || strings.ContainsAny(a, "+/=") {
		t.Errorf("tokens are %q and %q", a, b)
	}
	if len(secret.Bytes(16)) != 16 || bytes.Equal(secret.Bytes(16), secret.Bytes(16)) {
		t.Error("Bytes are not 16 random ones")
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "pass word", "pass word"},
		{"newline", "password\n", "password"},
		{"windows", "password\r\n", "password"},
		{"one newline only", "password\n\n", "password\n"},
		{"spaces stay", " password ", " password "},
	} {
		got, err := secret.ReadFile(write(tt.name, tt.text, 0o600))
		if err != nil || string(got.Reveal()) != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got.Reveal(), err, tt.want)
		}
	}
	if _, err := secret.ReadFile(write("read-only", "x", 0o400)); err != nil {
		t.Error("mode 0400:", err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o666, 0o610} {
		path := write(fmt.Sprintf("mode%o", mode), "canary", mode)
		_, err := secret.ReadFile(path)
		if !errors.Is(err, secret.ErrExposed) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: %v, want the way out", mode, err)
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a FIFO": fifo, "a folder": dir, "nothing": filepath.Join(dir, "none"),
		"an empty file": write("empty", "", 0o600), "a bare newline": write("bare", "\n", 0o600),
		"a large file": write("large", strings.Repeat("x", 64<<10+1), 0o600),
	} {
		if _, err := secret.ReadFile(path); err == nil {
			t.Errorf("%s was read as a secret", name)
		}
	}
}

// TestCredentialsOfAServiceManager: 0440 is good where systemd made it, root's
// with the group root, and nowhere else.
func TestCredentialsOfAServiceManager(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make what systemd makes")
	}
	for _, tt := range []struct {
		mode     os.FileMode
		uid, gid int
		good     bool
	}{
		{0o400, 0, 0, true}, {0o440, 0, 0, true}, {0o400, 65534, 65534, true},
		{0o440, 65534, 0, false}, {0o440, 0, 65534, false}, {0o444, 0, 0, false}, {0o460, 0, 0, false},
	} {
		path := filepath.Join(t.TempDir(), "credential")
		if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chown(path, tt.uid, tt.gid), os.Chmod(path, tt.mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.ReadFile(path); (err == nil) != tt.good {
			t.Errorf("%04o of %d:%d: %v", tt.mode, tt.uid, tt.gid, err)
		}
	}
}
