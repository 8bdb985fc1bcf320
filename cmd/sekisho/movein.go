package main

import (
	"context"
	"fmt"
	"time"

	"sekisho/authn/passkey"
	"sekisho/authn/standing"
	"sekisho/cmd/sekisho/folder"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/sample"
	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// closures are the states that Sekisho itself keeps of the sample's people.
var closures = map[sample.State]standing.Kind{
	sample.Dormant: standing.Dormant,
	sample.OnLeave: standing.OnLeave,
}

// moveIn brings to the store what Sekisho keeps of the sample's people: their
// TOTP devices, and who is dormant or on leave. The mark that it was done comes
// last, and every step may be taken twice: a dev killed in between begins again
// and finds the devices there.
func moveIn(ctx context.Context, h *house.House, f folder.Folder, s *sample.Secrets) error {
	if s.Seeded {
		return nil
	}
	for _, p := range sample.People() {
		person, err := h.Directory.Find(ctx, p.Login)
		if err != nil {
			return fmt.Errorf("finding %s: %w", p.Login, err)
		}
		devices, err := h.TOTP.List(ctx, person.ID)
		if err != nil {
			return err
		}
		keys, err := h.Passkeys.List(ctx, person.ID)
		if err != nil {
			return err
		}
		totp := s.Of(p.Login).TOTPSecret
		err = h.DB.WithTx(ctx, func(tx *store.Tx) error {
			if totp != "" && len(devices) == 0 {
				if err := h.TOTP.Import(ctx, tx, person.ID, totp, "dev.json"); err != nil {
					return err
				}
			}
			if key := s.Of(p.Login).Passkey; key != nil && len(keys) == 0 {
				if err := giveKey(ctx, tx, h, person.ID, key); err != nil {
					return err
				}
			}
			if kind, ok := closures[p.State]; ok {
				if err := standing.Set(ctx, tx, person.ID, kind, h.Clock.Now(), time.Time{}, "見本 / sample", "system"); err != nil {
					return err
				}
			}
			return h.Trail.Append(ctx, tx, audit.Entry{
				Actor: "system", Action: "sample.person", Object: p.Login, Outcome: "ok", Reason: string(p.State),
			})
		})
		if err != nil {
			return fmt.Errorf("moving %s in: %w", p.Login, err)
		}
	}
	s.Seeded = true
	return s.Save(f)
}

// rested is longer than the day that a new factor rests before its owner can
// approve with it (design rule 7).
const rested = 48 * time.Hour

// giveKey enrols a passkey of the sample as if it had been there for a while.
func giveKey(ctx context.Context, tx *store.Tx, h *house.House, person directory.PersonID, key *sample.Passkey) error {
	public, err := key.Public()
	if err != nil {
		return err
	}
	cose, err := passkey.COSE(public)
	if err != nil {
		return err
	}
	return h.Passkeys.Import(ctx, tx, person, passkey.Imported{
		CredentialID: key.CredentialID, UserHandle: key.UserHandle, PublicKey: cose,
		Name: "dev.json", AddedAt: h.Clock.Now().Add(-rested),
	})
}
