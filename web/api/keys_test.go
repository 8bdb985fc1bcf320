package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/card"
	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/recovery"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/policy"
)

func TestPasskeySignIn(t *testing.T) {
	w, srv := newWorld(t)
	resp, body := call(t, srv, "POST", "/api/v1/signin/passkey/begin", "", `{"login":"tanaka"}`)
	if resp.StatusCode != 200 || fmt.Sprint(body) != "map[csrf_token:t-k.flow publicKey:map[challenge:x]]" || w.heard.login != "tanaka" {
		t.Errorf("begin: %d %v", resp.StatusCode, body)
	}
	if len(resp.Cookies()) != 1 || resp.Cookies()[0].Value != "k.flow" || resp.Header.Get("X-CSRF-Token") != "t-k.flow" {
		t.Errorf("begin: %v", resp.Header)
	}
	resp, body = call(t, srv, "POST", "/api/v1/signin/passkey/begin", "k.flow2", "{}")
	if resp.StatusCode != 200 || body["csrf_token"] != "t-k.flow2" || len(resp.Cookies()) != 0 {
		t.Errorf("as the second factor: %d %v %v", resp.StatusCode, body, resp.Header)
	}
	// The credential reaches its judge as the browser wrote it.
	const credential = ` {"id":"x", "response":{"a":[1,{"b":null}]},"authenticatorAttachment":"platform"} `
	resp, body = call(t, srv, "POST", "/api/v1/signin/passkey/finish", "k.flow", credential)
	if resp.StatusCode != 200 || body["state"] != "signed_in" || resp.Cookies()[0].Value != "k.new" || w.heard.data != credential {
		t.Errorf("finish: %d %v, heard %q", resp.StatusCode, body, w.heard.data)
	}
	for _, tt := range []struct {
		cookie, body string
		status       int
		code         string
	}{
		{"k.flow", "", 422, "invalid"},
		{"k.flow", "  ", 422, "invalid"},
		{"k.flow", "[]", 400, "malformed"},
		{"k.flow", `"x"`, 400, "malformed"},
		{"k.flow", `{"id":`, 400, "malformed"},
		{"k.flow", `{"id":"x"}{}`, 400, "malformed"},
		{"k.flow", `{"id":"` + strings.Repeat("x", maxCredential) + `"}`, 413, "too_large"},
		{"", `{"id":"x"}`, 401, "no_session"},
	} {
		before := w.calls
		resp, body := call(t, srv, "POST", "/api/v1/signin/passkey/finish", tt.cookie, tt.body)
		if resp.StatusCode != tt.status || body["code"] != tt.code || w.calls != before {
			t.Errorf("%.20q: %d %v", tt.body, resp.StatusCode, body)
		}
	}
}

func notAccepted() error {
	return &passkey.NotAccepted{Reason: "synced", Articles: []policy.Article{"26no3-1"}, Says: policy.Words{JA: "同期される鍵", EN: "A key that syncs"}}
}

// TestRefusedKeys: whoever holds the thing is told what it is about it, and no
// more.
func TestRefusedKeys(t *testing.T) {
	w, srv := newWorld(t)
	for _, tt := range []struct {
		method, path, body string
		err                error
		status             int
		code, says         string
	}{
		{"POST", "/api/v1/signin/passkey/finish", `{}`, signin.ErrRefused, 401, "refused", "login, password or code"},
		{"POST", "/api/v1/signin/passkey/finish", `{}`, errors.Join(signin.ErrRefused, notAccepted()), 401, "refused", "A key that syncs"},
		{"POST", "/api/v1/signin/passkey/finish", `{}`, &signin.Held{RetryAfter: time.Minute}, 429, "held", ""},
		{"POST", "/api/v1/signin/passkey/finish", `{}`, errors.Join(signin.ErrRefused, &terminal.Refused{Why: "nonce_used"}), 401, "refused", "terminal"},
		{"POST", "/api/v1/signin/card", `{}`, errors.Join(signin.ErrRefused, &card.Refused{Why: "crl_stale"}), 401, "refused", "IC card"},
		{"POST", "/api/v1/signin/card", `{}`, errors.Join(signin.ErrRefused, card.ErrNone), 401, "refused", "No IC card"},
		{"POST", "/api/v1/signin/card", `{}`, errors.Join(&signin.Away{What: "directory", Err: errors.New("x")}, &card.Refused{}), 503, "away", "directory"},
		{"POST", "/api/v1/signin/recovery", `{"code":"x"}`, signin.ErrRefused, 401, "refused", ""},
		{"POST", "/api/v1/signin/recovery", `{"code":"x"}`, recovery.ErrWrong, 401, "refused", "recovery code"},
		{"POST", "/api/v1/signin/recovery", `{"code":"x"}`, signin.ErrStep, 409, "wrong_step", ""},
		{"POST", "/api/v1/signin/recovery", `{"code":""}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/signin/passkey/begin", `{"name":"x"}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/factors/passkey/begin", `{}`, &account.StepUp{Required: policy.AAL2, MaxAge: time.Minute}, 403, "step_up", ""},
		{"POST", "/api/v1/factors/passkey/begin", `{}`, passkey.ErrFull, 409, "wrong_state", "as many passkeys"},
		{"POST", "/api/v1/factors/passkey/finish", `{"id":"e","name":"n","credential":{}}`, passkey.ErrWrong, 401, "refused", "passkey"},
		{"POST", "/api/v1/factors/passkey/finish", `{"id":"e","name":"n","credential":{}}`, notAccepted(), 422, "invalid", ""},
		{"POST", "/api/v1/factors/passkey/finish", `{"id":"e","name":"n","credential":{}}`, passkey.ErrTwice, 409, "wrong_state", "registered already"},
		{"POST", "/api/v1/factors/passkey/finish", `{"id":"e","name":"n","credential":{}}`, passkey.ErrNoEnrolment, 404, "not_found", ""},
		{"POST", "/api/v1/factors/passkey/finish", `{"id":"e","name":"n","credential":{}}`, passkey.ErrName, 422, "invalid", ""},
		{"POST", "/api/v1/factors/passkey/finish", `{"id":"e","name":"n","credential":[]}`, nil, 400, "malformed", ""},
		{"POST", "/api/v1/factors/passkey/finish", `{"id":"e","name":"n","credential":"x"}`, nil, 400, "malformed", ""},
		{"POST", "/api/v1/factors/passkey/finish", `{"id":"e","name":"","credential":{}}`, nil, 422, "invalid", ""},
		{"PATCH", "/api/v1/factors/f1", `{"name":"x"}`, account.ErrNotFound, 404, "not_found", ""},
		{"PATCH", "/api/v1/factors/f1", `{"name":""}`, nil, 422, "invalid", ""},
		{"PUT", "/api/v1/notice-address", `{"address":"x"}`, notice.ErrAddress, 422, "invalid", ""},
		{"PUT", "/api/v1/notice-address", `{"address":"x"}`, notice.ErrSameAddress, 422, "invalid", ""},
		{"PUT", "/api/v1/notice-address", `{}`, nil, 422, "invalid", ""},
	} {
		w.next = tt.err
		resp, body := call(t, srv, tt.method, tt.path, "k.live", tt.body, "Accept-Language: en")
		if resp.StatusCode != tt.status || body["code"] != tt.code || !strings.Contains(fmt.Sprint(body["detail"]), tt.says) {
			t.Errorf("%s %s %v: %d %v", tt.method, tt.path, tt.err, resp.StatusCode, body)
		}
		if len(resp.Cookies()) > 0 {
			t.Errorf("%s %s %v: a refusal set a cookie", tt.method, tt.path, tt.err)
		}
		for _, secret := range []string{"nonce_used", "crl_stale"} {
			if strings.Contains(fmt.Sprint(body), secret) {
				t.Errorf("%s: the trail's reason was told: %v", tt.path, body)
			}
		}
		w.next = nil
	}
	w.next = notAccepted()
	_, body := call(t, srv, "POST", "/api/v1/factors/passkey/finish", "k.live", `{"id":"e","name":"n","credential":{}}`)
	if got := fmt.Sprint(body["errors"], body["articles"]); got != "[map[detail:同期される鍵 field:credential rule:synced]] [26no3-1]" {
		t.Errorf("a key that is not good enough: %s", got)
	}
}

func TestNonce(t *testing.T) {
	_, srv := newWorld(t)
	resp, body := call(t, srv, "GET", "/api/v1/signin/nonce", "", "")
	if resp.StatusCode != 200 || body["nonce"] != "nonce" || body["expires_at"] != "2026-04-01T09:01:00Z" {
		t.Errorf("%d %v", resp.StatusCode, body)
	}
}

func TestSessionAtATerminal(t *testing.T) {
	_, srv := newWorld(t)
	if _, body := call(t, srv, "GET", "/api/v1/session", "k.live", ""); body["terminal"] != nil {
		t.Errorf("at no terminal: %v", body["terminal"])
	}
	if _, body := call(t, srv, "GET", "/api/v1/session", "k.counter", ""); body["terminal"] != "c1" {
		t.Errorf("at a counter: %v", body["terminal"])
	}
}
