package grant

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// idOf is a lease's id: of a request under a key the same each time, so that one
// whose answer was lost is found again.
func idOf(who directory.PersonID, key string) string {
	if key == "" {
		return secret.Token(16)
	}
	sum := sha256.Sum256([]byte("lease\x00" + string(who) + "\x00" + key))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func (w Wish) digest() string {
	if w.Key == "" {
		return ""
	}
	text, _ := json.Marshal([]any{w.Privilege, w.Reason, w.Ticket, w.For, w.Emergency}) // strings and numbers: it cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// again is the lease that a request under a key has made before. ok is false
// where there is none.
func (b *Book) again(ctx context.Context, in store.Reader, id string, by By, w Wish) (l Lease, ok bool, err error) {
	if w.Key == "" {
		return Lease{}, false, nil
	}
	l, err = read(ctx, in, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Lease{}, false, nil
	case err != nil:
		return Lease{}, false, err
	case l.By.ID != by.Person.ID || l.wish != w.digest():
		return Lease{}, false, conflict(OtherRequest, lending, "この番号（Idempotency-Key）は、別の申請に使われています。", "This Idempotency-Key was used for another request.")
	}
	return l, true, nil
}

// Ask asks for a privilege. Where a standing decision covers it, the answer is
// approved already.
//
// Errors: *Refusal, *account.StepUp, session.ErrNone, and those of
// approval.Book.Consider.
func (b *Book) Ask(ctx context.Context, by By, w Wish) (Lease, error) {
	w.Emergency = false
	v, w, err := b.mayAsk(ctx, by, w)
	if err != nil {
		return Lease{}, err
	}
	id := idOf(by.Person.ID, w.Key)
	if l, ok, err := b.again(ctx, b.DB, id, by, w); ok || err != nil {
		return l, err
	}
	now := b.Now().Truncate(time.Microsecond)
	l := ask(id, v, by.Holder, w, b.Version(), now)
	l.Zone, l.wish = by.Zone, w.digest()
	considered, err := b.Matters.Consider(ctx, approval.Matter{
		Kind: KindElevation, Subject: v.ID, Requester: l.By, RequesterPosts: by.Posts, Zone: by.Zone, Reason: w.Reason, LapsesAt: l.LapsesAt,
		Rule: ruleOf(v), Articles: lending,
		Detail: map[string]string{"lease": id, "minutes": minutes(w.For), "ticket": w.Ticket},
	})
	if err != nil {
		return Lease{}, err
	}
	var out Lease
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		out = Lease{}
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		if was, ok, err := b.again(ctx, tx, id, by, w); ok || err != nil {
			out = was
			return err
		}
		theirs, err := b.tidyOf(ctx, tx, by.Person.ID)
		if err != nil {
			return err
		}
		if err := MayAsk(b.Policy(), v, by.Holder, theirs, false, b.Now()); err != nil {
			return err
		}
		if err := b.keeps(ctx, tx, v, by.Holder); err != nil {
			return err
		}
		made, err := insert(ctx, tx, l, b.Now())
		if err != nil || !made {
			return errors.Join(err, errors.New("a lease of this id appeared meanwhile"))
		}
		m, err := b.Matters.Ask(ctx, tx, considered)
		if err != nil {
			return err
		}
		if out, err = read(ctx, tx, id); err != nil {
			return err
		}
		out.Matter, out.LapsesAt = m.ID, m.LapsesAt
		if m.State(b.Now()) == approval.Approved {
			if out, err = out.settle(Approved, v, b.Now()); err != nil {
				return err
			}
		}
		if err := b.put(ctx, tx, &out); err != nil {
			return err
		}
		e := b.entry(out, by, "lease.asked", w.Reason)
		e.Detail["minutes"], e.Detail["policy_version"], e.Detail["matter"] = minutes(w.For), strconv.FormatInt(out.PolicyVersion, 10), m.ID
		if w.Ticket != "" {
			e.Detail["ticket"] = w.Ticket
		}
		return b.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return Lease{}, b.refuse(ctx, by, v.ID, err)
	}
	return out, b.Stop(PointAsked)
}

// mayAsk asks everything of a wish that needs no transaction.
func (b *Book) mayAsk(ctx context.Context, by By, w Wish) (policy.Privilege, Wish, error) {
	if err := b.signed(by); err != nil {
		return policy.Privilege{}, w, err
	}
	v, err := b.privilege(w.Privilege)
	if err != nil {
		return v, w, err
	}
	theirs, err := ofPerson(ctx, b.DB, by.Person.ID, b.Now())
	if err != nil {
		return v, w, err
	}
	if w.Key != "" { // asked again, it does not stand in its own way
		id := idOf(by.Person.ID, w.Key)
		theirs = slices.DeleteFunc(theirs, func(l Lease) bool { return l.ID == id })
	}
	if err := MayAsk(b.Policy(), v, by.Holder, theirs, w.Emergency, b.Now()); err != nil {
		return v, w, b.refuse(ctx, by, v.ID, err)
	}
	if err := b.proved(by, v.ACR, v.FreshFor); err != nil {
		return v, w, err
	}
	w, err = w.plain(v)
	return v, w, err
}

// ruleOf is who decides a privilege, as approval has it.
func ruleOf(v policy.Privilege) approval.Rule {
	step := approval.Step{Posts: v.Approvers.Posts, Quorum: v.Approvers.Quorum, All: v.Approvers.All}
	if v.Approvers.Where == policy.ApproversAnywhere {
		step.Where = approval.Anywhere
	}
	return approval.Rule{Steps: []approval.Step{step}}
}

func minutes(d time.Duration) string { return strconv.Itoa(int(d / time.Minute)) }

// tidyOf writes down what is so already of somebody's leases, and answers those
// that count when they ask for another.
func (b *Book) tidyOf(ctx context.Context, tx *store.Tx, who directory.PersonID) ([]Lease, error) {
	theirs, err := ofPerson(ctx, tx, who, b.Now())
	if err != nil {
		return nil, err
	}
	for i := range theirs {
		if _, err := b.tidy(ctx, tx, &theirs[i]); err != nil {
			return nil, err
		}
	}
	return theirs, nil
}

// Cancel takes back what its borrower asked for and has not activated.
func (b *Book) Cancel(ctx context.Context, by By, id, comment string) (Lease, error) {
	comment, err := words("comment", BadReason, comment, maxComment, false)
	if err != nil {
		return Lease{}, err
	}
	l, err := b.own(ctx, by, id)
	if err != nil {
		return Lease{}, err
	}
	if l.State(b.Now()) == Cancelled {
		return l, nil
	}
	if l.state == Pending && l.Matter != "" {
		// The request's own transaction decides between this and those who say yes.
		if _, err := b.Matters.Cancel(ctx, by, l.Matter, comment); err != nil {
			return Lease{}, err
		}
		return b.read(ctx, id)
	}
	return b.change(ctx, by, id, "lease.cancelled", comment, func(tx *store.Tx, l Lease) (Lease, error) {
		if l.By.ID != by.Person.ID {
			return l, ErrNotFound
		}
		out, err := l.cancel(l.By, comment, b.Now())
		if err != nil {
			return l, err
		}
		return out, b.Effects.Withdraw(ctx, tx, l.ID)
	})
}
