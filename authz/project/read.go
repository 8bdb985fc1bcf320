package project

import (
	"context"
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

// Counts are how many IDs are, or at its end were, bound to a project.
type Counts struct {
	Responsible, Workers  int
	Closed, Held, Pending int // at its end
}

// A Wait is something that waits for a second person.
type Wait struct {
	Matter            string
	What              string // Extend, Bind or Release
	Person            Ref    // whom it is about; the zero Ref for Extend
	Role              Role   // of Bind
	Until             time.Time
	Requester         Ref
	Reason            string
	AskedAt, LapsesAt time.Time
}

// A Shown is a project as somebody sees it.
type Shown struct {
	Project
	Now     time.Time // State(Now) is what is shown
	Members []Member  // with those that were released; of one project alone (Show)
	Counts  Counts
	// Responsible are those who answer for it.
	Responsible []Ref
	LastUse     map[directory.PersonID]time.Time // of Show; nil: the directory did not say
	MayAct      bool                             // the reader registers, binds and completes there
	Waiting     []Wait
	StepUp      *account.StepUp // the sign-in that acting takes first; nil: the present one does
}

// A Query says which projects are listed. Its zero fields do not restrict.
type Query struct {
	State   State
	Section string
	Text    string // part of an id, a name, a company or a contract
	After   string // the id of the last project before
	Limit   int    // 0: 100
}

const mostListed = 200

// A view is what somebody may see, worked out once for an answer.
type view struct {
	p        *policy.Policy
	by       approval.Approver
	now      time.Time
	all      bool
	sections []string
	acts     []string // in which they act
}

func (b *Book) seeing(by approval.Approver) view {
	v := view{p: b.Policy(), by: by, now: b.Now()}
	v.all = MaySee(v.p, "", by.Holder, v.now) // projects of a section that nobody knows any more
	for _, s := range v.p.Sections {
		if MaySee(v.p, s.ID, by.Holder, v.now) {
			v.sections = append(v.sections, s.ID)
		}
		if MayAct(v.p, s.ID, by.Holder, v.now) {
			v.acts = append(v.acts, s.ID)
		}
	}
	return v
}

func (v view) sees(p Project) bool { return v.all || slices.Contains(v.sections, p.Section) }

// May reports whether the pages have a use for somebody who holds these posts.
func (b *Book) May(who approval.Holder) bool {
	v := b.seeing(approval.Approver{Holder: who})
	return v.all || len(v.sections) > 0
}

// Sections are those in which the reader may register projects.
func (b *Book) Sections(ctx context.Context, o signin.Origin, cookie string) ([]string, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	return b.seeing(by).acts, nil
}

func noneOfYours() *Refusal {
	return no(Forbidden, "no_post", "案件は、室課の情報システム管理者及び情報セキュリティ管理者、部局の情報セキュリティ責任者、CIO、CSIRT並びに監査の役割を持つ方が見ます。",
		"Projects are for administrators and security managers of sections, officers of departments, the CIO, the CSIRT and auditors.", "12-2", "67-1")
}

// List are the projects that the reader sees, by id; next is Query.After of the next page,
// "" for none.
func (b *Book) List(ctx context.Context, o signin.Origin, cookie string, q Query) ([]Shown, string, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, "", err
	}
	return b.ListAs(ctx, by, q)
}

// ListAs is List for somebody who is known already.
func (b *Book) ListAs(ctx context.Context, by approval.Approver, q Query) (out []Shown, next string, err error) {
	v := b.seeing(by)
	if !v.all && len(v.sections) == 0 {
		return nil, "", b.refuse(ctx, by, Project{}, noneOfYours())
	}
	if q.Limit <= 0 || q.Limit > mostListed {
		q.Limit = 100
	}
	where, args := v.sieve(q)
	args = append(args, q.Limit+1)
	found, err := projects(ctx, b.DB, where+` ORDER BY id LIMIT $`+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, "", err
	}
	if len(found) > q.Limit {
		found = found[:q.Limit]
		next = found[q.Limit-1].ID
	}
	counts, err := countsOf(ctx, b.DB, found)
	if err != nil {
		return nil, "", err
	}
	leads, err := responsibles(ctx, b.DB, found)
	if err != nil {
		return nil, "", err
	}
	for _, p := range found {
		one, err := b.shown(ctx, v, p)
		if err != nil {
			return nil, "", err
		}
		one.Counts, one.Responsible = counts[p.ID], leads[p.ID]
		out = append(out, one)
	}
	return out, next, nil
}

// sieve is the condition on rows that a query and the reader's view say.
func (v view) sieve(q Query) (where string, args []any) {
	where = `1 = 1`
	and := func(cond string, values ...any) {
		for _, value := range values {
			args = append(args, value)
			cond = strings.ReplaceAll(cond, "?", "$"+strconv.Itoa(len(args)))
		}
		where += " AND " + cond
	}
	if !v.all {
		var in string
		in, args = marks(args, v.sections)
		where += " AND section IN (" + in + ")"
	}
	switch q.State {
	case Running:
		and("completed_at = 0 AND until_at > ?", store.Micros(v.now))
	case Over:
		and("completed_at = 0 AND until_at <= ?", store.Micros(v.now))
	case Completed:
		and("completed_at > 0")
	}
	if q.Section != "" {
		and("section = ?", q.Section)
	}
	if q.After != "" {
		and("id > ?", q.After)
	}
	if text := strings.ToLower(strings.TrimSpace(q.Text)); text != "" {
		part := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
		and(`(id LIKE ? ESCAPE '\' OR LOWER(body) LIKE ? ESCAPE '\')`, part)
	}
	return where, args
}

// shown is a project as a view sees it, without its members.
func (b *Book) shown(ctx context.Context, v view, p Project) (Shown, error) {
	one := Shown{Project: p, Now: v.now, MayAct: MayAct(v.p, p.Section, v.by.Holder, v.now), StepUp: v.by.Elevated(v.p, v.now)}
	var err error
	one.Waiting, err = b.waiting(ctx, b.DB, p.ID)
	return one, err
}

// Show is one project with all who are and were bound to it. ErrNotFound also where it is
// not the reader's to see.
func (b *Book) Show(ctx context.Context, o signin.Origin, cookie, id string) (Shown, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Shown{}, err
	}
	return b.ShowAs(ctx, by, id)
}

// ShowAs is Show for somebody who is known already.
func (b *Book) ShowAs(ctx context.Context, by approval.Approver, id string) (Shown, error) {
	v := b.seeing(by)
	p, err := projectOf(ctx, b.DB, id)
	if err != nil {
		return Shown{}, err
	}
	if !v.sees(p) {
		if err := b.refuse(ctx, by, p, noneOfYours()); !isRefusal(err) {
			return Shown{}, err
		}
		return Shown{}, ErrNotFound
	}
	out, err := b.shown(ctx, v, p)
	if err != nil {
		return Shown{}, err
	}
	if out.Members, err = members(ctx, b.DB, `m.project = $1 ORDER BY m.role, m.login, m.bound_at, m.id`, id); err != nil {
		return Shown{}, err
	}
	counts, err := countsOf(ctx, b.DB, []Project{p})
	if err != nil {
		return Shown{}, err
	}
	out.Counts = counts[id]
	for i := range out.Members {
		m := &out.Members[i]
		if m.Bound() && m.Role == Responsible {
			out.Responsible = append(out.Responsible, m.Person)
		}
		if m.Bound() && m.dealtAt.IsZero() && p.State(v.now) != Running {
			m.Closed = Pending
		}
	}
	out.LastUse, err = b.lastUses(ctx, out.Members)
	b.complain(ctx, "reading when IDs were last used", err)
	return out, nil
}

func (b *Book) lastUses(ctx context.Context, all []Member) (map[directory.PersonID]time.Time, error) {
	var ids []directory.PersonID
	for _, m := range all {
		if m.Bound() {
			ids = append(ids, m.Person.ID)
		}
	}
	if len(ids) == 0 {
		return map[directory.PersonID]time.Time{}, nil
	}
	people, err := b.Directory.Several(ctx, ids)
	if err != nil {
		return nil, err
	}
	return b.IDs.LastUses(ctx, people)
}

// countsOf counts the IDs that are bound to some projects.
func countsOf(ctx context.Context, in store.Reader, of []Project) (map[string]Counts, error) {
	ids := make([]string, len(of))
	for i, p := range of {
		ids[i] = p.ID
	}
	these, args := marks(nil, ids)
	out := map[string]Counts{}
	_, err := store.All(ctx, in, "how many IDs projects have", func(r store.Row) (struct{}, error) {
		var (
			id, closed string
			role       Role
			n          int
		)
		if err := r.Scan(&id, &role, &closed, &n); err != nil {
			return struct{}{}, err
		}
		c := out[id]
		if role == Responsible {
			c.Responsible += n
		} else {
			c.Workers += n
		}
		switch {
		case closed == Closed:
			c.Closed += n
		case closed == Pending:
			c.Pending += n
		case strings.HasPrefix(closed, heldBy):
			c.Held += n
		}
		out[id] = c
		return struct{}{}, nil
	}, `SELECT project, role, closed, COUNT(*) FROM project_member WHERE unbound_at = 0 AND project IN (`+these+`) GROUP BY project, role, closed`, args...)
	return out, err
}

// Levels are what is told of projects as a whole.
type Levels struct {
	Projects map[State]int
	Held     int       // IDs that their project's end could not close
	Pending  int       // that are still to be closed
	Ends     int       // of accounts that the directory is still to be told
	Since    time.Time // the oldest of them
}

// Levels reads them.
func (b *Book) Levels(ctx context.Context) (Levels, error) {
	now := store.Micros(b.Now())
	out := Levels{Projects: map[State]int{}}
	var running, over, completed int
	var since int64
	err := b.DB.QueryRow(ctx, `
		SELECT COUNT(CASE WHEN completed_at = 0 AND until_at > $1 THEN 1 END), COUNT(CASE WHEN completed_at = 0 AND until_at <= $1 THEN 1 END), COUNT(CASE WHEN completed_at > 0 THEN 1 END)
		FROM   project`, now).Scan(&running, &over, &completed)
	if err != nil {
		return out, err
	}
	out.Projects[Running], out.Projects[Over], out.Projects[Completed] = running, over, completed
	err = b.DB.QueryRow(ctx, `
		SELECT COUNT(CASE WHEN m.closed LIKE 'held:%' THEN 1 END), COUNT(CASE WHEN m.dealt_at = 0 AND (p.completed_at > 0 OR p.until_at <= $1) THEN 1 END)
		FROM   project_member m JOIN project p ON p.id = m.project WHERE m.unbound_at = 0`, now).Scan(&out.Held, &out.Pending)
	if err != nil {
		return out, err
	}
	err = b.DB.QueryRow(ctx, `SELECT COUNT(*), COALESCE(MIN(since_at), 0) FROM project_end WHERE due_at > 0`).Scan(&out.Ends, &since)
	out.Since = store.FromMicros(since)
	return out, err
}
