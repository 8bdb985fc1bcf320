package store

import (
	"context"
	"fmt"
)

// A Row is what a row's columns are read from.
type Row = interface{ Scan(into ...any) error }

// All reads every row that a query finds, each by scan. what says in errors what
// was read.
func All[T any](ctx context.Context, in Reader, what string, scan func(Row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := in.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", what, err)
		}
		out = append(out, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	return out, nil
}
