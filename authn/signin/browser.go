package signin

import (
	"context"
	"fmt"

	"sekisho/authn/session"
	"sekisho/directory"
	"sekisho/policy/store"
)

// knownBrowser is the MAC of the device cookie if that browser has signed this
// person in before and was not revoked since, else "". A browser is known for
// the people who signed in on it, not for others.
func (s *Service) knownBrowser(ctx context.Context, o Origin, person directory.PersonID) (string, error) {
	mac, ok := s.Sessions.MAC(session.KindBrowser, o.Device)
	if !ok {
		return "", nil
	}
	var n int
	err := s.DB.QueryRow(ctx, `
		SELECT COUNT(*) FROM known_browser
		WHERE  browser_mac = $1 AND person_id = $2 AND revoked_at = 0 AND last_used > $3`,
		mac, string(person), store.Micros(s.Now().Add(-s.Policy().Lockout.KnownBrowserEnd))).Scan(&n)
	if err != nil {
		return "", fmt.Errorf("looking up a browser: %w", err)
	}
	if n == 0 {
		return "", nil
	}
	return mac, nil
}

// rememberBrowser records in the caller's transaction that this browser signed
// a person in, and returns the value for its cookie if it needs a new one: it
// had none, or one under a key that is to go. Then everybody whom the browser is
// known for moves with it.
func (s *Service) rememberBrowser(ctx context.Context, tx *store.Tx, o Origin, person directory.PersonID) (string, error) {
	cookie, fresh := o.Device, ""
	mac, ok := s.Sessions.MAC(session.KindBrowser, o.Device)
	if !ok || !s.Sessions.Newest(o.Device) {
		before := mac
		var err error
		if fresh, _, mac, err = s.Sessions.New(session.KindBrowser); err != nil {
			return "", err
		}
		if cookie = fresh; ok {
			if _, err := tx.Exec(ctx, `UPDATE known_browser SET browser_mac = $1, browser_key = $2 WHERE browser_mac = $3`,
				mac, session.KeyOf(fresh), before); err != nil {
				return "", fmt.Errorf("moving a browser to another key: %w", err)
			}
		}
	}
	now := store.Micros(s.Now())
	_, err := tx.Exec(ctx, `
		INSERT INTO known_browser (browser_mac, person_id, since, last_used, browser_key) VALUES ($1, $2, $3, $3, $4)
		ON CONFLICT (browser_mac, person_id) DO UPDATE SET last_used = excluded.last_used, revoked_at = 0, browser_key = excluded.browser_key`,
		mac, string(person), now, session.KeyOf(cookie))
	if err != nil {
		return "", fmt.Errorf("remembering a browser: %w", err)
	}
	return fresh, nil
}

// ForgetBrowsers makes every browser a stranger's to a person again, after
// their password became known to others.
func (s *Service) ForgetBrowsers(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	_, err := tx.Exec(ctx, `
		UPDATE known_browser SET revoked_at = $1 WHERE person_id = $2 AND revoked_at = 0`,
		store.Micros(s.Now()), string(person))
	if err != nil {
		return fmt.Errorf("forgetting browsers: %w", err)
	}
	return nil
}
