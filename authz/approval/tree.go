package approval

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A Holder is somebody who may come to decide: by a post, or because the policy
// names them.
type Holder struct {
	Person directory.Person
	Posts  []policy.PostID
	// Tied is what their projects make of their ID, for those who are lent something; of
	// those who are only asked to decide, nobody asks it.
	Tied authz.Tied
}

// Ties reads which projects an ID is bound to: as a transaction sees it or, where in is
// nil, from memory as far as that is fresh enough.
type Ties func(ctx context.Context, in store.Reader, who directory.PersonID) ([]authz.Tie, error)

// Of is what an ID's projects make of it at a time. A house without projects has none that
// are tied.
func (t Ties) Of(ctx context.Context, in store.Reader, who directory.PersonID, now time.Time) (authz.Tied, error) {
	if t == nil {
		return authz.Untied, nil
	}
	ties, err := t(ctx, in, who)
	if err != nil {
		return authz.Tied{}, fmt.Errorf("reading which projects an ID is bound to: %w", err)
	}
	return authz.TiedBy(ties, now), nil
}

// A Capacity is as what somebody decides.
type Capacity struct {
	Post    policy.PostID // in whose place, where it is not their own
	How     How
	Through string // which deputy's entry, turn of duty or higher post it is
	Also    []policy.PostID
}

// A rung is what one step of the organisation tree may decide.
type rung struct {
	posts []policy.PostID // those held here
	lower []policy.PostID // those in whose place they decide; nil: each its own
	where Where
}

// ladder is who may decide a step, the nearest first: the posts named, then the
// 責任者 of the 部局, then the CIO.
func ladder(step Step, strict bool) []rung {
	rungs := []rung{{posts: step.Posts, where: step.Where}}
	if strict {
		return rungs
	}
	for _, up := range []policy.PostID{policy.SecurityOfficer, policy.CIO} {
		if !slices.Contains(step.Posts, up) && (step.Where == Own || up == policy.CIO) {
			rungs = append(rungs, rung{posts: []policy.PostID{up}, lower: step.Posts, where: step.Where})
		}
	}
	return rungs
}

// reaches reports whether a post that is held in a section has its say over
// another. A 責任者 has a 部局, the CIO and the CSIRT have the prefecture, and
// everybody else a 室課 of their own (articles 11 to 15).
func reaches(p *policy.Policy, post policy.PostID, held, over string, where Where) bool {
	switch {
	case where == Anywhere, post == policy.CIO, post == policy.CSIRT:
		return true
	case post == policy.SecurityOfficer:
		department := p.Department(over)
		return department != "" && p.Department(held) == department
	}
	_, known := p.Section(over)
	return known && held == over
}

// capacities are all ways in which somebody may decide on a rung, the plainest
// first.
func (r rung) capacities(p *policy.Policy, m Matter, who Holder, strict bool, now time.Time) []Capacity {
	section := m.section()
	var out []Capacity
	add := func(post policy.PostID, how How, through string) {
		if r.lower == nil {
			out = append(out, Capacity{Post: post, How: how, Through: through})
			return
		}
		if how == ByPost {
			how, through = ByWayUp, string(post)
		}
		for _, post := range r.lower {
			out = append(out, Capacity{Post: post, How: how, Through: through})
		}
	}
	for _, post := range r.posts {
		if slices.Contains(who.Posts, post) && reaches(p, post, who.Person.Section, section, r.where) {
			add(post, ByPost, "")
		}
	}
	if strict {
		return out
	}
	login := directory.Canonical(who.Person.Login)
	for _, d := range p.Approval.Deputies {
		if slices.Contains(r.posts, d.Post) && directory.Canonical(d.Login) == login && d.InForce(now) && reaches(p, d.Post, d.Section, section, r.where) {
			how := ByDeputy
			if d.Acting {
				how = ByActing
			}
			add(d.Post, how, d.ID)
		}
	}
	for _, d := range p.Approval.Duty {
		if !d.InForce(now) || !p.InSection(section, d.Sections) || !slices.ContainsFunc(d.Logins, func(l string) bool { return directory.Canonical(l) == login }) {
			continue
		}
		for _, post := range r.posts {
			if slices.Contains(d.Posts, post) {
				add(post, ByDuty, d.ID)
			}
		}
	}
	return out
}

// A question is who may decide a matter at a moment.
type question struct {
	p      *policy.Policy
	m      Matter
	made   []Decision
	roster []Holder
	now    time.Time
}

// stands says as what somebody may decide the step that the matter waits at.
func (q question) stands(who Holder) (Capacity, bool) {
	i := q.m.current(q.made)
	if i >= len(q.m.Rule.Steps) {
		return Capacity{}, false
	}
	step := q.m.Rule.Steps[i]
	for k, r := range ladder(step, q.m.Rule.Strict) {
		if k > 0 && !q.open(k, step) {
			break
		}
		ways := r.capacities(q.p, q.m, who, q.m.Rule.Strict, q.now)
		if step.All { // a post that has spoken lacks nothing more
			ways = slices.DeleteFunc(ways, func(c Capacity) bool {
				return slices.ContainsFunc(q.made, func(d Decision) bool { return d.Step == i && d.Yes && d.Post == c.Post })
			})
		}
		if len(ways) > 0 {
			return joint(step, ways), true
		}
	}
	return Capacity{}, false
}

// joint is the first of somebody's capacities, with the further posts that the word
// counts for where the step lets one official speak for all that they hold.
func joint(step Step, ways []Capacity) Capacity {
	as := ways[0]
	if !step.Joint {
		return as
	}
	for _, c := range ways[1:] {
		if c.How == ByPost && as.How == ByPost && c.Post != as.Post && !slices.Contains(as.Also, c.Post) {
			as.Also = append(as.Also, c.Post)
		}
	}
	return as
}

// open reports whether the k-th rung may decide: when nobody below has answered
// for so long, or when nobody below is left who could.
func (q question) open(k int, step Step) bool {
	if after := q.p.Approval.EscalateAfter; after > 0 && !q.now.Before(q.m.AskedAt.Add(time.Duration(k)*after)) {
		return true
	}
	below := ladder(step, q.m.Rule.Strict)[:k]
	return !slices.ContainsFunc(q.roster, func(h Holder) bool {
		return q.eligible(h) && slices.ContainsFunc(below, func(r rung) bool {
			return len(r.capacities(q.p, q.m, h, q.m.Rule.Strict, q.now)) > 0
		})
	})
}

// eligible asks of somebody what has nothing to do with their post.
func (q question) eligible(h Holder) bool {
	return why(q, h) == Allowed
}

// Oversees reports whether somebody has their say, now, over what a rule has decided for
// a section: by a post of one of its steps where that reaches the section, in place of
// who holds it, or from above (articles 11 to 15). The CIO and the CSIRT have it
// everywhere (articles 11-4, 75-2). Who audits has it nowhere.
func Oversees(p *policy.Policy, r Rule, section string, by Holder, now time.Time) bool {
	if slices.ContainsFunc(by.Posts, func(id policy.PostID) bool { post, ok := p.Post(id); return ok && post.Audits }) {
		return false
	}
	if slices.Contains(by.Posts, policy.CIO) || slices.Contains(by.Posts, policy.CSIRT) {
		return true
	}
	m := Matter{Section: section}
	return slices.ContainsFunc(r.Steps, func(s Step) bool {
		return slices.ContainsFunc(ladder(s, r.Strict), func(up rung) bool { return len(up.capacities(p, m, by, r.Strict, now)) > 0 })
	})
}

// Height is how far above a step's posts somebody has their say over a section by it: 0
// for who holds one of them there or stands in for who does, more for each step up the
// organisation tree. ok is false for who has none. It neither asks whether the way up is
// open nor whether they audit.
func Height(p *policy.Policy, s Step, section string, by Holder, now time.Time) (height int, ok bool) {
	for i, up := range ladder(s, false) {
		if len(up.capacities(p, Matter{Section: section}, by, false, now)) > 0 {
			return i, true
		}
	}
	return 0, false
}

// Overseers are all who have their say over what a rule has decided for a section.
func (b *Book) Overseers(ctx context.Context, r Rule, section string) ([]Holder, error) {
	p, now := b.Policy(), b.Now()
	// The CSIRT is named by no step.
	all, err := b.whoMay(ctx, p, Rule{Steps: append(slices.Clone(r.Steps), Step{Posts: []policy.PostID{policy.CSIRT}}), Strict: r.Strict})
	return slices.DeleteFunc(all, func(h Holder) bool { return !Oversees(p, r, section, h, now) || !h.Person.MaySignIn(now) }), err
}

// section is of whom the matter is asked for.
func (m Matter) section() string {
	if m.Section != "" {
		return m.Section
	}
	return m.For().Section
}

// effective is a rule as it holds for who asks, or whom it is for: what is the CIO's
// goes to two 責任者, for nobody stands above (article 16-1).
func effective(r Rule, requester []policy.PostID) Rule {
	if !slices.Contains(requester, policy.CIO) || r.Strict {
		return r
	}
	out := Rule{}
	for _, s := range r.Steps {
		out.Steps = append(out.Steps, Step{Posts: []policy.PostID{policy.SecurityOfficer}, Quorum: max(2, s.Quorum), Where: Anywhere})
	}
	return out
}
