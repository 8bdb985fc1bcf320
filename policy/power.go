package policy

import "slices"

// Powerful reports whether one of these posts approves or administers: whoever
// holds one is given a credential by two persons (articles 16-1, 62-7; design
// rule 7), and brings a key that stays on one device.
func (p *Policy) Powerful(posts []PostID) bool {
	return slices.ContainsFunc(posts, func(id PostID) bool {
		post, ok := p.Post(id)
		return ok && (post.Approves || post.Administers)
	})
}

// CardsIn reports whether IC cards sign people in from a zone.
func (p *Policy) CardsIn(zone ZoneID) bool {
	return slices.ContainsFunc(p.Cards, func(a CardAuthority) bool {
		return len(a.Zones) == 0 || slices.Contains(a.Zones, zone)
	})
}
