package page

import (
	"context"
	"io"
	"net/http"
	"net/url"
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
	// EndRemote ends one of them.
	EndRemote(ctx context.Context, o signin.Origin, cookie, id, reason string) error
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
	m("POST /live/remote/{id}/end", h.endRemote)
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
