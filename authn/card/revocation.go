package card

import (
	"bytes"
	"crypto/x509"
	"slices"
	"sync"
	"time"
)

// standing asks the lists of an authority about every certificate of each path
// but the last, which is the policy's own. "" is: nothing is known against any.
func (r *Reader) standing(authority string, paths [][]*x509.Certificate, now time.Time) string {
	if r.lists == nil {
		return "no_revocation_list"
	}
	lists, err := r.lists.For(authority)
	if err != nil {
		return "no_revocation_list"
	}
	for _, path := range paths {
		for i, c := range path[:len(path)-1] {
			answer := r.asked(authority, lists, c, path[i+1], now)
			// The leaf's own list is required; that of an authority between
			// counts where there is one.
			if answer == "no_revocation_list" && i > 0 {
				continue
			}
			if answer != "" {
				return answer
			}
		}
	}
	return ""
}

func (r *Reader) asked(authority string, lists []*x509.RevocationList, c, issuer *x509.Certificate, now time.Time) string {
	answer := "no_revocation_list"
	for _, l := range lists {
		if !bytes.Equal(l.RawIssuer, issuer.RawSubject) || !r.signed.by(authority, lists, l, issuer) {
			continue
		}
		if slices.ContainsFunc(l.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
			return e.SerialNumber.Cmp(c.SerialNumber) == 0 && e.ReasonCode != removeFromCRL
		}) {
			return "revoked" // also on a list that is old, or of a part
		}
		switch {
		case !covers(l, c):
		case Fresh(l, now):
			answer = ""
		case answer != "":
			answer = "revocation_list_old"
		}
	}
	return answer
}

// removeFromCRL is the reason that takes a certificate off hold (RFC 5280,
// section 5.3.1).
const removeFromCRL = 8

// Fresh reports whether a list's own time is now. One without an end, which RFC
// 5280 forbids (section 5.1.2.5), would be good for ever, and is not.
func Fresh(l *x509.RevocationList, now time.Time) bool {
	return !now.Before(l.ThisUpdate) && now.Before(l.NextUpdate)
}

// Signed reports whether an authority has signed a list, with something better
// than SHA-1, which crypto/x509 still takes for lists.
func Signed(l *x509.RevocationList, by *x509.Certificate) bool {
	switch l.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
		return l.CheckSignatureFrom(by) == nil
	}
	return false
}

// signatures remembers who has signed which list: a list can be large, and is
// the same for a day.
type signatures struct {
	mu sync.Mutex
	of map[string]*verified // by authority
}

type verified struct {
	lists  []*x509.RevocationList // what the answers are about; others are forgotten
	answer map[signature]bool
}

type signature struct {
	list   *x509.RevocationList
	issuer string // its certificate
}

// maxSignatures bounds what is remembered of one authority. An issuer that comes
// to be asked about has been verified, so strangers do not fill it.
const maxSignatures = 256

func (s *signatures) by(authority string, lists []*x509.RevocationList, l *x509.RevocationList, issuer *x509.Certificate) bool {
	asked := signature{l, string(issuer.Raw)}
	s.mu.Lock()
	known := s.of[authority]
	if known == nil || !slices.Equal(known.lists, lists) || len(known.answer) >= maxSignatures {
		known = &verified{slices.Clone(lists), make(map[signature]bool)}
		if s.of == nil {
			s.of = make(map[string]*verified)
		}
		s.of[authority] = known
	}
	good, ok := known.answer[asked]
	s.mu.Unlock()
	if ok {
		return good
	}
	good = Signed(l, issuer) // outside the lock: others need not wait for a large one
	s.mu.Lock()
	known.answer[asked] = good
	s.mu.Unlock()
	return good
}
