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
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/lockdown"
	"sekisho/policy"
	"sekisho/web"
)

// LockDown stops a part of everything under attack; authz/lockdown is one. Who may
// do what is its to say.
type LockDown interface {
	Room(ctx context.Context, o signin.Origin, cookie string) (lockdown.Room, error)
	Preview(ctx context.Context, o signin.Origin, cookie string, r lockdown.Order) (lockdown.Picture, error)
	Order(ctx context.Context, o signin.Origin, cookie string, r lockdown.Order) (authz.LockDown, error)
	Ratify(ctx context.Context, o signin.Origin, cookie, id string) (authz.LockDown, error)
	Lift(ctx context.Context, o signin.Origin, cookie, id, reason string) error
}

func (h *house) mountLockDown() {
	m := h.srv.Mount
	m("GET /lockdown", h.lockDowns)
	m("GET /lockdown/order", h.lockForm)
	m("POST /lockdown/preview", h.lockPreview)
	m("GET /lockdown/preview", instead("/lockdown"))
	m("POST /lockdown/order", h.lockOrder)
	m("POST /lockdown/{id}/ratify", h.lockRatify)
	m("GET /lockdown/{id}/ratify", instead("/lockdown"))
	m("POST /lockdown/{id}/lift", h.lockLift)
	m("GET /lockdown/{id}/lift", instead("/lockdown"))
}

// lockArticles are those that a lock-down rests on.
var lockArticles = []policy.Article{"11-4", "54-3", "75-2"}

type lockPage struct {
	Rooms    []room
	InForce  []lockCard
	Past     []lockCard
	Scopes   []scopeLine
	Why      string // the reader orders none
	WhyArts  []policy.Article
	StepUp   string
	Within   string // the CIO ratifies; "" where the reader needs nobody
	Articles []policy.Article
}

// A scopeLine is one thing that can be stopped.
type scopeLine struct{ URL, Name, Says string }

// A lockCard is one lock-down.
type lockCard struct {
	ID, What   string
	Reason, By string
	At, Until  template.HTML
	Left       clockFace
	RatifyBy   template.HTML // it waits for the CIO until then
	Ratified   template.HTML
	RatifiedBy string
	State      tag
	Lifted     template.HTML
	LiftedBy   string
	LiftReason string
	Sealed     bool
	MayLift    bool
	MayRatify  bool
	Typed      string // what was typed as the reason to lift it
}

// lockDowns are those in force, what the reader may do about them, and the last
// ones that are over.
func (h *house) lockDowns(w http.ResponseWriter, r *web.Request) error {
	return h.lockRoom(w, r, "", "", refused{Status: http.StatusOK})
}

// lockRoom shows the room, with what is wrong with a reason that was typed.
func (h *house) lockRoom(w http.ResponseWriter, r *web.Request, id, reason string, said refused) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	all, err := h.LockDown.Room(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/lockdown")
	}
	was := typed{}
	if id == "" {
		was = h.typedBefore(r, step, "/lockdown")
	}
	g := h.tongue(r)
	p := lockPage{Rooms: h.counters(r, step, "lockdown"), StepUp: stepUpLink(all.StepUp, "/lockdown"), Articles: lockArticles}
	for _, l := range all.InForce {
		card := h.lockCard(r, l)
		card.MayLift, card.MayRatify = all.Lift[l.ID], all.Ratify[l.ID]
		switch {
		case l.ID == id:
			card.Typed = reason
		case l.ID == was.of("/lockdown/", "/lift"):
			card.Typed = was.Form.Get("reason")
		}
		p.InForce = append(p.InForce, card)
	}
	for _, l := range all.Past {
		p.Past = append(p.Past, h.lockCard(r, l))
	}
	switch all.Right {
	case lockdown.Own, lockdown.Delegated:
		for _, s := range authz.Scopes() {
			name, says := h.scopeWords(r, s)
			p.Scopes = append(p.Scopes, scopeLine{"/lockdown/order?" + url.Values{"scope": {string(s)}}.Encode(), name, says})
		}
		if all.Right == lockdown.Delegated {
			p.Within = g.lasting(all.Within)
		}
	default:
		if all.Refused != nil {
			p.Why, p.WhyArts = r.Say(all.Refused.Says), all.Refused.Articles
		}
	}
	v := h.view(r, step, p)
	v.Wide, v.Ticks, v.Faults, v.Articles = true, len(p.InForce) > 0, said.Faults, said.Articles
	if len(said.Faults) == 0 {
		v.Notice = h.lockDone(r)
	}
	v.Switch = switchURL(r, "/lockdown")
	return h.show(w, r, said.Status, "lockdown", v)
}

func (h *house) lockDone(r *web.Request) notice {
	g := h.tongue(r)
	switch r.URL.Query().Get("done") {
	case "ordered":
		return notice{Says: g.say("lock.done_ordered"), Tone: "good"}
	case "ratified":
		return notice{Says: g.say("lock.done_ratified"), Tone: "good"}
	case "lifted":
		return notice{Says: g.say("lock.done_lifted"), Tone: "good"}
	}
	return notice{}
}

func (h *house) lockCard(r *web.Request, l authz.LockDown) lockCard {
	g, now := h.tongue(r), h.srv.Now()
	c := lockCard{
		ID: l.ID, What: h.lockWhat(r, l.Scope, l.Target), Reason: l.Reason, By: l.By, At: g.near(l.OrderedAt, now), Until: g.near(l.Until(), now),
		RatifiedBy: l.RatifiedBy, LiftedBy: l.LiftedBy, LiftReason: l.LiftReason, Sealed: l.Sealed,
	}
	if l.Sealed {
		c.LiftReason = ""
	}
	waits := !l.RatifyBy.IsZero() && l.RatifiedAt.IsZero()
	if !l.RatifiedAt.IsZero() {
		c.Ratified = g.near(l.RatifiedAt, now)
	}
	if !l.LiftedAt.IsZero() {
		c.Lifted = g.near(l.LiftedAt, now)
	}
	switch {
	case l.Live(now):
		c.Left, c.State = face(l.Until().Sub(now)), tag{g.say("lock.in_force"), "bad"}
		if waits {
			c.State = tag{g.say("lock.waits"), "warn"}
		}
		if waits && l.RatifyBy.Before(l.EndsAt) {
			c.RatifyBy = g.near(l.RatifyBy, now)
		}
	case !l.LiftedAt.IsZero():
		c.State = tag{g.say("lock.lifted"), "plain"}
	case waits && l.RatifyBy.Before(l.EndsAt):
		c.State = tag{g.say("lock.unratified"), "warn"}
	default:
		c.State = tag{g.say("lock.over"), "plain"}
	}
	return c
}

// scopeWords are what a scope is called, and what it stops.
func (h *house) scopeWords(r *web.Request, s authz.Scope) (name, says string) {
	g := h.tongue(r)
	switch s {
	case authz.LockPerson:
		return g.say("lock.person"), g.say("lock.person_says")
	case authz.LockTerminal:
		return g.say("lock.terminal"), g.say("lock.terminal_says")
	case authz.LockApplication:
		return g.say("lock.application"), g.say("lock.application_says")
	case authz.LockSection:
		return g.say("lock.section"), g.say("lock.section_says")
	case authz.LockCompany:
		return g.say("lock.company"), g.say("lock.company_says")
	case authz.LockRemote:
		return g.say("lock.remote"), g.say("lock.remote_says")
	case authz.LockZone:
		return g.say("lock.zone"), g.say("lock.zone_says")
	case authz.LockAll:
		return g.say("lock.all"), g.say("lock.all_says")
	}
	return string(s), ""
}

// lockWhat is a scope with what it is aimed at.
func (h *house) lockWhat(r *web.Request, s authz.Scope, target string) string {
	name, _ := h.scopeWords(r, s)
	if !s.Aimed() || target == "" {
		return name
	}
	switch s {
	case authz.LockSection:
		target = sectionName(r, target)
	case authz.LockZone:
		target = zoneName(r, policy.ZoneID(target))
	case authz.LockApplication:
		target = lockAppName(r, target)
	case authz.LockTerminal:
		if t, ok := r.Policy().Terminal(target); ok && !t.Name.IsEmpty() {
			target = r.Say(t.Name)
		}
	}
	return name + h.tongue(r).say("me.colon") + target
}

func lockAppName(r *web.Request, id string) string {
	if a, ok := r.Policy().Application(id); ok && !a.Name.IsEmpty() {
		return r.Say(a.Name)
	}
	for _, c := range r.Policy().Clients {
		if c.ID == id && !c.Name.IsEmpty() {
			return r.Say(c.Name)
		}
	}
	return id
}

type lockFormPage struct {
	Rooms    []room
	Scope    string
	Title    string
	Says     string
	Aimed    bool
	Label    string // of the target
	Hint     string
	Choices  []choice // there are only these; none: it is typed
	Target   string
	Reason   string
	Minutes  string
	Most     int
	Articles []policy.Article
}

// lockForm asks at what, why and for how long. The sign-in that it takes comes
// first, so that nothing that was typed is lost on the way to it.
func (h *house) lockForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	q := r.URL.Query()
	back := "/lockdown/order?" + url.Values{"scope": {q.Get("scope")}, "target": {q.Get("target")}, "minutes": {q.Get("minutes")}}.Encode()
	if was := h.typedBefore(r, step, "/lockdown/order"); was.Form.Get("scope") == q.Get("scope") {
		q["reason"] = was.Form["reason"]
	}
	p, err := h.lockFormPage(r, step, q)
	if err != nil {
		return h.turned(w, r, err, back)
	}
	v := h.view(r, step, p)
	v.Switch = switchScope(r, p.Scope)
	return h.show(w, r, http.StatusOK, "lockorder", v)
}

// switchScope keeps the scope in the other language: without it there is no form.
func switchScope(r *web.Request, scope string) string {
	return switchURL(r, "/lockdown/order") + "&" + url.Values{"scope": {scope}}.Encode()
}

// usualLock is how long a lock-down lasts where nothing is typed, in minutes.
const usualLock = 60

func (h *house) lockFormPage(r *web.Request, step signin.Step, typed url.Values) (lockFormPage, error) {
	s := authz.Scope(typed.Get("scope"))
	if !slices.Contains(authz.Scopes(), s) {
		return lockFormPage{}, web.ErrNoPage
	}
	all, err := h.LockDown.Room(r.Context(), r.Origin, r.Cookie)
	switch {
	case err != nil:
		return lockFormPage{}, err
	case all.Refused != nil:
		return lockFormPage{}, all.Refused
	case all.StepUp != nil:
		return lockFormPage{}, all.StepUp
	}
	p := lockFormPage{
		Rooms: h.counters(r, step, "lockdown"), Scope: string(s), Aimed: s.Aimed(), Target: strings.TrimSpace(typed.Get("target")),
		Reason: strings.TrimSpace(typed.Get("reason")), Minutes: typed.Get("minutes"), Most: minutes(all.Longest), Articles: lockArticles,
	}
	name, says := h.scopeWords(r, s)
	p.Title, p.Says = h.tongue(r).say("lock.order")+h.tongue(r).say("me.colon")+name, says
	if p.Minutes == "" {
		p.Minutes = strconv.Itoa(min(usualLock, p.Most))
	}
	h.lockTargets(r, s, &p)
	return p, nil
}

// lockTargets says what a scope can be aimed at.
func (h *house) lockTargets(r *web.Request, s authz.Scope, p *lockFormPage) {
	g, rules := h.tongue(r), r.Policy()
	add := func(id, name string) { p.Choices = append(p.Choices, choice{id, name, id == p.Target}) }
	switch s {
	case authz.LockPerson:
		p.Label, p.Hint = g.say("lock.target_person"), g.say("lock.target_person_hint")
	case authz.LockCompany:
		p.Label, p.Hint = g.say("lock.target_company"), g.say("lock.target_company_hint")
	case authz.LockTerminal:
		p.Label, p.Hint = g.say("lock.target_terminal"), g.say("lock.target_terminal_hint")
	case authz.LockSection:
		p.Label = g.say("lock.target_section")
		for _, one := range rules.Sections {
			add(one.ID, sectionName(r, one.ID))
		}
	case authz.LockZone:
		p.Label = g.say("lock.target_zone")
		for _, one := range rules.Zones {
			add(string(one.ID), zoneName(r, one.ID))
		}
	case authz.LockApplication:
		p.Label = g.say("lock.target_application")
		for _, one := range rules.Applications {
			add(one.ID, lockAppName(r, one.ID))
		}
		for _, one := range rules.Clients {
			if one.Application == "" {
				add(one.ID, lockAppName(r, one.ID))
			}
		}
	}
}

type lockSeenPage struct {
	Rooms          []room
	Order          lockdown.Order
	What           string
	Until          template.HTML
	Lasts          string
	RatifyBy       template.HTML
	Ratifiers      []string
	Numbers        []numberLine
	People         []hitLine
	MorePeople     int
	Lent           []string
	Sections, Apps []countLine
	Closed, GoOn   []string
	Exempt         []string
	SparesSome     bool
	Self, Unread   bool
	Unknown        int
	Change         string // back to the form
	Articles       []policy.Article
}

// A numberLine is one number of the picture.
type numberLine struct {
	Name, Says string
	N          int
}

type hitLine struct {
	Name, Login, Section string
	Sessions             int
}

type countLine struct {
	Name string
	N    int
}

// mostHits is how many people are shown by name; there may be thousands.
const mostHits = 200

// lockPreview shows whom an order would hit, and asks for the last word. Nothing is
// changed by it.
func (h *house) lockPreview(w http.ResponseWriter, r *web.Request) error {
	step, order, done, err := h.lockTyped(w, r)
	if done || err != nil {
		return err
	}
	order.ID = ""
	pic, err := h.LockDown.Preview(r.Context(), r.Origin, r.Cookie, order)
	if err != nil {
		return h.lockAgain(w, r, step, order, err)
	}
	v := h.view(r, step, h.lockSeenPage(r, step, pic))
	v.Wide, v.Switch = true, switchScope(r, string(order.Scope))
	return h.show(w, r, http.StatusOK, "lockseen", v)
}

// lockTyped reads an order from the form. Minutes that are no number are 0, which
// the service refuses.
func (h *house) lockTyped(w http.ResponseWriter, r *web.Request) (signin.Step, lockdown.Order, bool, error) {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return step, lockdown.Order{}, done, err
	}
	typed := r.PostForm
	n, err := strconv.Atoi(narrowed(typed.Get("minutes")))
	if err != nil {
		n = 0
	}
	return step, lockdown.Order{
		Scope: authz.Scope(typed.Get("scope")), Target: typed.Get("target"), Reason: typed.Get("reason"), Minutes: n, ID: typed.Get("id"),
	}, false, nil
}

// lockAgain shows the form with what is wrong with an order. A sign-in that has
// grown old meanwhile leads back to it.
func (h *house) lockAgain(w http.ResponseWriter, r *web.Request, step signin.Step, o lockdown.Order, err error) error {
	back := lockChange(o)
	said, ok := h.inOffice(w, r, err)
	if !ok {
		return h.turned(w, r, err, back)
	}
	p, err := h.lockFormPage(r, step, r.PostForm)
	if err != nil {
		return h.turned(w, r, err, back)
	}
	for i, f := range said.Faults {
		if f.Field != "target" && f.Field != "reason" && f.Field != "minutes" || f.Field == "target" && !p.Aimed {
			said.Faults[i].Field = ""
		}
	}
	v := h.view(r, step, p)
	v.Faults, v.Articles, v.Switch = said.Faults, said.Articles, switchScope(r, p.Scope)
	return h.show(w, r, said.Status, "lockorder", v)
}

func lockChange(o lockdown.Order) string {
	q := url.Values{"scope": {string(o.Scope)}, "minutes": {strconv.Itoa(o.Minutes)}}
	if o.Target != "" {
		q.Set("target", o.Target)
	}
	return "/lockdown/order?" + q.Encode()
}

func (h *house) lockSeenPage(r *web.Request, step signin.Step, pic lockdown.Picture) lockSeenPage {
	g, now := h.tongue(r), h.srv.Now()
	what := h.lockWhat(r, pic.Order.Scope, pic.Order.Target)
	if pic.Name != "" {
		what += g.say("me.dot") + pic.Name
	}
	p := lockSeenPage{
		Rooms: h.counters(r, step, "lockdown"), Order: pic.Order, What: what, Until: g.near(pic.EndsAt, now),
		Lasts: g.lasting(time.Duration(pic.Order.Minutes) * time.Minute), Lent: namedOf(pic.Lent), Exempt: h.exempt(r, pic.Exempt), Ratifiers: namedOf(pic.Ratifiers),
		Self: pic.Self, Unread: pic.Unread, Unknown: pic.Unknown, Change: lockChange(pic.Order), Articles: lockArticles,
		SparesSome: pic.Order.Scope != authz.LockPerson && pic.Order.Scope != authz.LockTerminal && pic.Order.Scope != authz.LockApplication,
	}
	p.Order.ID = pic.ID
	if by := pic.RatifyBy; !by.IsZero() {
		if by.After(pic.EndsAt) {
			by = pic.EndsAt // it ends before
		}
		p.RatifyBy = g.near(by, now)
	}
	p.Numbers = []numberLine{
		{g.say("lock.n_people"), g.say("lock.n_people_says"), len(pic.People)},
		{g.say("lock.n_sessions"), g.say("lock.n_sessions_says", "Apps", pic.Hosts), pic.Sessions},
		{g.say("lock.n_leases"), g.say("lock.n_leases_says"), pic.Leases},
		{g.say("lock.n_closed"), g.say("lock.n_closed_says"), len(pic.Closed)},
		{g.say("lock.n_spared"), g.say("lock.n_spared_says"), pic.Spared},
		{g.say("lock.n_excepted"), g.say("lock.n_excepted_says"), pic.Excepted},
	}
	for i, one := range pic.People {
		if i == mostHits {
			p.MorePeople = len(pic.People) - mostHits
			break
		}
		line := hitLine{one.Name, one.Login, sectionName(r, one.Section), one.Sessions}
		if line.Name == "" {
			line.Name = line.Login
		}
		p.People = append(p.People, line)
	}
	for _, c := range pic.Sections {
		name := sectionName(r, c.ID)
		if name == "" {
			name = g.say("lock.no_section")
		}
		p.Sections = append(p.Sections, countLine{name, c.Count})
	}
	for _, c := range pic.Apps {
		p.Apps = append(p.Apps, countLine{lockAppName(r, c.ID), c.Count})
	}
	for _, id := range pic.Closed {
		p.Closed = append(p.Closed, lockAppName(r, id))
	}
	for _, id := range pic.GoOn {
		p.GoOn = append(p.GoOn, lockAppName(r, id))
	}
	return p
}

func namedOf(list []lockdown.Named) []string {
	var out []string
	for _, n := range list {
		name := n.Name
		if name == "" {
			name = n.Login
		}
		out = append(out, name)
	}
	return out
}

// exempt names whom a lock-down spares, and as what.
func (h *house) exempt(r *web.Request, list []lockdown.Named) []string {
	g := h.tongue(r)
	var out []string
	for i, name := range namedOf(list) {
		as := postNames(r, []policy.PostID{policy.CIO})[0]
		if list[i].Custodian {
			as = g.say("lock.custodian")
		}
		out = append(out, g.say("lock.exempt", "Name", name, "As", as))
	}
	return out
}

// lockOrder gives the order that was looked at.
func (h *house) lockOrder(w http.ResponseWriter, r *web.Request) error {
	step, order, done, err := h.lockTyped(w, r)
	if done || err != nil {
		return err
	}
	l, err := h.LockDown.Order(r.Context(), r.Origin, r.Cookie, order)
	if err != nil {
		return h.lockAgain(w, r, step, order, err)
	}
	h.dropTyped(r, step, "/lockdown/order")
	to := url.Values{}
	if l.Live(h.srv.Now()) {
		to.Set("done", "ordered")
	}
	return redirect(w, r, "/lockdown", to)
}

func (h *house) lockRatify(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if _, err := h.LockDown.Ratify(r.Context(), r.Origin, r.Cookie, r.PathValue("id")); err != nil {
		return h.turned(w, r, err, "/lockdown")
	}
	return redirect(w, r, "/lockdown", url.Values{"done": {"ratified"}})
}

func (h *house) lockLift(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id, why := r.PathValue("id"), strings.TrimSpace(r.PostForm.Get("reason"))
	again := func(said refused) error {
		for i, f := range said.Faults {
			if f.Field == "reason" {
				said.Faults[i].Field = "reason-" + id
			}
		}
		return h.lockRoom(w, r, id, why, said)
	}
	if faults := h.text(r, "reason", why, lockdown.MaxReason, true); len(faults) > 0 {
		return again(refused{http.StatusUnprocessableEntity, faults, nil})
	}
	if err := h.LockDown.Lift(r.Context(), r.Origin, r.Cookie, id, why); err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return again(said)
		}
		return h.turned(w, r, err, "/lockdown")
	}
	h.dropTyped(r, step, "/lockdown")
	return redirect(w, r, "/lockdown", url.Values{"done": {"lifted"}})
}
