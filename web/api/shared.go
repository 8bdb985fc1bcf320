package api

import (
	"context"
	"net/http"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/shared"
	"sekisho/policy"
	"sekisho/web"
)

// Shared is who has which shared ID; authz/shared is one.
type Shared interface {
	List(ctx context.Context, o signin.Origin, cookie string) ([]shared.Shown, error)
	CheckOut(ctx context.Context, o signin.Origin, cookie, id, reason string, minutes int) (shared.Given, error)
	CheckIn(ctx context.Context, o signin.Origin, cookie, id string) (shared.Checkout, error)
}

func (v *service) sharedOperations() []operation {
	if v.Shared == nil {
		return nil
	}
	const at = "/api/v1/shared-ids"
	return []operation{
		{method: "GET", path: at, says: "The shared IDs that are for the reader, and who has them now.", handle: v.sharedIDs,
			status: 200, answer: list[sharedItem]{}},
		{method: "POST", path: at + "/{id}/checkout", says: "Checks a shared ID out under one's own name. Its password is answered once.", handle: v.checkOut,
			body: sharedWish{}, status: 201, answer: checkedOut{}, once: true, codes: toAct},
		{method: "POST", path: at + "/{id}/checkin", says: "Gives a shared ID back; with its last holder its password changes.", handle: v.checkIn,
			body: struct{}{}, status: 200, answer: checkedIn{}, codes: toAct},
	}
}

type sharedItem struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Holders      int            `json:"holders"` // how many may have it at once
	UsualMinutes int            `json:"usual_minutes"`
	MaxMinutes   int            `json:"max_minutes"`
	Held         []sharedHolder `json:"held"`
	Mine         *time.Time     `json:"mine"`         // until when the reader has it; null: they do not
	Available    bool           `json:"available"`    // the reader could check it out now
	Why          *string        `json:"why"`          // and if not, why
	RequiredACR  *string        `json:"required_acr"` // the sign-in that checking out takes first
	MaxAge       *int64         `json:"max_age"`      // and how recent it is, in seconds
}

type sharedHolder struct {
	By     string     `json:"by"`
	EndsAt *time.Time `json:"ends_at"`
}

func (v *service) sharedIDs(w http.ResponseWriter, r *web.Request) error {
	all, err := v.Shared.List(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	items := make([]sharedItem, 0, len(all))
	for _, s := range all {
		item := sharedItem{
			ID: s.ID, Name: r.Say(s.Name), Holders: s.Holders, UsualMinutes: inMinutes(s.Usual), MaxMinutes: inMinutes(s.Longest), Held: []sharedHolder{},
			Available: s.Refused == nil,
		}
		for _, c := range s.Held {
			item.Held = append(item.Held, sharedHolder{c.By.Login, stamp(c.EndsAt)})
		}
		if s.Mine.ID != "" {
			item.Mine = stamp(s.Mine.EndsAt)
		}
		if s.Refused != nil {
			item.Why = orNull(r.Say(s.Refused.Says))
		}
		if need := s.StepUp; need != nil {
			seconds := int64(need.MaxAge / time.Second)
			item.RequiredACR, item.MaxAge = orNull(string(need.Required)), &seconds
		}
		items = append(items, item)
	}
	return write(w, http.StatusOK, listOf(items))
}

// sharedWish is what an ID is wanted for; without minutes, for its usual time.
type sharedWish struct {
	Reason  string `json:"reason"`
	Minutes int    `json:"minutes,omitempty"`
}

type checkedOut struct {
	Login    string     `json:"login"`
	Password string     `json:"password"`
	EndsAt   *time.Time `json:"ends_at"`
}

func (checkedOut) showsSecret() bool { return true }

func (v *service) checkOut(w http.ResponseWriter, r *web.Request) error {
	var in sharedWish
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("reason", in.Reason, maxText); err != nil {
		return err
	}
	if in.Minutes < 0 {
		return web.Invalid(web.FieldError{Field: "minutes", Rule: "number", Detail: policy.Words{
			JA: "1以上の数で指定してください。", EN: "Give a number of minutes, at least 1."}})
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		given, err := v.Shared.CheckOut(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Reason, in.Minutes)
		return checkedOut{given.Account, string(given.Password.Reveal()), stamp(given.EndsAt)}, nil, err
	})
}

type checkedIn struct {
	State   shared.State `json:"state"` // ended, expired or revoked
	EndedAt *time.Time   `json:"ended_at"`
}

func (v *service) checkIn(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	c, err := v.Shared.CheckIn(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, checkedIn{c.State(v.srv.Now()), stamp(c.EndedAt)})
}
