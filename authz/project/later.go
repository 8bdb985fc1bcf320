package project

import (
	"context"
	"errors"
	"time"

	"sekisho/authn/signin"
)

// A Result is what became of a project's IDs when it was completed.
type Result struct {
	Closed  []Ref
	Kept    []Ref // they have another project that runs
	Held    []HeldID
	Pending int // that are closed by and by; they are refused already
}

// A HeldID is an ID that could not be closed, and why.
type HeldID struct {
	Person Ref
	Why    string // a lifecycle.Hold
}

var errLater = errors.New("not yet")

func isRefusal(err error) bool { var why *Refusal; return errors.As(err, &why) }

func (b *Book) Bind(ctx context.Context, o signin.Origin, cookie, id, login string, role Role, reason string) (Outcome, error) {
	return Outcome{}, errLater
}

func (b *Book) Release(ctx context.Context, o signin.Origin, cookie, id, login, reason string) (Outcome, error) {
	return Outcome{}, errLater
}

func (b *Book) Reschedule(ctx context.Context, o signin.Origin, cookie, id string, until time.Time, reason string) (Outcome, error) {
	return Outcome{}, errLater
}

func (b *Book) Complete(ctx context.Context, o signin.Origin, cookie, id, reason string) (Result, error) {
	return Result{}, errLater
}
