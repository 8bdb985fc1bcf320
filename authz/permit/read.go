package permit

import (
	"context"
	"slices"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A Reach is whose permits somebody sees beside those that concern themselves (article
// 47-3). Its zero value is nobody's.
type Reach struct {
	All     bool
	Section string // and what lies below it; "" for none
}

// ReachOf goes by posts: whoever audits, the CIO and the CSIRT answer for the whole
// prefecture; a security officer for their department, and whoever else approves or
// administers for their own section.
func ReachOf(p *policy.Policy, posts []policy.PostID, section string) Reach {
	var out Reach
	for _, id := range posts {
		post, ok := p.Post(id)
		switch {
		case !ok:
		case post.Audits, id == policy.CIO, id == policy.CSIRT:
			return Reach{All: true}
		case id == policy.SecurityOfficer:
			out.Section = p.Department(section)
		case (post.Approves || post.Administers) && out.Section == "":
			if _, known := p.Section(section); known {
				out.Section = section
			}
		}
	}
	return out
}

// Sees reports whether what belongs to a section is within reach.
func (r Reach) Sees(p *policy.Policy, section string) bool {
	return r.All || r.Section != "" && p.InSection(section, []string{r.Section})
}

// Any reports whether anybody else's is.
func (r Reach) Any() bool { return r != Reach{} }

// Reach is whose permits somebody sees.
func (b *Book) Reach(by By) Reach { return ReachOf(b.Policy(), by.Posts, by.Person.Section) }

// Get is one permit, as its row says. Whom it does not concern finds that there is
// none.
func (b *Book) Get(ctx context.Context, by By, id string) (Permit, error) {
	if err := b.signed(by); err != nil {
		return Permit{}, err
	}
	m, err := read(ctx, b.DB, id)
	if err != nil {
		return Permit{}, err
	}
	k, _ := b.Policy().Permit(m.Kind)
	if !m.concerns(approval.Ref(by.Person)) && !b.Reach(by).Sees(b.Policy(), m.Person.Section) && MayRevoke(b.Policy(), k, m, by.Holder, b.Now()) != nil {
		v, err := b.Matters.Get(ctx, m.Matter)
		if err != nil {
			return Permit{}, err
		}
		verdict, err := b.Matters.Verdict(ctx, v, by)
		if err != nil {
			return Permit{}, err
		}
		if verdict.Reason == approval.NotTheirs || verdict.Reason == approval.Over {
			return Permit{}, ErrNotFound
		}
	}
	return m, nil
}

// Decisions are what was said on a permit.
func (b *Book) Decisions(ctx context.Context, m Permit) ([]approval.Decision, error) {
	return b.Matters.Decisions(ctx, b.DB, m.Matter)
}

// Between calls each with the permits of a kind that were asked for within a time
// (from ≤ t < to) or in force then, some hundred at a time in the order in which they
// were asked for. It reads rows alone, so that it serves a terminal too.
func Between(ctx context.Context, in store.Reader, kind string, from, to time.Time, each func([]Permit) error) error {
	for at, id := int64(-1), ""; ; {
		page, err := list(ctx, in, `
			kind = $1 AND asked_at < $2 AND (asked_at >= $3 OR ends_at >= $3) AND (asked_at > $4 OR asked_at = $4 AND id > $5)
			ORDER BY asked_at, id LIMIT 500`, kind, store.Micros(to), store.Micros(from), at, id)
		if err != nil || len(page) == 0 {
			return err
		}
		last := page[len(page)-1]
		at, id = store.Micros(last.AskedAt), last.ID
		page = slices.DeleteFunc(page, func(m Permit) bool {
			return m.AskedAt.Before(from) && (m.DecidedAt.IsZero() || m.EndsAt().Before(from))
		})
		if err := each(page); err != nil {
			return err
		}
	}
}

// A Tally is how many permits of a kind there are that something may still come of.
type Tally struct {
	Live    int // in force
	Ahead   int // approved, and not begun
	Pending int
}

// Tally counts them by kind, of all gateways of the store.
func (b *Book) Tally(ctx context.Context) (map[string]Tally, error) {
	type line struct {
		kind string
		Tally
	}
	all, err := store.All(ctx, b.DB, "permits", func(row store.Row) (line, error) {
		var l line
		err := row.Scan(&l.kind, &l.Live, &l.Ahead, &l.Pending)
		return l, err
	}, `
		SELECT kind, SUM(CASE WHEN state = 'approved' AND starts_at <= $1 THEN 1 ELSE 0 END), SUM(CASE WHEN state = 'approved' AND starts_at > $1 THEN 1 ELSE 0 END),
		       SUM(CASE WHEN state = 'pending' THEN 1 ELSE 0 END)
		FROM   permit WHERE state IN ('approved', 'pending') AND ends_at > $1 GROUP BY kind`, store.Micros(b.Now()))
	out := map[string]Tally{}
	for _, l := range all {
		out[l.kind] = l.Tally
	}
	return out, err
}
