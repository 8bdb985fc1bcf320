package store

import (
	"context"
	"database/sql"
	"sync"
)

// maxStatements bounds a cache of prepared statements. SQL in Sekisho is
// literal text, a few hundred queries; the bound is for the day somebody builds
// one from data. What does not fit is prepared each time.
const maxStatements = 512

// statements keeps the read pool's prepared statements by their text: preparing
// costs the pure Go SQLite more than most queries do. database/sql prepares one
// anew on each connection it uses it on, and a connection is never shared while
// rows are open.
type statements struct {
	db *sql.DB

	mu  sync.RWMutex
	byQ map[string]*sql.Stmt
}

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, byQ: map[string]*sql.Stmt{}}
}

// get answers the statement for q, or nil when the cache is full of others.
func (s *statements) get(ctx context.Context, q string) (*sql.Stmt, error) {
	s.mu.RLock()
	st, full := s.byQ[q], len(s.byQ) >= maxStatements
	s.mu.RUnlock()
	if st != nil || full {
		return st, nil
	}
	// Prepared outside the lock: it may have to wait for a connection.
	made, err := s.db.PrepareContext(ctx, positional(q))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.byQ[q]; st != nil {
		_ = made.Close()
		return st, nil
	}
	s.byQ[q] = made
	return made, nil
}
