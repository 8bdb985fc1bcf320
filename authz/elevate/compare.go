package elevate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

const (
	// mostRemoved is how many members of one group a round takes away. More at
	// once is no slip of an administrator but a group that came under the wrong
	// rule, or leases that are gone from the store: somebody looks at it first.
	mostRemoved = 10
	// lateFor is how long after it was undone something that comes back counts as
	// a wish of ours that was granted late.
	lateFor = 15 * time.Minute
)

// Compare compares, once a minute and at one gateway, the groups and IDs that the
// policy lends with the leases. What no lease accounts for is a finding at once,
// and taken away where the policy says so, or where it is ours.
//
// An answer of the directory that is empty where it cannot be, or cut short, is
// no answer: nothing is found by it and nothing closed.
func (b *Book) Compare(ctx context.Context) error {
	now := b.Now()
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		return tx.ExecOne(ctx, `
			UPDATE elevation_round SET claimed_until = $1, began_at = $2
			WHERE  id = 1 AND (claimed_until <= $2 OR claimed_until > $3) AND (began_at <= $4 OR began_at > $2)`,
			store.Micros(now.Add(2*compareEvery)), store.Micros(now), store.Micros(now.Add(4*compareEvery)), store.Micros(now.Add(-compareEvery+5*time.Second)))
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway has, or is at it
	}
	if err != nil {
		return fmt.Errorf("beginning to compare: %w", err)
	}
	problem := b.compare(ctx)
	said := ""
	if problem != nil {
		said = store.Brief(problem)
	}
	err = b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		return tx.ExecOne(ctx, `
			UPDATE elevation_round
			SET    claimed_until = 0, error = $1, ended_at = CASE WHEN $1 = '' THEN $2 ELSE ended_at END
			WHERE  id = 1`, said, store.Micros(b.Now()))
	})
	return errors.Join(problem, err)
}

// lendable is what the policy lends, by whom it is named.
type lendable struct {
	privilege string
	remove    bool
}

func (l lendable) or(v policy.Privilege) lendable {
	return lendable{orElse(l.privilege, v.ID), l.remove || v.Standing == policy.StandingRemove}
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func (b *Book) compare(ctx context.Context) error {
	groups, ids, makes := map[string]lendable{}, map[string]lendable{}, false
	spelt := map[string]string{}
	for _, v := range b.Policy().Privileges {
		for _, g := range v.Gives {
			for _, dn := range g.GroupDNs() {
				key := policy.CanonicalDN(dn)
				groups[key], spelt[key] = groups[key].or(v), orElse(spelt[key], dn)
			}
			switch g.Kind {
			case policy.GiftAccount:
				key := policy.CanonicalDN(g.Account)
				ids[key], spelt[key] = ids[key].or(v), orElse(spelt[key], g.Account)
			case policy.GiftEphemeral:
				makes = true
			}
		}
	}
	for _, s := range b.Policy().SharedIDs { // open without anybody who has it, it names nobody (article 46-1)
		key := policy.CanonicalDN(s.Account)
		ids[key], spelt[key] = lendable{s.ID, true}, s.Account
	}
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		if err := b.compareGroup(ctx, spelt[key], groups[key]); err != nil {
			problems = append(problems, fmt.Errorf("comparing %s: %w", spelt[key], err))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ids)) {
		if err := b.compareID(ctx, spelt[key], ids[key]); err != nil {
			problems = append(problems, fmt.Errorf("comparing %s: %w", spelt[key], err))
		}
	}
	if makes {
		if err := b.compareMade(ctx); err != nil {
			problems = append(problems, fmt.Errorf("comparing the IDs that were made: %w", err))
		}
	}
	if err := b.forgetUnlent(ctx, groups, ids); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// inGroup are the effects that are not closed and make somebody a member of a group.
func (b *Book) inGroup(ctx context.Context, groupDN string) ([]effect, error) {
	about := thingOfGroup(groupDN, "") // with whoever's ID behind it
	all, err := effects(ctx, b.DB, `
		state <> 'closed' AND (kind = 'ephemeral' OR kind = 'group' AND substr(thing, 1, $1) = $2)`, utf8.RuneCountInString(about), about)
	return slices.DeleteFunc(all, func(e effect) bool {
		if e.kind == policy.GiftGroup {
			return !policy.SameDN(e.target, groupDN)
		}
		return !slices.ContainsFunc(e.groups, func(g string) bool { return policy.SameDN(g, groupDN) })
	}), err
}

// called is what the group calls whom an effect is about: as they were when they
// were put in, or, where the group has no such member, as they are now.
func (b *Book) called(ctx context.Context, e effect, there map[string]bool) (string, error) {
	key := policy.CanonicalDN(e.accountDN)
	if e.kind != policy.GiftGroup || e.accountDN != "" && there[key] {
		return key, nil
	}
	p, err := b.Directory.ByID(ctx, e.person)
	if errors.Is(err, directory.ErrNotFound) {
		return key, nil
	}
	return policy.CanonicalDN(p.DN), err
}

func (b *Book) compareGroup(ctx context.Context, dn string, rule lendable) error {
	// The leases are read before the members and after: whoever joins or leaves
	// meanwhile has an effect in one of them.
	before, err := b.inGroup(ctx, dn)
	if err != nil {
		return err
	}
	there, strange := map[string]bool{}, map[string]string{}
	err = b.Directory.EachMember(ctx, dn, func(member string) error {
		key := policy.CanonicalDN(member)
		there[key], strange[key] = true, member
		return nil
	})
	if err != nil {
		return err
	}
	after, err := b.inGroup(ctx, dn)
	if err != nil {
		return err
	}
	live, now := map[string]effect{}, b.Now()
	for i, e := range slices.Concat(before, after) {
		key, err := b.called(ctx, e, there)
		if err != nil {
			return err
		}
		delete(strange, key)
		if i >= len(before) && key != "" && e.state == kept && e.wanted(now, "") {
			live[key] = e
		}
	}
	tooMany := len(strange) > mostRemoved
	var problems []error
	for i, key := range slices.Sorted(maps.Keys(strange)) {
		if err := b.member(ctx, dn, strange[key], rule, tooMany, i > 0); err != nil {
			problems = append(problems, err)
			there[key] = true // not known to be gone
		}
	}
	for key, e := range live {
		if !there[key] {
			if err := b.missing(ctx, dn, e, rule); err != nil {
				problems = append(problems, err)
			}
		}
	}
	open, err := findings(ctx, b.DB, `closed_at = 0 AND kind IN ('membership', 'missing')`)
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	for _, f := range open {
		if !policy.SameDN(f.Place, dn) {
			continue
		}
		key := policy.CanonicalDN(f.Subject)
		_, unaccounted := strange[key]
		_, lives := live[key]
		var by Closer
		switch {
		case f.Kind == Missing && !lives:
			by = ClosedByLease
		case f.Kind == Missing && there[key]:
			by = ClosedByDirectory
		case f.Kind == Missing || unaccounted && f.RemovedAt.IsZero():
			continue
		case unaccounted:
			continue // the next round sees whether it stays away
		case there[key]:
			by = ClosedByLease
		case !f.RemovedAt.IsZero():
			by = ClosedBySekisho
		default:
			by = ClosedByDirectory
		}
		if err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.over(ctx, tx, f, by) }); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// member looks at one member whom no lease accounts for, under the claim of the
// thing, so that no activation goes on meanwhile.
func (b *Book) member(ctx context.Context, groupDN, memberDN string, rule lendable, tooMany, another bool) error {
	// Of very many at once one is told of: the page has them all.
	f := Finding{Kind: Membership, Place: groupDN, Subject: memberDN, Privilege: rule.privilege, mute: tooMany && another}
	thing := "group " + policy.CanonicalDN(groupDN) + " " + policy.CanonicalDN(memberDN)
	p, err := b.Directory.Find(ctx, memberDN)
	switch {
	case err == nil:
		f.Login, thing = p.Login, thingOfGroup(groupDN, p.ID)
	case !errors.Is(err, directory.ErrNotFound):
		return err
	}
	return b.judge(ctx, thing, f, rule.remove, tooMany, func(ctx context.Context) (bool, error) {
		return b.Directory.Holds(ctx, groupDN, memberDN)
	}, func(ctx context.Context) error { return b.Directory.Expel(ctx, groupDN, memberDN) }, p.ID)
}

// judge looks once more at what no lease seems to account for, now that nobody
// else works at it, and stores it as a finding if it is still so.
func (b *Book) judge(ctx context.Context, thing string, f Finding, remove, tooMany bool,
	still func(context.Context) (bool, error), take func(context.Context) error, whose directory.PersonID) error {
	if err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO elevation_thing (thing) VALUES ($1) ON CONFLICT (thing) DO NOTHING`, thing)
		return err
	}); err != nil {
		return err
	}
	h, err := b.claim(ctx, thing, "")
	if errors.Is(err, errHeld) {
		return nil // somebody works at it; the next round sees what came of it
	}
	if err != nil {
		return err
	}
	ours, accounted := false, false
	for _, e := range h.effects {
		accounted = accounted || e.state != closed
		ours = ours || e.state == closed && h.now.Sub(e.closedAt) < lateFor
	}
	there := false
	var problem error
	if !accounted {
		work, cancel := context.WithTimeout(ctx, workLasts)
		defer cancel()
		if there, problem = still(work); problem == nil && there && (remove || ours) {
			switch {
			case tooMany && !ours:
				f.Hindrance = fmt.Sprintf("more than %d at once", mostRemoved)
			default:
				if err := take(work); err != nil {
					f.Hindrance = store.Brief(err)
				} else {
					f.RemovedAt = b.Now()
				}
				if b.Forget != nil && whose != "" {
					b.Forget.Forget(whose)
				}
			}
		}
	}
	err = b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		next := time.Time{}
		for _, e := range h.effects {
			next = earlier(next, e.due(b.Now()))
		}
		if h.checks > 0 {
			next = earlier(next, b.Now().Add(restsAfterUndo[0]))
		}
		said := ""
		if h.mend {
			said = lateHand
		}
		stale, err := release(ctx, tx, h, next, h.tries, h.checks, said, b.Now())
		if err != nil || stale || accounted || problem != nil || !there {
			return err
		}
		return b.found(ctx, tx, f)
	})
	return errors.Join(problem, err)
}

// missing stores that somebody took away what a lease gives. It is not given
// again: whoever took it may have meant it.
func (b *Book) missing(ctx context.Context, place string, e effect, rule lendable) error {
	return b.DB.WithTx(ctx, func(tx *store.Tx) error {
		return b.found(ctx, tx, Finding{Kind: Missing, Place: place, Subject: e.accountDN, Login: e.login, Privilege: rule.privilege})
	})
}

func (b *Book) compareID(ctx context.Context, dn string, rule lendable) error {
	p, err := b.Directory.Lent(ctx, dn)
	if err != nil {
		return err // also that there is none: what the policy lends is to be there
	}
	f := Finding{Kind: Enabled, Place: dn, Subject: p.DN, Login: p.Login, Privilege: rule.privilege}
	if !p.Account.Disabled {
		err := b.judge(ctx, thingOfAccount(dn), f, rule.remove, false, func(ctx context.Context) (bool, error) {
			p, err := b.Directory.LentByID(ctx, p.ID)
			return err == nil && !p.Account.Disabled, err
		}, func(ctx context.Context) error { return b.Directory.CloseLent(ctx, p, newPassword()) }, "")
		if err != nil {
			return err
		}
	}
	open, err := findings(ctx, b.DB, `closed_at = 0 AND kind = 'enabled'`)
	if err != nil {
		return err
	}
	for _, f := range open {
		if !policy.SameDN(f.Place, dn) {
			continue
		}
		leases, err := ofThing(ctx, b.DB, thingOfAccount(dn))
		if err != nil {
			return err
		}
		var by Closer
		switch {
		case slices.ContainsFunc(leases, func(e effect) bool { return e.state != closed }):
			by = ClosedByLease
		case !p.Account.Disabled: // as it was read at the beginning
			continue
		case !f.RemovedAt.IsZero():
			by = ClosedBySekisho
		default:
			by = ClosedByDirectory
		}
		if err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.over(ctx, tx, f, by) }); err != nil {
			return err
		}
	}
	return nil
}

// compareMade looks for IDs that were made for a lease which is over. Those of
// this store are taken away; those of a store that this one does not know are
// not ours to judge.
func (b *Book) compareMade(ctx context.Context) error {
	made := map[string]directory.Person{}
	err := b.Directory.EachLent(ctx, func(p directory.Person) error {
		if _, ours := leaseOf(p.Note); ours && p.Kind == directory.KindLent {
			made[p.DN] = p
		}
		return nil
	})
	if err != nil {
		return err
	}
	var problems []error
	for _, dn := range slices.Sorted(maps.Keys(made)) {
		p := made[dn]
		lease, _ := leaseOf(p.Note)
		all, err := effects(ctx, b.DB, `lease = $1 AND account = $2`, lease, p.Login)
		if err != nil {
			return err
		}
		if len(all) == 1 && all[0].state != closed {
			delete(made, dn)
			continue
		}
		f := Finding{Kind: Leftover, Place: p.DN, Subject: p.DN, Login: p.Login}
		thing, known := "ephemeral "+lease+"/"+p.Login, len(all) == 1
		if known {
			thing = all[0].thing
		} else {
			f.Hindrance = "made for a lease that this store does not know"
		}
		if err := b.judge(ctx, thing, f, known, false, func(ctx context.Context) (bool, error) {
			_, err := b.Directory.LentByID(ctx, p.ID)
			if errors.Is(err, directory.ErrNotFound) {
				return false, nil
			}
			return err == nil, err
		}, func(ctx context.Context) error { return b.Directory.DeleteLent(ctx, p) }, ""); err != nil {
			problems = append(problems, err)
		}
	}
	open, err := findings(ctx, b.DB, `closed_at = 0 AND kind = 'leftover'`)
	if err != nil {
		return err
	}
	for _, f := range open {
		if _, still := made[f.Subject]; still {
			continue
		}
		by := ClosedByDirectory
		if !f.RemovedAt.IsZero() {
			by = ClosedBySekisho
		}
		if err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.over(ctx, tx, f, by) }); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// forgetUnlent closes findings about what the policy lends no more.
func (b *Book) forgetUnlent(ctx context.Context, groups, ids map[string]lendable) error {
	open, err := findings(ctx, b.DB, `closed_at = 0 AND kind IN ('membership', 'missing', 'enabled')`)
	if err != nil {
		return err
	}
	for _, f := range open {
		key := policy.CanonicalDN(f.Place)
		_, group := groups[key]
		_, id := ids[key]
		if group || id {
			continue
		}
		if err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.over(ctx, tx, f, ClosedByLease) }); err != nil {
			return err
		}
	}
	return nil
}

// Compared is when the directory was last compared with the leases as a whole, at
// whichever gateway; zero for never.
func (b *Book) Compared(ctx context.Context) (time.Time, error) {
	var at int64
	if err := b.DB.QueryRow(ctx, `SELECT ended_at FROM elevation_round WHERE id = 1`).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("reading when it was compared: %w", err)
	}
	if at == 0 {
		return time.Time{}, nil
	}
	return store.FromMicros(at), nil
}
