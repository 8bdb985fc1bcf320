package card_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"sekisho/authn/card/cardtest"
	"sekisho/policy"
)

// TestSubjects: whom a card names, by each of the parts that can name a person,
// and everything by which it names nobody for certain.
func TestSubjects(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	cn, uid := asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	names := func(oid asn1.ObjectIdentifier, values ...any) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject = pkix.Name{}
			for _, v := range values {
				c.Subject.ExtraNames = append(c.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: oid, Value: v})
			}
		}
	}
	mails := func(of ...string) func(*x509.Certificate) { return func(c *x509.Certificate) { c.EmailAddresses = of } }
	plain := func(*x509.Certificate) {}
	for _, tt := range []struct {
		name, by string
		change   func(*x509.Certificate)
		want     string
	}{
		{"one name", "common_name", plain, "tanaka"},
		{"a name in Japanese", "common_name", names(cn, "田中 美咲"), "田中 美咲"},
		{"a name in a field of fixed length", "common_name", names(cn, "tanaka    "), "tanaka"},
		{"no name", "common_name", names(cn), ""},
		{"two names", "common_name", names(cn, "tanaka", "yoshida"), ""},
		{"one name twice", "common_name", names(cn, "tanaka", "tanaka"), ""},
		{"blanks", "common_name", names(cn, "  "), ""},
		{"a line break", "common_name", names(cn, "tana\nka"), ""},
		{"a zero", "common_name", names(cn, "tanaka\x00.example"), ""},
		{"text that turns around", "common_name", names(cn, "tanaka\u202eadihsoy"), ""},
		{"a joiner of no width", "common_name", names(cn, "tana\u200dka"), ""},
		{"a letter that was lost", "common_name", names(cn, "tana\ufffdka"), ""},
		{"a long name", "common_name", names(cn, strings.Repeat("a", 256)), strings.Repeat("a", 256)},
		{"too long a name", "common_name", names(cn, strings.Repeat("a", 257)), ""},
		{"a serial number", "serial_number", plain, "S-tanaka"},
		{"no serial number", "serial_number", names(cn, "tanaka"), ""},
		{"a user id", "user_id", names(uid, "tanaka"), "tanaka"},
		{"no user id", "user_id", plain, ""},
		{"an address", "email", plain, "tanaka@pref.example"},
		{"two addresses", "email", mails("tanaka@pref.example", "yoshida@pref.example"), ""},
		{"no address", "email", mails(), ""},
		{"an address in the subject alone", "email", func(c *x509.Certificate) {
			names(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, "tanaka@pref.example")(c)
			c.EmailAddresses = nil
		}, ""},
		{"a principal", "principal_name", cardtest.Principals(t, "utf8", "tanaka@pref.local"), "tanaka@pref.local"},
		{"no principal", "principal_name", plain, ""},
		{"two principals", "principal_name", cardtest.Principals(t, "utf8", "tanaka@pref.local", "yoshida@pref.local"), ""},
		{"a principal that is no UTF-8 text", "principal_name", cardtest.Principals(t, "ia5", "tanaka@pref.local"), ""},
		{"a principal with a control character", "principal_name", cardtest.Principals(t, "utf8", "tanaka\t"), "tanaka"},
		{"a principal with one inside", "principal_name", cardtest.Principals(t, "utf8", "tana\tka"), ""},
		{"a part nobody knows", "hair", plain, ""},
		{"no part", "", plain, ""},
	} {
		d.policy.Cards[0].Subject = tt.by
		c, why := d.read(t, d.Issue("tanaka", tt.change))
		if c.Subject != tt.want || tt.want == "" && why != "names_nobody" {
			t.Errorf("%s: %q, refused for %q; want %q", tt.name, c.Subject, why, tt.want)
		}
	}
}

// TestOneReadablePrincipalIsNotTheOnlyOne: of two names, one that cannot be read
// is still a second one.
func TestOneReadablePrincipalIsNotTheOnlyOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.policy.Cards[0].Subject = "principal_name"
	both := func(c *x509.Certificate) {
		cardtest.Principals(t, "utf8", "tanaka@pref.local")(c)
		cardtest.Principals(t, "ia5", "yoshida@pref.local")(c)
		// Two subjectAltName extensions are no certificate to crypto/x509, so one
		// sequence holds the names of both.
		first, second := c.ExtraExtensions[0].Value, c.ExtraExtensions[1].Value
		c.ExtraExtensions = c.ExtraExtensions[:1]
		c.ExtraExtensions[0].Value = cardtest.Sequence(t, append(append([]byte(nil), first[2:]...), second[2:]...))
	}
	if c, why := d.read(t, d.Issue("tanaka", both)); why != "names_nobody" {
		t.Errorf("read as %q, refused for %q", c.Subject, why)
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for match, want := range map[string]string{policy.CardMatchLogin: "login", policy.CardMatchMail: "mail", "": "login"} {
		d.policy.Cards[0].Match = match
		if c, why := d.read(t, d.Issue("tanaka")); c.Match != want {
			t.Errorf("%q: %q, refused for %q", match, c.Match, why)
		}
	}
}
