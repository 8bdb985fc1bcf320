package lockdown

import (
	"context"
	"errors"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz"
)

// List are the last lock-downs, in force or over, newest first.
func (s *Service) List(ctx context.Context, o signin.Origin, cookie string) ([]authz.LockDown, error) {
	a, err := s.actor(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	if why := MaySee(s.In.Policy(), a.posts); why != nil {
		return nil, s.refuse(ctx, o, a, "lockdown.read", why)
	}
	return s.Orders.Lately(ctx)
}

// A Room is what somebody who looks at lock-downs finds.
type Room struct {
	InForce []authz.LockDown
	Past    []authz.LockDown
	Right   Authority       // by which the reader orders; "" for none
	Refused *Refusal        // why they do not
	StepUp  *account.StepUp // the sign-in that each act takes first; nil: the present one does
	Ratify  map[string]bool // by id: the reader may
	Lift    map[string]bool
	Longest time.Duration
	Within  time.Duration // in which the CIO ratifies
}

// Room opens also while the directory is away: it goes by what was last known.
func (s *Service) Room(ctx context.Context, o signin.Origin, cookie string) (Room, error) {
	a, err := s.orderer(ctx, o, cookie)
	if err != nil {
		return Room{}, err
	}
	pol, now := s.In.Policy(), s.In.Now()
	if why := MaySee(pol, a.posts); why != nil {
		return Room{}, s.refuse(ctx, o, a, "lockdown.read", why)
	}
	r := Room{Ratify: map[string]bool{}, Lift: map[string]bool{}, Longest: pol.LockDown.Longest, Within: pol.LockDown.RatifyWithin}
	r.Right, r.Refused = MayOrder(pol, a.posts, now)
	var need *account.StepUp
	if errors.As(s.proved(a), &need) {
		r.StepUp = need
	}
	all, err := s.Orders.Lately(ctx)
	if err != nil {
		return Room{}, err
	}
	for _, l := range all {
		if !l.Live(now) {
			r.Past = append(r.Past, l)
			continue
		}
		r.InForce = append(r.InForce, l)
		r.Lift[l.ID] = MayLift(pol, a.posts, l, now) == nil
		r.Ratify[l.ID] = !l.RatifyBy.IsZero() && l.RatifiedAt.IsZero() && MayRatify(pol, a.posts) == nil
	}
	return r, nil
}
