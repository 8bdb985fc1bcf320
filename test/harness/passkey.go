package harness

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"sekisho/authn/passkey/passkeytest"
	"sekisho/cmd/sekisho/folder"
)

// rpID is dev's host, which is who asks for passkeys there.
const rpID = "localhost"

// Key is the passkey of one of dev's people, in a software authenticator.
func (d *Dev) Key(t testing.TB, p folder.Person) *passkeytest.Key {
	t.Helper()
	if p.Passkey == nil {
		t.Fatalf("%s has no passkey in dev.json", p.Login)
	}
	read := func(e *base64.Encoding, text string) []byte {
		b, err := e.DecodeString(text)
		if err != nil {
			t.Fatal("dev.json:", err)
		}
		return b
	}
	k, err := passkeytest.FromPKCS8(
		read(base64.RawURLEncoding, p.Passkey.CredentialID), read(base64.RawURLEncoding, p.Passkey.UserHandle),
		read(base64.StdEncoding, p.Passkey.PrivateKey), rpID, d.URL)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// AskPasskey begins a passkey's sign-in and returns what the browser is asked.
func (c *Client) AskPasskey(t testing.TB) json.RawMessage {
	t.Helper()
	a := c.Do(t, "POST", "/api/v1/signin/passkey/begin", map[string]string{})
	var begun struct {
		PublicKey json.RawMessage `json:"publicKey"`
		CSRF      string          `json:"csrf_token"`
	}
	if a.Status != http.StatusOK {
		t.Fatalf("beginning a passkey's sign-in: %d %s", a.Status, a.Body)
	}
	a.Into(t, &begun)
	c.CSRF = begun.CSRF
	return begun.PublicKey
}

// Passkey signs in with a key, or goes on with it as the second factor.
func (c *Client) Passkey(t testing.TB, k *passkeytest.Key, tweak ...func(*passkeytest.Tweak)) (Step, Answer) {
	t.Helper()
	answer, err := k.Get(c.AskPasskey(t), tweak...)
	if err != nil {
		t.Fatal(err)
	}
	return c.step(t, "/api/v1/signin/passkey/finish", json.RawMessage(answer))
}

// Enrolling is a passkey's enrolment under way.
type Enrolling struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Credential json.RawMessage `json:"credential"`
}

// MakePasskey has a software authenticator make a key and returns what to
// finish its enrolment with.
func (c *Client) MakePasskey(t testing.TB, origin string, tweak ...func(*passkeytest.Tweak)) (*passkeytest.Key, Enrolling) {
	t.Helper()
	a := c.Do(t, "POST", "/api/v1/factors/passkey/begin", map[string]string{})
	var begun struct {
		ID        string          `json:"id"`
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if a.Status != http.StatusCreated {
		t.Fatalf("beginning to enrol a passkey: %d %s", a.Status, a.Body)
	}
	a.Into(t, &begun)
	at, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	made, k, err := passkeytest.New(at.Hostname(), origin).Create(begun.PublicKey, tweak...)
	if err != nil {
		t.Fatal(err)
	}
	return k, Enrolling{ID: begun.ID, Name: "鍵", Credential: made}
}

// EnrolPasskey makes a key and enrols it.
func (c *Client) EnrolPasskey(t testing.TB, origin string, tweak ...func(*passkeytest.Tweak)) (*passkeytest.Key, Answer) {
	t.Helper()
	k, with := c.MakePasskey(t, origin, tweak...)
	return k, c.Do(t, "POST", "/api/v1/factors/passkey/finish", with)
}
