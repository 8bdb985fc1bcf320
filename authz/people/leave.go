package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/lifecycle"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A LeaveDays is leave by the days of Japan's calendar, as people write them.
type LeaveDays struct {
	From   string // the first day, such as 2026-04-01; "" for today
	Until  string // the last; "" until it is ended
	Reason string
}

// mostLeave is how far from today leave may begin.
const mostLeave = 366 * 24 * time.Hour

// japan is the time that people's days are of.
var japan = time.FixedZone("JST", 9*60*60)

// span is the time that the days are: from the first midnight to that after the last.
func (l LeaveDays) span(now time.Time) (from, until time.Time, err error) {
	wrong := func(field, rule, ja, en string) error {
		return &Invalid{Field: field, Rule: rule, Says: policy.Words{JA: ja, EN: en}}
	}
	today, _ := time.ParseInLocation(time.DateOnly, now.In(japan).Format(time.DateOnly), japan)
	from = today
	if typed := strings.TrimSpace(l.From); typed != "" {
		if from, err = time.ParseInLocation(time.DateOnly, typed, japan); err != nil {
			return from, until, wrong("from", "not_a_day", "日付を 2026-04-01 のように入力してください。", "Give a date such as 2026-04-01.")
		}
	}
	if from.Before(today.Add(-mostLeave)) || from.After(today.Add(mostLeave)) {
		return from, until, wrong("from", "too_far", "始まりの日は、今日の前後1年以内にしてください。", "The first day lies within a year of today.")
	}
	if typed := strings.TrimSpace(l.Until); typed != "" {
		if until, err = time.ParseInLocation(time.DateOnly, typed, japan); err != nil {
			return from, until, wrong("until", "not_a_day", "日付を 2026-04-01 のように入力してください。", "Give a date such as 2026-04-01.")
		}
		if until.Before(from) {
			return from, until, wrong("until", "before_from", "終わりの日は、始まりの日以後にしてください。", "The last day is not before the first.")
		}
		if until.Before(today) {
			return from, until, wrong("until", "past", "終わりの日は、今日以後にしてください。", "The last day is today or later.")
		}
		until = until.AddDate(0, 0, 1).UTC()
	}
	return from.UTC(), until, nil
}

var (
	// ErrLeaveApart means that leave is in force which ends before the new one begins.
	// It is an ErrState.
	ErrLeaveApart = fmt.Errorf("%w: %w", ErrState, lifecycle.ErrLeaveApart)
	// ErrNoLeave means that no leave is recorded. It is an ErrState.
	ErrNoLeave = fmt.Errorf("%w: %w", ErrState, lifecycle.ErrNoLeave)
	// ErrDeleting means that the deletion of an ID has been decided, so that it is not
	// opened again. It is an ErrState.
	ErrDeleting = fmt.Errorf("%w: %w", ErrState, lifecycle.ErrDeleting)
)

// RecordLeave records that somebody is on leave (育休, 休職), now or from a day to come:
// every door is shut to them meanwhile, and their days do not count as unused (article
// 62-5).
func (s *Service) RecordLeave(ctx context.Context, o signin.Origin, cookie, login string, days LeaveDays) error {
	d, err := s.begin(ctx, o, cookie, authz.RecordLeave, s.called(login))
	if err != nil {
		return err
	}
	reason, err := words(days.Reason, true)
	if err != nil {
		return err
	}
	from, until, err := days.span(s.In.Now())
	if err != nil {
		return err
	}
	if s.Dormancy == nil {
		return ErrState
	}
	detail := map[string]string{"leave_from": from.Format(time.RFC3339)}
	if !until.IsZero() {
		detail["until"] = until.Format(time.RFC3339)
	}
	err = s.commit(ctx, d, d.entry(object(d.on), reason, detail), func(tx *store.Tx) error {
		if err := s.notLess(ctx, tx, d, from, until); err != nil {
			return err
		}
		err := s.Dormancy.Leave(ctx, tx, lifecycle.Leave{Who: d.on, From: from, Until: until, Reason: reason, By: d.by.Login})
		if errors.Is(err, lifecycle.ErrLeaveApart) {
			return ErrLeaveApart
		}
		return err
	})
	if err == nil {
		s.Dormancy.Told(ctx)
	}
	return err
}

// notLess refuses leave that would take from what is recorded for somebody who approves or
// administers: their doors would open earlier by the word of one person, for which EndLeave
// asks two (design rule 7).
func (s *Service) notLess(ctx context.Context, tx *store.Tx, d deed, from, until time.Time) error {
	now := s.In.Now()
	if !s.powerful(d.on) {
		return nil
	}
	before, ok, err := standing.Leave(ctx, tx, d.on.ID, now)
	if err != nil || !ok {
		return err
	}
	less := func(field string) error {
		return &Invalid{Field: field, Rule: "less_leave", Says: policy.Words{
			JA: "承認又は管理の役割を持つ方の、すでに登録された休業・休職より短くなります。先にその休業・休職を終える操作をしてください（もう一人の承認が必要です）。",
			EN: "This is shorter than the leave that is recorded for somebody who approves or administers. Please end that leave first, which takes a second person.",
		}}
	}
	switch {
	case !until.IsZero() && (before.Until.IsZero() || until.Before(before.Until)):
		return less("until")
	case before.Since.After(now) && from.After(before.Since):
		return less("from")
	}
	return nil
}

// EndLeave ends leave before its day, or takes back one to come. For somebody who
// approves or administers it takes a second person (design rule 7). ErrNoLeave: there
// is none.
func (s *Service) EndLeave(ctx context.Context, o signin.Origin, cookie, login, reason string) error {
	d, err := s.begin(ctx, o, cookie, authz.EndLeave, s.called(login))
	if err != nil {
		return err
	}
	if reason, err = words(reason, true); err != nil {
		return err
	}
	if s.Dormancy == nil {
		return ErrState
	}
	if d, err = s.jointly(ctx, d); err != nil {
		return err
	}
	return s.commit(ctx, d, d.entry(object(d.on), reason, nil), func(tx *store.Tx) error {
		err := s.Dormancy.EndLeave(ctx, tx, d.on, d.by.Login)
		if errors.Is(err, lifecycle.ErrNoLeave) {
			return ErrNoLeave
		}
		return err
	})
}
