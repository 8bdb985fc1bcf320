package page

import (
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

type leasesPage struct {
	Rooms      []room
	Owed       []leaseLine
	Live       []leaseLine
	Open       []leaseLine // asked for or approved
	Privileges []privilegeLine
	Past       []leaseLine
	Next       string
	Articles   []policy.Article
}

type privilegeLine struct {
	ID, Name  string
	Gives     []string
	Usual     string
	Approvers string
	Tags      []tag
	Why       string // it cannot be asked for now
	Articles  []policy.Article
	Emergency bool // it can be taken without approval, now
}

// leases shows what one has, owes and waits for, and what one may ask for.
func (h *house) leases(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	lent, err := h.Desk.Privileges(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/leases")
	}
	waiting, err := h.Desk.Waiting(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/leases")
	}
	list, err := h.Desk.Leases(r.Context(), r.Origin, r.Cookie, desk.Filter{Mine: true, After: r.URL.Query().Get("after"), Limit: pastLeases})
	if err != nil {
		return h.turned(w, r, err, "/leases")
	}
	p := leasesPage{Rooms: h.counters(r, step, "leases"), Articles: []policy.Article{"62-6", "62-7", "65"}}
	for _, l := range waiting.Owed {
		p.Owed = append(p.Owed, h.leaseLine(r, l))
	}
	for _, l := range waiting.Own {
		if l.Live(h.srv.Now()) {
			p.Live = append(p.Live, h.leaseLine(r, l))
		} else if l.State == desk.Pending || l.State == desk.Approved {
			p.Open = append(p.Open, h.leaseLine(r, l))
		}
	}
	for _, one := range lent {
		p.Privileges = append(p.Privileges, h.privilegeLine(r, one))
	}
	for _, l := range list.Leases {
		if !l.Live(h.srv.Now()) && l.State != desk.Pending && l.State != desk.Approved {
			p.Past = append(p.Past, h.leaseLine(r, l))
		}
	}
	if list.Next != "" {
		p.Next = "/leases?" + url.Values{"after": {list.Next}}.Encode()
	}
	v := h.view(r, step, p)
	v.Wide, v.Ticks, v.Notice = true, len(p.Live) > 0, h.deskDone(r)
	return h.show(w, r, http.StatusOK, "leases", v)
}

// pastLeases is how many are read for the page of one's own.
const pastLeases = 20

func (h *house) privilegeLine(r *web.Request, one desk.Privilege) privilegeLine {
	g := h.tongue(r)
	line := privilegeLine{
		ID: one.ID, Name: r.Say(one.Name), Gives: inWords(r, one.Gives), Usual: g.lasting(one.Usual), Approvers: h.approvers(r, one),
		Why: r.Say(one.Refused.Why), Articles: one.Refused.Articles, Emergency: one.Emergency && one.RefusedAtOnce.Why.IsEmpty(),
	}
	if one.TwoPerson {
		line.Tags = append(line.Tags, tag{g.say("leases.two_person"), "plain"})
	}
	if one.WorkRecord {
		line.Tags = append(line.Tags, tag{g.say("leases.work_record"), "plain"})
	}
	return line
}

// approvers says who decides, in a line.
func (h *house) approvers(r *web.Request, one desk.Privilege) string {
	g := h.tongue(r)
	if one.Decided {
		return g.say("leases.decided")
	}
	names := postNames(r, one.Approvers)
	if one.All && len(names) > 1 {
		return strings.Join(names, g.say("leases.and"))
	}
	says := strings.Join(names, g.say("leases.or"))
	if one.Quorum > 1 {
		says += g.say("leases.quorum", "N", one.Quorum)
	}
	return says
}

func inWords(r *web.Request, words []policy.Words) []string {
	var out []string
	for _, w := range words {
		if s := r.Say(w); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// A leaseLine is a lease in a list.
type leaseLine struct {
	ID, Name, Reason string
	Who, Login       string
	Section          string
	State            tag
	Tags             []tag
	At               template.HTML // asked for, or begun
	Until            template.HTML // its end, or until when it may be decided or begun; "" for none
	Left             clockFace     // while it lives
	Lasted           string
	Due              template.HTML // of the record
	Overdue          bool
	Next             string // what it waits for
	May              map[string]bool
	Missing          int
}

// A clockFace is how long something still lasts: what stood when the page was
// made, and the seconds from which the script goes on.
type clockFace struct {
	Seconds int
	Says    string // 1:05:09
}

func (c clockFace) Runs() bool { return c.Says != "" }

func face(left time.Duration) clockFace {
	s := int(max(0, left) / time.Second)
	two := func(n int) string {
		if n < 10 {
			return "0" + strconv.Itoa(n)
		}
		return strconv.Itoa(n)
	}
	return clockFace{s, strconv.Itoa(s/3600) + ":" + two(s/60%60) + ":" + two(s%60)}
}

func (h *house) leaseLine(r *web.Request, l desk.Lease) leaseLine {
	g, now := h.tongue(r), h.srv.Now()
	line := leaseLine{
		ID: l.ID, Name: r.Say(l.Privilege.Name), Reason: l.Reason, Who: l.Requester.Name, Login: l.Requester.Login,
		Section: sectionName(r, l.Requester.Section), State: h.leaseState(r, l), May: map[string]bool{}, Missing: l.Missing,
	}
	if line.Who == "" {
		line.Who = line.Login
	}
	for a, may := range l.May {
		line.May[string(a)] = may.OK
	}
	line.At = g.near(l.RequestedAt, now)
	if !l.StartedAt.IsZero() {
		line.At = g.near(l.StartedAt, now)
	}
	switch {
	case l.Live(now):
		line.Until, line.Left = g.near(l.EndsAt, now), face(l.EndsAt.Sub(now))
	case l.State == desk.Pending && !l.LapsesAt.IsZero():
		line.Until, line.Next = g.near(l.LapsesAt, now), g.say("lease.waits_decision")
	case l.State == desk.Approved:
		line.Next = g.say("lease.waits_start")
		if l.Privilege.TwoPerson {
			line.Next = g.say("lease.waits_two")
		}
		if !l.ApprovedUntil.IsZero() {
			line.Until = g.near(l.ApprovedUntil, now)
		}
	}
	if end := ended(l); !l.StartedAt.IsZero() && !end.IsZero() && end.After(l.StartedAt) {
		line.Lasted = g.lasting(end.Sub(l.StartedAt))
	}
	if l.Emergency {
		line.Tags = append(line.Tags, tag{g.say("lease.emergency"), "bad"})
	}
	if l.Paused {
		line.Tags = append(line.Tags, tag{g.say("lease.paused"), "warn"})
	}
	if l.Record.Owed {
		line.Overdue = !l.Record.Due.IsZero() && !now.Before(l.Record.Due)
		if !l.Record.Due.IsZero() {
			line.Due = g.near(l.Record.Due, now)
		}
	}
	return line
}

// ended is when a lease was over; zero while it lives or never began.
func ended(l desk.Lease) time.Time {
	switch l.State {
	case desk.Expired, desk.Ended, desk.Revoked:
		if !l.EndedAt.IsZero() {
			return l.EndedAt
		}
		return l.EndsAt
	}
	return time.Time{}
}

// leaseState says how far a lease has come. One whose end has come is over,
// whatever its row still says.
func (h *house) leaseState(r *web.Request, l desk.Lease) tag {
	g := h.tongue(r)
	if l.State == desk.Active && !l.Live(h.srv.Now()) {
		l.State = desk.Expired
	}
	switch l.State {
	case desk.Approved:
		return tag{Says: g.say("lease.approved")}
	case desk.Active:
		return tag{Says: g.say("lease.active")}
	case desk.Ended:
		return tag{g.say("lease.ended"), "plain"}
	case desk.Expired:
		return tag{g.say("lease.expired"), "plain"}
	}
	return g.askedState(l.State)
}

// askedState says how far anything has come that is asked for and decided, where
// leases and permits are in one case.
func (g *tongue) askedState(s desk.State) tag {
	switch s {
	case desk.Pending:
		return tag{g.say("lease.pending"), "warn"}
	case desk.Revoked:
		return tag{g.say("lease.revoked"), "bad"}
	case desk.Denied:
		return tag{g.say("lease.denied"), "bad"}
	case desk.Cancelled:
		return tag{g.say("lease.cancelled"), "plain"}
	case desk.Lapsed:
		return tag{g.say("lease.lapsed"), "plain"}
	}
	return tag{string(s), "bad"}
}

func leasePath(id string) string { return "/leases/" + url.PathEscape(id) }
