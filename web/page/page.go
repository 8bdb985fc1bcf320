// Package page is what people see: pages in Japanese and English, made on the
// server, that work without JavaScript but where a browser is asked for a
// passkey.
//
// It translates in both directions and does nothing else: a posted form becomes
// one call of a service, and what the service answers, or refuses, becomes a
// page or a redirect. It refuses to know how anybody signs in, which step comes
// next, or what an error is as a status: authn decides the first two and the
// root package web the third. It keeps no state between two requests.
//
// Every change is a POST that ends in a redirect, except where something is
// shown that must not be shown twice (the picture of an enrolment). An error is
// shown in place, above the form, with what was typed kept; a password or a code
// is never sent back.
package page

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/web"
)

// Services are what the pages speak to. Charter, Terminal, Desk, Permits, LockDown,
// Sealed, Shared and Projects may be nil: then there is no such page.
type Services struct {
	Steps    Steps
	Presence Presence
	Factors  Factors
	Account  Account
	Charter  Charter
	Terminal TerminalCheck
	People   People
	Desk     Desk
	Permits  Permits
	LockDown LockDown
	Sealed   Sealed
	Imports  Imports // nil: no personnel changes are carried out here
	Shared   Shared
	Reports  Reports // nil: there are none
	Trail    Trail   // nil: it is not looked through on pages
	// Recertify is where sections confirm what their people need. nil: they do not.
	Recertify Recertify
	// Projects are those that IDs are bound to. nil: there are none.
	Projects Projects
	// Drafts keep what was typed when a sign-in had grown too old for it. nil: it is lost.
	Drafts Drafts
	// Welcome says whether anybody could come in from where a request comes from. nil:
	// from the networks of the zones that are served.
	Welcome func(ctx context.Context, o signin.Origin) error
	// More adds to the facts of a decision what is lent to somebody in a session,
	// and the lock-downs in force; an error means that nobody could say. nil: there
	// is neither.
	More func(ctx context.Context, f *authz.Facts, n session.Session) error
}

// house is the pages and what stands behind them.
type house struct {
	Services
	srv   *web.Server
	pages pages
}

// Mount puts every page on srv, and the error page with them. It panics when a
// template or a catalogue is broken, which the tests of this package find first.
func Mount(srv *web.Server, s Services) {
	h := &house{Services: s, srv: srv, pages: mustLoad()}
	srv.ErrorPage(h.refusal)
	srv.QuestionPage(h.asked)

	srv.Mount("GET "+style.url, style.serve)
	srv.Mount("GET "+script.url, script.serve)
	srv.Mount("GET /{$}", h.home)
	srv.Mount("GET /rules", h.rules)

	srv.Mount("GET /signin", h.signinForm)
	srv.Mount("POST /signin", h.signin)
	srv.Mount("POST /signin/passkey", h.passkey)
	srv.Mount("GET /signin/passkey", instead("/signin"))
	srv.Mount("POST /signin/card", h.card)
	srv.Mount("GET /signin/card", instead("/signin"))
	srv.Mount("POST /signin/restart", h.restart)
	srv.Mount("GET /signin/totp", h.secondForm)
	srv.Mount("POST /signin/totp", h.totp)
	srv.Mount("GET /signin/recovery", h.recoveryForm)
	srv.Mount("POST /signin/recovery", h.recovery)
	srv.Mount("GET /signin/password", h.forcedForm)
	srv.Mount("POST /signin/password", h.forced)
	srv.Mount("GET /signin/enrol", h.enrolForm)
	srv.Mount("POST /signin/enrol/passkey", h.enrolPasskey)
	srv.Mount("GET /signin/enrol/passkey", instead("/signin/enrol"))
	srv.Mount("POST /signin/enrol/begin", h.enrolBegin)
	srv.Mount("GET /signin/enrol/begin", instead("/signin/enrol"))
	srv.Mount("POST /signin/enrol", h.enrolFinish)
	srv.Mount("GET /signin/acknowledge", h.acknowledgeForm)
	srv.Mount("POST /signin/acknowledge", h.acknowledge)
	srv.Mount("GET /signin/welcome", h.welcome)
	if s.Terminal != nil {
		srv.Mount("GET /signin/terminal-check", h.terminalForm)
		srv.Mount("POST /signin/terminal-check", h.terminal)
	}
	srv.Mount("POST /signout", h.signout)

	srv.Mount("GET /me", h.me)
	srv.Mount("GET /me/applications", h.applications)
	srv.Mount("GET /me/password", h.passwordForm)
	srv.Mount("POST /me/password", h.password)
	srv.Mount("GET /me/factors/totp", h.addForm)
	srv.Mount("POST /me/factors/totp/begin", h.addBegin)
	srv.Mount("GET /me/factors/totp/begin", instead("/me/factors/totp"))
	srv.Mount("POST /me/factors/totp", h.addFinish)
	srv.Mount("GET /me/factors/passkey", h.addPasskeyForm)
	srv.Mount("POST /me/factors/passkey", h.addPasskey)
	srv.Mount("GET /me/factors/{id}/rename", h.renameForm)
	srv.Mount("POST /me/factors/{id}/rename", h.rename)
	srv.Mount("GET /me/factors/{id}/remove", h.removeForm)
	srv.Mount("POST /me/factors/{id}/remove", h.remove)
	srv.Mount("GET /me/address", h.addressForm)
	srv.Mount("POST /me/address", h.address)
	srv.Mount("POST /me/sessions/{id}/end", h.endSession)
	srv.Mount("POST /me/sessions/end", h.endOthers)
	srv.Mount("GET /me/leak", h.leakForm)
	srv.Mount("POST /me/leak", h.leak)
	srv.Mount("GET /leak-reported", h.leaked)
	if s.People != nil {
		h.mountOffice()
	}
	if s.Desk != nil {
		h.mountDesk()
	}
	if s.Permits != nil {
		h.mountPermits()
	}
	if s.Imports != nil {
		h.mountImports()
	}
	if s.LockDown != nil {
		h.mountLockDown()
	}
	if s.Sealed != nil {
		h.mountSealed()
	}
	if s.Shared != nil {
		h.mountShared()
	}
	if s.Reports != nil {
		h.mountReports()
	}
	if s.Trail != nil {
		h.mountTrail()
	}
	if s.Recertify != nil {
		h.mountRecertify()
	}
	if s.Projects != nil {
		h.mountProjects()
	}
	if s.Charter != nil {
		srv.Mount("GET /policy", h.policy)
		srv.Mount("POST /policy/proposals/{id}/approve", h.approve)
	}
}

// Where each state of a sign-in has its page.
var stepPath = map[signin.State]string{
	authn.SecondFactor:   "/signin/totp",
	authn.PasswordChange: "/signin/password",
	authn.Enrol:          "/signin/enrol",
	authn.Acknowledge:    "/signin/acknowledge",
	authn.TerminalCheck:  "/signin/terminal-check",
}

// onward sends the browser to where a step leads. Which step is next was
// decided by authn; only the address is chosen here.
func (h *house) onward(w http.ResponseWriter, r *web.Request, step signin.Step) error {
	if path, ok := stepPath[step.State]; ok {
		return redirect(w, r, path, keep(r))
	}
	to, ok := r.Return()
	if !ok {
		return redirect(w, r, "/me", nil)
	}
	// Someone else's tries are shown before anything else opens (article
	// 63-7): on the way to an application my page would not be seen.
	if step.Session != nil && step.Session.Previous.FailuresSince > 0 && r.URL.Path != "/signin/welcome" && r.Method == http.MethodPost {
		return redirect(w, r, "/signin/welcome", keep(r))
	}
	http.Redirect(w, r.Request, to, http.StatusSeeOther)
	return nil
}

// current is what the reader's cookie stands for; for nothing, a Step in no state. It
// has the token of a session that opens nothing from here, for signing in anew.
func (h *house) current(r *web.Request) (signin.Step, error) {
	if r.Cookie == "" {
		return signin.Step{}, nil
	}
	step, err := h.Presence.Current(r.Context(), r.Origin, r.Cookie)
	if none(err) {
		return signin.Step{CSRF: step.CSRF}, nil
	}
	return step, err
}

// at gives the step when the sign-in is at state, and otherwise has sent the
// browser to where it is; then done is true, or err is not nil.
func (h *house) at(w http.ResponseWriter, r *web.Request, state signin.State) (step signin.Step, done bool, err error) {
	step, err = h.current(r)
	switch {
	case err != nil:
		return step, false, err
	case step.State == state:
		return step, false, nil
	case step.State == "" && state == authn.SignedIn:
		to := url.Values{"why": {"sign_in"}}
		switch {
		case r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, "/leases/"):
			// Perhaps the answer to their first try was lost, and it has begun; the page
			// of that is where this address leads who asks for it.
			to.Set("rd", r.URL.Path)
		case r.Method != http.MethodGet:
		case r.URL.Path == web.PermitPath: // what a refusal has said of what is wanted goes along
			to.Set("rd", r.URL.RequestURI())
		default:
			to.Set("rd", r.URL.Path)
		}
		return step, true, redirect(w, r, "/signin", to)
	case step.State == "":
		return step, true, h.ended(w, r)
	}
	return step, true, h.onward(w, r, step)
}

// elsewhere handles the errors that mean that the reader belongs on another
// page; false: it is none of them.
func (h *house) elsewhere(w http.ResponseWriter, r *web.Request, err error, back string) (bool, error) {
	var up *account.StepUp
	switch {
	case none(err):
		return true, h.ended(w, r)
	case errors.As(err, &up):
		h.keepTyped(r, back)
		to := url.Values{"rd": {back}}
		if up.Required != "" {
			to.Set("acr", string(up.Required))
		}
		if up.MaxAge > 0 {
			to.Set("max_age", strconv.Itoa(int(up.MaxAge/time.Second)))
		}
		return true, redirect(w, r, "/signin", to)
	case errors.Is(err, signin.ErrStep):
		step, err := h.current(r)
		if err != nil {
			return true, err
		}
		if path, ok := stepPath[step.State]; ok && path != r.URL.Path {
			return true, redirect(w, r, path, keep(r))
		}
		if step.State == authn.SignedIn {
			return true, redirect(w, r, "/me", nil)
		}
	}
	return false, nil
}

func (h *house) ended(w http.ResponseWriter, r *web.Request) error {
	to := keep(r)
	to.Set("why", "ended")
	return redirect(w, r, "/signin", to)
}

func none(err error) bool {
	return errors.Is(err, signin.ErrNone) || errors.Is(err, session.ErrNone)
}

// keep is what goes along from step to step: where to in the end, and how
// strongly.
func keep(r *web.Request) url.Values {
	v := url.Values{}
	if rd := returning(r); rd != "" {
		v.Set("rd", rd)
	}
	return v
}

// returning is the rd parameter as it came, if it is safe; "" otherwise.
func returning(r *web.Request) string {
	if _, ok := r.Return(); !ok {
		return ""
	}
	if rd := r.URL.Query().Get("rd"); rd != "" {
		return rd
	}
	return r.PostForm.Get("rd")
}

// redirect answers 303, so that what follows is a GET whatever this was.
func redirect(w http.ResponseWriter, r *web.Request, path string, query url.Values) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	http.Redirect(w, r.Request, path, http.StatusSeeOther)
	return nil
}

// instead leads from an address that a browser shows after a POST, and its owner
// may open again, to the page that the POST came from.
func instead(path string) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error { return redirect(w, r, path, keep(r)) }
}

func (h *house) home(w http.ResponseWriter, r *web.Request) error {
	step, err := h.current(r)
	if err != nil {
		return err
	}
	if step.State == authn.SignedIn {
		return redirect(w, r, "/me", nil)
	}
	return redirect(w, r, "/signin", nil)
}

// mayApprove reports whether these posts may put a policy in force.
func mayApprove(posts []policy.PostID) bool {
	for _, p := range posts {
		if p == policy.CIO || p == policy.SecurityOfficer {
			return true
		}
	}
	return false
}
