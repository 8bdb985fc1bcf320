package ldap

import (
	"fmt"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/text/unicode/norm"

	"sekisho/directory"
	"sekisho/directory/schema"
)

// Names come from strangers. In a filter a value is escaped by RFC 4515, in a DN
// by RFC 4514, and neither escaper will do for the other: OpenBao CVE-2026-55770
// is what happens otherwise.

func equals(attribute, value string) string {
	return "(" + attribute + "=" + goldap.EscapeFilter(value) + ")"
}

// equalsBytes is equals for a value that may be of any bytes.
func equalsBytes(attribute, value string) string {
	var b strings.Builder
	b.WriteString("(" + attribute + "=")
	for i := range len(value) {
		fmt.Fprintf(&b, `\%02x`, value[i])
	}
	return b.String() + ")"
}

// among is the filter of a search below the people base: people who match, and
// the base itself as a witness that the answer was one.
func among(s *schema.Schema, peopleDN, match string) string {
	return "(|(&" + equals(s.Mark.Attribute, s.Mark.Value) + match + ")" + equals(s.EntryDN, peopleDN) + ")"
}

// named is the filter for a canonical login or address. An address is also
// looked for as a login; a login is no address. Where people have a principal
// name, a login with the domain's own name behind it is one, whatever else they
// were given.
func named(s *schema.Schema, domain, canonical string) string {
	login, at, address := strings.Cut(canonical, "@")
	if !address {
		return equals(s.Login, canonical)
	}
	match := "(|" + equals(s.Login, canonical)
	for _, alias := range s.Aliases() {
		match += equals(alias, canonical)
	}
	if s.Principal != "" && login != "" && at == domain {
		match += equals(s.Login, login)
	}
	return match + ")"
}

// domainOf is the DNS name in the components dc of a DN, and the DN of those
// alone.
func domainOf(dn *goldap.DN) (name, head string) {
	var labels, rdns []string
	for _, rdn := range dn.RDNs {
		if len(rdn.Attributes) == 1 && strings.EqualFold(rdn.Attributes[0].Type, "dc") {
			labels = append(labels, rdn.Attributes[0].Value)
			rdns = append(rdns, "dc="+goldap.EscapeDN(rdn.Attributes[0].Value))
		}
	}
	return directory.Canonical(strings.Join(labels, ".")), strings.Join(rdns, ",")
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

// person reads a DN and refuses one that is not of the people: below their base,
// and not where IDs are lent.
func (d *Directory) person(dn string) (*goldap.DN, error) {
	parsed, err := within(d.people, dn)
	if err == nil && d.isLent(parsed) {
		return nil, fmt.Errorf("reading a DN: %w: IDs that are lent are no people", directory.ErrMalformed)
	}
	return parsed, err
}

// isLent reports whether an entry lies where IDs are lent, and that is not what
// this client is for.
func (d *Directory) isLent(dn *goldap.DN) bool {
	return !d.lent.EqualFold(d.people) && (d.lent.AncestorOfFold(dn) || d.lent.EqualFold(dn))
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
