package people

import (
	"context"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
)

// An Attempt is how failures stand against one kind of credential.
type Attempt struct {
	Kind      string // "password" or "code"
	Failures  int    // consecutive
	HeldUntil time.Time
	Spent     bool // opens nothing until it is unlocked or bound again
}

// Detail is everything about a person that an administrator sees.
type Detail struct {
	Person   directory.Person
	Posts    []policy.PostID
	State    string
	Closed   []standing.Record // what Sekisho has recorded against use
	Factors  []account.Factor
	Sessions int               // live at the gate
	Live     []session.Session // those themselves, without what applications hold of them
	Attempts []Attempt
	Recovery time.Time       // until when a recovery code is good; zero for none
	Past     []Past          // what administrators did, newest first
	Leave    standing.Record // in force or to come; the zero Record for none
	// May says what the reader may do to this person. It is asked again when
	// they do it.
	May map[authz.Act]authz.Permission
}

// Show is one person.
func (s *Service) Show(ctx context.Context, o signin.Origin, cookie, login string) (Detail, error) {
	reader, err := s.viewer(ctx, o, cookie, authz.ViewPeople)
	if err != nil {
		return Detail{}, err
	}
	p, err := s.called(login)(ctx)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{Person: p, Posts: s.postsOf(p), May: map[authz.Act]authz.Permission{}}
	for _, act := range authz.Acts() {
		d.May[act] = authz.May(s.In.Policy(), act, reader.posts, d.Posts, p.ID == reader.Person)
	}
	return d, s.fill(ctx, &d)
}

// fill adds what the store knows of a person.
func (s *Service) fill(ctx context.Context, d *Detail) error {
	id, now := d.Person.ID, s.In.Now()
	var err error
	if d.Closed, err = standing.Records(ctx, s.In.DB, id, now); err != nil {
		return err
	}
	if d.Leave, _, err = standing.Leave(ctx, s.In.DB, id, now); err != nil {
		return err
	}
	var kinds []standing.Kind
	for _, r := range d.Closed {
		kinds = append(kinds, r.Kind)
	}
	d.State = StateOf(kinds, d.Person.Account, now)
	if d.Factors, err = s.Account.FactorsOf(ctx, id); err != nil {
		return err
	}
	if d.Live, err = s.In.Sessions.List(ctx, id); err != nil {
		return err
	}
	d.Sessions = len(d.Live)
	if d.Past, err = past(ctx, s.In.DB, id); err != nil {
		return err
	}
	pw, code, err := s.In.Counts(ctx, d.Person)
	if err != nil {
		return err
	}
	d.Attempts = []Attempt{
		{"password", pw.Failures, pw.HeldUntil, pw.Spent},
		{"code", code.Failures, code.HeldUntil, code.Spent},
	}
	d.Recovery, err = s.In.Recovery.Open(ctx, id)
	return err
}
