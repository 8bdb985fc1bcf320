// Package openid is the OpenID provider's face: it reads what browsers and
// applications send, and writes what authn/oidc answers.
//
// It decides nothing and keeps nothing. Two kinds of doors are here. A browser's
// (authorize, logout) carry the session's cookie, and a GET at them changes
// nothing but what the answer itself gives out; an application's (token and the
// others) carry the application's own proof, read no cookie, and so need no token
// against forged requests.
package openid

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authn/oidc"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
)

// Paths of the endpoints, on the gate's own host.
const (
	AuthorizePath  = "/oauth2/authorize"
	TokenPath      = "/oauth2/token"
	PushPath       = "/oauth2/par"
	IntrospectPath = "/oauth2/introspect"
	RevokePath     = "/oauth2/revoke"
	UserInfoPath   = "/oauth2/userinfo"
	LogoutPath     = "/oauth2/logout"
	keysPath       = "/.well-known/jwks.json"
)

// Provider is what answers; authn/oidc is one.
type Provider interface {
	Read(ctx context.Context, q url.Values) (r oidc.Request, page bool, err error)
	Authorize(ctx context.Context, r oidc.Request, v oidc.Visit) (oidc.Answer, error)
	Resume(ctx context.Context, r oidc.Request, source string, longest int) (url.Values, error)
	Asked(r oidc.Request, mark string) time.Time
	Client(ctx context.Context, c oidc.Credentials, from string) (policy.Client, error)
	Token(ctx context.Context, call oidc.Call, form url.Values) (oidc.Tokens, error)
	Push(ctx context.Context, call oidc.Call, form url.Values) (uri string, ends time.Duration, err error)
	Introspect(ctx context.Context, call oidc.Call, form url.Values) (map[string]any, error)
	Revoke(ctx context.Context, call oidc.Call, form url.Values) error
	UserInfo(ctx context.Context, t oidc.Presented) (map[string]any, error)
	ProofNonce() string
	Farewell(ctx context.Context, hint, clientID, back, state, sessionID string) (oidc.Farewell, error)
}

// SignIn knows the gate's own sessions, and ends one; authn/signin is one.
type SignIn interface {
	Current(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
	SignOut(ctx context.Context, o signin.Origin, cookie string) error
}

// Services are what the endpoints stand on.
type Services struct {
	Provider Provider
	SignIn   SignIn
	Issuer   string
	Registry *prometheus.Registry
}

type house struct {
	Services
	srv    *web.Server
	counts *prometheus.CounterVec
}

// Mount puts the endpoints on srv.
func Mount(srv *web.Server, s Services) {
	h := &house{Services: s, srv: srv, counts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sekisho_openid_answers_total",
		Help: "Answers of the OpenID provider's endpoints, by endpoint and error (ok for none).",
	}, []string{"endpoint", "error"})}
	if s.Registry != nil {
		s.Registry.MustRegister(h.counts)
	}
	srv.Mount("GET "+AuthorizePath, h.authorize)
	srv.Mount("POST /oauth2/consent", h.consent)
	srv.Mount("GET "+LogoutPath, h.logout)
	srv.Mount("POST /oauth2/logout/confirm", h.confirmed)
	// What a form on another site posts is brought to the same place by a GET,
	// for only that carries the session's cookie.
	srv.MountOpen("POST "+AuthorizePath, turn(AuthorizePath))
	srv.MountOpen("POST "+LogoutPath, turn(LogoutPath))

	srv.MountOpen("GET /.well-known/openid-configuration", h.configuration)
	srv.MountOpen("GET /.well-known/oauth-authorization-server", h.configuration)
	srv.MountOpen("POST "+TokenPath, h.token)
	srv.MountOpen("POST "+PushPath, h.push)
	srv.MountOpen("POST "+IntrospectPath, h.introspect)
	srv.MountOpen("POST "+RevokePath, h.revoke)
	srv.MountOpen("GET "+UserInfoPath, h.userInfo)
	srv.MountOpen("POST "+UserInfoPath, h.userInfo)
	for _, path := range []string{TokenPath, RevokePath, UserInfoPath} {
		srv.MountOpen("OPTIONS "+path, preflight)
	}
	srv.LeadsTo(AuthorizePath, func(p *policy.Policy, q url.Values) (string, bool) {
		r, e := oidc.Address(p, url.Values{"client_id": q["client_id"], "redirect_uri": q["redirect_uri"]})
		if e != nil {
			return "", false
		}
		return originOf(r.RedirectURI)
	})
}

func originOf(address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", false
	}
	return u.Scheme + "://" + u.Host, true
}

// longestTurn bounds a query made of a posted form.
const longestTurn = 6 << 10

// turn makes a GET of a posted form.
func turn(path string) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		form, err := posted(r)
		if err != nil {
			return err
		}
		q := form.Encode()
		if len(q) > longestTurn {
			return web.Say(web.CodeTooLarge, policy.Words{})
		}
		see(w, path+"?"+q)
		return nil
	}
}

func see(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// posted reads a form from the body alone: what stands in the query of a POST is
// no parameter (RFC 6749 section 2.3.1), and would be in logs.
func posted(r *web.Request) (url.Values, error) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") || len(r.Header["Content-Type"]) != 1 {
		return nil, &oidc.Error{Code: "invalid_request", Description: "the body must be a form", Status: http.StatusBadRequest}
	}
	body, err := r.BodyBytes()
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &oidc.Error{Code: "invalid_request", Description: "the form cannot be read", Status: http.StatusBadRequest}
	}
	return form, nil
}

// open lets pages of other sites read an answer. No cookie counts at these
// endpoints, so they gain nothing that a program of theirs would not have.
func open(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, "+nonceHeader)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func preflight(w http.ResponseWriter, _ *web.Request) error {
	open(w.Header())
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
	w.Header().Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func answer(w http.ResponseWriter, status int, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache") // RFC 6749 section 5.1
	w.WriteHeader(status)
	_, _ = w.Write(b) // if the client has gone, there is nobody left to tell
	return nil
}

// fail answers an application with an error, as OAuth 2.0 spells it. What is our
// own fault, or something that is away, is 5xx: a client may try again, and must
// not believe that it was told no.
func (h *house) fail(w http.ResponseWriter, r *web.Request, endpoint string, err error) error {
	var e *oidc.Error
	if !errors.As(err, &e) {
		p := web.ProblemOf(err)
		e = &oidc.Error{Code: "server_error", Description: "something broke on our side", Status: p.Status}
		if p.Status == http.StatusServiceUnavailable {
			e.Code, e.Description = "temporarily_unavailable", "something we depend on is away; try again"
		} else if p.Status < http.StatusInternalServerError {
			e.Code, e.Description = "invalid_request", "the request cannot be read"
		}
		if p.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
		}
		if p.Status >= http.StatusInternalServerError {
			h.srv.Log().Error("openid", "request_id", r.ID, "endpoint", endpoint, "error", err)
		}
	}
	h.counts.WithLabelValues(endpoint, e.Code).Inc()
	if e.Code == oidc.CodeNonce || e.Code == oidc.CodeProof {
		w.Header().Set(nonceHeader, h.Provider.ProofNonce())
	}
	switch {
	case endpoint == "userinfo":
		if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
			said := `error="` + e.Code + `", error_description="` + e.Description + `"`
			if scheme(r) == oidc.TokenTypeDPoP { // RFC 9449 section 7.1
				w.Header().Set("WWW-Authenticate", `DPoP realm="sekisho", `+said+`, algs="`+strings.Join(oidc.ProofAlgorithms(), " ")+`"`)
			} else {
				w.Header().Set("WWW-Authenticate", `Bearer realm="sekisho", `+said)
			}
		}
	case e.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="sekisho"`)
	}
	return answer(w, e.Status, map[string]string{"error": e.Code, "error_description": e.Description})
}

// client reads a form and finds out which client sent it.
func (h *house) client(r *web.Request) (oidc.Call, url.Values, error) {
	form, err := posted(r)
	if err != nil {
		return oidc.Call{}, nil, err
	}
	c, e := oidc.ReadCredentials(r.Header["Authorization"], form)
	if e != nil {
		return oidc.Call{}, nil, e
	}
	from := r.Origin.Source.String()
	client, err := h.Provider.Client(r.Context(), c, from)
	return oidc.Call{Client: client, From: from, RequestID: r.ID, Shown: h.shown(r)}, form, err
}

// nonceHeader carries the nonce for the next proof (RFC 9449 section 8).
const nonceHeader = "DPoP-Nonce"

// shown is what a request proves a key with. The address is ours and never the
// request's own, which a proxy may have changed.
func (h *house) shown(r *web.Request) oidc.Shown {
	return oidc.Shown{Proofs: r.Header["Dpop"], Method: r.Method, URL: h.Issuer + r.URL.Path}
}

// scheme is how an access token was shown.
func scheme(r *web.Request) string {
	s, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(s, oidc.TokenTypeDPoP) {
		return oidc.TokenTypeDPoP
	}
	return "Bearer"
}

func (h *house) token(w http.ResponseWriter, r *web.Request) error {
	open(w.Header())
	call, form, err := h.client(r)
	if err != nil {
		return h.fail(w, r, "token", err)
	}
	tokens, err := h.Provider.Token(r.Context(), call, form)
	if err != nil {
		return h.fail(w, r, "token", err)
	}
	h.counts.WithLabelValues("token", "ok").Inc()
	if tokens.TokenType == oidc.TokenTypeDPoP {
		w.Header().Set(nonceHeader, h.Provider.ProofNonce()) // the next one in time
	}
	return answer(w, http.StatusOK, tokens)
}

func (h *house) push(w http.ResponseWriter, r *web.Request) error {
	call, form, err := h.client(r)
	if err != nil {
		return h.fail(w, r, "par", err)
	}
	uri, ends, err := h.Provider.Push(r.Context(), call, form)
	if err != nil {
		return h.fail(w, r, "par", err)
	}
	h.counts.WithLabelValues("par", "ok").Inc()
	return answer(w, http.StatusCreated, map[string]any{"request_uri": uri, "expires_in": int64(ends / time.Second)})
}

func (h *house) introspect(w http.ResponseWriter, r *web.Request) error {
	call, form, err := h.client(r)
	if err != nil {
		return h.fail(w, r, "introspect", err)
	}
	out, err := h.Provider.Introspect(r.Context(), call, form)
	if err != nil {
		return h.fail(w, r, "introspect", err)
	}
	h.counts.WithLabelValues("introspect", "ok").Inc()
	return answer(w, http.StatusOK, out)
}

func (h *house) revoke(w http.ResponseWriter, r *web.Request) error {
	open(w.Header())
	call, form, err := h.client(r)
	if err == nil {
		err = h.Provider.Revoke(r.Context(), call, form)
	}
	if err != nil {
		var e *oidc.Error
		if !errors.As(err, &e) {
			// Whatever could not be written is no success, and worth another try
			// (RFC 7009 section 2.2.1; security.md section 2, row 19).
			h.srv.Log().Error("openid", "request_id", r.ID, "endpoint", "revoke", "error", err)
			w.Header().Set("Retry-After", "2")
			err = &oidc.Error{Code: "temporarily_unavailable", Description: "the token could not be revoked; try again", Status: http.StatusServiceUnavailable}
		}
		return h.fail(w, r, "revoke", err)
	}
	h.counts.WithLabelValues("revoke", "ok").Inc()
	w.Header().Set("Pragma", "no-cache")
	w.WriteHeader(http.StatusOK)
	return nil
}

// userInfo takes the token from the header or from a posted form, never from the
// query, where logs would have it (RFC 6750 section 2.3, RFC 9700 section 4.3.2).
func (h *house) userInfo(w http.ResponseWriter, r *web.Request) error {
	open(w.Header())
	signed, err := bearer(r)
	if err != nil {
		return h.fail(w, r, "userinfo", err)
	}
	if signed == "" {
		// RFC 6750 section 3.1: one who shows nothing is told no error.
		h.counts.WithLabelValues("userinfo", "none").Inc()
		w.Header().Add("WWW-Authenticate", `Bearer realm="sekisho"`)
		w.Header().Add("WWW-Authenticate", `DPoP realm="sekisho", algs="`+strings.Join(oidc.ProofAlgorithms(), " ")+`"`)
		w.WriteHeader(http.StatusUnauthorized)
		return nil
	}
	bound := scheme(r) == oidc.TokenTypeDPoP
	if bound {
		w.Header().Set(nonceHeader, h.Provider.ProofNonce())
	}
	out, err := h.Provider.UserInfo(r.Context(), oidc.Presented{Token: signed, Bound: bound, Shown: h.shown(r)})
	if err != nil {
		return h.fail(w, r, "userinfo", err)
	}
	h.counts.WithLabelValues("userinfo", "ok").Inc()
	return answer(w, http.StatusOK, out)
}

func bearer(r *web.Request) (string, error) {
	bad := &oidc.Error{Code: "invalid_request", Description: "one access token, in the header or in the form", Status: http.StatusBadRequest}
	headers := r.Header["Authorization"]
	signed := ""
	if len(headers) > 1 {
		return "", bad
	}
	if len(headers) == 1 {
		scheme, value, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, oidc.TokenTypeDPoP) {
			return "", nil
		}
		if signed = strings.TrimSpace(value); signed == "" {
			return "", bad
		}
	}
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		form, err := posted(r)
		if err != nil {
			return "", err
		}
		if values := form["access_token"]; len(values) > 1 || len(values) == 1 && signed != "" {
			return "", bad
		} else if len(values) == 1 {
			signed = values[0]
		}
	}
	return signed, nil
}

// configuration says what is served, and nothing else (OpenID Connect Discovery
// section 3, RFC 8414 section 2).
func (h *house) configuration(w http.ResponseWriter, _ *web.Request) error {
	open(w.Header())
	at := func(path string) string { return h.Issuer + path }
	methods := policy.ClientAuthMethods()
	proven := []string{policy.AuthBasic, policy.AuthPost, policy.AuthPrivateKey}
	b, err := json.Marshal(map[string]any{
		"issuer":                                                   h.Issuer,
		"authorization_endpoint":                                   at(AuthorizePath),
		"token_endpoint":                                           at(TokenPath),
		"userinfo_endpoint":                                        at(UserInfoPath),
		"jwks_uri":                                                 at(keysPath),
		"introspection_endpoint":                                   at(IntrospectPath),
		"revocation_endpoint":                                      at(RevokePath),
		"end_session_endpoint":                                     at(LogoutPath),
		"pushed_authorization_request_endpoint":                    at(PushPath),
		"require_pushed_authorization_requests":                    false,
		"response_types_supported":                                 []string{"code"},
		"response_modes_supported":                                 []string{"query", "form_post"},
		"grant_types_supported":                                    []string{oidc.GrantCode, oidc.GrantRefresh, oidc.GrantClient},
		"subject_types_supported":                                  []string{"public"},
		"id_token_signing_alg_values_supported":                    []string{"ES256"},
		"scopes_supported":                                         oidc.Scopes(),
		"claims_supported":                                         oidc.Claims(),
		"claim_types_supported":                                    []string{"normal"},
		"acr_values_supported":                                     policy.ACRs(),
		"prompt_values_supported":                                  []string{"none", "login", "consent", "select_account"},
		"ui_locales_supported":                                     []string{"ja", "en"},
		"code_challenge_methods_supported":                         []string{"S256"},
		"token_endpoint_auth_methods_supported":                    methods,
		"token_endpoint_auth_signing_alg_values_supported":         policy.ClientAlgorithms(),
		"introspection_endpoint_auth_methods_supported":            proven,
		"introspection_endpoint_auth_signing_alg_values_supported": policy.ClientAlgorithms(),
		"revocation_endpoint_auth_methods_supported":               methods,
		"revocation_endpoint_auth_signing_alg_values_supported":    policy.ClientAlgorithms(),
		"dpop_signing_alg_values_supported":                        oidc.ProofAlgorithms(),
		"claims_parameter_supported":                               true,
		"request_parameter_supported":                              false,
		"request_uri_parameter_supported":                          false,
		"require_request_uri_registration":                         false,
		"authorization_response_iss_parameter_supported":           true,
		"backchannel_logout_supported":                             true,
		"backchannel_logout_session_supported":                     true,
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(b) // if the client has gone, there is nobody left to tell
	return nil
}
