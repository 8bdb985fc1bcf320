package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sekisho/authn/signin"
	"sekisho/policy"
)

// A Request is an http.Request with everything already worked out that more
// than one handler needs.
type Request struct {
	*http.Request
	Origin signin.Origin
	// Cookie is the value of __Host-sekisho (on an application's host, of
	// __Host-sekisho-app); "" for none. A cookie that came twice is none.
	Cookie string
	// Former is the handle of the session that the sign-in behind Cookie is to take the
	// place of; "" for none.
	Former string
	Lang   string // "ja" or "en"
	Nonce  string // for script and style elements of this response
	ID     string // request id; also in X-Request-Id and in the log

	srv  *Server
	form []string // further origins that a form of this response may lead to
	body []byte   // what DecodeJSON read, for BodyBytes

	most  int64 // bytes that the files of its form may have; 0: it takes none
	files map[string]File
}

// Server is the one that took the request.
func (r *Request) Server() *Server { return r.srv }

// Policy is what governs now.
func (r *Request) Policy() *policy.Policy { return r.srv.cfg.Policy() }

// Say picks the reader's language.
func (r *Request) Say(w policy.Words) string { return w.In(r.Lang) }

// API reports whether the answer is for a program and not for a person.
func (r *Request) API() bool { return isAPI(r.URL.Path) }

func isAPI(path string) bool { return path == "/api" || strings.HasPrefix(path, "/api/") }

// Return is the rd parameter of the query or of the posted form if it is safe
// to go to after signing in, and where to then. See SafeReturn.
func (r *Request) Return() (to string, ok bool) {
	rd := r.URL.Query().Get("rd")
	if rd == "" && r.PostForm != nil {
		rd = r.PostForm.Get("rd")
	}
	return SafeReturn(r.Policy(), r.srv.cfg.PublicURL, rd)
}

// StepUp is the assurance the reader was sent here to reach: the acr parameter
// of a sign-in URL. "" for none, or for one that does not exist. A page must
// not send a session back that does not reach it, or the two would send the
// browser around for ever.
func (r *Request) StepUp() policy.ACR {
	a := policy.ACR(r.URL.Query().Get("acr"))
	if a == "" && r.PostForm != nil {
		a = policy.ACR(r.PostForm.Get("acr"))
	}
	if !a.AtLeast(a) {
		return ""
	}
	return a
}

// AllowFormTo lets the forms of this response lead, through redirects, to the
// application that rd belongs to. Chromium applies form-action to every
// redirect after a form was posted, so without this a sign-in that ends at an
// application's host would stop at the browser. An rd in the query has been
// allowed already. It must be called before the body is written.
func (r *Request) AllowFormTo(w http.ResponseWriter, rd string) {
	if origin, ok := r.srv.leadsTo(rd); ok {
		r.AllowFormAt(w, origin)
		return
	}
	u, err := url.Parse(rd)
	if err != nil || u.Host == "" {
		return
	}
	if _, ok := SafeReturn(r.Policy(), r.srv.cfg.PublicURL, rd); !ok {
		return
	}
	r.form = append(r.form, u.Scheme+"://"+strings.ToLower(u.Host))
	w.Header().Set("Content-Security-Policy", contentPolicy(r.Nonce, r.form))
}

// AllowFormAt lets the forms of this response lead to an origin that the caller
// knows to be one of the policy's. It must be called before the body is written.
func (r *Request) AllowFormAt(w http.ResponseWriter, origin string) {
	r.form = append(r.form, origin)
	w.Header().Set("Content-Security-Policy", contentPolicy(r.Nonce, r.form))
}

// language chooses between the two we have: the query, the cookie, the
// browser's own list, and Japanese where none says.
func language(r *http.Request) string {
	if l := r.URL.Query().Get("lang"); l == "ja" || l == "en" {
		return l
	}
	if l := oneCookie(r.Header["Cookie"], langCookie); l == "ja" || l == "en" {
		return l
	}
	return acceptLanguage(r.Header.Get("Accept-Language"))
}

// acceptLanguage reads RFC 9110, section 12.5.4, as far as two languages need.
func acceptLanguage(header string) string {
	best, lang := 0.0, "ja"
	for _, part := range strings.SplitN(header, ",", 32) {
		tag, params, _ := strings.Cut(part, ";")
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		if primary != "ja" && primary != "en" {
			continue
		}
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil || !(f >= 0 && f <= 1) {
				continue
			}
			q = f
		}
		if q > best {
			best, lang = q, primary
		}
	}
	return lang
}
