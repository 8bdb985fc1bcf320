package policy

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// Powerful reports whether one of these posts approves or administers: whoever
// holds one is given a credential by two persons (articles 16-1, 62-7; design
// rule 7), and brings a key that stays on one device.
func (p *Policy) Powerful(posts []PostID) bool {
	return slices.ContainsFunc(posts, func(id PostID) bool {
		post, ok := p.Post(id)
		return ok && (post.Approves || post.Administers)
	})
}

// StandsInFor are the posts that somebody stands in for, now or later, as a deputy
// or on duty: whoever is to have a post's power is guarded as its holder is.
func (p *Policy) StandsInFor(login string, now time.Time) []PostID {
	plain := func(s string) string { return strings.ToLower(norm.NFKC.String(strings.TrimSpace(s))) }
	var posts []PostID
	for _, d := range p.Approval.Deputies {
		if last, err := time.ParseInLocation(dateForm, d.Until, japan); plain(d.Login) == plain(login) && (err != nil || now.Before(last.AddDate(0, 0, 1))) {
			posts = append(posts, d.Post)
		}
	}
	for _, d := range p.Approval.Duty {
		if last, err := time.Parse(time.RFC3339, d.Until); slices.ContainsFunc(d.Logins, func(l string) bool { return plain(l) == plain(login) }) && (err != nil || now.Before(last)) {
			posts = append(posts, d.Posts...)
		}
	}
	return posts
}

// CardsIn reports whether IC cards sign people in from a zone.
func (p *Policy) CardsIn(zone ZoneID) bool {
	return slices.ContainsFunc(p.Cards, func(a CardAuthority) bool {
		return len(a.Zones) == 0 || slices.Contains(a.Zones, zone)
	})
}
