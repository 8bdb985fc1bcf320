package recertify

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A Part is what of a round belongs to one section.
type Part struct {
	Section string
	States  map[LineState]int
	Mine    int  // lines that wait and are put before the reader
	May     bool // the reader may decide there by their post
}

// Of is how many lines it has, and how many of them wait.
func (p Part) Of() (all, open int) {
	for _, n := range p.States {
		all += n
	}
	return all, p.States[Waits]
}

// A Shown is a round as somebody sees it.
type Shown struct {
	Round
	Ends  time.Time // at the earliest
	Parts []Part    // those that the reader sees, by section
	Mine  int
}

// A view is what somebody may see and decide, worked out once for an answer.
type view struct {
	p       *policy.Policy
	by      approval.Approver
	now     time.Time
	all     bool // they see every section
	apex    bool // they decide about the CIO
	heights map[string]int
}

// seeing is the view of somebody.
func (b *Book) seeing(by approval.Approver) view {
	v := view{p: b.Policy(), by: by, now: b.Now(), heights: map[string]int{}}
	_, top := Line{}.Over(v.p, by.Holder, v.now) // over a section that nobody knows, the CIO alone is
	_, v.apex = Line{Apex: true}.Over(v.p, by.Holder, v.now)
	v.all = top || audits(v.p, by.Posts)
	if audits(v.p, by.Posts) {
		v.apex = false
		return v
	}
	for _, s := range v.p.Sections {
		if height, ok := (Line{Person: Ref{Section: s.ID}}).Over(v.p, by.Holder, v.now); ok {
			v.heights[s.ID] = height
		}
	}
	return v
}

// any reports whether there is anything for them to see.
func (v view) any() bool { return v.all || v.apex || len(v.heights) > 0 }

// height is how far above a section they stand.
func (v view) height(section string) (int, bool) {
	if h, ok := v.heights[section]; ok {
		return h, true
	}
	if _, known := v.p.Section(section); !known && v.all && !audits(v.p, v.by.Posts) {
		return topmost, true
	}
	return 0, false
}

// mine reports whether lines of a section that are raised so far are put before them.
func (v view) mine(section string, raised int) bool {
	if raised == besideTop {
		return v.apex
	}
	h, ok := v.height(section)
	return ok && h <= raised
}

// sees reports whether they see a line of a section.
func (v view) sees(section string) bool {
	_, ok := v.height(section)
	return v.all || ok
}

// sieve is the condition on rows that view.sees and, where only is set, view.mine say.
func (v view) sieve(only bool, args []any) (string, []any) {
	if v.all && !only {
		return "", args
	}
	mark := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	byHeight := map[int][]string{}
	for section, h := range v.heights {
		byHeight[h] = append(byHeight[h], section)
	}
	parts := []string{"1 = 0"}
	for h := range topmost + 1 {
		sections := byHeight[h]
		if len(sections) == 0 {
			continue
		}
		slices.Sort(sections)
		marks := make([]string, len(sections))
		for i, s := range sections {
			marks[i] = mark(s)
		}
		cond := "section IN (" + strings.Join(marks, ", ") + ")"
		if only {
			cond += " AND raised >= " + strconv.Itoa(h) + " AND raised <> " + strconv.Itoa(besideTop)
		}
		parts = append(parts, cond)
	}
	if v.apex {
		parts = append(parts, "raised = "+strconv.Itoa(besideTop))
	}
	if v.all && only && !audits(v.p, v.by.Posts) { // sections that nobody knows are the CIO's
		parts = append(parts, "raised = "+strconv.Itoa(topmost))
	}
	return " AND (" + strings.Join(parts, " OR ") + ")", args
}

// May reports whether anything is there for somebody who holds these posts.
func (b *Book) May(who approval.Holder) bool { return b.seeing(approval.Approver{Holder: who}).any() }

// Waiting counts the lines that are put before the reader.
func (b *Book) Waiting(ctx context.Context, o signin.Origin, cookie string) (int, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return 0, err
	}
	return b.waitingFor(ctx, by)
}

func (b *Book) waitingFor(ctx context.Context, by approval.Approver) (int, error) {
	v := b.seeing(by)
	if !v.any() {
		return 0, nil
	}
	where, args := v.sieve(true, []any{string(by.Person.ID)})
	var n int
	err := b.DB.QueryRow(ctx, `
		SELECT COUNT(*) FROM recertify_line
		WHERE  campaign IN (SELECT id FROM recertify_campaign WHERE state IN ('open', 'halted')) AND state = 'open' AND person_id <> $1`+where, args...).Scan(&n)
	return n, err
}

// mostRounds is how many rounds are listed.
const mostRounds = 30

// Rounds are those that the reader sees, the open ones first, each with its sections.
func (b *Book) Rounds(ctx context.Context, o signin.Origin, cookie string) ([]Shown, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	return b.roundsFor(ctx, by)
}

func (b *Book) roundsFor(ctx context.Context, by approval.Approver) ([]Shown, error) {
	v := b.seeing(by)
	if !v.any() {
		return nil, b.refuse(ctx, by, Round{}, noneOfYours())
	}
	all, err := rounds(ctx, b.DB, `state <> 'freezing' ORDER BY CASE WHEN state IN ('open', 'halted', 'ending') THEN 0 ELSE 1 END, began_at DESC, id LIMIT $1`, mostRounds)
	if err != nil {
		return nil, err
	}
	var out []Shown
	for _, r := range all {
		one, err := b.shown(ctx, v, r)
		if err != nil {
			return nil, err
		}
		if len(one.Parts) > 0 || v.all {
			out = append(out, one)
		}
	}
	return out, nil
}

func noneOfYours() *Refusal {
	return no(Forbidden, "no_post", "棚卸しは、室課の情報セキュリティ管理者、部局の情報セキュリティ責任者、CIO及び監査の役割を持つ方が見ます。",
		"Recertifications are for security managers of sections, officers of departments, the CIO and auditors.", "12-2", "13-1")
}

// shown is a round as a view sees it.
func (b *Book) shown(ctx context.Context, v view, r Round) (Shown, error) {
	out := Shown{Round: r, Ends: r.EndsAt(r.Deadline, v.now)}
	parts := map[string]*Part{}
	_, err := store.All(ctx, b.DB, "how a recertification stands", func(row store.Row) (struct{}, error) {
		var (
			section string
			state   LineState
			raised  int
			own     int
			n       int
		)
		if err := row.Scan(&section, &state, &raised, &own, &n); err != nil || !v.sees(section) && !(v.apex && raised == besideTop) {
			return struct{}{}, err
		}
		p := parts[section]
		if p == nil {
			p = &Part{Section: section, States: map[LineState]int{}}
			_, p.May = v.height(section)
			parts[section] = p
		}
		p.States[state] += n
		if state == Waits && own == 0 && v.mine(section, raised) {
			p.Mine += n
			out.Mine += n
		}
		return struct{}{}, nil
	}, `SELECT section, state, raised, CASE WHEN person_id = $2 THEN 1 ELSE 0 END AS own, COUNT(*) FROM recertify_line WHERE campaign = $1 GROUP BY section, state, raised, own`,
		r.ID, string(v.by.Person.ID))
	for _, p := range parts {
		out.Parts = append(out.Parts, *p)
	}
	slices.SortFunc(out.Parts, func(a, b Part) int { return cmp.Compare(a.Section, b.Section) })
	return out, err
}

// A Query says which lines of a round are read. Its zero fields do not restrict.
type Query struct {
	Section string
	State   LineState
	Mine    bool   // that are put before the reader
	After   string // the id of the last line before
	Limit   int    // 0: 100
}

// A Seen is a line as somebody sees it.
type Seen struct {
	Line
	No *Refusal // why they do not decide it; nil: they may
	// UsedSince is when the ID was last used since the round began, in a round that is
	// open still; zero: it was not, as far as Sekisho has seen.
	UsedSince time.Time
}

// A Sheet is one page of a round's lines.
type Sheet struct {
	Shown
	Lines  []Seen
	Next   string          // Query.After of the next page; "": this is the last
	StepUp *account.StepUp // the sign-in that deciding takes first; nil: the present one does
	Alone  int             // how many lines more the reader ends without a second person
}

// Sheet reads a page of a round's lines, by section and login.
func (b *Book) Sheet(ctx context.Context, o signin.Origin, cookie, round string, q Query) (Sheet, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Sheet{}, err
	}
	return b.sheetFor(ctx, by, round, q)
}

func (b *Book) sheetFor(ctx context.Context, by approval.Approver, round string, q Query) (Sheet, error) {
	v := b.seeing(by)
	r, err := roundOf(ctx, b.DB, round)
	if err == nil && r.State == Freezing {
		err = ErrNotFound
	}
	if err != nil {
		return Sheet{}, err
	}
	if !v.any() {
		return Sheet{}, b.refuse(ctx, by, r, noneOfYours())
	}
	if q.Limit <= 0 || q.Limit > MostAtOnce {
		q.Limit = 100
	}
	out := Sheet{StepUp: by.Elevated(v.p, v.now)}
	if out.Shown, err = b.shown(ctx, v, r); err != nil {
		return Sheet{}, err
	}
	if r.State.takes() {
		s, err := b.soleOf(ctx, r, by)
		if err != nil {
			return Sheet{}, err
		}
		out.Alone = max(0, s.most-s.ended)
	}
	found, err := b.found(ctx, v, r.ID, q)
	if err != nil {
		return Sheet{}, err
	}
	if len(found) > q.Limit {
		found = found[:q.Limit]
		out.Next = found[q.Limit-1].ID
	}
	since, err := b.usedSince(ctx, r, found)
	if err != nil {
		return Sheet{}, err
	}
	for _, l := range found {
		one := Seen{Line: l, UsedSince: since[l.Person.ID]}
		switch {
		case l.State != Waits:
			one.No = decidedRefusal(l)
		case !r.State.takes():
			one.No = overRefusal()
		default:
			one.No = MayDecide(v.p, l, by.Holder, v.now)
		}
		out.Lines = append(out.Lines, one)
	}
	return out, nil
}

// usedSince is when those whom lines are about were last used since the round began, as
// Sekisho itself has seen and other systems have told: the directory, which may know of
// more, is not asked for a page. Of a permit the room of permits knows.
func (b *Book) usedSince(ctx context.Context, r Round, all []Line) (map[directory.PersonID]time.Time, error) {
	if !r.State.takes() || r.Kind == policy.RecertifyPermits || len(all) == 0 {
		return nil, nil
	}
	var people []directory.Person
	asked := map[directory.PersonID]bool{}
	for _, l := range all {
		if !asked[l.Person.ID] {
			asked[l.Person.ID] = true
			people = append(people, directory.Person{ID: l.Person.ID, Login: l.Person.Login})
		}
	}
	out, err := b.IDs.LastUses(ctx, people)
	maps.DeleteFunc(out, func(_ directory.PersonID, at time.Time) bool { return !at.After(r.BeganAt) })
	return out, err
}

// found are the lines that a query means, and one more where there is one.
func (b *Book) found(ctx context.Context, v view, round string, q Query) ([]Line, error) {
	where, args := v.sieve(q.Mine, []any{round})
	and := func(cond string, values ...any) {
		for _, value := range values {
			args = append(args, value)
			cond = strings.Replace(cond, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		where += " AND " + cond
	}
	if q.Mine {
		and("person_id <> ?", string(v.by.Person.ID))
	}
	if q.Section != "" {
		and("section = ?", q.Section)
	}
	if q.State != "" {
		and("state = ?", string(q.State))
	}
	if q.After != "" {
		and("(section, login, id) > (SELECT section, login, id FROM recertify_line WHERE campaign = ? AND id = ?)", round, q.After)
	}
	args = append(args, q.Limit+1)
	return lines(ctx, b.DB, `campaign = $1`+where+` ORDER BY section, login, id LIMIT $`+strconv.Itoa(len(args)), args...)
}

// Each calls each for every line of a round that the reader sees, some at a time, and
// enters on the trail that they have taken them away.
func (b *Book) Each(ctx context.Context, o signin.Origin, cookie, round string, each func(Round, Line) error) error {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return err
	}
	return b.eachFor(ctx, by, round, each)
}

func (b *Book) eachFor(ctx context.Context, by approval.Approver, round string, each func(Round, Line) error) error {
	v := b.seeing(by)
	r, err := roundOf(ctx, b.DB, round)
	if err != nil {
		return err
	}
	if !v.any() {
		return b.refuse(ctx, by, r, noneOfYours())
	}
	if need := by.Elevated(v.p, v.now); need != nil {
		return need
	}
	e := r.entry("recertify.read")
	e.Actor, e.From, e.RequestID, e.Terminal, e.Zone = by.Person.Login, by.From, by.RequestID, by.Terminal, string(by.Zone)
	if err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.Trail.Append(ctx, tx, e) }); err != nil {
		return err
	}
	for q := (Query{Limit: 500}); ; {
		some, err := b.found(ctx, v, r.ID, q)
		if err != nil || len(some) == 0 {
			return err
		}
		for _, l := range some {
			if err := each(r, l); err != nil {
				return err
			}
		}
		q.After = some[len(some)-1].ID
	}
}

// TakenFrom are the groups that somebody is being taken out of: it is decided, and the
// directory has yet to follow. A group that it keeps them in all the same counts until
// they are out of it, or a section confirms it at a later round.
func TakenFrom(ctx context.Context, in store.Reader, who directory.PersonID) ([]string, error) {
	return store.All(ctx, in, "groups that somebody is taken out of", func(r store.Row) (dn string, err error) {
		err = r.Scan(&dn)
		return dn, err
	}, `SELECT object FROM recertify_line l
	    WHERE  due_at > 0 AND person_id = $1 AND state IN ('agreed', 'ending', 'owed') AND object LIKE '%=%' AND object NOT LIKE '`+RuleObject+`%'
	    AND    NOT EXISTS (SELECT 1 FROM recertify_line n WHERE n.campaign IN (SELECT id FROM recertify_campaign) AND n.id = l.id AND n.state = 'confirmed' AND n.decided_at > l.decided_at)`, string(who))
}

// Levels are what is told of the rounds as a whole.
type Levels struct {
	Open    int // rounds that go on
	Overdue int // of them, past their deadline
	Halted  int // wait for somebody's decision
	Lines   map[LineState]int
}

// Levels reads them. Lines are those of rounds that go on, and of all rounds those that
// the directory or an administrator is still to end.
func (b *Book) Levels(ctx context.Context) (Levels, error) {
	out := Levels{Lines: map[LineState]int{}}
	going, err := rounds(ctx, b.DB, `state IN ('freezing', 'open', 'halted', 'ending')`)
	if err != nil {
		return out, err
	}
	for _, r := range going {
		out.Open++
		if !b.Now().Before(r.Deadline) {
			out.Overdue++
		}
		if r.State == Halted {
			out.Halted++
		}
	}
	_, err = store.All(ctx, b.DB, "how many lines wait", func(r store.Row) (struct{}, error) {
		var (
			state LineState
			n     int
		)
		err := r.Scan(&state, &n)
		out.Lines[state] = n
		return struct{}{}, err
	}, `SELECT state, COUNT(*) FROM recertify_line
	    WHERE  due_at > 0 OR campaign IN (SELECT id FROM recertify_campaign WHERE state IN ('open', 'halted', 'ending'))
	    GROUP  BY state`)
	return out, err
}
