package grant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// capsOf are the caps of a lease as they are at this moment; ends is the borrower's own
// end. ok is false out of hours.
func capsOf(l Lease, v policy.Privilege, ends, now time.Time) (Caps, bool) {
	hours, open := v.OpenUntil(now)
	if l.Emergency {
		hours, open = time.Time{}, true // the hour is not chosen
	}
	return Caps{Longest: l.most(v), Hours: hours, Validity: ends}, open
}

func outOfHours() *Refusal {
	return conflict(OutOfHours, lending, "この特権を使える時間帯ではありません。", "This is not among the hours of this privilege.")
}

// proven is a lease of somebody's own and what it lends, after a sign-in that is strong and
// fresh enough to use it.
func (b *Book) proven(ctx context.Context, by By, id string) (Lease, policy.Privilege, error) {
	l, err := b.own(ctx, by, id)
	if err != nil {
		return Lease{}, policy.Privilege{}, err
	}
	v, err := b.privilege(l.Privilege)
	if err != nil {
		return Lease{}, policy.Privilege{}, err
	}
	return l, v, b.proved(by, v.ACR, min(v.FreshFor, b.Policy().Session.ElevatedAbsoluteEnd))
}

// Activate begins a lease that was approved: its clock starts when the directory
// has what it gives, and not before. The ID that it lends is in the answer once.
// A lease that takes two people stays approved until the second one starts it;
// its borrower then activates again to be shown the ID.
//
// Errors: *Refusal (Away: nothing was lent, and the lease stays approved),
// *account.StepUp, session.ErrNone, ErrNotFound.
func (b *Book) Activate(ctx context.Context, by By, id string) (Lease, *elevate.Account, error) {
	l, v, err := b.proven(ctx, by, id)
	if err != nil {
		return Lease{}, nil, err
	}
	now := b.Now()
	if l.TwoPerson && l.State(now) == Active {
		account, err := b.reveal(ctx, by, l)
		return l, account, err
	}
	if err := b.stillMay(ctx, by, v, l, now); err != nil {
		return Lease{}, nil, b.refuse(ctx, by, v.ID, err)
	}
	if l.TwoPerson || v.TwoPerson {
		// The second person begins it, in a request of theirs: the handle is replaced
		// now, and the privileged session begins with the lease.
		var handle string
		l, err := b.change(ctx, by, id, "lease.ready", "", func(tx *store.Tx, l Lease) (Lease, error) {
			if v.TwoPerson {
				l.TwoPerson, l.WitnessEvery = true, v.WitnessEvery
			}
			out, err := l.ready(by.SessionID, b.Now().Truncate(time.Microsecond))
			if err == nil {
				handle, err = b.Sessions.Rotate(ctx, tx, by.SessionID, by.AuthAt)
			}
			return out, err
		})
		if err != nil {
			return Lease{}, nil, err
		}
		b.raised(ctx)
		l.Handle = handle
		return l, nil, nil
	}
	l.Session, l.Outlives = by.SessionID, v.OutlivesSession
	return b.activate(ctx, by, l, by.Holder, v, Ref{})
}

// stillMay asks again what was asked when the lease was asked for: since then
// posts may have changed, and records become due.
func (b *Book) stillMay(ctx context.Context, by By, v policy.Privilege, l Lease, now time.Time) error {
	if l.State(now) != Approved {
		return wrongState(l, now)
	}
	if err := MayBorrow(b.Policy(), v, by.Holder, now); err != nil {
		return err
	}
	if err := b.keeps(ctx, b.DB, v, by.Holder); err != nil {
		return err
	}
	theirs, err := ofPerson(ctx, b.DB, by.Person.ID, now)
	if err != nil {
		return err
	}
	theirs = slices.DeleteFunc(theirs, func(o Lease) bool { return o.ID == l.ID })
	if err := MayAsk(b.Policy(), v, by.Holder, theirs, false, now); err != nil {
		return err
	}
	return nil
}

// activate takes the three steps of an activation: intended, done, confirmed
// (design rule 8). of is the borrower, read afresh; l says in which session.
func (b *Book) activate(ctx context.Context, by By, l Lease, of Borrower, v policy.Privilege, witness Ref) (Lease, *elevate.Account, error) {
	if err := b.Trail.MayBegin(); err != nil { // no trail, no privilege
		return Lease{}, nil, err
	}
	token, sessionID, outlives := secret.Token(12), l.Session, l.Outlives
	resumes := l.state == Active // after a pause
	var begun Lease
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		if err := b.keeps(ctx, tx, v, of); err != nil {
			return err
		}
		l, err := read(ctx, tx, l.ID)
		if err != nil {
			return err
		}
		now := b.Now().Truncate(time.Microsecond)
		caps, open := capsOf(l, v, endOf(of), now)
		switch {
		case !open:
			return outOfHours()
		case resumes:
			begun, err = l.resume(token, now)
		default:
			begun, err = l.begin(token, v, caps, now)
			begun.Session, begun.Outlives = sessionID, outlives
		}
		if err != nil {
			return err
		}
		if begun.Outside() {
			if l.Activating() { // a try that died: what it left is turned round first
				if err := b.Effects.Withdraw(ctx, tx, l.ID); err != nil {
					return err
				}
			}
			if err := b.Effects.Intend(ctx, tx, l.ID, elevate.Who{ID: of.Person.ID, Login: of.Person.Login, Name: of.Person.Name}, begun.Gives, begun.notAfter); err != nil {
				return b.unlent(err)
			}
		}
		if err := b.put(ctx, tx, &begun); err != nil {
			return err
		}
		e := b.entry(begun, by, "lease.activating", "")
		e.Detail["not_after"] = begun.notAfter.Format(time.RFC3339)
		return b.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return Lease{}, nil, err
	}
	if err := b.Stop(PointIntended); err != nil {
		return Lease{}, nil, err
	}
	var given elevate.Result
	if begun.Outside() {
		if given, err = b.Effects.Apply(ctx, l.ID); err != nil {
			return Lease{}, nil, b.giveUp(ctx, by, begun, token, err)
		}
	}
	if err := b.Stop(PointApplied); err != nil {
		return Lease{}, nil, err
	}
	out, err := b.started(ctx, by, begun, token, of, v, witness, given)
	if err != nil {
		if errors.Is(err, store.ErrUnknown) {
			return Lease{}, nil, err // nobody knows; what was not kept turns round by itself
		}
		return Lease{}, nil, b.giveUp(ctx, by, begun, token, err)
	}
	b.raised(ctx)
	if err := b.Stop(PointStarted); err != nil {
		return Lease{}, nil, err
	}
	if given.Account == nil || by.Person.ID != out.By.ID {
		return out, nil, nil
	}
	return out, given.Account, nil
}

// started is the last step: from its commit on, the lease is active.
func (b *Book) started(ctx context.Context, by By, begun Lease, token string, of Borrower, v policy.Privilege, witness Ref, given elevate.Result) (Lease, error) {
	var (
		out    Lease
		handle string
	)
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		handle = ""
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		l, err := read(ctx, tx, begun.ID)
		if err != nil {
			return err
		}
		now := b.Now().Truncate(time.Microsecond)
		resumes := l.state == Active
		if resumes {
			out, err = l.resumed(token, witness, now)
		} else {
			caps, open := capsOf(l, v, endOf(of), now)
			if !open {
				return outOfHours()
			}
			out, err = l.start(token, v, caps, now)
			if err == nil && out.TwoPerson {
				out, err = out.witnessed(witness, now)
			}
		}
		if err != nil {
			return err
		}
		if out.Outside() {
			if err := b.Effects.Keep(ctx, tx, out.ID, out.endsAt); err != nil {
				return err
			}
		}
		if a := given.Account; a != nil {
			out.Account = a.Login
			if by.Person.ID != out.By.ID {
				if err := b.conceal(ctx, tx, out, a.Password); err != nil {
					return err
				}
			}
		}
		if err := b.put(ctx, tx, &out); err != nil {
			return err
		}
		action := "lease.activated"
		if resumes {
			action = "lease.resumed"
		} else if handle, err = b.raise(ctx, tx, by, out); err != nil {
			return err
		}
		e := b.entry(out, by, action, "")
		e.Detail["ends_at"] = out.endsAt.Format(time.RFC3339)
		if out.Account != "" {
			e.Detail["account"] = out.Account
		}
		if witness.ID != "" {
			e.Detail["witness"], e.Articles = witness.Login, together
		}
		if err := b.Trail.Append(ctx, tx, e); err != nil || resumes {
			return err
		}
		return b.tell(ctx, tx, out, out.By.ID, notice.LeaseActivated, map[string]string{"until": out.endsAt.Format(time.RFC3339)})
	})
	out.Handle = handle
	return out, err
}

// raise begins a privileged session over that of a lease's borrower, in the
// transaction from which on the lease is active. They have one at a time: what else
// they hold goes along to where they are now. Who activates it themselves gets
// another handle; a second person's word changes nobody's.
func (b *Book) raise(ctx context.Context, tx *store.Tx, by By, l Lease) (handle string, err error) {
	_, err = b.Sessions.Elevate(ctx, tx, l.Session)
	if errors.Is(err, session.ErrNone) && by.Person.ID != l.By.ID { // theirs is over, and not that of who acts
		return "", signedOut()
	}
	if err != nil {
		return "", err
	}
	others, err := list(ctx, tx, `person_id = $1 AND state = 'active' AND session_id <> $2`, string(l.By.ID), l.Session)
	if err != nil {
		return "", err
	}
	for _, o := range others {
		if err := b.move(ctx, tx, by, o, l.Session); err != nil {
			return "", err
		}
	}
	if by.Person.ID != l.By.ID {
		return "", nil
	}
	return b.Sessions.Rotate(ctx, tx, by.SessionID, by.AuthAt)
}

// move has a lease be good in another session of its borrower's. Whether that one's
// sign-in is enough for it is asked when it is used.
func (b *Book) move(ctx context.Context, tx *store.Tx, by By, l Lease, to string) error {
	from := l.Session
	l.Session = to
	if err := b.put(ctx, tx, &l); err != nil {
		return err
	}
	e := b.entry(l, by, "lease.moved", "")
	e.Detail["from_session"], e.Detail["to_session"] = from, to
	return b.Trail.Append(ctx, tx, e)
}

func signedOut() *Refusal {
	return conflict(WrongState, together, "借りる人がサインアウトしています。もう一度開始してもらってください。", "The borrower has signed out. Please have them begin again.")
}

// giveUp turns an activation round that did not come to its end. A lease that
// others approved stays approved, and may be activated again.
func (b *Book) giveUp(ctx context.Context, by By, begun Lease, token string, because error) error {
	ctx = context.WithoutCancel(ctx)
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.abandon(ctx, tx, by, begun.ID, token, because.Error()) })
	if err != nil {
		// It is turned round by itself, and noted by the next round of Tidy.
		because = errors.Join(because, fmt.Errorf("giving up an activation: %w", err))
	}
	b.changed(ctx)
	return b.unlent(because)
}

func (b *Book) abandon(ctx context.Context, tx *store.Tx, by By, id, token, why string) error {
	l, err := read(ctx, tx, id)
	if err != nil {
		return err
	}
	out, err := l.abandon(token, why, b.Now().Truncate(time.Microsecond))
	if err != nil {
		return nil //nolint:nilerr // it came to another end meanwhile, or another try goes on
	}
	if err := b.Effects.Withdraw(ctx, tx, id); err != nil {
		return err
	}
	if err := b.put(ctx, tx, &out); err != nil {
		return err
	}
	e := b.entry(out, by, "lease.activation_failed", why)
	e.Outcome = audit.Failed
	return b.Trail.Append(ctx, tx, e)
}

// unlent says to whoever activates why nothing was lent.
func (b *Book) unlent(err error) error {
	var r *Refusal
	switch {
	case errors.As(err, &r), errors.Is(err, session.ErrNone), errors.Is(err, ErrNotFound):
		return err
	case errors.Is(err, elevate.ErrTaken):
		r = conflict(HasOne, lending, "このIDは、いまほかの方が借りています。", "Somebody else has borrowed this ID.")
	case errors.Is(err, elevate.ErrUnlendable):
		r = conflict(NotEligible, lending, "この特権が与えるものは貸し出せません。情報システム管理者に知らせてください。", "What this privilege gives cannot be lent. Please tell the system administrator.")
	case errors.Is(err, elevate.ErrTurned), errors.Is(err, elevate.ErrBusy), errors.Is(err, directory.ErrAway), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		r = &Refusal{Reason: DirectoryAway, Is: Away, Articles: lending, Says: policy.Words{
			JA: "ディレクトリに届かないため、始められませんでした。何も貸し出していません。承認は残っているので、しばらくしてからもう一度お試しください。",
			EN: "The directory could not be reached, so nothing was lent. The approval stands; please try again in a while.",
		}}
	default:
		return err
	}
	r.Err = err
	return r
}

// Witness starts a lease as its second person, or confirms to be there still
// (article 49-3). Whoever could borrow the privilege themselves may.
func (b *Book) Witness(ctx context.Context, by By, id string) (Lease, error) {
	if err := b.signed(by); err != nil {
		return Lease{}, err
	}
	l, err := read(ctx, b.DB, id)
	if err != nil {
		return Lease{}, err
	}
	v, err := b.privilege(l.Privilege)
	if err != nil {
		return Lease{}, err
	}
	me, now := refOf(by), b.Now().Truncate(time.Microsecond)
	if err := MayBorrow(b.Policy(), v, by.Holder, now); err != nil {
		return Lease{}, b.refuse(ctx, by, v.ID, err)
	}
	if err := b.keeps(ctx, b.DB, v, by.Holder); err != nil {
		return Lease{}, b.refuse(ctx, by, v.ID, err)
	}
	if err := b.proved(by, v.ACR, v.FreshFor); err != nil {
		return Lease{}, err
	}
	if _, err := l.witnessed(me, now); err != nil {
		return Lease{}, b.refuse(ctx, by, v.ID, err)
	}
	if l.State(now) == Active && !l.suspended {
		return b.change(ctx, by, id, "lease.witnessed", "", func(_ *store.Tx, l Lease) (Lease, error) {
			if l.suspended {
				return l, conflict(StillUnderWay, together, "いま止まったところです。もう一度確認してください。", "It has paused this moment. Please confirm again.")
			}
			return l.witnessed(me, b.Now().Truncate(time.Microsecond))
		})
	}
	// The borrower is read afresh too: it is they who are given something.
	facts, err := b.People.Of(ctx, l.By.ID)
	if err != nil {
		return Lease{}, b.unlent(fmt.Errorf("%w: %w", directory.ErrAway, err))
	}
	tied, err := b.Ties.Of(ctx, nil, l.By.ID, now)
	if err != nil {
		return Lease{}, err
	}
	theirs := Borrower{Person: facts.Person, Posts: b.Policy().PostsOf(facts.Person.Groups), Tied: tied}
	if !facts.Usable(now) {
		return Lease{}, conflict(AccountEnds, lending, "借りる方のIDは現在利用できません。", "The borrower's ID cannot be used at present.")
	}
	if err := MayBorrow(b.Policy(), v, theirs, now); err != nil {
		return Lease{}, err
	}
	if over, err := b.Sessions.Over(ctx, l.Session); err != nil || over {
		if err == nil {
			err = signedOut()
		}
		return Lease{}, err
	}
	l.Outlives = v.OutlivesSession
	out, _, err := b.activate(ctx, by, l, theirs, v, me)
	return out, err
}

func refOf(by By) Ref {
	p := by.Person
	return Ref{ID: p.ID, Login: p.Login, Name: p.Name, Number: p.Number, Mail: p.Mail, Section: p.Section}
}

// secretPlace binds the password of a lease to its row.
func secretPlace(lease string) secret.Place {
	return secret.Place{Table: "lease_secret", Column: "sealed", Row: lease}
}

// conceal keeps the password of an ID until its borrower asks for it, sealed.
func (b *Book) conceal(ctx context.Context, tx *store.Tx, l Lease, pw secret.Text) error {
	sealed, err := b.Sealing.Seal(secretPlace(l.ID), pw.Reveal())
	if err != nil {
		return fmt.Errorf("sealing the password of a lease: %w", err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO lease_secret (lease, sealed, ends_at) VALUES ($1, $2, $3)
		ON CONFLICT (lease) DO UPDATE SET sealed = excluded.sealed, ends_at = excluded.ends_at`, l.ID, sealed, store.Micros(l.endsAt))
	if err != nil {
		return fmt.Errorf("keeping the password of a lease: %w", err)
	}
	return nil
}

// reveal shows a concealed password once: the row is gone when it is told.
func (b *Book) reveal(ctx context.Context, by By, l Lease) (*elevate.Account, error) {
	var pw []byte
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		pw = nil
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		var sealed []byte
		rows, err := tx.Query(ctx, `DELETE FROM lease_secret WHERE lease = $1 RETURNING sealed`, l.ID)
		if err != nil {
			return fmt.Errorf("reading the password of a lease: %w", err)
		}
		for rows.Next() {
			if err := rows.Scan(&sealed); err != nil {
				return err
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || sealed == nil {
			return err
		}
		if pw, err = b.Sealing.Open(secretPlace(l.ID), sealed); err != nil {
			return err
		}
		return b.Trail.Append(ctx, tx, b.entry(l, by, "lease.account_shown", ""))
	})
	if err != nil || pw == nil {
		return nil, err
	}
	return &elevate.Account{Login: l.Account, Password: secret.NewText(pw)}, nil
}
