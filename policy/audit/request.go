package audit

import "context"

type requestKey struct{}

// WithRequest notes in a context which request is being answered. Entries
// appended with it, and log lines written with it, carry the same id, so that
// both can be laid side by side.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestOf is the id that WithRequest noted, "" for none.
func RequestOf(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}
