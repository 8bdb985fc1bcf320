package radius

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

const (
	// lookEvery is how often remote sessions are held against what lets them go on
	// when nothing has called for it.
	lookEvery = time.Second
	// rest keeps the watch from doing nothing else: it rests so many times as long as
	// a look has taken, and longestRest at the most.
	rest        = 10
	longestRest = 2 * time.Second
	// asksFor is for how long one look asks the directory.
	asksFor = 2 * time.Second
	// unconfirmed is how long after the end that the gear was told at the start a
	// session of which it has not answered is taken for over.
	unconfirmed = 10 * time.Minute
)

// Follow is called with each poll of the gate's sessions: what was ended there may
// have something hanging on it here.
func (d *Door) Follow(context.Context, time.Time) error {
	call(d.wake)
	call(d.ask)
	return nil
}

// call wakes whoever waits, once for all that call meanwhile.
func call(whom chan<- struct{}) {
	select {
	case whom <- struct{}{}:
	default:
	}
}

// Run watches the remote sessions, and tells gear what is to end, until ctx ends.
// What has ended already asks the store alone, so it waits for nobody who is asked
// whether something may go on.
func (d *Door) Run(ctx context.Context) {
	var telling, loops sync.WaitGroup
	for _, loop := range []struct {
		what string
		once func() error
		rest func(took time.Duration) time.Duration
		call <-chan struct{}
	}{
		{"looking for remote sessions that are over", func() error { return d.lookOver(ctx) }, rested(time.Second), d.wake},
		{"looking after remote sessions", func() error { return d.lookAfter(ctx) }, rested(longestRest), d.ask},
		{"ending remote sessions", func() error { return d.begin(ctx, &telling) }, rested(20 * time.Millisecond), d.due},
	} {
		loops.Go(func() {
			for ctx.Err() == nil {
				took := clock.Stopwatch()
				d.complain(ctx, loop.what, loop.once())
				_ = clock.Wait(ctx, loop.rest(took()))
				pause(ctx, loop.call)
			}
		})
	}
	loops.Wait()
	telling.Wait()
}

// rested is how long a loop rests after a look that took so long, at the most.
func rested(most time.Duration) func(took time.Duration) time.Duration {
	return func(took time.Duration) time.Duration { return min(max(20*time.Millisecond, rest*took), most) }
}

// pause waits until somebody calls, or it is time to look anyway.
func pause(ctx context.Context, call <-chan struct{}) {
	waiting, stop := context.WithTimeout(ctx, lookEvery)
	defer stop()
	select {
	case <-call:
	case <-waiting.Done():
	}
}

func (d *Door) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		d.Log.WarnContext(ctx, what+" failed; it is tried again", "error", err)
	}
}

// A hanging is a remote session with what the gate's session says of it.
type hanging struct {
	Remote
	of session.Session
}

func scanHanging(row store.Row) (h hanging, err error) {
	var (
		acr, amr                     string
		began, auth, expires         int64
		seen, ended                  int64
		terminal, endedWhy, personOf string
	)
	if err := scanInto(row, &h.Remote, &personOf, &acr, &amr, &began, &auth, &expires, &seen, &terminal, &ended, &endedWhy); err != nil {
		return hanging{}, err
	}
	h.of = session.Session{
		ID: h.ID, Person: h.Person, Login: h.Login, Zone: h.Zone, Outside: true, ACR: policy.ACR(acr), AMR: strings.Fields(amr), Terminal: terminal, From: h.From,
		StartedAt: store.FromMicros(began), AuthAt: store.FromMicros(auth), ExpiresAt: store.FromMicros(expires), SeenAt: store.FromMicros(seen), EndedAt: store.FromMicros(ended),
	}
	if h.CutWhy == "" {
		h.CutWhy = endedWhy
	}
	return h, nil
}

// Look asks of each remote session whether it may go on, as every door asks at each
// use (design rule 2), and writes down which are to end. What cannot be asked ends
// nothing, and nobody new comes in meanwhile.
func (d *Door) Look(ctx context.Context) error {
	if err := d.lookOver(ctx); err != nil {
		return err
	}
	return d.lookAfter(ctx)
}

func (d *Door) hanging(ctx context.Context, where string, args ...any) ([]hanging, error) {
	return store.All(ctx, d.DB, "the remote sessions that go on", scanHanging, `
		SELECT `+qualified+`, s.person_id, s.acr, s.amr, s.started_at, s.auth_at, s.expires_at, s.seen_at, s.terminal, s.ended_at, s.ended_why
		FROM   remote_session r JOIN session s ON s.id = r.id
		WHERE  r.ended_at = 0 AND `+where+` ORDER BY r.id`, args...)
}

// lookOver finds those whose time, or whose session of the gate, is over. It asks
// the store and nobody else. One that cannot be written down holds up no other.
func (d *Door) lookOver(ctx context.Context) error {
	now := d.Now()
	over, err := d.hanging(ctx, `(r.cut_at = 0 AND (s.ended_at > 0 OR r.ends_at <= $1) OR r.cut_at > 0 AND r.ends_at < $2 AND r.cut_at < $2)`,
		store.Micros(now), store.Micros(now.Add(-unconfirmed)))
	if err != nil {
		return err
	}
	var bad hindrance
	cut := false
	for _, h := range over {
		if err := d.endOf(ctx, h); err != nil {
			if bad.met(ctx, err) {
				break
			}
			continue
		}
		cut = cut || h.CutAt.IsZero()
	}
	if cut {
		bad.met(ctx, d.Sessions.Poll(ctx))
	}
	return bad.first
}

// endOf writes down of one that is over that it is to end, or that it has ended.
func (d *Door) endOf(ctx context.Context, h hanging) error {
	if !h.CutAt.IsZero() {
		answer := h.CutAnswer
		if answer == "" {
			answer = "unconfirmed"
		}
		return d.DB.WithTx(ctx, func(tx *store.Tx) error { return d.over(ctx, tx, h.Remote, h.CutWhy, answer) })
	}
	why := "its time is over"
	if !h.of.EndedAt.IsZero() {
		why = h.CutWhy
	}
	return d.intend(ctx, h.Remote, why, ending)
}

// A hindrance is what a look met first in writing something down.
type hindrance struct{ first error }

// met notes an error, and reports whether it stands in the way of all others too.
func (b *hindrance) met(ctx context.Context, err error) bool {
	if b.first == nil {
		b.first = err
	}
	return ctx.Err() != nil || errors.Is(err, store.ErrAway) || errors.Is(err, store.ErrClosed)
}

// lookAfter asks of each that goes on whether it may. The directory has asked of it
// what it can answer in a while; when it is away, whoever is known well enough is
// decided about all the same, and nobody waits for each of the others.
func (d *Door) lookAfter(ctx context.Context) error {
	all, err := d.hanging(ctx, `r.cut_at = 0 AND s.ended_at = 0 AND r.ends_at > $1`, store.Micros(d.Now()))
	if err != nil {
		return err
	}
	asking, give := context.WithTimeout(ctx, asksFor)
	defer give()
	// Where the last look's time ran out, this one begins.
	d.mu.Lock()
	from := sort.Search(len(all), func(i int) bool { return all[i].ID >= d.goOn })
	d.goOn = ""
	d.mu.Unlock()
	var (
		first error
		bad   hindrance
	)
	cut, away, unasked := false, false, 0
	all = append(all[from:len(all):len(all)], all[:from]...)
	for i, h := range all {
		why, articles, err := d.mayGoOn(ctx, asking, h)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if unasked++; first == nil {
				first = err
			}
			if !away && (asking.Err() != nil || errors.Is(err, standing.ErrAway)) {
				away = true
				give()
				d.mu.Lock()
				d.goOn = all[(i+1)%len(all)].ID
				d.mu.Unlock()
			}
			continue
		}
		if why == "" {
			err = d.keep(ctx, h, d.Now())
		} else if err = d.intend(ctx, h.Remote, why, articles); err == nil {
			cut = true
		}
		if err != nil && bad.met(ctx, err) {
			break
		}
	}
	if first != nil {
		d.complain(ctx, "asking whether remote sessions may go on", fmt.Errorf("%d of %d: %w", unasked, len(all), first))
	}
	if cut {
		bad.met(ctx, d.Sessions.Poll(ctx))
	}
	return bad.first
}

var qualified = "r." + strings.Join(strings.Fields(strings.ReplaceAll(columns, ",", " ")), ", r.")

// mayGoOn says why a session must end; "" for one that goes on. asking is for the
// directory.
func (d *Door) mayGoOn(ctx, asking context.Context, h hanging) (why string, articles []policy.Article, err error) {
	c := d.clientByID(h.Client)
	if c == nil {
		return "", nil, nil // another gateway's, whose gear we do not know; it looks after it
	}
	zone, _ := d.Policy().Zone(h.Zone)
	person, err := d.People.Person(asking, h.Person, zone.DirectoryStale)
	if err != nil {
		return "", nil, err
	}
	n := h.of
	n.ExpiresAt = n.Ends(d.Policy()) // rules made stricter govern what goes on
	v, _, err := d.asks(ctx, c, n, authz.Facts{Person: person})
	if err != nil {
		return "", nil, err
	}
	if v.Allowed(d.Now()) {
		return "", nil, nil
	}
	if v.Reason == authz.NotStated { // there was nothing to decide about
		return "no_application", ending, nil
	}
	return string(v.Reason), v.Articles, nil
}

// keep counts a session that goes on at the gear as use of the gate's: nobody sees
// here whether its owner idles, the gear was told when to end that.
func (d *Door) keep(ctx context.Context, h hanging, now time.Time) error {
	if now.Sub(h.of.SeenAt) < d.idleEnd(h.Zone)/3 {
		return nil
	}
	return d.DB.WithTx(ctx, func(tx *store.Tx) error { return d.Sessions.Use(ctx, tx, session.Session{ID: h.ID}) })
}

// intend writes down that a session is to end, with the end of the gate's own.
func (d *Door) intend(ctx context.Context, r Remote, why string, articles []policy.Article) error {
	err := d.DB.WithTx(ctx, func(tx *store.Tx) error { return d.intendIn(ctx, tx, r, why, articles) })
	if err != nil {
		return fmt.Errorf("intending to end a remote session: %w", err)
	}
	call(d.due)
	return nil
}

// intendIn is intend in the transaction of whoever calls.
func (d *Door) intendIn(ctx context.Context, tx *store.Tx, r Remote, why string, articles []policy.Article) error {
	err := tx.ExecOne(ctx, `
		UPDATE remote_session SET cut_at = $1, cut_why = $2, cut_due = $1
		WHERE  id = $3 AND cut_at = 0 AND ended_at = 0`, store.Micros(d.Now()), why, r.ID)
	if errors.Is(err, store.ErrUntouched) { // another gateway was first, or it has ended
		return nil
	}
	if err != nil {
		return err
	}
	if err := d.endIn(ctx, tx, r.ID, "remote session: "+why); err != nil {
		return err
	}
	return d.Trail.Append(ctx, tx, r.entry("remote.cut", why, articles))
}
