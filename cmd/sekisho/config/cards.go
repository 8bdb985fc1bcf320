package config

import (
	"fmt"
	"maps"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
)

// Cards is how IC cards come in. Which cards are good is the policy's.
type Cards struct {
	// Header is the one in which a trusted proxy that ends TLS passes its
	// client's certificate on: Client-Cert (RFC 9440, or nginx's
	// $ssl_client_escaped_cert). It must overwrite what clients send. Default
	// none: no header is read.
	Header string `yaml:"header"`
	// RevocationLists are the files, PEM or DER, of each card authority of the
	// policy, by its id. They are read again when they change. Without a list
	// that is signed and not past its next update, no card of the authority is
	// taken.
	RevocationLists map[string][]string `yaml:"revocation_lists"`
}

// anchor makes the paths of the lists relative to the file.
func (c *Cards) anchor(dir string) {
	for _, paths := range c.RevocationLists {
		for i, p := range paths {
			if p != "" && !filepath.IsAbs(p) {
				paths[i] = filepath.Join(dir, p)
			}
		}
	}
}

// notHeaders are those that mean something else.
var notHeaders = []string{"Cookie", "Authorization", "Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Csrf-Token", "X-Sekisho-Terminal"}

func (f *File) checkCards(say func(field, ja, en, near string)) {
	if h := f.Cards.Header; h != "" {
		switch {
		case strings.Trim(h, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "" || slices.Contains(notHeaders, textproto.CanonicalMIMEHeaderKey(h)):
			say("cards.header", "ヘッダーの名前です（例 Client-Cert）。", "is the name of a header, such as Client-Cert", "")
		case len(f.TrustedProxies) == 0:
			say("cards.header", "trusted_proxies に、このヘッダーを付けるプロキシを書いてください。", "needs the proxy that sets it in trusted_proxies", "")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.Cards.RevocationLists)) {
		paths := f.Cards.RevocationLists[id]
		if len(paths) == 0 || slices.Contains(paths, "") {
			say(fmt.Sprintf("cards.revocation_lists[%s]", id), "ファイルの名前を一つ以上書いてください。", "needs the name of one file or more", "")
		}
	}
	if f.TLS.ClientCertificates && f.TLS.Certificate == "" {
		say("tls.client_certificates", "関所が TLS を終端するときだけ使えます。プロキシの後ろでは cards.header を使ってください。", "is for a gate that ends TLS itself; behind a proxy use cards.header", "")
	}
}
