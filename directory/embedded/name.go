package embedded

import (
	"errors"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

var errSyntax = errors.New("not a distinguished name")

// A name is a DN beside its key, in which case, escaping and space no longer
// make a difference. The key of the root is "".
type name struct {
	dn     string
	key    string
	rdn    []ava // of the entry itself
	parent string
}

type ava struct{ attribute, value string }

func parseName(dn string) (name, error) {
	parsed, err := goldap.ParseDN(dn)
	if err != nil {
		return name{}, errSyntax
	}
	n := name{dn: dn}
	parts := make([]string, 0, len(parsed.RDNs))
	for i, rdn := range parsed.RDNs {
		if len(rdn.Attributes) == 0 {
			return name{}, errSyntax
		}
		pieces := make([]string, 0, len(rdn.Attributes))
		for _, a := range rdn.Attributes {
			// A value of space alone is no name: nothing of it would be in the key.
			if !isDescription(a.Type) || foldValue(a.Value) == "" {
				return name{}, errSyntax
			}
			pieces = append(pieces, attributeKey(a.Type)+"="+goldap.EscapeDN(foldValue(a.Value)))
			if i == 0 {
				n.rdn = append(n.rdn, ava{a.Type, a.Value})
			}
		}
		slices.Sort(pieces)
		parts = append(parts, strings.Join(pieces, "+"))
	}
	n.key = strings.Join(parts, ",")
	if len(parts) > 1 {
		n.parent = strings.Join(parts[1:], ",")
	}
	return n, nil
}

// below says whether key lies below base or is base itself.
func below(key, base string) bool {
	return base == "" || key == base || strings.HasSuffix(key, ","+base)
}

// foldValue is caseIgnoreMatch of RFC 4517 section 4.2.11: case folded, NFKC,
// leading and trailing space gone and inner space single.
func foldValue(v string) string {
	if isPlain(v) {
		return strings.ToLower(v)
	}
	return strings.Join(strings.Fields(norm.NFKC.String(cases.Fold().String(norm.NFKC.String(v)))), " ")
}

func isPlain(v string) bool {
	for i := range len(v) {
		if v[i] <= ' ' || v[i] >= 0x7f {
			return false
		}
	}
	return true
}

// aliases are the other names of RFC 4519 that tools still write.
var aliases = map[string]string{
	"commonname": "cn", "surname": "sn", "userid": "uid", "rfc822mailbox": "mail",
	"organizationname": "o", "organizationalunitname": "ou", "domaincomponent": "dc",
}

// attributeKey is an attribute description without case, alias and options.
func attributeKey(description string) string {
	base, _, _ := strings.Cut(description, ";")
	k := strings.ToLower(base)
	if full, ok := aliases[k]; ok {
		return full
	}
	return k
}

// isDescription is RFC 4512 section 2.5, as wide as tools need it: a short name
// or an OID, and options.
func isDescription(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		digit := r >= '0' && r <= '9'
		if !letter && !digit && (i == 0 || r != '-' && r != '.' && r != ';' && r != '_') {
			return false
		}
	}
	return s != ""
}

// Attributes whose values are DNs, and those whose values are bytes.
var (
	holdsNames = map[string]bool{"member": true, "memberof": true, "entrydn": true, "creatorsname": true, "modifiersname": true, "pwdpolicysubentry": true, "manager": true, "owner": true}
	holdsBytes = map[string]bool{"userpassword": true, "pwdhistory": true, "jpegphoto": true}
)

// operational attributes are given only to who asks for them or for "+".
var operational = map[string]bool{
	"entryuuid": true, "entrydn": true, "createtimestamp": true, "modifytimestamp": true, "memberof": true,
	"structuralobjectclass": true, "hassubordinates": true, "creatorsname": true, "modifiersname": true,
	"pwdreset": true, "pwdaccountlockedtime": true, "pwdchangedtime": true, "pwdlastsuccess": true,
	"pwdfailuretime": true, "pwdhistory": true, "pwdpolicysubentry": true, "authtimestamp": true,
	"pwdendtime": true, "pwdstarttime": true, "entryttl": true, "entryexpiretimestamp": true,
}

// readOnly attributes are the server's own.
var readOnly = map[string]bool{
	"entryuuid": true, "entrydn": true, "createtimestamp": true, "modifytimestamp": true, "memberof": true,
	"structuralobjectclass": true, "hassubordinates": true, "creatorsname": true, "modifiersname": true,
	"pwdchangedtime": true, "pwdlastsuccess": true, "pwdhistory": true,
	"entryttl": true, "entryexpiretimestamp": true,
}

// valueKey is what two equal values of an attribute have in common.
func valueKey(attribute, value string) string {
	switch {
	case holdsBytes[attribute]:
		return value
	case holdsNames[attribute]:
		if n, err := parseName(value); err == nil {
			return n.key
		}
	}
	return foldValue(value)
}
