package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"sekisho/policy"
)

// The outcomes of an act.
const (
	OK      = "ok"
	Refused = "refused" // a rule said no
	Failed  = "failed"  // something broke
)

// MaxEntry bounds the bytes of one stored entry.
const MaxEntry = 16 << 10

// Bounds of single fields, in bytes of UTF-8. What is longer is cut and says so.
const (
	maxShort   = 256
	maxLong    = 2048
	maxDetails = 32
	maxKey     = 64
)

// An Entry is one line of the trail. None of its fields may hold a secret: the
// trail is exported, printed and kept for years.
type Entry struct {
	Time      time.Time        // when it happened; zero: Append fills it in
	Actor     string           // a login, "system", or "unknown"; empty means the last
	Action    string           // noun.verb, such as "lease.activated"; never empty
	Object    string           // what it was done to
	Outcome   string           // OK, Refused or Failed; empty means OK, for it commits with the act
	Reason    string           // why, in words or as a code
	Articles  []policy.Article // the articles it serves
	From      string           // the network address the request came from
	RequestID string
	Zone      string
	Terminal  string
	Case      string            // the case that a search by person serves
	Detail    map[string]string // whatever else the act wants remembered
}

// ErrEntry refuses an entry that says nothing or makes up an outcome.
var ErrEntry = errors.New("not a trail entry")

// wire is an Entry as it is written: these keys, in this order, are hashed.
type wire struct {
	Time      string            `json:"time"`
	Actor     string            `json:"actor"`
	Action    string            `json:"action"`
	Object    string            `json:"object"`
	Outcome   string            `json:"outcome"`
	Reason    string            `json:"reason"`
	Articles  []string          `json:"articles"`
	From      string            `json:"from"`
	RequestID string            `json:"request_id"`
	Zone      string            `json:"zone,omitempty"`
	Terminal  string            `json:"terminal,omitempty"`
	Case      string            `json:"case,omitempty"`
	Detail    map[string]string `json:"detail,omitempty"`
}

// timeForm is RFC 3339 with all six digits of what the store can keep, so that
// one time has one spelling.
const timeForm = "2006-01-02T15:04:05.000000Z"

// encode writes e as the bytes that are stored, hashed and exported: no longer
// than MaxEntry, one line, and nothing in it that could move a cursor or hide
// text on the screen of the auditor.
func encode(e Entry) ([]byte, error) {
	switch {
	case e.Action == "":
		return nil, fmt.Errorf("%w: it has no action", ErrEntry)
	case e.Time.IsZero():
		return nil, fmt.Errorf("%w: %s has no time", ErrEntry, e.Action)
	}
	switch e.Outcome {
	case "":
		e.Outcome = OK
	case OK, Refused, Failed:
	default:
		return nil, fmt.Errorf("%w: %s has outcome %q", ErrEntry, e.Action, e.Outcome)
	}
	if e.Actor == "" {
		e.Actor = "unknown"
	}
	// An escaped byte can take six. The bounds are tightened until the whole
	// fits, which only somebody who sends rubbish ever sees.
	for limit := maxLong; ; limit /= 2 {
		data := marshal(e, limit)
		if len(data) <= MaxEntry {
			return data, nil
		}
		if limit < 16 {
			return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrEntry, e.Action, MaxEntry)
		}
	}
}

// marshal writes the keys of wire in their order. By hand, because this runs
// while every other writer waits, and because one function then decides how a
// character is spelt.
func marshal(e Entry, limit int) []byte {
	b := make([]byte, 0, 512)
	b = append(b, `{"time":"`...)
	b = e.Time.UTC().AppendFormat(b, timeForm)
	b = append(b, '"')
	short := min(limit, maxShort)
	for _, f := range []struct {
		key, value string
		limit      int
		always     bool
	}{
		{"actor", e.Actor, short, true},
		{"action", e.Action, short, true},
		{"object", e.Object, short, true},
		{"outcome", e.Outcome, short, true},
		{"reason", e.Reason, limit, true},
		{"articles", "", 0, true},
		{"from", e.From, short, true},
		{"request_id", e.RequestID, short, true},
		{"zone", e.Zone, short, false},
		{"terminal", e.Terminal, short, false},
		{"case", e.Case, short, false},
	} {
		if !f.always && f.value == "" {
			continue
		}
		b = append(b, ',', '"')
		b = append(b, f.key...)
		b = append(b, '"', ':')
		if f.key == "articles" {
			b = appendArticles(b, e.Articles, limit)
			continue
		}
		b = appendQuoted(b, cut(f.value, f.limit))
	}
	if len(e.Detail) > 0 {
		b = append(b, `,"detail":`...)
		b = appendDetail(b, e.Detail, limit)
	}
	return append(b, '}')
}

func appendArticles(b []byte, articles []policy.Article, limit int) []byte {
	b = append(b, '[') // never null
	for i, a := range articles {
		if i > 0 {
			b = append(b, ',')
		}
		if i == maxDetails {
			b = appendQuoted(b, mark(len(articles)-i, "more"))
			break
		}
		b = appendQuoted(b, cut(string(a), min(limit, maxKey)))
	}
	return append(b, ']')
}

// appendDetail writes the first maxDetails keys in order. Of keys that become
// the same by cutting the first is kept: a reader must not have to choose.
func appendDetail(b []byte, detail map[string]string, limit int) []byte {
	b = append(b, '{')
	taken := make(map[string]bool, maxDetails+1)
	for i, k := range slices.Sorted(maps.Keys(detail)) {
		key, value := cut(k, min(limit, maxKey)), cut(detail[k], limit)
		if i == maxDetails {
			key, value = "…", mark(len(detail)-i, "more")
		}
		if !taken[key] {
			if len(taken) > 0 {
				b = append(b, ',')
			}
			taken[key] = true
			b = appendQuoted(b, key)
			b = append(b, ':')
			b = appendQuoted(b, value)
		}
		if i == maxDetails {
			break
		}
	}
	return append(b, '}')
}

// cut makes s valid UTF-8 of at most limit bytes, and marks what it took away.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	keep := limit
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	return s[:keep] + mark(len(s)-keep, "bytes cut")
}

func mark(n int, what string) string { return fmt.Sprintf("…[%d %s]", n, what) }

// appendQuoted writes a JSON string (RFC 8259, section 7). Beyond what JSON asks
// for, it escapes what a terminal obeys or an eye misses: DEL and the C1
// controls (U+009B begins an escape sequence), and the format characters, among
// them those that turn the direction of text around. s is valid UTF-8.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ { // most text is plain, and goes over in one piece
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			b = append(b, s[:i]...)
			return append(appendEscaped(b, s[i:]), '"')
		}
	}
	b = append(b, s...)
	return append(b, '"')
}

func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= 0x20 && !unseen(r):
			b = utf8.AppendRune(b, r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				b = append(b, '\\', 'u', hex[unit>>12], hex[unit>>8&0xf], hex[unit>>4&0xf], hex[unit&0xf])
			}
		}
	}
	return b
}

func unseen(r rune) bool {
	return r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Decode reads an entry from the bytes that were hashed, as an export holds them.
func Decode(data []byte) (Entry, error) { return decode(data) }

// decode reads stored bytes back. Only what encode wrote is ever given to it,
// but it is asked about a database that others can write.
func decode(data []byte) (Entry, error) {
	if e, ok := decodePlain(data); ok {
		return e, nil
	}
	return decodeJSON(data)
}

func decodeJSON(data []byte) (Entry, error) {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return Entry{}, fmt.Errorf("reading a trail entry: %w", err)
	}
	at, err := time.Parse(time.RFC3339, w.Time)
	if err != nil {
		return Entry{}, fmt.Errorf("reading a trail entry: its time: %w", err)
	}
	e := Entry{
		Time: at.UTC(), Actor: w.Actor, Action: w.Action, Object: w.Object, Outcome: w.Outcome, Reason: w.Reason,
		From: w.From, RequestID: w.RequestID, Zone: w.Zone, Terminal: w.Terminal, Case: w.Case, Detail: w.Detail,
	}
	for _, a := range w.Articles {
		e.Articles = append(e.Articles, policy.Article(a))
	}
	return e, nil
}

// decodePlain reads what encode writes as long as no character of it is
// escaped, which is most of the trail, at a fifth of the price. It answers what
// decode does, or false.
func decodePlain(data []byte) (Entry, bool) {
	if !utf8.Valid(data) {
		return Entry{}, false
	}
	var (
		r  = plain{rest: string(data), ok: true}
		e  Entry
		at string
	)
	r.skip(`{"time":`)
	at = r.text()
	for _, f := range []struct {
		key  string
		into *string
	}{{`,"actor":`, &e.Actor}, {`,"action":`, &e.Action}, {`,"object":`, &e.Object}, {`,"outcome":`, &e.Outcome}, {`,"reason":`, &e.Reason}} {
		r.skip(f.key)
		*f.into = r.text()
	}
	r.skip(`,"articles":[`)
	for !r.skipIf(`]`) && r.ok {
		if len(e.Articles) > 0 {
			r.skip(`,`)
		}
		e.Articles = append(e.Articles, policy.Article(r.text()))
	}
	r.skip(`,"from":`)
	e.From = r.text()
	r.skip(`,"request_id":`)
	e.RequestID = r.text()
	for _, f := range []struct {
		key  string
		into *string
	}{{`,"zone":`, &e.Zone}, {`,"terminal":`, &e.Terminal}, {`,"case":`, &e.Case}} {
		if r.skipIf(f.key) {
			*f.into = r.text()
		}
	}
	if r.skipIf(`,"detail":{`) {
		e.Detail = map[string]string{}
		for !r.skipIf(`}`) && r.ok {
			if len(e.Detail) > 0 {
				r.skip(`,`)
			}
			key := r.text()
			if _, twice := e.Detail[key]; twice {
				return Entry{}, false
			}
			r.skip(`:`)
			e.Detail[key] = r.text()
		}
	}
	r.skip(`}`)
	if !r.ok || r.rest != "" {
		return Entry{}, false
	}
	t, err := time.Parse(time.RFC3339, at)
	e.Time = t.UTC()
	return e, err == nil
}

// A plain reader takes text off the front, until something is not as expected.
type plain struct {
	rest string
	ok   bool
}

func (r *plain) skip(s string) { r.ok = r.skipIf(s) && r.ok }

func (r *plain) skipIf(s string) bool {
	after, found := strings.CutPrefix(r.rest, s)
	r.rest = after
	return found
}

// text takes a quoted string without escapes.
func (r *plain) text() string {
	if !r.skipIf(`"`) {
		r.ok = false
		return ""
	}
	for i := 0; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			s := r.rest[:i]
			r.rest = r.rest[i+1:]
			return s
		case c < 0x20 || c == '\\':
			r.ok = false
			return ""
		}
	}
	r.ok = false
	return ""
}
