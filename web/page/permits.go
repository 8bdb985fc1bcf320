package page

import (
	"context"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// Permits is where permits are asked for, decided several at a time, kept and
// ended; web/desk is one. Who may do what is its to say: a button grants nothing.
type Permits interface {
	PermitKinds(ctx context.Context, o signin.Origin, cookie string) ([]desk.PermitKind, error)
	// CountPermits counts by kind, for who sees everybody's.
	CountPermits(ctx context.Context, o signin.Origin, cookie string) (map[string]desk.PermitCount, error)
	// PermitForm is a kind with what its form offers; desk.Permit's kind decides it.
	PermitForm(ctx context.Context, o signin.Origin, cookie, kind string) (desk.PermitForm, error)
	AskPermit(ctx context.Context, o signin.Origin, cookie string, w desk.PermitWish) (desk.Permit, error)
	Permit(ctx context.Context, o signin.Origin, cookie, id string) (desk.Permit, error)
	ListPermits(ctx context.Context, o signin.Origin, cookie string, f desk.PermitFilter) (desk.PermitList, error)
	DoPermit(ctx context.Context, o signin.Origin, cookie, id string, a desk.PermitAct, s desk.PermitSaid) (desk.Permit, error)
	// DecideAll decides each by itself: what becomes of one is nothing to the others.
	DecideAll(ctx context.Context, o signin.Origin, cookie string, ids []string, yes bool, comment string, confirmed []string) ([]desk.Decided, error)
	ImportPermits(ctx context.Context, o signin.Origin, cookie, kind string, data []byte) (desk.Imported, error)
	ExportPermits(ctx context.Context, o signin.Origin, cookie string, f desk.PermitFilter, w io.Writer) error
	// RemoteSessions are those who are inside from outside now.
	RemoteSessions(ctx context.Context, o signin.Origin, cookie string) ([]desk.RemoteSession, error)
}

// mountPermits puts the pages of permits on the server.
func (h *house) mountPermits() {
	m := h.srv.Mount
	m("GET /permits", h.permits)
	m("GET "+web.PermitPath, h.permitForm)
	m("POST "+web.PermitPath, h.askPermit)
	m("GET /permits/renew", h.renewals)
	m("POST /permits/renew", h.renew)
	m("GET /permits/{id}", h.permit)
	for _, a := range desk.PermitActs() {
		if a == desk.PermitRenew {
			continue // it is asked for like any other
		}
		m("POST /permits/{id}/"+string(a), h.permitAct(a))
		m("GET /permits/{id}/"+string(a), h.permitInstead)
	}
	m("GET /registers", h.registers)
	m("GET /registers/{kind}", h.register)
	m("GET /registers/{kind}/file", h.registerFile)
	m("GET /registers/{kind}/import", h.registerImportForm)
	h.srv.MountFiles("POST /registers/{kind}/import", web.MostFile, h.registerImport)
}

// gates are the pages of permits that the reader has a use for.
func (h *house) gates(r *web.Request, step signin.Step, here string) []room {
	g, all := h.tongue(r), h.lookers(r, step)
	var open []room
	for _, one := range []struct {
		path, says string
		all        bool
	}{
		{"/permits", g.say("permits.title"), true}, {"/permits/renew", g.say("renewal.title"), true},
		{"/registers/" + desk.RemoteAccess, g.say("register.remote"), all}, {"/registers", g.say("register.title"), all},
		{"/approvals", g.say("approvals.title"), all && h.Desk != nil},
	} {
		if one.all || one.path == here {
			open = append(open, room{one.path, one.says, one.path == here})
		}
	}
	return open
}

// A permitLine is a permit in a list.
type permitLine struct {
	ID, Name, Reason string
	Who, Login       string
	Section, Company string
	Opens            string // applications
	Where, Terminal  string
	When             string
	State            tag
	Tags             []tag
	From             template.HTML // "" once it has begun
	Until            template.HTML
	UntilDay         string
	Used             template.HTML // "" for never
	Live, Soon       bool
	Enforced         bool
	UsedDay          string // "" for never
	Renew            string // where it is renewed; "" where it is not
	Ends             permitEnd
	Missing          int
	Done             string
	OwesIt           bool
	Review           string // the day of the next look
	ReviewDue        bool
	Renewed          string
}

// A permitEnd is how its reader ends a permit from a list.
type permitEnd struct {
	Action, Brief, Label, StepUp, Back string
	Asks, Can                          bool
}

func (h *house) permitLine(r *web.Request, p desk.Permit) permitLine {
	g, now := h.tongue(r), h.srv.Now()
	line := permitLine{
		ID: p.ID, Name: r.Say(p.Name), Reason: p.Reason, Who: nameOf(p.Person), Login: p.Person.Login,
		Section: sectionName(r, p.Person.Section), Company: p.Company, Opens: strings.Join(inWords(r, p.Opens), g.say("me.comma")),
		Where: strings.Join(p.Where, g.say("me.comma")), Terminal: r.Say(p.Terminal), When: r.Say(p.When),
		State: h.permitState(r, p), Live: p.Live(now), Soon: p.Soon && p.Live(now), Enforced: p.Enforced, Missing: p.Missing, OwesIt: p.OwesIt,
	}
	if line.Soon {
		line.Tags = append(line.Tags, tag{g.say("permit.soon"), "warn"})
	}
	if p.OwesIt {
		line.Tags = append(line.Tags, tag{g.say("permit.owed"), "warn"})
	}
	if p.State == desk.Pending || p.State == desk.Approved && now.Before(p.From) {
		if !p.From.IsZero() {
			line.From = g.near(p.From, now)
		}
	}
	if !p.Until.IsZero() {
		line.Until, line.UntilDay = g.end(p.Until, now), g.lastDay(p.Until)
	}
	if !p.UsedAt.IsZero() {
		line.Used, line.UsedDay = g.near(p.UsedAt, now), g.day(p.UsedAt)
	}
	if p.May[desk.PermitRenew].OK {
		line.Renew = renewPath(p.ID)
	}
	if !p.DoneAt.IsZero() {
		line.Done = g.day(p.DoneAt)
	}
	if !p.Review.IsZero() {
		line.Review, line.ReviewDue = g.day(p.Review), !now.Before(p.Review) && p.Live(now)
		if line.ReviewDue {
			line.Tags = append(line.Tags, tag{g.say("permit.review_due"), "warn"})
		}
	}
	if p.Renewed != "" {
		line.Renewed = permitPath(p.Renewed)
	}
	for _, a := range []desk.PermitAct{desk.PermitEnd, desk.PermitRevoke} {
		if may := p.May[a]; may.OK && !line.Ends.Can {
			f := h.permitForming(r, p, a)
			line.Ends = permitEnd{f.Action, f.Brief, f.Label, f.StepUp, "", f.Asks != "", true}
		}
	}
	return line
}

// permitState says how far a permit has come. One whose end has come is over,
// whatever its row still says.
func (h *house) permitState(r *web.Request, p desk.Permit) tag {
	g, now := h.tongue(r), h.srv.Now()
	if p.State == desk.Approved && !p.Until.IsZero() && !now.Before(p.Until) {
		p.State = desk.Expired
	}
	switch p.State {
	case desk.Approved:
		if now.Before(p.From) {
			return tag{g.say("permit.later"), "plain"}
		}
		return tag{Says: g.say("permit.live")}
	case desk.Ended:
		return tag{g.say("permit.ended"), "plain"}
	case desk.Expired:
		return tag{g.say("permit.expired"), "plain"}
	}
	return g.askedState(p.State)
}

type permitsPage struct {
	Rooms    []room
	Live     []permitLine
	Open     []permitLine
	Kinds    []kindLine // that a door asks for
	Others   []kindLine
	Past     []permitLine
	Next     string
	Ending   int // how many end soon
	Articles []policy.Article
}

type kindLine struct {
	ID, Name, Says string
	Deciders       string
	Lasts          string
	Why            string
	URL            string
	Articles       []policy.Article
	Enforced       bool
	desk.PermitCount
}

// permits shows what one is permitted, has asked for, and may ask for.
func (h *house) permits(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	kinds, err := h.Permits.PermitKinds(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/permits")
	}
	list, err := h.Permits.ListPermits(r.Context(), r.Origin, r.Cookie, desk.PermitFilter{Which: desk.WhichMine, After: r.URL.Query().Get("after"), Limit: pastPermits})
	if err != nil {
		return h.turned(w, r, err, "/permits")
	}
	now := h.srv.Now()
	p := permitsPage{Rooms: h.gates(r, step, "/permits"), Articles: []policy.Article{"26no2-2", "63-1"}}
	for _, one := range list.Permits {
		line := h.permitLine(r, one)
		switch {
		case one.State == desk.Approved && now.Before(one.Until):
			if line.Soon && line.Renew != "" {
				p.Ending++
			}
			p.Live = append(p.Live, line)
		case one.State == desk.Pending:
			p.Open = append(p.Open, line)
		default:
			p.Past = append(p.Past, line)
		}
	}
	p.Kinds, p.Others = h.kindLines(r, kinds)
	if list.Next != "" {
		p.Next = "/permits?" + url.Values{"after": {list.Next}}.Encode()
	}
	v := h.view(r, step, p)
	v.Wide, v.Notice = true, h.permitDone(r)
	return h.show(w, r, http.StatusOK, "permits", v)
}

// pastPermits is how many are read for the page of one's own.
const pastPermits = 50

// kindLines are the kinds that the reader may ask for, those that a door asks for
// apart. What no post of theirs may ask for is not among them; what they may not
// ask for now says why.
func (h *house) kindLines(r *web.Request, kinds []desk.PermitKind) (enforced, others []kindLine) {
	for _, k := range kinds {
		switch {
		case !k.Ask.OK && k.Ask.Why.IsEmpty():
		case k.Enforced:
			enforced = append(enforced, h.kindLine(r, k))
		default:
			others = append(others, h.kindLine(r, k))
		}
	}
	return enforced, others
}

func (h *house) kindLine(r *web.Request, k desk.PermitKind) kindLine {
	g := h.tongue(r)
	line := kindLine{
		ID: k.ID, Name: r.Say(k.Name), Says: r.Say(k.Says), Deciders: strings.Join(inWords(r, k.Deciders), g.say("permits.then")), Lasts: g.say("permits.lasts_year"),
		Why: r.Say(k.Ask.Why), URL: askPermitPath(k.ID, nil), Articles: k.Articles, Enforced: k.Enforced,
	}
	if k.Longest > 0 {
		line.Lasts = g.say("permits.lasts", "Days", int(k.Longest/(24*time.Hour)))
	}
	if line.Why != "" {
		line.Articles = k.Ask.Articles
	}
	return line
}

func permitPath(id string) string { return "/permits/" + url.PathEscape(id) }

func renewPath(id string) string { return web.PermitPath + "?" + url.Values{"renew": {id}}.Encode() }

func askPermitPath(kind string, more url.Values) string {
	q := url.Values{"kind": {kind}}
	for name, values := range more {
		q[name] = values
	}
	return web.PermitPath + "?" + q.Encode()
}

// end shows the end of a permit as people write it: a permit that ends as a day
// begins holds until the end of the day before.
func (g *tongue) end(t, now time.Time) template.HTML {
	local := t.In(japan)
	if local.Hour() == 0 && local.Minute() == 0 && local.Second() == 0 {
		return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + g.say("permit.through", "Day", g.day(t.Add(-time.Second))) + `</time>`)
	}
	return g.near(t, now)
}

// lastDay is the last day on which a permit holds.
func (g *tongue) lastDay(t time.Time) string { return g.day(t.Add(-time.Second)) }

// permitDone says what the redirect that led here has done.
func (h *house) permitDone(r *web.Request) notice {
	g, q := h.tongue(r), r.URL.Query()
	good := func(says string) notice { return notice{Says: says, Tone: "good"} }
	counted := func(says string, err error) notice {
		if err != nil {
			return notice{}
		}
		return good(says)
	}
	switch q.Get("done") {
	case "asked":
		return good(g.say("permit.done_asked"))
	case "granted":
		return good(g.say("permit.done_granted"))
	case string(desk.PermitCancel):
		return good(g.say("lease.done_cancelled"))
	case string(desk.PermitEnd):
		return good(g.say("permit.done_ended"))
	case string(desk.PermitRevoke):
		return good(g.say("permit.done_revoked"))
	case string(desk.PermitDone):
		return good(g.say("permit.done_done"))
	case string(desk.PermitReview):
		return good(g.say("permit.done_reviewed"))
	case "renewed":
		return counted(g.n("permit.done_renewed", number(q.Get("n"))))
	case "imported":
		taken := counted(g.n("permit.done_imported", number(q.Get("n"))))
		if known := number(q.Get("known")); known > 0 {
			before := counted(g.n("permit.done_known", known))
			taken.Says = strings.TrimSpace(taken.Says + " " + before.Says)
		}
		return taken
	}
	return notice{}
}

// An entry of a permit that the page shows with its label.
type entry struct{ Label, Says string }

// A usedDay is a day on which a permit was used.
type usedDay struct{ Day, Hours, From string }

type permitPage struct {
	Rooms []room
	permitLine
	By          string // who asked, where it is somebody else
	AskedAt     template.HTML
	LapsesAt    template.HTML
	Facts       []entry
	Uses        []usedDay
	Decisions   []decisionLine
	Asked       string
	EndedAt     template.HTML
	EndedBy     string
	EndReason   string
	DoneBy      string
	DoneHow     string
	DoneAt      template.HTML
	Acts        []leaseForm
	Refused     []refusedAct
	Articles    []policy.Article
	Register    string
	ReadsOthers bool
}

// permit shows one permit: what was asked for, what became of it, and what its
// reader may do.
func (h *house) permit(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	one, err := h.Permits.Permit(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return h.turned(w, r, err, r.URL.EscapedPath())
	}
	p := h.permitPage(r, step, one)
	h.typedBefore(r, step, permitPath(one.ID)).fill(p.Acts)
	v := h.view(r, step, p)
	v.Wide, v.Notice = true, h.permitDone(r)
	return h.show(w, r, http.StatusOK, "permit", v)
}

func (h *house) permitInstead(w http.ResponseWriter, r *web.Request) error {
	return redirect(w, r, permitPath(r.PathValue("id")), nil)
}

func (h *house) permitPage(r *web.Request, step signin.Step, one desk.Permit) permitPage {
	g, now := h.tongue(r), h.srv.Now()
	p := permitPage{
		Rooms: h.gates(r, step, ""), permitLine: h.permitLine(r, one), AskedAt: g.near(one.AskedAt, now), Decisions: h.decisionLines(r, one.Decisions),
		Asked: namesOf(g, one.Asked), EndReason: one.EndReason, EndedBy: nameOf(one.EndedBy), DoneBy: nameOf(one.DoneBy), DoneHow: one.DoneHow,
		Articles: permitArticles(one.Kind), ReadsOthers: h.lookers(r, step), Register: "/registers/" + url.PathEscape(one.Kind),
	}
	if one.By.Login != one.Person.Login {
		p.By = nameOf(one.By)
	}
	if one.State == desk.Pending && !one.LapsesAt.IsZero() {
		p.LapsesAt = g.near(one.LapsesAt, now)
	}
	if !one.EndedAt.IsZero() {
		p.EndedAt = g.near(one.EndedAt, now)
	}
	if !one.DoneAt.IsZero() {
		p.DoneAt = g.near(one.DoneAt, now)
	}
	for _, f := range one.Facts {
		p.Facts = append(p.Facts, entry{r.Say(f.Label), r.Say(f.Value)})
	}
	for _, u := range one.Uses {
		first, last := u.First.In(japan).Format("15:04"), u.Last.In(japan).Format("15:04")
		if last != first {
			first += "–" + last
		}
		p.Uses = append(p.Uses, usedDay{g.day(u.Last), first, u.From})
	}
	p.Acts, p.Refused = offered(r, desk.PermitActs(), one.May, func(a desk.PermitAct) leaseForm { return h.permitForming(r, one, a) })
	return p
}

// permitArticles are those that a kind of permit serves, where this package knows it.
func permitArticles(kind string) []policy.Article {
	switch kind {
	case desk.RemoteAccess:
		return []policy.Article{"63-1", "63-2(1)", "63-6"}
	case desk.ZoneCrossing:
		return []policy.Article{"26no2-2", "26no2-3", "26no4-1"}
	}
	return nil
}

// permitForming is what an act is called, what follows from it and what it asks.
func (h *house) permitForming(r *web.Request, p desk.Permit, a desk.PermitAct) leaseForm {
	g := h.tongue(r)
	f := leaseForm{Action: permitPath(p.ID) + "/" + string(a), ID: string(a), StepUp: stepUpLink(p.May[a].StepUp, permitPath(p.ID))}
	comment := func(label, hint string, must bool) { f.Asks, f.Label, f.Hint, f.Must = "comment", label, hint, must }
	switch a {
	case desk.PermitRenew:
		f.Name, f.Brief, f.Link, f.StepUp = g.say("permit.renew"), g.say("permit.renew_brief"), renewPath(p.ID), ""
	case desk.PermitDone:
		f.Name, f.Brief = g.say("permit.record"), g.say("permit.record_brief")
		comment(g.say("permit.record_label"), g.say("permit.record_hint"), true)
		f.AsksDone, f.Today = true, dayOf(h.srv.Now())
		f.DoneAt = f.Today
	case desk.PermitReview:
		f.Name, f.Brief = g.say("permit.review"), g.say("permit.review_brief")
		comment(g.say("lease.comment"), "", false)
	case desk.PermitEnd:
		f.Name, f.Brief, f.Danger = g.say("permit.end"), g.say("permit.end_brief"), true
	case desk.PermitCancel:
		f.Name, f.Brief, f.Danger = g.say("lease.cancel"), g.say("lease.cancel_brief"), true
	case desk.PermitRevoke:
		f.Name, f.Brief, f.Danger = g.say("permit.revoke"), g.say("permit.revoke_brief"), true
		comment(g.say("lease.revoke_label"), "", true)
	}
	return f
}

// permitAct does one act on a permit, from its page or from a list.
func (h *house) permitAct(a desk.PermitAct) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		id, in := r.PathValue("id"), formReader{h: h, r: r}
		field := func(name string) string { return name + "-" + string(a) }
		wants := desk.PermitSaid{Comment: in.get("comment"), By: in.get("by")}
		in.faults = h.text(r, field("comment"), wants.Comment, mostReason, slices.Contains([]desk.PermitAct{desk.PermitRevoke, desk.PermitDone}, a))
		if a == desk.PermitDone {
			in.faults = append(in.faults, h.text(r, field("by"), wants.By, mostName, true)...)
			if wants.At, err = time.ParseInLocation(time.DateOnly, narrowed(in.get("at")), japan); err != nil {
				in.wrong(field("at"), h.tongue(r).say("pask.day_wrong"))
			}
		}
		said := refused{Status: http.StatusUnprocessableEntity, Faults: in.faults}
		if len(said.Faults) == 0 {
			_, err := h.Permits.DoPermit(r.Context(), r.Origin, r.Cookie, id, a, wants)
			if err == nil {
				h.dropTyped(r, step, permitPath(id))
				return redirect(w, r, backFrom(r, permitPath(id)), url.Values{"done": {string(a)}})
			}
			var ok bool
			if said, ok = h.inOffice(w, r, err); !ok {
				return h.turned(w, r, err, permitPath(id))
			}
			said = said.placed(field)
		}
		one, err := h.Permits.Permit(r.Context(), r.Origin, r.Cookie, id)
		if err != nil {
			return h.turned(w, r, err, permitPath(id))
		}
		p := h.permitPage(r, step, one)
		shown := false
		for i, f := range p.Acts {
			if f.ID == string(a) {
				p.Acts[i].Typed, p.Acts[i].DoneBy, shown = r.PostForm.Get("comment"), r.PostForm.Get("by"), true
				if f.AsksDone {
					p.Acts[i].DoneAt = r.PostForm.Get("at")
				}
			}
		}
		if !shown {
			said = said.above()
		}
		v := h.view(r, step, p)
		v.Wide, v.Faults, v.Articles = true, said.Faults, said.Articles
		return h.show(w, r, said.Status, "permit", v)
	}
}

// backFrom is the list that an act was done from, or else.
func backFrom(r *web.Request, or string) string {
	back := r.PostForm.Get("back")
	if back == "/live" || strings.HasPrefix(back, "/registers/") && !strings.ContainsAny(back, "?#\\") {
		return back
	}
	return or
}
