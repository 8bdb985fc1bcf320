package terminal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"sekisho/policy/store"
)

// Find is one terminal by its id; ErrNotFound. in is the store, or the
// transaction that the answer is for.
func (r *Register) Find(ctx context.Context, in store.Reader, id string) (Terminal, error) {
	t, _, err := r.find(ctx, in, id)
	return t, err
}

// List is every terminal, by id. Of an id that the policy declares and an
// administrator enrolled, the policy's is the one there is.
func (r *Register) List(ctx context.Context) ([]Terminal, error) {
	pol := r.pol()
	var all []Terminal
	for _, d := range pol.Terminals {
		t, _ := declared(d)
		all = append(all, t)
	}
	enrolled, err := r.enrolled(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range enrolled {
		if _, shadowed := pol.Terminal(t.ID); !shadowed {
			all = append(all, t)
		}
	}
	gone, err := losses(ctx, r.db, "")
	if err != nil {
		return nil, err
	}
	spoke, err := r.spoke(ctx)
	if err != nil {
		return nil, err
	}
	for i, t := range all {
		all[i].LostAt, all[i].SeenAt = gone.of(t), store.FromMicros(spoke[t.ID])
	}
	slices.SortFunc(all, func(a, b Terminal) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// enrolled are the terminals that administrators enrolled.
func (r *Register) enrolled(ctx context.Context) ([]Terminal, error) {
	rows, err := r.db.Query(ctx, `SELECT `+columns+` FROM terminal`)
	if err != nil {
		return nil, fmt.Errorf("reading terminals: %w", err)
	}
	defer rows.Close()
	var all []Terminal
	for rows.Next() {
		t, _, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("reading terminals: %w", err)
		}
		all = append(all, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading terminals: %w", err)
	}
	return all, nil
}

// spoke is when each terminal last spoke, in microseconds.
func (r *Register) spoke(ctx context.Context) (map[string]int64, error) {
	rows, err := r.db.Query(ctx, `SELECT terminal, seen_at FROM terminal_seen`)
	if err != nil {
		return nil, fmt.Errorf("reading when terminals spoke: %w", err)
	}
	defer rows.Close()
	at := map[string]int64{}
	for rows.Next() {
		var (
			id     string
			micros int64
		)
		if err := rows.Scan(&id, &micros); err != nil {
			return nil, fmt.Errorf("reading when terminals spoke: %w", err)
		}
		at[id] = micros
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading when terminals spoke: %w", err)
	}
	return at, nil
}

// Lose records that a terminal is lost: its key is dead for good, on this
// terminal and on any other. ErrNotFound, or ErrLost where it was said before.
func (r *Register) Lose(ctx context.Context, tx *store.Tx, id, by string) error {
	t, _, err := r.find(ctx, tx, id)
	if err != nil {
		return err
	}
	if t.Key == "" && !t.LostAt.IsZero() {
		return ErrLost // by a key that it no longer has; else the database decides
	}
	now := store.Micros(r.now())
	err = tx.ExecOne(ctx, `
		INSERT INTO terminal_lost (terminal, fingerprint, lost_at, lost_by)
		VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, t.ID, t.Key, now, by)
	if errors.Is(err, store.ErrUntouched) {
		return ErrLost
	}
	if err != nil {
		return fmt.Errorf("losing terminal %s: %w", id, err)
	}
	// A row that the policy's declaration hides is the same machine to whoever
	// reports it, and must not come to life when the declaration goes.
	_, err = tx.Exec(ctx, `
		INSERT INTO terminal_lost (terminal, fingerprint, lost_at, lost_by)
		SELECT id, fingerprint, CAST($1 AS BIGINT), CAST($2 AS TEXT) FROM terminal
		WHERE  id = $3 AND fingerprint <> '' ON CONFLICT DO NOTHING`, now, by, id)
	if err != nil {
		return fmt.Errorf("losing terminal %s: %w", id, err)
	}
	return nil
}

// Remove takes a terminal that an administrator enrolled off the register;
// ErrNotFound. What the policy declares goes by changing the policy: *Invalid. A
// lost key stays lost.
func (r *Register) Remove(ctx context.Context, tx *store.Tx, id string) error {
	t, err := r.Find(ctx, tx, id)
	if err != nil {
		return err
	}
	if t.Declared {
		return invalid("id", "declared",
			"この端末機は方針に書かれています。外すには方針を変更してください。",
			"The policy declares this terminal. Change the policy to take it off.")
	}
	err = tx.ExecOne(ctx, `DELETE FROM terminal WHERE id = $1`, id)
	if errors.Is(err, store.ErrUntouched) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("removing terminal %s: %w", id, err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM terminal_seen WHERE terminal = $1`, id); err != nil {
		return fmt.Errorf("forgetting when terminal %s spoke: %w", id, err)
	}
	return nil
}

// taken reports whether a row has this id.
func taken(ctx context.Context, tx *store.Tx, id string) (bool, error) {
	var one int
	err := tx.QueryRow(ctx, `SELECT 1 FROM terminal WHERE id = $1`, id).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
