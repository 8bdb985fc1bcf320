package api

import (
	"errors"
	"net/http"
	"time"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

type credentials struct {
	Login    string `json:"login"`
	Password string `json:"password"`
}

type oneTimeCode struct {
	Code string `json:"code"`
}

type newPassword struct {
	NewPassword string `json:"new_password"`
}

type acknowledged struct {
	Version string `json:"version"`
}

// step is what every step of a sign-in answers.
type step struct {
	State     string   `json:"state"`
	Methods   []string `json:"methods"`
	CSRFToken string   `json:"csrf_token"`
	Version   string   `json:"version,omitempty"`
}

func stepOf(s signin.Step) step {
	methods := s.Methods
	if methods == nil {
		methods = []string{}
	}
	return step{State: string(s.State), Methods: methods, CSRFToken: s.CSRF, Version: s.Version}
}

// writeStep answers a step and sets its cookies. The token stands in a header
// too, for answers without a body.
func writeStep(w http.ResponseWriter, r *web.Request, s signin.Step) error {
	carry(w, r, s)
	return write(w, http.StatusOK, stepOf(s))
}

func carry(w http.ResponseWriter, r *web.Request, s signin.Step) {
	web.WriteStep(w, r, s)
	if s.CSRF != "" {
		w.Header().Set("X-CSRF-Token", s.CSRF)
	}
}

// A login or password beyond these was typed by no person.
const (
	maxLogin = 512
	maxText  = 4096
)

func (v *service) password(w http.ResponseWriter, r *web.Request) error {
	var in credentials
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("login", in.Login, maxLogin); err != nil {
		return err
	}
	if err := required("password", in.Password, maxText); err != nil {
		return err
	}
	s, err := v.SignIn.Password(r.Context(), r.Origin, r.Cookie, in.Login, secret.NewText([]byte(in.Password)))
	return v.answer(w, r, s, err)
}

func (v *service) totp(w http.ResponseWriter, r *web.Request) error {
	var in oneTimeCode
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("code", in.Code, 64); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	s, err := v.SignIn.TOTP(r.Context(), r.Origin, r.Cookie, in.Code)
	return v.answer(w, r, s, err)
}

func (v *service) newPassword(w http.ResponseWriter, r *web.Request) error {
	var in newPassword
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("new_password", in.NewPassword, maxText); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	s, err := v.SignIn.NewPassword(r.Context(), r.Origin, r.Cookie, secret.NewText([]byte(in.NewPassword)))
	return v.answer(w, r, s, web.Field("new_password", err))
}

func (v *service) acknowledge(w http.ResponseWriter, r *web.Request) error {
	var in acknowledged
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("version", in.Version, maxLogin); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	s, err := v.SignIn.Acknowledge(r.Context(), r.Origin, r.Cookie, in.Version)
	return v.answer(w, r, s, err)
}

func (v *service) answer(w http.ResponseWriter, r *web.Request, s signin.Step, err error) error {
	if err != nil {
		return err
	}
	return writeStep(w, r, s)
}

type previous struct {
	At            *time.Time `json:"at"`
	From          *string    `json:"from"`
	OutAt         *time.Time `json:"out_at"`
	FailuresSince int        `json:"failures_since"`
}

type sessionAnswer struct {
	Login         string          `json:"login"`
	Name          string          `json:"name"`
	Posts         []policy.PostID `json:"posts"`
	Section       string          `json:"section"`
	ACR           string          `json:"acr"`
	AMR           []string        `json:"amr"`
	Zone          string          `json:"zone"`
	SignedInAt    *time.Time      `json:"signed_in_at"`
	ExpiresAt     *time.Time      `json:"expires_at"`
	IdleExpiresAt *time.Time      `json:"idle_expires_at"`
	Terminal      *string         `json:"terminal"`   // id of the enrolled terminal it began on
	Privileged    *raised         `json:"privileged"` // the privileged session over it, while what is lent is good in it
	Previous      previous        `json:"previous"`   // an object also at the first sign-in
	CSRFToken     string          `json:"csrf_token"`
}

// raised is a privileged session.
type raised struct {
	Since         *time.Time `json:"since"`
	ExpiresAt     *time.Time `json:"expires_at"`
	IdleExpiresAt *time.Time `json:"idle_expires_at"`
}

func (v *service) session(w http.ResponseWriter, r *web.Request) error {
	s, err := v.someone(r)
	if err != nil {
		return err
	}
	n := s.Session
	out := sessionAnswer{
		Login: n.Login, Name: n.Name, Posts: posts(r.Policy(), s.Person), Section: s.Person.Section,
		ACR: string(n.ACR), AMR: n.AMR, Zone: string(n.Zone),
		SignedInAt: stamp(n.StartedAt), ExpiresAt: stamp(n.ExpiresAt), IdleExpiresAt: stamp(n.IdleExpiresAt),
		Previous:  previous{At: stamp(n.Previous.At), OutAt: stamp(n.Previous.OutAt), FailuresSince: n.Previous.FailuresSince},
		CSRFToken: s.CSRF,
	}
	if out.AMR == nil {
		out.AMR = []string{}
	}
	out.Terminal, out.Previous.From = orNull(n.Terminal), orNull(n.Previous.From)
	if v.Sessions != nil {
		p, ok, err := v.Sessions.Privileged(r.Context(), *n)
		if err != nil {
			return err
		}
		if ok {
			out.Privileged = &raised{stamp(p.StartedAt), stamp(p.ExpiresAt), stamp(p.IdleExpiresAt)}
		}
	}
	if !s.AsOf.IsZero() {
		w.Header().Set(web.AsOfHeader, s.AsOf.Format(time.RFC3339))
	}
	return write(w, http.StatusOK, out)
}

func (v *service) signOut(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	if err := v.SignIn.SignOut(r.Context(), r.Origin, r.Cookie); err != nil {
		return err
	}
	if r.Former != "" {
		if err := v.SignIn.SignOut(r.Context(), r.Origin, r.Former); err != nil && !errors.Is(err, signin.ErrNone) {
			return err
		}
	}
	web.ClearSession(w, r)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
