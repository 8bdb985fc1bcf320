package gate

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/web"
)

// The handover gives an application's host a cookie of its own, by redirects
// alone:
//
//	app  /.sekisho/start?rd=/path     → gate /handover?app=…&rd=…
//	gate /handover                    → app  /.sekisho/callback?code=…&rd=/path     (or /signin, and back here)
//	app  /.sekisho/callback           → app  /path, with the cookie
//
// The gate's cookie never leaves the gate's host. The code is good once, for
// that host, for a minute (authn/session).

// start is where an application's host sends a browser that has no cookie.
func (g *Gate) start(w http.ResponseWriter, r *web.Request) error {
	app, err := g.here(r)
	if err != nil {
		return err
	}
	origin := web.AppOrigin(g.srv.PublicURL(), app)
	return redirect(w, r, g.issuer+web.HandoverPath(app.ID, origin+backTo(r)))
}

// handOver is on the gate's host.
func (g *Gate) handOver(w http.ResponseWriter, r *web.Request) error {
	q, p := r.URL.Query(), r.Policy()
	app, ok := p.Application(q.Get("app"))
	if !ok || len(q["app"]) != 1 || len(q["rd"]) != 1 {
		return web.Malformed("app", nil)
	}
	at, u, ok := web.AppReturn(p, g.srv.PublicURL(), q.Get("rd"))
	if !ok || at.ID != app.ID {
		return web.Malformed("rd", nil)
	}
	rd := web.AppReturnURL(g.srv.PublicURL(), app, u)
	facts := authz.Facts{Application: app, Now: g.srv.Now()}
	a := answer{app: app}
	if r.Cookie != "" {
		step, err := g.SignIn.Current(r.Context(), r.Origin, r.Cookie)
		switch {
		case errors.Is(err, signin.ErrNone):
		case err != nil:
			return err
		case step.Session != nil && step.Session.App == "":
			a.session = *step.Session
			facts.SignedIn, facts.Person = true, step.Person
			facts.ACR, facts.AMR = step.Session.ACR, step.Session.AMR
			facts.Posts, facts.SessionEnds = p.PostsOf(step.Person.Groups), ends(*step.Session)
		}
	}
	if a.verdict = authz.Decide(p, facts); !a.verdict.Allowed(facts.Now) {
		if helps(a.verdict) {
			return redirect(w, r, g.signInURL(a, strings.TrimPrefix(rd, web.AppOrigin(g.srv.PublicURL(), app))))
		}
		g.deny(a, r.Origin.Source)
		return &web.Refusal{Problem: web.Problem{Code: web.CodeForbidden, Detail: a.verdict.Says, Articles: a.verdict.Articles}}
	}
	code, err := g.Sessions.HandoverCode(r.Context(), r.Cookie, app.ID, web.Hostname(app.Host))
	if err != nil {
		return err
	}
	origin := web.AppOrigin(g.srv.PublicURL(), app)
	return redirect(w, r, origin+"/.sekisho/callback?"+url.Values{"code": {code}, "rd": {strings.TrimPrefix(rd, origin)}}.Encode())
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
	cookie, err := g.Sessions.RedeemHandover(r.Context(), q.Get("code"), web.Hostname(app.Host), r.Origin.Source.String())
	if err != nil {
		return err
	}
	web.SetAppCookie(w, cookie)
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
