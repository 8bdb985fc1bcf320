package oidc

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/policy"
)

// RequestURIPrefix begins the names of pushed authorization requests (RFC 9126
// section 2.2).
const RequestURIPrefix = "urn:ietf:params:oauth:request_uri:"

const (
	maxParameter = 1024 // bytes of one parameter; claims may be longer
	maxWords     = 20   // values in one list
)

// A Request is an authorization request that could be read (RFC 6749 section
// 4.1.1, OpenID Connect Core section 3.1.2.1).
type Request struct {
	Client       policy.Client
	RedirectURI  string
	ResponseMode string // query or form_post
	Scope        []string
	State        string
	Nonce        string
	Challenge    string // S256
	JKT          string // dpop_jkt: the key that the code is to be bound to, RFC 9449 section 10
	Prompt       []string
	MaxAge       time.Duration // negative: not asked
	ACR          []string
	LoginHint    string
	IDTokenHint  string
	Locales      []string
	Claims       ClaimsRequest
	// Pushed is the handle of a pushed request, which is good for one code.
	Pushed string

	raw url.Values
}

// parameters are those that mean something here. Others are ignored, as RFC 6749
// section 3.1 has it.
var parameters = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
	"code_challenge_method", "prompt", "max_age", "acr_values", "login_hint", "id_token_hint", "ui_locales", "claims",
	"dpop_jkt",
}

// Encode writes the request as the query that asks for it again.
func (r Request) Encode() url.Values {
	out := url.Values{}
	for _, name := range parameters {
		if v := r.raw.Get(name); v != "" {
			out.Set(name, v)
		}
	}
	return out
}

// Address finds whom a request comes from and where its answer may go. Until
// both are proven nothing is sent anywhere: the error is for a page of our own
// (RFC 6749 section 4.1.2.1, RFC 9700 section 4.1).
func Address(p *policy.Policy, q url.Values) (Request, *Error) {
	if len(q["client_id"]) != 1 {
		return Request{}, pageError("client_id is missing or comes more than once", policy.Words{
			JA: "どのシステムからの求めか分かりません（client_id）。使おうとしたシステムの画面から、もう一度始めてください。",
			EN: "It is not clear which application sent you (client_id). Start again from the application's own page."})
	}
	c, ok := p.Client(q.Get("client_id"))
	if !ok {
		return Request{}, pageError("the client is not registered", policy.Words{
			JA: "このシステムは、関所に登録されていません（client_id）。そのシステムの管理者にお知らせください。",
			EN: "This application is not registered with the gate (client_id). Tell its administrator."})
	}
	uri := q.Get("redirect_uri")
	if len(q["redirect_uri"]) != 1 || !slices.Contains(c.RedirectURIs, uri) {
		return Request{}, pageError("redirect_uri is not registered for this client", policy.Words{
			JA: "「" + c.Name.JA + "」が求めた戻り先（redirect_uri）は、登録されたものと一致しません。安全のため、ここで止めました。そのシステムの管理者にお知らせください。",
			EN: "The address to which “" + c.Name.In("en") + "” wants you sent back (redirect_uri) is not one that is registered, so this stops here. Tell the application's administrator."})
	}
	r := Request{Client: c, RedirectURI: uri, ResponseMode: "query", MaxAge: -1, raw: q}
	if q.Get("response_mode") == "form_post" && len(q["response_mode"]) == 1 {
		r.ResponseMode = "form_post"
	}
	if s := q.Get("state"); len(q["state"]) == 1 && readable(s) {
		r.State = s
	}
	return r, nil
}

func pageError(description string, says policy.Words) *Error {
	e := invalid(description)
	e.Says = says
	return e
}

// Fill reads the rest of a request whose sender is known. Its error goes to the
// redirect URI.
func (r Request) Fill() (Request, *Error) {
	q := r.raw
	for _, name := range parameters {
		if len(q[name]) > 1 {
			return r, invalid(name + " comes more than once")
		}
		limit := maxParameter
		if name == "claims" || name == "id_token_hint" {
			limit = 4 * maxParameter
		}
		if v := q.Get(name); len(v) > limit || !readable(v) && name != "login_hint" && name != "claims" {
			return r, invalid(name + " is too long or has characters that it may not have")
		}
	}
	switch {
	case q.Has("request"):
		return r, refusal("request_not_supported", "request objects are not taken; push the request instead")
	case q.Has("request_uri"):
		return r, refusal("request_uri_not_supported", "only request_uris that this server gave out are taken")
	case q.Has("registration"):
		return r, refusal("registration_not_supported", "clients do not register themselves")
	case q.Get("response_type") == "":
		return r, invalid("response_type is missing")
	case q.Get("response_type") != "code":
		return r, refusal("unsupported_response_type", "only the code flow is served")
	case q.Get("response_mode") != "" && q.Get("response_mode") != "query" && q.Get("response_mode") != "form_post":
		return r, invalid("response_mode is none of query, form_post")
	}
	r.Scope = allowed(r.Client, words(q.Get("scope")))
	if !slices.Contains(r.Scope, policy.ScopeOpenID) {
		return r, refusal("invalid_scope", "scope must hold openid")
	}
	r.Nonce, r.LoginHint, r.IDTokenHint = q.Get("nonce"), q.Get("login_hint"), q.Get("id_token_hint")
	r.Locales, r.ACR = words(q.Get("ui_locales")), words(q.Get("acr_values"))
	if e := r.proofKey(); e != nil {
		return r, e
	}
	if jkt := q.Get("dpop_jkt"); jkt != "" && binds(r.Client) {
		if !thumb(jkt) {
			return r, invalid("dpop_jkt is no thumbprint of a key")
		}
		r.JKT = jkt
	}
	if e := r.prompts(); e != nil {
		return r, e
	}
	if text := q.Get("max_age"); text != "" {
		secs, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return r, invalid("max_age is no number of seconds")
		}
		r.MaxAge = time.Duration(secs) * time.Second
	}
	if own := r.Client.MaxAge; own > 0 && (r.MaxAge < 0 || own < r.MaxAge) {
		r.MaxAge = own
	}
	claims, err := ParseClaims(q.Get("claims"))
	if err != nil {
		return r, invalid("claims is not a claims request")
	}
	r.Claims = claims
	return r, nil
}

// proofKey is RFC 7636, S256 and nothing else, for every client (RFC 9700
// section 2.1.1).
func (r *Request) proofKey() *Error {
	r.Challenge = r.raw.Get("code_challenge")
	switch {
	case r.Challenge == "":
		return invalid("code_challenge is missing: PKCE is required")
	case r.raw.Get("code_challenge_method") != "S256":
		return invalid("code_challenge_method must be S256")
	case len(r.Challenge) != 43 || !base64url(r.Challenge):
		return invalid("code_challenge is no SHA-256 in base64url")
	}
	return nil
}

func (r *Request) prompts() *Error {
	r.Prompt = words(r.raw.Get("prompt"))
	for _, p := range r.Prompt {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, p) {
			return invalid("prompt holds a value that nobody knows")
		}
	}
	if r.silent() && len(r.Prompt) > 1 {
		return invalid("prompt none stands alone")
	}
	return nil
}

func (r Request) silent() bool { return slices.Contains(r.Prompt, "none") }

// again reports whether the person must sign in whatever their session is. To
// choose an account is to sign in: a browser has one session.
func (r Request) again() bool {
	return slices.Contains(r.Prompt, "login") || slices.Contains(r.Prompt, "select_account")
}

// least is the weakest assurance that the application takes; ok is false where
// it asks for nothing that there is.
func (r Request) least() (need policy.ACR, ok bool) {
	for _, list := range [][]string{r.ACR, r.Claims.ACR} {
		if len(list) == 0 {
			continue
		}
		weakest := policy.ACR("")
		for _, v := range list {
			if a := policy.ACR(v); a.AtLeast(a) && (weakest == "" || weakest.AtLeast(a)) {
				weakest = a
			}
		}
		if weakest == "" {
			return "", false
		}
		if need == "" || weakest.AtLeast(need) {
			need = weakest
		}
	}
	return need, true
}

func words(s string) []string {
	fields := strings.Fields(s)
	return fields[:min(len(fields), maxWords)]
}

// readable: visible ASCII and spaces, RFC 6749 appendix A.
func readable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return len(s) <= 4*maxParameter
}

func base64url(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
