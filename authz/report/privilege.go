package report

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/authz/grant"
	"sekisho/policy"
)

// A RecordState is how far the work record of a use has come (article 49-1).
type RecordState string

// The states of a record.
const (
	NoRecord      RecordState = "none"    // none is owed
	RecordOwed    RecordState = "owed"    // it is, and not late
	RecordOverdue RecordState = "overdue" // it is late
	RecordWritten RecordState = "written" // nobody has countersigned it
	RecordSigned  RecordState = "countersigned"
)

var recordWords = map[RecordState]policy.Words{
	NoRecord: {JA: "不要", EN: "none owed"}, RecordOwed: {JA: "未提出", EN: "owed"}, RecordOverdue: {JA: "期限超過", EN: "overdue"},
	RecordWritten: {JA: "提出済み", EN: "written"}, RecordSigned: {JA: "確認済み", EN: "countersigned"},
}

// recordOf is how far the record of a lease has come.
func recordOf(l grant.Lease, now time.Time) RecordState {
	switch {
	case !l.Record.At.IsZero():
		return RecordSigned
	case !l.Record.WrittenAt.IsZero():
		return RecordWritten
	case l.Overdue(now):
		return RecordOverdue
	}
	if _, owed := l.Owed(now); owed {
		return RecordOwed
	}
	return NoRecord
}

// A Use is one lease: who asked for what, who said so, and how long they had it.
type Use struct {
	grant.Lease
	Decisions []approval.Decision
	// More is what was asked for beyond that, in that order, with what was said on it.
	More []Extension
	// Until is when it was over, or will be by itself; zero where it never was active.
	Until time.Time
	// Held is for how long it was active within the period.
	Held time.Duration
}

// An Extension is more time that somebody asked for while they had it.
type Extension struct {
	approval.Matter
	Decisions []approval.Decision
}

// useOf counts what of a lease lies in a period, up to now.
func useOf(l grant.Lease, made []approval.Decision, at Period, now time.Time) Use {
	u := Use{Lease: l, Decisions: made}
	if l.StartedAt.IsZero() {
		return u
	}
	over, ended := l.Over(now)
	if u.Until = l.EndsAt(); ended {
		u.Until = over
	}
	u.Held = u.within(at, now)
	return u
}

// within is for how long it was active in a stretch of time, up to now.
func (u Use) within(at Period, now time.Time) time.Duration {
	until := u.Until
	if until.After(now) {
		until = now
	}
	d, _ := at.Of(u.StartedAt, until)
	return d
}

// A Week is how long privilege was held in the seven days from a Monday in Japan.
type Week struct {
	Monday    time.Time
	In        Period // what of it is in the report's period
	Uses      int    // that were active in it
	Emergency int
	Held      time.Duration
}

// weeksOf are the weeks that a period touches, up to now. An hour of two people at once
// is two hours.
func weeksOf(uses []Use, at Period, now time.Time) []Week {
	local := at.From.In(japan)
	monday := time.Date(local.Year(), local.Month(), local.Day()-(int(local.Weekday())+6)%7, 0, 0, 0, 0, japan)
	var out []Week
	for ; monday.Before(at.To) && !monday.After(now); monday = monday.AddDate(0, 0, 7) {
		whole := Period{monday, monday.AddDate(0, 0, 7)}
		if whole.From.Before(at.From) {
			whole.From = at.From
		}
		if whole.To.After(at.To) {
			whole.To = at.To
		}
		w := Week{Monday: monday, In: Period{whole.From.UTC(), whole.To.UTC()}}
		for _, u := range uses {
			if d := u.within(whole, now); !u.StartedAt.IsZero() && d > 0 {
				w.Uses++
				w.Held += d
				if u.Emergency {
					w.Emergency++
				}
			}
		}
		out = append(out, w)
	}
	return out
}

// A Sum is what was lent of one privilege, or to one section.
type Sum struct {
	ID                                           string
	Asked, Used, Emergency, Denied, Owed, Living int
	Held                                         time.Duration
}

// sums adds up uses by what key says, the longest held first.
func sums(uses []Use, key func(Use) string, now time.Time) []Sum {
	by := map[string]*Sum{}
	for _, u := range uses {
		s := by[key(u)]
		if s == nil {
			s = &Sum{ID: key(u)}
			by[s.ID] = s
		}
		s.Asked++
		if !u.StartedAt.IsZero() {
			s.Used++
		}
		if u.Emergency {
			s.Emergency++
		}
		state := u.State(now)
		if state == grant.Denied {
			s.Denied++
		}
		if state == grant.Active {
			s.Living++
		}
		if r := recordOf(u.Lease, now); r == RecordOwed || r == RecordOverdue {
			s.Owed++
		}
		s.Held += u.Held
	}
	var out []Sum
	for _, s := range by {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Sum) int {
		return cmp.Or(cmp.Compare(b.Held, a.Held), cmp.Compare(b.Asked, a.Asked), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// A Standing is privilege that somebody has without a lease.
type Standing struct {
	elevate.Finding
	Section string
}

// Privilege is who borrowed what in a period (articles 62-6 and 49): uses, the newest
// first, and what somebody had without borrowing it.
type Privilege struct {
	Period   Period
	AsOf     time.Time
	Uses     []Use
	Weeks    []Week
	Kinds    []Sum // by privilege
	Sections []Sum
	Standing []Standing
	Cut      bool // there are more findings of such privilege

	policy *policy.Policy
}

func (r *Reader) privilege(ctx context.Context, at Period, scope Scope) (Document, error) {
	now := r.Now()
	d := Privilege{Period: at, AsOf: now, policy: r.Policy()}
	err := grant.Between(ctx, r.DB, at.From, at.To, now, func(some []grant.Lease) error {
		some = slices.DeleteFunc(some, func(l grant.Lease) bool { return !scope.Sees(d.policy, l.By.Section) })
		matters := make([]string, 0, len(some))
		for _, l := range some {
			if l.Matter != "" {
				matters = append(matters, l.Matter)
			}
		}
		made, err := approval.DecisionsOn(ctx, r.DB, matters)
		for _, l := range some {
			d.Uses = append(d.Uses, useOf(l, made[l.Matter], at, now))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := r.extended(ctx, d.Uses); err != nil {
		return nil, err
	}
	slices.Reverse(d.Uses)
	d.Weeks = weeksOf(d.Uses, at, now)
	d.Kinds = sums(d.Uses, func(u Use) string { return u.Lease.Privilege }, now)
	d.Sections = sums(d.Uses, func(u Use) string { return u.By.Section }, now)
	found, err := elevate.Since(ctx, r.DB, at.From, r.most)
	if err != nil {
		return nil, err
	}
	d.Cut = len(found) == r.most
	sectionOf := r.remembered()
	for _, f := range found {
		if f.Kind != elevate.Membership && f.Kind != elevate.Enabled || !f.FoundAt.Before(at.To) {
			continue
		}
		section, err := sectionOf(ctx, f.Login)
		if err != nil {
			return nil, err
		}
		if scope.Sees(d.policy, section) {
			d.Standing = append(d.Standing, Standing{f, section})
		}
	}
	return d, nil
}

// mostAsked bounds of how many matters one question is.
const mostAsked = 500

// extended adds to uses what more time was asked for in each.
func (r *Reader) extended(ctx context.Context, uses []Use) error {
	var first time.Time
	at := map[string]int{}
	for i, u := range uses {
		if u.StartedAt.IsZero() {
			continue
		}
		if at[u.ID] = i; first.IsZero() || u.StartedAt.Before(first) {
			first = u.StartedAt
		}
	}
	if first.IsZero() {
		return nil
	}
	all, err := approval.AskedSince(ctx, r.DB, grant.KindExtension, first)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(m approval.Matter) bool { _, ok := at[m.Detail["lease"]]; return !ok })
	for some := range slices.Chunk(all, mostAsked) {
		ids := make([]string, len(some))
		for i, m := range some {
			ids[i] = m.ID
		}
		made, err := approval.DecisionsOn(ctx, r.DB, ids)
		if err != nil {
			return err
		}
		for _, m := range some {
			u := &uses[at[m.Detail["lease"]]]
			u.More = append(u.More, Extension{m, made[m.ID]})
		}
	}
	return nil
}

// minutes is how much more was asked for.
func (e Extension) minutes() int {
	n, _ := strconv.Atoi(e.Detail["minutes"]) // written by grant
	return n
}

// more is what was said on more time, as a cell: how much, and by whom.
func (u Use) more() string {
	var out []string
	for _, e := range u.More {
		out = append(out, strings.TrimSpace("+"+strconv.Itoa(e.minutes())+" "+said(e.Decisions)))
	}
	return strings.Join(out, "; ")
}

// hours are a duration as reports have it.
func hours(d time.Duration) float64 { return d.Hours() }

var leaseWords = map[grant.State]policy.Words{
	grant.Pending: {JA: "承認待ち", EN: "pending"}, grant.Approved: {JA: "承認済み", EN: "approved"}, grant.Active: {JA: "貸出中", EN: "active"},
	grant.Ended: {JA: "返却", EN: "given back"}, grant.Expired: {JA: "期限切れ", EN: "expired"}, grant.Revoked: {JA: "取消し", EN: "revoked"},
	grant.Denied: {JA: "却下", EN: "denied"}, grant.Cancelled: {JA: "取下げ", EN: "cancelled"}, grant.Lapsed: {JA: "失効", EN: "lapsed"},
}

var yesNo = map[bool]policy.Words{true: {JA: "はい", EN: "yes"}, false: {JA: "", EN: ""}}

// said is who decided, as a cell.
func said(made []approval.Decision) string {
	var out []string
	for _, m := range made {
		name := cmp.Or(m.By.Name, m.By.Login)
		if !m.Yes {
			name = "× " + name
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}

// Report is the report in sheets, in a language.
func (d Privilege) Report(lang string) Report {
	nameOf := func(id string) string {
		if v, ok := d.policy.Privilege(id); ok {
			return v.Name.In(lang)
		}
		return id
	}
	weeks := Sheet{ID: "weeks", Name: policy.Words{JA: "週ごとの貸出時間", EN: "Hours lent each week"}, Bar: 1, Columns: []Column{
		column("week", "週の始まり（月曜）", "week from Monday"), column("hours", "時間", "hours"), column("uses", "件数", "uses"), column("emergency", "緊急", "emergency"),
	}}
	// What was held in a week is what the report of that week says was held in it.
	held := func(n int, w Week, emergency string) Lead {
		of := Filter{"held": "yes"}
		if emergency != "" {
			of["emergency"] = emergency
		}
		return Lead{Figure: Figure{n, of}, In: w.In}
	}
	for _, w := range d.Weeks {
		weeks.Rows = append(weeks.Rows, []any{w.Monday.In(japan).Format(time.DateOnly), hours(w.Held), held(w.Uses, w, ""), held(w.Emergency, w, "yes")})
	}
	sum := func(id string, name policy.Words, key, ja, en string, all []Sum, says func(string) string) Sheet {
		s := Sheet{ID: id, Name: name, Bar: 1, Columns: []Column{
			column(key, ja, en), column("hours", "時間", "hours"), column("asked", "申請", "asked for"), column("active", "貸出中", "active"),
			column("emergency", "緊急", "emergency"), column("denied", "却下", "denied"), column("owed", "記録の未提出", "records owed"),
		}}
		for _, one := range all {
			of := func(more ...string) Filter {
				f := Filter{key: one.ID}
				for i := 0; i+1 < len(more); i += 2 {
					f[more[i]] = more[i+1]
				}
				return f
			}
			s.Rows = append(s.Rows, []any{
				Coded{says(one.ID), one.ID}, hours(one.Held), Figure{one.Asked, of()}, Figure{one.Living, of("state", string(grant.Active))},
				Figure{one.Emergency, of("emergency", "yes")}, Figure{one.Denied, of("state", string(grant.Denied))}, Figure{one.Owed, of("owed", "yes")},
			})
		}
		return s
	}
	kinds := sum("privileges", policy.Words{JA: "特権別", EN: "By privilege"}, "privilege", "特権", "privilege", d.Kinds, nameOf)
	sections := sum("sections", policy.Words{JA: "室課別", EN: "By section"}, "section", "室課", "section", d.Sections, func(id string) string { return sectionName(d.policy, id, lang) })
	holders := Sheet{ID: "holders", Name: policy.Words{JA: "だれが何をいつまで", EN: "Who holds what until when"}, Bar: -1, From: 3, Until: 4, Columns: []Column{
		column("login", "借りている人", "borrower"), column("privilege", "特権", "privilege"), column("section", "室課", "section"), column("started_at", "始まり", "began"), column("ends_at", "終わり", "ends"), column("lease", "申請", "request"),
	}}
	standing := Sheet{ID: "standing", Name: policy.Words{JA: "借りずに持っている特権", EN: "Privilege held without a lease"}, Bar: -1, Columns: []Column{
		column("login", "ID", "login"), column("section", "室課", "section"), column("privilege", "特権", "privilege"), column("place", "場所", "place"),
		column("found_at", "見つけた日時", "found"), column("removed_at", "取り除いた日時", "taken away"), column("closed_at", "解消した日時", "closed"),
	}}
	for _, s := range d.Standing {
		standing.Rows = append(standing.Rows, []any{cmp.Or(s.Login, s.Subject), Coded{sectionName(d.policy, s.Section, lang), s.Section}, nameOf(s.Finding.Privilege), s.Place, s.FoundAt, s.RemovedAt, s.ClosedAt})
	}
	entries := Sheet{ID: "entries", Name: policy.Words{JA: "貸出し一覧", EN: "Uses"}, Bar: -1, Columns: []Column{
		column("lease", "申請", "request"), column("login", "ログイン名", "login"), column("name", "氏名", "name"), column("section", "室課", "section"), column("privilege", "特権", "privilege"),
		column("state", "状態", "state"), column("emergency", "緊急", "emergency"), column("reason", "理由", "reason"), column("asked_at", "申請した日時", "asked for"),
		column("started_at", "始まり", "began"), column("ended_at", "終わり", "ended"), column("minutes", "分", "minutes"), column("decided_by", "承認した人", "decided by"),
		column("owed", "記録の未提出", "record owed"), column("record", "作業記録", "work record"), column("record_due", "記録の期限", "record due"),
		column("extensions", "延長（分、判断した人）", "more time (minutes, decided by)"), column("held", "期間内の利用", "held in the period"),
	}}
	for _, u := range d.Uses {
		emergency, owed := Coded{yesNo[u.Emergency].In(lang), "no"}, Coded{"", "no"}
		if u.Emergency {
			emergency.Code = "yes"
		}
		within := Coded{"", "no"}
		if u.Held > 0 {
			within = Coded{yesNo[true].In(lang), "yes"}
		}
		record := recordOf(u.Lease, d.AsOf)
		if record == RecordOwed || record == RecordOverdue {
			owed = Coded{yesNo[true].In(lang), "yes"}
		}
		due, _ := u.Owed(d.AsOf)
		state := u.State(d.AsOf)
		if state == grant.Active {
			holders.Rows = append(holders.Rows, []any{cmp.Or(u.By.Name, u.By.Login), Coded{nameOf(u.Lease.Privilege), u.Lease.Privilege}, Coded{sectionName(d.policy, u.By.Section, lang), u.By.Section}, u.StartedAt, u.Until, Ref{short(u.ID), ToLease, u.ID}})
		}
		entries.Rows = append(entries.Rows, []any{
			Ref{short(u.ID), ToLease, u.ID}, u.By.Login, u.By.Name, Coded{sectionName(d.policy, u.By.Section, lang), u.By.Section}, Coded{nameOf(u.Lease.Privilege), u.Lease.Privilege},
			Coded{leaseWords[state].In(lang), string(state)}, emergency, u.Reason, u.AskedAt, u.StartedAt, u.Until, int(u.Held.Minutes()), said(u.Decisions),
			owed, Coded{recordWords[record].In(lang), string(record)}, due, u.more(), within,
		})
	}
	return Report{
		Name: OfPrivilege, Title: Titles[OfPrivilege], AsOf: d.AsOf, Period: d.Period, Articles: articlesOf[OfPrivilege],
		Notes: append([]policy.Words{{
			JA: "時間は期間内に貸し出されていた長さです。二人が同時に借りれば二倍に数えます。", EN: "Hours are those lent within the period; an hour of two people at once is two.",
		}}, cutNotes(d.Cut)...),
		Sheets: []Sheet{weeks, kinds, sections, holders, standing, entries},
	}
}

// short is as much of an id as a person compares.
func short(id string) string { return id[:min(len(id), 8)] }
