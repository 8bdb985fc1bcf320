package store_test

import (
	"context"
	"errors"
	"testing"

	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// TestWatch: who watches hears each transaction end as its caller does, and the
// store's own failures are told from what a function refused.
func TestWatch(t *testing.T) {
	var (
		ended  []error
		broken error
	)
	db := storetest.OpenWith(t, store.Config{
		Watch: func(context.Context) func(error) { return func(err error) { ended = append(ended, err) } },
		Fault: func(stage string) error {
			if stage == "commit" {
				return broken
			}
			return nil
		},
	})
	before := db.Stats()
	for _, fn := range []func() error{
		func() error { return db.WithTx(t.Context(), func(*store.Tx) error { return nil }) },
		func() error { return db.WithTx(t.Context(), func(*store.Tx) error { return errRefused }) },
		func() error {
			broken = errors.New("the disk is full")
			return db.WithTx(t.Context(), func(*store.Tx) error { return nil })
		},
	} {
		n := len(ended)
		err := fn()
		if len(ended) != n+1 || !errors.Is(ended[n], err) && err != nil {
			t.Errorf("the watch heard %v of %v", ended[n:], err)
		}
	}
	if got := db.Stats(); got.Failures != before.Failures+1 || got.Retries != before.Retries {
		t.Errorf("stats went from %+v to %+v, want one failure more", before, got)
	}
}
