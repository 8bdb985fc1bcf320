package policy

import (
	"fmt"
	"slices"
	"time"
)

// A SharedID is one ID of the directory that several people use, each for a while and
// under their own name (article 46-1): who may check it out, how many at once, and for
// how long. It lies where IDs are lent, so that nobody signs in here with it.
type SharedID struct {
	ID       string   `yaml:"id"`
	Name     Words    `yaml:"name"`
	Account  string   `yaml:"account"` // its DN, where IDs are lent
	Eligible Eligible `yaml:"eligible"`
	Zone     ZoneID   `yaml:"zone"` // where the one who checks it out signed in
	// Environment is that of what it is used at; empty: production (article 68).
	Environment Environment `yaml:"environment"`

	// Holders is how many people may have it at once; one: nobody else does
	// meanwhile. They share one password, which is changed when the last gives it back.
	Holders int           `yaml:"holders"`
	Usual   time.Duration `yaml:"usual"`   // what the form begins with
	Longest time.Duration `yaml:"longest"` // from check-out to the end, and of one password
	ACR     ACR           `yaml:"acr"`     // of the sign-in that checks it out
	// FreshFor is how recent that sign-in is.
	FreshFor time.Duration `yaml:"fresh_for"`
	// OutlivesSession: it is kept to its end when its holder's session ends before.
	OutlivesSession bool `yaml:"outlives_session"`
}

// SharedID finds a shared ID by its id.
func (p *Policy) SharedID(id string) (SharedID, bool) {
	for _, s := range p.SharedIDs {
		if id != "" && s.ID == id {
			return s, true
		}
	}
	return SharedID{}, false
}

// MayShare reports whether somebody with this login, these posts, groups and this
// section is among those a shared ID is for. It speaks of the policy alone.
func (p *Policy) MayShare(s SharedID, login string, posts []PostID, groupDNs []string, section string) bool {
	return p.MayBorrow(Privilege{ID: s.ID, Eligible: s.Eligible}, login, posts, groupDNs, section)
}

// PowerIn is the first of these groups that is power: it carries a post, or a privilege
// gives membership of it. "" where none is.
func (p *Policy) PowerIn(groupDNs []string) string {
	for _, dn := range groupDNs {
		if p.CarriesPost(dn) || slices.ContainsFunc(p.Privileges, func(v Privilege) bool {
			return slices.ContainsFunc(v.Gives, func(g Gift) bool {
				return slices.ContainsFunc(g.GroupDNs(), func(lent string) bool { return SameDN(lent, dn) })
			})
		}) {
			return dn
		}
	}
	return ""
}

// Gift is what a check-out gives: the ID, opened with a fresh password.
func (s SharedID) Gift() Gift { return Gift{Kind: GiftAccount, Account: s.Account} }

// sharedIDs refuses what would leave it open who had an ID.
func (c *checker) sharedIDs() {
	ids, accounts := once{}, once{}
	for i, s := range c.p.SharedIDs {
		at := fmt.Sprintf("shared_ids[%d]", i)
		c.id(at+".id", s.ID)
		ids.check(c, s.ID, at+".id", "46-1", "同じidが二度使われています。", "The id is used twice.")
		c.words(at+".name", s.Name)
		c.entryDN(at+".account", s.Account)
		accounts.check(c, canonicalDN(s.Account), at+".account", "46-1", "同じIDが二度書かれています。", "The same ID is there twice.")
		c.lentAsWell(at+".account", s)
		c.borrowers(at+".eligible", s.Eligible)
		if c.need(at+".zone", string(s.Zone), "46-1"); s.Zone != "" && !c.problemAt(at+".zone") && !slices.ContainsFunc(c.p.Zones, func(z Zone) bool { return z.ID == s.Zone }) {
			c.refuse(at+".zone", "46-1", "", "この領域は zones にありません。", "This zone is not among zones.")
		}
		if s.Usual > s.Longest && !c.problemAt(at+".usual") {
			c.refuse(at+".usual", "65", ShowDuration(s.Longest), "ふだんの時間（usual）は、最長の時間（longest）より長くできません。", "The usual time cannot be longer than the longest.")
		}
	}
}

// lentAsWell refuses an ID that a privilege lends: two would have it, and the end of
// the one would end the other.
func (c *checker) lentAsWell(field string, s SharedID) {
	for _, v := range c.p.Privileges {
		for _, g := range v.Gives {
			if s.Account != "" && g.Kind == GiftAccount && SameDN(g.Account, s.Account) && !c.problemAt(field) {
				c.refuse(field, "46-1", "", "このIDは特権 "+v.ID+" として貸し出されています。共用IDとしては、別のIDを使ってください。", "This ID is lent as the privilege "+v.ID+"; share another.")
			}
		}
	}
}
