package postgres

import (
	"context"
	"net/url"

	"github.com/jackc/pgx/v5"
)

// alone runs fn while nobody else on this server runs one.
func (s *Server) alone(ctx context.Context, fn func(exists func(name string) (bool, error)) error) error {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", Password), Host: s.Addr(), Path: "postgres", RawQuery: "sslmode=disable"}
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the lock ends with it
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(2)`); err != nil {
		return err
	}
	return fn(func(name string) (bool, error) {
		var there bool
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&there)
		return there, err
	})
}
