package openid

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"sekisho/authn/oidc"
	"sekisho/policy"
)

// refusing is a provider that lets nobody in.
type refusing struct {
	Provider
	client policy.Client
	err    error
}

func (p refusing) Read(context.Context, url.Values) (oidc.Request, bool, error) {
	return oidc.Request{Client: p.client, RedirectURI: "https://web.example/cb", State: "s"}, false, nil
}
func (refusing) Asked(oidc.Request, string) time.Time { return time.Time{} }
func (p refusing) Authorize(context.Context, oidc.Request, oidc.Visit) (oidc.Answer, error) {
	return oidc.Answer{}, p.err
}

// TestRefusedByPolicy: an application that is told no can lead its person to
// where the reason and the next step are (RFC 6749 section 4.1.2.1, error_uri);
// of a fault in the request, or of ours, there is nothing to read there.
func TestRefusedByPolicy(t *testing.T) {
	no := &oidc.Error{Code: "access_denied", Description: "the person may not use this application", Says: policy.Words{JA: "だめです。", EN: "No."}}
	for _, tt := range []struct {
		client policy.Client
		err    error
		code   string
		uri    string
	}{
		{policy.Client{ID: "web"}, no, "access_denied", "http://gate.example/me/applications#web"},
		{policy.Client{ID: "web", Application: "kyuyo"}, no, "access_denied", "http://gate.example/me/applications#kyuyo"},
		{policy.Client{ID: "web"}, &oidc.Error{Code: "login_required"}, "login_required", ""},
		{policy.Client{ID: "web"}, errors.New("disk full"), "server_error", ""},
	} {
		resp := send(serverOn(t, refusing{client: tt.client, err: tt.err}), "GET", AuthorizePath+"?client_id=web", "")
		to, err := url.Parse(resp.Header.Get("Location"))
		if err != nil || resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("%d, %v", resp.StatusCode, err)
		}
		if q := to.Query(); q.Get("error") != tt.code || q.Get("error_uri") != tt.uri || q.Get("state") != "s" || q.Get("iss") != "http://gate.example" {
			t.Errorf("%v: %v", tt.err, q)
		}
	}
}
