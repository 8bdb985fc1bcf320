package permit

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/policy"
)

// mostRows bounds one file.
const mostRows = 1000

// fixed are the columns that every kind has, before its own fields.
var fixed = []string{"person", "reason", "from", "until"}

// past are the columns that an export has besides.
var past = []string{"id", "state", "requester", "asked_at", "decided_at", "ended_at", "used_at"}

// Columns are the columns of a kind's file.
func Columns(k policy.PermitKind) []string {
	out := slices.Clone(fixed)
	for _, f := range k.Fields {
		out = append(out, f.ID)
	}
	return out
}

// A Line is what became of one line of a file, the header being the first.
type Line struct {
	Line   int
	Permit Permit
	Known  bool // it had been asked for before, by the same line of a file
	Err    error
}

// Import asks for a permit for each line of a CSV file: nothing in it is given without
// whoever decides. Lists are separated by spaces. The whole file is looked through
// first, also for whether enough people could decide each line, and where a line cannot
// be taken nothing is asked for. A line that the same person has brought before asks
// nothing anew, so that a file whose answer was lost can be taken in again.
func (b *Book) Import(ctx context.Context, by By, kind string, in io.Reader) ([]Line, error) {
	if err := b.signed(by); err != nil {
		return nil, err
	}
	k, err := b.kind(kind)
	if err != nil {
		return nil, err
	}
	wishes, err := wishes(k, in)
	if err != nil {
		return nil, err
	}
	lines, requests, bad := make([]Line, len(wishes)), make([]request, len(wishes)), false
	seen := map[string]bool{}
	for i, w := range wishes {
		lines[i].Line = i + 2
		if seen[w.Key] { // two lines that say the same ask once
			lines[i].Known = true
			continue
		}
		seen[w.Key] = true
		lines[i].Permit, lines[i].Known, lines[i].Err = b.again(ctx, b.DB, idOf(by.Person.ID, w.Key), by, w)
		if !lines[i].Known && lines[i].Err == nil {
			requests[i], lines[i].Err = b.consider(ctx, by, k, w)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		bad = bad || lines[i].Err != nil
	}
	if bad {
		return lines, nil
	}
	for i, r := range requests {
		if !lines[i].Known {
			lines[i].Permit, lines[i].Err = b.ask(ctx, by, k, r)
		}
	}
	return lines, nil
}

// wishes reads a file into what each line asks for. A header or a line that cannot be
// read takes none.
func wishes(k policy.PermitKind, in io.Reader) ([]Wish, error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.ReuseRecord = -1, false
	head, err := r.Read()
	if err != nil {
		return nil, unreadable(1)
	}
	known := append(Columns(k), past...)
	for i, name := range head {
		if head[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))); !slices.Contains(known, head[i]) || slices.Contains(head[:i], head[i]) {
			return nil, &Invalid{Faults: []Fault{{"file", "column", policy.Words{
				JA: "1行目の「" + name + "」という列は使えません。使える列: " + strings.Join(Columns(k), "、"),
				EN: "The first line has a column “" + name + "” that cannot be used. Columns: " + strings.Join(Columns(k), ", ")}}}}
		}
	}
	var out []Wish
	for line := 2; ; line++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil || len(record) > len(head) {
			return nil, unreadable(line)
		}
		if len(out) == mostRows {
			return nil, &Invalid{Faults: []Fault{{"file", "too_many", policy.Words{
				JA: "一度に" + strconv.Itoa(mostRows) + "行までです。", EN: "At most " + strconv.Itoa(mostRows) + " lines at once."}}}}
		}
		w := Wish{Kind: k.ID, Stated: Stated{}}
		for i, value := range record {
			value = unguard(strings.TrimSpace(value))
			switch name := head[i]; name {
			case "person":
				w.Person = value
			case "reason":
				w.Reason = value
			case "from":
				w.From = value
			case "until":
				w.Until = value
			default:
				if slices.Contains(past, name) || value == "" {
					continue
				}
				w.Stated[name] = []string{value}
				if f, _ := k.Field(name); f.Many() {
					w.Stated[name] = strings.Fields(value)
				}
			}
		}
		w.Key = "line" // a digest is that of a wish with a key
		w.Key = "line " + w.digest()
		out = append(out, w)
	}
}

func unreadable(line int) error {
	at := strconv.Itoa(line)
	return &Invalid{Faults: []Fault{{"file", "csv", policy.Words{JA: at + "行目がCSVとして読めません。", EN: "Line " + at + " cannot be read as CSV."}}}}
}

// Export writes the permits of a kind that the reader may see, in the columns that
// Import reads and what became of them. A value that a spreadsheet would take for a
// formula is written as text.
func (b *Book) Export(ctx context.Context, by By, f Filter, out io.Writer) error {
	k, err := b.kind(f.Kind)
	if err != nil {
		return err
	}
	w := csv.NewWriter(out)
	columns := append(Columns(k), past...)
	if err := w.Write(columns); err != nil {
		return fmt.Errorf("writing permits: %w", err)
	}
	now := b.Now()
	for {
		page, next, err := b.List(ctx, by, f)
		if err != nil {
			return err
		}
		for _, m := range page {
			record := make([]string, 0, len(columns))
			for _, name := range columns {
				record = append(record, guard(m.column(name, now)))
			}
			if err := w.Write(record); err != nil {
				return fmt.Errorf("writing permits: %w", err)
			}
		}
		if f.After = next; next == "" {
			w.Flush()
			return w.Error()
		}
	}
}

func (m Permit) column(name string, now time.Time) string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	switch name {
	case "person":
		return m.Person.Login
	case "reason":
		return m.Reason
	case "from":
		return at(m.From)
	case "until":
		return at(m.Until)
	case "id":
		return m.ID
	case "state":
		return string(m.State(now))
	case "requester":
		return m.Requester.Login
	case "asked_at":
		return at(m.AskedAt)
	case "decided_at":
		return at(m.DecidedAt)
	case "ended_at":
		return at(m.EndedAt)
	case "used_at":
		return at(m.UsedAt)
	}
	return strings.Join(m.Stated[name], " ")
}

// guard keeps a spreadsheet from taking a value for a formula; unguard reads it back.
func guard(v string) string {
	if v != "" && strings.ContainsRune("=+-@\t\r'", rune(v[0])) {
		return "'" + v
	}
	return v
}

func unguard(v string) string {
	if len(v) > 1 && v[0] == '\'' && strings.ContainsRune("=+-@\t\r'", rune(v[1])) {
		return v[1:]
	}
	return v
}
