package permit

import (
	"context"
	"slices"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Sees reports whether somebody holds a post that looks at others' permits.
func (b *Book) Sees(by By) bool {
	p := b.Policy()
	return slices.ContainsFunc(by.Posts, func(id policy.PostID) bool {
		post, ok := p.Post(id)
		return ok && (post.Approves || post.Administers || post.Audits)
	})
}

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
	if !m.concerns(approval.Ref(by.Person)) && !b.Sees(by) {
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

// A Filter says which permits are listed. Zero fields do not restrict.
type Filter struct {
	Kind      string
	State     State
	Mine      bool // whose it is, or who asked
	ToApprove bool // that wait for the reader's word
	Person    directory.PersonID
	Unused    bool // never used
	Review    bool // whose review is due
	Ends      time.Time
	Keep      func(Permit) bool // what else must be true of one; nil: nothing
	After     string            // the id of the last one before
	Limit     int               // 0: 100
}

// List is permits, those asked for last first, as far as they concern the reader.
// What is over by itself is listed as what it is, whatever its row says.
func (b *Book) List(ctx context.Context, by By, f Filter) (out []Permit, next string, err error) {
	if err := b.signed(by); err != nil {
		return nil, "", err
	}
	if f.Limit <= 0 || f.Limit > 1000 {
		f.Limit = 100
	}
	p, now, own := b.Policy(), b.Now(), !b.Sees(by)
	var waits map[string]bool
	if f.ToApprove {
		waits = map[string]bool{}
		views, err := b.Matters.Pending(ctx, by)
		if err != nil {
			return nil, "", err
		}
		for _, v := range views {
			waits[v.ID] = true
		}
		if own = false; len(waits) == 0 {
			return nil, "", nil
		}
	}
	at, id := store.Micros(now.Add(24*time.Hour)), ""
	if f.After != "" {
		last, err := read(ctx, b.DB, f.After)
		if err != nil {
			return nil, "", err
		}
		at, id = store.Micros(last.AskedAt), last.ID
	}
	me := ""
	if f.Mine || own {
		me = string(by.Person.ID)
	}
	for {
		page, err := list(ctx, b.DB, `
			(asked_at < $1 OR asked_at = $1 AND id > $2) AND ($3 = '' OR kind = $3) AND ($4 = '' OR person_id = $4 OR requester_id = $4)
			AND ($5 = '' OR person_id = $5) ORDER BY asked_at DESC, id LIMIT 500`, at, id, f.Kind, me, string(f.Person))
		if err != nil {
			return nil, "", err
		}
		for _, m := range page {
			at, id = store.Micros(m.AskedAt), m.ID
			k, _ := p.Permit(m.Kind)
			due := m.ReviewDue(k, now)
			switch {
			case f.State != "" && m.State(now) != f.State, waits != nil && !waits[m.Matter], f.Unused && !m.UsedAt.IsZero(),
				f.Review && (due.IsZero() || due.After(now)), !f.Ends.IsZero() && m.Until.After(f.Ends),
				f.Keep != nil && !f.Keep(m):
				continue
			}
			if len(out) == f.Limit {
				return out, out[len(out)-1].ID, nil
			}
			out = append(out, m)
		}
		if len(page) < 500 {
			return out, "", nil
		}
	}
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
