package gate

import (
	"context"
	"html/template"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"sekisho/policy"
	"sekisho/web"
)

// Proxy stands before the applications' hosts in dev, where no nginx does. It
// asks the same question as /auth/check and passes on what it allows, to the
// application's upstream or to the built-in sample.
func (g *Gate) Proxy() http.Handler {
	proxy := &httputil.ReverseProxy{
		// Rewrite runs after hop-by-hop headers are gone, so that a client's
		// "Connection: Remote-User" cannot take ours away again.
		Rewrite: func(pr *httputil.ProxyRequest) {
			to, _ := pr.In.Context().Value(upstreamKey{}).(upstream)
			pr.SetURL(to.url)
			pr.Out.Host = pr.In.Host
			tell(pr.Out.Header, to.told)
			pr.Out.Header.Set("X-Forwarded-For", to.source)
			pr.Out.Header.Set("X-Forwarded-Host", pr.In.Host)
			pr.Out.Header.Set("X-Forwarded-Proto", g.srv.PublicURL().Scheme)
		},
		ModifyResponse: dropOurCookies,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			g.srv.Log().WarnContext(r.Context(), "an application is away", "error", err)
			g.srv.Refuse(w, r, &web.Refusal{Problem: web.Problem{Code: web.CodeAway, Detail: policy.Words{
				JA: "アプリケーションにつながりません。少し待ってもう一度行ってください。",
				EN: "The application cannot be reached. Wait a little and try again."}}})
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.pass(proxy, w, r) })
}

type upstreamKey struct{}

type upstream struct {
	url    *url.URL
	told   *telling
	source string
}

func (g *Gate) pass(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	o, err := g.srv.OriginOf(r)
	if err != nil {
		g.srv.Refuse(w, r, err)
		return
	}
	if !readableURI(r.URL.RequestURI()) {
		g.srv.Refuse(w, r, web.Malformed("path", errQuestion))
		return
	}
	q := question{host: web.Hostname(r.Host), uri: r.URL.RequestURI(), method: r.Method}
	a, err := g.check(r.Context(), r.Header["Cookie"], q, place{o.Zone, o.Outside, o.Source})
	if err != nil {
		g.counts.failed.Inc()
		g.srv.Refuse(w, r, err)
		return
	}
	if !a.verdict.Allowed(a.now) {
		g.shut(w, r, a, o.Source)
		return
	}
	t, err := g.tell(a)
	if err != nil {
		g.counts.failed.Inc()
		g.srv.Refuse(w, r, err)
		return
	}
	g.counts.allowed.Inc()
	strip(r.Header)
	if a.app.URL == "" {
		tell(r.Header, t)
		g.SampleApp(a.app).ServeHTTP(w, r)
		return
	}
	to, err := url.Parse(a.app.URL)
	if err != nil {
		g.srv.Refuse(w, r, err)
		return
	}
	proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), upstreamKey{}, upstream{to, t, o.Source.String()})))
}

// shut answers what may not pass: to the sign-in if that helps and a browser
// can follow, with words if not.
func (g *Gate) shut(w http.ResponseWriter, r *http.Request, a answer, source netip.Addr) {
	p := web.Problem{Code: web.CodeForbidden, Detail: a.verdict.Says, Articles: a.verdict.Articles}
	if !helps(a.verdict) {
		g.counts.refused.Inc()
		g.deny(a, source)
		g.srv.Refuse(w, r, &web.Refusal{Problem: p})
		return
	}
	g.counts.signIn.Inc()
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", "/.sekisho/start?rd="+url.QueryEscape(r.URL.RequestURI()))
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	g.srv.Refuse(w, r, &web.Refusal{Problem: web.Problem{Code: web.CodeNoSession}})
}

// strip removes what only we may say, in every spelling that a server behind
// us could read as ours: CGI and WSGI make "_" of "-" (security.md section 2,
// row 13). Our own cookie goes too.
func strip(h http.Header) {
	for name := range h {
		n := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if strings.HasPrefix(n, "remote-") || strings.HasPrefix(n, "x-sekisho-") || n == "x-original-url" || n == "x-original-method" {
			delete(h, name)
		}
	}
	if kept := web.WithoutOurs(h["Cookie"]); len(kept) > 0 {
		h["Cookie"] = kept
	} else {
		delete(h, "Cookie")
	}
}

func tell(h http.Header, t *telling) {
	strip(h)
	for i, name := range headerNames {
		h[name] = t.headers[i]
	}
}

// dropOurCookies keeps an application from planting a cookie of ours.
func dropOurCookies(resp *http.Response) error {
	resp.Header.Del("Date") // the gate's own stands already
	set := resp.Header["Set-Cookie"]
	resp.Header.Del("Set-Cookie")
	for _, line := range set {
		if name, _, _ := strings.Cut(line, "="); len(web.WithoutOurs([]string{strings.TrimSpace(name) + "=x"})) > 0 {
			resp.Header.Add("Set-Cookie", line)
		}
	}
	return nil
}

var samplePage = template.Must(template.New("sample").Parse(`<!DOCTYPE html>
<html lang="ja"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.App.Name.JA}}</title><style>{{.Style}}</style></head>
<body><main>
<h1>{{.App.Name.JA}} <span lang="en">{{.App.Name.EN}}</span></h1>
<p>ようこそ、{{.Name}} さん。 <span lang="en">Welcome, {{.Name}}.</span></p>
<dl>
<dt>ログイン名 <span lang="en">login</span></dt><dd id="login">{{.Login}}</dd>
<dt>役割 <span lang="en">posts</span></dt><dd id="posts">{{.Posts}}</dd>
<dt>認証の強さ <span lang="en">assurance</span></dt><dd id="acr">{{.ACR}}</dd>
<dt>領域 <span lang="en">zone</span></dt><dd id="zone">{{.App.Zone}}</dd>
<dt>重要度 <span lang="en">class</span></dt><dd id="class">{{.Class}}</dd>
</dl>
<p><a href="{{.Gate}}/">関所へ <span lang="en">to the gate</span></a> · <a href="/.sekisho/signout">サインアウト <span lang="en">sign out</span></a></p>
</main></body></html>
`))

// SampleApp is an application that shows what it was told, and nothing else.
// It trusts Remote-* as an application behind a proxy does.
func (g *Gate) SampleApp(app policy.Application) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, err := url.PathUnescape(r.Header.Get("Remote-Name"))
		if err != nil {
			name = ""
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src "+plainStyleHash+"; base-uri 'none'; frame-ancestors 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if err := samplePage.Execute(w, map[string]any{
			"Style": plainStyle, "App": app, "Class": strconv.Itoa(app.Class), "Gate": g.issuer, "Login": r.Header.Get("Remote-User"), "Name": name,
			"Posts": r.Header.Get("Remote-Groups"), "ACR": r.Header.Get("Remote-Acr"),
		}); err != nil {
			g.srv.Log().WarnContext(r.Context(), "showing the sample application", "error", err)
		}
	})
}
