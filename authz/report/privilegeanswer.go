package report

import (
	"time"

	"sekisho/authz/approval"
)

// PrivilegeAnswer is the report for programs.
type PrivilegeAnswer struct {
	AsOf       *time.Time       `json:"as_of"`
	From       *time.Time       `json:"from"`
	To         *time.Time       `json:"to"`
	Weeks      []WeekAnswer     `json:"weeks"`
	Privileges []SumAnswer      `json:"privileges"`
	Sections   []SumAnswer      `json:"sections"`
	Standing   []StandingAnswer `json:"standing"`
	Cut        bool             `json:"findings_cut"` // there are more findings of such privilege
	Items      []UseAnswer      `json:"items"`        // the newest first
	Next       *string          `json:"next"`         // give it as after= for the rest; null at the end
}

// A WeekAnswer is one week's.
type WeekAnswer struct {
	Monday    string `json:"monday"` // the day in Japan
	Seconds   int64  `json:"seconds"`
	Uses      int    `json:"uses"`
	Emergency int    `json:"emergency"`
}

// A SumAnswer is one privilege's or section's.
type SumAnswer struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Seconds   int64  `json:"seconds"`
	Asked     int    `json:"asked"`
	Used      int    `json:"used"`
	Active    int    `json:"active"`
	Emergency int    `json:"emergency"`
	Denied    int    `json:"denied"`
	Owed      int    `json:"records_owed"`
}

// A StandingAnswer is privilege that somebody had without a lease.
type StandingAnswer struct {
	Login     string     `json:"login"`
	Subject   string     `json:"subject"` // DN
	Section   string     `json:"section"`
	Privilege string     `json:"privilege"`
	Place     string     `json:"place"` // DN
	FoundAt   *time.Time `json:"found_at"`
	RemovedAt *time.Time `json:"removed_at"`
	ClosedAt  *time.Time `json:"closed_at"` // null: it is still so
}

// A UseAnswer is one lease.
type UseAnswer struct {
	ID        string           `json:"id"`
	Privilege string           `json:"privilege"`
	Login     string           `json:"login"`
	Name      string           `json:"name"`
	Section   string           `json:"section"`
	Reason    string           `json:"reason"`
	State     string           `json:"state"`
	Emergency bool             `json:"emergency"`
	AskedAt   *time.Time       `json:"asked_at"`
	StartedAt *time.Time       `json:"started_at"`
	EndedAt   *time.Time       `json:"ended_at"` // or when it ends by itself; null: it was never active
	Seconds   int64            `json:"seconds"`  // active within the period
	Decisions []DecisionAnswer `json:"decisions"`
	More      []MoreAnswer     `json:"extensions"` // more time that was asked for
	Record    string           `json:"record"`     // none, owed, overdue, written or countersigned
	RecordDue *time.Time       `json:"record_due"`
}

// A MoreAnswer is more time that somebody asked for.
type MoreAnswer struct {
	AskedAt   *time.Time       `json:"asked_at"`
	Minutes   int              `json:"minutes"`
	Reason    string           `json:"reason"`
	State     string           `json:"state"` // pending, approved, denied, cancelled or lapsed
	Decisions []DecisionAnswer `json:"decisions"`
}

// A DecisionAnswer is one person's word.
type DecisionAnswer struct {
	By       string     `json:"by"`
	Post     string     `json:"post"`
	How      string     `json:"how"`
	Approved bool       `json:"approved"`
	At       *time.Time `json:"at"`
}

func decisionsOf(made []approval.Decision) []DecisionAnswer {
	out := []DecisionAnswer{}
	for _, m := range made {
		out = append(out, DecisionAnswer{m.By.Login, string(m.Post), string(m.How), m.Yes, stamp(m.At)})
	}
	return out
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Answer is the report for programs.
func (d Privilege) Answer(after string, most int) any {
	out := PrivilegeAnswer{
		AsOf: stamp(d.AsOf), From: stamp(d.Period.From), To: stamp(d.Period.To), Cut: d.Cut,
		Weeks: []WeekAnswer{}, Privileges: []SumAnswer{}, Sections: []SumAnswer{}, Standing: []StandingAnswer{}, Items: []UseAnswer{},
	}
	for _, w := range d.Weeks {
		out.Weeks = append(out.Weeks, WeekAnswer{w.Monday.In(japan).Format(time.DateOnly), seconds(w.Held), w.Uses, w.Emergency})
	}
	sum := func(s Sum, name string) SumAnswer {
		return SumAnswer{s.ID, name, seconds(s.Held), s.Asked, s.Used, s.Living, s.Emergency, s.Denied, s.Owed}
	}
	for _, s := range d.Kinds {
		v, _ := d.policy.Privilege(s.ID)
		out.Privileges = append(out.Privileges, sum(s, v.Name.JA))
	}
	for _, s := range d.Sections {
		out.Sections = append(out.Sections, sum(s, sectionName(d.policy, s.ID, "ja")))
	}
	for _, s := range d.Standing {
		out.Standing = append(out.Standing, StandingAnswer{s.Login, s.Subject, s.Section, s.Finding.Privilege, s.Place, stamp(s.FoundAt), stamp(s.RemovedAt), stamp(s.ClosedAt)})
	}
	some, next := page(d.Uses, after, most, func(u Use) string { return u.ID })
	out.Next = next
	for _, u := range some {
		due, _ := u.Owed(d.AsOf)
		more := []MoreAnswer{}
		for _, e := range u.More {
			more = append(more, MoreAnswer{stamp(e.AskedAt), e.minutes(), e.Reason, string(e.State(d.AsOf)), decisionsOf(e.Decisions)})
		}
		out.Items = append(out.Items, UseAnswer{
			u.ID, u.Lease.Privilege, u.By.Login, u.By.Name, u.By.Section, u.Reason, string(u.State(d.AsOf)), u.Emergency, stamp(u.AskedAt), stamp(u.StartedAt), stamp(u.Until),
			seconds(u.Held), decisionsOf(u.Decisions), more, string(recordOf(u.Lease, d.AsOf)), stamp(due),
		})
	}
	return out
}

// Has reports whether an entry is in it.
func (d Privilege) Has(id string) bool {
	return has(d.Uses, id, func(u Use) string { return u.ID })
}
