package card

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"unicode"
	"unicode/utf8"
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
// exactly one: a certificate that names two persons is nobody's.
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
	if name == "" || len(name) > maxSubject || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", false
	}
	return name, true
}

func attributes(n pkix.Name, oid asn1.ObjectIdentifier) []string {
	var out []string
	for _, a := range n.Names {
		if text, ok := a.Value.(string); ok && a.Type.Equal(oid) {
			out = append(out, text)
		}
	}
	return out
}

// principals are the otherName entries of the subject's alternative names that
// hold a user principal name, which crypto/x509 does not read (RFC 5280, section
// 4.2.1.6).
func principals(c *x509.Certificate) []string {
	var out []string
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidAlternative) {
			continue
		}
		var names asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 || !names.IsCompound {
			return nil
		}
		for rest := names.Bytes; len(rest) > 0; {
			var name asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &name); err != nil {
				return nil
			}
			if name.Class != asn1.ClassContextSpecific || name.Tag != 0 {
				continue
			}
			var kind asn1.ObjectIdentifier
			value, err := asn1.Unmarshal(name.Bytes, &kind)
			if err != nil || !kind.Equal(oidPrincipalName) {
				continue
			}
			var held struct {
				Text string `asn1:"utf8"`
			}
			var wrapped asn1.RawValue
			if _, err := asn1.Unmarshal(value, &wrapped); err != nil {
				continue
			}
			if _, err := asn1.UnmarshalWithParams(wrapped.Bytes, &held.Text, "utf8"); err == nil {
				out = append(out, held.Text)
			}
		}
	}
	return out
}
