package project

import (
	"context"
	"slices"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy/store"
)

// Of are the projects that somebody is bound to, those that are over too: for a page that
// its reader may see already.
func (b *Book) Of(ctx context.Context, who directory.PersonID) ([]Project, error) {
	all, err := bindings(ctx, b.DB, who)
	out := make([]Project, 0, len(all))
	for _, one := range all {
		out = append(out, one.project)
	}
	return out, err
}

// Elsewhere are those bound to a project who are bound to another too, with the one of
// those that runs longest: their IDs go on when this one ends. Of a project that is not
// the reader's to see nothing is said but that there is one.
func (b *Book) Elsewhere(ctx context.Context, o signin.Origin, cookie, id string) (map[directory.PersonID]Project, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	return b.ElsewhereAs(ctx, by, id)
}

// ElsewhereAs is Elsewhere for somebody who is known already.
func (b *Book) ElsewhereAs(ctx context.Context, by approval.Approver, id string) (map[directory.PersonID]Project, error) {
	v := b.seeing(by)
	others, err := projects(ctx, b.DB, `
		completed_at = 0 AND until_at > $2 AND id <> $1 AND id IN (
			SELECT project FROM project_member WHERE unbound_at = 0 AND person_id IN (SELECT person_id FROM project_member WHERE project = $1 AND unbound_at = 0))`, id, store.Micros(v.now))
	if err != nil || len(others) == 0 {
		return nil, err
	}
	ids := make([]string, len(others))
	for i, p := range others {
		ids[i] = p.ID
	}
	these, args := marks([]any{id}, ids)
	found, err := members(ctx, b.DB, `
		m.unbound_at = 0 AND m.project IN (`+these+`) AND m.person_id IN (SELECT person_id FROM project_member WHERE project = $1 AND unbound_at = 0)`, args...)
	out := map[directory.PersonID]Project{}
	for _, m := range found {
		p := others[slices.Index(ids, m.Project)]
		if !v.sees(p) {
			p = Project{}
		}
		if before, named := out[m.Person.ID]; !named || p.Until.After(before.Until) {
			out[m.Person.ID] = p
		}
	}
	return out, err
}

// responsibles are who answers for some projects (article 67-1).
func responsibles(ctx context.Context, in store.Reader, of []Project) (map[string][]Ref, error) {
	ids := make([]string, len(of))
	for i, p := range of {
		ids[i] = p.ID
	}
	these, args := marks([]any{string(Responsible)}, ids)
	found, err := members(ctx, in, `m.unbound_at = 0 AND m.role = $1 AND m.project IN (`+these+`) ORDER BY m.project, m.login`, args...)
	out := map[string][]Ref{}
	for _, m := range found {
		out[m.Project] = append(out[m.Project], m.Person)
	}
	return out, err
}
