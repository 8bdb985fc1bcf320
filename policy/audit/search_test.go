package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func TestSearch(t *testing.T) {
	var (
		ctx   = t.Context()
		db    = storetest.Open(t)
		now   = clock.NewFake(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
		trail = New(db, now.Now)
		start = now.Now()
	)
	key, err := CreateKey(filepath.Join(t.TempDir(), "key"), "trail.example")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSealer(db, now.Now, key, "")
	if err != nil {
		t.Fatal(err)
	}
	add := func(e Entry) {
		t.Helper()
		if err := db.WithTx(ctx, func(tx *store.Tx) error { return trail.Append(ctx, tx, e) }); err != nil {
			t.Fatal(err)
		}
		now.Advance(time.Minute)
	}
	add(Entry{Actor: "tanaka", Action: "session.started", Articles: []policy.Article{"62-1", "63-7"}}) // 0
	add(Entry{Actor: "suzuki", Action: "session.refused", Outcome: Refused, Articles: []policy.Article{"62-1"}})
	add(Entry{Actor: "tanaka", Action: "lease.activated", Articles: []policy.Article{"62-7", "62-7"}}) // an article named twice
	add(Entry{Actor: "auditor", Action: "trail.searched", Case: "2026-7"})
	add(Entry{Actor: "tanaka", Action: "session.ended"}) // 4
	add(Entry{Actor: "tanaka", Action: "sessions", Outcome: Failed})
	if err := s.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	add(Entry{Actor: "tanaka", Action: "session.started"}) // not sealed, not found

	for _, tt := range []struct {
		name string
		f    Filter
		want string
	}{
		{"all, newest first", Filter{}, "[5 4 3 2 1 0]"},
		{"a page", Filter{Limit: 2}, "[5 4]"},
		{"the next page", Filter{Limit: 2, After: 4}, "[3 2]"},
		{"the last page", Filter{Limit: 2, After: 2}, "[1 0]"},
		{"after the first entry", Filter{After: 0, Actor: "suzuki"}, "[1]"},
		{"actor", Filter{Actor: "tanaka"}, "[5 4 2 0]"},
		{"actor is the whole login", Filter{Actor: "tan"}, "[]"},
		{"actor is no pattern", Filter{Actor: "%' OR 1=1 --"}, "[]"},
		{"action", Filter{Action: "session.started"}, "[0]"},
		{"actions of a noun", Filter{Action: "session."}, "[4 1 0]"},
		{"article", Filter{Article: "62-1"}, "[1 0]"},
		{"article named twice", Filter{Article: "62-7"}, "[2]"},
		{"article, page", Filter{Article: "62-1", After: 1}, "[0]"},
		{"outcome", Filter{Outcome: Refused}, "[1]"},
		{"case", Filter{Case: "2026-7"}, "[3]"},
		{"from", Filter{From: start.Add(4 * time.Minute)}, "[5 4]"},
		{"to is outside", Filter{To: start.Add(time.Minute)}, "[0]"},
		{"span", Filter{From: start.Add(time.Minute), To: start.Add(3 * time.Minute)}, "[2 1]"},
		{"everything at once", Filter{From: start, To: start.Add(time.Hour), Actor: "tanaka", Action: "session.", Article: "63-7", Outcome: OK, Limit: 9}, "[0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := trail.Search(ctx, tt.f)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]int64, 0, len(found))
			for _, r := range found {
				got = append(got, r.Index)
			}
			if fmt.Sprint(got) != tt.want {
				t.Errorf("found %v, want %s", got, tt.want)
			}
		})
	}
	found, err := trail.Search(ctx, Filter{Action: "lease.activated"})
	if err != nil || len(found) != 1 || found[0].Actor != "tanaka" || len(found[0].Data) == 0 || !found[0].Time.Equal(start.Add(2*time.Minute)) {
		t.Errorf("record %+v, %v", found, err)
	}
}

// TestSearchUsesIndexes: a search of ten years must not read ten years.
func TestSearchUsesIndexes(t *testing.T) {
	storetest.OnlySQLite(t) // and its planner
	db := storetest.Open(t)
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		f     Filter
		index string
	}{
		{Filter{Actor: "tanaka"}, "trail_leaf_actor"},
		{Filter{Action: "lease.activated"}, "trail_leaf_action"},
		{Filter{Case: "2026-7"}, "trail_leaf_case"},
		{Filter{Article: "62-7"}, "SEARCH a USING PRIMARY KEY"},
		{Filter{From: at, To: at.Add(time.Hour)}, "trail_leaf_at"},
		{Filter{After: 5000}, "INTEGER PRIMARY KEY"},
	} {
		q, args := tt.f.query()
		rows, err := db.Query(t.Context(), `EXPLAIN QUERY PLAN `+q, args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var a, b, c int
			var line string
			if err := rows.Scan(&a, &b, &c, &line); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if p := strings.Join(plan, "; "); !strings.Contains(p, tt.index) {
			t.Errorf("%+v: %s; want %s", tt.f, p, tt.index)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "trail.key")
	made, err := CreateKey(path, "trail.example/lgwan")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	read, err := LoadKey(path)
	if err != nil || read.PublicKey() != made.PublicKey() || read.Origin() != "trail.example/lgwan" {
		t.Errorf("read back %v, %v; made %v", read, err, made)
	}
	if _, err := CreateKey(path, "trail.example"); err == nil {
		t.Error("a key was written over another")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seed := strings.TrimSpace(string(text))
	seed = seed[len(seed)-44:]
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(form, read); strings.Contains(out, seed) || strings.Contains(out, "PRIVATE") {
			t.Errorf("%s prints the key", form)
		}
	}
	for _, origin := range []string{"", "two words", "a+b"} {
		bad := filepath.Join(dir, "bad.key")
		if _, err := CreateKey(bad, origin); err == nil {
			t.Errorf("origin %q was taken", origin)
		}
		if _, err := os.Stat(bad); err == nil {
			t.Errorf("origin %q left a file", origin)
		}
	}
	broken := filepath.Join(dir, "broken.key")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(text), "PRIVATE", "PUBLIC", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(broken); err == nil || strings.Contains(err.Error(), seed) {
		t.Errorf("a broken key: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); err == nil {
		t.Error("a key that everybody can read was taken")
	}
}
