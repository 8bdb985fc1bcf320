package api

import (
	"net/http"
	"time"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// reviewOperations are about what is looked at afterwards: decisions that were made
// in a holder's place, and findings.
func (v *service) reviewOperations() []operation {
	if v.Desk == nil {
		return nil
	}
	toLook := append([]string{web.CodeNotFound}, toRead...)
	return []operation{
		{method: "GET", path: "/api/v1/reviews", says: "Acting decisions that wait for one's review, then the last of all, for who sees what others do.", handle: v.reviews,
			status: 200, answer: list[reviewItem]{}, codes: toRead},
		{method: "POST", path: "/api/v1/reviews/{id}", says: "Reviews an acting decision. An objection is told to those concerned and undoes nothing.", handle: v.review,
			body: reviewed{}, status: 204, codes: toAct},
		{method: "GET", path: "/api/v1/findings", says: "Privilege that no lease accounts for, or the other way round; those that are open first.", handle: v.findings,
			status: 200, answer: list[findingItem]{}, codes: toRead},
		{method: "POST", path: "/api/v1/findings/{id}/take", says: "Writes down that one looks into a finding. It stays open until the facts change.", handle: v.takeUp,
			body: taken{}, status: 204, codes: toLook},
	}
}

type reviewItem struct {
	ID         string        `json:"id"` // of the decision
	Matter     string        `json:"matter"`
	Kind       string        `json:"kind"`
	Elevation  *string       `json:"elevation"` // the lease it was about
	What       string        `json:"what"`
	Requester  string        `json:"requester"`
	Reason     string        `json:"reason"`
	By         string        `json:"by"`
	Post       policy.PostID `json:"post"` // in whose place
	Decision   string        `json:"decision"`
	At         *time.Time    `json:"at"`
	Comment    string        `json:"comment"`
	Due        *time.Time    `json:"due"`
	Overdue    bool          `json:"overdue"`
	Mine       bool          `json:"mine"` // the reader may review it
	ReviewedBy *string       `json:"reviewed_by"`
	ReviewedAt *time.Time    `json:"reviewed_at"`
	Objection  bool          `json:"objection"`
	Review     string        `json:"review_comment"`
}

func (v *service) reviews(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	all, err := v.Desk.Reviews(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	var items []reviewItem
	for _, a := range append(all.Owed, all.Past...) {
		item := reviewItem{
			ID: a.Key, Matter: a.ID, Kind: a.Kind, Elevation: orNull(a.Lease), What: r.Say(a.What), Requester: a.Card.By.Login, Reason: a.Reason,
			By: a.Decision.By.Login, Post: a.Post, Decision: "deny", At: stamp(a.Decision.At), Comment: a.Decision.Comment, Due: stamp(a.Due),
			Overdue: a.ReviewAt.IsZero() && !v.srv.Now().Before(a.Due), Mine: a.Theirs, ReviewedBy: orNull(a.Reviewer.Login), ReviewedAt: stamp(a.ReviewAt),
			Objection: a.Objects, Review: a.Comment,
		}
		if a.Decision.Yes {
			item.Decision = "approve"
		}
		items = append(items, item)
	}
	return write(w, http.StatusOK, listOf(items))
}

type reviewed struct {
	Objection bool   `json:"objection,omitempty"`
	Comment   string `json:"comment,omitempty"` // needed for an objection
}

func (v *service) review(w http.ResponseWriter, r *web.Request) error {
	var in reviewed
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	if err := v.Desk.Review(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Objection, in.Comment); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type findingItem struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"` // membership, enabled, leftover, missing or undo
	Privilege string     `json:"privilege"`
	Account   string     `json:"account"`
	Object    string     `json:"object"`
	FoundAt   *time.Time `json:"found_at"`
	SeenAt    *time.Time `json:"seen_at"`
	RemovedAt *time.Time `json:"removed_at"`
	Hindrance string     `json:"hindrance"`
	ClosedAt  *time.Time `json:"closed_at"`
	ClosedBy  string     `json:"closed_by"`
	TakenAt   *time.Time `json:"taken_at"` // somebody looks into it
	TakenBy   *string    `json:"taken_by"`
	Note      string     `json:"note"`
	Sealed    []string   `json:"sealed"` // systems with an emergency ID of this name in an envelope
}

func (v *service) findings(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	found, err := v.Desk.Findings(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	var items []findingItem
	for _, f := range found {
		items = append(items, findingOf(f))
	}
	return write(w, http.StatusOK, listOf(items))
}

func findingOf(f desk.Finding) findingItem {
	return findingItem{
		ID: f.ID, Kind: f.Kind, Privilege: f.Privilege.ID, Account: f.Account, Object: f.Object, FoundAt: stamp(f.SeenAt), SeenAt: stamp(f.LastAt),
		RemovedAt: stamp(f.RemovedAt), Hindrance: f.Hindrance, ClosedAt: stamp(f.ClosedAt), ClosedBy: f.ClosedBy,
		TakenAt: stamp(f.TakenAt), TakenBy: orNull(f.TakenBy.Login), Note: f.Note,
		Sealed: orEmpty(f.Sealed),
	}
}

type taken struct {
	Note string `json:"note"`
}

func (v *service) takeUp(w http.ResponseWriter, r *web.Request) error {
	var in taken
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	if err := required("note", in.Note, maxText); err != nil {
		return err
	}
	if err := v.Desk.TakeUp(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Note); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
