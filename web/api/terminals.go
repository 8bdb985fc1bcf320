package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/web"
)

// Terminals is the register of enrolled terminals, for those who may see and
// change it.
type Terminals interface {
	Terminals(ctx context.Context, o signin.Origin, cookie string) ([]people.TerminalSeen, error)
	EnrolTerminal(ctx context.Context, o signin.Origin, cookie string, t terminal.Terminal, publicKeyPEM string) error
	LoseTerminal(ctx context.Context, o signin.Origin, cookie, id string) error
	RemoveTerminal(ctx context.Context, o signin.Origin, cookie, id string) error
}

func (v *service) terminalOperations() []operation {
	return []operation{
		{method: "GET", path: "/api/v1/terminals", says: "The enrolled terminals, and who is signed in there.", handle: v.terminals,
			status: 200, answer: list[terminalItem]{}, codes: toRead},
		{method: "POST", path: "/api/v1/terminals", says: "Enrols a counter or lent terminal.", handle: v.enrolTerminal,
			body: newTerminal{}, status: 201, answer: terminalItem{}, once: true, codes: []string{web.CodeForbidden, web.CodeStepUp}},
		{method: "POST", path: "/api/v1/terminals/{id}/lost", says: "Records that a terminal is lost, and ends what is open on it.", handle: v.loseTerminal,
			body: struct{}{}, status: 200, answer: terminalItem{}, codes: toAct},
		{method: "DELETE", path: "/api/v1/terminals/{id}", says: "Takes a terminal off the register.", handle: v.removeTerminal,
			status: 204, codes: append([]string{web.CodeInvalid}, toAct...)},
	}
}

type terminalItem struct {
	ID       string     `json:"id"`
	Zone     string     `json:"zone"`
	Class    string     `json:"class"`
	Name     string     `json:"name"`
	Key      *string    `json:"key"`      // SHA-256 of its public key; null: it cannot speak for itself
	Declared bool       `json:"declared"` // by the policy
	AddedAt  *time.Time `json:"added_at"`
	AddedBy  *string    `json:"added_by"`
	LostAt   *time.Time `json:"lost_at"`
	SeenAt   *time.Time `json:"seen_at"`
	Who      *string    `json:"who"` // login of whoever is signed in there
	WhoName  *string    `json:"who_name"`
}

func terminalOf(r *web.Request, t people.TerminalSeen) terminalItem {
	return terminalItem{
		t.ID, string(t.Zone), t.Class, r.Say(t.Name), orNull(t.Key), t.Declared, stamp(t.AddedAt), orNull(t.AddedBy),
		stamp(t.LostAt), stamp(t.SeenAt), orNull(t.Who), orNull(t.WhoName),
	}
}

func (v *service) terminals(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	all, err := v.People.Terminals(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	items := make([]terminalItem, 0, len(all))
	for _, t := range all {
		items = append(items, terminalOf(r, t))
	}
	return write(w, http.StatusOK, listOf(items))
}

// terminal is one of the register.
func (v *service) terminal(r *web.Request, id string) (terminalItem, error) {
	all, err := v.People.Terminals(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return terminalItem{}, err
	}
	at := slices.IndexFunc(all, func(t people.TerminalSeen) bool { return t.ID == id })
	if at < 0 {
		return terminalItem{}, people.ErrNotFound
	}
	return terminalOf(r, all[at]), nil
}

type bothWords struct {
	JA string `json:"ja"`
	EN string `json:"en,omitempty"`
}

type newTerminal struct {
	ID        string    `json:"id"`
	Zone      string    `json:"zone"`
	Class     string    `json:"class"` // counter or lent
	Name      bothWords `json:"name"`
	PublicKey string    `json:"public_key,omitempty"` // PEM, P-256; without it the terminal cannot speak for itself
}

func (v *service) enrolTerminal(w http.ResponseWriter, r *web.Request) error {
	var in newTerminal
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		err := v.People.EnrolTerminal(r.Context(), r.Origin, r.Cookie, terminal.Terminal{
			ID: in.ID, Zone: policy.ZoneID(in.Zone), Class: in.Class, Name: policy.Words{JA: in.Name.JA, EN: in.Name.EN},
		}, in.PublicKey)
		if err != nil {
			return nil, nil, err
		}
		made, err := v.terminal(r, in.ID)
		return made, nil, err
	})
}

func (v *service) loseTerminal(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	id := r.PathValue("id")
	if err := v.People.LoseTerminal(r.Context(), r.Origin, r.Cookie, id); err != nil {
		return err
	}
	lost, err := v.terminal(r, id)
	if errors.Is(err, people.ErrNotFound) { // it is not enrolled: what permits named it has ended
		lost, err = terminalItem{ID: id}, nil
	}
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, lost)
}

func (v *service) removeTerminal(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	if err := v.People.RemoveTerminal(r.Context(), r.Origin, r.Cookie, r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
