package lifecycle

import (
	"context"
	"slices"
	"strings"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// kept are the posts that a sweep never leaves with fewer than fewestOf people: those
// who can say no to it, and undo what it did. Without the last of them nobody could
// open anybody's ID again.
var kept = []policy.PostID{policy.CIO, policy.SecurityOfficer, policy.SecurityManager, policy.SystemAdministrator}

const fewestOf = 2

// holders are who holds a post beside the one who would be closed.
type holders struct {
	post   policy.PostID
	people []directory.Person
}

// holdersBeside are, for each of somebody's posts that is kept, its other holders.
func (b *Book) holdersBeside(ctx context.Context, who directory.Person) ([]holders, error) {
	p := b.Policy()
	var out []holders
	for _, id := range p.PostsOf(who.Groups) {
		post, ok := p.Post(id)
		if !ok || post.Group == "" || !slices.Contains(kept, id) {
			continue
		}
		people, err := b.Directory.Holders(ctx, post.Group)
		if err != nil {
			return nil, err
		}
		people = slices.DeleteFunc(people, func(o directory.Person) bool { return o.ID == who.ID || o.SameHuman(who) })
		out = append(out, holders{id, people})
	}
	return out, nil
}

// wouldEmpty is the post that would be left with too few open IDs, "" for none. It
// asks in the transaction that closes: two who are closed one after the other are
// counted one after the other.
func (b *Book) wouldEmpty(ctx context.Context, tx *store.Tx, posts []holders) (policy.PostID, error) {
	now := b.Now()
	for _, h := range posts {
		var open []directory.Person
		for _, p := range h.people {
			if !p.MaySignIn(now) || slices.ContainsFunc(open, p.SameHuman) {
				continue
			}
			closed, err := standing.Closed(ctx, tx, p.ID, now)
			if err != nil {
				return "", err
			}
			if !closed {
				open = append(open, p)
			}
		}
		if len(open) < fewestOf {
			return h.post, nil
		}
	}
	return "", nil
}

// heldBack tells that somebody is not closed because of their post.
func (w *work) heldBack(ctx context.Context, tx *store.Tx, e Entry, post policy.PostID) error {
	if err := w.found(ctx, tx, Finding{Kind: LastHolder, Subject: string(e.Person), Login: e.Login, Section: e.Section, Detail: string(post)}); err != nil {
		return err
	}
	entry := w.about("dormancy.held", e)
	entry.Outcome, entry.Reason = audit.Refused, string(LastOfPost)
	entry.Detail["post"] = string(post)
	return w.Trail.Append(ctx, tx, entry)
}

// own reports whether Sekisho itself binds with an ID: by its DN or, on Active
// Directory, by a login with its domain.
func (b *Book) own(who directory.Person) bool {
	if b.Own == "" {
		return false
	}
	if strings.Contains(b.Own, "=") {
		return policy.CanonicalDN(b.Own) == policy.CanonicalDN(who.DN)
	}
	login, _, _ := strings.Cut(b.Own[strings.LastIndexByte(b.Own, '\\')+1:], "@")
	return directory.Canonical(login) == directory.Canonical(who.Login)
}
