package personnel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sekisho/authz/approval"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// boundAs is what an ID was bound to before an import.
type boundAs struct {
	ID   string       `json:"id"`
	Role project.Role `json:"role"`
}

// ties reports whether a step has to do with projects.
func (j *job) ties() bool { return j.change.SaysProjects || j.change.SaysOwn }

// refusesTie reports whether a problem is that an ID is not bound to a project, which stays
// so however often it is tried.
func refusesTie(problem error) bool {
	return slices.ContainsFunc([]error{project.ErrNotFound, project.ErrOver, project.ErrOtherOf, project.ErrKind, project.ErrKept, project.ErrPowerful, project.ErrOutOfReach}, func(one error) bool {
		return errors.Is(problem, one)
	})
}

// stillRun finds fault with changes that bind to a project which is over since they were
// planned, before anything of them is written.
func (b *Book) stillRun(ctx context.Context, jobs []*job) {
	binds := func(j *job) bool { return j.step == stepApply && j.problem == nil && j.change.SaysProjects }
	if b.Projects == nil || !slices.ContainsFunc(jobs, binds) {
		return
	}
	all, err := b.Projects.Known(ctx, b.DB)
	now := b.Now()
	for _, j := range jobs {
		if !binds(j) || j.found != nil && j.found.Applied { // begun: it is gone on with
			continue
		}
		j.problem = err
		for _, t := range j.change.Projects {
			runs := slices.ContainsFunc(all, func(p project.Project) bool { return p.ID == t.ID && p.State(now) == project.Running })
			if err == nil && t.New && !runs {
				j.problem = fmt.Errorf("%w: %s", project.ErrOver, t.ID)
			}
		}
	}
}

// tiesOf are what the people of jobs are bound to, and what is remembered of their ends.
func (b *Book) tiesOf(ctx context.Context, in store.Reader, jobs []*job) (bound map[directory.PersonID][]boundAs, ends map[directory.PersonID]project.End, err error) {
	var people []directory.PersonID
	for _, j := range jobs {
		if j.ties() && j.who.ID != "" {
			people = append(people, j.who.ID)
		}
	}
	if b.Projects == nil || len(people) == 0 {
		return nil, nil, nil
	}
	all, err := b.Projects.BoundOf(ctx, in, people)
	if err != nil {
		return nil, nil, err
	}
	bound = map[directory.PersonID][]boundAs{}
	for who, members := range all {
		for _, m := range members {
			bound[who] = append(bound[who], boundAs{m.Project, m.Role})
		}
	}
	ends, err = b.Projects.EndsOf(ctx, in, people)
	return bound, ends, err
}

// boundOf is what the person of a step is bound to now.
func (b *Book) boundOf(ctx context.Context, tx *store.Tx, j *job) ([]project.Member, error) {
	all, err := b.Projects.BoundOf(ctx, tx, []directory.PersonID{j.who.ID})
	return all[j.who.ID], err
}

// tie binds and releases the ID of a step as its line says. Where the ID turns to the other
// environment it is released first, for it is of one at a time; else it is bound first, so
// that nothing that is open ends on the way.
func (b *Book) tie(ctx context.Context, tx *store.Tx, j *job) error {
	c := j.change
	if b.Projects == nil || !j.ties() || j.who.ID == "" {
		return nil
	}
	now, err := b.boundOf(ctx, tx, j)
	if err != nil {
		return err
	}
	bind := func() error {
		as := b.Projects.Tie
		if c.Person == "" || c.Before.Disabled { // opened for it: without it they would be good for everything
			as = b.Projects.TieOver
		}
		for _, t := range c.Projects {
			if !t.New || slices.ContainsFunc(now, func(m project.Member) bool { return m.Project == t.ID }) {
				continue // bound by somebody since, in a role of their choice
			}
			if err := as(ctx, tx, t.ID, j.who, project.Worker, j.by, j.importID); err != nil {
				return err
			}
		}
		return nil
	}
	release := func() error {
		for _, t := range c.Released {
			if err := b.Projects.Untie(ctx, tx, t.ID, j.who.ID, j.by, j.importID); err != nil {
				return err
			}
		}
		return nil
	}
	steps := []func() error{bind, release}
	if c.Turns != "" {
		slices.Reverse(steps)
	}
	for _, do := range steps {
		if err := do(); err != nil {
			return err
		}
	}
	if !c.SaysOwn {
		return nil
	}
	return b.Projects.SetEnd(ctx, tx, approval.Ref(j.who), project.End{Own: c.Own, Wrote: j.who.Account.ExpiresAt})
}

// untie turns tie round: what was found is bound again, also where it is over since, and
// what the import bound is released. What somebody has done since stays. An ID that the
// import made is closed, and keeps what it was made for.
func (b *Book) untie(ctx context.Context, tx *store.Tx, j *job) error {
	c := j.change
	if b.Projects == nil || !j.ties() || j.found.New {
		return nil
	}
	if c.SaysProjects && j.found.Applied {
		now, err := b.boundOf(ctx, tx, j)
		if err != nil {
			return err
		}
		for _, m := range now {
			ours := m.Imported == j.importID && !slices.ContainsFunc(j.found.Bound, func(was boundAs) bool { return was.ID == m.Project })
			if !ours {
				continue
			}
			if err := b.Projects.Untie(ctx, tx, m.Project, j.who.ID, j.by, j.importID); err != nil {
				return err
			}
		}
		for _, was := range j.found.Bound {
			released := slices.ContainsFunc(c.Released, func(t Tied) bool { return t.ID == was.ID })
			if !released || slices.ContainsFunc(now, func(m project.Member) bool { return m.Project == was.ID }) {
				continue
			}
			if err := b.Projects.TieOver(ctx, tx, was.ID, j.who, was.Role, j.by, j.importID); err != nil {
				return err
			}
		}
	}
	if !c.SaysOwn {
		return nil
	}
	ends, err := b.Projects.EndsOf(ctx, tx, []directory.PersonID{j.who.ID})
	if e, there := ends[j.who.ID]; err != nil || !there || !e.Own.Equal(c.Own) {
		return err // nothing is remembered, or another end since
	}
	return b.Projects.SetEnd(ctx, tx, approval.Ref(j.who), project.End{Own: j.found.Own, Wrote: j.who.Account.ExpiresAt})
}

// seenTied has this gateway know who is bound to what by steps that were confirmed.
func (b *Book) seenTied(ctx context.Context, jobs []*job) {
	var people []directory.PersonID
	for _, j := range jobs {
		if j.ties() && j.problem == nil && j.who.ID != "" {
			people = append(people, j.who.ID)
		}
	}
	if len(people) > 0 {
		b.Projects.Seen(ctx, people...)
	}
}

func idsOf(all []Tied) string {
	var out []string
	for _, t := range all {
		out = append(out, t.ID)
	}
	return strings.Join(out, " ")
}

// environmentWords are what the environments of IDs are called.
var environmentWords = map[policy.Environment]policy.Words{
	policy.Production: {JA: "運用", EN: "production"}, policy.Development: {JA: "開発", EN: "development"},
}

// Words are what a project is called to whoever reads a plan: with its environment, and its
// last day.
func (t Tied) Words() policy.Words {
	of, last := environmentWords[t.Environment.Effective()], policy.DayInJapan(t.Until.Add(-1))
	return policy.Words{JA: t.Name + "（" + t.ID + "、" + of.JA + "、" + last + "まで）", EN: t.Name + " (" + t.ID + ", " + of.EN + ", until " + last + ")"}
}
