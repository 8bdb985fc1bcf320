package store

import "runtime"

// AwaitQueued returns when at least n transactions wait for their turn.
func (db *DB) AwaitQueued(n int) {
	for len(db.queue) < n {
		runtime.Gosched()
	}
}

// AwaitClosing returns when Close has begun to refuse work.
func (db *DB) AwaitClosing() { <-db.closed }
