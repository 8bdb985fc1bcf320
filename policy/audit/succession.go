package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy"
	"sekisho/policy/audit/proof"
	"sekisho/policy/store"
)

// Locked runs fn in a transaction in which nobody else seals.
func (s *Sealer) Locked(ctx context.Context, fn func(*store.Tx) error) error {
	return s.db.WithLock(ctx, sealing, fn)
}

// Succeed lets another of our keys sign from here on, in the caller's
// transaction, which is a Locked one. All that waits is sealed under the old key; then an entry in which
// both keys say so; then a checkpoint that both sign. An auditor who holds either
// can follow. Whoever seals next finds the new key's turn in that checkpoint.
//
// A thief of the new key cannot change what was before: the statement names the
// old key's last tree. A thief of the old one can only add to copies that end
// before it, which a later checkpoint contradicts.
func (s *Sealer) Succeed(ctx context.Context, tx *store.Tx, public string) error {
	err := s.succeed(ctx, tx, public)
	if err != nil {
		return fmt.Errorf("letting another key sign the trail: %w", err)
	}
	s.setDue(true) // the anchor follows with the next seal
	return nil
}

func (s *Sealer) succeed(ctx context.Context, tx *store.Tx, public string) error {
	h, err := s.begin(ctx, tx)
	if err != nil {
		return err
	}
	for {
		leaves, err := pending(ctx, tx)
		if err != nil {
			return err
		}
		if len(leaves) == 0 {
			break
		}
		if h, err = s.batch(ctx, tx, h, leaves); err != nil {
			return err
		}
	}
	old, held := s.key.inUse(), s.key.all()
	i := slices.IndexFunc(held, func(k signer) bool { return k.public == public })
	if i < 0 {
		return errors.New("the new key is not in our file")
	}
	next := held[i]
	if next.public == old.public {
		return nil
	}
	said := proof.Succession{Origin: s.key.Origin(), Old: old.public, New: next.public, Size: h.Size, Root: h.Root}
	statement, err := note.Sign(&note.Note{Text: said.Text()}, old, next)
	if err != nil {
		return err
	}
	e := Entry{
		Time: s.now(), Actor: "system", Action: proof.Action, Object: "trail/" + next.id(), Outcome: OK,
		Articles: []policy.Article{"51"},
		Detail: map[string]string{
			"old": old.public, "new": next.public, "statement": base64.StdEncoding.EncodeToString(statement),
		},
	}
	data, err := encode(e)
	if err != nil {
		return err
	}
	if read, ok := proof.ReadSuccession(data); !ok || read != said {
		return errors.New("the statement does not read back")
	}
	l := leaf{data: data, hash: tlog.RecordHash(data)}
	if l.entry, err = decode(data); err != nil {
		return err
	}
	_, err = s.grow(ctx, tx, h, []leaf{l}, old, next)
	return err
}

// successions are those of the sealed trail, oldest first.
func successions(ctx context.Context, from querier) ([]proof.Succession, error) {
	rows, err := from.Query(ctx, `SELECT data FROM trail_leaf WHERE action = $1 ORDER BY idx`, proof.Action)
	if err != nil {
		return nil, fmt.Errorf("reading the trail's former keys: %w", err)
	}
	defer rows.Close()
	var all []proof.Succession
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return nil, fmt.Errorf("reading the trail's former keys: %w", err)
		}
		if s, ok := proof.ReadSuccession(data); ok {
			all = append(all, s)
		}
	}
	return all, rows.Err()
}
