package card

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidCommonName    = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSerialNumber  = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidUserID        = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1} // RFC 4519, section 2.39
	oidAlternative   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidPrincipalName = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}
)

// maxSubject is the longest name of a person, in bytes.
const maxSubject = 256

// named is who a certificate names by one of policy.CardSubjects. There must be
// exactly one: a certificate that names two persons is nobody's, and so is one
// of which a name cannot be read.
func named(c *x509.Certificate, by string) (string, bool) {
	var all []string
	switch by {
	case "common_name":
		all = attributes(c.Subject, oidCommonName)
	case "serial_number":
		all = attributes(c.Subject, oidSerialNumber)
	case "user_id":
		all = attributes(c.Subject, oidUserID)
	case "email":
		all = c.EmailAddresses
	case "principal_name":
		all = principals(c)
	}
	if len(all) != 1 {
		return "", false
	}
	name := strings.TrimSpace(all[0])
	unseen := func(r rune) bool { return unicode.Is(unicode.C, r) || r == utf8.RuneError }
	if name == "" || len(name) > maxSubject || strings.ContainsFunc(name, unseen) {
		return "", false
	}
	return name, true
}

// attributes are the values of one kind in a name; what is no text counts as "".
func attributes(n pkix.Name, oid asn1.ObjectIdentifier) []string {
	var out []string
	for _, a := range n.Names {
		if a.Type.Equal(oid) {
			text, _ := a.Value.(string)
			out = append(out, text)
		}
	}
	return out
}

// principals are the otherName entries of the subject's alternative names that
// hold a user principal name, which crypto/x509 does not read (RFC 5280, section
// 4.2.1.6). One that is not UTF-8 text counts as "".
func principals(c *x509.Certificate) []string {
	var out []string
	wrapped := tags.Tag(0).Constructed().ContextSpecific()
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidAlternative) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var names cryptobyte.String
		if !in.ReadASN1(&names, tags.SEQUENCE) || !in.Empty() {
			return nil
		}
		for !names.Empty() {
			var name, value, text cryptobyte.String
			var tag tags.Tag
			var kind asn1.ObjectIdentifier
			if !names.ReadAnyASN1(&name, &tag) {
				return nil
			}
			if tag != wrapped || !name.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidPrincipalName) {
				continue
			}
			if !name.ReadASN1(&value, wrapped) || !name.Empty() || !value.ReadASN1(&text, tags.UTF8String) || !value.Empty() {
				text = nil
			}
			out = append(out, string(text))
		}
	}
	return out
}
