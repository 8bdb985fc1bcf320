package audit

import (
	"bytes"
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
		data, err := marshal(e, limit)
		if err != nil {
			return nil, err
		}
		if len(data) <= MaxEntry {
			return data, nil
		}
		if limit < 16 {
			return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrEntry, e.Action, MaxEntry)
		}
	}
}

func marshal(e Entry, limit int) ([]byte, error) {
	short := func(s string) string { return cut(s, min(limit, maxShort)) }
	w := wire{
		Time:      e.Time.UTC().Format(timeForm),
		Actor:     short(e.Actor),
		Action:    short(e.Action),
		Object:    short(e.Object),
		Outcome:   e.Outcome,
		Reason:    cut(e.Reason, limit),
		Articles:  make([]string, 0, len(e.Articles)), // never null
		From:      short(e.From),
		RequestID: short(e.RequestID),
		Zone:      short(e.Zone),
		Terminal:  short(e.Terminal),
		Case:      short(e.Case),
		Detail:    cutDetail(e.Detail, limit),
	}
	for i, a := range e.Articles {
		if i == maxDetails {
			w.Articles = append(w.Articles, mark(len(e.Articles)-i, "more"))
			break
		}
		w.Articles = append(w.Articles, cut(string(a), min(limit, maxKey)))
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(w); err != nil {
		return nil, fmt.Errorf("writing the entry %s: %w", w.Action, err)
	}
	return escapeUnseen(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}

// cutDetail keeps the first maxDetails keys in order. Two keys that become the
// same by cutting are kept as the first of them.
func cutDetail(detail map[string]string, limit int) map[string]string {
	if len(detail) == 0 {
		return nil
	}
	out := make(map[string]string, min(len(detail), maxDetails+1))
	for i, k := range slices.Sorted(maps.Keys(detail)) {
		if i == maxDetails {
			out["…"] = mark(len(detail)-i, "more")
			break
		}
		short := cut(k, min(limit, maxKey))
		if _, taken := out[short]; !taken {
			out[short] = cut(detail[k], limit)
		}
	}
	return out
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

// escapeUnseen writes as \uXXXX what encoding/json leaves bare and a terminal
// obeys or an eye misses: DEL and the C1 controls (0x9B begins an escape
// sequence), and the format characters, among them those that turn the
// direction of text around. They can only stand inside strings.
func escapeUnseen(data []byte) []byte {
	if !bytes.ContainsFunc(data, unseen) {
		return data
	}
	out := make([]byte, 0, len(data)+64)
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case !unseen(r):
			out = append(out, data[:n]...)
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		data = data[n:]
	}
	return out
}

func unseen(r rune) bool {
	return r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// decode reads stored bytes back. Only what encode wrote is ever given to it,
// but it is asked about a database that others can write.
func decode(data []byte) (Entry, error) {
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
