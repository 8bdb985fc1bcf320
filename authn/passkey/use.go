package passkey

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"sekisho/directory"
	"sekisho/policy/store"
)

// BeginSignIn asks a browser for a key: any that it holds when person is "", so
// that the question tells nobody who exists; else one of the person's. ErrNoKey
// when the person has none: a browser would take an empty list for "any".
func (k *Keys) BeginSignIn(ctx context.Context, whose string, person directory.PersonID) (json.RawMessage, error) {
	end := k.pol().Passkey.CeremonyEnd
	options := []webauthn.LoginOption{
		webauthn.WithChallenge(k.tickets.Issue(forSignIn, whose, end)),
		webauthn.WithUserVerification(protocol.VerificationRequired),
		func(o *protocol.PublicKeyCredentialRequestOptions) error {
			o.Timeout = int(end.Milliseconds())
			return nil
		},
	}
	if person != "" {
		has, err := k.descriptors(ctx, person)
		if err != nil {
			return nil, err
		}
		if len(has) == 0 {
			return nil, ErrNoKey
		}
		options = append(options, webauthn.WithAllowedCredentials(has))
	}
	ask, _, err := k.library.BeginDiscoverableLogin(options...)
	if err != nil {
		return nil, fmt.Errorf("asking for a passkey: %w", err)
	}
	out, err := json.Marshal(ask.Response)
	if err != nil {
		return nil, fmt.Errorf("asking for a passkey: %w", err)
	}
	return out, nil
}

// Verify checks a browser's answer (W3C WebAuthn L3 section 7.2). person "":
// whoever the key belongs to, which the key must then name itself. ErrWrong
// refuses; whether the key is good enough for a post or a zone is Acceptable's.
//
// Nothing is written, and the same answer verifies again: only Spend makes it
// count.
func (k *Keys) Verify(ctx context.Context, whose string, person directory.PersonID, answer []byte) (Assertion, error) {
	if err := wellFormed(answer); err != nil {
		return Assertion{}, err
	}
	got, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Assertion{}, wrong(whyMalformed)
	}
	s, err := readSaid(got.Raw.AssertionResponse.ClientDataJSON, protocol.AssertCeremony)
	if err != nil {
		return Assertion{}, err
	}
	if err := k.checkChallenge(ErrWrong, forSignIn, whose, s.challenge); err != nil {
		return Assertion{}, err
	}
	if err := k.checkPlace(s); err != nil {
		return Assertion{}, err
	}
	h, err := k.read(k.db.QueryRow(ctx, `
		SELECT `+columns+` FROM passkey WHERE credential_id = $1`, got.RawID).Scan)
	if errors.Is(err, sql.ErrNoRows) || err == nil && person != "" && h.Person != person {
		return Assertion{}, wrong(whyUnknownKey)
	}
	if err != nil {
		return Assertion{}, fmt.Errorf("reading a passkey: %w", err)
	}
	// A key that was asked for by name may leave its owner's handle out; one that
	// says who is there by itself may not.
	if user := got.Response.UserHandle; (person == "" || len(user) > 0) && !bytes.Equal(user, h.Handle) {
		return Assertion{}, wrong(whyUserHandle)
	}
	data := got.Response.AuthenticatorData
	if err := k.checkAuthenticator(data); err != nil {
		return Assertion{}, err
	}
	// A key does not become another kind of key. One that did would carry the
	// trust of a device-bound key over to one that its maker copies.
	if data.Flags.HasBackupEligible() != h.Synced {
		return Assertion{}, wrong(whyFlagsChanged)
	}
	if err := checkAlgorithm(h.PublicKey); err != nil {
		return Assertion{}, err
	}
	// What is left for the library to refuse is the signature.
	_, err = k.library.ValidateLogin(
		owner{handle: h.Handle, keys: []webauthn.Credential{{
			ID: h.CredentialID, PublicKey: h.PublicKey, Flags: webauthn.CredentialFlags{BackupEligible: h.Synced},
			Authenticator: webauthn.Authenticator{AAGUID: h.AAGUID, SignCount: h.Count},
		}}},
		webauthn.SessionData{
			Challenge: base64.RawURLEncoding.EncodeToString(s.challenge), RelyingPartyID: k.rp.ID, UserID: h.Handle,
			UserVerification: protocol.VerificationRequired,
		}, got)
	if err != nil {
		return Assertion{}, wrong(whySignature)
	}
	return Assertion{
		Person: h.Person, Key: h.key(),
		whose: whose, challenge: s.challenge, count: data.Counter, backedUp: data.Flags.HasBackupState(),
	}, nil
}

// Spend uses an answer up in the caller's transaction: of several requests that
// carry it, the database lets one through and the others are ErrWrong.
//
// ErrCloned: the key stays on one device and yet its counter did not grow (W3C
// WebAuthn L3 section 6.1.1), so somebody has another. The key is gone when the
// caller commits, as it must. Two answers of one key that overtake each other
// look the same from here, and end it too: their owner touched the key twice
// within one round trip and binds it again, while a thief's only trace is this.
// A key that counts nothing says 0 always, and copies of a synced key each count
// for themselves: neither is ever taken for a clone.
func (k *Keys) Spend(ctx context.Context, tx *store.Tx, a Assertion) error {
	if err := k.tickets.Spend(ctx, tx, forSignIn, a.whose, a.challenge); err != nil {
		return notGood(ErrWrong, err)
	}
	h, err := k.read(tx.QueryRow(ctx, `
		SELECT `+columns+` FROM passkey WHERE id = $1 AND person = $2`, a.Key.ID, string(a.Person)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return wrong(whyUnknownKey) // removed since it was verified
	}
	if err != nil {
		return fmt.Errorf("reading a passkey: %w", err)
	}
	c := h.credential
	c.Count = a.count
	sealed, err := k.seal(h.id, c)
	if err != nil {
		return err
	}
	err = tx.ExecOne(ctx, `
		UPDATE passkey
		SET    credential = $1, sign_count = $2, backed_up = $3, last_used_at = $4
		WHERE  id = $5 AND (sign_count < $2 OR (sign_count = 0 AND $2 = 0) OR $6 = 1)`,
		sealed, int64(c.Count), bit(a.backedUp), store.Micros(k.now()), h.id, bit(c.Synced))
	switch {
	case errors.Is(err, store.ErrUntouched):
		if err := k.Remove(ctx, tx, h.Person, h.id); err != nil && !errors.Is(err, ErrNoKey) {
			return err
		}
		return ErrCloned
	case err != nil:
		return fmt.Errorf("using passkey %s: %w", h.id, err)
	}
	return nil
}
