package people

import (
	"context"
	"errors"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
)

// Beside the states of StateOf, what people are looked for by: each is about
// somebody who may use everything and yet cannot get in, or not well.
const (
	ShutOut   = "shut_out"  // failures hold their password or codes
	NoFactor  = "no_factor" // the password alone
	Temporary = "temporary" // the password is to be changed at its first use
)

// States are all that a Filter can ask for.
func States() []string {
	return []string{Active, ShutOut, NoFactor, Temporary, Suspended, Dormant, OnLeave, Expired, Disabled}
}

// A Filter says whom to list. Zero fields do not restrict.
type Filter struct {
	Words, Section string
	Kind           directory.Kind
	State          string
	// Unbegun narrows it to people who may use everything and have not begun: who have
	// a temporary password that they have not used, or no use yet.
	Unbegun bool
}

// A Line is a person in a list, with what an administrator looks for at once.
type Line struct {
	Listed
	ShutOut, NoFactor, Temporary bool
	LastUsedAt                   time.Time
	TemporaryEnds                time.Time // of the temporary password; zero where there is none
}

// A List is one page of people.
type List struct {
	People []Line
	Next   string // what to go on after; "" for no rest
	// Total is how many the words, section and kind fit, whatever their state.
	Total int
	// Read is how many of them this page has read for those that it shows. If
	// it ends before the page is full there may be more.
	Read int
}

// mostRounds bounds how far one answer reads for people of one state, in pages
// of the directory: it is not the directory that knows most of the states.
const mostRounds = 10

// List lists people by words, section, kind and state, in the order of their
// logins.
func (s *Service) List(ctx context.Context, o signin.Origin, cookie string, f Filter, after string, limit int) (List, error) {
	if _, err := s.viewer(ctx, o, cookie, authz.ViewPeople); err != nil {
		return List{}, err
	}
	select {
	case s.searching <- struct{}{}:
		defer func() { <-s.searching }()
	case <-ctx.Done():
		return List{}, signin.ErrBusy
	}
	limit = max(1, min(limit, MostFound))
	out := List{Next: after}
	for range mostRounds {
		batch := limit
		if f.State != "" || f.Unbegun {
			batch = MostFound
		}
		found, err := s.Directory.Look(ctx, directory.Wanted{Words: f.Words, Section: f.Section, Kind: f.Kind}, out.Next, batch)
		if err != nil {
			return List{}, unusableWords(err)
		}
		lines, err := s.lines(ctx, found.People)
		if err != nil {
			return List{}, err
		}
		out.Total, out.Next = found.Total, found.Next
		for i, one := range lines {
			out.Read++
			if !f.fits(one) {
				continue
			}
			out.People = append(out.People, one)
			if len(out.People) == limit && i+1 < len(lines) {
				out.Next = directory.Canonical(one.Login)
				return out, nil
			}
		}
		if out.Next == "" || len(out.People) >= limit {
			break
		}
	}
	return out, nil
}

// fits is asked of section and kind, too: not every directory can be.
func (f Filter) fits(l Line) bool {
	if f.Section != "" && l.Section != f.Section || f.Kind != "" && l.Kind != f.Kind {
		return false
	}
	if f.Unbegun && (l.State != Active || l.Kind == directory.KindService || !l.Temporary && !l.LastUsedAt.IsZero()) {
		return false
	}
	switch f.State {
	case "":
		return true
	case ShutOut:
		return l.ShutOut
	case NoFactor:
		return l.NoFactor
	case Temporary:
		return l.Temporary
	}
	return l.State == f.State
}

// lines adds what the store knows of people.
func (s *Service) lines(ctx context.Context, people []directory.Person) ([]Line, error) {
	ids := make([]directory.PersonID, 0, len(people))
	for _, p := range people {
		ids = append(ids, p.ID)
	}
	now := s.In.Now()
	closed, err := standing.Among(ctx, s.In.DB, ids, now)
	if err != nil {
		return nil, err
	}
	factors, err := s.Account.WithFactors(ctx, ids)
	if err != nil {
		return nil, err
	}
	shut, err := s.In.Shut(ctx, people)
	if err != nil {
		return nil, err
	}
	var out []Line
	for _, p := range people {
		var ends time.Time
		if at := p.Account.PasswordChangedAt; p.Account.MustChange && !at.IsZero() {
			ends = at.Add(s.In.Policy().Password.TemporaryEnd)
		}
		out = append(out, Line{
			Listed: Listed{
				Login: p.Login, Name: p.Name, Section: p.Section, Kind: p.Kind,
				State: StateOf(closed[p.ID], p.Account, now), Posts: s.postsOf(p),
			},
			ShutOut:   shut[p.ID] || p.Account.PasswordLocked,
			NoFactor:  !factors[p.ID] && p.Kind != directory.KindService,
			Temporary: p.Account.MustChange, LastUsedAt: p.Account.LastUsedAt, TemporaryEnds: ends,
		})
	}
	return out, nil
}

// unusableWords says what is wrong with the words that were looked for.
func unusableWords(err error) error {
	if errors.Is(err, directory.ErrMalformed) {
		return &Invalid{Field: "q", Rule: "unusable", Says: policy.Words{
			JA: "検索する文字が長すぎるか、名前に使えない文字があります。",
			EN: "The search is too long, or holds what no name does.",
		}}
	}
	return err
}
