package card

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/directory"
	"sekisho/policy/store"
)

// Seen is a card that a person has used.
type Seen struct {
	ID, Name            string
	AddedAt, LastUsedAt time.Time
}

// ErrNoCard means that the person has no such card.
var ErrNoCard = errors.New("no such card")

// Use records in the caller's transaction that a person signed in with a card.
// A card is for good the person's who first used it; one that was removed, or is
// another's, is *Refused.
func (r *Reader) Use(ctx context.Context, tx *store.Tx, person directory.PersonID, c Card) error {
	if person == "" || c.ID == "" {
		return &Refused{"not_read"} // a Card that Read did not make is nobody's
	}
	now := store.Micros(r.now())
	_, err := tx.Exec(ctx, `
		INSERT INTO card (id, person_id, authority, serial, name, added_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $6)
		ON CONFLICT (id) DO NOTHING`, c.ID, string(person), c.Authority, c.Serial, c.name, now)
	if err != nil {
		return fmt.Errorf("recording a card: %w", err)
	}
	err = tx.ExecOne(ctx, `
		UPDATE card SET last_used_at = $1
		WHERE  id = $2 AND person_id = $3 AND removed_at = 0`, now, c.ID, string(person))
	if errors.Is(err, store.ErrUntouched) {
		return &Refused{"removed_or_anothers"}
	}
	if err != nil {
		return fmt.Errorf("recording the use of a card: %w", err)
	}
	return nil
}

// List names the cards a person has used and not removed, oldest first.
func (r *Reader) List(ctx context.Context, person directory.PersonID) ([]Seen, error) {
	rows, err := r.db.Query(ctx, `
		SELECT id, name, added_at, last_used_at FROM card
		WHERE  person_id = $1 AND removed_at = 0
		ORDER  BY added_at, id`, string(person))
	if err != nil {
		return nil, fmt.Errorf("listing cards: %w", err)
	}
	defer rows.Close()
	var out []Seen
	for rows.Next() {
		var (
			one         Seen
			added, used int64
		)
		if err := rows.Scan(&one.ID, &one.Name, &added, &used); err != nil {
			return nil, fmt.Errorf("listing cards: %w", err)
		}
		one.AddedAt, one.LastUsedAt = store.FromMicros(added), store.FromMicros(used)
		out = append(out, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing cards: %w", err)
	}
	return out, nil
}

// Count is how many cards the person has used and not removed, as in sees it.
func (r *Reader) Count(ctx context.Context, in store.Reader, person directory.PersonID) (int, error) {
	var n int
	err := in.QueryRow(ctx, `SELECT COUNT(*) FROM card WHERE person_id = $1 AND removed_at = 0`, string(person)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting cards: %w", err)
	}
	return n, nil
}

// RemoveAll is Remove of all cards of a person, for those who leave.
func (r *Reader) RemoveAll(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	if _, err := tx.Exec(ctx, `UPDATE card SET removed_at = $1 WHERE person_id = $2 AND removed_at = 0`, store.Micros(r.now()), string(person)); err != nil {
		return fmt.Errorf("removing cards: %w", err)
	}
	return nil
}

// Remove refuses a card from now on, for good: a lost card is not found again
// without a new certificate. ErrNoCard unless the person has it.
func (r *Reader) Remove(ctx context.Context, tx *store.Tx, person directory.PersonID, id string) error {
	err := tx.ExecOne(ctx, `
		UPDATE card SET removed_at = $1
		WHERE  id = $2 AND person_id = $3 AND removed_at = 0`, store.Micros(r.now()), id, string(person))
	if errors.Is(err, store.ErrUntouched) {
		return ErrNoCard
	}
	if err != nil {
		return fmt.Errorf("removing a card: %w", err)
	}
	return nil
}
