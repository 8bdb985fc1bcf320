package shared

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// CheckIn gives back what the reader has. It is no error to give back what is over.
func (b *Book) CheckIn(ctx context.Context, o signin.Origin, cookie, id string) (Checkout, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Checkout{}, err
	}
	return b.finish(ctx, by, func(tx *store.Tx) (Checkout, error) {
		mine, err := list(ctx, tx, `shared_id = $1 AND person_id = $2 ORDER BY CASE WHEN state IN ('starting', 'active') THEN 0 ELSE 1 END, asked_at DESC, id LIMIT 1`, id, string(by.Person.ID))
		if err != nil {
			return Checkout{}, err
		}
		if len(mine) == 0 {
			return Checkout{}, ErrNotFound
		}
		if mine[0].state == Starting {
			return Checkout{}, no(Conflict, "starting", "受け取っているところです。数秒後にもう一度お試しください。", "It is being checked out. Please try again in a few seconds.")
		}
		return mine[0], nil
	}, Ended, "")
}

// End takes a shared ID away from whoever has it: its password is changed, for all who
// have it.
func (b *Book) End(ctx context.Context, o signin.Origin, cookie, checkout, reason string) (Checkout, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Checkout{}, err
	}
	p := b.Policy()
	if why := MayEnd(p, by.Posts); why != nil {
		return Checkout{}, b.refuse(ctx, by, "", why)
	}
	reason = strings.TrimSpace(reason)
	if why := said("reason", reason); why != nil {
		if why.Reason == "required" {
			why.Says = policy.Words{JA: "終わらせる理由を入力してください。", EN: "Please say why you end it."}
		}
		return Checkout{}, why
	}
	if need := by.Elevated(p, b.Now()); need != nil {
		return Checkout{}, need
	}
	return b.finish(ctx, by, func(tx *store.Tx) (Checkout, error) { return read(ctx, tx, checkout) }, Revoked, reason)
}

func (b *Book) finish(ctx context.Context, by approval.Approver, which func(*store.Tx) (Checkout, error), to State, why string) (Checkout, error) {
	var out Checkout
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := session.StillSignedIn(ctx, tx, by.SessionID, by.Person.ID, b.Now()); err != nil {
			return err
		}
		c, err := which(tx)
		if err != nil {
			return err
		}
		if out = c; to == Revoked {
			out, err = b.takeAway(ctx, tx, c, approval.Ref(by.Person), by, why)
		} else if c.state == Active { // else the answer to the first may have been lost
			out, err = b.end(ctx, tx, c, to, approval.Ref(by.Person), by, why)
		}
		return err
	})
	if err != nil {
		return Checkout{}, err
	}
	return out, b.Stop(PointOver)
}

// end ends one check-out in the caller's transaction. When it was the last of its
// tenure, or its holder is cut off, the password is changed.
func (b *Book) end(ctx context.Context, tx *store.Tx, c Checkout, to State, who Ref, by approval.Approver, why string) (Checkout, error) {
	now := b.Now().Truncate(time.Microsecond)
	cut := to == Revoked // they know the password, whether or not their time is over
	if c.State(now) == Expired {
		to = Expired
	}
	c = c.over(to, who, why, now)
	if err := save(ctx, tx, &c); err != nil {
		return c, err
	}
	e := b.entry(c, by, "shared."+map[State]string{Ended: "checked_in", Expired: "expired", Revoked: "revoked"}[to], why)
	if to == Revoked {
		if err := b.tellEnded(ctx, tx, c, who, why); err != nil {
			return c, err
		}
	}
	e.Detail["at"] = c.EndedAt.UTC().Format(time.RFC3339Nano)
	if err := b.Trail.Append(ctx, tx, e); err != nil {
		return c, err
	}
	others, err := open(ctx, tx, `tenure = $1`, c.Tenure)
	if err != nil {
		return c, err
	}
	var until time.Time
	for _, o := range others {
		if o.State(now) == Active && !cut {
			until = latest(until, o.EndsAt)
		}
	}
	if !until.IsZero() {
		// Where the directory has turned it round, nobody has it any more.
		if err := b.Effects.Keep(ctx, tx, c.Tenure, until); !errors.Is(err, elevate.ErrTurned) {
			return c, err
		}
	}
	return c, b.change(ctx, tx, c, others, who, by)
}

// WithAnother is the reason of an end that came with another's.
const WithAnother = "the password was changed: somebody who knows it may not have it"

// change has the password of a check-out changed, for all who have it still.
func (b *Book) change(ctx context.Context, tx *store.Tx, c Checkout, holders []Checkout, who Ref, by approval.Approver) error {
	now := b.Now().Truncate(time.Microsecond)
	for _, o := range holders {
		ends := Revoked
		if o.State(now) == Expired {
			ends = Expired
		}
		o = o.over(ends, who, WithAnother, now)
		if err := save(ctx, tx, &o); err != nil {
			return err
		}
		if ends == Revoked {
			if err := b.tellEnded(ctx, tx, o, Ref{}, ""); err != nil {
				return err
			}
		}
		e := b.entry(o, by, "shared."+string(ends), o.EndReason)
		e.Detail["with"] = c.By.Login
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM shared_secret WHERE tenure = $1`, c.Tenure); err != nil {
		return fmt.Errorf("forgetting the password of a shared ID: %w", err)
	}
	return b.Effects.Withdraw(ctx, tx, c.Tenure)
}

// takeAway ends a check-out whose holder must not know the password any more. They do
// also when their own use is over and another's is not.
func (b *Book) takeAway(ctx context.Context, tx *store.Tx, c Checkout, who Ref, by approval.Approver, why string) (Checkout, error) {
	switch c.state {
	case Starting:
		return c, b.fail(ctx, tx, by, c, why)
	case Active:
		return b.end(ctx, tx, c, Revoked, who, by, why)
	}
	others, err := open(ctx, tx, `tenure = $1`, c.Tenure)
	if err != nil || len(others) == 0 {
		return c, err
	}
	return c, b.change(ctx, tx, c, others, who, by)
}

// EndOf ends all that a person has, or knows the password of, in the caller's
// transaction, for who is suspended or shut out.
func (b *Book) EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error) {
	mine, err := list(ctx, tx, `person_id = $1 AND `+known+` ORDER BY CASE WHEN state IN ('starting', 'active') THEN 0 ELSE 1 END, asked_at, id`, string(who))
	if err != nil {
		return 0, err
	}
	for _, c := range mine {
		// Another of them may have gone with it.
		if c, err = read(ctx, tx, c.ID); err == nil {
			_, err = b.takeAway(ctx, tx, c, Ref{Login: by}, approval.Approver{Holder: approval.Holder{Person: directory.Person{Login: by}}}, why)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(mine), nil
}

// EndFor is EndOf for several people.
func (b *Book) EndFor(ctx context.Context, tx *store.Tx, people []directory.PersonID, by, why string) (int, error) {
	all := 0
	for _, who := range people {
		n, err := b.EndOf(ctx, tx, who, by, why)
		if all += n; err != nil {
			return all, err
		}
	}
	return all, nil
}

// Borrowers are those whom EndOf would take something from.
func (b *Book) Borrowers(ctx context.Context, in store.Reader) ([]directory.PersonID, error) {
	all, err := list(ctx, in, known+` ORDER BY asked_at, id`)
	var out []directory.PersonID
	for _, c := range all {
		if !slices.Contains(out, c.By.ID) {
			out = append(out, c.By.ID)
		}
	}
	return out, err
}

// Succeed carries what is had in a session over to the one that the same person began
// in the same browser, in the transaction that ends the first.
func (b *Book) Succeed(ctx context.Context, tx *store.Tx, from string, to session.Session) error {
	mine, err := open(ctx, tx, `session_id = $1 AND person_id = $2`, from, string(to.Person))
	if err != nil {
		return err
	}
	for _, c := range mine {
		c.Session = to.ID
		if err := save(ctx, tx, &c); err != nil {
			return err
		}
	}
	return nil
}
