package card_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"testing"
	"time"

	"sekisho/authn/card/cardtest"
	"sekisho/policy"
)

// TestBranches: authorities between the card and the one that the policy names.
func TestBranches(t *testing.T) {
	t.Parallel()
	none := func(c *x509.Certificate) { c.Policies = nil }
	every := func(c *x509.Certificate) { c.Policies = []x509.OID{cardtest.OID(t, "2.5.29.32.0")} }
	other := func(c *x509.Certificate) { c.Policies = []x509.OID{cardtest.OID(t, "2.999.9")} }
	old := func(l *x509.RevocationList) { l.NextUpdate = t0 }
	for _, tt := range []struct {
		name    string
		branch  func(*x509.Certificate)
		publish func(d *desk, branch *cardtest.Office) []*x509.RevocationList
		alone   bool // the branch's certificate does not come with the card
		why     string
	}{
		{"that may give out such cards", nil, nil, false, ""},
		{"that may give out any", every, nil, false, ""},
		{"that is not shown", nil, nil, true, "unknown_authority"},
		{"that was given no policy", none, nil, false, "policy"},
		{"that was given another policy", other, nil, false, "policy"},
		{"that is no authority", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }, nil, false, "unknown_authority"},
		{"that is for servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, nil, false, "not_for_clients"},
		{"that has ended", func(c *x509.Certificate) { c.NotAfter = t0.Add(-time.Second) }, nil, false, "expired"},
		{"that was revoked", nil, func(d *desk, b *cardtest.Office) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish([]*x509.Certificate{b.Cert}), b.Publish(nil)}
		}, false, "revoked"},
		{"of whom the list above is old", nil, func(d *desk, b *cardtest.Office) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, old), b.Publish(nil)}
		}, false, "revocation_list_old"},
		{"of whom there is no list above", nil, func(_ *desk, b *cardtest.Office) []*x509.RevocationList {
			return []*x509.RevocationList{b.Publish(nil)}
		}, false, ""},
		{"that has no list", nil, func(d *desk, _ *cardtest.Office) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil)}
		}, false, "no_revocation_list"},
		{"whose list the one above signed", nil, func(d *desk, _ *cardtest.Office) []*x509.RevocationList {
			as := *d.Cert
			as.RawSubject = nil
			as.Subject.CommonName = "Branch Office"
			return []*x509.RevocationList{d.As(&as).Publish(nil)}
		}, false, "no_revocation_list"},
		{"whose name another has", nil, func(d *desk, b *cardtest.Office) []*x509.RevocationList {
			return []*x509.RevocationList{d.Branch().Publish(nil)}
		}, false, "no_revocation_list"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			var change []func(*x509.Certificate)
			if tt.branch != nil {
				change = append(change, tt.branch)
			}
			branch := d.Branch(change...)
			d.lists.all = []*x509.RevocationList{d.Publish(nil)}
			if tt.publish != nil {
				d.lists.all = tt.publish(d, branch)
			} else if branch.Cert.IsCA {
				d.lists.all = append(d.lists.all, branch.Publish(nil))
			}
			chain := []*x509.Certificate{branch.Issue("tanaka"), branch.Cert}
			if tt.alone {
				chain = chain[:1]
			}
			if c, why := d.read(t, chain...); why != tt.why {
				t.Errorf("read as %v, refused for %q; want %q", c, why, tt.why)
			}
		})
	}
}

// TestBranchWithAWeakKey: a key that can be found out makes cards for anybody.
func TestBranchWithAWeakKey(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	weak := d.BranchWith(cardtest.KeyOn(t, elliptic.P224()))
	d.lists.all = append(d.lists.all, weak.Publish(nil))
	if c, why := d.read(t, weak.Issue("tanaka"), weak.Cert); why != "weak_key" {
		t.Errorf("read as %v, refused for %q", c, why)
	}
}

// TestTwoWaysUp: what one way up condemns, another does not save.
func TestTwoWaysUp(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	branch := d.Branch()
	renewed := branch.RenewedBelow(d.Office)
	d.lists.all = []*x509.RevocationList{d.Publish(nil), branch.Publish(nil)}
	c := branch.Issue("tanaka")
	if _, why := d.read(t, c, branch.Cert, renewed.Cert); why != "" {
		t.Fatal("both certificates of the branch are good: ", why)
	}
	d.lists.all = []*x509.RevocationList{d.Publish([]*x509.Certificate{branch.Cert}), branch.Publish(nil)}
	for _, chain := range [][]*x509.Certificate{{c, branch.Cert, renewed.Cert}, {c, renewed.Cert, branch.Cert}, {c, branch.Cert}} {
		if _, why := d.read(t, chain...); why != "revoked" {
			t.Errorf("with %d certificates: %q", len(chain), why)
		}
	}
}

// TestBranchAsAuthority: where the policy names the branch itself, it needs no
// word from above.
func TestBranchAsAuthority(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	branch := d.Branch(func(c *x509.Certificate) { c.Policies = nil })
	d.policy.Cards = []policy.CardAuthority{branch.Authority("branch")}
	d.lists.all = []*x509.RevocationList{branch.Publish(nil)}
	if _, why := d.read(t, branch.Issue("tanaka")); why != "" {
		t.Error(why)
	}
	if _, why := d.read(t, d.Issue("tanaka")); why != "unknown_authority" {
		t.Errorf("a card of the one above: %q", why)
	}
}
