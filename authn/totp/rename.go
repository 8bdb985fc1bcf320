package totp

import (
	"context"
	"errors"
	"fmt"

	"sekisho/directory"
	"sekisho/policy/store"
)

// Rename gives one of the person's devices another name: ErrName or ErrNoDevice
// refuse.
func (d *Devices) Rename(ctx context.Context, tx *store.Tx, person directory.PersonID, id, name string) error {
	name, err := properName(name)
	if err != nil {
		return err
	}
	err = tx.ExecOne(ctx, `
		UPDATE totp_device SET name = $1 WHERE id = $2 AND person = $3 AND confirmed_at > 0`, name, id, string(person))
	if errors.Is(err, store.ErrUntouched) {
		return ErrNoDevice
	}
	if err != nil {
		return fmt.Errorf("renaming TOTP device %s: %w", id, err)
	}
	return nil
}
