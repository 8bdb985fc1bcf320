package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// scopeToken is RFC 6749 section 3.3, without what needs quoting in YAML.
var scopeToken = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$`)

// clients are the programs that speak OpenID Connect.
func (c *checker) clients() {
	ids := once{}
	for i, x := range c.p.Clients {
		at := fmt.Sprintf("clients[%d]", i)
		c.id(at+".client_id", x.ID)
		ids.check(c, x.ID, at+".client_id", "62-1", "同じclient_idが二度使われています。", "The client_id is used twice.")
		if uuid.MatchString(x.ID) {
			// A token's subject is a person's UUID or a client's id, and nobody
			// may take one for the other (RFC 9068, section 5).
			c.refuse(at+".client_id", "62-1", "", "UUIDの形は、人のIDと紛れるので使えません。", "A UUID could be taken for a person's ID.")
		}
		c.words(at+".name", x.Name)
		c.serves(at, x)
		c.proves(at, x)
		c.addresses(at, x)
		c.acts(at, x)
	}
}

// serves is whom a client is for: an application's people, or those it names.
func (c *checker) serves(at string, x Client) {
	if x.Application != "" {
		if _, ok := c.p.Application(x.Application); !ok {
			var ids []string
			for _, a := range c.p.Applications {
				ids = append(ids, a.ID)
			}
			c.refuse(at+".application", "62-1", Nearest(x.Application, ids), "知らないシステムです。", "This application is not known.")
		}
		for _, own := range []string{"zone", "class", "posts", "sections", "acr", "environment"} {
			if c.written(at + "." + own) {
				c.refuse(at+"."+own, "62-1", "", "applicationを書いたときは、そのシステムの決まりが当てはまります。どちらかを消してください。", "With an application named, its own rules hold; take one of the two out.")
			}
		}
		return
	}
	c.served(at+".zone", x.Zone, "26no2-1")
	if (x.Class < 1 || x.Class > 4) && !c.problemAt(at+".class") {
		c.refuse(at+".class", "17", fmt.Sprint(min(max(x.Class, 1), 4)), "重要度は1から4までです。", "A class is 1 to 4.")
	}
	c.applicationACR(at+".acr", Application{Zone: x.Zone, Class: x.Class, ACR: x.ACR})
	for j, id := range x.Sections {
		if _, ok := c.known[id]; !ok && !c.problemAt(fmt.Sprintf("%s.sections[%d]", at, j)) {
			c.refuse(fmt.Sprintf("%s.sections[%d]", at, j), "47-2", Nearest(id, c.ids), "知らない部局・室課です。", "This section is not known.")
		}
	}
}

// proves is how a client shows that it is itself: what its method needs, and
// nothing that belongs to another.
func (c *checker) proves(at string, x Client) {
	secrets, keys := x.AuthMethod == AuthBasic || x.AuthMethod == AuthPost, x.AuthMethod == AuthPrivateKey
	switch field := at + ".secret_hashes"; {
	case c.problemAt(at + ".auth_method"), c.problemAt(field):
	case secrets && len(x.SecretHashes) == 0:
		c.refuse(field, "64-1", "", "秘密の値のハッシュが必要です。`sekisho policy client-secret` が作ります。", "The hash of a secret is needed; `sekisho policy client-secret` makes one.")
	case secrets && len(x.SecretHashes) > 2:
		c.refuse(field, "64-1", "", "ハッシュは、入れ替えの間の二つまでです。", "At most two hashes: the one in use and the one that takes its place.")
	case !secrets && len(x.SecretHashes) > 0:
		c.refuse(field, "64-1", "", "この認証の方法は秘密の値を使いません。", "This way of proving itself uses no secret.")
	}
	for j, text := range x.SecretHashes {
		if _, _, err := splitHash(text); err != nil {
			c.refuse(fmt.Sprintf("%s.secret_hashes[%d]", at, j), "64-1", "",
				"秘密の値のハッシュではありません。秘密の値そのものを書いていたら、作り直してください。`sekisho policy client-secret` が作ります。",
				"This is no hash of a secret. If it is a secret itself, make a new one: `sekisho policy client-secret`.")
		}
	}
	switch field := at + ".jwks"; {
	case c.problemAt(at + ".auth_method"), c.problemAt(field):
	case keys:
		switch _, err := x.Keys(); {
		case errors.Is(err, errPrivateKey):
			c.refuse(field, "64-1", "", "これは秘密鍵です。持ち主の外に出してはいけません。公開鍵だけを書き、この鍵は作り直してください。", "This is a private key, which must not leave its owner. Write the public half, and make a new pair.")
		case err != nil:
			c.refuse(field, "64-1", "", "公開鍵をJWK SetのJSONで書いてください。EC P-256、Ed25519、又は2048ビット以上のRSAで、kidが要ります。", "Write public keys as a JWK Set in JSON: EC P-256, Ed25519, or RSA of 2048 bits or more, each with a kid.")
		}
	case x.JWKS != "":
		c.refuse(field, "64-1", "", "この認証の方法は鍵を使いません。", "This way of proving itself uses no key.")
	}
}

// addresses are where a client's people are sent. They are compared as a whole,
// so a pattern here would match nothing but itself.
func (c *checker) addresses(at string, x Client) {
	for _, list := range []struct {
		name string
		uris []string
	}{{"redirect_uris", x.RedirectURIs}, {"post_logout_redirect_uris", x.PostLogoutRedirectURIs}} {
		seen := once{}
		for j, uri := range list.uris {
			field := fmt.Sprintf("%s.%s[%d]", at, list.name, j)
			c.redirectURI(field, uri)
			seen.check(c, uri, field, "62-1", "同じURIが二度書かれています。", "The URI is there twice.")
		}
	}
	if len(x.RedirectURIs) == 0 && x.Service.Owner == "" && !c.problemAt(at+".redirect_uris") {
		c.refuse(at+".redirect_uris", "62-1", "", "利用者を戻すURIか、serviceが要ります。", "A client needs a URI to send people back to, or a service.")
	}
	if len(x.RedirectURIs) > 20 || len(x.PostLogoutRedirectURIs) > 20 {
		c.refuse(at+".redirect_uris", "62-1", "", "URIはそれぞれ20個までです。", "At most 20 URIs of each kind.")
	}
	if x.BackchannelLogoutURI != "" {
		c.redirectURI(at+".backchannel_logout_uri", x.BackchannelLogoutURI)
	}
}

// redirectURI refuses an address at which a code could be read by others: no
// TLS, a fragment, a user's name, or two readings (RFC 9700, section 4.1).
func (c *checker) redirectURI(field, text string) {
	u, err := url.Parse(text)
	plain := err == nil && len(text) <= 512 && !strings.ContainsAny(text, " \\#*\"<>^`{|}") && strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
	switch {
	case text == "":
		c.need(field, text, "62-1")
	case !plain || u.Opaque != "" || u.User != nil || u.Hostname() == "" || strings.Contains(u.Path, "//"):
		c.refuse(field, "62-1", "", "https:// で始まる一つのアドレスを、#や*や利用者名なしで書いてください。", "Write one address that begins with https://, without #, * or a user's name.")
	case u.Scheme == "https", u.Scheme == "http" && onLoopback(u.Hostname()):
	default:
		c.refuse(field, "62-1", "", "https:// で書いてください。http:// は同じ機械（127.0.0.1、localhost）だけです。", "Write https://; http:// only for the same machine (127.0.0.1, localhost).")
	}
}

func onLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// acts is what a client may ask for, and whether it acts for itself.
func (c *checker) acts(at string, x Client) {
	scopes := once{}
	for j, s := range x.Scopes {
		scopes.check(c, s, fmt.Sprintf("%s.scopes[%d]", at, j), "47-3", "同じ範囲が二度書かれています。", "The scope is there twice.")
	}
	audiences := once{}
	for j, id := range x.Audiences {
		field := fmt.Sprintf("%s.audiences[%d]", at, j)
		audiences.check(c, id, field, "47-3", "同じ宛先が二度書かれています。", "The audience is there twice.")
		other, ok := c.p.Client(id)
		switch {
		case id == x.ID && id != "":
			c.refuse(field, "47-3", "", "自分自身を宛先にする必要はありません。", "A client need not name itself.")
		case !ok:
			var ids []string
			for _, o := range c.p.Clients {
				ids = append(ids, o.ID)
			}
			c.refuse(field, "47-3", Nearest(id, ids), "知らないclient_idです。", "There is no such client.")
		case other.AuthMethod == AuthNone:
			c.refuse(field, "47-3", "", "自分を証明しないクライアントは、トークンの宛先になれません。", "A client that proves nothing cannot ask about tokens.")
		}
	}
	if x.Refresh && len(x.RedirectURIs) == 0 {
		c.refuse(at+".refresh", "62-1", "false", "利用者を戻すURIがないクライアントに、更新は要りません。", "Without people there is nothing to refresh.")
	}
	owner, own := strings.TrimSpace(x.Service.Owner), once{}
	if len(x.Service.Scopes) > 0 && owner == "" && !c.problemAt(at+".service") {
		c.refuse(at+".service.owner", "62-3", "", "自分で動くクライアントには、責任を負う人（owner）のログイン名が要ります。", "A client that acts for itself needs the login of someone who answers for it.")
	}
	if owner != "" && x.AuthMethod == AuthNone {
		c.refuse(at+".service", "62-2", "", "自分を証明しないクライアントは、自分では動けません。", "A client that proves nothing cannot act for itself.")
	}
	for j, s := range x.Service.Scopes {
		field := fmt.Sprintf("%s.service.scopes[%d]", at, j)
		own.check(c, s, field, "47-3", "同じ範囲が二度書かれています。", "The scope is there twice.")
		if !scopeToken.MatchString(s) || slices.Contains(append(ClientScopes(), ScopeOpenID, ScopeOffline), s) {
			c.refuse(field, "47-3", "", "人についての範囲ではない名前を、英数字と . _ : / - で書いてください。", "Write a name that is no scope about people, of letters, digits and . _ : / -.")
		}
	}
}
