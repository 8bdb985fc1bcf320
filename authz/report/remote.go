package report

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/authz/approval"
	"sekisho/authz/permit"
	"sekisho/authz/remote/radius"
	"sekisho/directory"
	"sekisho/policy"
)

// A Permission is a permit for access from outside, and what was made of it.
type Permission struct {
	permit.Permit
	Decisions []approval.Decision
	Sessions  int // of the period, that its holder came from outside with
}

// A Visit is a session from outside.
type Visit struct {
	session.Session
	Section string
	Until   time.Time // when it was over; zero: it goes on
	// Gear is what let it in, of those that came through gear.
	Gear              string
	BytesIn, BytesOut int64
}

// visitOf says when a session was over, whether or not anybody wrote it down: by the
// first of its ends that came.
func visitOf(n session.Session, section string, now time.Time) Visit {
	v := Visit{Session: n, Section: section}
	for _, end := range []time.Time{n.EndedAt, n.ExpiresAt, n.IdleExpiresAt} {
		if !end.IsZero() && !now.Before(end) && (v.Until.IsZero() || end.Before(v.Until)) {
			v.Until = end
		}
	}
	return v
}

// Remote is who may come from outside, and who came (article 63): permits, the newest
// first, and sessions, the newest first.
type Remote struct {
	Period   Period
	AsOf     time.Time
	Permits  []Permission
	Visits   []Visit
	Sections []RemoteSum

	policy *policy.Policy
}

// A RemoteSum is one section's.
type RemoteSum struct {
	Section                                    string
	Permits, Live, Pending, Over, Never, Visit int
}

func (r *Reader) remote(ctx context.Context, at Period, scope Scope) (Document, error) {
	now := r.Now()
	d := Remote{Period: at, AsOf: now, policy: r.Policy()}
	sections := map[directory.PersonID]string{}
	err := permit.Between(ctx, r.DB, policy.PermitRemote, at.From, at.To, func(some []permit.Permit) error {
		some = slices.DeleteFunc(some, func(m permit.Permit) bool { return !scope.Sees(d.policy, m.Person.Section) })
		matters := make([]string, 0, len(some))
		for _, m := range some {
			if sections[m.Person.ID] = m.Person.Section; m.Matter != "" {
				matters = append(matters, m.Matter)
			}
		}
		made, err := approval.DecisionsOn(ctx, r.DB, matters)
		for _, m := range some {
			d.Permits = append(d.Permits, Permission{Permit: m, Decisions: made[m.Matter]})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	gear, err := radius.Between(ctx, r.DB, at.From, at.To)
	if err != nil {
		return nil, err
	}
	through := map[string]radius.Remote{}
	for _, g := range gear {
		through[g.ID] = g
	}
	came := map[directory.PersonID]int{}
	err = session.Outside(ctx, r.DB, at.From, at.To, func(n session.Session) error {
		section, known := sections[n.Person]
		if !known {
			if section, err = r.sectionOf(ctx, n.Login); err != nil {
				return err
			}
			sections[n.Person] = section
		}
		if !scope.Sees(d.policy, section) {
			return nil
		}
		v := visitOf(n, section, now)
		if g, ok := through[n.ID]; ok {
			v.Gear, v.BytesIn, v.BytesOut = g.Client, g.Told.BytesIn, g.Told.BytesOut
			if !g.EndedAt.IsZero() {
				v.Until = g.EndedAt
			}
		}
		came[n.Person]++
		d.Visits = append(d.Visits, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, m := range d.Permits {
		d.Permits[i].Sessions = came[m.Person.ID]
	}
	slices.Reverse(d.Permits)
	slices.Reverse(d.Visits)
	d.Sections = remoteSums(d.Permits, d.Visits, now)
	return d, nil
}

// NeverUsed reports whether a permit was in force, and nobody came by it. One that was
// revoked before it began never was.
func (m Permission) NeverUsed(now time.Time) bool {
	return !m.DecidedAt.IsZero() && m.UsedAt.IsZero() && !now.Before(m.From) && m.EndsAt().After(m.From) && m.State(now) != permit.Denied
}

// over reports whether a permit with this state was approved and is so no more.
func over(s permit.State) bool {
	return s == permit.Ended || s == permit.Expired || s == permit.Revoked
}

func remoteSums(permits []Permission, visits []Visit, now time.Time) []RemoteSum {
	by := map[string]*RemoteSum{}
	of := func(section string) *RemoteSum {
		if by[section] == nil {
			by[section] = &RemoteSum{Section: section}
		}
		return by[section]
	}
	for _, m := range permits {
		s := of(m.Person.Section)
		s.Permits++
		switch state := m.State(now); {
		case state == permit.Approved:
			s.Live++
		case state == permit.Pending:
			s.Pending++
		case over(state):
			s.Over++
		}
		if m.NeverUsed(now) {
			s.Never++
		}
	}
	for _, v := range visits {
		of(v.Section).Visit++
	}
	var out []RemoteSum
	for _, s := range by {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b RemoteSum) int {
		return cmp.Or(cmp.Compare(b.Permits, a.Permits), cmp.Compare(b.Visit, a.Visit), cmp.Compare(a.Section, b.Section))
	})
	return out
}

var permitWords = map[permit.State]policy.Words{
	permit.Pending: {JA: "承認待ち", EN: "pending"}, permit.Approved: {JA: "許可中", EN: "approved"}, permit.Ended: {JA: "返却", EN: "given back"},
	permit.Expired: {JA: "期限切れ", EN: "expired"}, permit.Revoked: {JA: "取消し", EN: "revoked"}, permit.Denied: {JA: "却下", EN: "denied"},
	permit.Cancelled: {JA: "取下げ", EN: "cancelled"}, permit.Lapsed: {JA: "失効", EN: "lapsed"},
}

// Report is the report in sheets, in a language.
func (d Remote) Report(lang string) Report {
	section := func(id string) Coded { return Coded{sectionName(d.policy, id, lang), id} }
	sections := Sheet{ID: "sections", Name: policy.Words{JA: "室課別", EN: "By section"}, Bar: 1, Columns: []Column{
		column("section", "室課", "section"), column("permits", "許可", "permits"), column("live", "許可中", "approved"), column("pending", "承認待ち", "pending"), column("over", "終了", "over"),
		column("never_used", "一度も使われていない", "never used"), column("sessions", "接続", "sessions"),
	}}
	for _, s := range d.Sections {
		f := func(n int, more ...string) Figure {
			of := Filter{"section": s.Section}
			if len(more) == 2 {
				of[more[0]] = more[1]
			}
			return Figure{n, of}
		}
		sections.Rows = append(sections.Rows, []any{
			section(s.Section), f(s.Permits), f(s.Live, "state", string(permit.Approved)), f(s.Pending, "state", string(permit.Pending)), f(s.Over, "over", "yes"), f(s.Never, "never_used", "yes"), Lead{Figure: f(s.Visit), Sheet: "sessions"},
		})
	}
	holders := Sheet{ID: "holders", Name: policy.Words{JA: "だれがいつまで", EN: "Who may come until when"}, Bar: -1, From: 2, Until: 3, Columns: []Column{
		column("login", "許可を受けた人", "holder"), column("section", "室課", "section"), column("starts_at", "始まり", "from"), column("ends_at", "終わり", "until"), column("permit", "許可", "permit"),
	}}
	visits := Sheet{ID: "sessions", Lists: true, Name: policy.Words{JA: "外部からの接続の記録", EN: "Sessions from outside"}, Bar: -1, Columns: []Column{
		column("login", "ログイン名", "login"), column("name", "氏名", "name"), column("section", "室課", "section"), column("address", "接続元", "from"), column("gear", "機器", "gear"),
		column("terminal", "端末機", "terminal"), column("started_at", "始まり", "began"), column("last_used_at", "最後の利用", "last used"), column("ended_at", "終わり", "ended"),
	}}
	for _, v := range d.Visits {
		visits.Rows = append(visits.Rows, []any{v.Login, v.Name, section(v.Section), v.From, v.Gear, v.Terminal, v.StartedAt, v.SeenAt, v.Until})
	}
	entries := Sheet{ID: "entries", Name: policy.Words{JA: "許可一覧", EN: "Permits"}, Bar: -1, Columns: []Column{
		column("permit", "許可", "permit"), column("login", "ログイン名", "login"), column("name", "氏名", "name"), column("section", "室課", "section"), column("state", "状態", "state"), column("over", "終了", "over"),
		column("terminal", "端末機", "terminal"), column("applications", "システム", "applications"), column("reason", "理由", "reason"), column("starts_at", "始まり", "from"), column("ends_at", "終わり", "until"),
		column("decided_by", "承認した人", "decided by"), column("last_used_at", "最後の利用", "last used"), column("never_used", "一度も使われていない", "never used"), column("sessions", "期間内の接続", "sessions in the period"),
	}}
	for _, m := range d.Permits {
		state, never, done := m.State(d.AsOf), Coded{"", "no"}, Coded{"", "no"}
		if m.NeverUsed(d.AsOf) {
			never = Coded{yesNo[true].In(lang), "yes"}
		}
		if over(state) {
			done = Coded{yesNo[true].In(lang), "yes"}
		}
		if state == permit.Approved {
			holders.Rows = append(holders.Rows, []any{cmp.Or(m.Person.Name, m.Person.Login), section(m.Person.Section), m.From, m.Until, Ref{short(m.ID), ToPermit, m.ID}})
		}
		until := m.EndsAt()
		if until.IsZero() {
			until = m.Until
		}
		entries.Rows = append(entries.Rows, []any{
			Ref{short(m.ID), ToPermit, m.ID}, m.Person.Login, m.Person.Name, section(m.Person.Section), Coded{permitWords[state].In(lang), string(state)}, done, m.Stated.One("terminal"),
			strings.Join(m.Stated["applications"], ", "), m.Reason, m.From, until, said(m.Decisions), m.UsedAt, never, m.Sessions,
		})
	}
	return Report{
		Name: OfRemote, Title: Titles[OfRemote], AsOf: d.AsOf, Period: d.Period, Articles: articlesOf[OfRemote],
		Sheets: []Sheet{sections, holders, visits, entries},
	}
}

// RemoteAnswer is the report for programs.
type RemoteAnswer struct {
	AsOf     *time.Time         `json:"as_of"`
	From     *time.Time         `json:"from"`
	To       *time.Time         `json:"to"`
	Sections []RemoteSumAnswer  `json:"sections"`
	Sessions []VisitAnswer      `json:"sessions"` // the newest first
	Items    []PermissionAnswer `json:"items"`    // permits, the newest first
	Next     *string            `json:"next"`     // give it as after= for the rest; null at the end
}

// A RemoteSumAnswer is one section's.
type RemoteSumAnswer struct {
	Section   string `json:"section"`
	Name      string `json:"name"`
	Permits   int    `json:"permits"`
	Live      int    `json:"live"`
	Pending   int    `json:"pending"`
	Over      int    `json:"over"`
	NeverUsed int    `json:"never_used"`
	Sessions  int    `json:"sessions"`
}

// A VisitAnswer is one session from outside.
type VisitAnswer struct {
	ID        string     `json:"id"`
	Login     string     `json:"login"`
	Name      string     `json:"name"`
	Section   string     `json:"section"`
	From      string     `json:"from"`
	Gear      string     `json:"gear"` // "" where none let it in
	Terminal  string     `json:"terminal"`
	StartedAt *time.Time `json:"started_at"`
	LastUse   *time.Time `json:"last_used_at"`
	EndedAt   *time.Time `json:"ended_at"` // null: it goes on
	BytesIn   int64      `json:"bytes_in"` // as the gear tells; 0 where none does
	BytesOut  int64      `json:"bytes_out"`
}

// A PermissionAnswer is one permit.
type PermissionAnswer struct {
	ID           string           `json:"id"`
	Login        string           `json:"login"`
	Name         string           `json:"name"`
	Section      string           `json:"section"`
	State        string           `json:"state"`
	Terminal     string           `json:"terminal"`
	Applications []string         `json:"applications"`
	Reason       string           `json:"reason"`
	From         *time.Time       `json:"from"`
	Until        *time.Time       `json:"until"`
	EndedAt      *time.Time       `json:"ended_at"`
	Decisions    []DecisionAnswer `json:"decisions"`
	LastUse      *time.Time       `json:"last_used_at"` // null: never
	NeverUsed    bool             `json:"never_used"`   // it was in force, and nobody came by it
	Sessions     int              `json:"sessions"`     // of its holder from outside, within the period
}

// Answer is the report for programs.
func (d Remote) Answer(after string, most int) any {
	out := RemoteAnswer{
		AsOf: stamp(d.AsOf), From: stamp(d.Period.From), To: stamp(d.Period.To), Sections: []RemoteSumAnswer{}, Sessions: []VisitAnswer{}, Items: []PermissionAnswer{},
	}
	for _, s := range d.Sections {
		out.Sections = append(out.Sections, RemoteSumAnswer{s.Section, sectionName(d.policy, s.Section, "ja"), s.Permits, s.Live, s.Pending, s.Over, s.Never, s.Visit})
	}
	for _, v := range d.Visits {
		out.Sessions = append(out.Sessions, VisitAnswer{v.ID, v.Login, v.Name, v.Section, v.From, v.Gear, v.Terminal, stamp(v.StartedAt), stamp(v.SeenAt), stamp(v.Until), v.BytesIn, v.BytesOut})
	}
	some, next := page(d.Permits, after, most, func(m Permission) string { return m.ID })
	out.Next = next
	for _, m := range some {
		applications := m.Stated["applications"]
		if applications == nil {
			applications = []string{}
		}
		out.Items = append(out.Items, PermissionAnswer{
			m.ID, m.Person.Login, m.Person.Name, m.Person.Section, string(m.State(d.AsOf)), m.Stated.One("terminal"), applications, m.Reason,
			stamp(m.From), stamp(m.Until), stamp(m.EndedAt), decisionsOf(m.Decisions), stamp(m.UsedAt), m.NeverUsed(d.AsOf), m.Sessions,
		})
	}
	return out
}

// Has reports whether an entry is in it.
func (d Remote) Has(id string) bool {
	return has(d.Permits, id, func(m Permission) string { return m.ID })
}
