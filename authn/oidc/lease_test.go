package oidc

import (
	"context"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/directory"
	"sekisho/policy"
)

// TestTokensTellOfLeases: what is lent stands in the ID token with its end and its
// mark, in no token that outlives it, and is gone at the next use once it is over.
func TestTokensTellOfLeases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules.Clients[0].Scopes = append(w.rules.Clients[0].Scopes, policy.ScopeProfile)
	end := t0.Add(90 * time.Second)
	lent := []Lease{{ID: "l1", Privilege: "db-admin", EndsAt: end, Emergency: true}}
	w.Leases = func(_ context.Context, n session.Session, p directory.Person, app policy.Application) ([]Lease, error) {
		if n.ID != w.session.ID || p.ID != w.who.ID || app.ID == "" {
			t.Errorf("asked about %s in %s for %q", p.ID, n.ID, app.ID)
		}
		return lent, nil
	}
	code := func(scope string) string {
		t.Helper()
		a, err := w.Authorize(ctx, w.request("scope", scope), w.visit())
		if err != nil || a.Code == "" {
			t.Fatalf("%+v, %v", a, err)
		}
		return a.Code
	}
	// A client that is not told of people's privileges has tokens of the usual life.
	if tok, err := w.redeem(code("openid")); err != nil || tok.ExpiresIn != 300 {
		t.Fatalf("without the scope: %d s, %v", tok.ExpiresIn, err)
	}
	tok, err := w.redeem(code("openid profile offline_access"))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := w.Keys.Read(tok.IDToken, "JWT", issuer, false)
	if err != nil {
		t.Fatal(err)
	}
	told, _ := claims["privileges"].([]any)
	if len(told) != 1 {
		t.Fatalf("told %v", claims["privileges"])
	}
	if l, _ := told[0].(map[string]any); l["id"] != "l1" || l["privilege"] != "db-admin" || l["emergency"] != true || l["ends_at"] != end.Format(time.RFC3339) {
		t.Errorf("told %v", l)
	}
	if tok.ExpiresIn != 90 || int64(claims["exp"].(float64)) != end.Unix() {
		t.Errorf("tokens live for %d s and until %v, past the lease's end", tok.ExpiresIn, claims["exp"])
	}
	access, err := w.Keys.Read(tok.AccessToken, "at+jwt", issuer, false)
	if err != nil || int64(access["exp"].(float64)) != end.Unix() {
		t.Errorf("the access token: %v, %v", access["exp"], err)
	}
	lent = nil
	tok, err = w.refreshed(tok.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if claims, err = w.Keys.Read(tok.IDToken, "JWT", issuer, false); err != nil {
		t.Fatal(err)
	}
	if told, _ := claims["privileges"].([]any); len(told) != 0 || tok.ExpiresIn != 300 {
		t.Errorf("after it was taken back: %v, for %d s", told, tok.ExpiresIn)
	}
}
