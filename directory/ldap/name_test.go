package ldap

import (
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/schema"
)

const testPeople = "ou=people,dc=pref,dc=example"

var oddNames = []string{
	"taro", "taro@pref.example", "*", "*)(uid=*", "taro)(|(uid=*", `\2a`, `\`, "a\x00b", "\x00", "(", ")", "&", "|", "!", "=",
	"ａ", "関所", "a,b", `a\,b`, "a+b=c", "#a", " a", "a ", `"a"`, "<a>", ";", "\xff", "a@b)(mail=*", "uid=x," + testPeople,
	strings.Repeat("(", 1000), "ﬁ", "İ", "ß", "\u200b",
}

// FuzzFilterEscape: whatever is typed, the filter has exactly the shape that
// was meant, and what was typed is in it as a value and nothing else.
func FuzzFilterEscape(f *testing.F) {
	for _, name := range oddNames {
		f.Add(name)
	}
	s, _ := schema.Named("openldap")
	f.Fuzz(func(t *testing.T, typed string) {
		canonical := directory.Canonical(typed)
		if !directory.Wellformed(canonical) {
			return
		}
		p, err := goldap.CompileFilter(among(&s, testPeople, named(&s, "pref.example", canonical)))
		if err != nil {
			t.Fatalf("%q: %v", typed, err)
		}
		shape(t, p, goldap.FilterOr, 2)
		shape(t, p.Children[0], goldap.FilterAnd, 2)
		isEqual(t, p.Children[0].Children[0], "objectClass", "inetOrgPerson")
		isEqual(t, p.Children[1], "entryDN", testPeople)
		match := p.Children[0].Children[1]
		if strings.Contains(canonical, "@") {
			shape(t, match, goldap.FilterOr, 2)
			isEqual(t, match.Children[0], "uid", canonical)
			isEqual(t, match.Children[1], "mail", canonical)
		} else {
			isEqual(t, match, "uid", canonical)
		}
	})
}

func shape(t *testing.T, p *ber.Packet, tag ber.Tag, children int) {
	t.Helper()
	if p.Tag != tag || len(p.Children) != children {
		t.Fatalf("filter of tag %d with %d parts, want tag %d with %d", p.Tag, len(p.Children), tag, children)
	}
}

func isEqual(t *testing.T, p *ber.Packet, attribute, value string) {
	t.Helper()
	shape(t, p, goldap.FilterEqualityMatch, 2)
	if p.Children[0].Value != attribute || p.Children[1].Value != value {
		t.Fatalf("(%v=%v), want (%s=%s)", p.Children[0].Value, p.Children[1].Value, attribute, value)
	}
}

// FuzzDNEscape: a login becomes one value of one RDN right below the people,
// whatever it is made of.
func FuzzDNEscape(f *testing.F) {
	for _, name := range oddNames {
		f.Add(name)
	}
	s, _ := schema.Named("openldap")
	d := &Directory{plan: &plan{schema: s}}
	people, err := goldap.ParseDN(testPeople)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		login := directory.Canonical(typed)
		if d.creatable(directory.NewPerson{Login: login, Name: "x", Kind: directory.KindStaff}) != nil {
			return
		}
		dn := personDN(&s, testPeople, login)
		parsed, err := goldap.ParseDN(dn)
		if err != nil {
			t.Fatalf("%q: %v", dn, err)
		}
		if len(parsed.RDNs) != len(people.RDNs)+1 || len(parsed.RDNs[0].Attributes) != 1 ||
			parsed.RDNs[0].Attributes[0].Type != "uid" || parsed.RDNs[0].Attributes[0].Value != login {
			t.Fatalf("%q reads back as %v", dn, parsed)
		}
		if _, err := within(people, dn); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzTypedDN: what passes for a DN below the people base is one.
func FuzzTypedDN(f *testing.F) {
	for _, name := range append(oddNames, "uid=a+cn=b,"+testPeople, `uid=\00,`+testPeople, "ＵＩＤ＝ａ，"+testPeople, testPeople, "cn=admin,dc=pref,dc=example") {
		f.Add(name)
	}
	people, err := goldap.ParseDN(testPeople)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		dn, ok := typedDN(typed)
		if !ok {
			return
		}
		parsed, err := within(people, dn)
		if err != nil {
			return
		}
		if !people.AncestorOfFold(parsed) || people.EqualFold(parsed) || strings.ContainsRune(dn, 0) {
			t.Fatalf("%q passes for a person's DN", dn)
		}
	})
}
