package approval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Considered is a matter that may be asked; only Consider makes one.
type Considered struct {
	m        Matter
	standing *policy.StandingDecision
	tell     []directory.PersonID
	text     []byte
}

// Matter is what will be asked.
func (c Considered) Matter() Matter { return c.m }

// Consider looks at a matter before it is asked: that its rule has people to
// decide it, now, and what was decided beforehand. It reads the directory, so it
// comes before the transaction that asks. *Refused and *Invalid say why not.
//
// Of m the caller gives an ID that was never used, or none, and Kind, Subject, Requester, RequesterPosts, Reason, Rule and
// Zone, and what else it has; LapsesAt is the policy's where it is zero.
func (b *Book) Consider(ctx context.Context, m Matter) (Considered, error) {
	p, now := b.Policy(), b.Now()
	if _, ok := b.desks[m.Kind]; !ok {
		return Considered{}, fmt.Errorf("asking: nobody settles matters of kind %q", m.Kind)
	}
	if m.Requester.ID == "" {
		return Considered{}, errors.New("asking: nobody asks")
	}
	if err := b.Trail.MayBegin(); err != nil {
		return Considered{}, fmt.Errorf("asking: %w", err)
	}
	if err := words("reason", m.Reason, true); err != nil {
		return Considered{}, err
	}
	if m.ID == "" {
		m.ID = secret.Token(12)
	}
	m.AskedAt, m.PolicyVersion = now.UTC().Truncate(time.Microsecond), b.Version()
	m.LapsesAt = m.LapsesAt.UTC().Truncate(time.Microsecond)
	if m.LapsesAt.IsZero() || !m.LapsesAt.After(now) {
		m.LapsesAt = m.AskedAt.Add(p.Approval.LapseAfter)
	}
	m.Rule = effective(m.Rule, append(slices.Clone(m.RequesterPosts), m.BeneficiaryPosts...))
	m.Section, m.state, m.settledAt, m.reminded = m.section(), Pending, time.Time{}, 0
	people, err := b.whoMay(ctx, p, m.Rule)
	if err != nil {
		return Considered{}, err
	}
	if v := MayAsk(p, m, people, now); !v.ok {
		return Considered{}, &Refused{v}
	}
	c := Considered{m: m}
	if s, ok := p.StandingFor(string(m.Kind), m.Subject, m.Section, now); ok && !m.Rule.Strict && !m.Unheard {
		c.standing = &s
		c.m.state, c.m.settledAt = Approved, m.AskedAt
	} else {
		for _, one := range Who(p, m, nil, people, now) {
			if one.Verdict.ok {
				c.tell = append(c.tell, one.Person.ID)
			}
		}
	}
	if c.text, err = m.body(); err != nil {
		return Considered{}, fmt.Errorf("asking: %w", err)
	}
	return c, nil
}

// mostTold bounds how many people hear of one matter.
const mostTold = 20

// Ask stores a matter in the caller's transaction, beside the caller's own row,
// with its entry on the trail and the notices to those who may decide. What a
// standing decision covers is approved at once: the answer's state says so, and
// Settle is not called, for the caller's row may not be there yet.
func (b *Book) Ask(ctx context.Context, tx *store.Tx, c Considered) (Matter, error) {
	m := c.m
	if m.ID == "" {
		return Matter{}, errors.New("asking: the matter was not considered")
	}
	if err := insertMatter(ctx, tx, m, c.text); err != nil {
		return Matter{}, err
	}
	e := b.entry(m, m.Requester.Login, "approval.asked", m.Reason)
	e.Detail["sha256"], e.Detail["policy_version"] = digest(c.text), strconv.FormatInt(m.PolicyVersion, 10)
	e.Detail["lapses_at"] = m.LapsesAt.Format(time.RFC3339)
	if err := b.Trail.Append(ctx, tx, e); err != nil {
		return Matter{}, err
	}
	if c.standing != nil {
		return m, b.decidedBefore(ctx, tx, m, *c.standing)
	}
	return m, b.tell(ctx, tx, m, Asked, Pending, m.Requester.Name, c.tell[:min(len(c.tell), mostTold)])
}

// decidedBefore writes a standing decision beside the matter that it approves.
func (b *Book) decidedBefore(ctx context.Context, tx *store.Tx, m Matter, s policy.StandingDecision) error {
	d := Decision{ID: secret.Token(12), How: ByStanding, Through: s.ID, Yes: true, Comment: s.Decision + " " + s.Reason.In("ja"), At: m.AskedAt}
	if err := insertDecision(ctx, tx, m.ID, d); err != nil {
		return fmt.Errorf("writing a standing decision: %w", err)
	}
	e := b.entry(m, "system", "approval.given", "standing decision "+s.ID)
	maps.Copy(e.Detail, map[string]string{"how": string(ByStanding), "through": s.ID, "decision": s.Decision, "state": string(Approved)})
	return b.Trail.Append(ctx, tx, e)
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Keep asks in a transaction of its own. A matter whose ID was given and is there
// already is the same matter: of several who ask, one does.
func (b *Book) Keep(ctx context.Context, c Considered) error {
	return b.DB.WithTx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM approval_matter WHERE id = $1`, c.m.ID).Scan(&n); err != nil || n > 0 {
			return err
		}
		_, err := b.Ask(ctx, tx, c)
		return err
	})
}
