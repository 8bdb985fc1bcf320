package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// cardIn signs a client in by whatever card it has, through the rules if they
// come.
func cardIn(t *testing.T, c *harness.Client, headers ...string) harness.Answer {
	t.Helper()
	a := c.Do(t, "POST", "/api/v1/signin/card", map[string]string{}, headers...)
	var s harness.Step
	if a.Status == http.StatusOK {
		a.Into(t, &s)
		c.CSRF = s.CSRF
	}
	if s.State == "acknowledge" {
		_, a = c.Acknowledge(t, s.Version)
	}
	return a
}

func cardEscaped(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return url.PathEscape(string(text))
}

// TestCardHeaderPastTheProxy: the header is the proxy's word. Straight at the
// gate's listener it opens nothing, in whatever spelling, unless the listener
// has been told that it is the proxy who speaks.
func TestCardHeaderPastTheProxy(t *testing.T) {
	t.Parallel()
	o := newCardOffice(t)
	o.issue(t, "tanaka", "tanaka", "card")
	o.issue(t, "suzuki", "suzuki", "card")
	f := cardFront(t, o)
	tanaka, suzuki := cardEscaped(t, o.file("tanaka.pem")), cardEscaped(t, o.file("suzuki.pem"))

	for _, headers := range [][]string{
		{"Client-Cert", tanaka},
		{"Client-Cert", tanaka, "X-Forwarded-For", "127.0.0.1"},
		{"Client-Cert", tanaka, "X-Forwarded-For", "10.2.0.9", "Forwarded", "for=127.0.0.1"},
		{"Client_Cert", tanaka},
		{"Client-Cert", "nonsense"},
	} {
		if a := cardIn(t, f.Client("127.0.0.2"), headers...); a.Status != http.StatusUnauthorized || a.Code() != "refused" {
			t.Errorf("a stranger with %s: %d %s", headers[0], a.Status, a.Body)
		}
	}
	for name, headers := range map[string][]string{
		"in an underscore": {"Client_Cert", tanaka}, "in nothing": {"Client-Cert", ""}, "in another header": {"X-Client-Cert", tanaka},
	} {
		if a := cardIn(t, f.Behind("10.2.0.9"), headers...); a.Status != http.StatusUnauthorized {
			t.Errorf("the proxy's word %s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := cardIn(t, f.Behind("10.2.0.9"), "Client-Cert", tanaka+", "+suzuki); a.Status != http.StatusBadRequest || a.Code() != "malformed" {
		t.Errorf("two cards in one word: %d %s", a.Status, a.Body)
	}
	// What was refused above is a good card: the proxy's own word is believed.
	c := f.Behind("10.2.0.9")
	if a := cardIn(t, c, "Client-Cert", tanaka); a.Status != http.StatusOK {
		t.Fatalf("the proxy's word: %d %s", a.Status, a.Body)
	}
	if who := keysWho(t, c); who.Login != "tanaka" || who.ACR != "phr" {
		t.Errorf("it signed in %+v", who)
	}
}

// TestCardOfAnother: a card is the second factor of nobody but whom it names.
func TestCardOfAnother(t *testing.T) {
	t.Parallel()
	o := newCardOffice(t)
	tanaka := o.issue(t, "tanaka", "tanaka", "card")
	suzuki := o.issue(t, "suzuki", "suzuki", "card")
	f := cardFront(t, o)
	for _, card := range []tls.Certificate{tanaka, suzuki} {
		// A first use, so that there is a second factor to ask for.
		if a := cardIn(t, f.cardReader(t, card)); a.Status != http.StatusOK {
			t.Fatalf("alone: %d %s", a.Status, a.Body)
		}
	}
	for name, c := range map[string]struct {
		card tls.Certificate
		good bool
	}{"their own": {tanaka, true}, "another's": {suzuki, false}} {
		r := f.cardReader(t, c.card)
		s, a := r.Password(t, "tanaka", f.Members["tanaka"].Password)
		if s.State != "second_factor" || strings.Join(s.Methods, " ") != "card" {
			t.Fatalf("the password came to %q %v: %d %s", s.State, s.Methods, a.Status, a.Body)
		}
		a = cardIn(t, r)
		if c.good != (a.Status == http.StatusOK) || !c.good && (a.Status != http.StatusUnauthorized || a.Code() != "refused") {
			t.Errorf("%s card: %d %s", name, a.Status, a.Body)
		}
		if c.good {
			if who := keysWho(t, r); who.Login != "tanaka" || strings.Join(who.AMR, " ") != "pwd sc pin mfa" {
				t.Errorf("signed in %+v", who)
			}
		}
	}
}

// TestCardAtOurOwnTLS: a gate that ends TLS itself asks for the card; the header
// counts from nobody there, and the proxy's own certificate is nobody's.
func TestCardAtOurOwnTLS(t *testing.T) {
	t.Parallel()
	o := newCardOffice(t)
	good := o.issue(t, "tanaka", "tanaka", "card")
	visitor := o.issue(t, "visitor", "tanaka", "visitor")
	s := harness.NewSite(t, harness.SiteOptions{
		Rules:    o.rules(t),
		Settings: "tls: {certificate: gate.pem, key: gate.key, client_certificates: true}\ncards: {header: Client-Cert, revocation_lists: {staff-card: [" + o.file("crl.pem") + "]}}",
	})
	ca := newAuthority(t)
	ca.issue(t, s.Dir, "gate", gateHost)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	s.Serve(t)
	from := func(address string, card ...tls.Certificate) *harness.Client {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c := harness.NewClient(s.PublicURL)
		c.HTTP.Jar = jar
		dial := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		c.HTTP.Transport = &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: card},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dial.DialContext(ctx, network, s.Listen)
			},
		}
		return c
	}
	c := from("127.0.0.5", good)
	if a := cardIn(t, c); a.Status != http.StatusOK {
		t.Fatalf("a good card: %d %s", a.Status, a.Body)
	}
	if who := keysWho(t, c); who.Login != "tanaka" || who.ACR != "phr" || strings.Join(who.AMR, " ") != "sc pin mfa" {
		t.Errorf("it signed in %+v", who)
	}
	tanaka := cardEscaped(t, o.file("tanaka.pem"))
	for name, a := range map[string]harness.Answer{
		"no card": cardIn(t, from("127.0.0.5")), "another policy's": cardIn(t, from("127.0.0.5", visitor)),
		"a header": cardIn(t, from("127.0.0.5"), "Client-Cert", tanaka), "a header beside another card": cardIn(t, from("127.0.0.5", visitor), "Client-Cert", tanaka),
		"the proxy's own": cardIn(t, from("127.0.0.1", good)),
	} {
		if a.Status != http.StatusUnauthorized || a.Code() != "refused" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
}

// TestCardConfigCheck: the check says beforehand what would refuse every card.
func TestCardConfigCheck(t *testing.T) {
	t.Parallel()
	o := newCardOffice(t)
	settings := func(s string) *harness.Site {
		return harness.NewSite(t, harness.SiteOptions{Rules: o.rules(t), Settings: s})
	}
	lists := "revocation_lists: {staff-card: [" + o.file("crl.pem") + "]}"
	check := func(s *harness.Site) (string, int) {
		out, errs, status := harness.Run(t, "sekisho", "config", "check", "--config", s.Config)
		return out + errs, status
	}
	sound := settings("cards: {header: Client-Cert, " + lists + "}")
	if said, status := check(sound); status != 0 {
		t.Fatalf("a sound site: %d\n%s", status, said)
	}
	for _, tt := range []struct{ name, settings, says string }{
		{"no list", "cards: {header: Client-Cert}", "there is none for the policy's authority staff-card"},
		{"another authority's list", "cards: {header: Client-Cert, revocation_lists: {staf-card: [" + o.file("crl.pem") + "]}}", "there is none for the policy's authority staff-card"},
		{"no way in", "cards: {" + lists + "}", "set cards.header or tls.client_certificates"},
	} {
		if said, status := check(settings(tt.settings)); status != 1 || !strings.Contains(said, tt.says) {
			t.Errorf("%s: %d\n%s", tt.name, status, said)
		}
	}
	o.run(t, "ca", "-config", "ca.cnf", "-gencrl", "-crl_lastupdate", "20260101000000Z", "-crl_nextupdate", "20260102000000Z", "-out", "crl.pem")
	if said, status := check(sound); status != 1 || !strings.Contains(said, o.file("crl.pem")+" is of 2026-01-01 00:00Z to 2026-01-02 00:00Z") {
		t.Errorf("a list that has ended: %d\n%s", status, said)
	}
	if err := os.Remove(o.file("crl.pem")); err != nil {
		t.Fatal(err)
	}
	if said, status := check(sound); status != 1 || !strings.Contains(said, o.file("crl.pem")) {
		t.Errorf("a list that has gone: %d\n%s", status, said)
	}
}
