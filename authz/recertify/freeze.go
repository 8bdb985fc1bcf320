package recertify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sekisho/authz/approval"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// errEmpty: an answer that is none (F8).
var errEmpty = errors.New("the directory has nobody")

// batch is how many people are looked at together while a round's lines are made.
const batch = 100

// freeze keeps a line for each thing that the round goes through, as it is now, and opens
// the round. Who takes over from one that died begins anew: nobody has seen a line yet.
func (w *work) freeze(ctx context.Context) error {
	err := w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM recertify_line WHERE campaign = $1`, w.ID)
		return err
	})
	if err != nil {
		return err
	}
	f := freezing{work: w, crowd: w.crowd(), told: map[directory.PersonID]int{}}
	if w.Kind == policy.RecertifyPermits {
		err = f.permits(ctx)
	} else {
		err = f.everybody(ctx)
	}
	if err != nil {
		return fmt.Errorf("making its lines: %w", err)
	}
	if err := w.at(PointFrozen); err != nil {
		return err
	}
	return w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		if err := tx.ExecOne(ctx, `UPDATE recertify_campaign SET state = 'open', lines = $1 WHERE id = $2 AND holder = $3`, f.n, w.ID, w.holder); err != nil {
			return err
		}
		told, err := w.tellReviewers(ctx, tx, w.Round, f.told)
		if err != nil {
			return err
		}
		e := w.entry("recertify.opened")
		e.Detail["lines"], e.Detail["told"], e.Detail["deadline"] = strconv.Itoa(f.n), strconv.Itoa(told), policy.DayInJapan(w.Deadline)
		return w.Trail.Append(ctx, tx, e)
	})
}

// A freezing is the lines of a round in the making.
type freezing struct {
	*work
	crowd crowd
	n     int
	told  map[directory.PersonID]int // reviewers, and how many lines are put before them
}

// everybody makes lines of those who are in the directory.
func (f *freezing) everybody(ctx context.Context) error {
	p, seen := f.Policy(), 0
	var waiting []directory.Person
	flush := func() error {
		some := waiting
		waiting = nil
		return f.take(ctx, p, some)
	}
	err := f.Directory.Stream(ctx, func(who directory.Person) error {
		seen++
		if !p.InSection(who.Section, f.Sections) {
			return nil
		}
		if waiting = append(waiting, who); len(waiting) == batch {
			return flush()
		}
		return nil
	})
	if err == nil && seen == 0 {
		err = errEmpty
	}
	if err == nil {
		err = flush()
	}
	return err
}

// take makes the lines of some people.
func (f *freezing) take(ctx context.Context, p *policy.Policy, some []directory.Person) error {
	if err := f.alive(ctx); err != nil {
		return err
	}
	shut, err := f.IDs.Shut(ctx, f.DB, some)
	if err != nil {
		return err
	}
	open := slices.DeleteFunc(some, func(who directory.Person) bool { return shut[who.ID] })
	used, err := f.IDs.LastUses(ctx, open)
	if err != nil {
		return err
	}
	purposes, err := f.purposes(ctx, open)
	if err != nil {
		return err
	}
	var made []Line
	for _, who := range open {
		l := lineOf(p, who)
		l.LastUse = used[who.ID]
		if f.Kind == policy.RecertifyIDs {
			l.Projects, l.Until = purposes[who.ID].Names, purposes[who.ID].Until
			made = append(made, l)
			continue
		}
		for _, w := range ways(p, who) {
			l.Object, l.About = w.object, w.privileges
			made = append(made, l)
		}
	}
	return f.put(ctx, p, made)
}

// purposes are the projects that people's IDs are for.
func (f *freezing) purposes(ctx context.Context, people []directory.Person) (map[directory.PersonID]project.Purpose, error) {
	if f.Projects == nil || f.Kind != policy.RecertifyIDs {
		return nil, nil
	}
	ids := make([]directory.PersonID, len(people))
	for i, who := range people {
		ids[i] = who.ID
	}
	return f.Projects(ctx, ids)
}

// lineOf is a line about somebody's ID.
func lineOf(p *policy.Policy, who directory.Person) Line {
	l := Line{Person: approval.Ref(who), Kind: who.Kind, Company: who.Company, Posts: p.PostsOf(who.Groups), CreatedAt: who.Account.CreatedAt}
	l.Apex = slices.Contains(l.Posts, policy.CIO)
	return l
}

// A way is why somebody may borrow something: one group, or the policy itself.
type way struct {
	object     string
	privileges []string
}

// is reports whether an object is this way's: DNs are spelt in more ways than one.
func (w way) is(object string) bool {
	return w.object == object || !strings.HasPrefix(object, RuleObject) && policy.SameDN(w.object, object)
}

// ways are all of somebody's. A group that carries a post is the policy's: who holds a
// post is not ours to change.
func ways(p *policy.Policy, who directory.Person) []way {
	if who.Kind == directory.KindService || who.Kind == directory.KindShared {
		return nil // nothing is lent to them
	}
	var out []way
	add := func(object, privilege string) {
		i := slices.IndexFunc(out, func(w way) bool { return w.is(object) })
		if i < 0 {
			out, i = append(out, way{object: object}), len(out)
		}
		out[i].privileges = append(out[i].privileges, privilege)
	}
	posts := p.PostsOf(who.Groups)
	for _, v := range p.Privileges {
		if !p.MayBorrow(v, who.Login, posts, who.Groups, who.Section) {
			continue
		}
		groups := theirs(p, v, who)
		if len(groups) == 0 || p.MayBorrow(v, who.Login, posts, nil, who.Section) {
			add(RuleObject+v.ID, v.ID)
			continue
		}
		for _, dn := range groups {
			add(dn, v.ID)
		}
	}
	return out
}

// theirs are the groups that make somebody eligible for a privilege and could be taken
// from them; nil where one of them carries a post.
func theirs(p *policy.Policy, v policy.Privilege, who directory.Person) []string {
	var out []string
	for _, dn := range v.Eligible.Groups {
		if !slices.ContainsFunc(who.Groups, func(g string) bool { return policy.SameDN(g, dn) }) {
			continue
		}
		if p.CarriesPost(dn) {
			return nil
		}
		out = append(out, dn)
	}
	return out
}

// permits makes lines of the remote access that is permitted, by the section in which
// its person is now.
func (f *freezing) permits(ctx context.Context) error {
	p := f.Policy()
	all, err := f.Permits.InForce(ctx, policy.PermitRemote)
	if err != nil {
		return err
	}
	var made []Line
	for _, m := range all {
		if err := f.alive(ctx); err != nil {
			return err
		}
		who, err := f.Directory.ByID(ctx, m.Person.ID)
		if errors.Is(err, directory.ErrNotFound) {
			who, err = directory.Person{ID: m.Person.ID, Login: m.Person.Login, Name: m.Person.Name, Number: m.Person.Number, Mail: m.Person.Mail, Section: m.Person.Section}, nil
		}
		if err != nil {
			return err
		}
		if !p.InSection(who.Section, f.Sections) {
			continue
		}
		l := lineOf(p, who)
		l.Object, l.About, l.Why, l.Until, l.LastUse, l.CreatedAt = m.ID, []string{m.Kind}, m.Reason, m.Until, m.UsedAt, m.DecidedAt
		made = append(made, l)
	}
	return f.put(ctx, p, made)
}

// put keeps lines, each put before the nearest who may decide it.
func (f *freezing) put(ctx context.Context, p *policy.Policy, made []Line) error {
	for i := range made {
		l := &made[i]
		if err := f.alive(ctx); err != nil {
			return err
		}
		l.ID, l.Round = keyOf(l.Person.ID, l.Object), f.Round.ID
		reviewers, err := f.crowd.of(ctx, l.Person.Section)
		if err != nil {
			return err
		}
		l.Raised = l.raise(p, reviewers, f.Now())
		for _, by := range reviewers {
			if height, ok := l.Over(p, by, f.Now()); ok && height == l.Raised && MayDecide(p, *l, by, f.Now()) == nil {
				f.told[by.Person.ID]++
			}
		}
	}
	f.n += len(made)
	for part := range slices.Chunk(made, batch) {
		err := f.DB.WithTx(ctx, func(tx *store.Tx) error {
			if err := f.beat(ctx, tx); err != nil {
				return err
			}
			return keep(ctx, tx, f.Round.ID, part)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
