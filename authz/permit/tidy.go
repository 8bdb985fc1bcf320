package permit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// Tidying decides nothing: every end counts when it has come. It writes down what is
// so already, ends what depended on it, and tells people.
const (
	tidyEvery  = 5 * time.Second
	tidyBatch  = 100
	flushEvery = 3 // of tidyEvery
	// forgetEvery is some twelve hours.
	forgetEvery = 8640
	// relistEvery is some five minutes.
	relistEvery = 60
)

// Run tidies, and writes down when permits were used, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	note := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, what, "error", err)
		}
	}
	for n := 1; clock.Wait(ctx, tidyEvery) == nil; n++ {
		note("tidying permits", b.Tidy(ctx))
		note("telling of sessions from outside that are over", b.TellOver(ctx))
		if n%flushEvery == 0 {
			note("writing down when permits were used", b.Flush(ctx))
		}
		if n%relistEvery == 1 {
			note("listing permits of the version before", b.relist(ctx))
		}
		if n%forgetEvery == 1 {
			note("forgetting old uses of permits", b.forget(ctx))
		}
	}
	if err := b.Flush(context.WithoutCancel(ctx)); err != nil {
		slog.WarnContext(ctx, "writing down when permits were used", "error", err)
	}
}

// Tidy writes down what has come to its end, and tells who is to be told.
func (b *Book) Tidy(ctx context.Context) error {
	for {
		due, err := list(ctx, b.DB, `due_at > 0 AND due_at <= $1 ORDER BY due_at LIMIT $2`, store.Micros(b.Now()), tidyBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		var failed error
		gone := false
		for _, m := range due { // one that fails does not stand in the way of the rest
			ended, err := b.tidy(ctx, m)
			gone = gone || ended
			if err != nil && !errors.Is(err, store.ErrUntouched) {
				failed = errors.Join(failed, fmt.Errorf("tidying permit %s: %w", m.ID, err))
			}
		}
		if gone {
			b.changed(ctx)
		}
		if failed != nil || len(due) < tidyBatch {
			return failed
		}
	}
}

func (b *Book) tidy(ctx context.Context, seen Permit) (ended bool, err error) {
	var review []directory.PersonID
	if k, _ := b.Policy().Permit(seen.Kind); k.ReviewDays > 0 && seen.State(b.Now()) == Approved {
		if review, err = b.reviewers(ctx, seen); err != nil {
			return false, err
		}
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		ended = false
		m, err := read(ctx, tx, seen.ID)
		if err != nil {
			return err
		}
		k, _ := b.Policy().Permit(m.Kind)
		now := b.Now().UTC().Truncate(time.Microsecond)
		if due := m.due(k); due.IsZero() || due.After(now) {
			// Another gateway, or its people, were first, or the policy is another now.
			return b.put(ctx, tx, &m, k)
		}
		switch state := m.State(now); {
		case state == Expired, state == Lapsed:
			m.state, ended = state, true
			e := b.entry(m, By{}, "permit."+string(state), "")
			if state == Lapsed {
				if err := b.Matters.Void(ctx, tx, m.Matter, "its time is over"); err != nil {
					return err
				}
			} else if err := b.gone(ctx, tx, m, &e, over{to: Revoked, why: "the permit has expired"}); err != nil {
				return err
			}
			if err := b.put(ctx, tx, &m, k); err != nil {
				return err
			}
			return b.Trail.Append(ctx, tx, e)
		case !m.toldRenew && !m.renewAt(k).IsZero() && !now.Before(m.renewAt(k)):
			m.toldRenew = true
			if err := b.tellBoth(ctx, tx, m, notice.PermitEnding, map[string]string{"until": m.Until.Format(time.RFC3339)}); err != nil {
				return err
			}
		default:
			m.toldDue = m.ReviewDue(k, now)
			if err := b.tellReviewers(ctx, tx, m, review); err != nil {
				return err
			}
		}
		return b.put(ctx, tx, &m, k)
	})
	return ended, err
}

// mostTold bounds how many people hear that a permit is to be looked at.
const mostTold = 20

// reviewers are those who may look a permit through. They are read from the directory,
// before the transaction that tells them.
func (b *Book) reviewers(ctx context.Context, m Permit) ([]directory.PersonID, error) {
	p, now := b.Policy(), b.Now()
	k, _ := p.Permit(m.Kind)
	made, err := b.Decisions(ctx, m)
	if err != nil {
		return nil, err
	}
	all, err := b.Matters.Overseers(ctx, ruleOf(k), m.Person.Section)
	if err != nil {
		return nil, err
	}
	var out []directory.PersonID
	for _, h := range all {
		if MayReview(p, k, m, deciders(made), h, now) == nil && len(out) < mostTold {
			out = append(out, h.Person.ID)
		}
	}
	return out, nil
}

// tellReviewers tells them.
func (b *Book) tellReviewers(ctx context.Context, tx *store.Tx, m Permit, who []directory.PersonID) error {
	for _, to := range who {
		if err := b.tell(ctx, tx, m, to, notice.PermitReview, map[string]string{"person": m.Person.Name}); err != nil {
			return err
		}
	}
	return nil
}

// Used notes that permits let somebody through. It waits for nothing: when is written
// down within seconds, and to the second that it began in, for a page asks for dozens
// of things at once.
func (b *Book) Used(ids []string, from netip.Addr) {
	now := b.Now()
	for _, id := range ids {
		if was, ok := b.uses.Load(id); id == "" || ok && was.(use).at.Unix() == now.Unix() && was.(use).from == from {
			continue
		}
		b.uses.Store(id, use{now, from})
	}
}

type use struct {
	at   time.Time
	from netip.Addr
}

// Flush writes down when permits were used, tidyBatch of them in a transaction.
func (b *Book) Flush(ctx context.Context) error {
	type used struct {
		id string
		use
	}
	var all []used
	b.uses.Range(func(id, u any) bool {
		all = append(all, used{id.(string), u.(use)})
		return true
	})
	for part := range slices.Chunk(all, tidyBatch) {
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			for _, u := range part {
				if err := b.used(ctx, tx, u.id, u.at, u.from.String()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, u := range part {
			b.uses.CompareAndDelete(u.id, u.use)
		}
	}
	return nil
}

func (b *Book) used(ctx context.Context, tx *store.Tx, id string, at time.Time, from string) error {
	_, err := tx.Exec(ctx, `UPDATE permit SET used_at = $1, used_from = $2 WHERE id = $3 AND used_at < $1`, store.Micros(at), from, id)
	if err == nil {
		// Whichever of two gateways comes first, the day begins with the first use and
		// ends with the last.
		_, err = tx.Exec(ctx, `
			INSERT INTO permit_use (permit, day, first_at, last_at, last_from)
			SELECT $1, $2, $3, $3, $4 WHERE EXISTS (SELECT 1 FROM permit WHERE id = $1)
			ON CONFLICT (permit, day) DO UPDATE SET
				first_at  = CASE WHEN excluded.first_at < permit_use.first_at THEN excluded.first_at ELSE permit_use.first_at END,
				last_from = CASE WHEN excluded.last_at > permit_use.last_at THEN excluded.last_from ELSE permit_use.last_from END,
				last_at   = CASE WHEN excluded.last_at > permit_use.last_at THEN excluded.last_at ELSE permit_use.last_at END`,
			id, policy.DayInJapan(at), store.Micros(at), from)
	}
	if err != nil {
		return fmt.Errorf("writing down when a permit was used: %w", err)
	}
	return nil
}

// A Use is a day of Japan on which a permit was used.
type Use struct {
	Day         string
	First, Last time.Time
	From        string // the address that it was last used from
}

// usesKept is how long each day's use is kept: a fiscal year, and a month to look back
// on it when the permit is asked for again.
const usesKept = 400 * 24 * time.Hour

// Uses are the days on which a permit was used, the last first, so many at most. It asks
// nobody who reads them: whoever reads the permit may.
func (b *Book) Uses(ctx context.Context, id string, most int) ([]Use, error) {
	return store.All(ctx, b.DB, "uses of a permit", func(row store.Row) (Use, error) {
		var u Use
		var first, last int64
		err := row.Scan(&u.Day, &first, &last, &u.From)
		u.First, u.Last = store.FromMicros(first), store.FromMicros(last)
		return u, err
	}, `SELECT day, first_at, last_at, last_from FROM permit_use WHERE permit = $1 ORDER BY day DESC LIMIT $2`, id, most)
}

// forget takes away what was used too long ago to be of use.
func (b *Book) forget(ctx context.Context) error {
	return b.DB.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM permit_use WHERE last_at < $1`, store.Micros(b.Now().Add(-usesKept)))
		return err
	})
}

// relist fills in by what permits are looked for, in those that a gateway of the version
// before has written while it ran beside this one: it knows nothing of these columns.
func (b *Book) relist(ctx context.Context) error {
	bare, err := list(ctx, b.DB, `words = '' OR state = 'pending' AND lapses_at = 0 OR state = 'approved' AND decided_at = 0 LIMIT $1`, tidyBatch)
	if err != nil || len(bare) == 0 {
		return err
	}
	return b.DB.WithTx(ctx, func(tx *store.Tx) error {
		for _, m := range bare {
			// What was changed since is read again next time.
			if _, err := tx.Exec(ctx, `
				UPDATE permit SET section = $1, applications = $2, words = $3, lapses_at = $4, decided_at = $5, looked_at = $6, done_at = $7
				WHERE  id = $8 AND version = $9`,
				m.Person.Section, m.opens(), m.words(), store.Micros(m.LapsesAt), store.Micros(m.DecidedAt), store.Micros(m.looked()), store.Micros(m.Done.Wrote), m.ID, m.version); err != nil {
				return fmt.Errorf("listing permit %s: %w", m.ID, err)
			}
		}
		return nil
	})
}

// Came writes down, in the transaction that begins a session from outside or from
// another zone, by which permits it does, and tells whoever asked where the kind says
// so.
func (b *Book) Came(ctx context.Context, tx *store.Tx, ids []string, n session.Session) error {
	for _, id := range ids {
		if err := b.used(ctx, tx, id, b.Now(), n.From); err != nil {
			return err
		}
		if err := b.tellUse(ctx, tx, id, n, notice.RemoteBegan, func(k policy.PermitKind) bool { return k.TellStart }); err != nil {
			return err
		}
	}
	return nil
}

// Left tells whoever asked that a session from outside is over, once, in the transaction
// that ends it or finds it ended. Where it is not known which permits let it in, they are
// those that the person has now.
func (b *Book) Left(ctx context.Context, tx *store.Tx, n session.Session) error {
	if !n.Outside {
		return nil
	}
	if n.EndedAt.IsZero() {
		n.EndedAt = b.Now() // by its person, in this transaction
	}
	first, err := b.Sessions.Tell(ctx, tx, n)
	if err != nil || !first {
		return err
	}
	return b.left(ctx, tx, n)
}

func (b *Book) left(ctx context.Context, tx *store.Tx, n session.Session) error {
	ends := func(k policy.PermitKind) bool { return k.TellEnd }
	for _, id := range n.Permits {
		if err := b.tellUse(ctx, tx, id, n, notice.RemoteOver, ends); err != nil {
			return err
		}
	}
	if len(n.Permits) > 0 {
		return nil
	}
	all, err := list(ctx, tx, `person_id = $1 AND kind = 'remote_access' AND state = 'approved'`, string(n.Person))
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := b.tellUse(ctx, tx, m.ID, n, notice.RemoteOver, ends); err != nil {
			return err
		}
	}
	return nil
}

// TellOver tells of the sessions from outside that have come to their end, by idling, by
// their longest time, or by what somebody did, as of those that their person ends.
func (b *Book) TellOver(ctx context.Context) error {
	for {
		over, err := b.Sessions.Untold(ctx, tidyBatch)
		if err != nil || len(over) == 0 {
			return err
		}
		var failed error
		ended, some := false, false
		for _, n := range over { // one that fails does not stand in the way of the rest
			err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
				first, err := b.Sessions.Tell(ctx, tx, n)
				if err != nil || !first {
					return err
				}
				some = true
				return b.left(ctx, tx, n)
			})
			ended = ended || err == nil && n.EndedAt.IsZero()
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("telling that session %s is over: %w", n.ID, err))
			}
		}
		if ended {
			failed = errors.Join(failed, b.Sessions.Poll(ctx))
		}
		if failed != nil || !some || len(over) < tidyBatch {
			return failed
		}
	}
}

func (b *Book) tellUse(ctx context.Context, tx *store.Tx, id string, n session.Session, what notice.Kind, wanted func(policy.PermitKind) bool) error {
	m, err := read(ctx, tx, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if k, ok := b.Policy().Permit(m.Kind); !ok || !wanted(k) {
		return nil
	}
	told := []directory.PersonID{m.Requester.ID}
	if m.Requester.ID == m.Person.ID { // who asked for themselves knows
		told = nil
		made, err := b.Matters.Decisions(ctx, tx, m.Matter)
		if err != nil {
			return err
		}
		for _, d := range made {
			if d.Yes {
				told = append(told, d.By.ID)
			}
		}
	}
	for _, to := range told {
		if err := b.tell(ctx, tx, m, to, what, map[string]string{"person": n.Name, "from": n.From}); err != nil {
			return err
		}
	}
	return nil
}
