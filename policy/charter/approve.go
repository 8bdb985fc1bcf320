package charter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// An Approver is the second person. Posts are those the policy in force gives
// to that person's groups at this moment.
type Approver struct {
	ID, Login string
	Posts     []policy.PostID
}

// Approve puts a proposal in force as the next version. It is refused to the
// proposer and to whoever is neither CIO nor security officer, and those
// refusals are on the trail too. The text is read once more by today's code,
// which may be stricter than the code that proposed it.
//
// Asked again by the same person after it succeeded, it gives the same answer.
func (c *Charter) Approve(ctx context.Context, by Approver, proposalID string) (int64, error) {
	held := c.inForce.Load() // what by.Posts were read from
	row, err := readProposal(ctx, c.db, proposalID)
	if err != nil {
		return 0, fmt.Errorf("approving a policy: %w", err)
	}
	if err := allowed(row, by); err != nil {
		return 0, c.refused(ctx, by, row.ID, err)
	}
	if row.approvedAt != 0 {
		if row.approvedID == by.ID && by.ID != "" {
			return c.settled(ctx, row.Base+1), nil
		}
		return 0, ErrNoProposal
	}
	if held == nil || held.version != row.Base {
		return 0, ErrStale
	}
	if err := c.trail.MayBegin(); err != nil {
		return 0, fmt.Errorf("approving a policy: %w", err)
	}
	bill, err := c.bill(row, held)
	if err != nil {
		return 0, err
	}
	err = c.db.WithTx(ctx, func(tx *store.Tx) error { return c.enact(ctx, tx, bill, by) })
	switch {
	case errors.Is(err, store.ErrUntouched), errors.Is(err, errNumberTaken):
		return 0, c.tooLate(ctx, row.ID)
	case err != nil:
		return 0, fmt.Errorf("approving a policy: %w", err)
	}
	return c.settled(ctx, row.Base+1), nil
}

// A Bill is a proposal that was read and compared, ready to come into force.
type Bill struct {
	row     proposalRow
	changes []policy.Change
}

// Read reads a proposal that waits, and compares it with the version in force, so
// that the transaction that enacts it need not. ErrNoProposal: it does not wait.
func (c *Charter) Read(ctx context.Context, id string) (Proposal, Bill, error) {
	held := c.inForce.Load()
	row, err := readProposal(ctx, c.db, id)
	if err != nil {
		return Proposal{}, Bill{}, fmt.Errorf("reading a proposed policy: %w", err)
	}
	if row.approvedAt != 0 {
		return Proposal{}, Bill{}, ErrNoProposal
	}
	b, err := c.bill(row, held)
	b.row.Changes = b.changes
	return b.row.Proposal, b, err
}

func (c *Charter) bill(row proposalRow, held *governing) (Bill, error) {
	if held == nil || held.version != row.Base {
		return Bill{row: row}, ErrStale
	}
	next, problems := policy.Parse("policy.yaml", row.Source)
	if err := problems.Err(); err != nil {
		return Bill{row: row}, err
	}
	return Bill{row, policy.Diff(held.policy, next)}, nil
}

// Enact puts a proposal in force in the caller's transaction, where somebody else
// has established the second person; the rule of two persons holds all the same.
// ErrStale, when something came first.
func (c *Charter) Enact(ctx context.Context, tx *store.Tx, b Bill, by Approver) error {
	if err := allowed(b.row, by); err != nil {
		return err
	}
	if err := c.trail.MayBegin(); err != nil {
		return err
	}
	err := c.enact(ctx, tx, b, by)
	if errors.Is(err, store.ErrUntouched) || errors.Is(err, errNumberTaken) {
		return ErrStale
	}
	return err
}

func (c *Charter) enact(ctx context.Context, tx *store.Tx, b Bill, by Approver) error {
	row := b.row
	v := Version{Number: row.Base + 1, Since: c.now(), By: row.Login, ApprovedBy: by.Login, Proposal: row.ID, Digest: digest(row.Source)}
	from, err := carriedIn(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	if err := spendProposal(ctx, tx, row.ID, by, v.Since); err != nil {
		return err
	}
	if err := c.takeIn(ctx, tx, row.Login, v.Digest, from); err != nil {
		return err
	}
	if err := insertVersion(ctx, tx, v, row.Source); err != nil {
		return err
	}
	return c.append(ctx, tx, c.entries(audit.Entry{
		Actor: by.Login, Action: "policy.approved", Object: versionName(v.Number),
		Reason: fmt.Sprintf("proposed by %s as %s", row.Login, row.ID), Detail: from.detail(),
	}, v.Digest, row.Base, b.changes))
}

// Of is the number of the version that a proposal became; 0 while it is none.
func (c *Charter) Of(ctx context.Context, proposalID string) (int64, error) {
	row, err := readProposal(ctx, c.db, proposalID)
	if err != nil || row.approvedAt == 0 {
		return 0, err
	}
	return row.Base + 1, nil
}

// tooLate tells a proposal that somebody else approved from one whose base
// moved. The guard has refused already; this only finds the words.
func (c *Charter) tooLate(ctx context.Context, id string) error {
	row, err := readProposal(ctx, c.db, id)
	switch {
	case err != nil:
		return fmt.Errorf("approving a policy: %w", err)
	case row.approvedAt != 0:
		return ErrNoProposal
	}
	return ErrStale
}

// allowed is the rule of two persons. A proposal made at a terminal names a
// login, one made on a page could name an id, so both are compared, in the one
// spelling that logins have.
func allowed(row proposalRow, by Approver) error {
	if by.Login == "" && by.ID == "" {
		return ErrPost
	}
	proposer := canonical(row.Login)
	if proposer == canonical(by.Login) || proposer == canonical(by.ID) {
		return ErrSelfApproval
	}
	if !slices.Contains(by.Posts, policy.CIO) && !slices.Contains(by.Posts, policy.SecurityOfficer) {
		return ErrPost
	}
	return nil
}

// canonical folds what people type differently and mean the same: width, case
// and spaces.
func canonical(login string) string {
	return strings.Join(strings.Fields(strings.ToLower(norm.NFKC.String(login))), "")
}

func (c *Charter) refused(ctx context.Context, by Approver, id string, why error) error {
	article := policy.Article("11-1")
	if errors.Is(why, ErrSelfApproval) {
		article = "16-1"
	}
	err := c.db.WithTx(ctx, func(tx *store.Tx) error {
		return c.trail.Append(ctx, tx, audit.Entry{
			Actor: by.Login, Action: "policy.approval_refused", Object: proposalName(id),
			Outcome: audit.Refused, Reason: why.Error(), Articles: []policy.Article{article},
		})
	})
	if err != nil {
		return fmt.Errorf("%w; and the refusal could not be put on the trail: %w", why, err)
	}
	return why
}
