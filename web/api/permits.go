package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/permit"
	"sekisho/policy"
	"sekisho/web"
)

// Permits is the register of permissions; authz/permit has one.
type Permits interface {
	Signed(ctx context.Context, o signin.Origin, cookie string) (permit.By, error)
	Ask(ctx context.Context, by permit.By, w permit.Wish) (permit.Permit, error)
	Get(ctx context.Context, by permit.By, id string) (permit.Permit, error)
	List(ctx context.Context, by permit.By, f permit.Filter) ([]permit.Permit, string, error)
	Decide(ctx context.Context, by permit.By, id string, yes bool, comment string, confirmed []string) (permit.Permit, error)
	Cancel(ctx context.Context, by permit.By, id, comment string) (permit.Permit, error)
	End(ctx context.Context, by permit.By, id, comment string) (permit.Permit, error)
	Revoke(ctx context.Context, by permit.By, id, comment string) (permit.Permit, error)
	Decisions(ctx context.Context, m permit.Permit) ([]approval.Decision, error)
	Confirmations(m permit.Permit) []approval.Confirmation
}

// permitActs are what is done to a permit, in the order of the contract.
var permitActs = []struct{ name, says string }{
	{"approve", "Says yes, as one of those who decide; confirmations are the ids or articles of what the kind has them confirm."},
	{"deny", "Says no, which ends the request."},
	{"cancel", "Takes back one's own request."},
	{"end", "Gives a permit back."},
	{"revoke", "Takes a permit away from somebody; what rests on it ends at once."},
}

func (v *service) permitOperations() []operation {
	if v.Permits == nil {
		return nil
	}
	ops := []operation{
		{method: "GET", path: "/api/v1/permits", says: "Permits: one's own, those that wait for one's decision, or those one may see.", handle: v.permits,
			status: 200, answer: list[permitItem]{}, query: permitQuery, numbers: []string{"limit"}, codes: toRead},
		{method: "POST", path: "/api/v1/permits", says: "Asks for a permit: kind, reason, from, until, person, and what the kind has stated.", handle: v.askPermit,
			body: json.RawMessage{}, status: 201, answer: permitItem{}, once: true, codes: toAct},
		{method: "GET", path: "/api/v1/permits/{id}", says: "One permit.", handle: v.permit,
			status: 200, answer: permitItem{}, codes: append([]string{web.CodeNotFound}, toRead...)},
	}
	for _, a := range permitActs {
		ops = append(ops, operation{
			method: "POST", path: "/api/v1/permits/{id}/" + a.name, says: a.says, handle: v.onPermit(a.name),
			body: permitDeed{}, status: 200, answer: permitItem{}, once: true, codes: toAct,
		})
	}
	return ops
}

type confirmationItem struct {
	ID      string         `json:"id"`
	Article policy.Article `json:"article"`
	Says    string         `json:"says"`
	Instead *string        `json:"instead"` // the one whose place it takes: an exception
}

type hoursItem struct {
	From  string `json:"from"`
	Until string `json:"until"`
}

type doneItem struct {
	At   *time.Time `json:"at"`
	By   string     `json:"by"`
	What string     `json:"what"`
}

type permitItem struct {
	ID            string             `json:"id"`
	Kind          string             `json:"kind"`
	State         string             `json:"state"`
	Person        string             `json:"person"`
	Requester     string             `json:"requester"`
	Reason        string             `json:"reason"`
	From          *time.Time         `json:"from"`
	Until         *time.Time         `json:"until"`
	RequestedAt   *time.Time         `json:"requested_at"`
	LapsesAt      *time.Time         `json:"lapses_at"`
	ApprovedAt    *time.Time         `json:"approved_at"`
	EndsAt        *time.Time         `json:"ends_at"`
	EndedAt       *time.Time         `json:"ended_at"`
	EndedBy       *string            `json:"ended_by"`
	EndReason     *string            `json:"end_reason"`
	LastUsedAt    *time.Time         `json:"last_used_at"`
	Renews        *string            `json:"renews"`
	Decisions     []decisionItem     `json:"decisions"`
	Confirmed     []string           `json:"confirmed"`
	Confirmations []confirmationItem `json:"confirmations"` // what a yes must confirm

	Terminal     string      `json:"terminal,omitempty"`
	Applications []string    `json:"applications,omitempty"`
	Networks     []string    `json:"networks,omitempty"`
	Days         []string    `json:"days,omitempty"`
	Hours        []hoursItem `json:"hours,omitempty"`
	Application  string      `json:"application,omitempty"`
	FromZone     string      `json:"from_zone,omitempty"`
	Path         string      `json:"path,omitempty"`
	Protocol     string      `json:"protocol,omitempty"`
	Stated       []stated    `json:"stated"` // everything that was stated, by field
	Done         *doneItem   `json:"done"`   // what was done under it (article 26-2)
}

type stated struct {
	Field  string   `json:"field"`
	Values []string `json:"values"`
}

func (v *service) permitOf(r *web.Request, m permit.Permit) (permitItem, error) {
	now := v.srv.Now()
	out := permitItem{
		ID: m.ID, Kind: m.Kind, State: string(m.State(now)), Person: m.Person.Login, Requester: m.Requester.Login, Reason: m.Reason,
		From: stamp(m.From), Until: stamp(m.Until), RequestedAt: stamp(m.AskedAt), ApprovedAt: stamp(m.DecidedAt), EndsAt: stamp(m.EndsAt()),
		EndedAt: stamp(m.EndedAt), EndedBy: orNull(m.EndedBy.Login), EndReason: orNull(m.EndReason), LastUsedAt: stamp(m.UsedAt), Renews: orNull(m.Renews),
		Decisions: []decisionItem{}, Confirmed: orEmpty(m.Confirmed), Confirmations: []confirmationItem{}, Stated: []stated{},
		Terminal: m.Stated.One("terminal"), Applications: m.Stated["applications"], Networks: m.Stated["networks"], Days: m.Stated["days"],
		Application: m.Stated.One("application"), FromZone: m.Stated.One("from_zone"), Path: m.Stated.One("path"), Protocol: m.Stated.One("protocol"),
	}
	if out.State == string(permit.Pending) {
		out.LapsesAt = stamp(m.LapsesAt)
		for _, c := range v.Permits.Confirmations(m) {
			out.Confirmations = append(out.Confirmations, confirmationItem{c.ID, c.Article, r.Say(c.Says), orNull(c.Instead)})
		}
	}
	for _, h := range m.Stated["hours"] {
		from, until, _ := strings.Cut(h, "-")
		out.Hours = append(out.Hours, hoursItem{from, until})
	}
	for field, values := range m.Stated {
		out.Stated = append(out.Stated, stated{field, values})
	}
	slices.SortFunc(out.Stated, func(a, b stated) int { return strings.Compare(a.Field, b.Field) })
	if !m.Done.Wrote.IsZero() {
		out.Done = &doneItem{stamp(m.Done.At), m.Done.By, m.Done.What}
	}
	made, err := v.Permits.Decisions(r.Context(), m)
	if err != nil {
		return permitItem{}, err
	}
	for _, d := range made {
		said, by := "deny", d.By.Login
		if d.How == approval.ByStanding {
			by = "standing decision"
		}
		if d.Yes {
			said = "approve"
		}
		out.Decisions = append(out.Decisions, decisionItem{by, said, stamp(d.At), d.Comment, d.How.Reviewed()})
	}
	return out, nil
}

// permitQuery are the filters of the list.
var permitQuery = []string{"kind", "state", "mine", "to_approve", "after", "limit"}

func (v *service) permits(w http.ResponseWriter, r *web.Request) error {
	f, err := permitFilter(r.URL.Query())
	if err != nil {
		return err
	}
	by, err := v.Permits.Signed(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	found, next, err := v.Permits.List(r.Context(), by, f)
	if err != nil {
		return err
	}
	items := make([]permitItem, 0, len(found))
	for _, m := range found {
		one, err := v.permitOf(r, m)
		if err != nil {
			return err
		}
		items = append(items, one)
	}
	return write(w, http.StatusOK, list[permitItem]{items, orNull(next)})
}

// permitFilter reads the query.
func permitFilter(q url.Values) (permit.Filter, error) {
	in := filtersOf(q, permitQuery, longestFilter)
	f := permit.Filter{
		Kind: in.Get("kind"), State: permit.State(in.Get("state")), Mine: in.yes("mine"), ToApprove: in.yes("to_approve"), After: in.Get("after"), Limit: in.limit(mostLeases),
	}
	if f.State != "" && !slices.Contains(permit.States(), f.State) {
		in.refuse("state", "unknown", "この状態はありません。", "There is no such state.")
	}
	if err := in.err(); err != nil {
		return permit.Filter{}, err
	}
	return f, nil
}

func (v *service) permit(w http.ResponseWriter, r *web.Request) error {
	by, err := v.Permits.Signed(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	m, err := v.Permits.Get(r.Context(), by, r.PathValue("id"))
	if err != nil {
		return err
	}
	out, err := v.permitOf(r, m)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, out)
}

func (v *service) askPermit(w http.ResponseWriter, r *web.Request) error {
	members, err := r.DecodeObject()
	if err != nil {
		return err
	}
	wish, err := wishOf(members)
	if err != nil {
		return err
	}
	wish.Key = r.Header.Get("Idempotency-Key")
	return v.creating(w, r, func() (any, *signin.Step, error) {
		by, err := v.Permits.Signed(r.Context(), r.Origin, r.Cookie)
		if err != nil {
			return nil, nil, err
		}
		m, err := v.Permits.Ask(r.Context(), by, wish)
		if err != nil {
			return nil, nil, err
		}
		out, err := v.permitOf(r, m)
		return out, nil, err
	})
}

// wishOf reads what is asked for: what every permit has, and the fields of its kind,
// which that says how to read.
func wishOf(members map[string]json.RawMessage) (permit.Wish, error) {
	out := permit.Wish{Stated: permit.Stated{}}
	var wrong []web.FieldError
	own := map[string]*string{"kind": &out.Kind, "person": &out.Person, "reason": &out.Reason, "from": &out.From, "until": &out.Until, "renews": &out.Renews}
	for name, raw := range members {
		if len(name) > 64 {
			return out, web.Malformed("body", nil)
		}
		values, ok := texts(name, raw)
		if into := own[name]; into != nil && ok && len(values) <= 1 {
			if len(values) == 1 {
				*into = values[0]
			}
			continue
		} else if into != nil {
			ok = false
		}
		if !ok {
			wrong = append(wrong, web.FieldError{Field: name, Rule: "type", Detail: policy.Words{
				JA: "文字又は文字の並びで指定してください。", EN: "Give text, or a list of texts."}})
			continue
		}
		if len(values) > 0 {
			out.Stated[name] = values
		}
	}
	if out.Kind == "" && len(wrong) == 0 {
		wrong = append(wrong, web.FieldError{Field: "kind", Rule: "required", Detail: policy.Words{JA: "許可の種類を指定してください。", EN: "Say which kind of permit."}})
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b web.FieldError) int { return strings.Compare(a.Field, b.Field) })
		return out, web.Invalid(wrong...)
	}
	return out, nil
}

// texts reads one value or a list of them: texts, numbers, and hours as
// {"from": "08:30", "until": "17:15"}.
func texts(name string, raw json.RawMessage) (out []string, ok bool) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0:
		return nil, false
	case string(raw) == "null":
		return nil, true
	case raw[0] == '[':
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return nil, false
		}
		for _, item := range items {
			if len(bytes.TrimSpace(item)) > 0 && bytes.TrimSpace(item)[0] == '[' {
				return nil, false
			}
			one, ok := texts(name, item)
			if !ok {
				return nil, false
			}
			out = append(out, one...)
		}
		return out, true
	case raw[0] == '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil, false
		}
		if s == "" {
			return nil, true
		}
		return []string{s}, true
	case raw[0] == '{' && name == "hours":
		var h map[string]string
		if json.Unmarshal(raw, &h) != nil || len(h) != 2 || h["from"] == "" || h["until"] == "" {
			return nil, false
		}
		return []string{h["from"] + "-" + h["until"]}, true
	}
	var n json.Number
	if json.Unmarshal(raw, &n) != nil {
		return nil, false
	}
	return []string{n.String()}, true
}

// permitDeed goes along with an act.
type permitDeed struct {
	Comment       string   `json:"comment,omitempty"`
	Confirmations []string `json:"confirmations,omitempty"`
}

// onPermit does one act, and answers the permit as it is after it.
func (v *service) onPermit(act string) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		var in permitDeed
		if err := r.DecodeJSON(&in); err != nil {
			return err
		}
		if len(in.Comment) > maxText {
			return web.Invalid(web.FieldError{Field: "comment", Rule: "too_long", Detail: policy.Words{JA: "長すぎます。", EN: "This is too long."}})
		}
		if in.Comment == "" && (act == "deny" || act == "revoke") {
			in.Comment = unsaid
		}
		if len(in.Confirmations) > 32 {
			return web.Invalid(web.FieldError{Field: "confirmations", Rule: "too_many", Detail: policy.Words{JA: "多すぎます。", EN: "There are too many."}})
		}
		return v.answering(w, r, http.StatusOK, func() (any, *signin.Step, error) {
			by, err := v.Permits.Signed(r.Context(), r.Origin, r.Cookie)
			if err != nil {
				return nil, nil, err
			}
			id := r.PathValue("id")
			var m permit.Permit
			switch act {
			case "approve", "deny":
				m, err = v.Permits.Decide(r.Context(), by, id, act == "approve", in.Comment, in.Confirmations)
			case "cancel":
				m, err = v.Permits.Cancel(r.Context(), by, id, in.Comment)
			case "end":
				m, err = v.Permits.End(r.Context(), by, id, in.Comment)
			case "revoke":
				m, err = v.Permits.Revoke(r.Context(), by, id, in.Comment)
			default:
				err = web.ErrNoPage
			}
			if err != nil {
				return nil, nil, err
			}
			out, err := v.permitOf(r, m)
			return out, nil, err
		})
	}
}

// terminalCheck is a person's word that the terminal before them is in order.
type terminalCheck struct {
	Confirmed bool `json:"confirmed"`
}

func (v *service) terminalCheck(w http.ResponseWriter, r *web.Request) error {
	var in terminalCheck
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if !in.Confirmed {
		return web.Invalid(web.FieldError{Field: "confirmed", Rule: "required", Detail: policy.Words{
			JA: "端末機の状態を確かめてから、confirmed を true にしてください。", EN: "Look at the terminal first, then give true."}})
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	s, err := v.SignIn.ConfirmTerminal(r.Context(), r.Origin, r.Cookie)
	return v.answer(w, r, s, err)
}
