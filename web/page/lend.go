package page

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

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
		{"recertify", g.say("recertify.title"), h.recertifies(r, step)}, {"live", g.say("live.title"), all}, {"findings", g.say("findings.title"), all},
		{"lockdown", g.say("lock.title"), h.LockDown != nil && guards(r.Policy().PostsOf(step.Person.Groups))},
		{"reports", g.say("reports.title"), len(h.readable(r, step)) > 0},
		{"trail", g.say("trail.short"), h.Trail != nil && searches(r, step)},
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
