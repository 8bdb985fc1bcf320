package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/recertify"
	"sekisho/policy"
	"sekisho/web"
)

// Recertify is where sections confirm what their people still need; authz/recertify is
// one.
type Recertify interface {
	Rounds(ctx context.Context, o signin.Origin, cookie string) ([]recertify.Shown, error)
	Sheet(ctx context.Context, o signin.Origin, cookie, round string, q recertify.Query) (recertify.Sheet, error)
	Decide(ctx context.Context, o signin.Origin, cookie, round string, lines []string, end bool, comment string) (recertify.Result, error)
}

// recertifyQuery are what the lines of a round are narrowed by.
var recertifyQuery = []string{"all", "state", "section", "limit", "after"}

func (v *service) recertifyOperations() []operation {
	if v.Recertify == nil {
		return nil
	}
	const at = "/api/v1/recertifications"
	return []operation{
		{method: "GET", path: at, says: "Rounds of recertification that the reader sees, the open ones first; the last 30.", handle: v.rounds,
			status: 200, answer: list[roundItem]{}, codes: toRead},
		{method: "GET", path: at + "/{id}", says: "Lines of a round: those that wait for the reader's decision; with all=true, every one that they see.", handle: v.roundLines,
			status: 200, answer: list[lineItem]{}, query: recertifyQuery, numbers: []string{"limit"}, codes: append([]string{web.CodeNotFound}, toRead...)},
		{method: "POST", path: at + "/{id}/decide", says: "Confirms lines, or ends what they are about: answer is confirm or end, and an end has a reason.", handle: v.decideLines,
			body: lineDecision{}, status: 200, answer: linesDecided{}, once: true, codes: toAct},
	}
}

type roundItem struct {
	ID       string          `json:"id"`
	Campaign string          `json:"campaign"`
	Name     string          `json:"name"`
	Kind     string          `json:"kind"`  // ids, eligibility or permits
	State    recertify.State `json:"state"` // open, halted, ending, done, dropped or superseded
	Open     bool            `json:"open"`  // lines are decided
	BeganAt  *time.Time      `json:"began_at"`
	EndsAt   *time.Time      `json:"ends_at"` // what nobody has confirmed ends then, at the earliest
	EndedAt  *time.Time      `json:"ended_at"`
	Mine     int             `json:"mine"` // lines that wait for the reader
	Sections []partItem      `json:"sections"`
}

type partItem struct {
	Section string         `json:"section"`
	Lines   int            `json:"lines"`
	Mine    int            `json:"mine"`
	States  map[string]int `json:"states"` // lines by state
}

func (v *service) rounds(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	all, err := v.Recertify.Rounds(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	items := make([]roundItem, 0, len(all))
	for _, one := range all {
		item := roundItem{
			ID: one.ID, Campaign: one.Campaign, Name: r.Say(one.Name), Kind: one.Kind, State: one.State, Open: one.Takes(),
			BeganAt: stamp(one.BeganAt), EndsAt: stamp(one.Ends), EndedAt: stamp(one.EndedAt), Mine: one.Mine, Sections: []partItem{},
		}
		if !one.EndedAt.IsZero() {
			item.EndsAt = nil
		}
		for _, part := range one.Parts {
			lines, _ := part.Of()
			p := partItem{Section: part.Section, Lines: lines, Mine: part.Mine, States: map[string]int{}}
			for state, n := range part.States {
				p.States[string(state)] = n
			}
			item.Sections = append(item.Sections, p)
		}
		items = append(items, item)
	}
	return write(w, http.StatusOK, listOf(items))
}

// A lineItem is one thing that is confirmed or ended. what is a group's DN, rule: and a
// privilege, a permit's id, or empty: the ID itself.
type lineItem struct {
	ID         string              `json:"id"`
	Login      string              `json:"login"`
	Name       string              `json:"name"`
	Section    string              `json:"section"`
	Kind       string              `json:"kind"` // of ID
	Company    string              `json:"company"`
	Posts      []policy.PostID     `json:"posts"`
	What       string              `json:"what"`
	About      []string            `json:"about"` // privileges that it opens, or the permit's kind
	Purpose    string              `json:"purpose"`
	Until      *time.Time          `json:"until"`
	LastUsedAt *time.Time          `json:"last_used_at"` // when the round began; null: never, as far as is known
	UsedSince  *time.Time          `json:"used_since"`   // since it began, in a round that is open; null: not as far as is known
	State      recertify.LineState `json:"state"`
	Reason     *string             `json:"reason"` // why it is void or held
	DecidedBy  *string             `json:"decided_by"`
	DecidedAt  *time.Time          `json:"decided_at"`
	Comment    *string             `json:"comment"`
	MayDecide  bool                `json:"may_decide"`
	Why        *string             `json:"why"` // the reader does not decide it
}

func (v *service) roundLines(w http.ResponseWriter, r *web.Request) error {
	in := filtersOf(r.URL.Query(), recertifyQuery, longestFilter)
	q := recertify.Query{Section: in.Get("section"), State: recertify.LineState(in.Get("state")), After: in.Get("after"), Limit: in.limit(recertify.MostAtOnce)}
	if !in.yes("all") {
		q.Mine = true
		if q.State == "" {
			q.State = recertify.Waits
		}
	}
	if q.State != "" && !slices.Contains(recertify.LineStates(), q.State) {
		in.refuse("state", "unknown", "そのような状態はありません。", "There is no such state.")
	}
	if err := in.err(); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	sheet, err := v.Recertify.Sheet(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), q)
	if err != nil {
		return err
	}
	items := make([]lineItem, 0, len(sheet.Lines))
	for _, l := range sheet.Lines {
		item := lineItem{
			ID: l.ID, Login: l.Person.Login, Name: l.Person.Name, Section: l.Person.Section, Kind: string(l.Kind), Company: l.Company, Posts: orEmpty(l.Posts),
			What: l.Object, About: orEmpty(l.About), Purpose: l.Line.Why, Until: stamp(l.Until), LastUsedAt: stamp(l.LastUse), UsedSince: stamp(l.UsedSince), State: l.State, Reason: orNull(l.Reason),
			DecidedBy: orNull(l.DecidedBy.Login), DecidedAt: stamp(l.DecidedAt), Comment: orNull(l.Comment), MayDecide: l.No == nil,
		}
		if l.No != nil {
			item.Why = orNull(r.Say(l.No.Says))
		}
		items = append(items, item)
	}
	out := listOf(items)
	out.Next = orNull(sheet.Next)
	return write(w, http.StatusOK, out)
}

// lineDecision is one word on some lines.
type lineDecision struct {
	Lines  []string `json:"lines"`
	Answer string   `json:"answer"` // confirm or end
	Reason string   `json:"reason,omitempty"`
}

type linesDecided struct {
	Confirmed int        `json:"confirmed"`
	Ended     int        `json:"ended"`
	Owed      int        `json:"owed"`  // an administrator ends it: the policy itself gives it
	Asked     int        `json:"asked"` // they wait for a second person, and then end
	Not       []lineLeft `json:"not"`
}

// A lineLeft is a line that was not decided, or had nothing left to end.
type lineLeft struct {
	ID     string `json:"id"`
	Login  string `json:"login"`
	Rule   string `json:"rule"`
	Detail string `json:"detail"`
}

func (v *service) decideLines(w http.ResponseWriter, r *web.Request) error {
	var in lineDecision
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if in.Answer != "confirm" && in.Answer != "end" {
		return web.Invalid(web.FieldError{Field: "answer", Rule: "unknown", Detail: policy.Words{
			JA: "confirm（必要）か end（終わらせる）で指定してください。", EN: "Give confirm or end."}})
	}
	return v.answering(w, r, http.StatusOK, func() (any, *signin.Step, error) {
		res, err := v.Recertify.Decide(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Lines, in.Answer == "end", in.Reason)
		if err != nil {
			return nil, nil, inJSON(err)
		}
		out := linesDecided{Confirmed: res.Confirmed, Ended: res.Ended, Owed: res.Owed, Asked: res.Asked, Not: []lineLeft{}}
		for _, n := range res.Not {
			out.Not = append(out.Not, lineLeft{n.Line.ID, n.Line.Person.Login, n.Why.Reason, r.Say(n.Why.Says)})
		}
		return out, nil, nil
	})
}

// inJSON names fields as the API does.
func inJSON(err error) error {
	var no *recertify.Refusal
	if !errors.As(err, &no) || no.Is != recertify.Invalid {
		return err
	}
	named := *no
	switch no.Field {
	case "line":
		named.Field = "lines"
	case "comment":
		named.Field = "reason"
	}
	return &named
}
