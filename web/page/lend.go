package page

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/sealed"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// Desk is where privilege is borrowed, decided and given back; web/desk is one.
// Who may do what is its to say: a button here grants nothing.
type Desk interface {
	Privileges(ctx context.Context, o signin.Origin, cookie string) ([]desk.Privilege, error)
	Ask(ctx context.Context, o signin.Origin, cookie string, w desk.Wish) (desk.Lease, error)
	Lease(ctx context.Context, o signin.Origin, cookie, id string) (desk.Lease, error)
	Leases(ctx context.Context, o signin.Origin, cookie string, f desk.Filter) (desk.List, error)
	Do(ctx context.Context, o signin.Origin, cookie, id string, a desk.Act, s desk.Said) (desk.Lease, error)
	Waiting(ctx context.Context, o signin.Origin, cookie string) (desk.Waiting, error)
	Card(ctx context.Context, o signin.Origin, cookie, id string) (desk.Card, error)
	Decide(ctx context.Context, o signin.Origin, cookie, id string, yes bool, comment string) error
	// Live are all leases that live, and Findings what no lease accounts for.
	Live(ctx context.Context, o signin.Origin, cookie string) ([]desk.Lease, error)
	Findings(ctx context.Context, o signin.Origin, cookie string) ([]desk.Finding, error)
	TakeUp(ctx context.Context, o signin.Origin, cookie, id, note string) error
	// Reviews are acting decisions, Owes how many of them wait for the reader.
	Reviews(ctx context.Context, o signin.Origin, cookie string) (desk.Reviews, error)
	Owes(ctx context.Context, o signin.Origin, cookie string) (int, error)
	Review(ctx context.Context, o signin.Origin, cookie, decision string, objects bool, comment string) error
}

// mountDesk puts the pages of lent privilege on the server.
func (h *house) mountDesk() {
	m := h.srv.Mount
	m("GET /leases", h.leases)
	m("GET /leases/ask", h.askForm(false))
	m("POST /leases/ask", h.ask(false))
	m("GET /leases/emergency", h.askForm(true))
	m("POST /leases/emergency", h.ask(true))
	m("GET /leases/{id}", h.lease)
	for _, a := range desk.Acts() {
		m("POST /leases/{id}/"+string(a), h.leaseAct(a))
		m("GET /leases/{id}/"+string(a), h.leaseInstead)
	}
	m("GET /approvals", h.approvals)
	if h.Permits != nil {
		m("POST /approvals", h.decideAll)
	}
	m("GET /approvals/{id}", h.approval)
	m("POST /approvals/{id}", h.decide)
	m("GET /live", h.live)
	m("GET /findings", h.findings)
	m("POST /findings/{id}/take", h.takeUp)
	m("GET /findings/{id}/take", instead("/findings"))
	m("GET /reviews", h.reviews)
	m("POST /reviews/{id}", h.review)
	m("GET /reviews/{id}", instead("/reviews"))
}

// counters are the pages of lent privilege that the reader has a use for.
func (h *house) counters(r *web.Request, step signin.Step, here string) []room {
	g, all := h.tongue(r), h.lookers(r, step)
	reviews := g.say("reviews.title")
	if all {
		// How many wait; where that cannot be read, the page says so.
		if n, err := h.Desk.Owes(r.Context(), r.Origin, r.Cookie); err == nil && n > 0 {
			reviews = g.say("reviews.title_count", "N", n)
		}
	}
	var open []room
	for _, one := range []struct {
		name, says string
		all        bool
	}{
		{"leases", g.say("leases.title"), true}, {"shared", g.say("shared.title"), h.shares(r, step)}, {"approvals", g.say("approvals.title"), true}, {"reviews", reviews, all},
		{"live", g.say("live.title"), all}, {"findings", g.say("findings.title"), all},
		{"lockdown", g.say("lock.title"), h.LockDown != nil && guards(r.Policy().PostsOf(step.Person.Groups))},
		{"reports", g.say("reports.title"), len(h.readable(r, step)) > 0},
		{"sealed", g.say("sealed.title"), h.Sealed != nil && keeps(r.Policy(), r.Policy().PostsOf(step.Person.Groups))},
	} {
		if one.all || one.name == here {
			open = append(open, room{"/" + one.name, one.says, one.name == here})
		}
	}
	return open
}

// lookers reports whether the reader holds a post that sees what others borrow.
// It chooses doors, and each door asks again.
func (h *house) lookers(r *web.Request, step signin.Step) bool {
	return looks(r.Policy(), r.Policy().PostsOf(step.Person.Groups))
}

func looks(p *policy.Policy, posts []policy.PostID) bool {
	return slices.ContainsFunc(posts, func(id policy.PostID) bool {
		post, ok := p.Post(id)
		return ok && (post.Approves || post.Audits || id == policy.CSIRT)
	})
}

// guards reports whether these posts stop things under attack.
func guards(posts []policy.PostID) bool {
	return slices.Contains(posts, policy.CIO) || slices.Contains(posts, policy.CSIRT)
}

// keeps reports whether these posts look into the register of emergency IDs.
func keeps(p *policy.Policy, posts []policy.PostID) bool { return sealed.MaySee(p, posts) == nil }

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

type askPage struct {
	Rooms            []room
	ID, Name         string
	Gives, Residual  []string
	Approvers        string
	Emergency        bool
	Usual, Most      int // minutes
	Minutes          string
	Reason, Ticket   string
	AsksTicket       bool
	TwoPerson        bool
	WorkRecord       bool
	RecordEnd        string
	Decided, Secret  bool
	Outlives         bool
	Articles         []policy.Article
	CanDoItInAHurry  bool // there is a way without approval
	EmergencyMinutes int
}

// MostReason is how long a reason, comment or record may be, in characters.
const (
	mostReason = 500
	mostRecord = 4000
	mostTicket = 100
)

// askForm shows what is asked for and what will happen, with the usual time
// filled in: a reason is all there is to type.
func (h *house) askForm(emergency bool) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		one, err := h.wanted(r)
		if err != nil {
			return h.turned(w, r, err, "/leases")
		}
		if one.StepUp != nil {
			return h.turned(w, r, one.StepUp, h.askPath(one.ID, emergency))
		}
		if no := refusedFor(one, emergency); !no.Why.IsEmpty() {
			return &web.Refusal{Problem: web.Problem{Code: web.CodeState, Detail: no.Why, Articles: no.Articles}}
		}
		return h.show(w, r, http.StatusOK, "leaseask", h.view(r, step, h.askPage(r, step, one, emergency)))
	}
}

func (h *house) askPath(privilege string, emergency bool) string {
	path := "/leases/ask?"
	if emergency {
		path = "/leases/emergency?"
	}
	return path + url.Values{"privilege": {privilege}}.Encode()
}

func refusedFor(one desk.Privilege, emergency bool) desk.Answer {
	if emergency {
		return one.RefusedAtOnce
	}
	return one.Refused
}

// wanted is the privilege that the address or the form names.
func (h *house) wanted(r *web.Request) (desk.Privilege, error) {
	id := r.URL.Query().Get("privilege")
	if id == "" {
		id = r.PostForm.Get("privilege")
	}
	lent, err := h.Desk.Privileges(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return desk.Privilege{}, err
	}
	for _, one := range lent {
		if one.ID == id {
			return one, nil
		}
	}
	return desk.Privilege{}, web.ErrNoPage
}

func (h *house) askPage(r *web.Request, step signin.Step, one desk.Privilege, emergency bool) askPage {
	p := askPage{
		Rooms: h.counters(r, step, "leases"), ID: one.ID, Name: r.Say(one.Name), Gives: inWords(r, one.Gives), Residual: inWords(r, one.Residual),
		Approvers: h.approvers(r, one), Emergency: emergency, Usual: minutes(one.Usual), Most: minutes(one.Longest),
		AsksTicket: one.Ticket != "" && !emergency, TwoPerson: one.TwoPerson && !emergency, WorkRecord: one.WorkRecord || emergency,
		RecordEnd: h.tongue(r).lasting(one.RecordEnd), Decided: one.Decided, Secret: one.ShowsSecret, Outlives: one.Outlives,
		Articles: []policy.Article{"49-1", "62-6", "62-7", "65"}, CanDoItInAHurry: one.Emergency && !emergency && one.RefusedAtOnce.Why.IsEmpty(),
	}
	if emergency {
		p.Articles = []policy.Article{"80-2", "62-7", "65"}
		p.Most = min(p.Most, minutes(one.ShortestTime))
		p.Usual = min(p.Usual, p.Most)
	}
	p.Minutes = strconv.Itoa(p.Usual)
	return p
}

func minutes(d time.Duration) int { return int(d / time.Minute) }

// ask asks, and leads to what was asked for.
func (h *house) ask(emergency bool) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		one, err := h.wanted(r)
		if err != nil {
			return h.turned(w, r, err, "/leases")
		}
		g, typed := h.tongue(r), r.PostForm
		wish := desk.Wish{
			Privilege: one.ID, Reason: strings.TrimSpace(typed.Get("reason")), Ticket: strings.TrimSpace(typed.Get("ticket")), Emergency: emergency,
		}
		p := h.askPage(r, step, one, emergency)
		var faults []Fault
		if wish.Minutes, err = strconv.Atoi(narrowed(typed.Get("minutes"))); err != nil || wish.Minutes < 1 || wish.Minutes > p.Most {
			faults = append(faults, Fault{"minutes", g.say("ask.minutes_wrong", "Most", p.Most)})
		}
		faults = append(faults, h.text(r, "reason", wish.Reason, mostReason, true)...)
		if p.AsksTicket {
			faults = append(faults, h.text(r, "ticket", wish.Ticket, mostTicket, true)...)
		}
		p.Minutes, p.Reason, p.Ticket = typed.Get("minutes"), wish.Reason, wish.Ticket
		if len(faults) > 0 {
			return h.again(w, r, step, "leaseask", p, refused{http.StatusUnprocessableEntity, faults, nil})
		}
		lease, err := h.Desk.Ask(r.Context(), r.Origin, r.Cookie, wish)
		if err != nil {
			if said, ok := h.inOffice(w, r, err); ok {
				return h.again(w, r, step, "leaseask", p, said)
			}
			return h.turned(w, r, err, h.askPath(one.ID, emergency))
		}
		if step = raised(w, r, step, lease); !lease.Account.Password.IsEmpty() {
			return h.secretOnce(w, r, step, lease)
		}
		return redirect(w, r, leasePath(lease.ID), url.Values{"done": {"asked"}})
	}
}

// narrowed writes digits as programs do: a Japanese keyboard has wide ones.
func narrowed(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= '０' && c <= '９' {
			return c - '０' + '0'
		}
		return c
	}, strings.TrimSpace(s))
}

// text looks at something that was written.
func (h *house) text(r *web.Request, field, value string, most int, must bool) []Fault {
	g := h.tongue(r)
	switch {
	case value == "" && must:
		return []Fault{{field, g.say("lease.need_text")}}
	case len([]rune(value)) > most:
		return []Fault{{field, g.say("lease.text_long", "Max", most)}}
	}
	return nil
}

func leasePath(id string) string { return "/leases/" + url.PathEscape(id) }

// deskDone says what the redirect that led here has done.
func (h *house) deskDone(r *web.Request) notice {
	g := h.tongue(r)
	good := func(says string) notice { return notice{Says: says, Tone: "good"} }
	switch r.URL.Query().Get("done") {
	case "asked":
		return good(g.say("lease.done_asked"))
	case string(desk.Approve):
		return good(g.say("lease.done_approved"))
	case string(desk.Deny):
		return good(g.say("lease.done_denied"))
	case string(desk.Cancel):
		return good(g.say("lease.done_cancelled"))
	case string(desk.Activate):
		return good(g.say("lease.done_activated"))
	case string(desk.Extend):
		return good(g.say("lease.done_extended"))
	case string(desk.End):
		return good(g.say("lease.done_ended"))
	case string(desk.Revoke):
		return good(g.say("lease.done_revoked"))
	case string(desk.Witness):
		return good(g.say("lease.done_witnessed"))
	case string(desk.Report):
		return good(g.say("lease.done_reported"))
	case string(desk.Countersign):
		return good(g.say("lease.done_countersigned"))
	case string(desk.Judge):
		return good(g.say("lease.done_judged"))
	case "approved_all":
		if says, err := g.n("approvals.done_all", number(r.URL.Query().Get("n"))); err == nil {
			return good(says)
		}
	case "part":
		if says, err := g.n("approvals.done_part", number(r.URL.Query().Get("n"))); err == nil {
			return good(says)
		}
	case "denied_all":
		if says, err := g.n("approvals.done_none", number(r.URL.Query().Get("n"))); err == nil {
			return good(says)
		}
	}
	return notice{}
}

// stepUpLink is where a reader proves anew who they are, on the way back to a
// page; "" where there is no need.
func stepUpLink(need *account.StepUp, back string) string {
	if need == nil {
		return ""
	}
	to := url.Values{"rd": {back}}
	if need.Required != "" {
		to.Set("acr", string(need.Required))
	}
	if need.MaxAge > 0 {
		to.Set("max_age", strconv.Itoa(int(need.MaxAge/time.Second)))
	}
	return "/signin?" + to.Encode()
}
