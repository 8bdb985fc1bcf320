package charter

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// detail says on the trail where a text came from; nil for one of our own.
func (f *Carried) detail() map[string]string {
	if f == nil {
		return nil
	}
	return map[string]string{
		"from": f.Origin, "from_key": f.Key, "from_epoch": strconv.FormatInt(f.Epoch, 10),
		"from_version": strconv.FormatInt(f.Version, 10), "issued": f.Issued.UTC().Format(time.RFC3339),
	}
}

// takeIn holds a carried text to the order in which its gateway made them. The
// guard is in the WHERE clause: two terminals may take two files in at once.
// The same text again is the same text.
func (c *Charter) takeIn(ctx context.Context, tx *store.Tx, actor, sum string, from *Carried) error {
	if from == nil {
		return nil
	}
	if from.Digest != sum {
		return fmt.Errorf("taking in a policy from %s: %w", from.Origin, errDamaged)
	}
	err := tx.ExecOne(ctx, `
		INSERT INTO policy_dispatch (origin, epoch, version, digest, issued_at, taken_at, taken_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (origin) DO UPDATE
		SET    epoch = excluded.epoch, version = excluded.version, digest = excluded.digest,
		       issued_at = excluded.issued_at, taken_at = excluded.taken_at, taken_by = excluded.taken_by
		WHERE  (excluded.epoch, excluded.version) > (policy_dispatch.epoch, policy_dispatch.version)
		OR     ((excluded.epoch, excluded.version, excluded.digest) = (policy_dispatch.epoch, policy_dispatch.version, policy_dispatch.digest)
		        AND excluded.issued_at >= policy_dispatch.issued_at)`,
		from.Origin, from.Epoch, from.Version, from.Digest, store.Micros(from.Issued), store.Micros(c.now()), actor)
	if !errors.Is(err, store.ErrUntouched) {
		return err
	}
	if err := inOrder(ctx, tx, from); err != nil {
		return err
	}
	return ErrOlder
}

// inOrder refuses what takeIn would refuse now, and takes nothing: a text that is
// only proposed shuts out no other. Two texts under one version are refused whether
// anybody approved the first or not: somebody is lying.
func inOrder(ctx context.Context, tx *store.Tx, from *Carried) error {
	var epoch, version, issued int64
	var held string
	err := tx.QueryRow(ctx, `SELECT epoch, version, digest, issued_at FROM policy_dispatch WHERE origin = $1`, from.Origin).Scan(&epoch, &version, &held, &issued)
	first := errors.Is(err, sql.ErrNoRows) // nothing was ever taken from there
	if err != nil && !first {
		return err
	}
	same := !first && epoch == from.Epoch && version == from.Version
	var other int
	if err := tx.QueryRow(ctx, `
		SELECT COUNT(*) FROM charter_carried
		WHERE  origin = $1 AND epoch = $2 AND version = $3 AND digest <> $4`, from.Origin, from.Epoch, from.Version, from.Digest).Scan(&other); err != nil {
		return err
	}
	switch {
	case other > 0, same && held != from.Digest:
		return ErrTwoTexts
	case first:
		return nil
	case cmp.Or(cmp.Compare(from.Epoch, epoch), cmp.Compare(from.Version, version)) < 0, same && store.Micros(from.Issued) < issued:
		return ErrOlder
	}
	return nil
}

// propose keeps with a proposal where its text came from. The same text, sent again
// later, counts as the later.
func (f *Carried) propose(ctx context.Context, tx *store.Tx, proposal, sum string) error {
	if f == nil {
		return nil
	}
	if f.Digest != sum {
		return fmt.Errorf("taking in a policy from %s: %w", f.Origin, errDamaged)
	}
	if err := inOrder(ctx, tx, f); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO charter_carried (proposal, origin, signed_by, epoch, version, digest, issued_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (proposal) DO UPDATE
		SET    origin = excluded.origin, signed_by = excluded.signed_by, epoch = excluded.epoch, version = excluded.version,
		       digest = excluded.digest, issued_at = excluded.issued_at
		WHERE  charter_carried.origin <> excluded.origin
		OR     (excluded.epoch, excluded.version, excluded.issued_at) > (charter_carried.epoch, charter_carried.version, charter_carried.issued_at)`,
		proposal, f.Origin, f.Key, f.Epoch, f.Version, f.Digest, store.Micros(f.Issued))
	return err
}

// carriedIn is where a proposal's text came from; nil for one of our own.
func carriedIn(ctx context.Context, from store.Reader, proposal string) (*Carried, error) {
	var (
		f      Carried
		issued int64
	)
	err := from.QueryRow(ctx, `SELECT origin, signed_by, epoch, version, digest, issued_at FROM charter_carried WHERE proposal = $1`, proposal).
		Scan(&f.Origin, &f.Key, &f.Epoch, &f.Version, &f.Digest, &issued)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	f.Issued = store.FromMicros(issued)
	return &f, nil
}

// RefuseCarried enters the refusal of a text from another gateway on the trail:
// somebody brought it here, and may have meant it.
func (c *Charter) RefuseCarried(ctx context.Context, actor, file, why string, from *Carried) error {
	detail := map[string]string{"file": file}
	maps.Copy(detail, from.detail())
	return c.db.WithTx(ctx, func(tx *store.Tx) error {
		return c.trail.Append(ctx, tx, audit.Entry{
			Actor: actor, Action: "policy.dispatch_refused", Object: file, Outcome: audit.Refused, Reason: why, Detail: detail,
		})
	})
}

// A Carried text comes from another gateway, whose signature the caller has
// checked. Epoch and Version are that gateway's own.
type Carried struct {
	Origin, Key    string
	Epoch, Version int64
	Issued         time.Time
	Digest         string // SHA-256 of the text, hexadecimal
}
