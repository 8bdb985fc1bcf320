package house

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/authn/card/cardtest"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
)

// TestCheckCards: what would refuse every card is found before anybody stands at
// the door with one.
func TestCheckCards(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	o := cardtest.NewOffice(t, now)
	branch := o.Branch()
	old := func(l *x509.RevocationList) { l.NextUpdate = now }
	early := func(l *x509.RevocationList) { l.ThisUpdate = now.Add(time.Minute) }
	good := o.Publish(nil)
	for _, tt := range []struct {
		name   string
		lists  map[string][]byte // by file name
		paths  []string          // default: all of them
		change func(*Config, *policy.Policy)
		want   []string // each a part of one finding, in order
	}{
		{"a fresh list", map[string][]byte{"a": good.Raw}, nil, nil, nil},
		{"two in PEM", map[string][]byte{"a": cardtest.ListPEM(good, branch.Publish(nil))}, nil, nil, nil},
		{"at our own TLS", map[string][]byte{"a": good.Raw}, nil, func(c *Config, _ *policy.Policy) { c.CertificateHeader, c.ClientCertificates = "", true }, nil},
		{"no cards, no lists", nil, nil, func(c *Config, p *policy.Policy) { p.Cards, c.CertificateHeader = nil, "" }, nil},
		{"lists for an authority to come", map[string][]byte{"a": good.Raw}, nil, func(_ *Config, p *policy.Policy) { p.Cards = nil }, nil},
		{"cards of a zone that another gate serves", nil, nil, func(c *Config, p *policy.Policy) {
			p.Cards[0].Zones, c.Zones, c.CertificateHeader = []policy.ZoneID{policy.MyNumber}, []policy.ZoneID{policy.LGWAN}, ""
		}, nil},
		{"cards of a zone that this gate serves", nil, nil, func(c *Config, p *policy.Policy) {
			p.Cards[0].Zones, c.Zones = []policy.ZoneID{policy.MyNumber, policy.LGWAN}, []policy.ZoneID{policy.LGWAN}
		}, []string{"there is none for the policy's authority staff"}},
		{"no way in", map[string][]byte{"a": good.Raw}, nil, func(c *Config, _ *policy.Policy) { c.CertificateHeader = "" }, []string{"set cards.header or tls.client_certificates"}},
		{"no list", nil, nil, nil, []string{"there is none for the policy's authority staff"}},
		{"lists of another authority alone", nil, nil, func(c *Config, _ *policy.Policy) { c.RevocationLists = map[string][]string{"stuff": {"a"}} }, []string{"there is none for the policy's authority staff"}},
		{"a file that is not there", nil, []string{"gone"}, nil, []string{"gone"}},
		{"a file that is no list", map[string][]byte{"a": []byte("nonsense")}, nil, nil, []string{"cannot be used"}},
		{"one good list and one that is gone", map[string][]byte{"a": good.Raw}, []string{"a", "gone"}, nil, []string{"gone"}},
		{"a list that has ended", map[string][]byte{"a": o.Publish(nil, old).Raw}, nil, nil, []string{"2026-04-01 09:00Z and not of now"}},
		{"a list of tomorrow", map[string][]byte{"a": o.Publish(nil, early).Raw}, nil, nil, []string{"not of now"}},
		{"a branch's list that has ended", map[string][]byte{"a": good.Raw, "b": branch.Publish(nil, old).Raw}, []string{"a", "b"}, nil, []string{"b is of"}},
		{"a branch's list alone", map[string][]byte{"a": branch.Publish(nil).Raw}, nil, nil, []string{"none of the lists of staff is signed"}},
		{"a list of somebody of the same name", map[string][]byte{"a": cardtest.NewOffice(t, now).Publish(nil).Raw}, nil, nil, []string{"none of the lists of staff is signed"}},
		{"an authority that has ended", map[string][]byte{"a": good.Raw}, nil, func(_ *Config, p *policy.Policy) {
			p.Cards[0].CA = cardtest.PEM(o.Renewed(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }).Cert)
		}, []string{"no certificate of the policy's authority staff is valid now"}},
		{"an authority that has renewed its certificate", map[string][]byte{"a": good.Raw}, nil, func(_ *Config, p *policy.Policy) {
			p.Cards[0].CA += cardtest.PEM(o.Renewed(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }).Cert)
		}, nil},
		{"an authority that cannot be read", map[string][]byte{"a": good.Raw}, nil, func(_ *Config, p *policy.Policy) { p.Cards[0].CA = "?" }, []string{"cannot be read"}},
		{"everything at once", nil, []string{"gone", "gone too"}, func(c *Config, _ *policy.Policy) { c.CertificateHeader = "" }, []string{"set cards.header", "gone", "gone too"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, rules := t.TempDir(), policy.Standard()
			rules.Cards = []policy.CardAuthority{o.Authority("staff")}
			cfg := Config{CertificateHeader: "Client-Cert", RevocationLists: map[string][]string{}}
			for name, data := range tt.lists {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
					t.Fatal(err)
				}
				if tt.paths == nil {
					cfg.RevocationLists["staff"] = []string{filepath.Join(dir, name)}
				}
			}
			for _, name := range tt.paths {
				cfg.RevocationLists["staff"] = append(cfg.RevocationLists["staff"], filepath.Join(dir, name))
			}
			if tt.change != nil {
				tt.change(&cfg, rules)
			}
			found := checkCards(cfg, now, rules)
			if len(found) != len(tt.want) {
				t.Fatalf("found %v, want %d", found, len(tt.want))
			}
			for i, err := range found {
				var s *say.Sentence
				if !errors.As(err, &s) || !strings.Contains(s.Words.EN, tt.want[i]) || s.Words.JA == "" || strings.Contains(s.Words.JA+s.Words.EN, "%!") {
					t.Errorf("found %v, want %q", err, tt.want[i])
				}
			}
		})
	}
}
