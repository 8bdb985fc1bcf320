package charter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sekisho/policy/store"
)

var (
	// errNumberTaken says that somebody else put a version in force first.
	errNumberTaken = errors.New("the version's number is taken")
	// errBaseMoved says the same of a proposal's base.
	errBaseMoved = errors.New("the base is not the newest version")
	// errDamaged says that a text is not what its digest was made of.
	errDamaged = errors.New("the stored text does not match its digest")
)

// newest is the number of the version in force, 0 in an empty store.
func newest(ctx context.Context, db *store.DB) (int64, error) {
	var n int64
	err := db.QueryRow(ctx, `SELECT COALESCE(MAX(number), 0) FROM charter_version`).Scan(&n)
	return n, err
}

// oldest is when the first version came into force.
func oldest(ctx context.Context, db *store.DB) (time.Time, error) {
	var at int64
	err := db.QueryRow(ctx, `SELECT COALESCE(MIN(in_force_at), 0) FROM charter_version`).Scan(&at)
	return store.FromMicros(at), err
}

func readVersion(ctx context.Context, db *store.DB, number int64) (Version, []byte, error) {
	v := Version{Number: number}
	var (
		source []byte
		since  int64
	)
	err := db.QueryRow(ctx, `
		SELECT source, digest, proposal, proposed_by, approved_by, in_force_at
		FROM   charter_version
		WHERE  number = $1`, number).Scan(&source, &v.Digest, &v.Proposal, &v.By, &v.ApprovedBy, &since)
	if errors.Is(err, sql.ErrNoRows) {
		return Version{}, nil, ErrNoVersion
	}
	if err != nil {
		return Version{}, nil, err
	}
	if digest(source) != v.Digest {
		return Version{}, nil, errDamaged
	}
	v.Since = store.FromMicros(since)
	return v, source, nil
}

// insertVersion puts a version in force if the one before it is the newest.
// Versions never go, so the next number is free exactly as long as nobody else
// was first; two gateways can install or approve at once, and only the primary
// key sees both.
func insertVersion(ctx context.Context, tx *store.Tx, v Version, source []byte) error {
	err := tx.ExecOne(ctx, `
		INSERT INTO charter_version (number, source, digest, proposal, proposed_by, approved_by, in_force_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (number) DO NOTHING`,
		v.Number, source, v.Digest, v.Proposal, v.By, v.ApprovedBy, store.Micros(v.Since))
	if errors.Is(err, store.ErrUntouched) {
		return errNumberTaken
	}
	return err
}

// insertProposal stores a proposal and gives its id and time: those of the
// earlier one where the same person has proposed the same text before.
func insertProposal(ctx context.Context, tx *store.Tx, p Proposal, sum string) (string, time.Time, error) {
	var base int64
	if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(number), 0) FROM charter_version`).Scan(&base); err != nil {
		return "", time.Time{}, err
	}
	if base != p.Base {
		return "", time.Time{}, errBaseMoved
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO charter_proposal (id, base, source, digest, proposed_by, proposed_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (base, digest, proposed_by) DO NOTHING`,
		p.ID, p.Base, p.Source, sum, p.Login, store.Micros(p.At)); err != nil {
		return "", time.Time{}, err
	}
	var (
		id string
		at int64
	)
	err := tx.QueryRow(ctx, `
		SELECT id, proposed_at FROM charter_proposal
		WHERE  base = $1 AND digest = $2 AND proposed_by = $3`, p.Base, sum, p.Login).Scan(&id, &at)
	return id, store.FromMicros(at), err
}

// spendProposal uses a proposal up. The guard is in the WHERE clause because
// two approvers can press the button at once, and only the database sees both.
func spendProposal(ctx context.Context, tx *store.Tx, id string, by Approver, at time.Time) error {
	return tx.ExecOne(ctx, `
		UPDATE charter_proposal
		SET    approved_id = $1, approved_by = $2, approved_at = $3
		WHERE  id = $4 AND approved_at = 0
		AND    base = (SELECT COALESCE(MAX(number), 0) FROM charter_version)`,
		by.ID, by.Login, store.Micros(at), id)
}

type proposalRow struct {
	Proposal
	approvedID string
	approvedAt int64
}

func readProposal(ctx context.Context, db store.Reader, id string) (proposalRow, error) {
	row := proposalRow{Proposal: Proposal{ID: id}}
	var (
		sum string
		at  int64
	)
	err := db.QueryRow(ctx, `
		SELECT base, source, digest, proposed_by, proposed_at, approved_id, approved_at
		FROM   charter_proposal
		WHERE  id = $1`, id).Scan(&row.Base, &row.Source, &sum, &row.Login, &at, &row.approvedID, &row.approvedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return proposalRow{}, ErrNoProposal
	}
	if err != nil {
		return proposalRow{}, err
	}
	if digest(row.Source) != sum {
		return proposalRow{}, errDamaged
	}
	row.At = store.FromMicros(at)
	return row, nil
}

// pending are the proposals that nobody has approved and whose base is in
// force.
func pending(ctx context.Context, db *store.DB) ([]Proposal, error) {
	rows, err := db.Query(ctx, `
		SELECT id, base, source, proposed_by, proposed_at
		FROM   charter_proposal
		WHERE  approved_at = 0
		AND    base = (SELECT COALESCE(MAX(number), 0) FROM charter_version)
		ORDER  BY proposed_at, id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Proposal
	for rows.Next() {
		var (
			p  Proposal
			at int64
		)
		if err := rows.Scan(&p.ID, &p.Base, &p.Source, &p.Login, &at); err != nil {
			return nil, fmt.Errorf("reading a proposal: %w", err)
		}
		p.At = store.FromMicros(at)
		out = append(out, p)
	}
	return out, rows.Err()
}
