package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// cardOffice issues IC cards with OpenSSL, as a prefecture's authority does.
type cardOffice struct {
	dir     string
	openssl string
}

const cardPolicy = "1.2.392.200999.1.2"

func newCardOffice(t *testing.T) *cardOffice {
	t.Helper()
	o := &cardOffice{dir: t.TempDir(), openssl: harness.Need(t, "openssl", "openssl")}
	for name, text := range map[string]string{
		"index.txt": "", "crlnumber": "01\n",
		"ca.cnf": `[ca]
default_ca = office
[office]
dir = .
database = index.txt
certificate = ca.pem
private_key = ca.key
crlnumber = crlnumber
new_certs_dir = .
rand_serial = yes
default_md = sha256
default_days = 30
default_crl_days = 7
policy = any
unique_subject = no
[any]
commonName = supplied
[card]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
certificatePolicies = ` + cardPolicy + `
[visitor]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
certificatePolicies = 1.2.392.200999.9.9
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
certificatePolicies = ` + cardPolicy + `
`} {
		if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.run(t, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
		"-days", "30", "-subj", "/CN=Card CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	o.publish(t)
	return o
}

func (o *cardOffice) run(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(o.openssl, args...)
	cmd.Dir = o.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// publish writes the revocation list.
func (o *cardOffice) publish(t *testing.T) {
	t.Helper()
	o.run(t, "ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.tmp")
	if err := os.Rename(filepath.Join(o.dir, "crl.tmp"), o.file("crl.pem")); err != nil {
		t.Fatal(err)
	}
}

func (o *cardOffice) file(name string) string { return filepath.Join(o.dir, name) }

// issue makes a card for a name with the extensions of a section of ca.cnf.
func (o *cardOffice) issue(t *testing.T, file, name, section string) tls.Certificate {
	t.Helper()
	o.run(t, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file+".key", "-out", file+".csr", "-subj", "/CN="+name)
	o.run(t, "ca", "-batch", "-notext", "-config", "ca.cnf", "-extensions", section, "-in", file+".csr", "-out", file+".pem")
	pair, err := tls.LoadX509KeyPair(o.file(file+".pem"), o.file(file+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// rules are what policy.yaml says of the office.
func (o *cardOffice) rules(t *testing.T) string {
	t.Helper()
	ca, err := os.ReadFile(o.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`cards:
  - id: staff-card
    name: {ja: 職員証, en: Staff card}
    policy_oids: ["%s"]
    subject: common_name
    match: login
    ca: |
      %s
`, cardPolicy, strings.ReplaceAll(strings.TrimSpace(string(ca)), "\n", "\n      "))
}

// cardFront is docs/examples/nginx-card.conf before a site that knows the office.
func cardFront(t *testing.T, o *cardOffice) *front {
	t.Helper()
	binary := harness.Need(t, "nginx", "nginx-light")
	port := strconv.Itoa(harness.FreePort(t))
	f := &front{addr: "127.0.0.1:" + port}
	f.Site = harness.NewSite(t, harness.SiteOptions{
		PublicURL: "https://" + gateHost + ":" + port, Rules: o.rules(t),
		Settings: "cards: {header: Client-Cert, revocation_lists: {staff-card: [" + o.file("crl.pem") + "]}}",
	})
	f.gate = f.Serve(t)
	ca := newAuthority(t)
	ca.issue(t, f.Dir, "nginx", gateHost)
	f.pool = x509.NewCertPool()
	f.pool.AddCert(ca.cert)
	f.run(t, binary, "nginx-card.conf", [][2]string{
		{"127.0.0.1:8080", f.Listen}, {"listen 443 ssl", "listen " + f.addr + " ssl"},
		{"/etc/nginx/tls/fullchain.pem", f.Dir + "/nginx.pem"}, {"/etc/nginx/tls/key.pem", f.Dir + "/nginx.key"},
		{"/etc/nginx/tls/card-ca.pem", o.file("ca.pem")},
	})
	return f
}

// cardReader is a browser with a card in its reader, or without one.
func (f *front) cardReader(t *testing.T, card ...tls.Certificate) *harness.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := harness.NewClient(f.PublicURL)
	c.HTTP.Jar = jar
	c.HTTP.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: f.pool, Certificates: card},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, f.addr)
		},
	}
	return c
}

// TestCards: a card signs its owner in through nginx, with its PIN for the
// second factor; every card that is not good is refused.
func TestCards(t *testing.T) {
	t.Parallel()
	o := newCardOffice(t)
	good := o.issue(t, "tanaka", "tanaka", "card")
	lost := o.issue(t, "lost", "suzuki", "card")
	visitor := o.issue(t, "visitor", "tanaka", "visitor")
	server := o.issue(t, "server", "tanaka", "server")
	nobody := o.issue(t, "nobody", "nobody-of-this-name", "card")
	foreign := newCardOffice(t).issue(t, "foreign", "tanaka", "card")
	f := cardFront(t, o)

	c := f.cardReader(t, good)
	if a := cardIn(t, c); a.Status != http.StatusOK || !strings.Contains(string(a.Body), "signed_in") {
		t.Fatalf("a good card: %d %s", a.Status, a.Body)
	}
	if s := keysWho(t, c); s.Login != "tanaka" || s.ACR != "phr" || strings.Join(s.AMR, " ") != "sc pin mfa" {
		t.Errorf("it signed in %+v", s)
	}
	for name, card := range map[string]tls.Certificate{
		"without the policy's OID": visitor, "of nobody here": nobody, "of another authority": foreign,
	} {
		if a := cardIn(t, f.cardReader(t, card)); a.Status != http.StatusUnauthorized || a.Code() != "refused" {
			t.Errorf("a card %s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := cardIn(t, f.cardReader(t, server)); a.Status != http.StatusBadRequest {
		t.Errorf("a certificate for servers, which nginx itself refuses: %d %s", a.Status, a.Body)
	}
	if a := cardIn(t, f.cardReader(t)); a.Status != http.StatusUnauthorized {
		t.Errorf("no card: %d %s", a.Status, a.Body)
	}

	// Text that a browser sends is no card: nginx overwrites it.
	pem, err := os.ReadFile(o.file("tanaka.pem"))
	if err != nil {
		t.Fatal(err)
	}
	liar := f.cardReader(t)
	for _, name := range []string{"Client-Cert", "client_cert", "Client_Cert"} {
		a := liar.Do(t, "POST", "/api/v1/signin/card", map[string]string{}, name, url.PathEscape(string(pem)))
		if a.Status != http.StatusUnauthorized {
			t.Errorf("%s in a header: %d %s", name, a.Status, a.Body)
		}
	}

	// A card that was lost works until the list says so, and then no more.
	if a := cardIn(t, f.cardReader(t, lost)); a.Status != http.StatusOK {
		t.Fatalf("before it was lost: %d %s", a.Status, a.Body)
	}
	o.run(t, "ca", "-config", "ca.cnf", "-revoke", "lost.pem")
	o.publish(t)
	harness.Until(t, "the revoked card to be refused", func() bool {
		a := f.cardReader(t, lost).Do(t, "POST", "/api/v1/signin/card", map[string]string{})
		return a.Status == http.StatusUnauthorized
	})
	if a := cardIn(t, f.cardReader(t, good)); a.Status != http.StatusOK {
		t.Errorf("the others: %d %s", a.Status, a.Body)
	}

	// Without a list no card is good: what is not known narrows.
	if err := os.Remove(o.file("crl.pem")); err != nil {
		t.Fatal(err)
	}
	harness.Until(t, "cards to be refused without a list", func() bool {
		a := f.cardReader(t, good).Do(t, "POST", "/api/v1/signin/card", map[string]string{})
		return a.Status != http.StatusOK
	})
	tanaka := f.Members["tanaka"]
	if _, a := f.cardReader(t).Password(t, tanaka.Login, tanaka.Password); a.Status != http.StatusOK {
		t.Errorf("a password beside it: %d %s", a.Status, a.Body)
	}
}
