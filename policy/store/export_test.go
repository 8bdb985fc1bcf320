package store

import (
	"runtime"
	"time"
)

// AwaitQueued returns when at least n transactions wait for their turn.
func (db *DB) AwaitQueued(n int) {
	for f := db.engine.(*file); len(f.queue) < n; {
		runtime.Gosched()
	}
}

// AwaitClosing returns when Close has begun to refuse work.
func (db *DB) AwaitClosing() {
	switch e := db.engine.(type) {
	case *file:
		<-e.closed
	case *postgres:
		<-e.closed
	}
}

// TakeYourTime lets a batch go on for as long as somebody waits in it, so that a
// slow machine does not cut in two what a test wants in one.
func (db *DB) TakeYourTime() { db.engine.(*file).longest.Store(int64(time.Hour)) }
