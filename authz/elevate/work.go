package elevate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sekisho/directory"
	"sekisho/policy"
)

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

// unlendable says which refusals of the directory no try mends.
func unlendable(err error) error {
	if errors.Is(err, directory.ErrProtected) || errors.Is(err, directory.ErrMalformed) {
		return fmt.Errorf("%w: %w", ErrUnlendable, err)
	}
	return err
}
