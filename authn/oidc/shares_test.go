package oidc

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sekisho/policy/store"
)

// TestEndShare: what one application holds of a session ends alone, with its
// tokens, and the application is told; the session goes on, and whoever comes
// back gets a share under another name.
func TestEndShare(t *testing.T) {
	w := newWorld(t)
	tok := w.tokens()
	open, err := w.Shares(ctx, "web", "")
	if err != nil || len(open) != 1 || open[0].Login != "tanaka" || open[0].Session.ID != w.session.ID {
		t.Fatalf("%+v, %v", open, err)
	}
	if other, err := w.Shares(ctx, "web", "suzuki"); err != nil || len(other) != 0 {
		t.Errorf("somebody else's: %+v, %v", other, err)
	}
	end := func() (ended bool) {
		t.Helper()
		err := w.db.WithTx(ctx, func(tx *store.Tx) (err error) {
			ended, err = w.EndShare(ctx, tx, open[0].SID, "test")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return ended
	}
	if !end() || end() {
		t.Error("not ended once")
	}
	if w.active(tok.AccessToken) || w.active(tok.RefreshToken) {
		t.Error("its tokens are good")
	}
	if _, err := w.refreshed(tok.RefreshToken); code(err) != "invalid_grant" {
		t.Errorf("refreshed: %v", err)
	}
	if words, err := w.Claim(ctx, ten); err != nil || len(words) != 1 || words[0].Client != "web" {
		t.Errorf("told: %+v, %v", words, err)
	}
	next := w.tokens()
	if !w.active(next.AccessToken) {
		t.Error("whoever comes back is kept out")
	}
	again, err := w.Shares(ctx, "web", "tanaka")
	if err != nil || len(again) != 1 || again[0].SID == open[0].SID {
		t.Errorf("%+v, %v", again, err)
	}
	w.forward(time.Hour) // idle
	if none, err := w.Shares(ctx, "web", ""); err != nil || len(none) != 0 {
		t.Errorf("of a session that is over: %+v, %v", none, err)
	}
}

// TestClaimIsFair: what waits for one client takes no place of another's, and one
// that gives no answer is asked for all of its words once.
func TestClaimIsFair(t *testing.T) {
	w := newWorld(t)
	put := func(id, client string, at time.Duration) {
		t.Helper()
		err := w.db.WithTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO oidc_logout (id, client_id, sid, person_id, login, queued_at, next_at) VALUES ($1, $2, $1, 'p', 'tanaka', $3, $3)`,
				id, client, store.Micros(t0.Add(at)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		put(fmt.Sprintf("a%02d", i), "web", time.Duration(i-100)*time.Second)
	}
	put("b", "keyed", -time.Second)
	put("later", "keyed", time.Hour)
	asked := map[string]int{}
	claim := func(room map[string]int) (ids []string) {
		t.Helper()
		words, err := w.Claim(ctx, func(client string, tries int) int { asked[client] = tries; return room[client] })
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range words {
			ids = append(ids, one.ID)
		}
		return ids
	}
	if got := claim(map[string]int{"keyed": 5}); !slices.Equal(got, []string{"b"}) {
		t.Errorf("without room for the first: %v", got)
	}
	if got := claim(map[string]int{"web": 2}); !slices.Equal(got, []string{"a00", "a01"}) || asked["web"] != 0 {
		t.Errorf("with room for two: %v, %v", got, asked)
	}
	silent := fmt.Errorf("%w: refused", ErrSilent)
	if outcome, err := w.Settle(ctx, Word{ID: "a00", Client: "web", URI: "https://web.example/logout", tries: 1, queued: t0}, silent); outcome != "retry" || err != nil {
		t.Fatal(outcome, err)
	}
	if got := claim(map[string]int{"web": 50}); len(got) != 0 {
		t.Errorf("the others are tried although nobody answers there: %v", got)
	}
	w.forward(2 * time.Second)
	if got := claim(map[string]int{"web": 50}); len(got) != 19 { // a01 is another's for a minute
		t.Errorf("afterwards: %v", got)
	}
}
