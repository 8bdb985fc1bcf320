package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// rosterFor is how long it is remembered who holds a post. Whoever decides is
// read afresh all the same; this only says who else could.
const rosterFor = 30 * time.Second

// A roster remembers the members of the groups that carry posts.
type roster struct {
	mu   sync.Mutex
	held map[string]held
}

type held struct {
	people []directory.Person
	at     time.Time
}

// whoMay are all who could come to decide under a rule: who holds the posts that
// it names, those above them, and whom the policy names to stand in.
func (b *Book) whoMay(ctx context.Context, p *policy.Policy, r Rule) ([]Holder, error) {
	posts := []policy.PostID{policy.SecurityOfficer, policy.CIO}
	for _, s := range r.Steps {
		posts = append(posts, s.Posts...)
	}
	var out []Holder
	add := func(people ...directory.Person) {
		for _, person := range people {
			if !slices.ContainsFunc(out, func(h Holder) bool { return h.Person.ID == person.ID }) {
				out = append(out, Holder{Person: person, Posts: p.PostsOf(person.Groups)})
			}
		}
	}
	slices.Sort(posts)
	for _, id := range slices.Compact(posts) {
		post, ok := p.Post(id)
		if !ok || post.Group == "" {
			continue
		}
		people, err := b.known(ctx, post.Group, func(ctx context.Context) ([]directory.Person, error) { return b.People.Holders(ctx, post.Group) })
		if err != nil {
			return nil, fmt.Errorf("reading who holds the post %s: %w", id, err)
		}
		add(people...)
	}
	if r.Strict {
		return out, nil
	}
	for _, login := range logins(p, b.Now()) {
		people, err := b.known(ctx, "login:"+login, func(ctx context.Context) ([]directory.Person, error) {
			person, err := b.People.Find(ctx, login)
			if err == nil && directory.Canonical(person.Login) != directory.Canonical(login) {
				err = directory.ErrNotFound // found by something else than the login
			}
			return []directory.Person{person}, err
		})
		if err != nil {
			return nil, fmt.Errorf("reading who stands in: %w", err)
		}
		add(people...)
	}
	return out, nil
}

// known remembers an answer for a while. Who is not there is nobody.
func (b *Book) known(ctx context.Context, key string, read func(context.Context) ([]directory.Person, error)) ([]directory.Person, error) {
	now := b.Now()
	b.roster.mu.Lock()
	h, ok := b.roster.held[key]
	b.roster.mu.Unlock()
	if ok && now.Sub(h.at) < rosterFor {
		return h.people, nil
	}
	people, err := read(ctx)
	switch {
	case errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrAmbiguous), errors.Is(err, directory.ErrMalformed):
		people = nil
	case err != nil:
		return nil, err
	}
	b.roster.mu.Lock()
	defer b.roster.mu.Unlock()
	b.roster.held[key] = held{people, now}
	return people, nil
}
