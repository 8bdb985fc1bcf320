package lifecycle

import (
	"context"
	"errors"
	"testing"

	"sekisho/authn/card"
	"sekisho/authn/totp"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestOrphansAreRemoved: the factors of who is gone are found at once and removed a week
// later, once; those of who is there stay, whatever else is found.
func TestOrphansAreRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0.AddDate(9, 0, 0)}, member{login: "gone", used: t0.AddDate(9, 0, 0)}, member{login: "hidden", used: t0.AddDate(9, 0, 0)})
	devices := totp.New(w.db, w.ring, w.clock.Now)
	w.Factors = []Keeper{devices, card.New(w.db, nil, w.clock.Now, func() *policy.Policy { return w.policy })}
	for _, login := range []string{"tanaka", "gone", "hidden"} {
		w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
			return devices.Import(t.Context(), tx, w.person(login).ID, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "電話")
		}))
	}
	left := func() int { return w.count(`SELECT COUNT(*) FROM totp_device`) }
	w.must(w.Tick(t.Context()))
	gone := w.person("gone")
	w.must(w.dir.Delete(t.Context(), gone))
	for _, day := range []int{1, 7} {
		w.on(day)
		w.sweep()
		if left() != 3 {
			t.Fatalf("%d devices on day %d", left(), day)
		}
	}
	if found, err := w.Findings(t.Context(), 10); err != nil || len(found) != 1 || found[0].Kind != Orphan {
		t.Fatalf("found %+v, %v", found, err)
	}
	// Somebody whom the reading misses, and who is there all the same, keeps theirs.
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return w.found(t.Context(), tx, Finding{Kind: Orphan, Subject: string(w.person("hidden").ID)})
	}))
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE lifecycle_finding SET found_at = 1, seen_at = $1`, store.Micros(t0.AddDate(0, 0, 30)))
		return err
	}))
	w.on(8)
	w.sweep()
	if n := w.count(`SELECT COUNT(*) FROM totp_device WHERE person = $1`, string(gone.ID)); n != 0 || left() != 2 || w.entries("factor.orphan_removed", string(gone.ID), "62-5") != 1 {
		t.Errorf("%d of the one who is gone, %d in all, %d entries", n, left(), w.entries("factor.orphan_removed"))
	}
}

// TestReusedLogins: a login of an ID that was deleted, given again behind our back, is
// found; the same ID put back is not.
func TestReusedLogins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "Tanaka", used: t0.AddDate(9, 0, 0)}, member{login: "suzuki", used: t0.AddDate(9, 0, 0)})
	for login, id := range map[string]directory.PersonID{"tanaka": "another", "suzuki": w.person("suzuki").ID, "ito": "nobody"} {
		w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO tombstone (login, person_id, at, matter) VALUES ($1, $2, 1, '')`, login, string(id))
			return err
		}))
	}
	w.must(w.Tick(t.Context()))
	if found, err := w.Findings(t.Context(), 10); err != nil || len(found) != 1 || found[0].Kind != Reused || found[0].Login != "Tanaka" {
		t.Errorf("found %+v, %v", found, err)
	}
	taken, err := TakenAmong(t.Context(), w.db, []string{"TANAKA", "ｉｔｏ", "yamada"})
	if err != nil || len(taken) != 2 || !taken["tanaka"] || !taken["ito"] {
		t.Errorf("taken %v, %v", taken, err)
	}
}

// TestLevels: what is told of the sweeps as a whole.
func TestLevels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0}, member{login: "batch", kind: "service", used: t0.AddDate(9, 0, 0)})
	if l, err := w.Levels(t.Context()); err != nil || !l.Last.EndedAt.IsZero() || l.Halted != 0 {
		t.Errorf("of nothing: %+v, %v", l, err)
	}
	w.must(w.Tick(t.Context()))
	w.on(60)
	w.sweep()
	w.on(61)
	w.Book = w.gateway(&broken{w.dir, noAnswer})
	w.sweep()
	l, err := w.Levels(t.Context())
	if err != nil || l.Last.Warned != 1 || !l.Last.EndedAt.Equal(t0.AddDate(0, 0, 60)) || l.Halted != 1 || l.Findings[NoOwner] != 1 {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestPauses: a directory that is away for a moment delays a sweep for a moment, and one
// that stays away is not asked all the time.
func TestPauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, member{login: "tanaka", used: t0})
	away := w.gateway(&broken{w.dir, func(context.Context, func(directory.Person) error, func(context.Context, func(directory.Person) error) error) error {
		return directory.ErrAway
	}})
	for i, pause := range append(pauses, restAfter) {
		if err := w.gateway(away.Directory).Tick(t.Context()); !errors.Is(err, directory.ErrAway) {
			t.Fatalf("pause %d: %v", i, err)
		}
		w.clock.Advance(pause - 1)
		w.must(away.Tick(t.Context())) // it rests
		w.clock.Advance(1)
	}
	if s := w.sweep(); s.State != Finished {
		t.Errorf("%+v", s)
	}
}
