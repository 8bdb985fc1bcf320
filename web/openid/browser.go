package openid

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sekisho/authn"
	"sekisho/authn/oidc"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
)

// longestResume bounds what a sign-in page carries along; web's own bound for a
// return address is 2048.
const longestResume = 1800

// authorize answers an authorization request (RFC 6749 section 4.1.1). A GET
// here changes nothing but that a code is given, which only its application can
// use; so a page of another site that sends a browser here gains nothing.
func (h *house) authorize(w http.ResponseWriter, r *web.Request) error {
	return h.decide(w, r, r.URL.Query(), false)
}

// consent is the answer to the page that asked. It is a POST with the token that
// goes with the session, so nobody agrees in another's name.
func (h *house) consent(w http.ResponseWriter, r *web.Request) error {
	q, err := url.ParseQuery(r.PostForm.Get("request"))
	if err != nil {
		return web.Malformed("request", err)
	}
	if r.PostForm.Get("answer") == "agree" {
		return h.decide(w, r, q, true)
	}
	req, page, err := h.Provider.Read(r.Context(), q)
	if page {
		return h.onPage(err)
	}
	return h.send(w, r, req, url.Values{"error": {"access_denied"}, "error_description": {"the person did not agree"}})
}

func (h *house) decide(w http.ResponseWriter, r *web.Request, q url.Values, agreed bool) error {
	req, page, err := h.Provider.Read(r.Context(), q)
	switch {
	case page:
		return h.onPage(err)
	case err != nil:
		return h.refuse(w, r, req, err)
	}
	v := oidc.Visit{Origin: r.Origin, Asked: h.Provider.Asked(req, q.Get("asked")), Agreed: agreed}
	step, err := h.current(r)
	if err != nil {
		return h.refuse(w, r, req, err)
	}
	if step.State == authn.SignedIn && step.Session != nil {
		v.Session, v.Person = step.Session, step.Person
	}
	a, err := h.Provider.Authorize(r.Context(), req, v)
	switch {
	case err != nil:
		return h.refuse(w, r, req, err)
	case a.SignIn != nil:
		return h.signIn(w, r, req, *a.SignIn)
	case a.Ask:
		return h.ask(w, r, req, step, q)
	}
	h.counts.WithLabelValues("authorize", "ok").Inc()
	return h.send(w, r, req, url.Values{"code": {a.Code}})
}

// current is what the browser's cookie stands for; the zero Step for nothing.
func (h *house) current(r *web.Request) (signin.Step, error) {
	if r.Cookie == "" {
		return signin.Step{}, nil
	}
	step, err := h.SignIn.Current(r.Context(), r.Origin, r.Cookie)
	if errors.Is(err, signin.ErrNone) {
		return signin.Step{}, nil
	}
	return step, err
}

// signIn sends the browser to sign in, and back here afterwards.
func (h *house) signIn(w http.ResponseWriter, r *web.Request, req oidc.Request, need oidc.SignIn) error {
	back, err := h.Provider.Resume(r.Context(), req, r.Origin.SourceKey(), longestResume)
	if err != nil {
		return h.refuse(w, r, req, err)
	}
	q := url.Values{"rd": {AuthorizePath + "?" + back.Encode()}}
	if need.ACR != "" {
		q.Set("acr", string(need.ACR))
	}
	if need.Fresh {
		q.Set("max_age", "0")
	}
	if req.LoginHint != "" {
		q.Set("login_hint", req.LoginHint)
	}
	if lang := tongueOf(req.Locales); lang != "" {
		q.Set("lang", lang)
	}
	see(w, "/signin?"+q.Encode())
	return nil
}

// tongueOf is the first language asked for that we have (OpenID Connect Core
// section 3.1.2.1, ui_locales).
func tongueOf(locales []string) string {
	for _, l := range locales {
		primary, _, _ := strings.Cut(strings.ToLower(l), "-")
		if primary == "ja" || primary == "en" {
			return primary
		}
	}
	return ""
}

// onPage shows an error to whoever sits there: nobody else may be told.
func (h *house) onPage(err error) error {
	var e *oidc.Error
	if !errors.As(err, &e) {
		return err
	}
	h.counts.WithLabelValues("authorize", e.Code).Inc()
	return &web.Refusal{Problem: web.Problem{Code: web.CodeMalformed, Detail: e.Says}}
}

// refuse sends an error to the redirect URI, which has been proven.
func (h *house) refuse(w http.ResponseWriter, r *web.Request, req oidc.Request, err error) error {
	var e *oidc.Error
	if !errors.As(err, &e) {
		p := web.ProblemOf(err)
		e = &oidc.Error{Code: "server_error", Description: "something broke on the server's side"}
		if p.Status == http.StatusServiceUnavailable {
			e = &oidc.Error{Code: "temporarily_unavailable", Description: "something the server depends on is away"}
		}
		h.srv.Log().Error("openid", "request_id", r.ID, "endpoint", "authorize", "error", err)
	}
	h.counts.WithLabelValues("authorize", e.Code).Inc()
	what := url.Values{"error": {e.Code}, "error_description": {e.Description}}
	if !e.Says.IsEmpty() {
		// The application's page can lead to where the person is told what is
		// missing, and what to do (RFC 6749 section 4.1.2.1).
		app := req.Client.Application
		if app == "" {
			app = req.Client.ID
		}
		what.Set("error_uri", h.Issuer+refusedPath+url.PathEscape(app))
	}
	return h.send(w, r, req, what)
}

// refusedPath is where a person reads why an application does not open to them.
const refusedPath = "/me/applications#"

var postPage = template.Must(template.New("post").Parse(`<!DOCTYPE html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title><style nonce="{{.Nonce}}">{{.Style}}</style></head>
<body><main><h1>{{.Title}}</h1>
<form method="post" action="{{.To}}">{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">{{end}}<button type="submit">{{.Title}}</button></form>
</main><script nonce="{{.Nonce}}">document.forms[0].submit()</script></body></html>
`))

type field struct{ Name, Value string }

// send gives the answer to the application through the browser, with state, and
// with who we are (RFC 9207).
func (h *house) send(w http.ResponseWriter, r *web.Request, req oidc.Request, what url.Values) error {
	if req.State != "" {
		what.Set("state", req.State)
	}
	what.Set("iss", h.Issuer)
	if req.ResponseMode != "form_post" {
		see(w, with(req.RedirectURI, what))
		return nil
	}
	if origin, ok := originOf(req.RedirectURI); ok {
		r.AllowFormAt(w, origin)
	}
	var fields []field
	for name := range what {
		fields = append(fields, field{name, what.Get(name)})
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return postPage.Execute(w, map[string]any{
		"Lang": r.Lang, "Nonce": r.Nonce, "Style": plainStyle, "To": template.URL(req.RedirectURI), "Fields": fields, // a URI of the policy's
		"Title": r.Say(policy.Words{JA: "システムへ進む", EN: "Go on to the application"}),
	})
}

// with adds parameters to an address, keeping the query that it has (RFC 6749
// section 3.1.2).
func with(address string, what url.Values) string {
	if strings.Contains(address, "?") {
		return address + "&" + what.Encode()
	}
	return address + "?" + what.Encode()
}

var tellings = []struct {
	names []string
	says  policy.Words
}{
	{[]string{policy.ScopeOpenID}, policy.Words{JA: "あなたであること、サインインの強さと時刻、接続元の領域", EN: "that it is you, how strongly and when you signed in, and your network zone"}},
	{[]string{policy.ScopeProfile, "name", "preferred_username", "section", "posts", "privileges"}, policy.Words{JA: "氏名、ログイン名、所属、役割", EN: "your name, login, section and posts"}},
	{[]string{policy.ScopeEmail, "email", "email_verified"}, policy.Words{JA: "メールアドレス", EN: "your mail address"}},
	{[]string{policy.ScopeOffline}, policy.Words{JA: "サインインしている間、画面を開いていないときも確かめること", EN: "to ask again while you are signed in, also when its page is not open"}},
}

// ask shows what the application will be told, and lets the person decide.
func (h *house) ask(w http.ResponseWriter, r *web.Request, req oidc.Request, step signin.Step, q url.Values) error {
	if origin, ok := originOf(req.RedirectURI); ok {
		r.AllowFormAt(w, origin)
	}
	wanted := req.Wanted()
	var items []string
	for _, t := range tellings {
		if slices.ContainsFunc(t.names, func(n string) bool { return slices.Contains(wanted, n) }) {
			items = append(items, r.Say(t.says))
		}
	}
	name := req.Client.Name
	return h.srv.Ask(w, r, web.Question{
		Title: r.Say(policy.Words{JA: "「" + name.JA + "」に情報を渡しますか", EN: "Tell “" + name.In("en") + "” about you?"}),
		Says:  r.Say(policy.Words{JA: "このシステムは、次のことを求めています。", EN: "This application asks for:"}),
		Items: items, Action: "/oauth2/consent", Fields: [][2]string{{"request", q.Encode()}}, Step: step,
		Yes: r.Say(policy.Words{JA: "渡す", EN: "Agree"}), No: r.Say(policy.Words{JA: "渡さない", EN: "Do not agree"}),
	})
}

// logout answers an application that sends a browser to be signed out (OpenID
// Connect RP-Initiated Logout section 2). An ID token of this very session is the
// application's proof; without it the person is asked.
func (h *house) logout(w http.ResponseWriter, r *web.Request) error {
	q := r.URL.Query()
	for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"} {
		if len(q[name]) > 1 {
			return web.Malformed(name, nil)
		}
	}
	step, err := h.current(r)
	if err != nil {
		return err
	}
	session := ""
	if step.State == authn.SignedIn && step.Session != nil {
		session = step.Session.ID
	}
	f, err := h.farewell(r, q, session)
	if err != nil {
		return err
	}
	if session == "" {
		return h.goodbye(w, f)
	}
	if f.Proven {
		return h.end(w, r, f)
	}
	if origin, ok := originOf(f.Back); ok {
		r.AllowFormAt(w, origin)
	}
	says := policy.Words{JA: "関所からサインアウトします。開いているシステムも終わります。", EN: "You will be signed out of the gate, and of the applications you have open."}
	if f.Client.ID != "" {
		says = policy.Words{
			JA: "「" + f.Client.Name.JA + "」が、サインアウトを求めています。関所と、開いているシステムも終わります。",
			EN: "“" + f.Client.Name.In("en") + "” asks to sign you out. The gate, and the applications you have open, end too."}
	}
	return h.srv.Ask(w, r, web.Question{
		Title: r.Say(policy.Words{JA: "サインアウトしますか", EN: "Sign out?"}), Says: r.Say(says),
		Action: "/oauth2/logout/confirm", Fields: [][2]string{{"request", q.Encode()}}, Step: step, Danger: true,
		Yes: r.Say(policy.Words{JA: "サインアウト", EN: "Sign out"}), No: r.Say(policy.Words{JA: "サインインしたままにする", EN: "Stay signed in"}),
	})
}

func (h *house) farewell(r *web.Request, q url.Values, session string) (oidc.Farewell, error) {
	f, err := h.Provider.Farewell(r.Context(), q.Get("id_token_hint"), q.Get("client_id"), q.Get("post_logout_redirect_uri"), q.Get("state"), session)
	var e *oidc.Error
	if errors.As(err, &e) {
		return f, web.Malformed("id_token_hint", e)
	}
	return f, err
}

// confirmed is the person's own answer, with the token that goes with their
// session.
func (h *house) confirmed(w http.ResponseWriter, r *web.Request) error {
	q, err := url.ParseQuery(r.PostForm.Get("request"))
	if err != nil {
		return web.Malformed("request", err)
	}
	f, err := h.farewell(r, q, "")
	if err != nil {
		return err
	}
	if r.PostForm.Get("answer") != "agree" {
		see(w, "/me")
		return nil
	}
	return h.end(w, r, f)
}

// end signs out. Only when that is certain does the browser forget its cookie
// and go on: someone who is told that they are signed out must be.
func (h *house) end(w http.ResponseWriter, r *web.Request, f oidc.Farewell) error {
	for _, cookie := range []string{r.Cookie, r.Former} {
		if cookie == "" {
			continue
		}
		if err := h.SignIn.SignOut(r.Context(), r.Origin, cookie); err != nil && !errors.Is(err, signin.ErrNone) {
			return err
		}
	}
	web.ClearSession(w, r)
	return h.goodbye(w, f)
}

func (h *house) goodbye(w http.ResponseWriter, f oidc.Farewell) error {
	if f.Back == "" {
		see(w, "/signin?why=signed_out")
		return nil
	}
	to := f.Back
	if f.State != "" {
		to = with(to, url.Values{"state": {f.State}})
	}
	see(w, to)
	return nil
}
