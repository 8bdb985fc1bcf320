package web

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sekisho/authn/card/cardtest"
	"sekisho/authn/signin"
)

// A caller is one request as it comes over the wire.
type caller struct {
	peer    string
	tls     []*x509.Certificate
	headers []string // "Name: value"
}

// ask sends the caller's request to a server that reads certificates from a
// header. seen is the origin as a handler gets it, nil where none was reached.
func ask(t *testing.T, header string, c caller) (seen *signin.Origin, resp *http.Response, log string) {
	t.Helper()
	s, lines := newServer(t, func(cfg *Config) { cfg.CertificateHeader = header })
	s.Mount("GET /who", func(w http.ResponseWriter, r *Request) error {
		seen = &r.Origin
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	r := httptest.NewRequest("GET", "http://localhost:8080/who", nil)
	r.RemoteAddr = c.peer
	if c.tls != nil {
		r.TLS = &tls.ConnectionState{PeerCertificates: c.tls}
	}
	for _, h := range c.headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header[name] = append(r.Header[name], value) // spelled as the server's reader leaves it
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return seen, w.Result(), lines.String()
}

const (
	proxy    = "127.0.0.1:40000"
	stranger = "198.51.100.7:40000"
)

// TestCertificate: whose certificate a request carries. Where a stranger could
// choose it, there is none.
func TestCertificate(t *testing.T) {
	t.Parallel()
	o := cardtest.NewOffice(t, t0)
	hers, other := o.Issue("tanaka"), o.Issue("yoshida")
	rfc := func(c *x509.Certificate) string {
		return "Client-Cert: :" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
	}
	escaped := "Client-Cert: " + url.PathEscape(cardtest.PEM(hers))
	as := func(name string) string { return name + strings.TrimPrefix(rfc(other), "Client-Cert") }
	both := []*x509.Certificate{hers, o.Cert}
	for _, tt := range []struct {
		name   string
		header string // CertificateHeader
		caller
		want   []*x509.Certificate
		status int // 0: 204
	}{
		{"a stranger, no card", "Client-Cert", caller{peer: stranger}, nil, 0},
		{"a stranger writes the header", "Client-Cert", caller{peer: stranger, headers: []string{rfc(other)}}, nil, 0},
		{"a stranger writes nonsense", "Client-Cert", caller{peer: stranger, headers: []string{"Client-Cert: nonsense", "Client-Cert: more"}}, nil, 0},
		{"a stranger names a proxy of ours as its source", "Client-Cert", caller{peer: stranger, headers: []string{rfc(other), "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"}}, nil, 0},
		{"a card at our own TLS", "Client-Cert", caller{peer: stranger, tls: both}, both, 0},
		{"a card at our own TLS, no header is named", "", caller{peer: stranger, tls: both}, both, 0},
		{"a card at our own TLS, and another in the header", "Client-Cert", caller{peer: stranger, tls: both, headers: []string{rfc(other)}}, both, 0},
		{"TLS without a card, and one in the header", "Client-Cert", caller{peer: stranger, tls: []*x509.Certificate{}, headers: []string{rfc(other)}}, nil, 0},

		{"a proxy passes on RFC 9440", "Client-Cert", caller{peer: proxy, headers: []string{rfc(hers)}}, []*x509.Certificate{hers}, 0},
		{"a proxy passes on nginx's form", "Client-Cert", caller{peer: proxy, headers: []string{escaped}}, []*x509.Certificate{hers}, 0},
		{"a proxy over IPv6", "Client-Cert", caller{peer: "[::ffff:127.0.0.1]:40000", headers: []string{rfc(hers)}}, []*x509.Certificate{hers}, 0},
		{"a proxy passes on nothing", "Client-Cert", caller{peer: proxy}, nil, 0},
		{"a proxy passes on an empty header", "Client-Cert", caller{peer: proxy, headers: []string{"Client-Cert: "}}, nil, 0},
		{"a proxy passes on a blank", "Client-Cert", caller{peer: proxy, headers: []string{"Client-Cert:  "}}, nil, 0},
		{"a proxy's own certificate is nobody's", "Client-Cert", caller{peer: proxy, tls: both}, nil, 0},
		{"a proxy's own, with an empty header", "Client-Cert", caller{peer: proxy, tls: both, headers: []string{"Client-Cert: "}}, nil, 0},
		{"a proxy's own, no header is named", "", caller{peer: proxy, tls: both}, nil, 0},
		{"a proxy's own, beside its word", "Client-Cert", caller{peer: proxy, tls: []*x509.Certificate{other}, headers: []string{rfc(hers)}}, []*x509.Certificate{hers}, 0},
		{"no header is named", "", caller{peer: proxy, headers: []string{rfc(other)}}, nil, 0},
		{"another header is named", "X-Card", caller{peer: proxy, headers: []string{rfc(other)}}, nil, 0},
		{"the header that is named", "x-card", caller{peer: proxy, headers: []string{as("X-Card")}}, []*x509.Certificate{other}, 0},
		{"with underscores", "Client-Cert", caller{peer: proxy, headers: []string{as("Client_Cert"), as("Client_cert"), as("CLIENT_CERT")}}, nil, 0},
		{"with underscores, beside the proxy's word", "Client-Cert", caller{peer: proxy, headers: []string{as("Client_Cert"), rfc(hers)}}, []*x509.Certificate{hers}, 0},

		{"twice", "Client-Cert", caller{peer: proxy, headers: []string{rfc(hers), rfc(hers)}}, nil, 400},
		{"twice, one of them empty", "Client-Cert", caller{peer: proxy, headers: []string{"Client-Cert: ", rfc(other)}}, nil, 400},
		{"two that were joined on the way", "Client-Cert", caller{peer: proxy, headers: []string{rfc(other) + ", " + strings.TrimPrefix(rfc(hers), "Client-Cert: ")}}, nil, 400},
		{"nonsense", "Client-Cert", caller{peer: proxy, headers: []string{"Client-Cert: tanaka"}}, nil, 400},
		{"nginx's older form", "Client-Cert", caller{peer: proxy, headers: []string{"Client-Cert: " + strings.ReplaceAll(cardtest.PEM(hers), "\n", "\n\t")}}, nil, 400},
		{"an unread name in a parameter", "Client-Cert", caller{peer: proxy, headers: []string{rfc(hers) + ";x"}}, nil, 400},
		{"too long", "Client-Cert", caller{peer: proxy, headers: []string{"Client-Cert: :" + strings.Repeat("A", 17<<10) + ":"}}, nil, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			seen, resp, log := ask(t, tt.header, tt.caller)
			if strings.Contains(log, "MII") {
				t.Error("the log holds the certificate")
			}
			if tt.status != 0 {
				if status, code, body := problem(t, resp); status != tt.status || code != "malformed" || seen != nil || strings.Contains(fmt.Sprint(body), "MII") {
					t.Errorf("%d %s, a handler was reached: %t", status, code, seen != nil)
				}
				return
			}
			same := func(a, b *x509.Certificate) bool { return a.Equal(b) }
			if seen == nil || !slices.EqualFunc(seen.Certificate, tt.want, same) {
				t.Errorf("%d, seen %+v", resp.StatusCode, seen)
			}
		})
	}
}

// TestCertificateOfNobody: a connection without an address has no trusted proxy
// at its end, and a bare handler asks nobody for a card.
func TestCertificateOfNobody(t *testing.T) {
	t.Parallel()
	c := cardtest.NewOffice(t, t0).Issue("tanaka")
	header := "Client-Cert: " + url.PathEscape(cardtest.PEM(c))
	if seen, _, _ := ask(t, "Client-Cert", caller{peer: "@", headers: []string{header}}); seen != nil && seen.Certificate != nil {
		t.Error("a header counts that came from nowhere")
	}
	s, _ := newServer(t, func(cfg *Config) { cfg.CertificateHeader = "Client-Cert" })
	r := httptest.NewRequest("GET", "http://localhost:8080/auth/check", nil)
	r.RemoteAddr = proxy
	r.Header.Set("Client-Cert", "nonsense")
	if o, err := s.OriginOf(r); err != nil || o.Certificate != nil {
		t.Errorf("a bare handler: %+v, %v", o, err)
	}
}

// TestTerminalHeader: what a terminal says is one thing of a sane length,
// whoever passes it on. Whether it is true is not asked here.
func TestTerminalHeader(t *testing.T) {
	t.Parallel()
	const name = "X-Sekisho-Terminal"
	for _, tt := range []struct {
		name    string
		headers []string
		want    string
		status  int // 0: 204
	}{
		{"none", nil, "", 0},
		{"empty", []string{name + ": "}, "", 0},
		{"one", []string{name + ": a.b.c"}, "a.b.c", 0},
		{"with underscores", []string{"X_Sekisho_Terminal: a.b.c"}, "", 0},
		{"twice", []string{name + ": a.b.c", name + ": a.b.c"}, "", 400},
		{"4 KiB", []string{name + ": " + strings.Repeat("a", 4<<10)}, strings.Repeat("a", 4<<10), 0},
		{"more", []string{name + ": " + strings.Repeat("a", 4<<10+1)}, "", 400},
	} {
		for _, peer := range []string{proxy, stranger} {
			seen, resp, log := ask(t, "", caller{peer: peer, headers: tt.headers})
			if strings.Contains(log, "a.b.c") || strings.Contains(log, "aaaa") {
				t.Errorf("%s: the log holds it", tt.name)
			}
			if tt.status != 0 {
				if status, code, _ := problem(t, resp); status != tt.status || code != "malformed" || seen != nil {
					t.Errorf("%s from %s: %d %s", tt.name, peer, status, code)
				}
			} else if seen == nil || seen.Terminal != tt.want {
				t.Errorf("%s from %s: %d, seen %+v", tt.name, peer, resp.StatusCode, seen)
			}
		}
	}
}
