// Package api is Sekisho for programs: JSON under /api/v1.
//
// A handler here reads one request, asks one service, and writes one answer.
// It decides nothing about people and holds no rule; what an error means in
// HTTP is web's to say. The table of operations is the only list of what is
// served: the mux and /api/openapi.json are both made from it, so the document
// cannot promise what is not there.
package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/authz/inquiry"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

// A SignIn takes a person through the steps; authn/signin is one.
type SignIn interface {
	Password(ctx context.Context, o signin.Origin, cookie, login string, pw secret.Text) (signin.Step, error)
	TOTP(ctx context.Context, o signin.Origin, cookie, code string) (signin.Step, error)
	KeySignIn
	NewPassword(ctx context.Context, o signin.Origin, cookie string, pw secret.Text) (signin.Step, error)
	Acknowledge(ctx context.Context, o signin.Origin, cookie, version string) (signin.Step, error)
	ConfirmTerminal(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
	Current(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
	SignOut(ctx context.Context, o signin.Origin, cookie string) error
}

// An Account is what people do to what is theirs; authn/account is one.
type Account interface {
	ChangePassword(ctx context.Context, o signin.Origin, cookie string, current, next secret.Text) (signin.Step, error)
	Factors(ctx context.Context, o signin.Origin, cookie string) ([]account.Factor, error)
	BeginTOTP(ctx context.Context, o signin.Origin, cookie string) (totp.Enrolment, error)
	FinishTOTP(ctx context.Context, o signin.Origin, cookie, id, code, name string) (signin.Step, error)
	KeyAccount
	RemoveFactor(ctx context.Context, o signin.Origin, cookie, id string) (signin.Step, error)
	Sessions(ctx context.Context, o signin.Origin, cookie string) (list []session.Session, current string, err error)
	EndSession(ctx context.Context, o signin.Origin, cookie, id string) error
	ReportLeak(ctx context.Context, o signin.Origin, cookie, what string) (signin.Step, error)
}

// A Charter holds the policy's versions, and puts what was proposed in force when a
// second person says so; authz/statute is one.
type Charter interface {
	Version() int64
	Approve(ctx context.Context, o signin.Origin, cookie, proposalID string) (version int64, err error)
}

// A Trail is searched for whoever is behind a cookie; authz/inquiry is where.
type Trail interface {
	Search(ctx context.Context, o signin.Origin, cookie string, q inquiry.Question) (inquiry.Found, error)
}

// A Sealer seals what is kept for a while; a secret.KeyRing is one.
type Sealer interface {
	Seal(at secret.Place, plain []byte) ([]byte, error)
	Open(at secret.Place, sealed []byte) ([]byte, error)
}

// A Keeper keeps the first answer of a place for a while; Answers is one. Claim
// waits until the caller alone, of all gateways, is at work on a place;
// claim.ErrHeld says that it waited in vain.
type Keeper interface {
	Claim(ctx context.Context, place string, patience time.Duration) (leave func(), err error)
	Put(ctx context.Context, place string, sealed []byte, ttl time.Duration) error
	Get(ctx context.Context, place string) ([]byte, bool, error)
}

// Services is what the API stands on. All but those that may be nil must be given.
type Services struct {
	SignIn    SignIn
	Account   Account
	Charter   Charter
	Trail     Trail
	People    People
	LockDown  LockDown
	Sessions  Raised
	Desk      Desk      // nil: nothing is lent
	Permits   Permits   // nil: nothing is permitted
	Reports   Reports   // nil: there are none
	Sealed    Sealed    // nil: no emergency ID lies in an envelope
	Imports   Imports   // nil: no personnel changes are carried out here
	Shared    Shared    // nil: no ID is shared
	Recertify Recertify // nil: nothing is recertified
	Projects  Projects  // nil: no ID is bound to a project
	Once      Keeper    // first answers, for Idempotency-Key
	Seal      Sealer
}

// Raised knows of privileged sessions; session.Sessions does. nil: nothing is lent.
type Raised interface {
	Privileged(ctx context.Context, n session.Session) (session.Privileged, bool, error)
}

type service struct {
	Services
	srv  *web.Server
	once *once
}

// Mount puts every operation on srv.
func Mount(srv *web.Server, s Services) {
	v := &service{Services: s, srv: srv, once: newOnce(s.Once, s.Seal)}
	ops := v.operations()
	for _, op := range ops {
		srv.Mount(op.method+" "+op.path, op.handle)
	}
	// Made when it is first asked for: few do, and it is a quarter of what a start takes.
	doc := sync.OnceValue(func() []byte { return document(srv, ops) })
	srv.Mount("GET /api/openapi.json", func(w http.ResponseWriter, _ *web.Request) error {
		w.Header().Set("Content-Type", "application/json")
		_, err := w.Write(doc())
		return err
	})
}

// An operation is one row of the table.
type operation struct {
	method, path string
	says         string // what it does, one line
	handle       web.Handler
	body         any // a zero value of what is read; nil: nothing is
	status       int
	answer       any  // a zero value of what is answered; nil: nothing is
	open         bool // no session needed
	once         bool // honours Idempotency-Key
	query        []string
	numbers      []string // of query: those that are numbers
	codes        []string // refusals beside those every operation has
}

func (v *service) operations() []operation {
	return slices.Concat(v.ownOperations(), v.keyOperations(), v.peopleOperations(), v.terminalOperations(), v.tokenOperations(), v.lockDownOperations(), v.reportOperations(), v.deskOperations(), v.permitOperations(), v.reviewOperations(), v.sealedOperations(), v.importOperations(), v.sharedOperations(), v.recertifyOperations(), v.projectOperations())
}

// ownOperations are about oneself, the policy and the trail.
func (v *service) ownOperations() []operation {
	return []operation{
		{method: "POST", path: "/api/v1/signin", says: "First step: login and password.", handle: v.password,
			body: credentials{}, status: 200, answer: step{}, open: true, codes: []string{web.CodeForbidden, web.CodeRefused, web.CodeHeld}},
		{method: "POST", path: "/api/v1/signin/totp", says: "Second factor: a one-time code.", handle: v.totp,
			body: oneTimeCode{}, status: 200, answer: step{}, codes: []string{web.CodeForbidden, web.CodeRefused, web.CodeStep, web.CodeHeld}},
		{method: "POST", path: "/api/v1/signin/password", says: "Replaces a temporary or expired password.", handle: v.newPassword,
			body: newPassword{}, status: 200, answer: step{}, codes: []string{web.CodeForbidden, web.CodeStep}},
		{method: "POST", path: "/api/v1/signin/acknowledge", says: "Records that the rules were read.", handle: v.acknowledge,
			body: acknowledged{}, status: 200, answer: step{}, codes: []string{web.CodeForbidden, web.CodeStep}},
		{method: "POST", path: "/api/v1/signin/terminal-check", says: "From outside: confirms that the terminal is in order.", handle: v.terminalCheck,
			body: terminalCheck{}, status: 200, answer: step{}, codes: []string{web.CodeStep, web.CodeForbidden}},
		{method: "GET", path: "/api/v1/session", says: "Who is signed in, and when they last were.", handle: v.session,
			status: 200, answer: sessionAnswer{}},
		{method: "DELETE", path: "/api/v1/session", says: "Signs out.", handle: v.signOut, status: 204},
		{method: "GET", path: "/api/v1/sessions", says: "One's own sessions.", handle: v.sessions,
			status: 200, answer: list[sessionItem]{}},
		{method: "DELETE", path: "/api/v1/sessions/{id}", says: "Ends one of one's own sessions.", handle: v.endSession,
			status: 204, codes: []string{web.CodeNotFound}},
		{method: "POST", path: "/api/v1/password", says: "Changes the password.", handle: v.changePassword,
			body: passwordChange{}, status: 200, answer: step{}, codes: []string{web.CodeRefused, web.CodeStepUp, web.CodeHeld}},
		{method: "GET", path: "/api/v1/factors", says: "One's own second factors.", handle: v.factors,
			status: 200, answer: list[factorItem]{}},
		{method: "POST", path: "/api/v1/factors/totp/begin", says: "Begins to enrol a one-time code app.", handle: v.beginTOTP,
			body: struct{}{}, status: 201, answer: enrolment{}, once: true, codes: []string{web.CodeStepUp, web.CodeStep, web.CodeState}},
		{method: "POST", path: "/api/v1/factors/totp/finish", says: "Confirms the app with its first code.", handle: v.finishTOTP,
			body: confirmation{}, status: 201, answer: enrolled{}, once: true, codes: []string{web.CodeStepUp, web.CodeStep, web.CodeState, web.CodeNotFound, web.CodeRefused, web.CodeHeld}},
		{method: "DELETE", path: "/api/v1/factors/{id}", says: "Removes a factor.", handle: v.removeFactor,
			status: 204, codes: []string{web.CodeStepUp, web.CodeNotFound, web.CodeLastFactor}},
		{method: "POST", path: "/api/v1/leak-reports", says: "Reports that one's password may be known to others.", handle: v.reportLeak,
			body: leak{}, status: 201, answer: leakAnswer{}, once: true},
		{method: "GET", path: "/api/v1/policy", says: "The policy in force.", handle: v.policy, status: 200, answer: policyAnswer{}},
		{method: "POST", path: "/api/v1/policy/proposals/{id}/approve", says: "Approves a proposed policy, as its second person.", handle: v.approve,
			body: struct{}{}, status: 200, answer: approved{}, codes: []string{web.CodeForbidden, web.CodeStepUp, web.CodeNotFound, web.CodeStale}},
		{method: "GET", path: "/api/v1/audit", says: "Searches the trail.", handle: v.audit, status: 200, answer: list[auditItem]{},
			query: auditQuery, numbers: []string{"limit", "after"}, codes: []string{web.CodeForbidden, web.CodeStepUp}},
	}
}

// list is how every list is answered.
type list[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"` // give it as after= for the rest; null at the end
}

func listOf[T any](items []T) list[T] {
	if items == nil {
		items = []T{}
	}
	return list[T]{Items: items}
}

func write(w http.ResponseWriter, status int, answer any) error {
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return writeBytes(w, status, b)
}

func writeBytes(w http.ResponseWriter, status int, b []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a reader who has gone is not our error
	return nil
}

// stamp is a time as the API writes it, nil for none.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// orNull is a text as the API writes it where there may be none.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// someone is who is signed in. A sign-in under way is nobody yet, and an
// application's own cookie opens nothing here.
func (v *service) someone(r *web.Request) (signin.Step, error) {
	if r.Cookie == "" {
		return signin.Step{}, signin.ErrNone
	}
	s, err := v.SignIn.Current(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return signin.Step{}, err
	}
	if s.Session == nil || s.Session.App != "" {
		return signin.Step{}, signin.ErrNone
	}
	return s, nil
}

// fresh asks for two factors, proved a short while ago (ASVS 7.5.3).
func (v *service) fresh(r *web.Request, s signin.Step) error {
	need := &account.StepUp{Required: policy.AAL2, MaxAge: r.Policy().SignIn.FreshFor}
	if !s.Session.ACR.AtLeast(need.Required) || v.srv.Now().Sub(s.Session.AuthAt) > need.MaxAge {
		return need
	}
	return nil
}

func posts(p *policy.Policy, who directory.Person) []policy.PostID {
	if out := p.PostsOf(who.Groups); out != nil {
		return out
	}
	return []policy.PostID{}
}

// required refuses an empty or overlong text.
func required(field, value string, most int) error {
	switch {
	case value == "":
		return web.Invalid(web.FieldError{Field: field, Rule: "required", Detail: policy.Words{JA: "入力してください。", EN: "Please fill this in."}})
	case len(value) > most:
		return web.Invalid(web.FieldError{Field: field, Rule: "too_long", Detail: policy.Words{JA: "長すぎます。", EN: "This is too long."}})
	}
	return nil
}
