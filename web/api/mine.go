package api

import (
	"errors"
	"net/http"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/policy/secret"
	"sekisho/web"
)

type sessionItem struct {
	ID            string     `json:"id"`
	Current       bool       `json:"current"`
	From          string     `json:"from"`
	Zone          string     `json:"zone"`
	UserAgent     string     `json:"user_agent"`
	ACR           string     `json:"acr"`
	SignedInAt    *time.Time `json:"signed_in_at"`
	SeenAt        *time.Time `json:"seen_at"`
	ExpiresAt     *time.Time `json:"expires_at"`
	IdleExpiresAt *time.Time `json:"idle_expires_at"`
}

func (v *service) sessions(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	all, current, err := v.Account.Sessions(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	items := make([]sessionItem, 0, len(all))
	for _, n := range all {
		items = append(items, sessionItem{
			ID: n.ID, Current: n.ID == current, From: n.From, Zone: string(n.Zone), UserAgent: n.UserAgent, ACR: string(n.ACR),
			SignedInAt: stamp(n.StartedAt), SeenAt: stamp(n.SeenAt), ExpiresAt: stamp(n.ExpiresAt), IdleExpiresAt: stamp(n.IdleExpiresAt),
		})
	}
	return write(w, http.StatusOK, listOf(items))
}

func (v *service) endSession(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	if err := v.Account.EndSession(r.Context(), r.Origin, r.Cookie, r.PathValue("id")); err != nil {
		return err
	}
	v.forgetIfDead(w, r)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// forgetIfDead takes the cookie away when what was just done ended its
// session. That the session is over does not depend on it.
func (v *service) forgetIfDead(w http.ResponseWriter, r *web.Request) {
	if _, err := v.SignIn.Current(r.Context(), r.Origin, r.Cookie); errors.Is(err, signin.ErrNone) {
		web.ClearSession(w, r)
	}
}

type passwordChange struct {
	Current string `json:"current"`
	New     string `json:"new"`
}

func (v *service) changePassword(w http.ResponseWriter, r *web.Request) error {
	var in passwordChange
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("current", in.Current, maxText); err != nil {
		return err
	}
	if err := required("new", in.New, maxText); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	s, err := v.Account.ChangePassword(r.Context(), r.Origin, r.Cookie, secret.NewText([]byte(in.Current)), secret.NewText([]byte(in.New)))
	if err != nil {
		return web.Field("new", err)
	}
	return writeStep(w, r, s)
}

type factorItem struct {
	ID         string     `json:"id"`
	Kind       string     `json:"kind"`
	Name       string     `json:"name"`
	Synced     bool       `json:"synced"` // a passkey that its maker copies between devices
	Serial     *string    `json:"serial"` // of a hardware token
	AddedAt    *time.Time `json:"added_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

func factorsOf(all []account.Factor) []factorItem {
	items := make([]factorItem, 0, len(all))
	for _, f := range all {
		items = append(items, factorItem{f.ID, f.Kind, f.Name, f.Synced, orNull(f.Serial), stamp(f.AddedAt), stamp(f.LastUsedAt)})
	}
	return items
}

func (v *service) factors(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	all, err := v.Account.Factors(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, listOf(factorsOf(all)))
}

type enrolment struct {
	ID     string `json:"id"`
	Secret string `json:"secret"` // BASE32
	URI    string `json:"uri"`    // otpauth://
}

func (v *service) beginTOTP(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		e, err := v.Account.BeginTOTP(r.Context(), r.Origin, r.Cookie)
		if err != nil {
			return nil, nil, err
		}
		return enrolment{e.ID, string(e.Secret.Reveal()), string(e.URI.Reveal())}, nil, nil
	})
}

type confirmation struct {
	ID   string `json:"id"`
	Code string `json:"code"`
	Name string `json:"name"`
}

// enrolled is a step's answer and the factor that it made.
type enrolled struct {
	ID        string   `json:"id"`
	State     string   `json:"state"`
	Methods   []string `json:"methods"`
	CSRFToken string   `json:"csrf_token"`
	Version   string   `json:"version,omitempty"`
}

func (v *service) finishTOTP(w http.ResponseWriter, r *web.Request) error {
	var in confirmation
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	for _, f := range []struct {
		name, value string
		most        int
	}{{"id", in.ID, 128}, {"code", in.Code, 64}, {"name", in.Name, 200}} {
		if err := required(f.name, f.value, f.most); err != nil {
			return err
		}
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		s, err := v.Account.FinishTOTP(r.Context(), r.Origin, r.Cookie, in.ID, in.Code, in.Name)
		if err != nil {
			return nil, nil, web.Field("code", err)
		}
		t := stepOf(s)
		return enrolled{in.ID, t.State, t.Methods, t.CSRFToken, t.Version}, &s, nil
	})
}

func (v *service) removeFactor(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	s, err := v.Account.RemoveFactor(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return err
	}
	carry(w, r, s)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type leak struct {
	What string `json:"what"`
}

// leakAnswer says how the person goes on: at a new password after another
// factor, or with no state where they must come in person.
type leakAnswer struct {
	What       string     `json:"what"`
	ReportedAt *time.Time `json:"reported_at"`
	State      string     `json:"state,omitempty"`
	Methods    []string   `json:"methods"`
	CSRFToken  string     `json:"csrf_token,omitempty"`
}

func (v *service) reportLeak(w http.ResponseWriter, r *web.Request) error {
	var in leak
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("what", in.What, maxText); err != nil {
		return err
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		s, err := v.Account.ReportLeak(r.Context(), r.Origin, r.Cookie, in.What)
		if err != nil {
			return nil, nil, err
		}
		if s.Cookie == "" { // every session has ended, and no sign-in goes on
			web.ClearSession(w, r)
		}
		t := stepOf(s)
		return leakAnswer{in.What, stamp(v.srv.Now()), t.State, t.Methods, t.CSRFToken}, &s, nil
	})
}
