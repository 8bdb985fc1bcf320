package project

import (
	"context"

	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Widening is the kind of matter that it asks for.
const Widening approval.Kind = "project"

// What a matter is about.
const (
	Extend  = "extend"
	Bind    = "bind"
	Release = "release"
)

func (b *Book) desk() approval.Desk {
	return approval.Desk{
		Name:   policy.Words{JA: "案件とそのIDの延長・解除", EN: "A project goes on, or an ID is released from it"},
		Settle: func(context.Context, *store.Tx, approval.Matter, approval.State) error { return nil },
	}
}

func (b *Book) waiting(ctx context.Context, in store.Reader, project string) ([]Wait, error) {
	return nil, nil
}
