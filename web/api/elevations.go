package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// Desk is where privilege is borrowed, decided and given back; web/desk is one.
type Desk interface {
	Privileges(ctx context.Context, o signin.Origin, cookie string) ([]desk.Privilege, error)
	Ask(ctx context.Context, o signin.Origin, cookie string, w desk.Wish) (desk.Lease, error)
	Lease(ctx context.Context, o signin.Origin, cookie, id string) (desk.Lease, error)
	Leases(ctx context.Context, o signin.Origin, cookie string, f desk.Filter) (desk.List, error)
	Do(ctx context.Context, o signin.Origin, cookie, id string, a desk.Act, s desk.Said) (desk.Lease, error)
	Reviews(ctx context.Context, o signin.Origin, cookie string) (desk.Reviews, error)
	Review(ctx context.Context, o signin.Origin, cookie, decision string, objects bool, comment string) error
	Findings(ctx context.Context, o signin.Origin, cookie string) ([]desk.Finding, error)
	TakeUp(ctx context.Context, o signin.Origin, cookie, id, note string) error
}

// What each act does, for the document.
var actsSay = map[desk.Act]string{
	desk.Approve:     "Says yes, as one of those who decide.",
	desk.Deny:        "Says no, which ends the request.",
	desk.Cancel:      "Takes back one's own request, or an approval that was not used.",
	desk.Activate:    "Starts an approved lease: its time begins. An ID that is lent with it is answered once.",
	desk.Renew:       "Sets a new password for the ID that is lent, and answers it once: the answer with the first may have been lost.",
	desk.Extend:      "Asks for more minutes, which is decided anew.",
	desk.End:         "Gives the privilege back.",
	desk.Revoke:      "Takes the privilege away from somebody.",
	desk.Witness:     "Joins a lease of two people as its second, or confirms to be there.",
	desk.Report:      "Hands in the work record that is owed.",
	desk.Countersign: "Confirms a work record.",
	desk.Judge:       "Says whether a use without approval was right.",
}

func (v *service) deskOperations() []operation {
	if v.Desk == nil {
		return nil
	}
	ops := []operation{
		{method: "GET", path: "/api/v1/privileges", says: "What one may ask for, with what it needs.", handle: v.privileges,
			status: 200, answer: list[privilegeItem]{}},
		{method: "GET", path: "/api/v1/elevations", says: "Leases: one's own, those that wait for one's decision, or those one may see.", handle: v.elevations,
			status: 200, answer: list[elevation]{}, query: elevationQuery, numbers: []string{"limit"}, codes: toRead},
		{method: "POST", path: "/api/v1/elevations", says: "Asks for a privilege.", handle: v.askFor(false),
			body: wish{}, status: 201, answer: elevation{}, once: true, codes: toAct},
		{method: "POST", path: "/api/v1/elevations/emergency", says: "Takes a privilege without approval; a report is owed.", handle: v.askFor(true),
			body: wish{}, status: 201, answer: elevation{}, once: true, codes: toAct},
		{method: "GET", path: "/api/v1/elevations/{id}", says: "One lease, and what the reader may do about it.", handle: v.elevation,
			status: 200, answer: elevation{}, codes: append([]string{web.CodeNotFound}, toRead...)},
	}
	for _, a := range desk.Acts() {
		ops = append(ops, operation{
			method: "POST", path: "/api/v1/elevations/{id}/" + string(a), says: actsSay[a], handle: v.elevate(a),
			body: deed{}, status: 200, answer: elevation{}, once: true, codes: toAct,
		})
	}
	return ops
}

type privilegeItem struct {
	ID               string          `json:"id"`
	Name             string          `json:"name"`
	Gives            []string        `json:"gives"`
	UsualMinutes     int             `json:"usual_minutes"`
	MaxMinutes       int             `json:"max_minutes"`
	Approvers        []policy.PostID `json:"approvers"`
	Quorum           int             `json:"quorum"`
	AllPosts         bool            `json:"all_posts"` // one of each post
	Ticket           *string         `json:"ticket"`    // the pattern of the ticket that is asked for
	TwoPerson        bool            `json:"two_person"`
	Emergency        bool            `json:"emergency"`
	EmergencyMinutes int             `json:"emergency_minutes"` // the longest without approval; 0: not so
	WorkRecord       bool            `json:"work_record"`
	OutlivesSession  bool            `json:"outlives_session"`
	Available        bool            `json:"available"`    // one could ask now
	Why              *string         `json:"why"`          // and if not, why
	RequiredACR      *string         `json:"required_acr"` // the sign-in that asking takes first
	MaxAge           *int64          `json:"max_age"`      // and how recent it is, in seconds
}

func (v *service) privileges(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	lent, err := v.Desk.Privileges(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	items := make([]privilegeItem, 0, len(lent))
	for _, p := range lent {
		item := privilegeItem{
			ID: p.ID, Name: r.Say(p.Name), Gives: []string{}, UsualMinutes: inMinutes(p.Usual), MaxMinutes: inMinutes(p.Longest),
			Approvers: orEmpty(p.Approvers), Quorum: p.Quorum, AllPosts: p.All, Ticket: orNull(p.Ticket), TwoPerson: p.TwoPerson, Emergency: p.Emergency,
			WorkRecord: p.WorkRecord, OutlivesSession: p.Outlives, Available: p.Refused.Why.IsEmpty(), Why: orNull(r.Say(p.Refused.Why)),
		}
		for _, g := range p.Gives {
			item.Gives = append(item.Gives, r.Say(g))
		}
		if p.Emergency {
			item.EmergencyMinutes = inMinutes(p.ShortestTime)
		}
		if need := p.StepUp; need != nil {
			seconds := int64(need.MaxAge / time.Second)
			item.RequiredACR, item.MaxAge = orNull(string(need.Required)), &seconds
		}
		items = append(items, item)
	}
	return write(w, http.StatusOK, listOf(items))
}

func inMinutes(d time.Duration) int { return int(d / time.Minute) }

type decisionItem struct {
	By       string     `json:"by"`
	Decision string     `json:"decision"` // approve or deny
	At       *time.Time `json:"at"`
	Comment  string     `json:"comment"`
	Acting   bool       `json:"acting"` // in a holder's place
}

func (e elevation) showsSecret() bool { return e.Account != nil }

// lentAccount is an ID that is lent. The password is there once.
type lentAccount struct {
	Login    string `json:"login"`
	Password string `json:"password,omitempty"`
}

type judgement struct {
	By      string     `json:"by"`
	At      *time.Time `json:"at"`
	Comment string     `json:"comment"`
}

type elevation struct {
	ID            string         `json:"id"`
	State         string         `json:"state"`
	Privilege     string         `json:"privilege"`
	Requester     string         `json:"requester"`
	Reason        string         `json:"reason"`
	Ticket        string         `json:"ticket"`
	Minutes       int            `json:"minutes"`
	RequestedAt   *time.Time     `json:"requested_at"`
	LapsesAt      *time.Time     `json:"lapses_at"`
	Decisions     []decisionItem `json:"decisions"`
	ApprovedUntil *time.Time     `json:"approved_until"`
	StartedAt     *time.Time     `json:"started_at"`
	EndsAt        *time.Time     `json:"ends_at"`
	EndedAt       *time.Time     `json:"ended_at"`
	EndedBy       *string        `json:"ended_by"`
	EndReason     *string        `json:"end_reason"`
	Account       *lentAccount   `json:"account,omitempty"`
	Cleanup       string         `json:"cleanup"` // none, pending or confirmed
	Emergency     bool           `json:"emergency"`
	Times         int            `json:"times"` // of emergency uses within the incident
	Judgement     *judgement     `json:"judgement"`
	ReportOwed    bool           `json:"report_owed"`
	ReportDue     *time.Time     `json:"report_due"`
	Report        *string        `json:"report"`
	Countersigned *judgement     `json:"countersigned"`
	TwoPerson     bool           `json:"two_person"`
	Witness       *string        `json:"witness"`
	WitnessDue    *time.Time     `json:"witness_due"`
	Paused        bool           `json:"paused"`
	Shut          bool           `json:"shut"` // the reader's privileged session is over: it gives nothing at the gate until they sign in anew
	Extending     bool           `json:"extending"`
	May           []desk.Act     `json:"may"` // what the reader may do
	// CSRFToken goes with the cookie that an activation sets.
	CSRFToken string `json:"csrf_token,omitempty"`
}

func elevationOf(l desk.Lease) elevation {
	out := elevation{
		ID: l.ID, State: string(l.State), Privilege: l.Privilege.ID, Requester: l.Requester.Login, Reason: l.Reason, Ticket: l.Ticket, Minutes: l.Minutes,
		RequestedAt: stamp(l.RequestedAt), LapsesAt: stamp(l.LapsesAt), Decisions: []decisionItem{}, ApprovedUntil: stamp(l.ApprovedUntil),
		StartedAt: stamp(l.StartedAt), EndsAt: stamp(l.EndsAt), EndedAt: stamp(l.EndedAt), EndedBy: orNull(l.EndedBy.Login), EndReason: orNull(l.EndReason),
		Cleanup: l.Cleanup, Emergency: l.Emergency, Times: l.Times, ReportOwed: l.Record.Owed, ReportDue: stamp(l.Record.Due), Report: orNull(l.Record.Text),
		TwoPerson: l.Privilege.TwoPerson, Witness: orNull(l.Witness.Login), WitnessDue: stamp(l.WitnessDue), Paused: l.Paused, Shut: l.Shut, Extending: l.Extending, May: []desk.Act{},
	}
	if out.Cleanup == "" {
		out.Cleanup = "none"
	}
	for _, d := range l.Decisions {
		said, by := "deny", d.By.Login
		if d.Standing {
			by = "standing decision"
		}
		if d.Yes {
			said = "approve"
		}
		out.Decisions = append(out.Decisions, decisionItem{by, said, stamp(d.At), d.Comment, d.Acting})
	}
	if l.Account.Login != "" {
		out.Account = &lentAccount{l.Account.Login, string(l.Account.Password.Reveal())}
	}
	if !l.Judgement.At.IsZero() {
		out.Judgement = &judgement{l.Judgement.By.Login, stamp(l.Judgement.At), l.Judgement.Comment}
	}
	if !l.Record.At.IsZero() {
		out.Countersigned = &judgement{l.Record.By.Login, stamp(l.Record.At), l.Record.Comment}
	}
	for _, a := range desk.Acts() {
		if l.May[a].OK {
			out.May = append(out.May, a)
		}
	}
	if l.Raised != nil {
		out.CSRFToken = l.Raised.CSRF
	}
	return out
}

// elevationQuery are the filters of the list.
var elevationQuery = []string{"state", "mine", "to_approve", "after", "limit"}

func (v *service) elevations(w http.ResponseWriter, r *web.Request) error {
	f, err := elevationFilter(r.URL.Query())
	if err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	found, err := v.Desk.Leases(r.Context(), r.Origin, r.Cookie, f)
	if err != nil {
		return err
	}
	items := make([]elevation, 0, len(found.Leases))
	for _, l := range found.Leases {
		items = append(items, elevationOf(l))
	}
	return write(w, http.StatusOK, list[elevation]{items, orNull(found.Next)})
}

// mostLeases is how many a list answers at most.
const mostLeases = 100

// elevationFilter reads the query.
func elevationFilter(q url.Values) (desk.Filter, error) {
	in := filtersOf(q, elevationQuery, longestFilter)
	f := desk.Filter{State: desk.State(in.Get("state")), Mine: in.yes("mine"), ToApprove: in.yes("to_approve"), After: in.Get("after"), Limit: in.limit(mostLeases)}
	if f.State != "" && !slices.Contains(desk.States(), f.State) {
		in.refuse("state", "unknown", "この状態はありません。", "There is no such state.")
	}
	if err := in.err(); err != nil {
		return desk.Filter{}, err
	}
	return f, nil
}

func (v *service) elevation(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	l, err := v.Desk.Lease(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, elevationOf(l))
}

type wish struct {
	Privilege string `json:"privilege"`
	Reason    string `json:"reason"`
	Ticket    string `json:"ticket,omitempty"`
	Minutes   int    `json:"minutes"`
}

// askFor asks for a privilege, or takes it without approval. Under an
// Idempotency-Key the desk makes one lease whatever was lost on the way.
func (v *service) askFor(emergency bool) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		var in wish
		if err := r.DecodeJSON(&in); err != nil {
			return err
		}
		for _, f := range []struct{ name, value string }{{"privilege", in.Privilege}, {"reason", in.Reason}} {
			if err := required(f.name, f.value, maxText); err != nil {
				return err
			}
		}
		if in.Minutes < 1 {
			return web.Invalid(web.FieldError{Field: "minutes", Rule: "number", Detail: policy.Words{
				JA: "1以上の数で指定してください。", EN: "Give a number of minutes, at least 1."}})
		}
		return v.creating(w, r, func() (any, *signin.Step, error) {
			l, err := v.Desk.Ask(r.Context(), r.Origin, r.Cookie, desk.Wish{
				Privilege: in.Privilege, Reason: in.Reason, Ticket: in.Ticket, Minutes: in.Minutes, Emergency: emergency, Key: r.Header.Get("Idempotency-Key"),
			})
			return elevationOf(l), l.Raised, err
		})
	}
}

// deed goes along with an act; each needs some of it at most.
type deed struct {
	Comment string `json:"comment,omitempty"`
	Minutes int    `json:"minutes,omitempty"`
	Report  string `json:"report,omitempty"`
}

// elevate does one act, and answers the lease as it is after it.
func (v *service) elevate(a desk.Act) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		var in deed
		if err := r.DecodeJSON(&in); err != nil {
			return err
		}
		if in.Comment == "" && (a == desk.Deny || a == desk.Revoke) {
			in.Comment = unsaid
		}
		switch {
		case a == desk.Report:
			if err := required("report", in.Report, maxReport); err != nil {
				return err
			}
		case in.Minutes < 0:
			return web.Invalid(web.FieldError{Field: "minutes", Rule: "number", Detail: policy.Words{
				JA: "1以上の数で指定してください。", EN: "Give a number of minutes, at least 1."}})
		case len(in.Comment) > maxText:
			return web.Invalid(web.FieldError{Field: "comment", Rule: "too_long", Detail: policy.Words{JA: "長すぎます。", EN: "This is too long."}})
		}
		return v.answering(w, r, http.StatusOK, func() (any, *signin.Step, error) {
			l, err := v.Desk.Do(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), a, desk.Said{Comment: in.Comment, Minutes: in.Minutes, Report: in.Report})
			return elevationOf(l), l.Raised, err
		})
	}
}

// unsaid stands for a reason where a program gave none: a page asks for it, and
// the contract lets programs do without.
const unsaid = "理由の記入なし / no reason given"

// maxReport bounds a work record, in bytes.
const maxReport = 16_000
