package storetest

import (
	"context"
	"strings"
	"testing"

	"sekisho/policy/store"
)

// Count is the one number that a query answers.
func Count(t testing.TB, db *store.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Entries counts the trail's entries that wait to be sealed and hold all the parts, in
// this order. A % or _ in a part stands for anything, as LIKE has it.
func Entries(t testing.TB, db *store.DB, parts ...string) int {
	t.Helper()
	return Count(t, db, `SELECT COUNT(*) FROM trail_pending WHERE `+Text("data")+` LIKE $1`, "%"+strings.Join(parts, "%")+"%")
}
