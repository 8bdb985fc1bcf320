package terminal

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/ticket"
	"sekisho/directory"
	"sekisho/policy/store"
)

const (
	algorithm  = "ES256"
	maxHeader  = 4096 // bytes
	maxMethods = 16
	// maxLife is how long an assertion may be good: as long as its nonce.
	maxLife = nonceEnd
	// leeway is how far a terminal's clock may differ from ours. Both follow the
	// prefecture's time (article 77), and an assertion is made to be used at once.
	leeway = 5 * time.Second
)

// claims are what an assertion says. Its issuer is the terminal, its subject the
// login of whoever sits there.
type claims struct {
	jwt.RegisteredClaims
	Methods []string         `json:"amr"`
	AuthAt  *jwt.NumericDate `json:"auth_time"`
	Nonce   string           `json:"nonce"`
}

// Read checks an assertion, the value of X-Sekisho-Terminal: signed by a
// terminal of the register that is not lost, meant for this gate, about now,
// over a nonce of ours. *Refused says that it is not taken; any other error,
// that we could not find out.
func (r *Register) Read(ctx context.Context, header string) (Assertion, error) {
	if len(header) > maxHeader {
		return Assertion{}, &Refused{"malformed"}
	}
	var (
		now     = r.now()
		said    claims
		speaker Terminal
		trouble error // ours, not the terminal's
	)
	parser := jwt.NewParser(jwt.WithValidMethods([]string{algorithm}), jwt.WithStrictDecoding(),
		jwt.WithAudience(r.audience, r.audience+"/"), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway), jwt.WithTimeFunc(func() time.Time { return now }))
	// The issuer needs no option: it is what the key is found by.
	token, err := parser.ParseWithClaims(header, &said, func(t *jwt.Token) (any, error) {
		if !plainHeader(t.Header) {
			return nil, &Refused{"header"}
		}
		var key *ecdsa.PublicKey
		speaker, key, trouble = r.find(ctx, r.db, said.Issuer)
		switch {
		case errors.Is(trouble, ErrNotFound):
			trouble = nil
			return nil, &Refused{"unknown_terminal"}
		case trouble != nil:
			return nil, trouble
		case key == nil:
			return nil, &Refused{"no_key"}
		}
		return key, nil
	})
	if trouble != nil {
		return Assertion{}, fmt.Errorf("reading a terminal's assertion: %w", trouble)
	}
	// A lost machine that speaks is the news, whatever else is wrong: the claims
	// are looked at only after the signature, which was its own.
	if (err == nil || errors.Is(err, jwt.ErrTokenInvalidClaims)) && !speaker.LostAt.IsZero() {
		return Assertion{}, &Refused{"lost"}
	}
	if err != nil {
		return Assertion{}, refusal(token, err)
	}
	nonce, why := said.wrong(now)
	if why == "" {
		why = r.nonceWrong(nonce)
	}
	if why != "" {
		return Assertion{}, &Refused{why}
	}
	a := Assertion{Terminal: speaker, Login: said.Subject, Methods: said.Methods, nonce: nonce}
	if said.AuthAt != nil {
		a.AuthAt = said.AuthAt.UTC()
	}
	return a, nil
}

// plainHeader refuses a token of another kind that the same key may have signed
// (RFC 8725 section 3.11) and extensions that a reader must understand (RFC 7515
// section 4.1.11). Keys and addresses of keys in the header (kid, jwk, jku, x5c,
// x5u) are never looked at: the register alone says what the terminal's key is.
func plainHeader(h map[string]any) bool {
	if _, extended := h["crit"]; extended {
		return false
	}
	typ, present := h["typ"]
	if !present {
		return true
	}
	kind, ok := typ.(string)
	return ok && strings.EqualFold(kind, "JWT")
}

// refusal names what the parser found wrong.
func refusal(token *jwt.Token, err error) error {
	var no *Refused
	switch {
	case errors.As(err, &no):
		return no
	case token == nil || errors.Is(err, jwt.ErrTokenMalformed):
		return &Refused{"malformed"}
	case token.Header["alg"] != algorithm:
		return &Refused{"algorithm"}
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return &Refused{"signature"}
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return &Refused{"malformed"}
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return &Refused{"audience"}
	case errors.Is(err, jwt.ErrTokenExpired):
		return &Refused{"expired"}
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued), errors.Is(err, jwt.ErrTokenNotValidYet):
		return &Refused{"early"}
	}
	return &Refused{"malformed"}
}

// wrong looks at what no JWT library does: "" is a claim set that can be taken.
// An assertion for two gates could be carried from one to the other, so there is
// one audience. A method nobody knows is a terminal that speaks another language
// than ours, and it is better to hear that at its enrolment.
func (c claims) wrong(now time.Time) (nonce []byte, why string) {
	if c.IssuedAt == nil {
		return nil, "malformed"
	}
	if len(c.Audience) != 1 {
		return nil, "audience"
	}
	if life := c.ExpiresAt.Sub(c.IssuedAt.Time); life <= 0 || life > maxLife {
		return nil, "lifetime"
	}
	if c.Subject != "" && !directory.Wellformed(directory.Canonical(c.Subject)) {
		return nil, "login"
	}
	if len(c.Methods) > maxMethods {
		return nil, "methods"
	}
	for _, m := range c.Methods {
		if _, known := kindOf[m]; !known {
			return nil, "methods"
		}
	}
	if c.AuthAt != nil && c.AuthAt.After(now.Add(leeway)) {
		return nil, "auth_time"
	}
	nonce, err := base64.RawURLEncoding.Strict().DecodeString(c.Nonce)
	if err != nil {
		return nil, "nonce_unknown"
	}
	return nonce, ""
}

// nonceWrong says why a nonce is not one that may be used now, "" for one that
// may. Whether it was used before, only Spend can tell.
func (r *Register) nonceWrong(nonce []byte) string {
	if err := r.tickets.Check(purpose, "", nonce); err != nil {
		return "nonce_" + ticket.Why(err)
	}
	return ""
}

// Spend uses the assertion's nonce up in the caller's transaction: of several
// that carry it, the database lets one through. The register is asked again, for
// a terminal can be lost between two statements. *Refused says no.
func (r *Register) Spend(ctx context.Context, tx *store.Tx, a Assertion) error {
	t, _, err := r.find(ctx, tx, a.Terminal.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return &Refused{"unknown_terminal"}
	case err != nil:
		return err
	case t.Key == "" || t.Key != a.Terminal.Key:
		return &Refused{"changed"}
	case !t.LostAt.IsZero():
		return &Refused{"lost"}
	case t.Zone != a.Terminal.Zone, t.Class != a.Terminal.Class, t.Declared != a.Terminal.Declared:
		return &Refused{"changed"} // what was decided on the former terminal is void
	}
	err = r.tickets.Spend(ctx, tx, purpose, "", a.nonce)
	if errors.Is(err, ticket.ErrInvalid) {
		return &Refused{"nonce_" + ticket.Why(err)}
	}
	if err != nil {
		return fmt.Errorf("spending the nonce of terminal %s: %w", t.ID, err)
	}
	return seen(ctx, tx, t.ID, r.now())
}
