package totp_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func TestImportTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.assigned("A-1", miraHerself)
	lost := b.token("A-2")
	if err := b.lose("A-2"); err != nil {
		t.Fatal(err)
	}
	again := func(s oath.Seed) oath.Seed { s.Key, s.Maker = secret.NewText(secret.Bytes(32)), "another"; return s }
	fresh := again(h.Seed)
	fresh.Serial = "A-3"
	done := b.stock(again(h.Seed), fresh, again(lost.Seed))
	if done.Added != 1 || !slices.Equal(done.Known, []string{"A-1", "A-2"}) {
		t.Errorf("imported %+v", done)
	}
	if found := b.find("a-1"); found.State != totp.StateAssigned || found.Maker != "製造社" {
		t.Errorf("an import changed %+v", found)
	}
	if found := b.find("A-2"); found.State != totp.StateLost {
		t.Errorf("an import brought back %+v", found)
	}
	if _, err := b.spend(mira, h.shows(0)); err != nil {
		t.Errorf("an import changed a seed: %v", err)
	}
	found := b.find("A-3")
	if found.State != totp.StateStock || found.Algorithm != oath.SHA256 || found.Digits != 8 || found.Period != time.Minute ||
		!found.ImportedAt.Equal(b.clock.Now()) || !found.AssignedAt.IsZero() || found.Person != "" || !found.NotAfter.IsZero() {
		t.Errorf("in stock: %+v", found)
	}

	// All or nothing, and nothing that no parser would have made.
	good, bad := again(fresh), again(fresh)
	good.Serial, bad.Serial, bad.Digits = "A-4", "A-5", 7
	if err := b.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := b.tokens.Import(t.Context(), tx, []oath.Seed{good, bad})
		return err
	}); err == nil {
		t.Error("a token of seven digits was imported")
	}
	_, err := b.tokens.Find(t.Context(), b.db, "A-4")
	want(t, "the one beside it", err, totp.ErrNoToken)
	_, err = b.tokens.Find(t.Context(), b.db, "../etc")
	want(t, "what is no serial", err, totp.ErrNoToken)
}

// TestDates: a token is good between its maker's dates, both inclusive.
func TestDates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := b.clock.Now()
	h := &hard{b: b, Seed: oath.Seed{Serial: "A-1", Algorithm: oath.SHA1, Digits: 6, Period: 30 * time.Second,
		Key: secret.NewText(secret.Bytes(20)), NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}}
	b.stock(h.Seed)
	if err := b.assign("A-1", miraHerself); err != nil {
		t.Fatal("before its time:", err)
	}
	if found := b.find("A-1"); !found.NotBefore.Equal(h.NotBefore) || !found.NotAfter.Equal(h.NotAfter) {
		t.Errorf("its dates are %v and %v", found.NotBefore, found.NotAfter)
	}
	for _, tt := range []struct {
		name string
		at   time.Duration
		want error
	}{
		{"too early", time.Hour - time.Microsecond, totp.ErrWrong},
		{"its first moment", time.Hour, nil},
		{"its last moment", 2 * time.Hour, nil},
		{"too late", 2*time.Hour + time.Microsecond, totp.ErrWrong},
	} {
		b.clock.Advance(now.Add(tt.at).Sub(b.clock.Now()))
		// The code of the step before is fresh at each of these times, too.
		_, err := b.spend(mira, h.shows(0))
		want(t, tt.name, err, tt.want)
	}
	if err := b.unassign("A-1"); err != nil {
		t.Fatal(err)
	}
	want(t, "assigned past its date", b.assign("A-1", taro), totp.ErrTokenState)
}

func TestTokenList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, serial := range []string{"B-2", "A-1", "B-10", "TA-1"} {
		b.token(serial)
	}
	if err := b.assign("B-2", taro); err != nil {
		t.Fatal(err)
	}
	list := func(query, after string, limit int) string {
		t.Helper()
		found, next, err := b.tokens.List(t.Context(), query, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		var serials []string
		for _, one := range found {
			serials = append(serials, one.Serial)
		}
		return strings.Join(serials, " ") + "|" + next
	}
	for _, tt := range []struct {
		query, after string
		limit        int
		want         string
	}{
		{"", "", 0, "A-1 B-10 B-2 TA-1|"},
		{"", "", 2, "A-1 B-10|B-10"},
		{"", "b-10", 2, "B-2 TA-1|"},
		{"", "", totp.MaxPage + 1, "A-1 B-10 B-2 TA-1|"},
		{"b", "", 10, "B-10 B-2|"},
		{"ｂ - 1", "", 10, "B-10|"},
		{"ta", "", 10, "B-2 TA-1|"}, // a login, and a serial
		{"TARO", "", 10, "B-2|"},
		{"taro.y", "", 10, "B-2|"},
		{"aro", "", 10, "|"},
		{"%", "", 10, "|"},
		{"_-1", "", 10, "|"},
		{"a\x00", "", 10, "|"},
		{"\xff", "", 10, "|"},
		{"", "no serial!", 1, "A-1|A-1"},
	} {
		if got := list(tt.query, tt.after, tt.limit); got != tt.want {
			t.Errorf("List(%q, %q, %d) = %s, want %s", tt.query, tt.after, tt.limit, got, tt.want)
		}
	}
	found, _, err := b.tokens.List(t.Context(), "B-2", "", 1)
	if err != nil || len(found) != 1 || found[0] != b.find("B-2") {
		t.Errorf("List and Find differ: %+v, %v", found, err)
	}
	for i := range totp.DefaultPage {
		b.token(fmt.Sprintf("Z-%03d", i))
	}
	if _, next, err := b.tokens.List(t.Context(), "", "", -1); err != nil || next == "" {
		t.Errorf("a page without a limit has none: %q, %v", next, err)
	}
}

// TestTokenIsSealed: neither the stock nor an owner's row shows a seed, and a
// sealed seed moved to another row opens nothing (security.md section 2 row 26).
func TestTokenIsSealed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mine, theirs, spare := b.assigned("A-1", miraHerself), b.assigned("A-2", taro), b.token("A-3")
	b.token("A-4")
	storetest.OnlySQLite(t)
	for _, file := range []string{b.path, b.path + "-wal"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range []*hard{mine, theirs, spare} {
			if bytes.Contains(data, h.Key.Reveal()) {
				t.Errorf("%s holds the seed of %s in clear", filepath.Base(file), h.Serial)
			}
		}
	}
	move := func(set string) {
		t.Helper()
		b.do(func(tx *store.Tx) error { return tx.ExecOne(t.Context(), set) })
	}
	// A thief of the database puts a seed they know where it opens a door.
	move(`UPDATE totp_device SET seed = (SELECT seed FROM totp_device WHERE serial = 'A-2') WHERE serial = 'A-1'`)
	_, err := b.spend(mira, theirs.shows(0))
	want(t, "from another device", err, secret.ErrSealBroken)
	move(`UPDATE totp_device SET seed = (SELECT seed FROM otp_token WHERE serial = 'A-2') WHERE serial = 'A-1'`)
	_, err = b.spend(mira, theirs.shows(0))
	want(t, "from the inventory", err, secret.ErrSealBroken)
	move(`UPDATE otp_token SET seed = (SELECT seed FROM otp_token WHERE serial = 'A-2') WHERE serial = 'A-3'`)
	want(t, "assigning a moved seed", b.assign("A-3", miraHerself), secret.ErrSealBroken)
	want(t, "setting by a moved seed", b.resync("A-3", theirs.shows(0), theirs.shows(1)), secret.ErrSealBroken)
	if found := b.find("A-3"); found.State != totp.StateStock {
		t.Errorf("a moved seed was assigned: %+v", found)
	}
	// Two rows for one token would be two owners: not even the table has room.
	err = b.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return tx.ExecOne(t.Context(), `UPDATE totp_device SET serial = 'A-2' WHERE serial = 'A-1'`)
	})
	if err == nil {
		t.Error("one serial in two device rows")
	}
}
