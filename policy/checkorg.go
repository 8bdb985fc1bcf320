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

func (c *checker) posts() {
	ids := once{}
	groups := map[string]int{}
	for i, post := range c.p.Posts {
		at := fmt.Sprintf("posts[%d]", i)
		c.need(at+".id", string(post.ID), "16-1")
		ids.check(c, string(post.ID), at+".id", "16-1", "同じ職が二度書かれています。", "The post is there twice.")
		c.article(at+".article", post.Article)
		if post.ID != "" {
			c.words(at+".name", post.Name)
		}
		if post.Audits && (post.Approves || post.Administers) {
			c.refuse(at+".audits", "16-2", "false", "監査する職は、承認も管理もできません。", "A post that audits neither approves nor administers.")
		}
		if post.Approves && post.Administers {
			c.refuse(at+".approves", "16-1", "false", "特権を申請する職は、承認する職になれません。", "A post that asks for privilege does not approve it.")
		}
		if post.Group == "" {
			continue
		}
		if !strings.Contains(post.Group, "=") {
			c.refuse(at+".group", "16-1", "", "グループのDN（cn=…,ou=…）を書いてください。", "Write the group's DN (cn=…,ou=…).")
			continue
		}
		dn := canonicalDN(post.Group)
		if j, twice := groups[dn]; twice {
			c.sharedGroup(at+".group", post, c.p.Posts[j])
			continue
		}
		groups[dn] = i
	}
	c.approvers()
}

// approvers refuses a file after which nobody could approve the next one.
func (c *checker) approvers() {
	if !c.written("posts") || c.problemAt("posts") {
		return
	}
	for _, id := range []PostID{CIO, SecurityOfficer} {
		if post, ok := c.p.Post(id); ok && post.Group != "" {
			return
		}
	}
	c.refuse("posts", "16-1", "", "CIOか情報セキュリティ責任者のグループが必要です。なければ、次の方針を誰も承認できません。", "The CIO or the security officer needs a group, or nobody could approve the next policy.")
}

// sharedGroup refuses one group for two posts where its members would decide
// on, or audit, what they ask for themselves. Persons may hold several posts
// (13-1 and 14-1 give both to one official); that is compared person by person
// when something is asked for. A group cannot be told apart any more.
func (c *checker) sharedGroup(field string, a, b Post) {
	switch {
	case a.Audits != b.Audits:
		c.refuse(field, "16-2", "", fmt.Sprintf("監査する職と %s が同じグループです。監査を受ける者が監査することになります。", b.ID), fmt.Sprintf("One group for auditing and for %s: the audited would audit themselves.", b.ID))
	case a.Approves != b.Approves:
		c.refuse(field, "16-1", "", fmt.Sprintf("承認する職と申請する職（%s と %s）が同じグループです。", b.ID, a.ID), fmt.Sprintf("One group for a post that approves and one that asks (%s and %s).", b.ID, a.ID))
	}
}

func (c *checker) sections() {
	ids := once{}
	for i, s := range c.p.Sections {
		at := fmt.Sprintf("sections[%d]", i)
		c.id(at+".id", s.ID)
		ids.check(c, s.ID, at+".id", "", "同じidが二度使われています。", "The id is used twice.")
		c.words(at+".name", s.Name)
		if s.Parent == "" {
			continue
		}
		above, known := c.known[s.Parent]
		switch {
		case !known:
			c.refuse(at+".parent", "12-2", Nearest(s.Parent, c.ids), "上の部局が見つかりません。", "The section above does not exist.")
		case above.Parent != "":
			c.refuse(at+".parent", "12-2", above.Parent, "室課の上に置けるのは部局だけです（部局 > 室課）。", "A section lies below a department, and a department below nothing.")
		}
	}
}

func (c *checker) networks() {
	type seen struct {
		index int
		zone  ZoneID
		out   bool
	}
	first := make(map[netip.Prefix]seen, len(c.p.Networks))
	for i, n := range c.p.Networks {
		at := fmt.Sprintf("networks[%d]", i)
		c.served(at+".zone", n.Zone, "26no2-1")
		if !n.Prefix.IsValid() {
			if !c.problemAt(at + ".cidr") {
				c.refuse(at+".cidr", "26no2-1", "", "ネットワーク（cidr）が必要です。", "A network needs its cidr.")
			}
			continue
		}
		if n.Zone == MyNumber && n.Outside {
			c.refuse(at+".outside", "26no2-3(3)", "false", "個人番号利用事務系のネットワークは外部に置けません。", "A network of the mynumber zone is never outside.")
		}
		if n.Prefix.Bits() == 0 && !n.Outside {
			c.refuse(at+".cidr", "26no4-1", "", "世界中のアドレスを庁内とすることはできません。", "Not every address in the world is inside.")
		}
		earlier, twice := first[n.Prefix]
		if !twice {
			first[n.Prefix] = seen{i, n.Zone, n.Outside}
			continue
		}
		line, _ := c.place(fmt.Sprintf("networks[%d]", earlier.index))
		if earlier.zone != n.Zone || earlier.out != n.Outside {
			c.refuse(at+".cidr", "26no4-1", "", fmt.Sprintf("%d行目の同じネットワークが、別の領域または別の側にあります。", line), fmt.Sprintf("The same network lies in another zone, or on the other side, on line %d.", line))
		} else {
			c.refuse(at+".cidr", "26no4-1", "", fmt.Sprintf("同じネットワークが%d行目にもあります。", line), fmt.Sprintf("The same network is on line %d already.", line))
		}
	}
}

func (c *checker) terminals() {
	ids, keys := once{}, once{}
	for i, t := range c.p.Terminals {
		at := fmt.Sprintf("terminals[%d]", i)
		c.id(at+".id", t.ID)
		ids.check(c, t.ID, at+".id", "60", "同じidが二度使われています。", "The id is used twice.")
		c.served(at+".zone", t.Zone, "60")
		c.need(at+".class", t.Class, "60")
		if t.Name != (Words{}) {
			c.words(at+".name", t.Name)
		}
		if t.PublicKey == "" {
			continue
		}
		key, err := t.Key()
		switch {
		case errors.Is(err, errPrivateKey):
			c.refuse(at+".public_key", "64-1", "", "これは秘密鍵です。端末機の外に置いてはいけません。公開鍵を書き、この鍵は作り直してください。", "This is a private key, which must not leave its terminal. Write the public key, and make a new pair.")
		case err != nil:
			c.refuse(at+".public_key", "60", "", "P-256の公開鍵をPEM（PUBLIC KEY）で書いてください。", "Write a P-256 public key as PEM (PUBLIC KEY).")
		default:
			point, err := key.Bytes()
			if err != nil {
				c.refuse(at+".public_key", "60", "", "P-256の公開鍵をPEM（PUBLIC KEY）で書いてください。", "Write a P-256 public key as PEM (PUBLIC KEY).")
				continue
			}
			keys.check(c, string(point), at+".public_key", "60", "二つの端末機が同じ鍵を持っています。", "Two terminals have one key.")
		}
	}
}

var hostLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// plainHost reports whether a name is a DNS name as browsers send it: labels of
// lower-case letters, digits and hyphens, no port, no address.
func plainHost(host string) bool {
	if len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if !hostLabel.MatchString(l) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != "" // an all-digit last label makes browsers read an address
}

func (c *checker) applications() {
	ids, hosts := once{}, once{}
	for i, a := range c.p.Applications {
		at := fmt.Sprintf("applications[%d]", i)
		c.id(at+".id", a.ID)
		ids.check(c, a.ID, at+".id", "62-1", "同じidが二度使われています。", "The id is used twice.")
		c.words(at+".name", a.Name)
		c.host(at+".host", a.Host)
		hosts.check(c, a.Host, at+".host", "62-1", "同じホスト名が二度使われています。", "The host is used twice.")
		c.upstream(at+".url", a.URL)
		c.served(at+".zone", a.Zone, "26no2-1")
		if (a.Class < 1 || a.Class > 4) && !c.problemAt(at+".class") {
			c.refuse(at+".class", "17", fmt.Sprint(min(max(a.Class, 1), 4)), "重要度は1から4までです。", "A class is 1 to 4.")
		}
		c.applicationACR(at+".acr", a)
		for j, dn := range a.Groups {
			if len(splitDN(dn)) < 2 || !strings.Contains(dn, "=") {
				c.refuse(fmt.Sprintf("%s.groups[%d]", at, j), "47-2", "", "グループのDN（cn=…,ou=…）を書いてください。", "Write the group's DN (cn=…,ou=…).")
			}
		}
		c.borrowed(at+".requires_privilege", a.RequiresPrivilege, a.Environment)
		c.paths(at+".paths", a)
		for j, id := range a.Sections {
			if _, ok := c.known[id]; !ok && !c.problemAt(fmt.Sprintf("%s.sections[%d]", at, j)) {
				c.refuse(fmt.Sprintf("%s.sections[%d]", at, j), "47-2", Nearest(id, c.ids), "知らない部局・室課です。", "This section is not known.")
			}
		}
	}
}

// borrowed refuses a demand for a privilege that nobody lends, or not to everybody whom
// the application is for: it would close the place to them.
func (c *checker) borrowed(field, id string, of Environment) {
	if id == "" || c.problemAt(field) {
		return
	}
	var ids []string
	for _, v := range c.p.Privileges {
		ids = append(ids, v.ID)
		if v.ID == id {
			c.lentWithin(field, v, of)
		}
	}
	if !slices.Contains(ids, id) {
		c.refuse(field, "62-6", Nearest(id, ids), "知らない特権です。privileges に定めてください。", "This privilege is not known; define it under privileges.")
	}
}

// paths are rules that ask for more. One that asks for nothing, or for less than
// its application does, would read as a loosening and be none.
func (c *checker) paths(field string, a Application) {
	seen := once{}
	need := a.ACR
	if need == "" {
		need = c.classNeeds(a)
	}
	for i, rule := range a.Paths {
		at := fmt.Sprintf("%s[%d]", field, i)
		if c.need(at+".path", rule.Path, "62-2"); rule.Path == "" {
			continue
		}
		plain, ok := PlainPath(rule.Path)
		if !ok || plain != rule.Path {
			c.refuse(at+".path", "62-2", plain, "場所は / で始め、%、;、?、//、.. を使わずに書いてください。", "Write the path from / on, without %, ;, ?, // and ...")
			continue
		}
		seen.check(c, strings.ToLower(strings.TrimSuffix(rule.Path, "/")), at+".path", "62-2", "同じ場所が二度書かれています。", "The path is there twice.")
		if rule.ACR == "" && rule.FreshFor == 0 && rule.RequiresPrivilege == "" {
			c.refuse(at, "62-2", "", "acr、fresh_for 又は requires_privilege を書いてください。何も求めない場所の決まりには意味がありません。", "Write acr, fresh_for or requires_privilege; a rule that asks for nothing has no meaning.")
		}
		c.borrowed(at+".requires_privilege", rule.RequiresPrivilege, a.Environment)
		if rule.ACR != "" && need != "" && !rule.ACR.AtLeast(need) && !c.problemAt(at+".acr") {
			c.refuse(at+".acr", "17", string(need), "システム全体が求める強さより弱くはできません。", "A path cannot ask for less than its application does.")
		}
		if a.FreshFor > 0 && rule.FreshFor > a.FreshFor && !c.problemAt(at+".fresh_for") {
			c.refuse(at+".fresh_for", "62-2", ShowDuration(a.FreshFor), "システム全体より古い認証を許すことはできません。", "A path cannot take an older sign-in than its application does.")
		}
	}
}

func (c *checker) host(field, host string) {
	if host == "" {
		c.need(field, host, "62-1")
		return
	}
	if !plainHost(host) {
		near := CanonicalHost(host)
		if u, err := url.Parse(host); err == nil && u.Hostname() != "" {
			near = strings.ToLower(u.Hostname())
		}
		if !plainHost(near) {
			near = ""
		}
		c.refuse(field, "62-1", near, "ホスト名は英小文字のDNS名で書いてください（ポートや https:// は付けません）。", "Write the host as a DNS name in lower case, without port or https://.")
	}
}

// upstream refuses what an application's own address cannot be. A path or a
// query would be joined to the visitor's, and the two disagree about slashes.
func (c *checker) upstream(field, address string) {
	if address == "" {
		return
	}
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		near := ""
		if err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
			near = u.Scheme + "://" + u.Host
		}
		c.refuse(field, "62-1", near, "アプリケーションのアドレスは http://ホスト:ポート か https://ホスト:ポート だけで書いてください。", "Write the upstream as http://host:port or https://host:port and nothing more.")
	}
}

func (c *checker) applicationACR(field string, a Application) {
	if a.ACR == "" || c.problemAt(field) {
		return
	}
	if a.Zone == MyNumber && !a.ACR.AtLeast(AAL2) {
		c.refuse(field, "26no3-1", string(AAL2), "個人番号利用事務系のシステムは、二つ以上の要素が必要です。", "An application of the mynumber zone takes two or more factors.")
		return
	}
	need := c.classNeeds(a)
	if need != "" && !a.ACR.AtLeast(need) {
		c.refuse(field, "17", string(need), "重要度と領域が求める強さより弱くはできません。", "An application cannot ask for less than its class and zone do.")
	}
}

// classNeeds is what the class asks for in the application's zone, the file's
// own class before the profile's; empty where either is wrong.
func (c *checker) classNeeds(a Application) ACR {
	for _, classes := range [][]Class{c.p.Classes, standardClasses()} {
		for _, class := range classes {
			if class.Class == a.Class {
				return class.ACR[a.Zone]
			}
		}
	}
	return ""
}
