package card

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"sekisho/policy"
)

// Read checks a certificate chain, leaf first. ErrNone: there is none. A
// *Refused says why it is not good in this zone.
func (r *Reader) Read(_ context.Context, chain []*x509.Certificate, zone policy.ZoneID) (Card, error) {
	switch {
	case len(chain) == 0:
		return Card{}, ErrNone
	case len(chain) > maxChain:
		return Card{}, &Refused{"chain_too_long"}
	}
	leaf, now := chain[0], r.now()
	if !policy.StrongKey(leaf.PublicKey) {
		return Card{}, &Refused{"weak_key"}
	}
	a, paths, why := issuedBy(r.pol().Cards, leaf, chain[1:], now)
	if why == "" {
		why = unfit(a, leaf, zone)
	}
	// There may be several ways up to the authority. What one of them condemns is
	// not saved by another, so that nobody chooses by what they send along.
	for i := 0; i < len(paths) && why == ""; i++ {
		why = vouched(paths[i], a.PolicyOIDs)
	}
	if why == "" {
		why = r.standing(a.ID, paths, now)
	}
	if why != "" {
		return Card{}, &Refused{why}
	}
	subject, ok := named(leaf, a.Subject)
	if !ok {
		return Card{}, &Refused{"names_nobody"}
	}
	return cardOf(a, leaf, subject), nil
}

func cardOf(a policy.CardAuthority, leaf *x509.Certificate, subject string) Card {
	sum := sha256.Sum256(leaf.Raw)
	c := Card{
		ID: hex.EncodeToString(sum[:]), Authority: a.ID, Subject: subject, Match: a.Match,
		Serial: leaf.SerialNumber.Text(16), NotAfter: leaf.NotAfter,
	}
	if c.Match == "" {
		c.Match = policy.CardMatchLogin
	}
	if c.name = a.Name.In("ja"); c.name == "" {
		c.name = a.ID
	}
	// A renewed card stands beside the old one in its owner's list.
	c.name += " " + strings.ToUpper(c.Serial[max(0, len(c.Serial)-6):])
	return c
}

// issuedBy finds the first authority that has signed the certificate, and every
// way up to it; or why there is none.
func issuedBy(authorities []policy.CardAuthority, leaf *x509.Certificate, issuers []*x509.Certificate, now time.Time) (policy.CardAuthority, [][]*x509.Certificate, string) {
	between := x509.NewCertPool()
	for _, c := range issuers {
		between.AddCert(c)
	}
	why := "unknown_authority"
	for _, a := range authorities {
		signers, err := policy.Authority(a.CA)
		if err != nil { // policy.Parse takes none such
			continue
		}
		anchors := x509.NewCertPool()
		for _, c := range signers {
			anchors.AddCert(c)
		}
		paths, err := leaf.Verify(x509.VerifyOptions{
			Roots: anchors, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err == nil && len(paths) > 0 {
			return a, paths, ""
		}
		// Several authorities say several things; the first that says more than
		// that it does not know the card is worth keeping.
		if why == "unknown_authority" {
			why = unverified(err)
		}
	}
	return policy.CardAuthority{}, nil, why
}

func unverified(err error) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return "unknown_authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "expired"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "not_for_clients"
	}
	return "invalid"
}

// unfit is why a certificate of an authority is no card that counts here.
func unfit(a policy.CardAuthority, leaf *x509.Certificate, zone policy.ZoneID) string {
	switch {
	case leaf.IsCA:
		return "is_an_authority"
	// A certificate that does not say what it may be used for says nothing of
	// clients either; Verify takes it for any use. A card's second pair, which
	// opens mail, does not sign its holder in.
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth),
		leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return "not_for_clients"
	case len(a.Zones) > 0 && !slices.Contains(a.Zones, zone):
		return "not_in_this_zone"
	}
	return ""
}

// vouched is why nobody vouches that a card's key lies behind a PIN: it names
// none of the policies that say so, or an authority between was not itself given
// the policy it hands on. Without that any office below ours could call its
// software certificates cards (RFC 5280, section 6.1.3; crypto/x509 does not ask
// for an explicit policy). And a key between that can be found out makes cards.
func vouched(path []*x509.Certificate, oids []string) string {
	if slices.ContainsFunc(path, func(c *x509.Certificate) bool { return !policy.StrongKey(c.PublicKey) }) {
		return "weak_key"
	}
	between := path[1 : len(path)-1] // the last is the authority, whom our own policy trusts
	for _, named := range path[0].Policies {
		if !slices.Contains(oids, named.String()) || named.Equal(anyPolicy) {
			continue
		}
		lacks := func(c *x509.Certificate) bool {
			return !slices.ContainsFunc(c.Policies, func(o x509.OID) bool { return o.Equal(named) || o.Equal(anyPolicy) })
		}
		if !slices.ContainsFunc(between, lacks) {
			return ""
		}
	}
	return "policy"
}

// anyPolicy is every policy and none in particular (RFC 5280, section 4.2.1.4).
var anyPolicy = func() x509.OID {
	oid, err := x509.OIDFromInts([]uint64{2, 5, 29, 32, 0})
	if err != nil {
		panic(err) // a constant
	}
	return oid
}()
