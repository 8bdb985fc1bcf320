package permit

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// Fill gives a door the permits that its decision may rest on: the one way in which
// any door gets them. It answers from memory where that is fresh enough, and looks at
// no permit of anybody else. Without an application they are those for the way in, and
// for any application. An error refuses.
func (b *Book) Fill(ctx context.Context, f *authz.Facts) error {
	return b.fill(ctx, nil, f)
}

// FillIn is Fill in a transaction that must not go on by what is no more.
func (b *Book) FillIn(ctx context.Context, in store.Reader, f *authz.Facts) error {
	return b.fill(ctx, in, f)
}

func (b *Book) fill(ctx context.Context, in store.Reader, f *authz.Facts) error {
	outside := f.Outside || f.From == ""
	if f.Application.ID == "" {
		if outside {
			return b.remote(ctx, in, f)
		}
		return b.crossings(ctx, in, f, f.From, "")
	}
	if outside {
		if err := b.remote(ctx, in, f); err != nil || f.Application.Zone != policy.MyNumber {
			return err
		}
	} else if f.From == f.Application.Zone {
		return nil
	}
	return b.crossings(ctx, in, f, "", f.Application.ID)
}

// A way leads to an application, by what is below a path.
type way struct{ app, root string }

func wayOf(app, path string) way { return way{app, strings.TrimSuffix(path, "/")} }

// along are the ways to an application that a request of it is below: few, however
// many paths crossings lead to.
func along(app, uri string) iter.Seq[way] {
	return func(yield func(way) bool) {
		path, plain := policy.PlainPath(uri)
		switch {
		case uri == "":
			path = "/"
		case !plain: // what cannot be read in one way is below nothing
			return
		}
		for i := len(path); i >= 0; i-- {
			if (i == len(path) || path[i] == '/') && !yield(way{app, path[:i]}) {
				return
			}
		}
	}
}

// fromOutside are a person's permits that a way in from outside may rest on.
const fromOutside = `person_id = $1 AND kind IN ('remote_access', 'lent_terminal', 'private_terminal') AND state = 'approved'`

// remote adds the remote access of a person, and what they have for terminals.
func (b *Book) remote(ctx context.Context, in store.Reader, f *authz.Facts) error {
	who := f.Person.ID
	if who == "" {
		return nil
	}
	if in == nil && b.fresh() {
		b.mu.RLock()
		add(f, b.person[who])
		b.mu.RUnlock()
		return nil
	}
	return b.stored(ctx, in, f, fromOutside, string(who))
}

// crossings adds those to an application or, where none is named, from a zone.
func (b *Book) crossings(ctx context.Context, in store.Reader, f *authz.Facts, from policy.ZoneID, app string) error {
	if in == nil && b.fresh() {
		b.mu.RLock()
		if app != "" {
			for w := range along(app, f.URI) {
				add(f, b.way[w])
			}
		} else {
			add(f, b.zone[from])
		}
		b.mu.RUnlock()
		return nil
	}
	if app != "" {
		return b.stored(ctx, in, f, `application = $1 AND kind = 'zone_crossing' AND state = 'approved'`, app)
	}
	return b.stored(ctx, in, f, `kind = 'zone_crossing' AND state = 'approved'`)
}

// add has facts go by a list in memory, which is read alone: the list itself where it
// is all there is.
func add(f *authz.Facts, held []authz.Permit) {
	if len(f.Permits) == 0 {
		f.Permits = slices.Clip(held)
		return
	}
	f.Permits = append(f.Permits, held...)
}

func (b *Book) stored(ctx context.Context, in store.Reader, f *authz.Facts, where string, args ...any) error {
	if in == nil {
		in = b.DB
	}
	all, err := list(ctx, in, where, args...)
	if err != nil {
		return err
	}
	for _, m := range all {
		if fact, ok := m.Fact(); ok {
			f.Permits = append(f.Permits, fact)
		}
	}
	return nil
}

// Live are the permits of remote access that a person has, whether or not it is their
// hour, from memory where that is fresh enough.
func (b *Book) Live(ctx context.Context, who directory.PersonID, now time.Time) ([]authz.Permit, error) {
	f := authz.Facts{Outside: true, Person: directory.Person{ID: who}}
	if err := b.remote(ctx, nil, &f); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(f.Permits), func(m authz.Permit) bool {
		return m.Kind != authz.RemoteAccess || now.Before(m.Since) || !now.Before(m.Until)
	}), nil
}

// Reachable reports whether anybody could come in at all from a network of a zone that
// is not served here, or from outside of all: whether the door asks for a name there.
func (b *Book) Reachable(ctx context.Context, from policy.ZoneID, outside bool) (bool, error) {
	now := b.Now()
	live := func(all []authz.Permit, kind authz.PermitKind) bool {
		return slices.ContainsFunc(all, func(m authz.Permit) bool {
			return m.Kind == kind && !now.Before(m.Since) && now.Before(m.Until) && (kind == authz.RemoteAccess || m.From == from)
		})
	}
	if outside || from == "" {
		if b.fresh() {
			b.mu.RLock()
			defer b.mu.RUnlock()
			for _, m := range b.held {
				if live([]authz.Permit{m}, authz.RemoteAccess) {
					return true, nil
				}
			}
			return false, nil
		}
		var f authz.Facts
		err := b.stored(ctx, nil, &f, `kind = 'remote_access' AND state = 'approved' AND starts_at <= $1 AND ends_at > $1 LIMIT 1`, store.Micros(now))
		return live(f.Permits, authz.RemoteAccess), err
	}
	var f authz.Facts
	err := b.crossings(ctx, nil, &f, from, "")
	return live(f.Permits, authz.ZoneCrossing), err
}

// Bar is a session's question at each use: whether one that began outside, or in a zone
// that is not served here, is carried by a permit still.
func (b *Book) Bar(ctx context.Context, at clock.Moment, n *session.Session, p directory.Person) (why string, shut bool, err error) {
	rules := b.Policy()
	if !n.Outside && n.Zone != "" {
		if _, served := rules.Zone(n.Zone); served {
			return "", false, nil
		}
	}
	f := FactsOf(*n, p, at.Now)
	if err := b.Fill(ctx, &f); err != nil {
		return "", false, err
	}
	v := authz.Enter(rules, f)
	return "no permit: " + string(v.Reason), !v.Allowed(f.Now), nil
}

// FactsOf are the facts of a session where it began.
func FactsOf(n session.Session, p directory.Person, now time.Time) authz.Facts {
	from, _ := netip.ParseAddr(n.From)
	ends := n.ExpiresAt
	if n.IdleExpiresAt.Before(ends) && !n.IdleExpiresAt.IsZero() {
		ends = n.IdleExpiresAt
	}
	if !now.Before(ends) {
		ends = now.Add(time.Minute) // whether it has ended is not what is asked here
	}
	return authz.Facts{
		SignedIn: true, Person: p, ACR: n.ACR, AMR: n.AMR, AuthAt: n.AuthAt, SessionEnds: ends, From: n.Zone, Outside: n.Outside, Source: from,
		Checked: n.Outside, Terminal: n.Terminal, Now: now,
	}
}

// hold puts a permit into memory, or takes it out; b.mu is held. Lists are made anew:
// whoever has one reads on.
func (b *Book) hold(m Permit, now time.Time) {
	if was, held := b.held[m.ID]; held {
		delete(b.held, m.ID)
		unlist(b.person, was.Person, m.ID)
		unlist(b.zone, was.From, m.ID)
		for _, app := range was.Applications {
			unlist(b.way, wayOf(app, was.Path), m.ID)
		}
	}
	if m.State(now) != Approved {
		return
	}
	f, ok := m.Fact()
	if !ok {
		return
	}
	b.held[m.ID] = f
	if f.Kind != authz.ZoneCrossing {
		b.person[f.Person] = append(slices.Clip(b.person[f.Person]), f)
		return
	}
	b.zone[f.From] = append(slices.Clip(b.zone[f.From]), f)
	for _, app := range f.Applications {
		to := wayOf(app, f.Path)
		b.way[to] = append(slices.Clip(b.way[to]), f)
	}
}

func unlist[K comparable](in map[K][]authz.Permit, key K, id string) {
	rest := slices.DeleteFunc(slices.Clone(in[key]), func(m authz.Permit) bool { return m.ID == id })
	if len(rest) == 0 {
		delete(in, key)
		return
	}
	in[key] = rest
}

// fresh reports whether what is held in memory may be gone by: the last poll that
// succeeded is young enough, by the clock and by the ticks, for the clock stands still
// while it waits for a machine's that was set back.
func (b *Book) fresh() bool {
	polled := b.polled.Load()
	stale := b.Policy().Session.RevocationStale
	return polled != 0 && b.Now().Sub(store.FromMicros(polled)) < stale && b.ticks()-time.Duration(b.heard.Load()) < stale
}

// A row says when it was changed, and is seen when its transaction commits. Each poll
// goes back a few seconds for that; every deepEvery-th goes back deepReread, as
// sessions do.
const (
	deepEvery  = 40
	deepReread = time.Minute
)

// Follow polls beside the sessions, at the same bell.
func (b *Book) Follow(ctx context.Context, _ time.Time) error { return b.poll(ctx) }

// poll takes over what was changed since the last one, here or elsewhere.
//
// One at a time: a poll that read before another and wrote after it would bring back
// to life what that one had seen ended.
func (b *Book) poll(ctx context.Context) error {
	b.polling.Lock()
	defer b.polling.Unlock()
	at, begun := b.Now(), b.ticks()
	since := b.polled.Load()
	var (
		changed []Permit
		err     error
	)
	if since == 0 {
		changed, err = list(ctx, b.DB, `state = 'approved' AND enforced = 1`)
	} else {
		back := b.Policy().Session.RevocationReread
		if b.polls.Add(1)%deepEvery == 0 {
			back = max(back, deepReread)
		}
		changed, err = list(ctx, b.DB, `changed_at > $1 AND enforced = 1`, store.Micros(store.FromMicros(since).Add(-back)))
	}
	if err != nil {
		return err
	}
	b.mu.Lock()
	for _, m := range changed {
		b.hold(m, at)
	}
	b.mu.Unlock()
	if b.polled.Load() < store.Micros(at) {
		b.polled.Store(store.Micros(at))
	}
	if b.heard.Load() < int64(begun) {
		b.heard.Store(int64(begun))
	}
	return nil
}
