package passkey

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// handleBytes is what W3C WebAuthn L3 section 5.4.3 suggests, and its most.
const handleBytes = 64

// maxCredentialID is the longest credential id there is (L3 section 4).
const maxCredentialID = 1023

// An owner is a person as the library wants to see one.
type owner struct {
	handle         []byte
	login, display string
	keys           []webauthn.Credential
}

func (o owner) WebAuthnID() []byte                         { return o.handle }
func (o owner) WebAuthnName() string                       { return o.login }
func (o owner) WebAuthnDisplayName() string                { return o.display }
func (o owner) WebAuthnCredentials() []webauthn.Credential { return o.keys }

// BeginEnrol asks a browser for a new key that its owner can use without typing
// a name. whose ties the answer to a cookie. ErrFull when the person can have no
// more.
//
// Nothing is stored but, once, the handle that authenticators know the person
// by.
func (k *Keys) BeginEnrol(ctx context.Context, person directory.Person, posts []policy.PostID, whose string) (Enrolment, error) {
	pol := k.pol()
	switch n, err := k.Count(ctx, k.db, person.ID); {
	case err != nil:
		return Enrolment{}, err
	case n >= pol.Passkey.MaxKeys:
		return Enrolment{}, ErrFull
	}
	user, err := k.handleOf(ctx, person.ID)
	if err != nil {
		return Enrolment{}, err
	}
	has, err := k.descriptors(ctx, person.ID)
	if err != nil {
		return Enrolment{}, err
	}
	conveyance := protocol.PreferNoAttestation
	if asksMaker(pol, posts) {
		conveyance = protocol.PreferDirectAttestation
	}
	who := owner{handle: user, login: person.Login, display: person.Name}
	if who.display == "" {
		who.display = person.Login
	}
	challenge := k.tickets.Issue(forEnrolment, enrolling(person.ID, user, whose), pol.Passkey.CeremonyEnd)
	ask, _, err := k.library.BeginRegistration(who,
		webauthn.WithCredentialParameters(parameters),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{UserVerification: protocol.VerificationRequired}),
		webauthn.WithResidentKeyRequirement(protocol.ResidentKeyRequirementRequired),
		webauthn.WithConveyancePreference(conveyance),
		webauthn.WithExclusions(has),
		func(o *protocol.PublicKeyCredentialCreationOptions) error {
			o.Challenge, o.Timeout = challenge, int(pol.Passkey.CeremonyEnd.Milliseconds())
			return nil
		})
	if err != nil {
		return Enrolment{}, fmt.Errorf("asking for a new passkey: %w", err)
	}
	out, err := json.Marshal(ask.Response)
	if err != nil {
		return Enrolment{}, fmt.Errorf("asking for a new passkey: %w", err)
	}
	return Enrolment{ID: enrolmentID(challenge), PublicKey: out}, nil
}

// enrolling is the holder of an enrolment's challenge: this person, by this
// handle, behind this cookie. Lengths stand in front, so that no two read alike.
// RemoveAll takes the handle away, and so ends what was begun before.
func enrolling(person directory.PersonID, handle []byte, whose string) string {
	return fmt.Sprintf("%d:%s%x:%s", len(person), person, handle, whose)
}

// handleOf makes a handle for a person who has none.
func (k *Keys) handleOf(ctx context.Context, person directory.PersonID) ([]byte, error) {
	if h, err := handle(ctx, k.db, person); err != nil || h != nil {
		return h, err
	}
	fresh := secret.Bytes(handleBytes)
	var h []byte
	err := k.db.WithTx(ctx, func(tx *store.Tx) error {
		if err := k.giveHandle(ctx, tx, person, fresh); err != nil {
			return err
		}
		var err error
		h, err = handle(ctx, tx, person) // of two at once, both get the first one's
		return err
	})
	return h, err
}

// FinishEnrol binds the key that a browser made, in the caller's transaction.
// ErrWrong, ErrNoEnrolment, ErrName, ErrFull, ErrTwice or *NotAccepted refuse it,
// and nothing is written then but, after ErrFull or ErrTwice, that the challenge
// is spent.
func (k *Keys) FinishEnrol(ctx context.Context, tx *store.Tx, person directory.Person, posts []policy.PostID, zone policy.ZoneID, whose, id, name string, answer []byte) (Key, error) {
	name, err := properName(name)
	if err != nil {
		return Key{}, err
	}
	user, err := handle(ctx, tx, person.ID)
	if err != nil {
		return Key{}, err
	}
	made, challenge, err := k.checkMade(person.ID, user, whose, id, answer)
	if err != nil {
		return Key{}, err
	}
	pol := k.pol()
	data := made.Response.AttestationObject.AuthData
	c := credential{
		Person: person.ID, Handle: user, Synced: data.Flags.HasBackupEligible(), Count: data.Counter,
		CredentialID: data.AttData.CredentialID, PublicKey: data.AttData.CredentialPublicKey, AAGUID: data.AttData.AAGUID,
		AddedAt: store.Micros(k.now()),
	}
	// Where nobody asked, nobody is believed: browsers then put their own word in
	// the place of the maker's.
	c.Attested = asksMaker(pol, posts) && vouched(made.Response.AttestationObject, pol.Passkey.Roots, k.now())
	if no := Acceptable(pol, posts, zone, held{credential: c}.key()); no != nil {
		return Key{}, no
	}
	if err := k.tickets.Spend(ctx, tx, forEnrolment, enrolling(person.ID, user, whose), challenge); err != nil {
		return Key{}, notGood(ErrNoEnrolment, err)
	}
	return k.insert(ctx, tx, id, c, name, transports(made.Response.Transports), data.Flags.HasBackupState())
}

// checkMade is W3C WebAuthn L3 section 7.1, but for who made the key.
func (k *Keys) checkMade(person directory.PersonID, user []byte, whose, id string, answer []byte) (*protocol.ParsedCredentialCreationData, []byte, error) {
	if err := wellFormed(answer); err != nil {
		return nil, nil, err
	}
	made, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return nil, nil, wrong(whyMalformed)
	}
	s, err := readSaid(made.Raw.AttestationResponse.ClientDataJSON, protocol.CreateCeremony)
	if err != nil {
		return nil, nil, err
	}
	if err := k.checkChallenge(ErrNoEnrolment, forEnrolment, enrolling(person, user, whose), s.challenge); err != nil {
		return nil, nil, err
	}
	if id != enrolmentID(s.challenge) {
		return nil, nil, &refusal{ErrNoEnrolment, whyWrongEnrolment}
	}
	statement := made.Response.AttestationObject
	if !slices.Contains(formats, protocol.AttestationFormat(statement.Format)) || !bearable(statement) {
		return nil, nil, wrong(whyAttestation)
	}
	for _, err := range []error{
		k.checkPlace(s), k.checkAuthenticator(statement.AuthData), checkAlgorithm(statement.AuthData.AttData.CredentialPublicKey),
	} {
		if err != nil {
			return nil, nil, err
		}
	}
	// What is left for the library to refuse is the statement and its signature.
	_, err = k.library.CreateCredential(owner{handle: user}, webauthn.SessionData{
		Challenge: base64.RawURLEncoding.EncodeToString(s.challenge), RelyingPartyID: k.rp.ID, UserID: user,
		UserVerification: protocol.VerificationRequired, CredParams: parameters,
	}, made)
	if err != nil {
		return nil, nil, wrong(whyAttestation)
	}
	return made, s.challenge, nil
}

// transports are the ways to a key that a browser told of, for telling browsers
// later. Only words we know are kept.
func transports(told []protocol.AuthenticatorTransport) string {
	var out []string
	for _, t := range []protocol.AuthenticatorTransport{
		protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal,
	} {
		if slices.Contains(told, t) {
			out = append(out, string(t))
		}
	}
	return strings.Join(out, " ")
}

// Imported is a key made elsewhere, for a sample prefecture.
type Imported struct {
	CredentialID, UserHandle []byte
	PublicKey                []byte // COSE
	Name                     string
	AddedAt                  time.Time
}

// Import adds a device-bound key made elsewhere; a zero AddedAt is now. ErrName, ErrTwice or ErrFull
// refuse it, and ErrWrong a key that no ceremony could have brought.
func (k *Keys) Import(ctx context.Context, tx *store.Tx, person directory.PersonID, in Imported) error {
	name, err := properName(in.Name)
	if err != nil {
		return err
	}
	if n := len(in.CredentialID); n == 0 || n > maxCredentialID {
		return wrong(whyMalformed)
	}
	if n := len(in.UserHandle); n == 0 || n > handleBytes {
		return wrong(whyUserHandle)
	}
	if err := checkAlgorithm(in.PublicKey); err != nil {
		return err
	}
	if in.AddedAt.IsZero() {
		in.AddedAt = k.now()
	}
	if err := k.giveHandle(ctx, tx, person, in.UserHandle); err != nil {
		return err
	}
	_, err = k.insert(ctx, tx, secret.Token(16), credential{
		Person: person, CredentialID: in.CredentialID, Handle: in.UserHandle, PublicKey: in.PublicKey,
		AAGUID: make([]byte, aaguidSize), AddedAt: store.Micros(in.AddedAt),
	}, name, "", false)
	return err
}
