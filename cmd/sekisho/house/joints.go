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
	"sekisho/policy/clock"
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
	return h.fillAt(ctx, h.Sessions.Moment(ctx), f)
}

// fillAt is fill for who asks several rooms at one moment.
func (h *House) fillAt(ctx context.Context, at clock.Moment, f *authz.Facts) error {
	if err := h.Permits.Fill(ctx, f); err != nil {
		return err
	}
	if err := h.Personnel.Fill(ctx, f); err != nil {
		return err
	}
	return h.Projects.FillAt(ctx, at, f)
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

// answers says whether somebody may answer for a program that acts by itself.
func (h *House) answers(ctx context.Context, owner directory.Person, app policy.Application) (bool, error) {
	ties, err := h.Projects.Ties(ctx, owner.ID)
	return err == nil && answersIn(authz.TiedBy(ties, h.Clock.Now()), app.Environment), err
}

// answersIn says whether whoever is tied so may answer for a program of an environment. Who
// answers is not who works there: an administrator of production answers for what is being
// made, too, and nobody of development for what acts in production (article 68-1).
func answersIn(owner authz.Tied, of policy.Environment) bool {
	return owner.Of == policy.Production || owner.Of != "" && of.Opens(owner.Of)
}

// permitted are the permits as those who try access see them: as the doors do.
type permitted struct {
	*permit.Book
	fill func(ctx context.Context, f *authz.Facts) error
}

func (p permitted) Fill(ctx context.Context, f *authz.Facts) error { return p.fill(ctx, f) }
