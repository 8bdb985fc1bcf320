package api

import (
	"context"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/lockdown"
)

// alarm is a world that orders lock-downs.
type alarm struct{ *world }

var ordered = authz.LockDown{
	ID: "l1", Scope: authz.LockSection, Target: "jinji", Reason: "x", By: "sasaki",
	OrderedAt: t0, EndsAt: t0.Add(time.Hour), RatifyBy: t0.Add(time.Minute),
}

func (w alarm) Preview(_ context.Context, _ signin.Origin, _ string, r lockdown.Order) (lockdown.Picture, error) {
	return lockdown.Picture{
		Order: r, Right: lockdown.Own, EndsAt: t0, Sessions: 1, People: []lockdown.Hit{{Login: "tanaka", Sessions: 1}},
		Sections: []lockdown.Counted{{ID: "jinji", Count: 1}},
	}, w.act()
}

func (w alarm) Order(_ context.Context, _ signin.Origin, _ string, r lockdown.Order) (authz.LockDown, error) {
	w.heard.data = string(r.Scope) + " " + r.Target
	return ordered, w.act()
}

func (w alarm) Ratify(context.Context, signin.Origin, string, string) (authz.LockDown, error) {
	return ordered, w.act()
}

func (w alarm) Lift(_ context.Context, _ signin.Origin, _, id, reason string) error {
	w.heard.data = id + " " + reason
	return w.act()
}

func (w alarm) List(context.Context, signin.Origin, string) ([]authz.LockDown, error) {
	return []authz.LockDown{ordered}, w.act()
}
