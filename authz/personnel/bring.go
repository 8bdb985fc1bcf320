package personnel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// brought is what a step has written to somebody.
type brought struct {
	done         bool
	want         directory.Amendment
	gained, lost []string // groups
}

// bring has the directory be as a step says. That it is so is read back afterwards.
func (b *Book) bring(ctx context.Context, j *job) (err error) {
	c := j.change
	want, gained, lost := c.target(j.who, b.Policy())
	switch j.step {
	case stepHandover:
		return nil
	case stepEnd:
		want = directory.Amendment{ExpiresAt: &c.After.Expires}
		gained, lost = nil, nil
	case stepUndo:
		if j.who.ID == "" {
			return nil // never made
		}
		want, gained, lost = c.back(j.found, j.who, b.Policy())
	case stepApply:
		if j.who.ID == "" {
			j.who, err = b.Directory.Create(ctx, c.person())
			if errors.Is(err, directory.ErrExists) { // whoever had the step before may have made them since
				if is := b.lookForJoiner(ctx, j); is != nil || j.who.ID != "" {
					err = is
				}
			}
			if err != nil {
				return err
			}
			// An end may be kept more finely by amending than by creating.
			if made := recordOf(b.Policy(), j.who); c.After.same(Record{made.Name, made.Mail, made.Section, made.Company, made.Number, made.Kind, made.Disabled, made.Expires, c.After.Groups}) {
				want = directory.Amendment{}
			}
		}
	}
	if is := j.who.Account.ExpiresAt; c.Person != "" && j.step != stepUndo && want.ExpiresAt != nil && !is.Equal(c.Before.Expires) && later(*want.ExpiresAt, is) {
		want.ExpiresAt = nil // somebody has ended it sooner since it was planned
	}
	if err := b.Directory.Amend(ctx, j.who, want); err != nil {
		return err
	}
	for _, group := range lost {
		if err := b.Directory.RemoveMember(ctx, group, j.who.DN); err != nil {
			return err
		}
	}
	for _, group := range gained {
		if err := b.Directory.AddMember(ctx, group, j.who.DN); err != nil {
			return err
		}
	}
	j.brought = brought{true, want, gained, lost}
	return nil
}

// readBack reads what steps have written, all in one go, and finds fault with those of
// whom the directory does not show it.
func (b *Book) readBack(ctx context.Context, jobs []*job) {
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j *job) bool { return j.problem != nil || !j.brought.done })
	b.read(ctx, jobs, func(j *job, now directory.Person, err error) {
		if err != nil {
			j.problem = err
			return
		}
		j.who = now
		if what := unlike(now, j.brought.want, j.brought.gained, j.brought.lost); what != "" {
			j.problem = fmt.Errorf("the directory took the change and does not show it: %s", what)
		}
	})
}

// person is whom a change creates.
func (c Change) person() directory.NewPerson {
	return directory.NewPerson{
		Login: c.Login, Name: c.After.Name, Mail: c.After.Mail, Section: c.After.Section, Company: c.After.Company, Number: c.After.Number, Kind: c.After.Kind,
		ExpiresAt: c.After.Expires,
	}
}

// target is what a change has the directory say of somebody: what it changes, and nothing
// that somebody else has changed meanwhile.
func (c Change) target(who directory.Person, p *policy.Policy) (a directory.Amendment, gained, lost []string) {
	b, n := c.Before, c.After
	text := func(before, after string) *string {
		if before == after && c.Person != "" {
			return nil
		}
		return &after
	}
	a = directory.Amendment{Name: text(b.Name, n.Name), Mail: text(b.Mail, n.Mail), Section: text(b.Section, n.Section), Company: text(b.Company, n.Company), Number: text(b.Number, n.Number)}
	if b.Kind != n.Kind || c.Person == "" {
		a.Kind = &n.Kind
	}
	if !b.Expires.Equal(n.Expires) {
		a.ExpiresAt = &n.Expires
	}
	if b.Disabled != n.Disabled {
		a.Disabled = &n.Disabled
	}
	return a, without(n.Groups, b.Groups), without(b.Groups, n.Groups)
}

// without are those of one list that are not in another.
func without(all, but []string) []string {
	var out []string
	for _, v := range all {
		if !policy.InGroup(but, []string{v}) {
			out = append(out, v)
		}
	}
	return out
}

// wholeDays is how finely a directory keeps an end that knows no time of the day
// (shadowExpire, UTC).
const wholeDays = 24 * time.Hour

// back is target turned round: what was found comes back where it still is as the change
// left it. Who was not there before is closed.
func (c Change) back(was *found, who directory.Person, p *policy.Policy) (a directory.Amendment, gained, lost []string) {
	now := recordOf(p, who)
	if was.New {
		yes := true
		return directory.Amendment{Disabled: &yes}, nil, now.Groups
	}
	b, n := c.Before, c.After
	var end *time.Time
	if !b.Expires.Equal(n.Expires) && (now.Expires.Equal(n.Expires) || now.Expires.Equal(n.Expires.Truncate(wholeDays))) {
		end = &was.Expires
	}
	if !was.Applied { // its end is all that was written
		return directory.Amendment{ExpiresAt: end}, nil, nil
	}
	text := func(before, after, now, found string) *string {
		if before == after || now != after || now == found {
			return nil
		}
		return &found
	}
	a = directory.Amendment{
		ExpiresAt: end,
		Name:      text(b.Name, n.Name, now.Name, was.Name), Mail: text(b.Mail, n.Mail, now.Mail, was.Mail), Section: text(b.Section, n.Section, now.Section, was.Section),
		Company: text(b.Company, n.Company, now.Company, was.Company), Number: text(b.Number, n.Number, now.Number, was.Number),
	}
	if b.Kind != n.Kind && now.Kind == n.Kind {
		a.Kind = &was.Kind
	}
	if b.Disabled != n.Disabled && now.Disabled == n.Disabled {
		a.Disabled = &was.Disabled
	}
	for _, group := range without(b.Groups, n.Groups) { // taken away by it
		if policy.InGroup(was.Groups, []string{group}) {
			gained = append(gained, group)
		}
	}
	if now.Disabled && !was.Disabled && a.Disabled == nil {
		gained = nil // closed by somebody else since; they lose posts by that, and get none back
	}
	for _, group := range without(n.Groups, b.Groups) {
		if !policy.InGroup(was.Groups, []string{group}) {
			lost = append(lost, group)
		}
	}
	return a, gained, lost
}

// unlike names what of somebody is not as it was to be; "" for nothing. An end may be
// kept a little early.
func unlike(who directory.Person, a directory.Amendment, gained, lost []string) string {
	text := func(want *string, is string) bool { return want != nil && *want != is }
	switch {
	case text(a.Name, who.Name):
		return "name"
	case text(a.Mail, who.Mail):
		return "mail"
	case text(a.Section, who.Section):
		return "section"
	case text(a.Company, who.Company):
		return "company"
	case text(a.Number, who.Number):
		return "number"
	case a.Disabled != nil && *a.Disabled != who.Account.Disabled:
		return "disabled"
	case a.ExpiresAt != nil && (a.ExpiresAt.IsZero() != who.Account.ExpiresAt.IsZero() || who.Account.ExpiresAt.After(*a.ExpiresAt)):
		return "end"
	}
	for _, g := range gained {
		if !policy.InGroup(who.Groups, []string{g}) {
			return g
		}
	}
	for _, g := range lost {
		if policy.InGroup(who.Groups, []string{g}) {
			return g
		}
	}
	return ""
}
