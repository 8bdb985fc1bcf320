package charter

import (
	"context"
	"errors"
	"fmt"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Install puts the first version in force without a second person. It is for
// an empty store; another text there is ErrNotEmpty, the same text is the same
// version. A file with problems comes back as policy.Problems.
func (c *Charter) Install(ctx context.Context, actor string, source []byte) (int64, error) {
	return c.install(ctx, actor, source, nil, false)
}

// InstallCarried is Install of a text from another gateway.
func (c *Charter) InstallCarried(ctx context.Context, actor string, source []byte, from Carried) (int64, error) {
	return c.install(ctx, actor, source, &from, false)
}

// Overrule is Install whatever is in force. Only dev may call it, where the
// people are invented; the trail says that no second person was asked.
func (c *Charter) Overrule(ctx context.Context, actor string, source []byte) (int64, error) {
	return c.install(ctx, actor, source, nil, true)
}

// OverruleCarried is Overrule by a text from another gateway.
func (c *Charter) OverruleCarried(ctx context.Context, actor string, source []byte, from Carried) (int64, error) {
	return c.install(ctx, actor, source, &from, true)
}

func (c *Charter) install(ctx context.Context, actor string, source []byte, from *Carried, overrule bool) (int64, error) {
	next, problems := policy.Parse("policy.yaml", source)
	if err := problems.Err(); err != nil {
		return 0, err
	}
	// The difference is made before the transaction, which holds up everybody;
	// the guard inside sees to it that the base is still the base.
	base, err := newest(ctx, c.db)
	if err != nil {
		return 0, fmt.Errorf("installing a policy: %w", err)
	}
	now := digest(source)
	if base > 0 {
		v, _, err := readVersion(ctx, c.db, base)
		if err != nil && !(overrule && errors.Is(err, errDamaged)) { // a new text is what mends a damaged one
			return 0, fmt.Errorf("installing a policy: %w", err)
		}
		if v.Digest == now && v.By == actor && v.ApprovedBy == "" {
			return c.settled(ctx, base), nil
		}
		if !overrule {
			return 0, ErrNotEmpty
		}
	}
	v := Version{Number: base + 1, Since: c.now(), By: actor, Digest: now}
	entries := c.entries(audit.Entry{
		Actor: actor, Action: "policy.installed", Object: versionName(v.Number),
		Reason: "no second person: the store was empty, or this is dev", Detail: from.detail(),
	}, v.Digest, base, policy.Diff(c.basePolicy(base), next))
	err = c.db.WithTx(ctx, func(tx *store.Tx) error {
		if err := c.takeIn(ctx, tx, actor, now, from); err != nil {
			return err
		}
		if err := insertVersion(ctx, tx, v, source); err != nil {
			return err
		}
		return c.append(ctx, tx, entries)
	})
	switch {
	case errors.Is(err, errNumberTaken) && !overrule:
		return 0, ErrNotEmpty
	case errors.Is(err, errNumberTaken):
		return 0, ErrStale
	case err != nil:
		return 0, fmt.Errorf("installing a policy: %w", err)
	}
	return c.settled(ctx, v.Number), nil
}

// basePolicy is what a difference is counted from. A version that this process
// could not read counts as empty, which shows more on the trail, not less.
func (c *Charter) basePolicy(base int64) *policy.Policy {
	if g := c.inForce.Load(); g != nil && g.version == base && base > 0 {
		return g.policy
	}
	return nil
}
