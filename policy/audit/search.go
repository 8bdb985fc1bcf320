package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/store"
)

// A Filter says which entries to look up. Zero fields do not restrict.
type Filter struct {
	From, To time.Time // From ≤ time < To
	Actor    string
	Action   string // the whole of it, or what it begins with, ending in a dot: "lease."
	Article  string
	Outcome  string
	Case     string
	Limit    int   // of records; 0 and more than 1,000 mean 1,000
	After    int64 // the index of the last record of the page before; 0 for the first page
}

// maxFound bounds one page of a search.
const maxFound = 1000

// A Record is a sealed entry. Data is what was hashed; Entry is read from it.
type Record struct {
	Index int64
	Hash  tlog.Hash
	Data  []byte
	Entry
	// Broken says that Data is no entry, and Entry is zero: somebody changed the store.
	Broken bool
}

// Search finds sealed entries, newest first. What was done a moment ago is
// found once it is sealed, within a second. One that cannot be read is among the findings
// as what it is: whoever breaks one entry in the store must not hide the others with it.
//
// The columns that it searches by are not what is signed: a finding is as good
// as the store until the trail is verified.
func (t *Trail) Search(ctx context.Context, f Filter) ([]Record, error) {
	q, args := f.query()
	rows, err := t.db.Query(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("searching the trail: %w", err)
	}
	defer rows.Close()
	var found []Record
	for rows.Next() {
		var (
			r    Record
			hash []byte
		)
		if err := rows.Scan(&r.Index, &hash, &r.Data); err != nil {
			return nil, fmt.Errorf("searching the trail: %w", err)
		}
		copy(r.Hash[:], hash)
		if r.Entry, err = decode(r.Data); err != nil {
			r.Entry, r.Broken = Entry{}, true
		}
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("searching the trail: %w", err)
	}
	return found, nil
}

// query names only the columns that restrict, so that the planner may choose
// among their indexes. Nothing of the filter but its shape enters the text.
func (f Filter) query() (string, []any) {
	var (
		b    strings.Builder
		args []any
	)
	// Newest first by index, which is also the order of the rows in each index.
	b.WriteString(`SELECT l.idx, l.hash, l.data FROM trail_leaf l`)
	sep := " WHERE "
	where := func(condition string, arg any) {
		args = append(args, arg)
		fmt.Fprintf(&b, "%s%s $%d", sep, condition, len(args))
		sep = " AND "
	}
	if f.Article != "" {
		b.WriteString(` JOIN trail_article a ON a.idx = l.idx`)
		where("a.article =", f.Article)
	}
	if !f.From.IsZero() {
		where("l.at >=", store.Micros(f.From))
	}
	if !f.To.IsZero() {
		where("l.at <", store.Micros(f.To))
	}
	if f.Actor != "" {
		where("l.actor =", f.Actor)
	}
	if stem, ok := strings.CutSuffix(f.Action, "."); ok {
		where("l.action >=", stem+".")
		where("l.action <", stem+"/") // the byte after the dot
	} else if f.Action != "" {
		where("l.action =", f.Action)
	}
	if f.Outcome != "" {
		where("l.outcome =", f.Outcome)
	}
	if f.Case != "" {
		b.WriteString(sep + "l.case_id <> ''") // lets the partial index serve
		sep = " AND "
		where("l.case_id =", f.Case)
	}
	if f.After > 0 {
		where("l.idx <", f.After)
	}
	limit := f.Limit
	if limit <= 0 || limit > maxFound {
		limit = maxFound
	}
	args = append(args, limit)
	order := "l.idx"
	if f.Article != "" {
		order = "a.idx" // the same number, from the index that is walked
	}
	fmt.Fprintf(&b, " ORDER BY %s DESC LIMIT $%d", order, len(args))
	return b.String(), args
}
