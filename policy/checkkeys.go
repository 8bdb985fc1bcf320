package policy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// passkeys are the makers that are believed and what keys must be.
func (c *checker) passkeys() {
	roots := once{}
	for i, text := range c.p.Passkey.Roots {
		at := fmt.Sprintf("passkey.roots[%d]", i)
		certs := c.authority(at, text)
		if len(certs) > 1 {
			c.refuse(at, "64-1", "", "一つの項目に書ける証明書は一つです。分けて書いてください。", "An item holds one certificate; write each in its own.")
			continue
		}
		for _, cert := range certs {
			roots.check(c, string(cert.Raw), at, "64-1", "同じ証明書が二度書かれています。", "The certificate is there twice.")
		}
	}
	whose := once{}
	for i, d := range c.p.Passkey.Demands {
		c.demand(fmt.Sprintf("passkey.demands[%d]", i), d, whose)
	}
}

func (c *checker) demand(at string, d PasskeyDemand, whose once) {
	posts := once{}
	for i, id := range d.Posts {
		posts.check(c, string(id), fmt.Sprintf("%s.posts[%d]", at, i), "64-1", "同じ職が二度書かれています。", "The post is there twice.")
	}
	if !c.problemAt(at + ".posts") {
		// Two demands on the same posts hold together, and nobody who reads one
		// of them sees what the posts must have.
		whose.check(c, d.name(), at, "64-1", "同じ職への求めが二つあります。一つにまとめてください。", "Two demands are on the same posts; write one.")
	}
	models := once{}
	for i, id := range d.AAGUIDs {
		field := fmt.Sprintf("%s.aaguids[%d]", at, i)
		c.aaguid(field, id)
		models.check(c, id, field, "64-1", "同じ機種が二度書かれています。", "The model is there twice.")
	}
	asks := d.Attestation || len(d.AAGUIDs) > 0
	switch {
	case c.problemAt(at + ".attestation"), c.problemAt(at + ".aaguids"):
	case !asks:
		c.refuse(at, "64-1", "", "何も求めていません。attestation か aaguids を書くか、消してください。", "This asks for nothing. Write attestation or aaguids, or take it out.")
	case len(c.p.Passkey.Roots) == 0 && !c.problemAt("passkey.roots"):
		field := at + ".attestation"
		if !d.Attestation {
			field = at + ".aaguids"
		}
		c.refuse(field, "64-1", "", "機種や製造者を確かめるには、製造者の証明書（passkey.roots）が必要です。なければ、鍵の言うことを誰も保証しません。",
			"Models and makers are proved by the makers' certificates in passkey.roots; without them nobody vouches for what a key says.")
	}
}

var (
	uuid    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	hexOnly = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// noModel is the AAGUID of keys that do not say what they are (WebAuthn level
// 3, section 6.5.1.1).
const noModel = "00000000-0000-0000-0000-000000000000"

func (c *checker) aaguid(field, id string) {
	if id == "" {
		c.need(field, id, "64-1")
		return
	}
	if id == noModel {
		c.refuse(field, "64-1", "", "すべて0のAAGUIDは機種を表しません。", "An AAGUID of zeros names no model.")
		return
	}
	if uuid.MatchString(id) {
		return
	}
	near := ""
	if h := strings.ToLower(strings.NewReplacer("-", "", "{", "", "}", "", " ", "").Replace(id)); hexOnly.MatchString(h) {
		near = strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
	}
	c.refuse(field, "64-1", near, "機種のAAGUIDを英小文字のUUIDで書いてください。", "Write the model's AAGUID as a UUID in lower case.")
}

// authority refuses a text that is not certificates of CAs, and returns those
// of one that is.
func (c *checker) authority(field, text string) []*x509.Certificate {
	if text == "" {
		c.need(field, text, "64-1")
		return nil
	}
	if c.problemAt(field) {
		return nil
	}
	certs, err := Authority(text)
	switch {
	case errors.Is(err, errPrivateKey):
		c.refuse(field, "64-1", "", "これは秘密鍵です。持ち主の外に出してはいけません。認証局の証明書を書き、この鍵は作り直してください。", "This is a private key, which must not leave its owner. Write the authority's certificate, and make a new pair.")
	case errors.Is(err, errWeakKey):
		c.refuse(field, "64-1", "", "証明書の鍵が弱すぎます。RSAは2048ビット以上、楕円曲線はP-256、P-384、P-521、又はEd25519です。", "A certificate's key is too weak: RSA of 2048 bits or more, P-256, P-384, P-521, or Ed25519.")
	case err != nil:
		c.refuse(field, "64-1", "", "認証局（CA）の証明書をPEM（CERTIFICATE）で書いてください。", "Write certificates of CAs as PEM (CERTIFICATE).")
	}
	return certs
}

// cards are the authorities whose IC cards sign people in.
func (c *checker) cards() {
	ids := once{}
	var keys []map[string]string // of each authority, its keys and where they stand
	for i, a := range c.p.Cards {
		at := fmt.Sprintf("cards[%d]", i)
		c.id(at+".id", a.ID)
		ids.check(c, a.ID, at+".id", "64-1", "同じidが二度使われています。", "The id is used twice.")
		c.words(at+".name", a.Name)
		keys = append(keys, c.cardKeys(at+".ca", a.CA, keys))
		c.policyOIDs(at+".policy_oids", a.PolicyOIDs)
		c.need(at+".subject", a.Subject, "62-1")
		zones := once{}
		for j, z := range a.Zones {
			field := fmt.Sprintf("%s.zones[%d]", at, j)
			c.served(field, z, "26no2-1")
			zones.check(c, string(z), field, "26no2-1", "同じ領域が二度書かれています。", "The zone is there twice.")
		}
	}
}

// cardKeys refuses a second authority with a key of the first: only the first
// would ever be asked about a card.
func (c *checker) cardKeys(field, text string, before []map[string]string) map[string]string {
	own := map[string]string{}
	for _, cert := range c.authority(field, text) {
		key := string(cert.RawSubjectPublicKeyInfo)
		own[key] = field
		for _, other := range before {
			if first, taken := other[key]; taken && !c.problemAt(field) {
				line, _ := c.place(first)
				c.refuse(field, "64-1", "", fmt.Sprintf("%d行目の発行者と同じ鍵の証明書です。一枚のカードを確かめる発行者は一つです。", line),
					fmt.Sprintf("The authority on line %d has a certificate with the same key; a card belongs to one authority.", line))
			}
		}
	}
	return own
}

// anyPolicy is named by certificates of every policy and of none in particular
// (RFC 5280, section 4.2.1.4), so it says nothing about a PIN.
const anyPolicy = "2.5.29.32.0"

func (c *checker) policyOIDs(field string, oids []string) {
	if len(oids) == 0 && !c.problemAt(field) {
		c.refuse(field, "26no3-1", "", "カードの鍵が暗証番号で守られていることを示すポリシーのOIDを、一つ以上書いてください。", "Write at least one policy OID: it says that the card's key lies behind a PIN.")
	}
	seen := once{}
	for i, text := range oids {
		at := fmt.Sprintf("%s[%d]", field, i)
		if c.problemAt(at) {
			continue
		}
		seen.check(c, text, at, "26no3-1", "同じOIDが二度書かれています。", "The OID is there twice.")
		switch oid, err := x509.ParseOID(text); {
		case text == anyPolicy:
			c.refuse(at, "26no3-1", "", "anyPolicyは暗証番号について何も示しません。", "anyPolicy says nothing about a PIN.")
		case err != nil || oid.String() != text:
			near := strings.TrimPrefix(strings.ToLower(strings.Trim(text, " .")), "oid.")
			if n, err := x509.ParseOID(near); err != nil || n.String() != near {
				near = ""
			}
			c.refuse(at, "26no3-1", near, "OIDを 2.999.1.1 のように、数字と点で書いてください。", "Write an OID with numbers and dots, such as 2.999.1.1.")
		}
	}
}

// name is what tells a demand from the others: whose keys it is about.
func (d PasskeyDemand) name() string {
	if len(d.Posts) == 0 {
		return "*"
	}
	posts := texts(d.Posts)
	slices.Sort(posts)
	return strings.Join(posts, ",")
}
