package openid

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authn/oidc"
	"sekisho/authn/signin"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
	"sekisho/web"
)

// broken is a provider whose store, directory or code fails at everything.
type broken struct {
	Provider
	err error
}

func (b broken) Client(context.Context, oidc.Credentials, string) (policy.Client, error) {
	return policy.Client{ID: "web"}, nil
}
func (b broken) Token(context.Context, oidc.Call, url.Values) (oidc.Tokens, error) {
	return oidc.Tokens{}, b.err
}
func (b broken) Revoke(context.Context, oidc.Call, url.Values) error { return b.err }
func (b broken) Introspect(context.Context, oidc.Call, url.Values) (map[string]any, error) {
	return nil, b.err
}
func (b broken) UserInfo(context.Context, oidc.Presented) (map[string]any, error) { return nil, b.err }
func (b broken) ProofNonce() string                                               { return "n" }
func (b broken) Push(context.Context, oidc.Call, url.Values) (string, time.Duration, error) {
	return "", 0, b.err
}

type nobody struct{}

func (nobody) Current(context.Context, signin.Origin, string) (signin.Step, error) {
	return signin.Step{}, signin.ErrNone
}
func (nobody) SignOut(context.Context, signin.Origin, string) error { return signin.ErrNone }
func (nobody) CheckCSRF(string, string) bool                        { return false }

func serverOn(t *testing.T, p Provider) http.Handler {
	t.Helper()
	rules := policy.Standard()
	srv := web.New(web.Config{
		PublicURL: &url.URL{Scheme: "http", Host: "gate.example"}, Now: func() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) },
		Policy: func() *policy.Policy { return rules }, Guard: nobody{}, Registry: prometheus.NewRegistry(),
	})
	Mount(srv, Services{Provider: p, SignIn: nobody{}, Issuer: "http://gate.example", Registry: prometheus.NewRegistry()})
	return srv
}

func send(h http.Handler, method, path, body string) *http.Response {
	r := httptest.NewRequest(method, "http://gate.example"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if path == UserInfoPath {
		r.Header.Set("Authorization", "Bearer x")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// TestNoFalseAnswers: what broke, or is away, is 5xx at every endpoint and never
// a success, nor a no that the application would believe (security.md section 2,
// row 19).
func TestNoFalseAnswers(t *testing.T) {
	for name, err := range map[string]error{
		"the store fails":      errors.New("disk full"),
		"the store is closed":  store.ErrClosed,
		"the store is busy":    store.ErrBusy,
		"the directory's away": directory.ErrAway,
		"it took too long":     context.DeadlineExceeded,
	} {
		h := serverOn(t, broken{err: err})
		for _, path := range []string{TokenPath, RevokePath, IntrospectPath, UserInfoPath, PushPath} {
			form := "token=x&client_id=web&grant_type=refresh_token"
			if path == UserInfoPath {
				form = ""
			}
			resp := send(h, "POST", path, form)
			body, _ := io.ReadAll(resp.Body)
			var said map[string]string
			if resp.StatusCode < 500 || json.Unmarshal(body, &said) != nil || said["error"] == "" || strings.Contains(string(body), "disk") {
				t.Errorf("%s: %s answers %d %s", name, path, resp.StatusCode, body)
			}
			if path == RevokePath && (resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "") {
				t.Errorf("%s: a revocation that failed: %d", name, resp.StatusCode)
			}
			if resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control %q", path, resp.Header.Get("Cache-Control"))
			}
		}
	}
}

// TestOtherSites: pages of other sites may read what is public or proven by the
// request itself, and nothing that a cookie opens.
func TestOtherSites(t *testing.T) {
	h := serverOn(t, broken{err: errors.New("x")})
	for path, want := range map[string]string{TokenPath: "*", RevokePath: "*", UserInfoPath: "*", IntrospectPath: "", PushPath: ""} {
		resp := send(h, "POST", path, "client_id=web&token=x")
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != want || resp.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %q", path, got)
		}
		pre := send(h, "OPTIONS", path, "")
		if (pre.StatusCode == http.StatusNoContent) != (want != "") {
			t.Errorf("OPTIONS %s: %d", path, pre.StatusCode)
		}
	}
	for _, path := range []string{AuthorizePath, LogoutPath} {
		if resp := send(h, "GET", path+"?client_id=x", ""); resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s may be read by other sites", path)
		}
	}
}

// words is a queue of one.
type words struct {
	due     []oidc.Word
	settled map[string]error
}

func (w *words) Queue(context.Context, *oidc.Since) error { return nil }
func (w *words) Claim(context.Context, func(string, int) int) ([]oidc.Word, error) {
	due := w.due
	w.due = nil
	return due, nil
}
func (w *words) Settle(_ context.Context, word oidc.Word, failure error) (string, error) {
	if w.settled == nil {
		w.settled = map[string]error{}
	}
	w.settled[word.ID] = failure
	return "told", nil
}
func (w *words) Waiting(context.Context) (int, error) { return 0, nil }

// TestHerald: only 200 and 204 are an answer; a redirect is not followed, for it
// would carry the word to somebody that the policy does not name.
func TestHerald(t *testing.T) {
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.PostFormValue("logout_token") != "signed" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		switch r.URL.Path {
		case "/ok":
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/moved":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/no":
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	defer app.Close()
	for path, told := range map[string]bool{"/ok": true, "/empty": true, "/moved": false, "/no": false} {
		w := &words{due: []oidc.Word{{ID: "1", URI: app.URL + path, Token: "signed"}}}
		h := NewHerald(w, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err := h.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		err, settled := w.settled["1"]
		if !settled || (err == nil) != told {
			t.Errorf("%s: settled %v with %v", path, settled, err)
		}
		if err != nil && strings.Contains(err.Error(), "signed") {
			t.Errorf("the failure holds the token: %v", err)
		}
	}
	if elsewhere != 0 {
		t.Error("a redirect was followed")
	}
	w := &words{due: []oidc.Word{{ID: "1", URI: "", Token: "signed"}}}
	if err := NewHerald(w, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Once(t.Context()); err != nil || w.settled["1"] == nil {
		t.Errorf("%v, %v", err, w.settled)
	}
}
