package house

import (
	"crypto/x509"
	"slices"
	"time"

	"sekisho/authn/card"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy"
)

// checkCards finds what would refuse every card of an authority of the rules
// without a sound: no way for a card to come in, and revocation lists that are
// not there, not the authority's, or not of now. Its certificate's own end is
// looked at too.
func checkCards(cfg Config, now time.Time, rules *policy.Policy) []error {
	var found []error
	here := func(a policy.CardAuthority) bool {
		return len(a.Zones) == 0 || len(cfg.Zones) == 0 ||
			slices.ContainsFunc(a.Zones, func(z policy.ZoneID) bool { return slices.Contains(cfg.Zones, z) })
	}
	if slices.ContainsFunc(rules.Cards, here) && cfg.CertificateHeader == "" && !cfg.ClientCertificates {
		found = append(found, say.Errorf("cards: 方針はICカードを認めていますが、カードの証明書を受け取る方法がありません。cards.header か tls.client_certificates を書いてください。",
			"cards: the policy takes IC cards, and there is no way for their certificates to come in; set cards.header or tls.client_certificates"))
	}
	for _, a := range rules.Cards {
		if here(a) {
			found = append(found, checkAuthority(a, cfg.RevocationLists[a.ID], now)...)
		}
	}
	return found
}

func checkAuthority(a policy.CardAuthority, paths []string, now time.Time) []error {
	signers, err := policy.Authority(a.CA)
	if err != nil {
		return []error{say.Errorf("cards: 方針の発行者 %[1]s の証明書を読めません（%[2]v）。", "cards: the certificate of the policy's authority %[1]s cannot be read (%[2]v)", a.ID, err)}
	}
	var found []error
	if !slices.ContainsFunc(signers, func(c *x509.Certificate) bool { return !now.Before(c.NotBefore) && !now.After(c.NotAfter) }) {
		found = append(found, say.Errorf("cards: 方針の発行者 %[1]s の証明書は、今は有効ではありません。カードはすべて断られます。新しい証明書を方針に加えてください。",
			"cards: no certificate of the policy's authority %[1]s is valid now, so all its cards are refused; add the new one to the policy", a.ID))
	}
	if len(paths) == 0 {
		return append(found, say.Errorf("cards.revocation_lists: 方針の発行者 %[1]s の失効リストがありません。なければ、カードはすべて断られます。ファイルを書いてください。",
			"cards.revocation_lists: there is none for the policy's authority %[1]s, so all its cards are refused; name its files", a.ID))
	}
	own := false
	for _, path := range paths {
		lists, err := card.NewFiles(map[string][]string{a.ID: {path}}, func() time.Time { return now }).For(a.ID)
		if err != nil {
			found = append(found, say.Errorf("cards.revocation_lists: %[1]s の失効リストを使えません（%[2]v）。ファイルを確かめてください。",
				"cards.revocation_lists: a list of %[1]s cannot be used (%[2]v); check the file", a.ID, err))
			continue
		}
		for _, l := range lists {
			own = own || slices.ContainsFunc(signers, func(c *x509.Certificate) bool { return card.Signed(l, c) })
			if card.Fresh(l, now) {
				continue
			}
			found = append(found, say.Errorf("cards.revocation_lists: %[1]s は %[2]s から %[3]s までの失効リストで、今のものではありません。新しいものを取り寄せ、時計を確かめてください。",
				"cards.revocation_lists: %[1]s is of %[2]s to %[3]s and not of now; fetch a new one, and check the clock", path, stamp(l.ThisUpdate), stamp(l.NextUpdate)))
		}
	}
	if !own && len(found) == 0 {
		found = append(found, say.Errorf("cards.revocation_lists: %[1]s のどの失効リストにも、方針にある発行者の署名がありません。発行者のリストを加えてください。",
			"cards.revocation_lists: none of the lists of %[1]s is signed by the authority in the policy; add its own", a.ID))
	}
	return found
}

// stamp writes a time of a list, and a dash where it has none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}
