package permit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A Filter says which permits are listed. Zero fields do not restrict.
type Filter struct {
	Kind        string
	State       State
	Mine        bool // whose it is, or who asked
	ToApprove   bool // that wait for the reader's word
	Person      directory.PersonID
	Unused      bool // never used
	Review      bool // whose review is due
	Soon        bool // whose end is near, as the kind has it
	Owed        bool // of which it is still to be written down that it was done
	Over        bool
	Ends        time.Time // at the latest
	Section     string    // a department has its sections
	Application string
	Words       []string // each is part of a name, a company or the reason
	After       string   // the id of the last one before
	Limit       int      // 0: 100
}

// A search is conditions in SQL, with a mark where each of their values goes.
type search struct {
	p    *policy.Policy
	now  time.Time
	text []string
	args []any
}

func (s *search) and(cond string, args ...any) {
	s.text, s.args = append(s.text, cond), append(s.args, args...)
}

// where is all of it. The marks are numbered from the first: what comes before them
// has numbers of its own.
func (s *search) where() string { return numbered(strings.Join(s.text, " AND "), 1) }

func numbered(text string, from int) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(from+i-1))
		}
		b.WriteString(part)
	}
	return b.String()
}

// A cond is a condition with its values.
type cond struct {
	text string
	args []any
}

func (s *search) add(c cond) { s.and(c.text, c.args...) }

// of is what State answers, as a condition on rows.
func (s *search) of(state State) cond {
	now := store.Micros(s.now)
	switch state {
	case Approved:
		return cond{"state = 'approved' AND ends_at > ?", []any{now}}
	case Expired:
		return cond{"(state = 'expired' OR state = 'approved' AND ends_at <= ?)", []any{now}}
	case Pending:
		return cond{"state = 'pending' AND ends_at > ? AND lapses_at > ?", []any{now, now}}
	case Lapsed:
		return cond{"(state = 'lapsed' OR state = 'pending' AND (ends_at <= ? OR lapses_at <= ?))", []any{now, now}}
	}
	return cond{"state = ?", []any{string(state)}}
}

func (s *search) over() cond {
	open, waits := s.of(Approved), s.of(Pending)
	return cond{"NOT (" + open.text + ") AND NOT (" + waits.text + ")", append(open.args, waits.args...)}
}

// kinds is true where one of the conditions is, each about the permits of one kind.
func (s *search) kinds(each func(policy.PermitKind) (cond, bool)) cond {
	text, args := []string{"1 = 0"}, []any(nil)
	for _, k := range s.p.Permits {
		if c, ok := each(k); ok {
			text, args = append(text, "kind = ? AND "+c.text), append(append(args, k.ID), c.args...)
		}
	}
	return cond{"(" + strings.Join(text, " OR ") + ")", args}
}

// soon is whose end is so near that its holder is told.
func (s *search) soon() cond {
	live := s.of(Approved)
	near := s.kinds(func(k policy.PermitKind) (cond, bool) {
		return cond{"ends_at <= ?", []any{store.Micros(s.now.AddDate(0, 0, k.RenewDays))}}, k.RenewDays > 0
	})
	return cond{live.text + " AND " + near.text, append(live.args, near.args...)}
}

// due is what Permit.ReviewDue says.
func (s *search) due() cond {
	live := s.of(Approved)
	due := s.kinds(func(k policy.PermitKind) (cond, bool) {
		days := time.Duration(k.ReviewDays) * 24 * time.Hour
		return cond{"looked_at <= ? AND looked_at < ends_at - ?", []any{store.Micros(s.now.Add(-days)), days.Microseconds()}}, k.ReviewDays > 0
	})
	return cond{live.text + " AND " + due.text, append(live.args, due.args...)}
}

// owed is what Permit.Owes says.
func (s *search) owed() cond {
	return s.kinds(func(k policy.PermitKind) (cond, bool) {
		return cond{"decided_at > 0 AND done_at = 0 AND state IN ('approved', 'expired', 'ended')", nil}, k.Done
	})
}

// section is those whose person works in a section, or below it.
func (s *search) section(id string) cond {
	args := []any{id}
	for _, one := range s.p.Sections {
		if one.ID != id && s.p.InSection(one.ID, []string{id}) {
			args = append(args, one.ID)
		}
	}
	return cond{"section IN (?" + strings.Repeat(", ?", len(args)-1) + ")", args}
}

// part is LIKE's pattern for what has a text somewhere in it.
func part(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text) + "%"
}

// A scope is what of the permits a reader is shown.
type scope struct {
	me     directory.PersonID // whose they are, or who asked; "" where that restricts nothing
	beside Reach              // and those of others
}

// scope is what a reader is shown who asks for their own, or for all that they see.
func (b *Book) scope(by By, mine bool) scope {
	reach := b.Reach(by)
	switch {
	case mine:
		return scope{me: by.Person.ID}
	case reach.All:
		return scope{}
	}
	return scope{by.Person.ID, reach}
}

// searched turns a filter into conditions, within a scope.
func (b *Book) searched(f Filter, of scope) *search {
	s := &search{p: b.Policy(), now: b.Now()}
	s.and("1 = 1")
	if f.Kind != "" {
		s.and("kind = ?", f.Kind)
	}
	if of.me != "" {
		text, args := "(person_id = ? OR requester_id = ?", []any{string(of.me), string(of.me)}
		if of.beside.Section != "" {
			there := s.section(of.beside.Section)
			text, args = text+" OR "+there.text, append(args, there.args...)
		}
		s.and(text+")", args...)
	}
	if f.Person != "" {
		s.and("person_id = ?", string(f.Person))
	}
	if f.State != "" {
		s.add(s.of(f.State))
	}
	if f.Unused {
		s.and("used_at = 0")
	}
	if f.Review {
		s.add(s.due())
	}
	if f.Soon {
		s.add(s.soon())
	}
	if f.Owed {
		s.add(s.owed())
	}
	if f.Over {
		s.add(s.over())
	}
	if !f.Ends.IsZero() {
		s.and("ends_at <= ?", store.Micros(f.Ends))
	}
	if f.Section != "" {
		s.add(s.section(f.Section))
	}
	if f.Application != "" {
		s.and(`applications LIKE ? ESCAPE '\'`, part(" "+f.Application+" "))
	}
	for _, w := range f.Words {
		s.and(`words LIKE ? ESCAPE '\'`, part(strings.ToLower(w)))
	}
	return s
}

// List is permits, those asked for last first, as far as they concern the reader; next
// is what After of the following page is, "" where there is none. What is over by itself
// is listed as what it is, whatever its row says.
func (b *Book) List(ctx context.Context, by By, f Filter) (out []Permit, next string, err error) {
	if err := b.signed(by); err != nil {
		return nil, "", err
	}
	if f.Limit <= 0 || f.Limit > 1000 {
		f.Limit = 100
	}
	within := b.scope(by, f.Mine)
	var waits map[string]bool
	if f.ToApprove {
		waits = map[string]bool{}
		views, err := b.Matters.Pending(ctx, by)
		if err != nil {
			return nil, "", err
		}
		for _, v := range views {
			waits[v.ID] = true
		}
		if len(waits) == 0 {
			return nil, "", nil
		}
		if !f.Mine {
			within = scope{}
		}
	}
	at, id := store.Micros(b.Now().Add(24*time.Hour)), ""
	if f.After != "" {
		last, err := read(ctx, b.DB, f.After)
		if err != nil {
			return nil, "", err
		}
		at, id = store.Micros(last.AskedAt), last.ID
	}
	page := f.Limit + 1
	if waits != nil {
		page = 500 // few of those that there are
	}
	for {
		s := b.searched(f, within)
		if waits != nil {
			s.add(s.of(Pending))
		}
		s.and("(asked_at < ? OR asked_at = ? AND id > ?)", at, at, id)
		found, err := list(ctx, b.DB, s.where()+" ORDER BY asked_at DESC, id LIMIT "+strconv.Itoa(page), s.args...)
		if err != nil {
			return nil, "", err
		}
		for _, m := range found {
			at, id = store.Micros(m.AskedAt), m.ID
			if waits != nil && !waits[m.Matter] {
				continue
			}
			if len(out) == f.Limit {
				return out, out[len(out)-1].ID, nil
			}
			out = append(out, m)
		}
		if len(found) < page {
			return out, "", nil
		}
	}
}

// A Count is how many permits of a kind there are, by what somebody has to do about
// them.
type Count struct{ Live, Soon, Unused, Pending, Due, Owed int }

// Count counts, by kind, those that concern the reader: of one kind, or of all.
func (b *Book) Count(ctx context.Context, by By, kind string) (map[string]Count, error) {
	if err := b.signed(by); err != nil {
		return nil, err
	}
	s := b.searched(Filter{Kind: kind}, b.scope(by, false))
	live := s.of(Approved)
	columns, args := "", []any(nil)
	for _, c := range []cond{live, s.soon(), {live.text + " AND used_at = 0", live.args}, s.of(Pending), s.due(), s.owed()} {
		columns += ", SUM(CASE WHEN " + c.text + " THEN 1 ELSE 0 END)"
		args = append(args, c.args...)
	}
	type line struct {
		kind string
		Count
	}
	all, err := store.All(ctx, b.DB, "permits", func(row store.Row) (line, error) {
		var l line
		err := row.Scan(&l.kind, &l.Live, &l.Soon, &l.Unused, &l.Pending, &l.Due, &l.Owed)
		return l, err
	}, numbered("SELECT kind"+columns+" FROM permit WHERE "+strings.Join(s.text, " AND ")+" GROUP BY kind", 1), append(args, s.args...)...)
	if err != nil {
		return nil, fmt.Errorf("counting permits: %w", err)
	}
	out := map[string]Count{}
	for _, l := range all {
		out[l.kind] = l.Count
	}
	return out, nil
}
