// Package logbook writes what an operator reads: one line for each thing that
// happened, in one shape, documented in docs/logging.md.
//
// It knows form alone. What is worth a line, and how loud, is decided where the
// thing happens. It keeps two promises whatever it is handed: a line is one
// line, with nothing in it that could move a terminal's cursor or pass for
// another line; and the query of an address, where codes and tokens travel, is
// left out. Who did what is on the trail, not here.
package logbook

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sekisho/policy/audit"
)

// The formats.
const (
	JSON = "json" // one JSON object a line
	Text = "text" // key=value, for the eye
)

// Formats are the values that log.format may have.
func Formats() []string { return []string{JSON, Text} }

// New writes lines of the format to w from the level upwards.
func New(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: shape}
	var h slog.Handler = slog.NewJSONHandler(w, o)
	if format == Text {
		h = slog.NewTextHandler(w, o)
	}
	return slog.New(handler{h})
}

// stamp is RFC 3339 in UTC, always of the same width, so that lines sort.
const stamp = "2006-01-02T15:04:05.000Z07:00"

// shape gives what is written its documented form.
func shape(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 {
		switch a.Key {
		case slog.TimeKey:
			if t, ok := a.Value.Any().(time.Time); ok {
				return slog.String(a.Key, t.UTC().Format(stamp))
			}
		case slog.LevelKey:
			return slog.String(a.Key, strings.ToLower(a.Value.String()))
		}
	}
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(Clean(a.Value.String()))
	case slog.KindTime:
		a.Value = slog.StringValue(a.Value.Time().UTC().Format(time.RFC3339))
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case error:
			a.Value = slog.StringValue(Clean(v.Error()))
		case []string:
			cleaned := make([]string, len(v))
			for i, s := range v {
				cleaned[i] = Clean(s)
			}
			a.Value = slog.AnyValue(cleaned)
		}
	}
	return a
}

// Clean is text that can be written down: what a reader would not see, or
// a terminal would obey, is spelt out, and the query of an address is left out.
// Line ends and tabs stay; both formats escape them.
func Clean(s string) string {
	s = withoutQueries(s)
	if strings.IndexFunc(s, unseen) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			spell(&b, rune(s[i]), 'x', 2)
		case !unseen(r):
			b.WriteString(s[i : i+n])
		case r > 0xffff:
			spell(&b, r, 'U', 8)
		default:
			spell(&b, r, 'u', 4)
		}
		i += n
	}
	return b.String()
}

func unseen(r rune) bool {
	if r == '\n' || r == '\t' {
		return false
	}
	return r == utf8.RuneError || unicode.In(r, unicode.C, unicode.Zl, unicode.Zp)
}

func spell(b *strings.Builder, r rune, kind byte, digits int) {
	const hex = "0123456789abcdef"
	b.WriteByte('\\')
	b.WriteByte(kind)
	for i := digits - 1; i >= 0; i-- {
		b.WriteByte(hex[r>>(4*i)&15])
	}
}

// withoutQueries cuts what stands behind "?" in addresses. An error of net/http
// names the whole address that it was about.
func withoutQueries(s string) string {
	if !strings.Contains(s, "?") {
		return s
	}
	var b strings.Builder
	for {
		at := strings.Index(s, "://")
		path := at < 0
		if path { // a path by itself, as in a request line
			at = strings.Index(s, "/")
		}
		if at < 0 {
			break
		}
		end := at + strings.IndexAny(s[at:]+" ", " \"'<>\n\t")
		if q := strings.IndexByte(s[at:end], '?'); q >= 0 {
			b.WriteString(s[:at+q] + "?…")
		} else {
			b.WriteString(s[:end])
		}
		s = s[end:]
	}
	b.WriteString(s)
	return b.String()
}

// handler adds the id of the request in whose context a line is written.
type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	id := audit.RequestOf(ctx)
	if id == "" {
		return h.Handler.Handle(ctx, r)
	}
	named := false
	r.Attrs(func(a slog.Attr) bool {
		named = a.Key == "request_id"
		return !named
	})
	if !named {
		r = r.Clone()
		r.AddAttrs(slog.String("request_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(a []slog.Attr) slog.Handler { return handler{h.Handler.WithAttrs(a)} }
func (h handler) WithGroup(name string) slog.Handler   { return handler{h.Handler.WithGroup(name)} }
