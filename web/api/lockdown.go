package api

import (
	"context"
	"net/http"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/lockdown"
	"sekisho/web"
)

// LockDown stops a part of everything; authz/lockdown is one. Who may do what is
// its to say.
type LockDown interface {
	Preview(ctx context.Context, o signin.Origin, cookie string, r lockdown.Order) (lockdown.Picture, error)
	Order(ctx context.Context, o signin.Origin, cookie string, r lockdown.Order) (authz.LockDown, error)
	Ratify(ctx context.Context, o signin.Origin, cookie, id string) (authz.LockDown, error)
	Lift(ctx context.Context, o signin.Origin, cookie, id, reason string) error
	List(ctx context.Context, o signin.Origin, cookie string) ([]authz.LockDown, error)
}

func (v *service) lockDownOperations() []operation {
	return []operation{
		{method: "GET", path: "/api/v1/lockdown", says: "The last lock-downs, in force or over, newest first.", handle: v.lockDowns,
			status: 200, answer: list[lockDownItem]{}, codes: toRead},
		{method: "POST", path: "/api/v1/lockdown", says: "Stops a part of everything: sessions and leases in scope end, sign-in is refused.", handle: v.orderLockDown,
			body: lockDownOrder{}, status: 201, answer: lockDownItem{}, once: true, codes: toRead},
		{method: "POST", path: "/api/v1/lockdown/preview", says: "Whom a lock-down would hit. Nothing is changed.", handle: v.previewLockDown,
			body: lockDownOrder{}, status: 200, answer: lockDownPicture{}, codes: toRead},
		{method: "POST", path: "/api/v1/lockdown/{id}/ratify", says: "The CIO makes their own what CSIRT ordered under delegation.", handle: v.ratifyLockDown,
			body: struct{}{}, status: 200, answer: lockDownItem{}, codes: append([]string{web.CodeNotFound}, toRead...)},
		{method: "DELETE", path: "/api/v1/lockdown/{id}", says: "Lifts a lock-down. What it ended stays ended.", handle: v.liftLockDown,
			body: lockDownLift{}, status: 204, codes: append([]string{web.CodeNotFound}, toRead...)},
	}
}

type lockDownOrder struct {
	Scope   string `json:"scope"` // person, section, application, zone, company, terminal, remote or all
	Target  string `json:"target,omitempty"`
	Reason  string `json:"reason"`
	Minutes int    `json:"minutes"`
}

func (r lockDownOrder) order() lockdown.Order {
	return lockdown.Order{Scope: authz.Scope(r.Scope), Target: r.Target, Reason: r.Reason, Minutes: r.Minutes}
}

type lockDownLift struct {
	Reason string `json:"reason"`
}

type lockDownItem struct {
	ID         string     `json:"id"`
	Scope      string     `json:"scope"`
	Target     string     `json:"target"`
	Reason     string     `json:"reason"`
	By         string     `json:"by"`
	OrderedAt  *time.Time `json:"ordered_at"`
	EndsAt     *time.Time `json:"ends_at"`
	InForce    bool       `json:"in_force"`
	RatifyBy   *time.Time `json:"ratify_by"` // null: ordered by the CIO
	RatifiedAt *time.Time `json:"ratified_at"`
	RatifiedBy string     `json:"ratified_by"`
	LiftedAt   *time.Time `json:"lifted_at"`
	LiftedBy   string     `json:"lifted_by"`
	LiftReason string     `json:"lift_reason"`
	SealedKey  bool       `json:"sealed_key"` // lifted by a sealed key
}

func lockDownOf(l authz.LockDown, now time.Time) lockDownItem {
	return lockDownItem{
		ID: l.ID, Scope: string(l.Scope), Target: l.Target, Reason: l.Reason, By: l.By,
		OrderedAt: stamp(l.OrderedAt), EndsAt: stamp(l.EndsAt), InForce: l.Live(now), RatifyBy: stamp(l.RatifyBy),
		RatifiedAt: stamp(l.RatifiedAt), RatifiedBy: l.RatifiedBy, LiftedAt: stamp(l.LiftedAt), LiftedBy: l.LiftedBy,
		LiftReason: l.LiftReason, SealedKey: l.Sealed,
	}
}

type lockDownPicture struct {
	By       string         `json:"by"` // cio or delegated
	EndsAt   *time.Time     `json:"ends_at"`
	RatifyBy *time.Time     `json:"ratify_by"`
	Sessions int            `json:"sessions"`
	Hosts    int            `json:"application_sessions"` // among them
	Leases   int            `json:"leases"`               // people who lose what they were lent
	Spared   int            `json:"spared"`
	Excepted int            `json:"excepted"`
	Self     bool           `json:"self"`
	People   []lockDownHit  `json:"people"`
	Sections []lockDownPart `json:"sections"`
	Apps     []lockDownPart `json:"applications"`
	Lent     []string       `json:"lent"`        // logins of those who lose what they were lent
	Exempt   []string       `json:"exempt"`      // logins of the CIO and the custodians, where it spares them
	Ratifies []string       `json:"ratified_by"` // logins of those who may ratify it, where it needs that
	Closed   []string       `json:"closed"`      // applications closed to everybody else
	GoOn     []string       `json:"go_on"`       // applications that were excepted
}

type lockDownHit struct {
	Login    string `json:"login"`
	Name     string `json:"name"`
	Section  string `json:"section"`
	Sessions int    `json:"sessions"`
}

type lockDownPart struct {
	ID       string `json:"id"`
	Sessions int    `json:"sessions"`
}

func logins(people []lockdown.Named) []string {
	out := make([]string, 0, len(people))
	for _, n := range people {
		out = append(out, n.Login)
	}
	return out
}

func parts(counted []lockdown.Counted) []lockDownPart {
	out := make([]lockDownPart, 0, len(counted))
	for _, c := range counted {
		out = append(out, lockDownPart{c.ID, c.Count})
	}
	return out
}

func (v *service) lockDowns(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	all, err := v.LockDown.List(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	items := make([]lockDownItem, 0, len(all))
	for _, l := range all {
		items = append(items, lockDownOf(l, v.srv.Now()))
	}
	return write(w, http.StatusOK, list[lockDownItem]{items, nil})
}

func (v *service) readOrder(r *web.Request) (lockDownOrder, error) {
	var in lockDownOrder
	if err := r.DecodeJSON(&in); err != nil {
		return in, err
	}
	if r.Cookie == "" {
		return in, signin.ErrNone
	}
	return in, nil
}

func (v *service) previewLockDown(w http.ResponseWriter, r *web.Request) error {
	in, err := v.readOrder(r)
	if err != nil {
		return err
	}
	p, err := v.LockDown.Preview(r.Context(), r.Origin, r.Cookie, in.order())
	if err != nil {
		return err
	}
	out := lockDownPicture{
		By: string(p.Right), EndsAt: stamp(p.EndsAt), RatifyBy: stamp(p.RatifyBy), Sessions: p.Sessions, Hosts: p.Hosts, Leases: p.Leases,
		Spared: p.Spared, Excepted: p.Excepted, Self: p.Self, People: []lockDownHit{}, Sections: parts(p.Sections), Apps: parts(p.Apps),
		Lent: logins(p.Lent), Exempt: logins(p.Exempt), Ratifies: logins(p.Ratifiers), Closed: orEmpty(p.Closed), GoOn: orEmpty(p.GoOn),
	}
	for _, h := range p.People {
		out.People = append(out.People, lockDownHit(h))
	}
	return write(w, http.StatusOK, out)
}

func (v *service) orderLockDown(w http.ResponseWriter, r *web.Request) error {
	in, err := v.readOrder(r)
	if err != nil {
		return err
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		l, err := v.LockDown.Order(r.Context(), r.Origin, r.Cookie, in.order())
		return lockDownOf(l, v.srv.Now()), nil, err
	})
}

func (v *service) ratifyLockDown(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	l, err := v.LockDown.Ratify(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, lockDownOf(l, v.srv.Now()))
}

func (v *service) liftLockDown(w http.ResponseWriter, r *web.Request) error {
	var in lockDownLift
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	if err := required("reason", in.Reason, maxText); err != nil {
		return err
	}
	if err := v.LockDown.Lift(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Reason); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
