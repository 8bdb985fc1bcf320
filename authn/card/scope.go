package card

import (
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidDelta        = asn1.ObjectIdentifier{2, 5, 29, 27} // deltaCRLIndicator
	oidScope        = asn1.ObjectIdentifier{2, 5, 29, 28} // issuingDistributionPoint
	oidDistribution = asn1.ObjectIdentifier{2, 5, 29, 31} // cRLDistributionPoints
)

// covers reports whether a certificate that is not on the list is therefore not
// revoked. An authority may publish in parts, and a part says nothing about who
// belongs to another (RFC 5280, sections 5.2.4, 5.2.5 and 6.3.3). What a
// critical extension means that we do not know, we do not guess.
func covers(l *x509.RevocationList, cert *x509.Certificate) bool {
	for _, e := range l.Extensions {
		switch {
		case e.Id.Equal(oidScope):
			if !inScope(e.Value, cert) {
				return false
			}
		case e.Critical, e.Id.Equal(oidDelta):
			return false
		}
	}
	return true
}

// inScope reads an issuingDistributionPoint.
func inScope(der []byte, cert *x509.Certificate) bool {
	var scope, point, flag cryptobyte.String
	var pointed, users, authorities, reasons, indirect, attributes bool
	in := cryptobyte.String(der)
	if !in.ReadASN1(&scope, tags.SEQUENCE) || !in.Empty() ||
		!scope.ReadOptionalASN1(&point, &pointed, tags.Tag(0).Constructed().ContextSpecific()) ||
		!scope.ReadOptionalASN1(&flag, &users, tags.Tag(1).ContextSpecific()) ||
		!scope.ReadOptionalASN1(&flag, &authorities, tags.Tag(2).ContextSpecific()) ||
		!scope.ReadOptionalASN1(&flag, &reasons, tags.Tag(3).ContextSpecific()) ||
		!scope.ReadOptionalASN1(&flag, &indirect, tags.Tag(4).ContextSpecific()) ||
		!scope.ReadOptionalASN1(&flag, &attributes, tags.Tag(5).ContextSpecific()) || !scope.Empty() {
		return false
	}
	// A flag that is there is TRUE: FALSE is the default and not written in DER.
	switch {
	case reasons, indirect, attributes, users && cert.IsCA, authorities && !cert.IsCA:
		return false
	case !pointed:
		return true
	}
	here, ok := pointNames(point)
	if !ok {
		return false
	}
	for name := range places(cert) {
		if here[name] {
			return true
		}
	}
	return false
}

// pointNames are the full names of a distribution point, each as its DER.
func pointNames(point cryptobyte.String) (map[string]bool, bool) {
	var names cryptobyte.String
	if !point.ReadASN1(&names, tags.Tag(0).Constructed().ContextSpecific()) || !point.Empty() {
		return nil, false // relative to its issuer: rare, and not read
	}
	out := make(map[string]bool)
	for !names.Empty() {
		var name cryptobyte.String
		var tag tags.Tag
		if !names.ReadAnyASN1Element(&name, &tag) {
			return nil, false
		}
		out[string(name)] = true
	}
	return out, true
}

// places are where a certificate says that lists about it are, for every reason
// and by its own issuer.
func places(cert *x509.Certificate) map[string]bool {
	out := make(map[string]bool)
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidDistribution) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var points cryptobyte.String
		if !in.ReadASN1(&points, tags.SEQUENCE) {
			return nil
		}
		for !points.Empty() {
			var one, point cryptobyte.String
			var pointed bool
			if !points.ReadASN1(&one, tags.SEQUENCE) || !one.ReadOptionalASN1(&point, &pointed, tags.Tag(0).Constructed().ContextSpecific()) {
				return nil
			}
			if !pointed || !one.Empty() {
				continue
			}
			names, _ := pointNames(point)
			for name := range names {
				out[name] = true
			}
		}
	}
	return out
}
