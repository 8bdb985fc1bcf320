package logbook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/logbook"
	"sekisho/policy/audit"
)

func TestOneShape(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	log := logbook.New(&b, logbook.JSON, level)
	ctx := audit.WithRequest(t.Context(), "number-one")
	log.DebugContext(ctx, "too quiet")
	log.WarnContext(ctx, "away\nlevel=error msg=forged", "error", errors.New("dial\x1b[2J"), "route", "GET /x", "status", 503)
	log.InfoContext(ctx, "named", "request_id", "number-two")
	log.Error("nobody's")
	level.Set(slog.LevelDebug)
	log.Debug("heard")
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), &b)
	}
	for i, want := range []map[string]any{
		{"level": "warn", "msg": "away\nlevel=error msg=forged", "error": `dial\u001b[2J`, "route": "GET /x", "status": 503.0, "request_id": "number-one"},
		{"level": "info", "msg": "named", "request_id": "number-two"},
		{"level": "error", "msg": "nobody's"},
		{"level": "debug", "msg": "heard"},
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatalf("%v: %s", err, lines[i])
		}
		at, err := time.Parse(time.RFC3339, got["time"].(string))
		if err != nil || at.Location() != time.UTC || len(got["time"].(string)) != len("2026-04-01T00:00:00.000Z") {
			t.Errorf("time %q, %v", got["time"], err)
		}
		delete(got, "time")
		if g, w := str(got), str(want); g != w {
			t.Errorf("line %d\n got %s\nwant %s", i, g, w)
		}
	}
}

func str(m map[string]any) string {
	b, _ := json.Marshal(m) // of plain values
	return string(b)
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	logbook.New(&b, logbook.Text, slog.LevelInfo).Info("a\nb\x07\u202e", "error", &url.Error{Op: "Get", URL: "https://x.example/cb?code=canary", Err: errors.New("refused")})
	if got := b.String(); strings.Count(got, "\n") != 1 || strings.Contains(got, "canary") || strings.ContainsAny(got, "\x07\u202e") ||
		!strings.Contains(got, "level=info") || !strings.Contains(got, "https://x.example/cb?…") {
		t.Errorf("%q", got)
	}
}

func TestClean(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"関所 plain", "関所 plain"},
		{"", ""},
		{"what? nothing", "what? nothing"},
		{"bell\x07 del\x7f csi\u009b", `bell\u0007 del\u007f csi\u009b`},
		{"right\u202eleft zero\u200bwidth", `right\u202eleft zero\u200bwidth`},
		{"line\u2028separator", `line\u2028separator`},
		{"tag\U000e0041", `tag\U000e0041`},
		{"\xff\xfe", `\xff\xfe`},
		{"two\nlines\tkept", "two\nlines\tkept"},
		{`Get "https://a.example/x?code=1&b=2": EOF; then /signin?rd=/x and more`, `Get "https://a.example/x?…": EOF; then /signin?… and more`},
		{"https://a.example/x?y https://b.example/?z", "https://a.example/x?… https://b.example/?…"},
	} {
		if got := logbook.Clean(tt.in); got != tt.want {
			t.Errorf("Clean(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("https://a/?b\x1b\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := logbook.Clean(s)
		if logbook.Clean(got) != got {
			t.Errorf("%q is cleaned twice", s)
		}
		var b bytes.Buffer
		logbook.New(&b, logbook.JSON, slog.LevelInfo).Info(s, "error", s)
		if !json.Valid(b.Bytes()) || bytes.Count(b.Bytes(), []byte("\n")) != 1 {
			t.Errorf("%q is written as %q", s, &b)
		}
	})
}
