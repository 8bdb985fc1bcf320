package charter

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// A Proposal is a text that waits for a second person.
type Proposal struct {
	ID      string
	Login   string // who proposed it
	At      time.Time
	Base    int64 // the version it was written against
	Source  []byte
	Changes []policy.Change // against Base
}

// Propose stores a text for a second person to approve, with its difference
// from the version in force on the trail. A file with problems comes back as
// policy.Problems. The same text by the same person is the same proposal.
func (c *Charter) Propose(ctx context.Context, actor string, source []byte) (Proposal, error) {
	return c.propose(ctx, actor, source, nil)
}

// ProposeCarried is Propose of a text from another gateway. An older one than is
// taken from there is refused; it is taken when it is approved.
func (c *Charter) ProposeCarried(ctx context.Context, actor string, source []byte, from Carried) (Proposal, error) {
	return c.propose(ctx, actor, source, &from)
}

func (c *Charter) propose(ctx context.Context, actor string, source []byte, from *Carried) (Proposal, error) {
	next, problems := policy.Parse("policy.yaml", source)
	if err := problems.Err(); err != nil {
		return Proposal{}, err
	}
	if err := c.trail.MayBegin(); err != nil {
		return Proposal{}, fmt.Errorf("proposing a policy: %w", err)
	}
	g, err := c.fresh(ctx)
	if err != nil {
		return Proposal{}, fmt.Errorf("proposing a policy: %w", err)
	}
	sum := digest(source)
	if g.version > 0 && g.digest == sum {
		return Proposal{}, ErrUnchanged
	}
	p := Proposal{ID: newID(), Login: actor, At: c.now().UTC(), Base: g.version, Source: source, Changes: policy.Diff(g.policy, next)}
	var ( // what stands in the store; p stays as it is, because the transaction may run again
		id string
		at time.Time
	)
	err = c.db.WithTx(ctx, func(tx *store.Tx) error {
		var err error
		if id, at, err = insertProposal(ctx, tx, p, sum); err != nil {
			return err
		}
		if err := from.propose(ctx, tx, id, sum); err != nil {
			return err
		}
		if id != p.ID {
			return nil // it is there already, with its entry
		}
		return c.append(ctx, tx, c.entries(audit.Entry{
			Actor: actor, Action: "policy.proposed", Object: proposalName(id), Detail: from.detail(),
		}, sum, p.Base, p.Changes))
	})
	if errors.Is(err, errBaseMoved) {
		return Proposal{}, ErrStale
	}
	if err != nil {
		return Proposal{}, fmt.Errorf("proposing a policy: %w", err)
	}
	if id != p.ID {
		p.ID, p.At = id, at
	}
	return p, nil
}

// Proposals are those that can still be approved, oldest first.
func (c *Charter) Proposals(ctx context.Context) ([]Proposal, error) {
	g := c.inForce.Load()
	rows, err := pending(ctx, c.db)
	if err != nil {
		return nil, fmt.Errorf("listing policy proposals: %w", err)
	}
	var out []Proposal
	for _, p := range rows {
		if g == nil || p.Base != g.version {
			continue // read by another process a moment ago; the next poll sees it
		}
		next, problems := policy.Parse("policy.yaml", p.Source)
		if len(problems) == 0 { // one that today's code refuses can never be approved
			p.Changes = policy.Diff(g.policy, next)
			out = append(out, p)
		}
	}
	return out, nil
}

func newID() string {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // crypto/rand does not fail
	return "policy-" + strings.ToLower(base32.StdEncoding.EncodeToString(b))
}
