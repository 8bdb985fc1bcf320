package permit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// endThose ends permits that are in force, each with its entry.
func (b *Book) endThose(ctx context.Context, tx *store.Tx, o over, where string, args ...any) (int, error) {
	all, err := list(ctx, tx, where, args...)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, m := range all {
		if m.State(b.Now()) != Approved {
			continue
		}
		k, _ := b.Policy().Permit(m.Kind)
		e := b.entryOf(m, o, o.to)
		if err := b.end(ctx, tx, &m, &e, o); err != nil {
			return n, err
		}
		if err := b.put(ctx, tx, &m, k); err != nil {
			return n, err
		}
		if err := b.tellBoth(ctx, tx, m, notice.PermitRevoked, map[string]string{"by": o.by.Name, "reason": o.why}); err != nil {
			return n, err
		}
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return n, fmt.Errorf("entering the end of a permit: %w", err)
		}
		n++
	}
	return n, nil
}

// voidThose takes requests that wait off the table, each with its entry.
func (b *Book) voidThose(ctx context.Context, tx *store.Tx, o over, where string, args ...any) (int, error) {
	waiting, err := list(ctx, tx, `state = 'pending' AND `+where, args...)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, m := range waiting {
		if m.State(b.Now()) != Pending {
			continue
		}
		o.onto(&m, Cancelled, b.Now())
		if m.Matter != "" {
			if err := b.Matters.Void(ctx, tx, m.Matter, o.why); err != nil {
				return n, err
			}
		}
		e := b.entryOf(m, o, Cancelled)
		if err := b.put(ctx, tx, &m, policy.PermitKind{}); err != nil {
			return n, err
		}
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Lost ends every permit that names a terminal, and every session from outside of
// those who had one that may have begun there, in the transaction that says why: the
// terminal is lost (articles 38-6, 63-3), or is one no more. Call Changed after its
// commit.
func (b *Book) Lost(ctx context.Context, tx *store.Tx, terminal, by, why string) (int, error) {
	o := over{to: Revoked, by: Ref{Login: by}, why: why, lost: terminal}
	n, err := b.voidThose(ctx, tx, o, `terminal = $1`, terminal)
	if err != nil {
		return n, err
	}
	// The terminals' own first: what they carry goes along.
	for _, kinds := range []string{`kind <> 'remote_access'`, `kind = 'remote_access'`} {
		more, err := b.endThose(ctx, tx, o, `terminal = $1 AND state = 'approved' AND `+kinds, terminal)
		if n += more; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Enrolled has every gateway know, with the commit of tx, that a terminal which permits may
// name as a private one is the prefecture's now. Call Changed after it.
func (b *Book) Enrolled(ctx context.Context, tx *store.Tx, terminal string) error {
	return touch(ctx, tx, terminal, b.Now())
}

// EndOf ends every permit in force of a person, and takes what they wait for off the
// table, in the caller's transaction: for who is closed out. What an application may be
// reached by is the house's and goes on. Call Changed after its commit.
func (b *Book) EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error) {
	return b.endOf(ctx, tx, who, over{to: Revoked, by: Ref{Login: by}, why: why}, `person_id = $1`)
}

// EndAsked is EndOf of what was asked for before a time: for who has another section
// since, whose permits are of what they do there.
func (b *Book) EndAsked(ctx context.Context, tx *store.Tx, who directory.PersonID, before time.Time, by, why string) (int, error) {
	return b.endOf(ctx, tx, who, over{to: Revoked, by: Ref{Login: by}, why: why}, `person_id = $1 AND asked_at < $2`, store.Micros(before))
}

func (b *Book) endOf(ctx context.Context, tx *store.Tx, who directory.PersonID, o over, which string, more ...any) (int, error) {
	args := append([]any{string(who)}, more...)
	n, err := b.voidThose(ctx, tx, o, which, args...)
	if err != nil {
		return n, err
	}
	ended, err := b.endThose(ctx, tx, o, which+` AND state = 'approved' AND kind <> 'zone_crossing'`, args...)
	return n + ended, err
}

// EndOne takes one permit away in the caller's transaction, with its entry on the trail
// and a word to whose it is: for who decides about permits by another rule than who gave
// them. It answers whether there was one in force. Call Changed after the commit.
func (b *Book) EndOne(ctx context.Context, tx *store.Tx, id string, by Ref, why string) (bool, error) {
	n, err := b.endThose(ctx, tx, over{to: Revoked, by: by, why: why}, `id = $1 AND state = 'approved'`, id)
	return n == 1, err
}

// InForce are the permits of a kind that are in force, or will be, in the order of their ids.
func (b *Book) InForce(ctx context.Context, kind string) ([]Permit, error) {
	all, err := list(ctx, b.DB, `kind = $1 AND state = 'approved' AND ends_at > $2 ORDER BY id`, kind, store.Micros(b.Now()))
	return slices.DeleteFunc(all, func(m Permit) bool { return m.State(b.Now()) != Approved }), err
}
