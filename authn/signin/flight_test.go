package signin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekisho/directory"
)

// TestSilenceIsHeard: of many who wait for a directory that answers nobody,
// nobody waits longer than one question may take (security.md F7).
func TestSilenceIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, crowd = 2 * time.Second, 500
		f := newFlight()
		silent := fmt.Errorf("%w: %w", directory.ErrAway, context.DeadlineExceeded)
		began := time.Now()
		var wg sync.WaitGroup
		for range crowd {
			wg.Go(func() {
				err := f.lookUp(t.Context(), func() error {
					time.Sleep(limit)
					return silent
				})
				if !errors.Is(err, directory.ErrAway) {
					t.Errorf("lookUp = %v", err)
				}
				if took := time.Since(began); took > limit {
					t.Errorf("it took %v", took)
				}
			})
		}
		wg.Wait()

		// The same before a password is verified.
		began = time.Now()
		for i := range crowd {
			wg.Go(func() {
				leave, err := f.enter(t.Context(), fmt.Sprint("pw:", i), 4)
				if err == nil {
					err = f.ask(func() error {
						time.Sleep(limit)
						return silent
					})
					leave()
				}
				if !errors.Is(err, directory.ErrAway) || time.Since(began) > limit {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		}
		wg.Wait()
	})
}

// TestOneIsNoSilence: that one question was not answered is no word about a
// directory that answers others, nor is an asker who hung up.
func TestOneIsNoSilence(t *testing.T) {
	for name, last := range map[string]error{
		"another was answered": fmt.Errorf("%w: %w", directory.ErrAway, context.DeadlineExceeded),
		"the asker hung up":    fmt.Errorf("%w: %w", directory.ErrAway, context.Canceled),
		"nobody of that name":  directory.ErrNotFound,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFlight()
				var wg sync.WaitGroup
				for i := range inFlight {
					wg.Go(func() {
						_ = f.lookUp(t.Context(), func() error {
							time.Sleep(time.Duration(1+i) * time.Millisecond)
							if i == inFlight-1 || name != "another was answered" {
								return last
							}
							return nil
						})
					})
				}
				synctest.Wait()
				for range inFlight {
					wg.Go(func() {
						if err := f.lookUp(t.Context(), func() error { return nil }); err != nil {
							t.Errorf("who waited was told %v", err)
						}
					})
				}
				wg.Wait()
			})
		})
	}
}
