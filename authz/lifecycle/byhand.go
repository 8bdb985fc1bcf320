package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// lookSlot begins the slots of those by hand that only look.
const lookSlot = "look by hand "

// OnlyLooked reports whether it was to find, and not to act.
func (s Summary) OnlyLooked() bool { return s.looks() }

// looks reports whether a sweep only looks.
func (s Summary) looks() bool {
	return strings.HasPrefix(s.Slot, firstSlot) || strings.HasPrefix(s.Slot, lookSlot)
}

// ByHand sweeps at once, for somebody at a terminal, as of a time. In a store where none
// has come to its end it only looks, as the first by itself does, unless act says that
// it is known what follows. ErrBusy: one is under way. *Stopped: it waits for somebody.
func (b *Book) ByHand(ctx context.Context, by string, asOf time.Time, act bool, progress func(people int)) (Summary, error) {
	id, holder := secret.Token(12), secret.Token(9)
	slot := "by hand " + id
	_, before, err := b.Last(ctx)
	if err != nil {
		return Summary{}, err
	}
	if !before && !act {
		slot = lookSlot + id
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM sweep WHERE state IN ('reading', 'acting') AND claimed_until > $1`, store.Micros(b.Now())).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return ErrBusy
		}
		return b.begin(ctx, tx, Summary{ID: id, Slot: slot, AsOf: asOf.Truncate(time.Microsecond), By: by}, holder)
	})
	if err != nil {
		return Summary{}, fmt.Errorf("beginning a sweep: %w", err)
	}
	err = b.perform(ctx, id, holder, progress)
	if err != nil {
		return Summary{}, err
	}
	s, err := b.Sweep(ctx, id)
	if err != nil {
		return Summary{}, err
	}
	if s.State == Halted {
		return s, b.stopped(ctx, s)
	}
	return s, nil
}

func (b *Book) stopped(ctx context.Context, s Summary) error {
	before, err := b.before(ctx)
	if err != nil {
		return err
	}
	return &Stopped{Sweep: s.ID, Why: Stop(s.Why), Before: before, Matter: s.Matter, Answer: s.Answer}
}

// Look reads as a sweep does, tells each entry, and does nothing. uses are counted as if
// they had been told (Tell). The error is a *Stopped where a sweep would stop.
func (b *Book) Look(ctx context.Context, asOf time.Time, uses []Use, each func(Entry) error) (Summary, []Count, error) {
	s := Summary{AsOf: asOf, BeganAt: b.Now(), State: Finished}
	t, err := b.read(ctx, asOf, latestOf(uses), func(_ context.Context, some []Entry) error {
		for _, e := range some {
			s.count(e)
			if err := each(e); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	if err != nil {
		return Summary{}, nil, fmt.Errorf("reading the directory for a sweep: %w", err)
	}
	s.Answer, s.EndedAt = t.Answer, b.Now()
	before, err := b.before(ctx)
	if err != nil {
		return Summary{}, nil, err
	}
	if why := Halt(t.Answer, before, b.Policy().Dormancy.StopShare, b.Policy().Dormancy.StopFew); why != "" {
		s.State, s.Why = Halted, string(why)
		return s, t.list(), &Stopped{Why: why, Before: before, Answer: t.Answer}
	}
	return s, t.list(), nil
}
