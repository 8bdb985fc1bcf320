// Package card reads IC cards: client certificates whose key lies behind a PIN.
//
// That a certificate came at all means that its key has signed: TLS has seen to
// it, here or at a trusted proxy. What the certificate is worth is decided here:
// its authority, the policy it names (which says that the key lies behind a
// PIN), its dates, whether it was revoked, and whom it names. Who that is in the
// directory, and whether they may use anything, is signin's to ask.
//
// What cannot be known refuses: an authority without a fresh revocation list has
// no good cards.
package card

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Card is a certificate that was checked.
type Card struct {
	ID        string // SHA-256 of the certificate, hex
	Authority string // id in policy.cards
	Subject   string // who it names, as a login or an address
	Match     string // policy.CardMatchLogin or CardMatchMail
	Serial    string // of the certificate, hex
	NotAfter  time.Time
	name      string // what its owner sees it called
}

// Refused means that a card is not taken. Why is for the trail.
type Refused struct{ Why string }

func (r *Refused) Error() string { return "the card is refused: " + r.Why }

// ErrNone means that the request came with no card.
var ErrNone = errors.New("no card")

// Lists gives the revocation lists of an authority, as they are now.
type Lists interface {
	For(authority string) ([]*x509.RevocationList, error)
}

// Reader checks cards.
type Reader struct {
	db    *store.DB
	lists Lists
	now   clock.Now
	pol   func() *policy.Policy
}

// New makes a Reader. lists may be nil: then no card is good.
func New(db *store.DB, lists Lists, now clock.Now, pol func() *policy.Policy) *Reader {
	return &Reader{db, lists, now, pol}
}

// Read checks a certificate chain, leaf first. ErrNone: there is none. A
// *Refused says why it is not good in this zone.
func (r *Reader) Read(_ context.Context, chain []*x509.Certificate, zone policy.ZoneID) (Card, error) {
	if len(chain) == 0 {
		return Card{}, ErrNone
	}
	leaf := chain[0]
	if !policy.StrongKey(leaf.PublicKey) {
		return Card{}, &Refused{"weak_key"}
	}
	var last error = &Refused{"unknown_authority"}
	for _, a := range r.pol().Cards {
		if len(a.Zones) > 0 && !slices.Contains(a.Zones, zone) {
			last = firstOf(last, &Refused{"not_in_this_zone"})
			continue
		}
		path, why := r.path(a, chain)
		if why != "" {
			last = firstOf(last, &Refused{why})
			continue
		}
		// The first authority that has signed it is the one that decides.
		return r.good(a, leaf, path)
	}
	return Card{}, last
}

// firstOf keeps the first reason that says more than that nobody knows the card.
func firstOf(old, new error) error {
	var o *Refused
	if errors.As(old, &o) && o.Why == "unknown_authority" {
		return new
	}
	return old
}

// path is the chain from the leaf to one of an authority's certificates, or why
// there is none.
func (r *Reader) path(a policy.CardAuthority, chain []*x509.Certificate) ([]*x509.Certificate, string) {
	signers, err := policy.Authority(a.CA)
	if err != nil { // policy.Parse takes none such
		return nil, "unknown_authority"
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range signers {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	paths, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: r.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil && len(paths) > 0:
		return paths[0], ""
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return nil, "expired"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return nil, "not_for_clients"
	case errors.As(err, &unknown):
		return nil, "unknown_authority"
	}
	return nil, "invalid"
}

// good asks the rest of a certificate whose authority is known.
func (r *Reader) good(a policy.CardAuthority, leaf *x509.Certificate, path []*x509.Certificate) (Card, error) {
	if leaf.IsCA {
		return Card{}, &Refused{"is_an_authority"}
	}
	// A certificate that does not say what it may be used for says nothing of
	// clients either; Verify takes it for any use.
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return Card{}, &Refused{"not_for_clients"}
	}
	if !slices.ContainsFunc(leaf.Policies, func(o x509.OID) bool { return slices.Contains(a.PolicyOIDs, o.String()) }) {
		return Card{}, &Refused{"policy"}
	}
	if why := r.revoked(a, path); why != "" {
		return Card{}, &Refused{why}
	}
	subject, ok := named(leaf, a.Subject)
	if !ok {
		return Card{}, &Refused{"names_nobody"}
	}
	match := a.Match
	if match == "" {
		match = policy.CardMatchLogin
	}
	sum := sha256.Sum256(leaf.Raw)
	name := a.Name.In("ja")
	if name == "" {
		name = a.ID
	}
	return Card{
		ID: hex.EncodeToString(sum[:]), Authority: a.ID, Subject: subject, Match: match,
		Serial: leaf.SerialNumber.Text(16), NotAfter: leaf.NotAfter, name: name,
	}, nil
}

// revoked asks the lists of an authority about every certificate of the path but
// the last, which is the policy's own. "" is: all of them are good.
func (r *Reader) revoked(a policy.CardAuthority, path []*x509.Certificate) string {
	if r.lists == nil {
		return "no_revocation_list"
	}
	lists, err := r.lists.For(a.ID)
	if err != nil {
		return "no_revocation_list"
	}
	for i, c := range path[:len(path)-1] {
		answer := r.asked(lists, c, path[i+1])
		// The leaf's own list is required; that of an authority between counts
		// where there is one.
		if answer == "no_revocation_list" && i > 0 {
			continue
		}
		if answer != "" {
			return answer
		}
	}
	return ""
}

func (r *Reader) asked(lists []*x509.RevocationList, c, issuer *x509.Certificate) string {
	answer, now := "no_revocation_list", r.now()
	for _, l := range lists {
		if !slices.Equal(l.RawIssuer, issuer.RawSubject) || l.CheckSignatureFrom(issuer) != nil {
			continue
		}
		for _, e := range l.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(c.SerialNumber) == 0 && e.ReasonCode != removeFromCRL {
				return "revoked" // also on a list that is old
			}
		}
		switch {
		case now.Before(l.ThisUpdate), l.NextUpdate.IsZero(), !now.Before(l.NextUpdate):
			if answer != "" {
				answer = "revocation_list_old"
			}
		default:
			answer = ""
		}
	}
	return answer
}

// removeFromCRL is the reason that takes a certificate off hold (RFC 5280,
// section 5.3.1).
const removeFromCRL = 8

// String does not print whom a card names: it goes to logs.
func (c Card) String() string { return fmt.Sprintf("card %.16s of %s", c.ID, c.Authority) }
