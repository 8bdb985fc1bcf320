package storetest

import (
	"context"
	"testing"

	"sekisho/policy/store"
)

// Refuse has the store refuse a kind of statement (INSERT, DELETE) on a table,
// where a condition on NEW or OLD holds; "" always. mend undoes it.
func Refuse(t testing.TB, db *store.DB, event, table, when string) (mend func()) {
	t.Helper()
	exec := func(q string) {
		t.Helper()
		err := db.WithTx(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(context.Background(), q)
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	if when != "" {
		when = ` WHEN (` + when + `) `
	}
	if Engine() == "sqlite" {
		exec(`CREATE TRIGGER broken BEFORE ` + event + ` ON ` + table + when + ` BEGIN SELECT RAISE(ABORT, 'broken by the test'); END`)
		return func() { exec(`DROP TRIGGER broken`) }
	}
	exec(`CREATE TRIGGER broken BEFORE ` + event + ` ON ` + table + ` FOR EACH ROW ` + when + ` EXECUTE FUNCTION refuse('broken by the test')`)
	return func() { exec(`DROP TRIGGER broken ON ` + table) }
}

// Text is SQL that reads bytes as text.
func Text(column string) string {
	if Engine() == "sqlite" {
		return `CAST(` + column + ` AS TEXT)`
	}
	return `convert_from(` + column + `, 'UTF8')`
}

// OnlySQLite ends a test that looks into SQLite's file, or says what only it
// understands.
func OnlySQLite(t testing.TB) {
	t.Helper()
	if Engine() != "sqlite" {
		t.Skip("this is about SQLite's own file or words")
	}
}
