package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// TestStill: a store that another has replaced is not used on, whether its file has
// another name now or an epoch has begun.
func TestStill(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	epoch, err := db.Epoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Still(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
	err = db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := store.NextEpoch(t.Context(), tx, 0, time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Still(t.Context(), epoch); !errors.Is(err, store.ErrReplaced) {
		t.Errorf("in another epoch: %v", err)
	}

	path := filepath.Join(t.TempDir(), "sekisho.db")
	file, err := store.Open(t.Context(), store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if epoch, err = file.Epoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := file.Still(t.Context(), epoch); err != nil {
		t.Errorf("in its place: %v", err)
	}
	if err := os.Rename(path, path+".before"); err != nil {
		t.Fatal(err)
	}
	if err := file.Still(t.Context(), epoch); !errors.Is(err, store.ErrReplaced) {
		t.Errorf("under another name: %v", err)
	}
	other, err := store.Open(t.Context(), store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := file.Still(t.Context(), epoch); !errors.Is(err, store.ErrReplaced) {
		t.Errorf("with another in its place: %v", err)
	}
}
