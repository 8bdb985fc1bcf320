package gate

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

// The handover gives an application's host a cookie of its own, by redirects
// alone:
//
//	app  /.sekisho/start?rd=/path     → gate /handover?app=…&rd=…&state=…
//	gate /handover                    → app  /.sekisho/callback?code=…&state=…&rd=/path     (or /signin, and back here)
//	app  /.sekisho/callback           → app  /path, with the cookie
//
// The gate's cookie never leaves the gate's host. The code is good once, for
// that host, for a minute (authn/session), and in the browser that began at
// start: state is the hash of a cookie that start left on the application's
// host. Without it, whoever hands somebody a code of their own would sign them in
// as themselves (RFC 6749 section 10.12). A browser that comes to /handover from
// elsewhere is sent to start first.

// start is where an application's host sends a browser that has no cookie.
func (g *Gate) start(w http.ResponseWriter, r *web.Request) error {
	app, err := g.here(r)
	if err != nil {
		return err
	}
	begun := web.StartCookie(r.Header["Cookie"]) // of another window: both go on
	if len(begun) != startLength {
		begun = secret.Token(startBytes)
	}
	web.SetStartCookie(w, begun)
	origin := web.AppOrigin(g.srv.PublicURL(), app)
	return redirect(w, r, g.issuer+web.HandoverPath(app.ID, origin+backTo(r))+"&state="+stateOf(begun))
}

const (
	startBytes  = 16
	startLength = (startBytes*8 + 5) / 6
)

// stateOf is what the gate and addresses see of the cookie that start left.
func stateOf(begun string) string {
	sum := sha256.Sum256([]byte("sekisho handover " + begun))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// handOver is on the gate's host.
func (g *Gate) handOver(w http.ResponseWriter, r *web.Request) error {
	q, p := r.URL.Query(), r.Policy()
	app, ok := p.Application(q.Get("app"))
	if !ok || len(q["app"]) != 1 || len(q["rd"]) != 1 || len(q["state"]) > 1 || len(q.Get("state")) > 64 {
		return web.Malformed("app", nil)
	}
	at, u, ok := web.AppReturn(p, g.srv.PublicURL(), q.Get("rd"))
	if !ok || at.ID != app.ID {
		return web.Malformed("rd", nil)
	}
	rd := web.AppReturnURL(g.srv.PublicURL(), app, u)
	back := strings.TrimPrefix(rd, web.AppOrigin(g.srv.PublicURL(), app))
	facts := authz.Facts{Application: app, URI: back, From: r.Origin.Zone, Outside: r.Origin.Outside, Source: r.Origin.Source, Now: g.srv.Now()}
	if g.LockDowns != nil {
		var err error
		if facts.LockDowns, err = g.LockDowns(r.Context(), g.Sessions.Moment(r.Context())); err != nil {
			return err
		}
	}
	a := answer{app: app}
	if r.Cookie != "" {
		step, err := g.SignIn.Current(r.Context(), r.Origin, r.Cookie)
		var no *signin.NoPassage
		switch {
		case errors.Is(err, signin.ErrNone):
		case errors.As(err, &no): // the form is for this application
			return g.srv.Refused(p, app, authz.Verdict{Reason: authz.Reason(no.Reason), Says: no.Says, Articles: no.Articles, Ask: authz.PermitKind(no.Ask)}, rd)
		case err != nil:
			return err
		case step.Session != nil && step.Session.App == "":
			a.session = *step.Session
			facts.SignedIn, facts.Person = true, step.Person
			facts.ACR, facts.AMR, facts.AuthAt = step.Session.ACR, step.Session.AMR, step.Session.AuthAt
			facts.Terminal, facts.Checked = step.Session.Terminal, step.Session.Outside
			if facts.Leases, _, err = g.lent(r.Context(), g.Sessions.Moment(r.Context()), *step.Session, step.Person, app); err != nil {
				return err
			}
			facts.Posts, facts.SessionEnds = p.PostsOf(step.Person.Groups), ends(*step.Session)
		}
	}
	if g.Fill != nil {
		var err error
		if facts, err = g.Fill(r.Context(), g.Sessions.Moment(r.Context()), facts); err != nil {
			return err
		}
	}
	if a.verdict = authz.Decide(p, facts); !a.verdict.Allowed(facts.Now) {
		if helps(a.verdict) {
			return redirect(w, r, g.signInURL(a, back))
		}
		g.deny(a, r.Origin.Source)
		return g.srv.Refused(p, app, a.verdict, rd)
	}
	origin := web.AppOrigin(g.srv.PublicURL(), app)
	state := q.Get("state")
	if state == "" {
		return redirect(w, r, origin+"/.sekisho/start?rd="+url.QueryEscape(back))
	}
	code, err := g.Sessions.HandoverCode(r.Context(), r.Cookie, app.ID, web.Hostname(app.Host))
	if err != nil {
		return err
	}
	return redirect(w, r, origin+"/.sekisho/callback?"+url.Values{"code": {code}, "rd": {back}, "state": {state}}.Encode())
}

// callback turns the code into the host's cookie, and goes to where the reader
// wanted to be, on this host and no other.
func (g *Gate) callback(w http.ResponseWriter, r *web.Request) error {
	app, err := g.here(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	if len(q["code"]) != 1 || q.Get("code") == "" || len(q.Get("code")) > 512 || len(q["rd"]) > 1 {
		return web.Malformed("code", nil)
	}
	begun := web.StartCookie(r.Header["Cookie"])
	if begun == "" || subtle.ConstantTimeCompare([]byte(stateOf(begun)), []byte(q.Get("state"))) != 1 {
		return &web.Refusal{Problem: web.Problem{Code: web.CodeForbidden, Detail: policy.Words{
			JA: "このサインインは、このブラウザーで始めたものではないため、受け付けませんでした。システムを開き直してください。ブラウザーがCookieを拒んでいる場合は、許可してください。",
			EN: "This sign-in was not begun in this browser, so it was not accepted. Please open the application again. If your browser refuses cookies, allow them.",
		}, Next: web.Next{Next: authz.Next{Move: authz.StartOver, Says: policy.Words{
			JA: "システムの最初の画面から、開き直してください。", EN: "Open the application from its first page."}}}}}
	}
	cookie, err := g.Sessions.RedeemHandover(r.Context(), q.Get("code"), web.Hostname(app.Host), r.Origin.Source.String())
	if err != nil {
		return err
	}
	web.SetAppCookie(w, cookie)
	web.SetStartCookie(w, "")
	return redirect(w, r, backTo(r))
}

var signOutPage = template.Must(template.New("signout").Parse(`<!DOCTYPE html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title><style nonce="{{.Nonce}}">{{.Style}}</style></head>
<body><main><h1>{{.Title}}</h1><p>{{.Says}}</p>
<form method="post" action="/.sekisho/signout"><input type="hidden" name="csrf_token" value="{{.Token}}"><button type="submit">{{.Title}}</button></form>
</main></body></html>
`))

// askSignOut shows the button: a GET changes nothing.
func (g *Gate) askSignOut(w http.ResponseWriter, r *web.Request) error {
	app, err := g.here(r)
	if err != nil {
		return err
	}
	r.AllowFormTo(w, g.issuer+"/")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return signOutPage.Execute(w, map[string]any{
		"Nonce": r.Nonce, "Style": plainStyle,
		"Lang": r.Lang, "Title": r.Say(policy.Words{JA: "サインアウト", EN: "Sign out"}), "Token": g.Sessions.CSRF(r.Cookie),
		"Says": r.Say(policy.Words{JA: app.Name.JA + " からサインアウトします。", EN: "You will be signed out of " + app.Name.In("en") + "."}),
	})
}

// signOut ends this host's child session; the gate's own goes on.
func (g *Gate) signOut(w http.ResponseWriter, r *web.Request) error {
	if _, err := g.here(r); err != nil {
		return err
	}
	if r.Cookie != "" {
		if err := g.SignIn.SignOut(r.Context(), r.Origin, r.Cookie); err != nil && !errors.Is(err, signin.ErrNone) {
			return err
		}
	}
	web.SetAppCookie(w, "")
	return redirect(w, r, g.issuer+"/")
}

// here is the application whose host was asked.
func (g *Gate) here(r *web.Request) (policy.Application, error) {
	app, ok := g.application(r.Policy(), web.Hostname(r.Host))
	if !ok {
		return policy.Application{}, web.ErrNoPage
	}
	return app, nil
}

// backTo is the rd of the query if it is a path on this host, and outside of
// our own part of it; "/" otherwise.
func backTo(r *web.Request) string {
	to, ok := web.LocalReturn(r.URL.Query().Get("rd"))
	if !ok || strings.HasPrefix(strings.ToLower(to), "/.sekisho") {
		return "/"
	}
	return to
}

func redirect(w http.ResponseWriter, _ *web.Request, to string) error {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
