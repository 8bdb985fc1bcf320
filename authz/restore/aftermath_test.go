package restore_test

import (
	"testing"
	"time"

	"sekisho/authz/restore"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var now = time.Date(2026, 4, 1, 8, 30, 0, 0, time.UTC)

func sqlite(t testing.TB) *store.DB {
	t.Helper()
	return storetest.OpenWith(t, store.Config{Driver: "sqlite"})
}

// TestEveryTableIsDecided: for each table of the schema somebody has said what a
// restore makes of it, and nothing is said of a table that is not there.
func TestEveryTableIsDecided(t *testing.T) {
	t.Parallel()
	tables, err := storetest.Open(t).Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, table := range tables {
		if there[table.Name] = true; !restore.Decided(table.Name) {
			t.Errorf("nobody has decided what becomes of %s when a backup is restored: add it to kept or ends", table.Name)
		}
	}
	for _, name := range restore.All() {
		if !there[name] {
			t.Errorf("%s is no table of the schema", name)
		}
	}
}

func begin(t testing.TB, db *store.DB, after int64, at time.Time) (epoch int64) {
	t.Helper()
	err := db.WithTx(t.Context(), func(tx *store.Tx) (err error) {
		epoch, err = restore.Begin(t.Context(), tx, after, at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// TestNothingComesBack: what could have been used, ended or given out since the
// copy was made is dead in it.
func TestNothingComesBack(t *testing.T) {
	t.Parallel()
	db := sqlite(t)
	err := db.WithTx(t.Context(), func(tx *store.Tx) error {
		for _, q := range []string{
			`INSERT INTO kept_answer (place, sealed, ends_at) VALUES ('p', x'00', 9)`,
			`INSERT INTO spent_ticket (mac, ends_at) VALUES (x'00', 9)`,
			`INSERT INTO recovery_code (person_id, key_id, mac, issued_by, issued_at, ends_at) VALUES ('p', 'k', x'00', 'x', 1, 9)`,
			`INSERT INTO oidc_grant (id, client_id, sid, person_id, login, scope, claims, acr, amr, auth_at, began_at, expires_at, code_mac, redirect_uri, challenge, nonce, code_expires_at)
			 VALUES ('g', 'c', 's', 'p', 'l', '', '', '', '', 1, 1, 9, 'm', '', '', '', 9)`,
			`INSERT INTO oidc_refresh (mac, grant_id, expires_at) VALUES ('m', 'g', 9)`,
			`INSERT INTO ephemeral_value (name, value, ends_at) VALUES ('flow', x'00', 9)`,
			`INSERT INTO restore_proposal (id, login, digest, body, proposed_at) VALUES ('restore-x', 'oda', 'aa', '{}', 9)`,
			`INSERT INTO claim (name, holder, ends_at) VALUES ('c', 'h', 9)`,
			`INSERT INTO totp_device (id, person, seed, last_step, added_at, confirmed_at) VALUES ('used', 'p', x'00', 5, 1, 1)`,
			`INSERT INTO totp_device (id, person, seed, last_step, added_at, confirmed_at, drift, period) VALUES ('slow', 'p', x'00', 5, 1, 1, -2, 60)`,
			`INSERT INTO totp_device (id, person, seed, last_step, added_at, confirmed_at) VALUES ('ahead', 'p', x'00', 99999999999, 1, 1)`,
			`INSERT INTO totp_device (id, person, seed, added_at) VALUES ('half', 'p', x'00', 1)`,
			`INSERT INTO sign_in_end (person_id, at) VALUES ('p', 7)`,
		} {
			if _, err := tx.Exec(t.Context(), q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	begin(t, db, 0, now)
	for q, want := range map[string]int64{
		`SELECT COUNT(*) FROM kept_answer`:                                                           0,
		`SELECT COUNT(*) FROM spent_ticket`:                                                          0,
		`SELECT COUNT(*) FROM recovery_code`:                                                         0,
		`SELECT COUNT(*) FROM oidc_refresh`:                                                          0,
		`SELECT COUNT(*) FROM ephemeral_value`:                                                       0,
		`SELECT COUNT(*) FROM restore_proposal`:                                                      0,
		`SELECT COUNT(*) FROM claim`:                                                                 0,
		`SELECT COUNT(*) FROM totp_device WHERE id = 'half'`:                                         0,
		`SELECT COUNT(*) FROM oidc_grant WHERE ended_at = 0 OR code_used_at = 0`:                     0,
		`SELECT COUNT(*) FROM oidc_grant`:                                                            1,
		`SELECT COUNT(*) FROM sign_in_end`:                                                           1, // it narrows
		`SELECT last_step - (SELECT mark_at/30000000 FROM clock) FROM totp_device WHERE id = 'used'`: 3,
		`SELECT last_step - (SELECT mark_at/60000000 FROM clock) FROM totp_device WHERE id = 'slow'`: 1,
		`SELECT last_step FROM totp_device WHERE id = 'ahead'`:                                       99999999999,
	} {
		var got int64
		if err := db.QueryRow(t.Context(), q).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d (%v), want %d", q, got, err, want)
		}
	}
}

// TestEpochsAreNotCountedTwice: the same copy restored again, and one that is
// older than what is known of, begin epochs that never were. The clock does not
// go back.
func TestEpochsAreNotCountedTwice(t *testing.T) {
	t.Parallel()
	first := begin(t, sqlite(t), 0, now)
	again := begin(t, sqlite(t), 0, now.Add(time.Millisecond))
	known := begin(t, sqlite(t), again+1000, now)
	if first <= 1 || again <= first || known != again+1001 {
		t.Errorf("epochs %d, %d, %d", first, again, known)
	}
	db := sqlite(t)
	if _, err := db.Mark(t.Context(), now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	begin(t, db, 0, now)
	if mark, err := db.Mark(t.Context(), time.Time{}); err != nil || !mark.Equal(now.Add(time.Hour)) {
		t.Errorf("the clock is at %v (%v)", mark, err)
	}
}
