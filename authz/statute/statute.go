// Package statute is the way of a proposed policy through the approval engine: it
// asks for each proposal that waits, and has the charter put it in force in the
// transaction of the second person's yes.
//
// It knows neither what the policy says nor how one is proposed. The charter holds
// to its own rule of two persons besides: either would be enough.
package statute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/charter"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Desk is where proposals of a policy are decided. What it has of the charter's
// is the charter's.
type Desk struct {
	charter *charter.Charter
	book    *approval.Book
}

// waitsFor is how long a proposal may wait. One whose base has moved is dead
// before.
const waitsFor = 30 * 24 * time.Hour

// isNew is how long a gate may count as new, whatever the policy says.
const isNew = 24 * time.Hour

// rule is who decides a policy: the CIO or a security officer (articles 11-1 and
// 12-2), in person. At a gate that is so new that no factor can have rested yet, two
// factors of minutes ago suffice: everybody's first one was bound by a password
// alone, and waiting would not make it better (design rule 7 excepts an empty store).
// A longer rest does not make a gate new again.
func rule(begun time.Time, rest time.Duration) approval.Rule {
	return approval.Rule{Strict: true, ACR: policy.AAL2, ACRUntil: begun.Add(min(rest, isNew)), Steps: []approval.Step{{
		Posts: []policy.PostID{policy.CIO, policy.SecurityOfficer}, Quorum: 1, Where: approval.Anywhere,
	}}}
}

// Open opens the desk at the book.
func Open(c *charter.Charter, b *approval.Book) *Desk {
	d := &Desk{c, b}
	b.Open(approval.PolicyChange, approval.Desk{
		Name: policy.Words{JA: "方針の変更", EN: "Change of the policy"}, Settle: d.settle, Card: d.card,
		Settled: func(ctx context.Context, _ approval.Matter, _ approval.State) { _ = c.Load(ctx) }, // else Run reads it; Err says why not
	})
	return d
}

// Version is the version in force.
func (d *Desk) Version() int64 { return d.charter.Version() }

// Proposals are those that can still be approved, oldest first.
func (d *Desk) Proposals(ctx context.Context) ([]charter.Proposal, error) {
	all, err := d.charter.Proposals(ctx)
	if err != nil {
		return nil, err
	}
	var out []charter.Proposal
	for _, p := range all {
		v, err := d.book.Get(ctx, p.ID)
		switch {
		case errors.Is(err, approval.ErrNotFound):
		case err != nil:
			return nil, err
		case v.At() != approval.Pending:
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

// Approve is a second person's yes. Asked again by the same person after it
// succeeded, it gives the same answer.
func (d *Desk) Approve(ctx context.Context, o signin.Origin, cookie, proposalID string) (int64, error) {
	if err := d.ask(ctx, proposalID); err != nil {
		return 0, err
	}
	by, err := d.book.Signed(ctx, o, cookie)
	if err != nil {
		return 0, err
	}
	if _, err := d.book.Decide(ctx, by, proposalID, true, ""); err != nil {
		return 0, err
	}
	return d.charter.Of(ctx, proposalID)
}

// ask asks for a proposal, unless it was asked for. The matter has the proposal's
// id, so that of several gateways that find it one asks.
func (d *Desk) ask(ctx context.Context, id string) error {
	_, err := d.book.Get(ctx, id)
	if !errors.Is(err, approval.ErrNotFound) {
		return err
	}
	p, _, err := d.charter.Read(ctx, id)
	if err != nil {
		return err
	}
	who, posts, err := d.book.Terminal(ctx, p.Login)
	if err != nil {
		return err
	}
	begun, err := d.charter.Begun(ctx)
	if err != nil {
		return err
	}
	c, err := d.book.Consider(ctx, approval.Matter{
		ID: id, Kind: approval.PolicyChange, Subject: id, Requester: who, RequesterPosts: posts, Nobody: true, Zone: d.book.Everywhere(),
		Reason: fmt.Sprintf("方針の変更の提案（%d項目）", len(p.Changes)), Rule: rule(begun, d.charter.Current().Approval.FactorRest), LapsesAt: p.At.Add(waitsFor), Articles: []policy.Article{"16-1", "84"},
	})
	if err != nil {
		return err
	}
	return d.book.Keep(ctx, c)
}

// settle puts an approved policy in force, in the transaction of the approval.
func (d *Desk) settle(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	if to != approval.Approved {
		return nil
	}
	made, err := d.book.Decisions(ctx, tx, m.ID)
	if err != nil {
		return err
	}
	last := made[len(made)-1]
	// Read from what is committed: a proposal never changes, and whether it was
	// spent, or its base moved, is asked in the transaction.
	_, bill, err := d.charter.Read(ctx, m.Subject)
	if err != nil {
		return err
	}
	return d.charter.Enact(ctx, tx, bill, charter.Approver{ID: string(last.By.ID), Login: last.By.Login, Posts: []policy.PostID{last.Post}})
}

// mostShown bounds the changes that a card lists; the page of the policy has all.
const mostShown = 12

func (d *Desk) card(ctx context.Context, m approval.Matter, c *approval.Card) error {
	p, _, err := d.charter.Read(ctx, m.Subject)
	if errors.Is(err, charter.ErrNoProposal) || errors.Is(err, charter.ErrStale) {
		return nil
	}
	if err != nil {
		return err
	}
	c.Yes = policy.Words{JA: "すべての関所で、一秒以内にこの方針が効力を持ちます。", EN: "Within a second this policy is in force at every gate."}
	for i, change := range p.Changes {
		if i == mostShown {
			n := fmt.Sprint(len(p.Changes) - i)
			c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "ほか", EN: "and more"}, Value: n})
			break
		}
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: change.Path, EN: change.Path}, Value: change.Old + " → " + change.New})
	}
	return nil
}

// lookEvery is how often Run looks for proposals that nobody was asked about.
const lookEvery = 2 * time.Second

// Run asks for proposals that were made at a terminal, until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	for clock.Wait(ctx, lookEvery) == nil {
		waiting, err := d.charter.Proposals(ctx)
		for _, p := range waiting {
			if err == nil {
				err = d.ask(ctx, p.ID)
			}
			// Who may not propose, or finds nobody to decide, hears of it when somebody
			// tries to approve.
			if refused := (*approval.Refused)(nil); errors.As(err, &refused) || errors.Is(err, charter.ErrStale) || errors.Is(err, charter.ErrNoProposal) {
				err = nil
			}
		}
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "asking for proposed policies failed; it is tried again", "error", err)
		}
	}
}
