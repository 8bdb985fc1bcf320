package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// atOnce is of how many IDs the store is asked in one question. Its text is the
// same whatever their number, so that it is prepared once.
const atOnce = 100

// marks are the parameters of a list of atOnce values, from number first on.
func marks(first int) string {
	out := make([]string, atOnce)
	for i := range out {
		out[i] = fmt.Sprintf("$%d", first+i)
	}
	return strings.Join(out, ", ")
}

// padded are the values of such a list: what is missing is nobody's.
func padded(values []string) []any {
	out := make([]any, atOnce)
	for i := range out {
		out[i] = ""
		if i < len(values) {
			out[i] = values[i]
		}
	}
	return out
}

var (
	seenQuery = `
		SELECT person_id, MAX(CASE WHEN seen_at > started_at THEN seen_at ELSE started_at END)
		FROM   session WHERE person_id IN (` + marks(1) + `) GROUP BY person_id`
	toldQuery = `SELECT login, MAX(used_at) FROM outside_use WHERE login IN (` + marks(1) + `) GROUP BY login`
	restQuery = `
		SELECT person_id, kind, since, until, 1 FROM standing WHERE person_id IN (` + marks(1) + `)
		UNION ALL
		SELECT person_id, kind, since, until, 0 FROM standing_past WHERE person_id IN (` + marks(1) + `)`
	bookQuery = `SELECT ` + rowColumns + ` FROM dormancy WHERE person_id IN (` + marks(1) + `)`
)

// A known is what the store knows of one ID.
type known struct {
	seen, told time.Time
	rests      []Span       // leave and suspensions, also those that are over
	closed     []closedSpan // which of them stand as they were recorded
	sealed     bool         // an emergency ID of the register
	dormantAt  time.Time    // closed as dormant, by whomever
	row        row
}

// A closedSpan is a stretch of time that is recorded against somebody.
type closedSpan struct {
	kind standing.Kind
	Span
}

// holds is why an ID is held back by what is recorded of it; "" for nothing.
func (k known) holds(at time.Time) Hold {
	var hold Hold
	for _, c := range k.closed {
		switch {
		case at.Before(c.From) && c.kind == standing.OnLeave, !c.Until.IsZero() && !at.Before(c.Until):
		case c.kind == standing.OnLeave:
			return OnLeave
		default:
			hold = Suspended
		}
	}
	return hold
}

// knows asks the store about some people.
func (b *Book) knows(ctx context.Context, in store.Reader, people []directory.Person) (map[directory.PersonID]known, error) {
	var ids, logins []string
	for _, p := range people {
		ids, logins = append(ids, string(p.ID)), append(logins, directory.Canonical(p.Login))
	}
	out := make(map[directory.PersonID]known, len(people))
	pair := func(query, what string, keys []string) (map[string]time.Time, error) {
		found := map[string]time.Time{}
		_, err := store.All(ctx, in, what, func(r store.Row) (struct{}, error) {
			var (
				key string
				at  int64
			)
			err := r.Scan(&key, &at)
			found[key] = store.FromMicros(at)
			return struct{}{}, err
		}, query, padded(keys)...)
		return found, err
	}
	seen, err := pair(seenQuery, "sessions", ids)
	if err != nil {
		return nil, err
	}
	told, err := pair(toldQuery, "what other systems told of", logins)
	if err != nil {
		return nil, err
	}
	sealed := map[string]bool{}
	if b.Sealed != nil {
		if sealed, err = b.Sealed.Among(ctx, in, logins); err != nil {
			return nil, err
		}
	}
	for i, p := range people {
		out[p.ID] = known{seen: seen[ids[i]], told: told[logins[i]], sealed: sealed[logins[i]]}
	}
	_, err = store.All(ctx, in, "who is on leave or suspended", func(r store.Row) (struct{}, error) {
		var (
			id                   directory.PersonID
			kind                 standing.Kind
			since, until, stands int64
		)
		if err := r.Scan(&id, &kind, &since, &until, &stands); err != nil {
			return struct{}{}, err
		}
		k, span := out[id], Span{store.FromMicros(since), store.FromMicros(until)}
		switch {
		case kind == standing.Dormant:
			k.dormantAt = span.From
		case stands == 1:
			k.closed = append(k.closed, closedSpan{kind, span})
			k.rests = append(k.rests, span)
		default:
			k.rests = append(k.rests, span)
		}
		out[id] = k
		return struct{}{}, nil
	}, restQuery, padded(ids)...)
	if err != nil {
		return nil, err
	}
	rows, err := store.All(ctx, in, "what was done about IDs", scanRow, bookQuery, padded(ids)...)
	for _, r := range rows {
		k := out[r.person]
		k.row = r
		out[r.person] = k
	}
	return out, err
}

// judge is an entry: what follows for somebody from what directory and store know.
func (b *Book) judge(p *policy.Policy, who directory.Person, k known, asOf time.Time) (Entry, Judgement) {
	e := evidence(who)
	e.Seen, e.Told, e.Rests, e.Reopened = k.seen, k.told, k.rests, k.row.reopenedAt
	past := Past{k.row.warnedAt, k.row.disabledAt}
	if past.DisabledAt.IsZero() {
		past.DisabledAt = k.dormantAt
	}
	switch e.Held = k.holds(asOf); {
	case b.own(who):
		e.Held = Own
	case k.sealed:
		e.Held = Sealed
	case who.Protected:
		e.Held = Guarded
	}
	class := ClassOf(p, who)
	_, exempt := p.Dormancy.Exempt(who.Login, asOf)
	j := Judge(e, past, p.Dormancy.DaysOf(class), exempt, asOf)
	out := Entry{
		Person: who.ID, Login: who.Login, Name: who.Name, Section: who.Section, Company: who.Company, Kind: who.Kind, Class: class,
		CreatedAt: who.Account.CreatedAt, LastUse: j.LastUse, Since: j.Since, Unused: j.Unused, Stage: j.Stage, Hold: j.Hold,
	}
	switch {
	case who.Account.Disabled && k.row.disabledAt.IsZero(), !who.Account.Usable(asOf) && k.row.disabledAt.IsZero():
		// Closed by somebody else, or at its end: whoever did that answers for it.
	case j.Stage == Warned && (past.WarnedAt.IsZero() || past.WarnedAt.Before(j.Since)):
		out.Act = Warn
	case j.Stage == Disabled && past.DisabledAt.IsZero():
		out.Act = Disable
	case j.Stage == Deleted && k.row.stage == rowDisabled && k.row.effect == "" && asOf.After(k.row.keptUntil):
		out.Act = Propose
	}
	return out, j
}

// evidence is what the directory alone knows of somebody's use.
func evidence(p directory.Person) Evidence {
	return Evidence{CreatedAt: p.Account.CreatedAt, Directory: p.Account.LastUsedAt, Lag: p.Account.LastUsedLag}
}

// A tally is a sweep's reading: how many IDs there are of each section, class and
// age, and who waits for the store to be asked.
type tally struct {
	Answer
	counts  map[place]int
	waiting []directory.Person
	book    map[directory.PersonID]bool   // who has a row that is not closed
	held    map[directory.PersonID]bool   // who was to be dealt with before, and was held back
	factors map[directory.PersonID]bool   // who has a factor and was not met yet
	buried  map[string]directory.PersonID // logins of IDs that were deleted, and whose they were
	found   []Finding
	owned   []directory.Person // IDs that others answer for, by number
}

type place struct {
	section string
	class   policy.DormancyClass
	age     Age
}

// list is what was counted.
func (t *tally) list() []Count {
	var out []Count
	for p, n := range t.counts {
		out = append(out, Count{p.section, p.class, p.age, n})
	}
	return out
}

// read goes through the directory and gives the sink each ID that is idle, or that
// something was done about. It holds a page of people, not all. Nothing counts before
// it has returned nil.
// told are uses beside those that the store knows of, by login; nil for none.
func (b *Book) read(ctx context.Context, asOf time.Time, told map[string]time.Time, sink func(context.Context, []Entry) error, progress func(context.Context, int) error) (*tally, error) {
	p := b.Policy()
	classes := newClasses(p)
	t := &tally{counts: map[place]int{}}
	var err error
	if t.book, err = b.onBook(ctx); err != nil {
		return nil, err
	}
	if t.held, err = b.heldSince(ctx); err != nil {
		return nil, err
	}
	if t.factors, err = b.withFactors(ctx); err != nil {
		return nil, err
	}
	if t.buried, err = b.buried(ctx); err != nil {
		return nil, err
	}
	flush := func() error {
		if len(t.waiting) == 0 {
			return nil
		}
		k, err := b.knows(ctx, b.DB, t.waiting)
		if err != nil {
			return err
		}
		var entries []Entry
		for _, who := range t.waiting {
			one := k[who.ID]
			if told != nil {
				one.told = latest(one.told, told[directory.Canonical(who.Login)])
			}
			e, j := b.judge(p, who, one, asOf)
			t.counts[place{who.Section, e.Class, AgeOf(j)}]++
			if j.Unused >= idle || e.Act != "" || e.Stage != InUse || e.Hold != "" {
				entries = append(entries, e)
			}
			t.note(who, e, one.row)
			if (e.Act == Warn || e.Act == Disable) && !t.held[who.ID] {
				t.Acts++
			}
		}
		t.waiting = t.waiting[:0]
		return sink(ctx, entries)
	}
	err = b.Directory.Stream(ctx, func(who directory.Person) error {
		t.People++
		if !who.Account.LastUsedAt.IsZero() {
			t.Dated++
		}
		delete(t.factors, who.ID)
		t.odd(p, who, asOf)
		// Whom the directory alone shows to be in use, the store need not be asked
		// about: what it could say would only make them younger.
		class := classes.of(who)
		j := Judge(evidence(who), Past{}, p.Dormancy.DaysOf(class), false, asOf)
		was, buried := t.buried[directory.Canonical(who.Login)]
		if j.Unused < min(idle, p.Dormancy.DaysOf(class).WarnDays) && j.Hold == "" && !t.book[who.ID] && !(buried && was == who.ID) {
			t.counts[place{who.Section, class, Age30}]++
		} else {
			t.waiting = append(t.waiting, who)
		}
		if len(t.waiting) == atOnce {
			if err := flush(); err != nil {
				return err
			}
		}
		if t.People%progressEvery == 0 && progress != nil {
			return progress(ctx, t.People)
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

const (
	// progressEvery is after how many people a sweep looks whether to say that it lives:
	// a directory that takes its time for each is asked for fewer than these in a minute
	// by nobody.
	progressEvery = 100
	// tellEvery is after how many of them it is told at a terminal.
	tellEvery = 2000
)

// onBook are those that something was done about and who are still there.
func (b *Book) onBook(ctx context.Context) (map[directory.PersonID]bool, error) {
	return b.people(ctx, "what was done about IDs", `SELECT person_id FROM dormancy WHERE stage IN ('warned', 'disabled', 'deleting')`)
}

// heldSince are those whom a sweep was to deal with and held back, and that is still so:
// they are a finding, and no reason to ask somebody each day whether they are too many.
func (b *Book) heldSince(ctx context.Context) (map[directory.PersonID]bool, error) {
	return b.people(ctx, "who is held back", `SELECT subject FROM lifecycle_finding WHERE closed_at = 0 AND kind IN ('nobody_told', 'last_of_post')`)
}

// withFactors are those who have a factor here.
func (b *Book) withFactors(ctx context.Context) (map[directory.PersonID]bool, error) {
	return b.people(ctx, "who has a factor", `
		SELECT person FROM totp_device UNION SELECT person FROM passkey UNION SELECT person_id FROM card WHERE removed_at = 0`)
}

func (b *Book) people(ctx context.Context, what, query string) (map[directory.PersonID]bool, error) {
	rows, err := b.DB.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	defer rows.Close()
	out := map[directory.PersonID]bool{}
	for rows.Next() {
		var id directory.PersonID
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("reading %s: %w", what, err)
		}
		out[id] = true
	}
	return out, rows.Err()
}
