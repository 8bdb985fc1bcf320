package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// HandoverCode makes a code that carries the session behind a cookie to one
// application's host, once. Whether the person may open the application is
// decided before, and again at each request.
func (s *Sessions) HandoverCode(ctx context.Context, cookie, app, host string) (string, error) {
	parent, err := s.Load(ctx, cookie)
	if err != nil {
		return "", err
	}
	if parent.App != "" { // a host's own cookie opens no other host
		return "", ErrNone
	}
	code, _, mac, err := s.Handles.New(KindCode)
	if err != nil {
		return "", err
	}
	err = s.db.WithTx(ctx, func(tx *store.Tx) error {
		now := s.now()
		if _, err := tx.Exec(ctx, `DELETE FROM handover WHERE expires_at < $1`, store.Micros(now.Add(-time.Hour))); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO handover (code_mac, parent, app, host, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			mac, parent.ID, app, host, store.Micros(now.Add(s.policy().Session.HandoverEnd)))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("handing a session over to %s: %w", app, err)
	}
	return code, nil
}

// RedeemHandover turns a code into a session of its own for the host it was
// made for, and returns that host's cookie. A code that was used, is too old,
// or was made for another host gives ErrNone: the database decides which of
// several tries is the one.
func (s *Sessions) RedeemHandover(ctx context.Context, code, host, source string) (string, error) {
	codeMAC, ok := s.MAC(KindCode, code)
	if !ok {
		return "", ErrNone
	}
	var cookie string
	err := s.db.WithTx(ctx, func(tx *store.Tx) error {
		now, pol := s.now(), s.policy()
		err := tx.ExecOne(ctx, `
			UPDATE handover SET used_at = $1
			WHERE  code_mac = $2 AND host = $3 AND used_at = 0 AND expires_at > $1`, store.Micros(now), codeMAC, host)
		if errors.Is(err, store.ErrUntouched) {
			return ErrNone
		}
		if err != nil {
			return err
		}
		var parent, app string
		if err := tx.QueryRow(ctx, `SELECT parent, app FROM handover WHERE code_mac = $1`, codeMAC).Scan(&parent, &app); err != nil {
			return err
		}
		n, err := scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM session WHERE id = $1`, parent))
		if err != nil {
			return err
		}
		n.SeenAt = s.lastSeen(n)
		if !n.alive(pol, now) {
			return ErrNone
		}
		n.Parent, n.ID, n.App, n.SeenAt = n.ID, secret.Token(16), app, now
		_, n.IdleExpiresAt = n.bounds(pol)
		var keyID, mac string
		if cookie, keyID, mac, err = s.newOf(n.ID); err != nil {
			return err
		}
		if err := insert(ctx, tx, n, keyID, mac); err != nil {
			return err
		}
		// An application that is opened is entered once for a session and
		// application, not at each request (design section 4).
		return s.trail.Append(ctx, tx, audit.Entry{
			Actor: n.Login, Action: "application.opened", Object: app, Outcome: "ok",
			Articles: []policy.Article{"62-1", "62-2"}, From: source, Zone: string(n.Zone),
			Detail: map[string]string{"acr": string(n.ACR)},
		})
	})
	if err != nil {
		return "", err
	}
	return cookie, nil
}

// lastSeen is when a session was last used, as far as this process knows.
func (s *Sessions) lastSeen(n Session) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c := s.held[s.byID[n.ID]]; c != nil {
		return store.FromMicros(max(c.seen.Load(), store.Micros(n.SeenAt)))
	}
	return n.SeenAt
}
