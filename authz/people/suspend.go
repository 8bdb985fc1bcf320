package people

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// MaxReason bounds a reason, in characters.
const MaxReason = 500

// Suspend closes every door to a person until the given time, or until Restore
// where it is zero (articles 75-2, 78-3). What they have open ends with it. Of one by
// the CIO three more are told: see TellRights.
func (s *Service) Suspend(ctx context.Context, o signin.Origin, cookie, login, reason string, until time.Time) error {
	d, err := s.begin(ctx, o, cookie, authz.Suspend, s.called(login))
	if err != nil {
		return err
	}
	if reason, err = words(reason, true); err != nil {
		return err
	}
	detail := map[string]string{}
	if !until.IsZero() {
		if !until.After(s.In.Now()) {
			return &Invalid{Field: "until", Rule: "past", Says: policy.Words{
				JA: "これからの日時を入力してください。", EN: "Give a time that is still to come.",
			}}
		}
		detail["until"] = until.UTC().Format(time.RFC3339)
	}
	err = s.commit(ctx, d, d.entry(object(d.on), reason, detail), func(tx *store.Tx) error {
		switch so, err := s.suspendedSo(ctx, tx, d, reason, until); {
		case err != nil:
			return err
		case so:
			return errSo
		}
		if err := s.shut(ctx, tx, d.on, d.by.Login, reason, until); err != nil {
			return err
		}
		if s.byCIO(d) {
			if err := s.intendRights(ctx, tx, d, reason); err != nil {
				return err
			}
		}
		return s.tell(ctx, tx, d, notice.Suspended, map[string]string{"by": d.by.Name, "reason": reason})
	})
	if errors.Is(err, errSo) {
		return nil
	}
	if err == nil && s.Leases != nil {
		s.Leases.Changed(ctx)
	}
	if err == nil && s.Permits != nil {
		s.Permits.Changed(ctx)
	}
	return err
}

// errSo: what is asked for is so already. A request that is sent again, because its answer
// was lost, is entered once and told once.
var errSo = errors.New("it is so already")

// suspendedSo reports whether the same person has suspended somebody in the same words
// and for as long.
func (s *Service) suspendedSo(ctx context.Context, tx *store.Tx, d deed, reason string, until time.Time) (bool, error) {
	before, err := standing.Records(ctx, tx, d.on.ID, s.In.Now())
	return slices.ContainsFunc(before, func(r standing.Record) bool {
		return r.Kind == standing.Suspended && r.By == d.by.Login && r.Reason == reason && r.Until.Equal(until.Truncate(time.Microsecond))
	}), err
}

// shut is a suspension without whoever suspends and those who are told.
func (s *Service) shut(ctx context.Context, tx *store.Tx, on directory.Person, by, reason string, until time.Time) error {
	if err := standing.Set(ctx, tx, on.ID, standing.Suspended, s.In.Now(), until, reason, by); err != nil {
		return err
	}
	if err := s.In.Sessions.EndAll(ctx, tx, on.ID, on.Login, "", "suspended"); err != nil {
		return err
	}
	if s.Leases != nil { // also what waits to be approved or activated: it does not outlast the suspension
		if _, err := s.Leases.EndOf(ctx, tx, on.ID, by, "suspended"); err != nil {
			return err
		}
	}
	if s.Permits != nil {
		if _, err := s.Permits.EndOf(ctx, tx, on.ID, by, "suspended"); err != nil {
			return err
		}
	}
	return nil
}

// liftable is what an administrator ends: a suspension, and dormancy, since that
// an unused ID is opened again is somebody's decision (article 62-5). Leave ends by
// EndLeave.
var liftable = []standing.Kind{standing.Suspended, standing.Dormant}

// Restore lifts what keeps a person out. ErrNothingToLift: nothing does that
// could be lifted here.
func (s *Service) Restore(ctx context.Context, o signin.Origin, cookie, login, reason string) error {
	d, err := s.begin(ctx, o, cookie, authz.Restore, s.called(login))
	if err != nil {
		return err
	}
	if reason, err = words(reason, false); err != nil {
		return err
	}
	dormant, err := s.dormant(ctx, s.In.DB, d.on.ID)
	if err != nil {
		return err
	}
	if dormant {
		if reason == "" { // that an unused ID is opened again is a decision, and has a reason
			return noReason
		}
		if d, err = s.jointly(ctx, d); err != nil {
			return err
		}
	}
	err = s.commit(ctx, d, d.entry(object(d.on), reason, nil), func(tx *store.Tx) error {
		now, err := s.dormant(ctx, tx, d.on.ID)
		if err != nil {
			return err
		}
		if now && !dormant {
			return ErrState // found unused this very moment: it is to be looked at again
		}
		if err := s.lift(ctx, tx, d.on.ID); err != nil {
			return err
		}
		if now && s.Dormancy != nil {
			err := s.Dormancy.Reopen(ctx, tx, d.on)
			if errors.Is(err, lifecycle.ErrDeleting) {
				return ErrDeleting
			}
			if err != nil {
				return err
			}
		}
		return s.tell(ctx, tx, d, notice.Restored, map[string]string{"by": d.by.Name})
	})
	if err != nil || !dormant || s.Dormancy == nil {
		return err
	}
	if err := s.Dormancy.Bring(context.WithoutCancel(ctx), d.on.ID); err != nil {
		slog.WarnContext(ctx, "opening an ID in the directory; it is tried again", "error", err)
	}
	return nil
}

func (s *Service) dormant(ctx context.Context, in store.Reader, id directory.PersonID) (bool, error) {
	closed, err := standing.Records(ctx, in, id, s.In.Now())
	return slices.ContainsFunc(closed, func(r standing.Record) bool { return r.Kind == standing.Dormant }), err
}

// jointly asks a second person where an unused ID that is opened again is powerful
// (design rule 7).
func (s *Service) jointly(ctx context.Context, d deed) (deed, error) {
	if !s.powerful(d.on) {
		return d, nil
	}
	if s.Approvals == nil {
		return deed{}, ErrState
	}
	by, err := s.In.Watch.Of(ctx, d.by.Person)
	if err != nil {
		return deed{}, err
	}
	d.may.Articles = append(slices.Clone(d.may.Articles), "16-1", "62-7")
	d.approval, err = s.secondPerson(ctx, d, by.Person, "")
	return d, err
}

// powerful reports whether somebody approves or administers, themselves or for another.
func (s *Service) powerful(on directory.Person) bool {
	p := s.In.Policy()
	return p.Powerful(append(p.PostsOf(on.Groups), p.StandsInFor(on.Login, s.In.Now())...))
}

func (s *Service) lift(ctx context.Context, tx *store.Tx, id directory.PersonID) error {
	closed, err := standing.Records(ctx, tx, id, s.In.Now())
	if err != nil {
		return err
	}
	lifted := 0
	for _, r := range closed {
		for _, k := range liftable {
			if r.Kind != k {
				continue
			}
			if err := standing.Lift(ctx, tx, id, k, s.In.Now()); err != nil {
				return err
			}
			lifted++
		}
	}
	if lifted == 0 {
		return ErrNothingToLift
	}
	return nil
}

// Unlock forgets the failures against a person's password and codes, and ends
// the lock that the directory may have put on the password itself.
func (s *Service) Unlock(ctx context.Context, o signin.Origin, cookie, login string) error {
	d, err := s.begin(ctx, o, cookie, authz.Unlock, s.called(login))
	if err != nil {
		return err
	}
	detail := map[string]string{}
	if d.on.Account.PasswordLocked {
		// Written down before it is done, since the directory cannot be changed
		// in a transaction of ours. To do it again does no harm.
		intent := d.entry(object(d.on), "", nil)
		intent.Action = unlocking
		if err := s.commit(ctx, d, intent, func(*store.Tx) error { return nil }); err != nil {
			return err
		}
		err := s.Directory.Unlock(ctx, d.on)
		if errors.Is(err, directory.ErrNotFound) { // disabled, or gone, meanwhile
			return ErrState
		}
		if err != nil {
			return err
		}
		s.In.Watch.Forget(d.on.ID)
		detail["directory"] = "unlocked"
	}
	return s.commit(ctx, d, d.entry(object(d.on), "", detail), func(tx *store.Tx) error {
		if err := s.In.Unlock(ctx, tx, d.on.ID); err != nil {
			return err
		}
		return s.tell(ctx, tx, d, notice.Unlocked, map[string]string{"by": d.by.Name})
	})
}

var noReason = &Invalid{Field: "reason", Rule: "required", Says: policy.Words{JA: "理由を入力してください。", EN: "Please give a reason."}}

// words are a reason as it is kept: without the space around it, and without
// what could make one line look like another.
func words(reason string, needed bool) (string, error) {
	reason = strings.TrimSpace(reason)
	odd := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' || unicode.In(r, unicode.Bidi_Control)
	}
	switch {
	case reason == "" && needed:
		return "", noReason
	case utf8.RuneCountInString(reason) > MaxReason:
		return "", &Invalid{Field: "reason", Rule: "too_long", Says: policy.Words{JA: "理由は500字までです。", EN: "A reason has 500 characters at most."}}
	case !utf8.ValidString(reason), strings.ContainsFunc(reason, odd):
		return "", &Invalid{Field: "reason", Rule: "unusable", Says: policy.Words{JA: "理由に使えない文字があります。", EN: "The reason holds characters that cannot be used."}}
	}
	return reason, nil
}
