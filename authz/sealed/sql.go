package sealed

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sekisho/directory"
	"sekisho/policy/store"
)

func scan(row store.Row) (Envelope, error) {
	var (
		e       Envelope
		text    string
		version int64
	)
	err := row.Scan(&text, &version)
	if errors.Is(err, sql.ErrNoRows) {
		return Envelope{}, ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &e)
	}
	if err != nil {
		return Envelope{}, fmt.Errorf("reading an emergency ID: %w", err)
	}
	e.version = version
	return e, nil
}

func envelopes(ctx context.Context, in store.Reader, where string, args ...any) ([]Envelope, error) {
	return store.All(ctx, in, "emergency IDs", scan, `SELECT body, version FROM emergency_id WHERE `+where, args...)
}

func envelope(ctx context.Context, in store.Reader, id string) (Envelope, error) {
	return scan(in.QueryRow(ctx, `SELECT body, version FROM emergency_id WHERE id = $1`, id))
}

// insert adds an envelope: ErrUntouched where its system has one of that name.
func insert(ctx context.Context, tx *store.Tx, e Envelope) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("storing an emergency ID: %w", err)
	}
	return tx.ExecOne(ctx, `
		INSERT INTO emergency_id (id, name, account, body, registered_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING`, e.ID, e.name(), directory.Canonical(e.Account), string(text), store.Micros(e.Registered.At))
}

// update stores an envelope as it is after an act: of two at once, the second sees
// what the first has done and is told so.
func update(ctx context.Context, tx *store.Tx, e Envelope) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("storing an emergency ID: %w", err)
	}
	var gone int64
	if e.Withdrawn.Done() {
		gone = store.Micros(e.Withdrawn.At)
	}
	err = tx.ExecOne(ctx, `
		UPDATE emergency_id SET body = $1, withdrawn_at = $2, told_at = 0, version = version + 1
		WHERE  id = $3 AND version = $4`, string(text), gone, e.ID, e.version)
	if errors.Is(err, store.ErrUntouched) {
		return state("changed", "ほかの人が先に記録しました。もう一度開いて確かめてください。", "Somebody else was first. Please open it again and look.")
	}
	return err
}

// told marks that people were told, unless another gateway has.
func told(ctx context.Context, tx *store.Tx, id string, now, before time.Time) error {
	return tx.ExecOne(ctx, `UPDATE emergency_id SET told_at = $1 WHERE id = $2 AND told_at <= $3 AND withdrawn_at = 0`, store.Micros(now), id, store.Micros(before))
}

func remember(ctx context.Context, tx *store.Tx, id string, version int64, ev Event) error {
	text, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("storing what was done about an emergency ID: %w", err)
	}
	return tx.ExecOne(ctx, `INSERT INTO emergency_id_event (emergency_id, version, at, body) VALUES ($1, $2, $3, $4)`, id, version, store.Micros(ev.At), string(text))
}

// history is what was done about one, the newest first.
func history(ctx context.Context, in store.Reader, id string) ([]Event, error) {
	return store.All(ctx, in, "what was done about an emergency ID", func(row store.Row) (Event, error) {
		var (
			ev   Event
			text string
		)
		err := row.Scan(&text)
		if err == nil {
			err = json.Unmarshal([]byte(text), &ev)
		}
		return ev, err
	}, `SELECT body FROM emergency_id_event WHERE emergency_id = $1 ORDER BY version DESC LIMIT 200`, id)
}

// All is the whole register. It reads rows alone, so that it serves a terminal too.
func All(ctx context.Context, in store.Reader) ([]Envelope, error) {
	return envelopes(ctx, in, `1 = 1 ORDER BY registered_at, id`)
}
