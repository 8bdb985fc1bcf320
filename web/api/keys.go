package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"sekisho/authn/passkey"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

// A KeySignIn takes a person through the steps by what they hold.
type KeySignIn interface {
	BeginPasskey(ctx context.Context, o signin.Origin, cookie, login string) (signin.Ceremony, error)
	Passkey(ctx context.Context, o signin.Origin, cookie string, credential []byte) (signin.Step, error)
	Card(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
	RecoveryCode(ctx context.Context, o signin.Origin, cookie string, code secret.Text) (signin.Step, error)
	Nonce() (value string, ends time.Time)
}

// A KeyAccount is what people do to the passkeys, names and addresses that are
// theirs.
type KeyAccount interface {
	BeginPasskey(ctx context.Context, o signin.Origin, cookie string) (passkey.Enrolment, error)
	FinishPasskey(ctx context.Context, o signin.Origin, cookie, id, name string, credential []byte) (signin.Step, error)
	RenameFactor(ctx context.Context, o signin.Origin, cookie, id, name string) error
	Second(ctx context.Context, o signin.Origin, cookie string) (string, error)
	SetSecond(ctx context.Context, o signin.Origin, cookie, address string) (signin.Step, error)
}

func (v *service) keyOperations() []operation {
	return []operation{
		{method: "POST", path: "/api/v1/signin/passkey/begin", says: "Asks for a passkey: as the first step, or as the second factor.", handle: v.beginPasskeySignIn,
			body: hint{}, status: 200, answer: ceremony{}, open: true, codes: []string{web.CodeHeld}},
		{method: "POST", path: "/api/v1/signin/passkey/finish", says: "The browser's answer: the credential's JSON as WebAuthn L3 writes it.", handle: v.finishPasskeySignIn,
			body: json.RawMessage{}, status: 200, answer: step{}, codes: []string{web.CodeForbidden, web.CodeRefused, web.CodeStep, web.CodeHeld}},
		{method: "POST", path: "/api/v1/signin/card", says: "Takes the client certificate of an IC card, as the first step or as the second factor.", handle: v.card,
			body: struct{}{}, status: 200, answer: step{}, open: true, codes: []string{web.CodeForbidden, web.CodeRefused, web.CodeStep, web.CodeHeld}},
		{method: "POST", path: "/api/v1/signin/recovery", says: "A recovery code in place of a second factor that was lost.", handle: v.recovery,
			body: oneTimeCode{}, status: 200, answer: step{}, codes: []string{web.CodeForbidden, web.CodeRefused, web.CodeStep, web.CodeHeld}},
		{method: "GET", path: "/api/v1/signin/nonce", says: "A value for a terminal to sign.", handle: v.nonce,
			status: 200, answer: nonceAnswer{}, open: true},
		{method: "POST", path: "/api/v1/factors/passkey/begin", says: "Begins to enrol a passkey.", handle: v.beginPasskey,
			body: struct{}{}, status: 201, answer: keyEnrolment{}, once: true, codes: []string{web.CodeStepUp, web.CodeStep, web.CodeState}},
		{method: "POST", path: "/api/v1/factors/passkey/finish", says: "Enrols the passkey that the browser made.", handle: v.finishPasskey,
			body: newKey{}, status: 201, answer: enrolled{}, once: true, codes: []string{web.CodeStepUp, web.CodeStep, web.CodeState, web.CodeNotFound, web.CodeRefused}},
		{method: "PATCH", path: "/api/v1/factors/{id}", says: "Gives a factor another name.", handle: v.renameFactor,
			body: newName{}, status: 204, codes: []string{web.CodeNotFound}},
		{method: "GET", path: "/api/v1/notice-address", says: "The second address that one's own notices go to.", handle: v.noticeAddress,
			status: 200, answer: address{}},
		{method: "PUT", path: "/api/v1/notice-address", says: "Changes the second address; an empty one is none.", handle: v.setNoticeAddress,
			body: address{}, status: 200, answer: address{}, codes: []string{web.CodeStepUp}},
	}
}

// maxCredential is more than any authenticator answers, in bytes.
const maxCredential = 32 << 10

// anObject refuses what is no JSON object of a size that a credential may have.
// Its members are the browser's to choose, and authn's to judge.
func anObject(field string, raw []byte) error {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0:
		return required(field, "", 0)
	case len(raw) > maxCredential:
		return web.Say(web.CodeTooLarge, policy.Words{})
	case raw[0] != '{' || !json.Valid(raw):
		return web.Malformed(field, nil)
	}
	return nil
}

type hint struct {
	Login string `json:"login,omitempty"`
}

type ceremony struct {
	PublicKey json.RawMessage `json:"publicKey"` // as PublicKeyCredential.parseRequestOptionsFromJSON reads it
	CSRFToken string          `json:"csrf_token"`
}

func (v *service) beginPasskeySignIn(w http.ResponseWriter, r *web.Request) error {
	var in hint
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	c, err := v.SignIn.BeginPasskey(r.Context(), r.Origin, r.Cookie, in.Login)
	if err != nil {
		return err
	}
	carry(w, r, signin.Step{Cookie: c.Cookie, CSRF: c.CSRF})
	return write(w, http.StatusOK, ceremony{c.PublicKey, c.CSRF})
}

func (v *service) finishPasskeySignIn(w http.ResponseWriter, r *web.Request) error {
	credential, err := r.BodyBytes()
	if err != nil {
		return err
	}
	if err := anObject("credential", credential); err != nil {
		return err
	}
	if r.Cookie == "" { // the question came with one
		return signin.ErrNone
	}
	s, err := v.SignIn.Passkey(r.Context(), r.Origin, r.Cookie, credential)
	return v.answer(w, r, s, err)
}

func (v *service) card(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	s, err := v.SignIn.Card(r.Context(), r.Origin, r.Cookie)
	return v.answer(w, r, s, err)
}

func (v *service) recovery(w http.ResponseWriter, r *web.Request) error {
	var in oneTimeCode
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("code", in.Code, 200); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	s, err := v.SignIn.RecoveryCode(r.Context(), r.Origin, r.Cookie, secret.NewText([]byte(in.Code)))
	return v.answer(w, r, s, err)
}

type nonceAnswer struct {
	Nonce     string     `json:"nonce"`
	ExpiresAt *time.Time `json:"expires_at"`
}

func (v *service) nonce(w http.ResponseWriter, _ *web.Request) error {
	value, ends := v.SignIn.Nonce()
	return write(w, http.StatusOK, nonceAnswer{value, stamp(ends)})
}

type keyEnrolment struct {
	ID        string          `json:"id"`
	PublicKey json.RawMessage `json:"publicKey"` // as PublicKeyCredential.parseCreationOptionsFromJSON reads it
}

func (v *service) beginPasskey(w http.ResponseWriter, r *web.Request) error {
	var in struct{}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		e, err := v.Account.BeginPasskey(r.Context(), r.Origin, r.Cookie)
		return keyEnrolment{e.ID, e.PublicKey}, nil, err
	})
}

type newKey struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Credential json.RawMessage `json:"credential"` // as WebAuthn L3's toJSON writes it
}

func (v *service) finishPasskey(w http.ResponseWriter, r *web.Request) error {
	var in newKey
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("id", in.ID, maxText); err != nil {
		return err
	}
	if err := required("name", in.Name, 200); err != nil {
		return err
	}
	if err := anObject("credential", in.Credential); err != nil {
		return err
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		s, err := v.Account.FinishPasskey(r.Context(), r.Origin, r.Cookie, in.ID, in.Name, in.Credential)
		if err != nil {
			return nil, nil, err
		}
		t := stepOf(s)
		return enrolled{in.ID, t.State, t.Methods, t.CSRFToken, t.Version}, &s, nil
	})
}

type newName struct {
	Name string `json:"name"`
}

func (v *service) renameFactor(w http.ResponseWriter, r *web.Request) error {
	var in newName
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("name", in.Name, 200); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	if err := v.Account.RenameFactor(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type address struct {
	Address string `json:"address"` // "" for none
}

func (v *service) noticeAddress(w http.ResponseWriter, r *web.Request) error {
	if r.Cookie == "" {
		return signin.ErrNone
	}
	second, err := v.Account.Second(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, address{second})
}

func (v *service) setNoticeAddress(w http.ResponseWriter, r *web.Request) error {
	var in address
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if r.Cookie == "" {
		return signin.ErrNone
	}
	s, err := v.Account.SetSecond(r.Context(), r.Origin, r.Cookie, in.Address)
	if err != nil {
		return err
	}
	carry(w, r, s)
	second, err := v.Account.Second(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, address{second})
}
