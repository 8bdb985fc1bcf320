package elevate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// What each entry of this room serves.
var articles = []policy.Article{"62-6", "62-7", "65"}

// restsAfterUndo are when a thing is looked at again after it was undone under
// doubt: a wish that nobody heard the answer of may be granted late.
var restsAfterUndo = []time.Duration{2 * time.Second, 10 * time.Second, time.Minute}

// A finding of what the directory was made to be, to be confirmed.
type outcome struct {
	given   map[int]effect // by index into hold.effects: it is there, as this says
	gone    []int          // seen to be gone
	account *Account
}

// settle makes one thing what it is wanted to be, and stores that it is. With a
// lease given, it is that one's Apply which asks.
func (b *Book) settle(ctx context.Context, thing, applying string) (*Account, error) {
	h, err := b.claim(ctx, thing, applying)
	if err != nil {
		return nil, err
	}
	if err := b.Stop("claimed"); err != nil {
		return nil, err
	}
	got, problem := b.atDirectory(ctx, h, applying)
	for _, e := range h.effects {
		if e.state != closed && b.Forget != nil {
			b.Forget.Forget(e.person)
		}
	}
	if problem != nil {
		return nil, b.failed(ctx, h, applying, problem)
	}
	if err := b.Stop("done"); err != nil {
		return nil, err
	}
	return b.confirm(ctx, h, got, applying)
}

// confirm stores what was seen in the directory.
func (b *Book) confirm(ctx context.Context, h hold, got outcome, applying string) (*Account, error) {
	var stale, turned bool
	err := b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		now := b.Now()
		checks, next := h.checks, time.Time{}
		turned = false
		for _, i := range got.gone {
			if h.effects[i].doubt {
				checks = int64(len(restsAfterUndo))
			}
		}
		live := slices.ContainsFunc(h.effects, func(e effect) bool { return e.state != closed && e.state != withdrawn && !e.over(h.now) })
		for i, e := range h.effects {
			if g, ok := got.given[i]; ok {
				e = g
			}
			if e.state != closed && !slices.Contains(got.gone, i) {
				next = earlier(next, e.due(now))
			}
		}
		switch {
		case live:
			checks = 0
		case checks > 0:
			next = earlier(next, now.Add(restsAfterUndo[int64(len(restsAfterUndo))-checks]))
			checks--
		}
		var err error
		if stale, err = release(ctx, tx, h, next, 0, checks, "", now); err != nil {
			return err
		}
		if err := changed(ctx, tx, h, now); err != nil || stale {
			return err
		}
		for i, e := range got.given {
			was := h.effects[i]
			err := tx.ExecOne(ctx, `
				UPDATE elevation_effect
				SET    state = $1, account_id = $2, account_dn = $3, account = $4, told_until = $5, doubt = 0, version = version + 1,
				       applied_at = CASE WHEN applied_at = 0 THEN $6 ELSE applied_at END
				WHERE  lease = $7 AND place = $8 AND version = $9`,
				string(e.state), string(e.accountID), e.accountDN, e.account, micros(e.toldUntil), store.Micros(now), e.lease, e.place, was.version)
			if errors.Is(err, store.ErrUntouched) {
				// Withdrawn, or kept for another time, while we were outside.
				turned = turned || was.state == intended
				if err = stir(ctx, tx, h.thing, now); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			if was.state != intended {
				continue
			}
			if err := b.enter(ctx, tx, "elevation.applied", e, ""); err != nil {
				return err
			}
		}
		for _, i := range got.gone {
			e := h.effects[i]
			if e.state == closed {
				continue
			}
			err := shut(ctx, tx, e, reasonOver(e), now)
			if errors.Is(err, store.ErrUntouched) {
				if err = stir(ctx, tx, h.thing, now); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			if err := b.enter(ctx, tx, "elevation.undone", e, reasonOver(e)); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("confirming what the directory has: %w", err)
	case stale:
		b.hint()
		return nil, fmt.Errorf("confirming what the directory has: %w", ErrBusy)
	case turned:
		b.hint()
		return nil, fmt.Errorf("confirming what the directory has: %w", ErrTurned)
	}
	if err := b.Stop("confirmed"); err != nil {
		return nil, err
	}
	return got.account, nil
}

// changed tells the other gateways whose facts in the directory are others now.
func changed(ctx context.Context, tx *store.Tx, h hold, now time.Time) error {
	for _, e := range h.effects {
		if e.state == closed || e.kind != policy.GiftGroup {
			continue
		}
		return standing.Changed(ctx, tx, e.person, now) // all are about one person
	}
	return nil
}

func reasonOver(e effect) string {
	switch e.state {
	case kept:
		return "its end has come"
	case intended, applied:
		return "its lease did not become active"
	}
	return "withdrawn"
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// failed stores that a try failed. It is tried again, after a rest that grows.
//
// A membership that was refused for good was not given: unless a try before left a
// doubt, there is none.
func (b *Book) failed(ctx context.Context, h hold, applying string, problem error) error {
	b.met.failed.Add(1)
	err := b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		now := b.Now()
		if err := changed(ctx, tx, h, now); err != nil {
			return err
		}
		said := brief(problem)
		if h.mend {
			said = lateHand
		}
		rest := min(longestRest, 250*time.Millisecond<<min(h.tries, 10))
		stale, err := release(ctx, tx, h, now.Add(rest), h.tries+1, h.checks, said, now)
		if err != nil || stale || !errors.Is(problem, ErrUnlendable) {
			return err
		}
		for _, e := range h.effects {
			if e.lease != applying || e.kind != policy.GiftGroup || e.doubt || e.state != intended {
				continue
			}
			if _, err := tx.Exec(ctx, `
				UPDATE elevation_effect SET doubt = 0 WHERE lease = $1 AND place = $2 AND version = $3`, e.lease, e.place, e.version); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return errors.Join(problem, err)
	}
	return problem
}

// brief is what is kept of an error.
func brief(err error) string {
	s := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}

// enter writes one effect's fate on the trail.
func (b *Book) enter(ctx context.Context, tx *store.Tx, action string, e effect, reason string) error {
	detail := map[string]string{"kind": e.kind, "target": e.target, "person": e.login}
	if e.account != "" {
		detail["account"] = e.account
	}
	return b.Trail.Append(ctx, tx, audit.Entry{
		Actor: "system", Action: action, Object: "lease:" + e.lease, Reason: reason, Articles: articles, Detail: detail,
	})
}

// atDirectory works at a thing while its claim is good. Undoing waits its turn there,
// which counts: a claim does not wait for a slow directory longer than it lasts.
func (b *Book) atDirectory(ctx context.Context, h hold, applying string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, workLasts)
	defer cancel()
	if applying == "" {
		select {
		case b.hands <- struct{}{}:
			defer func() { <-b.hands }()
		case <-ctx.Done():
			return outcome{}, fmt.Errorf("waiting for a turn at the directory: %w: %w", directory.ErrAway, ctx.Err())
		}
	}
	return b.work(ctx, h, applying)
}

// work does, outside any transaction, what a thing is wanted to be.
func (b *Book) work(ctx context.Context, h hold, applying string) (outcome, error) {
	if len(h.effects) == 0 {
		return outcome{}, nil
	}
	switch kind := h.effects[0].kind; kind {
	case policy.GiftGroup:
		return b.workGroup(ctx, h, applying)
	case policy.GiftAccount:
		return b.workAccount(ctx, h, applying)
	case policy.GiftEphemeral:
		return b.workEphemeral(ctx, h, applying)
	default:
		return outcome{}, fmt.Errorf("an effect of kind %q", kind)
	}
}

// sort divides a thing's effects into those that are wanted and those that are to
// be gone, the ones that are gone already among the latter.
func (h hold) sort(applying string) (want, gone []int) {
	for i, e := range h.effects {
		switch {
		case e.wanted(h.now, applying):
			want = append(want, i)
		case e.over(h.now), e.state == closed:
			gone = append(gone, i)
		}
	}
	return want, gone
}

// waits reports whether somebody is about to apply something here whose effect is
// not ours to look at.
func (h hold) waits() bool {
	return slices.ContainsFunc(h.effects, func(e effect) bool { return e.state == intended && !e.over(h.now) })
}

func (b *Book) workGroup(ctx context.Context, h hold, applying string) (outcome, error) {
	want, gone := h.sort(applying)
	got := outcome{given: map[int]effect{}, gone: gone}
	if len(want) == 0 {
		formers := map[string]bool{}
		for _, i := range gone {
			formers[h.effects[i].accountDN] = true
		}
		delete(formers, "")
		if len(formers) == 0 {
			formers[""] = true
		}
		if h.waits() && len(gone) == 0 {
			return got, nil
		}
		e := h.effects[0]
		for former := range formers {
			if err := b.Stop("remove"); err != nil {
				return got, err
			}
			if err := b.Directory.Leave(ctx, e.target, e.person, former); err != nil {
				return got, err
			}
		}
		return got, b.Stop("removed")
	}
	if applying == "" && !h.mend {
		return got, nil // another lease has it still; nothing is given in the background
	}
	e := h.effects[want[0]]
	if b.Policy().CarriesPost(e.target) {
		return got, fmt.Errorf("%w: %s carries a post", ErrUnlendable, e.target)
	}
	if err := b.Stop("add"); err != nil {
		return got, err
	}
	p, err := b.Directory.Join(ctx, e.target, e.person)
	if err != nil {
		return got, unlendable(err)
	}
	if err := b.Stop("added"); err != nil {
		return got, err
	}
	for _, i := range want {
		e := h.effects[i]
		e.accountDN, e.toldUntil = p.DN, e.notAfter
		if e.state == intended {
			e.state = applied
		}
		got.given[i] = e
	}
	return got, nil
}

// unlendable says which refusals of the directory no try mends.
func unlendable(err error) error {
	if errors.Is(err, directory.ErrProtected) || errors.Is(err, directory.ErrMalformed) {
		return fmt.Errorf("%w: %w", ErrUnlendable, err)
	}
	return err
}

// open reports whether a password is to be given out: to the one who applies. A
// password that was given out is known to nobody else, so it cannot be given twice.
func (h hold) open(want []int, applying string) int {
	for _, i := range want {
		if e := h.effects[i]; applying != "" && e.lease == applying && (e.state == intended || e.state == applied) {
			return i
		}
	}
	return -1
}

func (b *Book) workAccount(ctx context.Context, h hold, applying string) (outcome, error) {
	want, gone := h.sort(applying)
	got := outcome{given: map[int]effect{}, gone: gone}
	if len(want) == 0 && h.waits() && len(gone) == 0 {
		return got, nil
	}
	p, err := b.Directory.Lent(ctx, h.effects[0].target)
	switch {
	case errors.Is(err, directory.ErrNotFound) && len(want) == 0:
		return got, nil // it is gone altogether
	case errors.Is(err, directory.ErrNotFound):
		return got, fmt.Errorf("%w: there is no ID %s where IDs are lent: %w", ErrUnlendable, h.effects[0].target, err)
	case err != nil:
		return got, err
	}
	if len(want) == 0 {
		if err := b.Stop("remove"); err != nil {
			return got, err
		}
		if err := b.Directory.CloseLent(ctx, p, newPassword()); err != nil {
			return got, err
		}
		return got, b.Stop("removed")
	}
	i := h.open(want, applying)
	if i < 0 {
		return got, b.prolong(ctx, h, want, got)
	}
	e, pw := h.effects[i], newPassword()
	if err := b.Stop("add"); err != nil {
		return got, err
	}
	if err := b.Directory.OpenLent(ctx, p, pw, e.notAfter); err != nil {
		return got, unlendable(err)
	}
	if err := b.Stop("added"); err != nil {
		return got, err
	}
	e.state, e.account, e.accountID, e.accountDN, e.toldUntil = applied, p.Login, p.ID, p.DN, e.notAfter
	got.given[i], got.account = e, &Account{p.Login, pw}
	return got, nil
}

// prolong tells the directory the end that a lease has now.
func (b *Book) prolong(ctx context.Context, h hold, want []int, got outcome) error {
	for _, i := range want {
		e := h.effects[i]
		if e.state != kept || e.toldUntil.Equal(e.notAfter) {
			continue
		}
		p, err := b.Directory.LentByID(ctx, e.accountID)
		if errors.Is(err, directory.ErrNotFound) {
			// Taken away by somebody else; the comparison says so. What was given
			// cannot be given again in the background.
			e.toldUntil = e.notAfter
			got.given[i] = e
			continue
		}
		if err == nil {
			err = b.Directory.LendUntil(ctx, p, e.notAfter)
		}
		if err != nil {
			return err
		}
		e.toldUntil = e.notAfter
		got.given[i] = e
	}
	return nil
}

func (b *Book) workEphemeral(ctx context.Context, h hold, applying string) (outcome, error) {
	want, gone := h.sort(applying)
	got := outcome{given: map[int]effect{}, gone: gone}
	if len(want) == 0 {
		for _, i := range gone {
			if err := b.deleteEphemeral(ctx, h.effects[i]); err != nil {
				return got, err
			}
		}
		return got, nil
	}
	i := h.open(want, applying)
	if i < 0 {
		return got, b.prolong(ctx, h, want, got)
	}
	e := h.effects[i]
	for _, group := range e.groups {
		if b.Policy().CarriesPost(group) {
			return got, fmt.Errorf("%w: %s carries a post", ErrUnlendable, group)
		}
	}
	// What a try before has made has a password that nobody was shown.
	if err := b.deleteEphemeral(ctx, e); err != nil {
		return got, err
	}
	if err := b.Stop("add"); err != nil {
		return got, err
	}
	pw := newPassword()
	p, err := b.Directory.CreateLent(ctx, e.target, directory.NewPerson{
		Login: e.account, Name: nameFor(e), Note: e.note(), Password: pw, ExpiresAt: e.notAfter,
	})
	if err != nil {
		return got, unlendable(err)
	}
	if err := b.Stop("made"); err != nil {
		return got, err
	}
	for _, group := range e.groups {
		if err := b.Directory.JoinLent(ctx, group, p); err != nil {
			return got, unlendable(err)
		}
	}
	if err := b.Stop("added"); err != nil {
		return got, err
	}
	e.state, e.accountID, e.accountDN, e.toldUntil = applied, p.ID, p.DN, e.notAfter
	got.given[i], got.account = e, &Account{p.Login, pw}
	return got, nil
}

func nameFor(e effect) string {
	name := e.name
	if name == "" {
		name = e.login
	}
	return name + "（特権用）"
}

// deleteEphemeral takes an ID that was made for a lease out of its groups and
// away. One of that name that is not ours is not touched.
func (b *Book) deleteEphemeral(ctx context.Context, e effect) error {
	p, err := b.Directory.Lent(ctx, e.account)
	switch {
	case err == nil:
		if lease, ours := leaseOf(p.Note); !ours || lease != e.lease {
			return nil
		}
	case errors.Is(err, directory.ErrNotFound) && e.accountDN == "":
		return nil
	case errors.Is(err, directory.ErrNotFound):
		// The directory ended it; groups may still name it.
		p = directory.Person{ID: e.accountID, DN: e.accountDN, Login: e.account}
	default:
		return err
	}
	if err := b.Stop("remove"); err != nil {
		return err
	}
	err = b.Directory.DeleteLent(ctx, p)
	if errors.Is(err, directory.ErrNotFound) {
		err = nil // somebody else's by now, or gone
	}
	if err != nil {
		return err
	}
	return b.Stop("removed")
}

// Apply brings about, outside any transaction, what a lease intended, and answers
// when the directory has it, or with an error after which it is being taken back:
// the lease may be activated again. The caller calls Keep in the transaction in
// which the lease becomes active, and then shows the password, once.
//
// Errors: directory.ErrAway, ErrBusy, ErrTurned, ErrTaken, ErrUnlendable,
// directory.ErrNotFound (the person or the group is gone).
func (b *Book) Apply(ctx context.Context, lease string) (Result, error) {
	all, err := ofLease(ctx, b.DB, lease)
	if err != nil {
		return Result{}, fmt.Errorf("applying effects: %w", err)
	}
	var out Result
	for _, e := range all {
		account, err := b.applyOne(ctx, e)
		if err != nil {
			return Result{}, errors.Join(fmt.Errorf("applying what lease %s gives: %w", lease, err), b.turn(ctx, lease))
		}
		if account != nil {
			out.Account = account
		}
	}
	return out, nil
}

func (b *Book) applyOne(ctx context.Context, e effect) (*Account, error) {
	if e.state != intended && e.state != applied || !b.Now().Before(e.decideBy) {
		return nil, ErrTurned
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		account, err := b.settle(ctx, e.thing, e.lease)
		if !errors.Is(err, errHeld) {
			if err == nil {
				err = b.seen(ctx, e)
			}
			return account, err
		}
		if clock.Wait(waiting, 25*time.Millisecond) != nil {
			return nil, ErrBusy
		}
	}
}

// seen makes sure that the effect is confirmed: whoever held the thing may have
// found it too late.
func (b *Book) seen(ctx context.Context, e effect) error {
	now, err := effects(ctx, b.DB, `lease = $1 AND place = $2`, e.lease, e.place)
	if err != nil {
		return err
	}
	if len(now) != 1 || now[0].state != applied {
		return ErrTurned
	}
	return nil
}

// turn turns the effects of a lease round, whatever became of the caller. If even
// that fails, they are turned round when the time to decide is over.
func (b *Book) turn(ctx context.Context, lease string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		all, err := ofLease(ctx, tx, lease)
		if err != nil {
			return err
		}
		for _, e := range all {
			if e.state == kept {
				return nil // it became active after all; that is for its lease to end
			}
		}
		return b.withdraw(ctx, tx, lease, "not applied")
	})
	if err != nil {
		return fmt.Errorf("turning them round: %w", err)
	}
	return nil
}
