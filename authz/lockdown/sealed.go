package lockdown

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// A sealed key is a pair whose public half stands in the policy and whose private
// half lies in an envelope, for when those who could lift a lock-down cannot sign
// in. Who has the private half, and the machine, lifts: so it is loud.

// NewSealedKey makes a pair: the file for the envelope, and the line for the policy.
func NewSealedKey() (private []byte, public string, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), policy.SealedKeyPrefix + base64.StdEncoding.EncodeToString(pub), nil
}

var (
	// ErrNoSealedKey means that a file holds no private half of a sealed key.
	ErrNoSealedKey = errors.New("not the private half of a sealed key")
	// ErrUnknownKey means that the policy does not name this key's public half.
	ErrUnknownKey = errors.New("the policy does not name this sealed key")
	// ErrNothingInForce means that there is nothing to lift.
	ErrNothingInForce = errors.New("no lock-down is in force")
)

// ReadSealedKey reads what NewSealedKey made.
func ReadSealedKey(file []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(file)
	if block == nil || block.Type != "PRIVATE KEY" || strings.TrimSpace(string(rest)) != "" {
		return nil, ErrNoSealedKey
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, ErrNoSealedKey
	}
	return private, nil
}

// LiftSealed lifts every lock-down in force by a sealed key, at a console where
// nobody is signed in. The policy in force must name the key.
func LiftSealed(ctx context.Context, db *store.DB, trail *audit.Trail, p *policy.Policy, key ed25519.PrivateKey, operator string, now time.Time) ([]authz.LockDown, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok || !p.LockDown.Sealed(public) {
		return nil, ErrUnknownKey
	}
	var lifted []authz.LockDown
	err := db.WithTx(ctx, func(tx *store.Tx) error {
		lifted = nil
		all, err := read(ctx, tx, `lifted_at = 0 AND ends_at > $1 ORDER BY ordered_at`, store.Micros(now))
		if err != nil {
			return err
		}
		for _, l := range all {
			if !l.Live(now) {
				continue
			}
			if err := lift(ctx, tx, l.ID, operator, "sealed key", true, now); err != nil {
				return err
			}
			err := trail.Append(ctx, tx, audit.Entry{
				Actor: operator, Action: "lockdown.lifted_by_sealed_key", Object: l.ID, Outcome: audit.OK, Reason: l.Reason,
				Articles: append([]policy.Article{"80-2"}, articles...),
				Detail: map[string]string{
					"scope": string(l.Scope), "target": l.Target, "ordered_by": l.By,
					"key": policy.SealedKeyPrefix + base64.StdEncoding.EncodeToString(public),
				},
			})
			if err != nil {
				return err
			}
			lifted = append(lifted, l)
		}
		if len(lifted) == 0 {
			return ErrNothingInForce
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrNothingInForce) {
		return nil, fmt.Errorf("lifting by a sealed key: %w", err)
	}
	return lifted, err
}

// Count looks how many a sealed key has lifted within the last day, for SealedHeld.
func (o *Orders) Count(ctx context.Context) error {
	var n int64
	err := o.db.QueryRow(ctx, `SELECT COUNT(*) FROM lockdown WHERE envelope = 1 AND lifted_at > $1`, store.Micros(o.now().Add(-24*time.Hour))).Scan(&n)
	if err != nil {
		return fmt.Errorf("counting what sealed keys lifted: %w", err)
	}
	o.sealed.Store(n)
	return nil
}

// TellSealed tells those concerned of what a sealed key lifted: at the console
// where that is done, nobody can be asked who they are. Of several gateways one
// does.
func (s *Service) TellSealed(ctx context.Context) error {
	if err := s.Orders.Count(ctx); err != nil {
		return err
	}
	untold, err := read(ctx, s.In.DB, `envelope = 1 AND told_at = 0 ORDER BY lifted_at`)
	if err != nil || len(untold) == 0 {
		return err
	}
	pol := s.In.Policy()
	var from signin.Origin
	for _, z := range pol.Zones {
		if notice.Mails(pol, z.ID) {
			from.Zone = z.ID
		}
	}
	tell := s.concerned(ctx)
	for _, l := range untold {
		slog.WarnContext(ctx, "a lock-down was lifted by a sealed key", "lockdown", l.ID, "operator", l.LiftedBy)
		err := s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
			err := tx.ExecOne(ctx, `UPDATE lockdown SET told_at = $1 WHERE id = $2 AND told_at = 0`, store.Micros(s.In.Now()), l.ID)
			if errors.Is(err, store.ErrUntouched) {
				return nil // another gateway has
			}
			if err != nil {
				return err
			}
			return s.tell(ctx, tx, from, tell, notice.LockDownLifted, map[string]string{
				"by": l.LiftedBy, "scope": string(l.Scope), "target": l.Target, "reason": l.LiftReason,
			})
		})
		if err != nil {
			return fmt.Errorf("telling of a sealed key: %w", err)
		}
	}
	return nil
}
