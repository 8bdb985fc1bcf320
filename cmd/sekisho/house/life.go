package house

import (
	"context"
	"errors"
	"sync"
	"time"

	"sekisho/policy/store"
)

// A life is the epoch of the store in which a gate was started. A backup that is put
// in the store's place begins another: what this gate holds in memory is of a store
// that is gone, so it stops (House.Serve), and is started again by whoever watches
// it. A restore refuses while gates run; this is for the one that it could not see.
type life struct {
	db    *store.DB
	epoch int64
	over  chan struct{}
	once  sync.Once
}

func newLife(g *Ground) *life { return &life{db: g.DB, epoch: g.epoch, over: make(chan struct{})} }

// Follow is asked with each poll of the sessions; while it fails, nothing that is
// held in memory is used.
func (l *life) Follow(ctx context.Context, _ time.Time) error {
	err := l.db.Still(ctx, l.epoch)
	if errors.Is(err, store.ErrReplaced) {
		l.once.Do(func() { close(l.over) })
	}
	return err
}
