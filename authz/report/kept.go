package report

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// ErrNotKept says that there is no such report, or none any more.
var ErrNotKept = errors.New("no such report is kept")

// A Kept is a report that was made by itself, with its end.
type Kept struct {
	ID       string
	Schedule string
	Name     Name
	Section  string // whose it is: with what lies below; "" for everybody's
	Period   Period
	MadeAt   time.Time
	EndsAt   time.Time
	Entries  int
}

func (k Kept) scope() Scope {
	if k.Section == "" {
		return Everything
	}
	return Scope{Sections: []string{k.Section}}
}

// covers reports whether whoever sees one scope may read what was made for another.
func (s Scope) covers(p *policy.Policy, o Scope) bool {
	return s.All || !o.All && len(o.Sections) > 0 && s.Sees(p, o.Sections[0])
}

// keptDocument is a report as it was made.
type keptDocument struct {
	Kept
	sheets map[string]Report // by language
}

func (d keptDocument) Report(lang string) Report {
	if r, ok := d.sheets[lang]; ok {
		return r
	}
	return d.sheets["ja"]
}

// KeptHead is a kept report for programs, without what is in it.
type KeptHead struct {
	ID       string     `json:"id"`
	Schedule string     `json:"schedule"`
	Name     string     `json:"report"`
	Section  string     `json:"section"` // whose it is: with what lies below; "" for everybody's
	From     *time.Time `json:"from"`    // null, as is to: it is of one moment
	To       *time.Time `json:"to"`
	MadeAt   *time.Time `json:"made_at"`
	EndsAt   *time.Time `json:"ends_at"` // it is kept until then
	Entries  int        `json:"entries"`
}

// Head is what is known of it without reading it.
func (k Kept) Head() KeptHead {
	return KeptHead{k.ID, k.Schedule, string(k.Name), k.Section, stamp(k.Period.From), stamp(k.Period.To), stamp(k.MadeAt), stamp(k.EndsAt), k.Entries}
}

// KeptAnswer is a kept report for programs: its entries, with the columns' keys.
type KeptAnswer struct {
	Kept  KeptHead            `json:"kept"`
	Items []map[string]string `json:"items"`
	Next  *string             `json:"next"` // give it as after= for the rest; null at the end
}

// Has reports whether an entry has this number, from 1.
func (d keptDocument) Has(id string) bool {
	n, err := strconv.Atoi(id)
	return err == nil && n > 0 && n <= len(d.Report("ja").Entries().Rows)
}

// Answer goes on after an entry by its number: what is kept does not change.
func (d keptDocument) Answer(after string, most int) any {
	out := KeptAnswer{Kept: d.Head(), Items: []map[string]string{}}
	s := d.Report("ja").Entries()
	from, _ := strconv.Atoi(after) // what is no number is the beginning
	from = max(0, min(from, len(s.Rows)))
	rows := s.Rows[from:]
	if most > 0 && len(rows) > most {
		rows = rows[:most]
		next := strconv.Itoa(from + most)
		out.Next = &next
	}
	for _, row := range rows {
		item := map[string]string{}
		for i, c := range s.Columns {
			item[c.Key] = codeOf(row[i])
		}
		out.Items = append(out.Items, item)
	}
	return out
}

// mostKept is how many of the reports that are kept are listed.
const mostKept = 500

const keptColumns = `id, schedule, name, section, from_at, to_at, made_at, ends_at, entries`

func scanKept(row store.Row) (k Kept, err error) {
	var from, to, made, ends int64
	err = row.Scan(&k.ID, &k.Schedule, &k.Name, &k.Section, &from, &to, &made, &ends, &k.Entries)
	k.Period = Period{store.FromMicros(from), store.FromMicros(to)}
	k.MadeAt, k.EndsAt = store.FromMicros(made), store.FromMicros(ends)
	return k, err
}

// KeptFor are the reports that are kept and that whoever is behind a cookie may read, the
// newest first.
func (r *Reader) KeptFor(ctx context.Context, o signin.Origin, cookie string) ([]Kept, error) {
	by, err := r.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	// The database narrows: those of other sections would push a section's own off the end.
	p, args := r.Policy(), []any{store.Micros(r.Now())}
	place := func(v string) string { args = append(args, v); return "$" + strconv.Itoa(len(args)) }
	var readable []string
	for _, name := range Names() {
		scope, no := MayRead(p, name, by.Posts, by.Person.Section)
		if no != nil {
			continue
		}
		one := `name = ` + place(string(name))
		if !scope.All {
			var own []string
			for _, s := range p.Sections {
				if scope.Sees(p, s.ID) {
					own = append(own, place(s.ID))
				}
			}
			one += ` AND section IN (` + strings.Join(own, ", ") + `)`
		}
		readable = append(readable, "("+one+")")
	}
	if len(readable) == 0 {
		return nil, nil
	}
	return store.All(ctx, r.DB, "reports that are kept", scanKept, `
		SELECT `+keptColumns+` FROM report_kept WHERE ends_at > $1 AND (`+strings.Join(readable, " OR ")+`)
		ORDER BY made_at DESC, id LIMIT `+strconv.Itoa(mostKept), args...)
}

// KeptOne is a report that is kept, for whoever is behind a cookie; who may not read it
// finds that there is none. That it was read, or refused, is on the trail.
func (r *Reader) KeptOne(ctx context.Context, o signin.Origin, cookie, id, format string) (Kept, Document, error) {
	by, err := r.reader(ctx, o, cookie)
	if err != nil {
		return Kept{}, nil, err
	}
	var (
		k    Kept
		body string
	)
	found, err := store.All(ctx, r.DB, "a report that is kept", scanKept, `SELECT `+keptColumns+` FROM report_kept WHERE id = $1 AND ends_at > $2`, id, store.Micros(r.Now()))
	if err != nil {
		return Kept{}, nil, err
	}
	if len(found) == 0 {
		return Kept{}, nil, ErrNotKept
	}
	k = found[0]
	p := r.Policy()
	scope, no := MayRead(p, k.Name, by.Posts, by.Person.Section)
	if no == nil && !scope.covers(p, k.scope()) {
		no = &Refusal{Reason: "other_section"}
	}
	if no != nil {
		e := r.entryOf(by, k.Name)
		e.Outcome, e.Reason, e.Detail = audit.Refused, no.Reason, map[string]string{"kept": k.ID, "format": format}
		if err := r.refused.Enter(ctx, r.DB, r.Trail, string(by.Person.ID)+" kept "+k.ID+" "+no.Reason, e, r.Now()); err != nil {
			return Kept{}, nil, fmt.Errorf("recording a refusal: %w", err)
		}
		return Kept{}, nil, ErrNotKept
	}
	if err := r.proved(by); err != nil {
		return Kept{}, nil, err
	}
	if err := r.DB.QueryRow(ctx, `SELECT body FROM report_kept WHERE id = $1`, id).Scan(&body); err != nil {
		return Kept{}, nil, fmt.Errorf("reading a report that is kept: %w", err)
	}
	forms := map[string]reportForm{}
	if err := json.Unmarshal([]byte(body), &forms); err != nil {
		return Kept{}, nil, fmt.Errorf("reading a report that is kept: %w", err)
	}
	d := keptDocument{k, map[string]Report{}}
	for lang, f := range forms {
		d.sheets[lang] = f.report()
	}
	e := r.entryOf(by, k.Name)
	e.Detail = map[string]string{"kept": k.ID, "format": format, "entries": strconv.Itoa(k.Entries), "scope": "all"}
	if k.Section != "" {
		e.Detail["scope"] = k.Section
	}
	if err := r.enter(ctx, e); err != nil {
		return Kept{}, nil, err
	}
	return k, d, nil
}

// LastRun is when a schedule was last run; the zero time: never.
func LastRun(ctx context.Context, in store.Reader, id string) (time.Time, error) {
	var at int64
	err := in.QueryRow(ctx, `SELECT ran_at FROM report_schedule WHERE id = $1`, id).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) || err == nil && at == 0 {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("reading when a report was made: %w", err)
	}
	return store.FromMicros(at), nil
}
