// Package passkeytest is an authenticator without hardware: it makes passkeys
// and answers with them as a browser would hand the answer on, and it lies on
// request.
//
// It knows the options and answers of W3C WebAuthn Level 3 and nothing of the
// server that it talks to, so it serves tests of the package beside it and of
// the whole program alike. It guards its keys from nobody.
package passkeytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// An Authenticator makes keys for one relying party, in a browser that shows one
// page.
type Authenticator struct {
	RPID, Origin string
	AAGUID       [16]byte
	Synced       bool        // its keys are copied to other devices: BE and BS are set
	Attestation  Attestation // nil: None
}

// New is an authenticator whose keys stay on it.
func New(rpID, origin string) *Authenticator {
	return &Authenticator{RPID: rpID, Origin: origin, AAGUID: Model}
}

// Model is the AAGUID of an Authenticator that New made.
var Model = [16]byte{0x73, 0x65, 0x6b, 0x69, 0x73, 0x68, 0x6f, 0, 0x8a, 0xaa, 0, 0, 0, 0, 0, 1}

// ModelID is Model as policies write it.
const ModelID = "73656b69-7368-6f00-8aaa-000000000001"

// A Key is one passkey. Its fields are not to be changed while it answers.
type Key struct {
	CredentialID, UserHandle []byte
	Private                  *ecdsa.PrivateKey // nil for a key that is not ES256
	Signer                   crypto.Signer     // the same, of any kind
	Alg                      int64             // COSE's number of it
	Count                    uint32            // of the last answer; guarded while Get runs
	Counts                   bool              // else every answer says 0
	RPID, Origin             string
	AAGUID                   [16]byte
	BE, BS                   bool

	mu sync.Mutex
}

// FromPKCS8 is a key that was made elsewhere, such as dev.json's. It counts
// nothing, because others may hold it at the same time.
func FromPKCS8(credentialID, userHandle, pkcs8 []byte, rpID, origin string) (*Key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("reading a passkey: %w", err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, errors.New("reading a passkey: want a P-256 key")
	}
	return &Key{
		CredentialID: credentialID, UserHandle: userHandle, Private: private, Signer: private, Alg: ES256, RPID: rpID, Origin: origin,
	}, nil
}

// Create makes a key for what a server asked: PublicKeyCredentialCreationOptionsJSON,
// bare or as the publicKey of an object. The answer is a RegistrationResponseJSON.
func (a *Authenticator) Create(options []byte, tweak ...func(*Tweak)) (answer []byte, key *Key, err error) {
	var ask struct {
		Challenge string
		RP        struct{ ID string }
		User      struct{ ID bytes64 }
	}
	if err := unwrap(options, &ask); err != nil {
		return nil, nil, err
	}
	t := Tweak{
		UP: true, UV: true, BE: a.Synced, BS: a.Synced, Origin: a.Origin, RPID: a.RPID, Challenge: ask.Challenge, Type: "webauthn.create",
		Alg: ES256, CredentialID: random(32), UserHandle: ask.User.ID, AAGUID: a.AAGUID, Attestation: a.Attestation, Transports: []string{"usb"},
	}
	for _, change := range tweak {
		change(&t)
	}
	if ask.RP.ID != a.RPID {
		return nil, nil, fmt.Errorf("a browser at %s makes no key for %q", a.Origin, ask.RP.ID)
	}
	signer, err := generate(t.Alg)
	if err != nil {
		return nil, nil, err
	}
	key = &Key{
		CredentialID: t.CredentialID, UserHandle: t.UserHandle, Signer: signer, Alg: t.Alg, Count: t.Count, Counts: true,
		RPID: a.RPID, Origin: a.Origin, AAGUID: t.AAGUID, BE: t.BE, BS: t.BS,
	}
	key.Private, _ = signer.(*ecdsa.PrivateKey)
	public, err := cose(signer.Public(), t.Alg)
	if err != nil {
		return nil, nil, err
	}
	if t.PublicKey != nil {
		public = t.PublicKey(public)
	}
	data := t.authenticatorData(attestedFlag)
	data = append(data, t.AAGUID[:]...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(t.CredentialID)))
	data = append(data, t.CredentialID...)
	data = append(data, public...)
	data = append(data, t.Extensions...)
	clientData := t.clientData()
	hash := sha256.Sum256(clientData)
	if t.Attestation == nil {
		t.Attestation = None
	}
	format, statement, err := t.Attestation(Made{AuthData: data, ClientDataHash: hash[:], Key: key})
	if err != nil {
		return nil, nil, err
	}
	if t.BreakSignature {
		if sig, ok := statement["sig"].([]byte); ok {
			statement["sig"] = broken(sig)
		}
	}
	object, err := webauthncbor.Marshal(map[string]any{"fmt": format, "attStmt": statement, "authData": data})
	if err != nil {
		return nil, nil, fmt.Errorf("writing an attestation object: %w", err)
	}
	answer, err = json.Marshal(map[string]any{
		"id": encode(t.CredentialID), "rawId": encode(t.CredentialID), "type": "public-key",
		"response": map[string]any{
			"clientDataJSON": encode(clientData), "attestationObject": encode(object), "authenticatorData": encode(data),
			"transports": t.Transports, "publicKeyAlgorithm": t.Alg,
		},
		"clientExtensionResults": t.results(), "authenticatorAttachment": "cross-platform",
	})
	return answer, key, err
}

// Get answers what a server asked with the key: PublicKeyCredentialRequestOptionsJSON,
// bare or as the publicKey of an object. The answer is an AuthenticationResponseJSON.
// It answers whichever keys the server listed.
func (k *Key) Get(options []byte, tweak ...func(*Tweak)) ([]byte, error) {
	var ask struct{ Challenge string }
	if err := unwrap(options, &ask); err != nil {
		return nil, err
	}
	k.mu.Lock()
	if k.Counts {
		k.Count++
	}
	t := Tweak{
		UP: true, UV: true, BE: k.BE, BS: k.BS, Origin: k.Origin, RPID: k.RPID, Challenge: ask.Challenge, Type: "webauthn.get",
		Alg: k.Alg, Count: k.Count, CredentialID: k.CredentialID, UserHandle: k.UserHandle,
	}
	k.mu.Unlock()
	for _, change := range tweak {
		change(&t)
	}
	data := append(t.authenticatorData(0), t.Extensions...)
	clientData := t.clientData()
	hash := sha256.Sum256(clientData)
	signature, err := sign(k.Signer, t.Alg, append(data[:len(data):len(data)], hash[:]...))
	if err != nil {
		return nil, err
	}
	if t.BreakSignature {
		signature = broken(signature)
	}
	response := map[string]any{
		"clientDataJSON": encode(clientData), "authenticatorData": encode(data), "signature": encode(signature),
	}
	if len(t.UserHandle) > 0 {
		response["userHandle"] = encode(t.UserHandle)
	}
	return json.Marshal(map[string]any{
		"id": encode(t.CredentialID), "rawId": encode(t.CredentialID), "type": "public-key",
		"response": response, "clientExtensionResults": t.results(), "authenticatorAttachment": "cross-platform",
	})
}

// Copy is a clone of the key: it counts on from here by itself.
func (k *Key) Copy() *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &Key{
		CredentialID: k.CredentialID, UserHandle: k.UserHandle, Private: k.Private, Signer: k.Signer, Alg: k.Alg,
		Count: k.Count, Counts: k.Counts, RPID: k.RPID, Origin: k.Origin, AAGUID: k.AAGUID, BE: k.BE, BS: k.BS,
	}
}

// unwrap reads options, bare or as the publicKey of an object.
func unwrap(options []byte, into any) error {
	var wrapped struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &wrapped); err != nil {
		return fmt.Errorf("reading the options: %w", err)
	}
	if len(wrapped.PublicKey) > 0 {
		options = wrapped.PublicKey
	}
	if err := json.Unmarshal(options, into); err != nil {
		return fmt.Errorf("reading the options: %w", err)
	}
	return nil
}

// bytes64 are bytes in base64url without padding, as options carry them.
type bytes64 []byte

func (b *bytes64) UnmarshalText(text []byte) error {
	out, err := base64.RawURLEncoding.DecodeString(string(text))
	*b = out
	return err
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // crypto/rand never fails: it ends the program first
	return b
}

// broken is a signature of the same form that fits nothing.
func broken(signature []byte) []byte {
	out := append([]byte(nil), signature...)
	out[len(out)-1] ^= 1
	return out
}

// generate makes a key pair for a COSE algorithm; for one that is not known here
// a P-256 pair, which will pass for it.
func generate(alg int64) (crypto.Signer, error) {
	switch alg {
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case RS256:
		return rsa.GenerateKey(rand.Reader, 2048)
	case ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}
