package ldap

import (
	"fmt"
	"regexp"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/text/unicode/norm"

	"sekisho/directory"
	"sekisho/directory/schema"
)

// Names come from strangers. In a filter a value is escaped by RFC 4515, in a DN
// by RFC 4514, and neither escaper will do for the other: OpenBao CVE-2026-55770
// is what happens otherwise.

var entryUUID = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

func equals(attribute, value string) string {
	return "(" + attribute + "=" + goldap.EscapeFilter(value) + ")"
}

// among is the filter of a search below the people base: people who match, and
// the base itself as a witness that the answer was one.
func among(s *schema.Schema, peopleDN, match string) string {
	return "(|(&" + equals("objectClass", s.PersonClass) + match + ")" + equals(s.EntryDN, peopleDN) + ")"
}

// named is the filter for a canonical login or mail address. An address is also
// looked for as a login; a login is no address.
func named(s *schema.Schema, canonical string) string {
	if !strings.Contains(canonical, "@") {
		return equals(s.Login, canonical)
	}
	return "(|" + equals(s.Login, canonical) + equals(s.Mail, canonical) + ")"
}

// personDN is where a new login will live.
func personDN(s *schema.Schema, peopleDN, login string) string {
	return s.Naming + "=" + goldap.EscapeDN(login) + "," + peopleDN
}

// within reads a DN and refuses one that does not lie below base.
func within(base *goldap.DN, dn string) (*goldap.DN, error) {
	if !directory.Wellformed(dn) {
		return nil, fmt.Errorf("reading a DN: %w", directory.ErrMalformed)
	}
	parsed, err := goldap.ParseDN(dn)
	if err != nil {
		return nil, fmt.Errorf("reading a DN: %w: %w", directory.ErrMalformed, err)
	}
	for _, rdn := range parsed.RDNs {
		for _, a := range rdn.Attributes {
			if !directory.Wellformed(a.Value) { // \00 and its like
				return nil, fmt.Errorf("reading a DN: %w", directory.ErrMalformed)
			}
		}
	}
	if !base.AncestorOfFold(parsed) {
		return nil, fmt.Errorf("reading a DN: %w: it does not lie below %s", directory.ErrMalformed, base)
	}
	return parsed, nil
}

// typedDN is a name that was typed as a DN, in the half-width form a directory
// knows. Spaces inside a value belong to it and stay.
func typedDN(typed string) (string, bool) {
	dn := strings.TrimSpace(norm.NFKC.String(typed))
	if len(dn) > directory.MaxNameLength || !strings.Contains(dn, "=") {
		return "", false
	}
	_, err := goldap.ParseDN(dn)
	return dn, err == nil
}
