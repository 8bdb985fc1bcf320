package card_test

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"

	"sekisho/authn/card"
	"sekisho/authn/card/cardtest"
	"sekisho/policy"
	"sekisho/policy/clock"
)

func TestParseForwarded(t *testing.T) {
	t.Parallel()
	o := cardtest.NewOffice(t, t0)
	c, b := o.Issue("tanaka"), o.Issue("yoshida")
	text, other := cardtest.PEM(c), cardtest.PEM(b)
	rfc := ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
	for _, tt := range []struct {
		name, header string
		want         int // certificates, tanaka's first; 0: refused
	}{
		{"RFC 9440", rfc, 1},
		{"with space around", "  " + rfc + " ", 1},
		{"nginx", strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(url.PathEscape(text)), 1},
		{"with the plus left alone", strings.ReplaceAll(url.PathEscape(text), "%2B", "+"), 1},
		{"with a line break at its end or not", url.PathEscape(strings.TrimSpace(text)), 1},
		{"with its authority", url.PathEscape(text + cardtest.PEM(o.Cert)), 2},
		{"four", url.PathEscape(text + strings.Repeat(other, 3)), 4},
		{"five", url.PathEscape(text + strings.Repeat(other, 4)), 0},
		{"a name", "tanaka", 0},
		{"half of RFC 9440", rfc[:len(rfc)-1], 0},
		{"no base64", ":%%%:", 0},
		{"no certificate", ":AAAA:", 0},
		{"an empty sequence", "::", 0},
		{"one colon", ":", 0},
		{"a certificate with something behind it", ":" + base64.StdEncoding.EncodeToString(append(append([]byte(nil), c.Raw...), 0)) + ":", 0},
		{"two of RFC 9440, joined by a proxy on the way", rfc + ", " + rfc, 0},
		{"parameters", rfc + ";a=1", 0},
		{"two of nginx, joined by a proxy on the way", url.PathEscape(text) + ", " + url.PathEscape(other), 0},
		{"two of nginx, joined, with a line break before", url.PathEscape(text+"\n") + ", " + url.PathEscape(other), 0},
		{"something that hides what follows", url.PathEscape("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n" + text), 0},
		{"words before it", url.PathEscape("subject=tanaka\n" + text), 0},
		{"words between", url.PathEscape(text + "issuer\n" + cardtest.PEM(o.Cert)), 0},
		{"words behind it", url.PathEscape(text + "tail"), 0},
		{"half an escape", url.PathEscape(text) + "%2", 0},
		{"a key", url.PathEscape("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0},
		{"a certificate and a key", url.PathEscape(text + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0},
		{"nothing, escaped", "%20%0A", 0},
		{"as long as it may be", rfc + strings.Repeat(" ", card.MaxForwarded-len(rfc)), 1},
		{"too long", strings.Repeat("A", card.MaxForwarded+1), 0},
	} {
		chain, err := card.ParseForwarded(tt.header)
		if len(chain) != tt.want || (err == nil) != (tt.want > 0) || errors.Is(err, card.ErrNone) {
			t.Errorf("%s: %d certificates, %v", tt.name, len(chain), err)
		}
		if len(chain) > 0 && !chain[0].Equal(c) {
			t.Errorf("%s: another certificate comes first", tt.name)
		}
	}
	for _, h := range []string{"", " "} {
		if chain, err := card.ParseForwarded(h); !errors.Is(err, card.ErrNone) || chain != nil {
			t.Errorf("%q: %d certificates, %v", h, len(chain), err)
		}
	}
}

func FuzzParseForwarded(f *testing.F) {
	o := cardtest.NewOffice(f, t0)
	c := o.Issue("tanaka")
	p := policy.Standard()
	p.Cards = []policy.CardAuthority{cardtest.NewOffice(f, t0).Authority("another")}
	reader := card.New(nil, nil, clock.NewFake(t0).Now, func() *policy.Policy { return p })
	f.Add(":" + base64.StdEncoding.EncodeToString(c.Raw) + ":")
	f.Add(url.PathEscape(cardtest.PEM(c)))
	f.Add(url.PathEscape(cardtest.PEM(c, o.Cert)))
	f.Add("::")
	f.Add("%")
	f.Fuzz(func(t *testing.T, header string) {
		chain, err := card.ParseForwarded(header)
		if (err == nil) != (len(chain) > 0) || len(chain) > 4 {
			t.Fatalf("%d certificates and %v", len(chain), err)
		}
		if err != nil {
			return
		}
		// Whatever a stranger writes, it is of no authority of ours; and what was
		// read is read from its own text again.
		if read, err := reader.Read(t.Context(), chain, policy.LGWAN); err == nil {
			t.Errorf("%v is good", read)
		}
		again, err := card.ParseForwarded(url.PathEscape(cardtest.PEM(chain...)))
		if err != nil || len(again) != len(chain) || !again[0].Equal(chain[0]) {
			t.Errorf("written anew: %d certificates, %v", len(again), err)
		}
	})
}
