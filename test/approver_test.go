package test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"sekisho/authn/passkey/passkeytest"
	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/house"
	"sekisho/policy/store"
	"sekisho/test/harness"
)

// approver signs a member in as somebody who decides: with a passkey of their own
// that has rested. The two days of rest are written into the session's row beside the
// gate (a key's own age is sealed), which follows at its next poll.
func approver(t *testing.T, s *harness.Site, login, from string) *harness.Client {
	t.Helper()
	first := s.Behind(from)
	s.Members[login].SignIn(t, first)
	u, err := url.Parse(s.PublicURL)
	if err != nil {
		t.Fatal(err)
	}
	a := first.Do(t, "POST", "/api/v1/factors/passkey/begin", map[string]string{})
	var begun struct {
		ID        string          `json:"id"`
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if a.Status != http.StatusCreated {
		t.Fatalf("beginning to enrol a passkey: %d %s", a.Status, a.Body)
	}
	a.Into(t, &begun)
	made, key, err := passkeytest.New(u.Hostname(), s.PublicURL).Create(begun.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	a = first.Do(t, "POST", "/api/v1/factors/passkey/finish", harness.Enrolling{ID: begun.ID, Name: "鍵", Credential: made})
	if a.Status != http.StatusCreated {
		t.Fatalf("enrolling a passkey: %d %s", a.Status, a.Body)
	}
	c := s.Behind(from)
	if step, a := c.Passkey(t, key); step.State != "signed_in" {
		t.Fatalf("signing %s in with a passkey came to %q: %d %s", login, step.State, a.Status, a.Body)
	}
	inStore(t, s, func(tx *store.Tx) error {
		return tx.ExecOne(t.Context(), `UPDATE session SET factor_at = factor_at - $1, changed_at = $2 WHERE factor_at > 0 AND login = $3`,
			(48 * time.Hour).Microseconds(), store.Micros(time.Now()), login)
	})
	return c
}

// inStore does something in the store, beside the gate or without one.
func inStore(t *testing.T, s *harness.Site, fn func(tx *store.Tx) error) {
	t.Helper()
	file, err := config.Read(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := house.FromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), cfg.Store)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.WithTx(t.Context(), fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}
