package people

import (
	"context"
	"slices"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
)

// What a person may do at all, in one word.
const (
	Active    = "active"
	Disabled  = "disabled" // closed in the directory
	Expired   = "expired"  // the account has ended
	Suspended = "suspended"
	Dormant   = "dormant"
	OnLeave   = "on_leave"
)

// StateOf is what stands against a person's use at now. Of several reasons the
// gravest of Sekisho's own comes first: it is what can be lifted here.
func StateOf(closed []standing.Kind, a directory.Account, now time.Time) string {
	for _, k := range []standing.Kind{standing.Suspended, standing.OnLeave, standing.Dormant} {
		if slices.Contains(closed, k) {
			return string(k)
		}
	}
	switch {
	case len(closed) > 0: // by a later version than this
		return string(closed[0])
	case a.Disabled:
		return Disabled
	case !a.Usable(now):
		return Expired
	}
	return Active
}

// Listed is a person in a list.
type Listed struct {
	Login, Name, Section string
	Kind                 directory.Kind
	State                string
	Posts                []policy.PostID
}

// MostFound is the most people and tokens of one answer.
const MostFound = 100

// Find searches people by parts of login, name or mail address, in the order of
// their logins. next is what to give as after for the rest; "" means that there
// is none. limit is MostFound at most.
func (s *Service) Find(ctx context.Context, o signin.Origin, cookie, query, after string, limit int) (found []Listed, next string, err error) {
	if _, err := s.viewer(ctx, o, cookie, authz.ViewPeople); err != nil {
		return nil, "", err
	}
	people, next, err := s.search(ctx, query, after, max(1, min(limit, MostFound)))
	if err != nil {
		return nil, "", err
	}
	ids := make([]directory.PersonID, 0, len(people))
	for _, p := range people {
		ids = append(ids, p.ID)
	}
	now := s.In.Now()
	closed, err := standing.Among(ctx, s.In.DB, ids, now)
	if err != nil {
		return nil, "", err
	}
	for _, p := range people {
		found = append(found, Listed{
			Login: p.Login, Name: p.Name, Section: p.Section, Kind: p.Kind,
			State: StateOf(closed[p.ID], p.Account, now), Posts: s.postsOf(p),
		})
	}
	return found, next, nil
}

func (s *Service) search(ctx context.Context, query, after string, limit int) ([]directory.Person, string, error) {
	select {
	case s.searching <- struct{}{}:
		defer func() { <-s.searching }()
	case <-ctx.Done():
		return nil, "", signin.ErrBusy
	}
	people, next, err := s.Directory.Search(ctx, query, after, limit)
	return people, next, unusableWords(err)
}
