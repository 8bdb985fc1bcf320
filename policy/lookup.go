package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// An index finds what a large prefecture has thousands of, at each request. It
// is a hint: every hit is compared with the list itself, and a miss searches
// the list, so a policy put together by hand is found in too.
type index struct {
	applications, hosts, sections map[string]int
}

func indexOf(p *Policy) index {
	x := index{
		applications: make(map[string]int, len(p.Applications)),
		hosts:        make(map[string]int, len(p.Applications)),
		sections:     make(map[string]int, len(p.Sections)),
	}
	for i, a := range p.Applications {
		x.applications[a.ID], x.hosts[a.Host] = i, i
	}
	for i, s := range p.Sections {
		x.sections[s.ID] = i
	}
	return x
}

// Zone finds a zone this gateway serves.
func (p *Policy) Zone(id ZoneID) (Zone, bool) {
	for _, z := range p.Zones {
		if z.ID == id {
			return z, true
		}
	}
	return Zone{}, false
}

// Application finds an application by its id.
func (p *Policy) Application(id string) (Application, bool) {
	if i, ok := p.index.applications[id]; ok && i < len(p.Applications) && p.Applications[i].ID == id {
		return p.Applications[i], true
	}
	for _, a := range p.Applications {
		if a.ID == id {
			return a, true
		}
	}
	return Application{}, false
}

// ApplicationByHost finds an application by the host it is reached at. Case, a
// port and the final dot of a full name make no difference: they are three
// spellings of one host, and a spelling must not lead around a rule.
func (p *Policy) ApplicationByHost(host string) (Application, bool) {
	host = CanonicalHost(host)
	if host == "" {
		return Application{}, false
	}
	if i, ok := p.index.hosts[host]; ok && i < len(p.Applications) && p.Applications[i].Host == host {
		return p.Applications[i], true
	}
	for _, a := range p.Applications {
		if a.Host == host {
			return a, true
		}
	}
	return Application{}, false
}

// CanonicalHost is the one spelling of a Host header: lower case, no port, no
// final dot.
func CanonicalHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Post finds a post by its id.
func (p *Policy) Post(id PostID) (Post, bool) {
	for _, post := range p.Posts {
		if post.ID == id {
			return post, true
		}
	}
	return Post{}, false
}

// Section finds a 部局 or 室課 by its id.
func (p *Policy) Section(id string) (Section, bool) {
	if i, ok := p.index.sections[id]; ok && i < len(p.Sections) && p.Sections[i].ID == id {
		return p.Sections[i], true
	}
	for _, s := range p.Sections {
		if s.ID == id {
			return s, true
		}
	}
	return Section{}, false
}

// InSection reports whether a person of section lies in one of wanted, itself
// or through the 部局 above it. No wanted section means that none is asked for;
// a person without a section, or with one nobody knows, is in none.
func (p *Policy) InSection(section string, wanted []string) bool {
	if len(wanted) == 0 {
		return true
	}
	for range p.Sections { // at most as many steps as there are sections: a ring ends
		s, ok := p.Section(section)
		if !ok {
			return false
		}
		for _, w := range wanted {
			if w == s.ID {
				return true
			}
		}
		if section = s.Parent; section == "" {
			return false
		}
	}
	return false
}

// Terminal finds an enrolled machine by its id.
func (p *Policy) Terminal(id string) (Terminal, bool) {
	for i := range p.Terminals { // doors ask: a terminal is not copied to be looked at
		if p.Terminals[i].ID == id {
			return p.Terminals[i], true
		}
	}
	return Terminal{}, false
}

// ZoneOf says in which zone a source address lies and whether that is outside
// the prefecture's own lines (article 63-1). The longest prefix wins. An
// address in no network is outside: it counts as the Internet zone's where that
// is served, and otherwise as no zone's at all, the empty id.
func (p *Policy) ZoneOf(addr netip.Addr) (zone ZoneID, outside bool) {
	addr = addr.Unmap().WithZone("")
	best := -1
	for _, n := range p.Networks {
		if n.Prefix.Contains(addr) && n.Prefix.Bits() > best {
			best, zone, outside = n.Prefix.Bits(), n.Zone, n.Outside
		}
	}
	if best >= 0 {
		return zone, outside
	}
	if _, served := p.Zone(Internet); served {
		return Internet, true
	}
	return "", true
}

// PostsOf says which posts the members of these groups hold, in the policy's
// order. DNs are compared without regard to case and to spaces around their
// commas, as directories write them differently from people.
func (p *Policy) PostsOf(groupDNs []string) []PostID {
	var room [8]string
	held := room[:0]
	for _, dn := range groupDNs {
		held = append(held, canonicalDN(dn))
	}
	var posts []PostID
	for _, post := range p.Posts {
		if post.Group != "" && slices.Contains(held, canonicalDN(post.Group)) {
			posts = append(posts, post.ID)
		}
	}
	return posts
}

// canonicalDN folds case and drops the spaces around unescaped commas. It is
// no DN parser: two DNs that differ in another way are different groups, which
// gives a post to nobody rather than to somebody.
func canonicalDN(dn string) string {
	if plainDN(dn) { // as most are, and it is asked at every request under a lock-down
		return dn
	}
	return respelt(dn)
}

func respelt(dn string) string {
	var b strings.Builder
	for i, part := range splitDN(dn) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ToLower(strings.Trim(part, " ")))
	}
	return b.String()
}

// plainDN reports whether a DN is spelt as canonicalDN would spell it: small letters,
// nothing escaped, and no space beside a comma or at an end. What it is in doubt about
// it denies.
func plainDN(dn string) bool {
	for i := range len(dn) {
		switch c := dn[i]; {
		case c >= 'A' && c <= 'Z', c == '\\', c >= 0x80:
			return false
		case c == ' ' && (i == 0 || i == len(dn)-1 || dn[i-1] == ',' || dn[i+1] == ','):
			return false
		}
	}
	return true
}

// splitDN cuts a DN at its unescaped commas, RFC 4514 section 2.4.
func splitDN(dn string) []string {
	var parts []string
	start := 0
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			parts = append(parts, dn[start:i])
			start = i + 1
		}
	}
	return append(parts, dn[start:])
}

// RequiredACR is the assurance it takes to use an application: what its class
// asks for in its zone, or what the application itself asks for if that is
// more. A class or zone nobody knows asks for the most there is.
func (p *Policy) RequiredACR(app Application) ACR {
	need := p.classACR(app.Class, app.Zone)
	if app.ACR == "" || need.AtLeast(app.ACR) {
		return need
	}
	if app.ACR.AtLeast(need) {
		return app.ACR
	}
	return PHR
}

func (p *Policy) classACR(class int, zone ZoneID) ACR {
	for _, c := range p.Classes {
		if c.Class == class && c.ACR[zone].strength() > 0 {
			return c.ACR[zone]
		}
	}
	return PHR
}
