package page

import (
	"html/template"
	"net/http"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/lockdown"
	"sekisho/policy"
	"sekisho/web"
)

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
