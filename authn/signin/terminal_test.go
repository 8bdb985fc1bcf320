package signin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authn/terminal/terminaltest"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestTerminalLostBetweenSteps: a terminal that was lost between the password
// and the code gets no session.
func TestTerminalLostBetweenSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	w.policy.Terminals = []policy.Terminal{{
		ID: "counter-1", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口", EN: "Counter"},
		PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
	}}
	seed := w.device(t, w.person(t, "tanaka"))
	at := w.origin
	nonce, _ := w.Nonce()
	at.Terminal, err = terminaltest.True("counter-1", gateURL, nonce, w.clock.Now()).
		Sign(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	must(t, err)
	first, err := w.Password(ctx, at, "", "tanaka", text(pw))
	must(t, err)
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { return w.Terminals.Lose(ctx, tx, "counter-1", "sato") }))
	var no *terminal.Refused
	step, err := w.TOTP(ctx, w.origin, first.Cookie, w.code(t, seed))
	if !errors.Is(err, signin.ErrRefused) || !errors.As(err, &no) || no.Why != "lost" {
		t.Errorf("the code came to %q, %v", step.State, err)
	}
	if n := w.actions(t, "sign_in"); n != 0 {
		t.Errorf("%d sessions on the trail", n)
	}
	// Elsewhere the same person signs in as always.
	again, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	if again, err = w.TOTP(ctx, w.origin, again.Cookie, w.code(t, seed)); err != nil || again.State != authn.SignedIn {
		t.Errorf("elsewhere: %q, %v", again.State, err)
	}
}
