package page

import (
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

type leasePage struct {
	Rooms []room
	leaseLine
	Mine           bool
	Minutes        int
	Ticket         string
	AskedAt        template.HTML
	Started, Ended template.HTML
	EndedBy        string
	EndReason      string
	Decisions      []decisionLine
	Asked          string
	Extending      bool
	Emergency      bool
	Times          int
	TwoPerson      bool
	Witness        string
	WitnessDue     template.HTML
	Paused         bool
	Resume         string // where to sign in anew, when the privileged session is over
	Account        string // the ID that it lends
	Cleaning       bool   // its end has not reached the directory yet
	Residual       []string
	Gives          []string
	Record         recordPart
	Judgement      judgementPart
	Acts           []leaseForm
	Refused        []refusedAct
	Articles       []policy.Article
	Uses           []useLine
	ReadsOthers    bool
}

type recordPart struct {
	Owed, Overdue bool
	Due           template.HTML
	Text          string
	WrittenAt     template.HTML
	By, Comment   string
	At            template.HTML
}

type judgementPart struct {
	By, Comment string
	At          template.HTML
}

type decisionLine struct {
	By, Comment, Says string
	Yes, Acting       bool
	At                template.HTML
}

type useLine struct {
	At            template.HTML
	For, Reason   string
	State         tag
	Tags          []tag
	Yes           bool
	Link, Minutes string
}

// A leaseForm is one act as the page offers it.
type leaseForm struct {
	Action, ID, Name, Brief string
	Danger, First           bool
	AsksMinutes             bool
	Most, Minutes           int
	Asks                    string // "", comment or report
	Label, Hint             string
	Must                    bool
	Typed                   string
	StepUp                  string // where to prove anew first; "" for no need
	Link                    string // the page where it is done, where that is another; "" for here
	AsksDone                bool   // when something was done, and who did it
	DoneAt, DoneBy, Today   string
}

type refusedAct struct {
	Name, Why string
	Articles  []policy.Article
}

// lease shows one lease: how far it has come, what is next, and what its reader
// may do.
func (h *house) lease(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	l, err := h.Desk.Lease(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return h.turned(w, r, err, r.URL.EscapedPath())
	}
	p := h.leasePage(r, step, l)
	h.typedBefore(r, step, leasePath(l.ID)).fill(p.Acts)
	v := h.view(r, step, p)
	v.Wide, v.Ticks, v.Notice = true, l.Live(h.srv.Now()), h.deskDone(r)
	return h.show(w, r, http.StatusOK, "lease", v)
}

func (h *house) leaseInstead(w http.ResponseWriter, r *web.Request) error {
	return redirect(w, r, leasePath(r.PathValue("id")), nil)
}

// leaseAct does one act on a lease. What is shown once is shown here; anything
// else stands on the lease's page.
func (h *house) leaseAct(a desk.Act) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		id := r.PathValue("id")
		said := desk.Said{Comment: strings.TrimSpace(r.PostForm.Get("comment")), Report: strings.TrimSpace(r.PostForm.Get("report"))}
		faults := h.saidFaults(r, a, &said)
		var lease desk.Lease
		if len(faults) == 0 {
			lease, err = h.Desk.Do(r.Context(), r.Origin, r.Cookie, id, a, said)
		}
		switch {
		case len(faults) > 0:
			return h.leaseAgain(w, r, step, a, refused{http.StatusUnprocessableEntity, faults, nil})
		case err != nil:
			if said, ok := h.inOffice(w, r, err); ok {
				return h.leaseAgain(w, r, step, a, said.placed(func(field string) string { return field + "-" + string(a) }))
			}
			return h.turned(w, r, err, leasePath(id))
		}
		h.dropTyped(r, step, leasePath(id))
		if step = raised(w, r, step, lease); !lease.Account.Password.IsEmpty() {
			return h.secretOnce(w, r, step, lease)
		}
		return redirect(w, r, leasePath(id), url.Values{"done": {string(a)}})
	}
}

// raised has the browser carry the handle that an activation gave it, and answers the
// step whose token goes with that.
func raised(w http.ResponseWriter, r *web.Request, step signin.Step, l desk.Lease) signin.Step {
	if l.Raised == nil {
		return step
	}
	web.WriteStep(w, r, *l.Raised)
	step.CSRF = l.Raised.CSRF
	return step
}

// saidFaults reads what an act was sent with.
func (h *house) saidFaults(r *web.Request, a desk.Act, s *desk.Said) []Fault {
	var faults []Fault
	field := func(name string) string { return name + "-" + string(a) }
	switch a {
	case desk.Report:
		return h.text(r, field("report"), s.Report, mostRecord, true)
	case desk.Extend:
		n, err := strconv.Atoi(narrowed(r.PostForm.Get("minutes")))
		if err != nil || n < 1 {
			faults = append(faults, Fault{field("minutes"), h.tongue(r).say("lease.minutes_wrong")})
		}
		s.Minutes = n
		return append(faults, h.text(r, field("comment"), s.Comment, mostReason, true)...)
	case desk.Revoke, desk.Judge, desk.Deny:
		return h.text(r, field("comment"), s.Comment, mostReason, true)
	}
	return h.text(r, field("comment"), s.Comment, mostReason, false)
}

// leaseAgain shows the page once more, with what was typed.
func (h *house) leaseAgain(w http.ResponseWriter, r *web.Request, step signin.Step, a desk.Act, said refused) error {
	l, err := h.Desk.Lease(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return h.turned(w, r, err, leasePath(r.PathValue("id")))
	}
	p := h.leasePage(r, step, l)
	shown := false
	for i, f := range p.Acts {
		if f.ID != string(a) {
			continue
		}
		shown = true
		p.Acts[i].Typed = r.PostForm.Get("comment")
		if f.Asks == "report" {
			p.Acts[i].Typed = r.PostForm.Get("report")
		}
		if n, err := strconv.Atoi(r.PostForm.Get("minutes")); err == nil && f.AsksMinutes {
			p.Acts[i].Minutes = n
		}
	}
	if !shown {
		said = said.above()
	}
	v := h.view(r, step, p)
	v.Wide, v.Ticks = true, l.Live(h.srv.Now())
	v.Faults, v.Articles = said.Faults, said.Articles
	return h.show(w, r, said.Status, "lease", v)
}

func (h *house) leasePage(r *web.Request, step signin.Step, l desk.Lease) leasePage {
	g, now := h.tongue(r), h.srv.Now()
	p := leasePage{
		Rooms: h.counters(r, step, ""), leaseLine: h.leaseLine(r, l), Mine: l.Mine, Minutes: l.Minutes, Ticket: l.Ticket,
		AskedAt: g.near(l.RequestedAt, now), EndedBy: nameOf(l.EndedBy), EndReason: l.EndReason, Asked: namesOf(g, l.Asked), Extending: l.Extending,
		Emergency: l.Emergency, Times: l.Times, TwoPerson: l.Privilege.TwoPerson, Witness: nameOf(l.Witness), Paused: l.Paused,
		Account: l.Account.Login, Cleaning: l.Cleanup == "pending", Residual: inWords(r, l.Privilege.Residual), Gives: inWords(r, l.Privilege.Gives),
		Decisions: h.decisionLines(r, l.Decisions), Uses: h.useLines(r, l.Uses), ReadsOthers: h.lookers(r, step),
		Articles: []policy.Article{"62-6", "62-7", "65"},
	}
	if l.Shut {
		p.Resume = stepUpLink(l.Resume, leasePath(l.ID))
	}
	if l.Emergency {
		p.Articles = append([]policy.Article{"80-2"}, p.Articles...)
	}
	if !l.StartedAt.IsZero() {
		p.Started = g.near(l.StartedAt, now)
	}
	if end := ended(l); !end.IsZero() {
		p.Ended = g.near(end, now)
	}
	if !l.WitnessDue.IsZero() {
		p.WitnessDue = g.near(l.WitnessDue, now)
	}
	p.Record = recordPart{Owed: l.Record.Owed, Overdue: p.Overdue, Due: p.Due, Text: l.Record.Text, By: nameOf(l.Record.By), Comment: l.Record.Comment}
	if !l.Record.WrittenAt.IsZero() {
		p.Record.WrittenAt = g.near(l.Record.WrittenAt, now)
	}
	if !l.Record.At.IsZero() {
		p.Record.At = g.near(l.Record.At, now)
	}
	if p.Judgement = (judgementPart{By: nameOf(l.Judgement.By), Comment: l.Judgement.Comment}); !l.Judgement.At.IsZero() {
		p.Judgement.At = g.near(l.Judgement.At, now)
	}
	p.Acts, p.Refused = offered(r, desk.Acts(), l.May, func(a desk.Act) leaseForm { return h.leaseForm(r, l, a) })
	return p
}

// offered are the forms of what the reader may do, and what they may not do yet with
// the reason. What is not in may is not their business.
func offered[A desk.Act | desk.PermitAct](r *web.Request, acts []A, may map[A]desk.Answer, form func(A) leaseForm) (forms []leaseForm, no []refusedAct) {
	for _, a := range acts {
		may, hers := may[a]
		if !hers {
			continue
		}
		f := form(a)
		if may.OK {
			f.First = len(forms) == 0 && !f.Danger
			forms = append(forms, f)
		} else if !may.Why.IsEmpty() {
			no = append(no, refusedAct{f.Name, r.Say(may.Why), may.Articles})
		}
	}
	return forms, no
}

// leaseForm is what an act is called, what follows from it and what it asks.
func (h *house) leaseForm(r *web.Request, l desk.Lease, a desk.Act) leaseForm {
	g := h.tongue(r)
	f := leaseForm{Action: leasePath(l.ID) + "/" + string(a), ID: string(a), StepUp: stepUpLink(l.May[a].StepUp, leasePath(l.ID))}
	comment := func(label, hint string, must bool) { f.Asks, f.Label, f.Hint, f.Must = "comment", label, hint, must }
	switch a {
	case desk.Approve:
		f.Name, f.Brief = g.say("lease.approve"), g.say("lease.approve_brief")
		comment(g.say("lease.comment"), "", false)
	case desk.Deny:
		f.Name, f.Brief, f.Danger = g.say("lease.deny"), g.say("lease.deny_brief"), true
		comment(g.say("lease.deny_label"), "", true)
	case desk.Activate:
		f.Name, f.Brief = g.say("lease.activate"), g.say("lease.activate_brief", "Minutes", l.Minutes)
		if l.Privilege.TwoPerson && l.Witness.Login == "" {
			f.Brief = g.say("lease.activate_two")
		}
		if l.State == desk.Active {
			f.Name, f.Brief = g.say("lease.show"), g.say("lease.show_brief")
			break
		}
		if l.Privilege.ShowsSecret {
			f.Brief += g.say("lease.activate_secret")
		}
	case desk.Witness:
		f.Name, f.Brief = g.say("lease.witness"), g.say("lease.witness_brief")
		if l.State == desk.Active {
			f.Name, f.Brief = g.say("lease.witness_on"), g.say("lease.witness_on_brief")
		}
	case desk.Renew:
		f.Name, f.Brief = g.say("lease.renew"), g.say("lease.renew_brief")
	case desk.Extend:
		f.Name, f.Brief = g.say("lease.extend"), g.say("lease.extend_brief")
		f.AsksMinutes, f.Minutes, f.Most = true, minutes(l.Privilege.Usual), minutes(l.Privilege.Longest)
		comment(g.say("lease.why_more"), "", true)
	case desk.End:
		f.Name, f.Brief = g.say("lease.end"), g.say("lease.end_brief")
	case desk.Report:
		f.Name, f.Brief = g.say("lease.report"), g.say("lease.report_brief")
		f.Asks, f.Label, f.Hint, f.Must = "report", g.say("lease.report_label"), g.say("lease.report_hint"), true
	case desk.Countersign:
		f.Name, f.Brief = g.say("lease.countersign"), g.say("lease.countersign_brief")
		comment(g.say("lease.comment"), "", false)
	case desk.Judge:
		f.Name, f.Brief = g.say("lease.judge"), g.say("lease.judge_brief")
		comment(g.say("lease.judge_label"), g.say("lease.judge_hint"), true)
	case desk.Cancel:
		f.Name, f.Brief, f.Danger = g.say("lease.cancel"), g.say("lease.cancel_brief"), true
	case desk.Revoke:
		f.Name, f.Brief, f.Danger = g.say("lease.revoke"), g.say("lease.revoke_brief"), true
		comment(g.say("lease.revoke_label"), "", true)
	}
	return f
}

func nameOf(w desk.Who) string {
	if w.Name != "" {
		return w.Name
	}
	return w.Login
}

func namesOf(g *tongue, list []desk.Who) string {
	var names []string
	for _, w := range list {
		names = append(names, nameOf(w))
	}
	return strings.Join(names, g.say("me.comma"))
}

func (h *house) decisionLines(r *web.Request, list []desk.Decision) []decisionLine {
	g := h.tongue(r)
	var lines []decisionLine
	for _, d := range list {
		line := decisionLine{By: nameOf(d.By), Comment: d.Comment, Says: g.say("lease.said_no"), Yes: d.Yes, Acting: d.Acting, At: g.near(d.At, h.srv.Now())}
		if d.Yes {
			line.Says = g.say("lease.said_yes")
		}
		if d.Standing {
			line.By = g.say("lease.by_standing")
		}
		lines = append(lines, line)
	}
	return lines
}

func (h *house) useLines(r *web.Request, list []desk.Use) []useLine {
	g := h.tongue(r)
	var lines []useLine
	for _, u := range list {
		line := useLine{At: g.near(u.At, h.srv.Now()), Reason: u.Reason, State: h.leaseState(r, desk.Lease{State: u.State, EndsAt: u.At.Add(u.For)})}
		if u.For > 0 {
			line.For = g.lasting(u.For)
		}
		if u.Emergency {
			line.Tags = append(line.Tags, tag{g.say("lease.emergency"), "bad"})
		}
		lines = append(lines, line)
	}
	return lines
}

type secretPage struct {
	Rooms           []room
	Back, Name      string // where it goes on; what was lent
	Login, Password string
	Until           template.HTML
	Left            clockFace
}

// secretOnce shows the ID that was lent with its password, which is nowhere
// else. A redirect would lose it.
func (h *house) secretOnce(w http.ResponseWriter, r *web.Request, step signin.Step, l desk.Lease) error {
	now := h.srv.Now()
	p := secretPage{
		Rooms: h.counters(r, step, ""), Back: leasePath(l.ID), Name: r.Say(l.Privilege.Name), Login: l.Account.Login, Password: string(l.Account.Password.Reveal()),
		Until: h.tongue(r).near(l.EndsAt, now), Left: face(l.EndsAt.Sub(now)),
	}
	w.Header().Set("Cache-Control", "no-store")
	v := h.view(r, step, p)
	v.Ticks = true
	v.Switch = switchURL(r, leasePath(l.ID))
	return h.show(w, r, http.StatusOK, "leasesecret", v)
}
