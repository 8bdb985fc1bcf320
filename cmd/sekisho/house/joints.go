package house

import (
	"context"

	"sekisho/authn/passkey"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/permit"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// relyingParty is who asks for passkeys: the name of the gate's own host, at its
// one address.
func relyingParty(cfg Config, p *policy.Policy) passkey.RP {
	name := p.Prefecture.Name.In("ja")
	if name == "" {
		name = "関所"
	}
	u := cfg.PublicURL
	return passkey.RP{ID: u.Hostname(), Name: name, Origins: []string{u.Scheme + "://" + u.Host}}
}

// guard tells web the live cookies from the dead.
type guard struct {
	*signin.Service
	sessions *session.Sessions
}

func (g guard) CheckCSRF(cookie, token string) bool { return g.sessions.CheckCSRF(cookie, token) }

// fill adds to facts what a decision may rest on beside the directory: permits, sections
// beside the own, and projects.
func (h *House) fill(ctx context.Context, f *authz.Facts) error {
	if err := h.Permits.Fill(ctx, f); err != nil {
		return err
	}
	if err := h.Personnel.Fill(ctx, f); err != nil {
		return err
	}
	return h.Projects.Fill(ctx, f)
}

// ties are the projects that an ID is bound to, for those who lend, share and permit.
func (h *House) ties(ctx context.Context, in store.Reader, who directory.PersonID) ([]authz.Tie, error) {
	if in == nil {
		return h.Projects.Ties(ctx, who)
	}
	f := authz.Facts{Person: directory.Person{ID: who}}
	err := h.Projects.FillIn(ctx, in, &f)
	return f.Ties, err
}

// answers says whether an ID is of the environment in which a client acts by itself, and
// good for anything there (articles 67-2(1), 68-2).
func (h *House) answers(ctx context.Context, owner directory.Person, app policy.Application) (bool, error) {
	now := h.Clock.Now()
	ties, err := h.Projects.Ties(ctx, owner.ID)
	if err != nil {
		return false, err
	}
	_, refused := authz.TiedBy(ties, now).Refuses(app.Environment, now)
	return !refused, nil
}

// permitted are the permits as those who try access see them: as the doors do.
type permitted struct {
	*permit.Book
	fill func(ctx context.Context, f *authz.Facts) error
}

func (p permitted) Fill(ctx context.Context, f *authz.Facts) error { return p.fill(ctx, f) }
