package token

import (
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// The types of tokens beside assertions. A token of one type is never taken for
// another (RFC 8725 section 3.11).
const (
	TypeID     = "JWT"        // OpenID Connect Core section 2 names none; this is what clients expect
	TypeAccess = "at+jwt"     // RFC 9068 section 2.1
	TypeLogout = "logout+jwt" // OpenID Connect Back-Channel Logout section 2.4
)

// Sign signs claims as a token of the given type. What the claims must be is for
// the caller to know.
func (k *Keys) Sign(typ string, claims jwt.MapClaims) (string, error) {
	if typ == "" || typ == assertionType || claims["iss"] == nil || claims["exp"] == nil {
		return "", errors.New("a token needs a type of its own, an issuer and an end")
	}
	return k.sign(typ, claims)
}

// Read verifies a token of the given type that these keys signed, and returns
// its claims. Where past is true its end may have come: a token that only says
// whom somebody means (id_token_hint) is as good afterwards. An error that is not
// ErrNotOurs is an answer that could not be had.
func (k *Keys) Read(signed, typ, issuer string, past bool) (jwt.MapClaims, error) {
	options := []jwt.ParserOption{jwt.WithValidMethods([]string{"ES256"})}
	if past {
		options = append(options, jwt.WithoutClaimsValidation())
	} else {
		options = append(options, jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithTimeFunc(k.now))
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(signed, claims, func(t *jwt.Token) (any, error) {
		return k.public(t, typ)
	}, options...)
	if err != nil {
		return nil, unverified(err)
	}
	if claims["iss"] != issuer {
		return nil, ErrNotOurs
	}
	return claims, nil
}
