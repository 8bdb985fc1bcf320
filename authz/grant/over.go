package grant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Extend asks for more time, which is decided like the first. It never passes the
// cap.
func (b *Book) Extend(ctx context.Context, by By, id string, d time.Duration, reason string) (Lease, error) {
	reason, err := words("reason", BadReason, reason, maxReason, false)
	if err != nil {
		return Lease{}, err
	}
	l, err := b.own(ctx, by, id)
	if err != nil {
		return Lease{}, err
	}
	v, err := b.privilege(l.Privilege)
	if err != nil {
		return Lease{}, err
	}
	if err := b.proved(by, v.ACR, v.FreshFor); err != nil {
		return Lease{}, err
	}
	if err := b.Trail.MayBegin(); err != nil {
		return Lease{}, err
	}
	if d == 0 {
		d = v.Usual
	}
	if d < time.Minute || d%time.Minute != 0 || d > v.Longest {
		return Lease{}, invalid("minutes", BadMinutes, lending, "延長する時間を、分で入力してください。", "Give whole minutes, no more than the privilege lasts.")
	}
	if reason == "" {
		reason = l.Reason
	}
	now := b.Now().Truncate(time.Microsecond)
	if err := MayBorrow(b.Policy(), v, by.Holder, now); err != nil {
		return Lease{}, b.refuse(ctx, by, v.ID, err)
	}
	if _, err := l.askMore("?", d, now.Add(v.AskEnd), now); err != nil {
		return Lease{}, err
	}
	considered, err := b.Matters.Consider(ctx, approval.Matter{
		Kind: KindExtension, Subject: v.ID, Requester: l.By, RequesterPosts: by.Posts, Zone: by.Zone, Reason: reason,
		LapsesAt: earliest(now.Add(v.AskEnd), l.endsAt), Rule: ruleOf(v), Articles: lending,
		Detail: map[string]string{"lease": id, "minutes": minutes(d), "ends_at": l.endsAt.Format(time.RFC3339), validUntil: validity(endOf(by.Holder))},
	})
	if err != nil {
		return Lease{}, err
	}
	return b.change(ctx, by, id, "lease.more_asked", reason, func(tx *store.Tx, l Lease) (Lease, error) {
		if err := b.keeps(ctx, tx, v, by.Holder); err != nil {
			return l, err
		}
		out, err := l.askMore("?", d, now.Add(v.AskEnd), b.Now())
		if err != nil {
			return l, err
		}
		m, err := b.Matters.Ask(ctx, tx, considered)
		if err != nil {
			return l, err
		}
		out.Extension.Matter = m.ID
		if m.State(b.Now()) == approval.Approved {
			return b.lengthen(ctx, tx, out, v, endOf(by.Holder))
		}
		return out, nil
	})
}

// settleMore is what the decision on more time makes of a lease.
func (b *Book) settleMore(ctx context.Context, tx *store.Tx, l Lease, v policy.Privilege, m approval.Matter, to approval.State) error {
	if l.Extension.Matter != m.ID {
		return nil
	}
	var (
		out    Lease
		err    error
		action = "lease.extension_" + string(to)
	)
	if to == approval.Approved && l.State(b.Now()) == Active && v.ID != "" {
		tied, no := b.stillFor(ctx, tx, l, v)
		if no != nil {
			return no
		}
		out, err = b.lengthen(ctx, tx, l, v, sooner(valid(m.Detail[validUntil]), tied.Until))
		action = "lease.extended"
	} else {
		out, err = l.more(false, Caps{}, b.Now())
	}
	if err != nil {
		return err
	}
	if err := b.put(ctx, tx, &out); err != nil {
		return err
	}
	e := b.entry(out, By{}, action, "")
	e.Detail["ends_at"], e.Detail["matter"] = out.endsAt.Format(time.RFC3339), m.ID
	if err := b.Trail.Append(ctx, tx, e); err != nil || action != "lease.extended" {
		return err
	}
	return b.tell(ctx, tx, out, out.By.ID, notice.LeaseActivated, map[string]string{"until": out.endsAt.Format(time.RFC3339)})
}

// validUntil is the borrower's own end, as it was when more time was asked for: in the
// transaction that decides, no directory is asked.
const validUntil = "valid_until"

func validity(ends time.Time) string {
	if ends.IsZero() {
		return ""
	}
	return ends.UTC().Format(time.RFC3339Nano)
}

func valid(text string) time.Time {
	at, _ := time.Parse(time.RFC3339Nano, text) // "", and what was asked for by an older Sekisho: none is known
	return at
}

// lengthen gives more time, under the caps of this moment; ends is the borrower's own
// validity, zero for none. The limit that was set at activation holds still.
func (b *Book) lengthen(ctx context.Context, tx *store.Tx, l Lease, v policy.Privilege, ends time.Time) (Lease, error) {
	now := b.Now().Truncate(time.Microsecond)
	caps, open := capsOf(l, v, ends, now)
	if !open {
		return l.more(false, caps, now)
	}
	out, err := l.more(true, caps, now)
	if err != nil {
		return l, err
	}
	out.toldEnding = false
	if out.Outside() && !out.suspended {
		return out, b.Effects.Keep(ctx, tx, out.ID, out.endsAt)
	}
	return out, nil
}

// End gives a lease back.
func (b *Book) End(ctx context.Context, by By, id, comment string) (Lease, error) {
	comment, err := words("comment", BadReason, comment, maxComment, false)
	if err != nil {
		return Lease{}, err
	}
	l, err := b.own(ctx, by, id)
	if err != nil {
		return Lease{}, err
	}
	if l.State(b.Now()) == Ended {
		return l, nil // the answer to the first may have been lost
	}
	return b.finish(ctx, by, id, Ended, "lease.ended", comment)
}

// Revoke takes a lease away: whoever approves the privilege, the CIO and the CSIRT
// may (articles 11-4, 75-2). What is not active yet is cancelled.
func (b *Book) Revoke(ctx context.Context, by By, id, comment string) (Lease, error) {
	l, comment, err := b.overseen(ctx, by, id, comment, true, b.MayRevoke)
	if err != nil {
		return Lease{}, err
	}
	switch l.State(b.Now()) {
	case Revoked:
		return l, nil
	case Pending, Approved:
		return b.change(ctx, by, id, "lease.cancelled", comment, func(tx *store.Tx, l Lease) (Lease, error) {
			out, err := l.cancel(refOf(by), comment, b.Now().Truncate(time.Microsecond))
			if err != nil {
				return l, err
			}
			if err := b.drop(ctx, tx, l, comment); err != nil {
				return l, err
			}
			return out, b.tell(ctx, tx, l, l.By.ID, notice.LeaseRevoked, map[string]string{"by": by.Person.Name, "reason": comment})
		})
	}
	return b.finish(ctx, by, id, Revoked, "lease.revoked", comment)
}

// overseen is a lease for whoever acts on it by a post: somebody signed in, who may,
// and has proved themselves lately.
func (b *Book) overseen(ctx context.Context, by By, id, comment string, needed bool, may func(By, Lease) error) (Lease, string, error) {
	comment, err := words("comment", BadReason, comment, maxComment, needed)
	if err != nil {
		return Lease{}, "", err
	}
	if err := b.signed(by); err != nil {
		return Lease{}, "", err
	}
	l, err := read(ctx, b.DB, id)
	if err != nil {
		return Lease{}, "", err
	}
	if err := may(by, l); err != nil {
		return Lease{}, "", b.refuse(ctx, by, l.Privilege, err)
	}
	return l, comment, b.elevated(by)
}

// MayRevoke asks whether somebody may take a lease away.
func (b *Book) MayRevoke(by By, l Lease) error {
	v, _ := b.Policy().Privilege(l.Privilege)
	return b.oversees(by, v, policy.CIO, policy.CSIRT)
}

// oversees asks for a post that approves a privilege, or for one of some others.
func (b *Book) oversees(by By, v policy.Privilege, also ...policy.PostID) error {
	p := b.Policy()
	for _, id := range by.Posts {
		if post, ok := p.Post(id); ok && post.Audits {
			return forbidden(NoPost, []policy.Article{"16-2", "82-2"}, "監査の役割を持つ方は、閲覧だけができます。", "Whoever audits reads and changes nothing.")
		}
	}
	for _, id := range by.Posts {
		if slices.Contains(v.Approvers.Posts, id) || slices.Contains(also, id) {
			return nil
		}
	}
	return forbidden(NoPost, apart, "この操作は、あなたの役割では行えません。", "Your post does not include this.")
}

// finish ends an active lease in one transaction: its state, what it gave in the
// directory, its entry, and what its people are told.
func (b *Book) finish(ctx context.Context, by By, id string, to State, action, why string) (Lease, error) {
	l, err := b.change(ctx, by, id, action, why, func(tx *store.Tx, l Lease) (Lease, error) {
		return b.overTx(ctx, tx, l, to, refOf(by), by.Person.Name, why)
	})
	if err != nil {
		return Lease{}, err
	}
	return l, b.Stop(PointOver)
}

func (b *Book) overTx(ctx context.Context, tx *store.Tx, l Lease, to State, by Ref, name, why string) (Lease, error) {
	out, err := l.over(to, by, why, b.Now().Truncate(time.Microsecond))
	if err != nil {
		return l, err
	}
	out.activation = ""
	return out, b.gone(ctx, tx, out, name, why)
}

// drop has the directory rid of a lease that is over, and takes what was asked for
// it and still waits off the approvers' table.
func (b *Book) drop(ctx context.Context, tx *store.Tx, l Lease, why string) error {
	for _, matter := range []string{l.Matter, l.Extension.Matter} {
		if matter == "" {
			continue
		}
		if err := b.Matters.Void(ctx, tx, matter, why); err != nil {
			return err
		}
	}
	return b.Effects.Withdraw(ctx, tx, l.ID)
}

// gone does what follows when a lease is over, whyever: the directory is rid of
// it, and its people are told.
func (b *Book) gone(ctx context.Context, tx *store.Tx, l Lease, by, why string) error {
	if err := b.drop(ctx, tx, l, why); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM lease_secret WHERE lease = $1`, l.ID); err != nil {
		return fmt.Errorf("forgetting the password of a lease: %w", err)
	}
	if err := b.lowered(ctx, tx, l); err != nil {
		return err
	}
	kind, detail := notice.LeaseEnded, map[string]string{}
	if l.state == Revoked {
		kind, detail = notice.LeaseRevoked, map[string]string{"by": by, "reason": why}
	}
	if err := b.tell(ctx, tx, l, l.By.ID, kind, detail); err != nil {
		return err
	}
	if due, owed := l.Owed(l.EndedAt); owed {
		return b.tell(ctx, tx, l, l.By.ID, notice.RecordOwed, map[string]string{"due": due.UTC().Format(time.RFC3339)})
	}
	return nil
}

// lowered ends the privileged session of a lease that is over, if none is left in it.
func (b *Book) lowered(ctx context.Context, tx *store.Tx, l Lease) error {
	var left int
	err := tx.QueryRow(ctx, `
		SELECT COUNT(*) FROM lease WHERE person_id = $1 AND session_id = $2 AND state = 'active' AND ends_at > $3 AND id <> $4`,
		string(l.By.ID), l.Session, store.Micros(b.Now()), l.ID).Scan(&left)
	if err != nil {
		return fmt.Errorf("counting what else somebody has borrowed: %w", err)
	}
	if left > 0 {
		return nil
	}
	return b.Sessions.Lower(ctx, tx, l.Session, "the last lease in it is over")
}

// EndOf ends every open lease of a person in the caller's transaction, for who is
// suspended, or shut out by a lock-down. Call Changed after its commit.
func (b *Book) EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error) {
	return b.endThose(ctx, tx, by, why, `person_id = $1 AND state IN ('pending', 'approved', 'active')`, string(who))
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

// Borrowers are those who hold a lease, or have asked for one, whom EndOf would
// take something from.
func (b *Book) Borrowers(ctx context.Context, in store.Reader) ([]directory.PersonID, error) {
	open, err := list(ctx, in, `state IN ('pending', 'approved', 'active')`)
	if err != nil {
		return nil, err
	}
	var out []directory.PersonID
	for _, l := range open {
		if l.State(b.Now()).Open() && !slices.Contains(out, l.By.ID) {
			out = append(out, l.By.ID)
		}
	}
	return out, nil
}

// EndPrivilege ends every open lease of a privilege; EndAll every one there is.
func (b *Book) EndPrivilege(ctx context.Context, tx *store.Tx, privilege, by, why string) (int, error) {
	return b.endThose(ctx, tx, by, why, `privilege = $1 AND state IN ('pending', 'approved', 'active')`, privilege)
}

// EndAll ends every open lease.
func (b *Book) EndAll(ctx context.Context, tx *store.Tx, by, why string) (int, error) {
	return b.endThose(ctx, tx, by, why, `state IN ('pending', 'approved', 'active')`)
}

func (b *Book) endThose(ctx context.Context, tx *store.Tx, by, why, where string, args ...any) (int, error) {
	open, err := list(ctx, tx, where, args...)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, l := range open {
		if done, err := b.tidy(ctx, tx, &l); err != nil || done && !l.state.Open() {
			if err != nil {
				return n, err
			}
			continue
		}
		now := b.Now().Truncate(time.Microsecond)
		var out Lease
		action := "lease.revoked"
		if l.state == Active {
			out, err = b.overTx(ctx, tx, l, Revoked, Ref{Login: by}, by, why)
		} else {
			action = "lease.cancelled"
			if out, err = l.cancel(Ref{Login: by}, why, now); err == nil {
				err = b.drop(ctx, tx, l, why)
			}
		}
		if err != nil {
			return n, err
		}
		if err := b.put(ctx, tx, &out); err != nil {
			return n, err
		}
		e := b.entry(out, By{}, action, why)
		e.Actor = by
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Changed has what a caller's own transaction did to leases seen at once.
func (b *Book) Changed(ctx context.Context) { b.changed(ctx) }

// Succeed carries the leases of a session over to the one that the same person
// began in the same browser, in the transaction that ends the first. Where they have
// signed in as each of them asks for, a privileged session begins with it: so they go
// on after theirs has idled out. What waits for a second person is left behind where
// they have not: nobody starts for them what they could not ready there.
func (b *Book) Succeed(ctx context.Context, tx *store.Tx, from string, to session.Session) error {
	open, err := list(ctx, tx, `session_id = $1 AND person_id = $2 AND state IN ('approved', 'active')`, from, string(to.Person))
	if err != nil {
		return err
	}
	held, enough, now := 0, true, b.Now()
	for _, l := range open {
		v, known := b.Policy().Privilege(l.Privilege)
		active, meets := l.State(now) == Active, known && Meets(v.ACR, to.ACR, slices.Contains(to.AMR, "swk"))
		if !active && !meets {
			continue
		}
		if err := b.move(ctx, tx, By{}, l, to.ID); err != nil {
			return err
		}
		if active {
			held, enough = held+1, enough && meets
		}
	}
	if held == 0 || !enough {
		return b.Sessions.Lower(ctx, tx, from, "the session is over")
	}
	_, err = b.Sessions.Elevate(ctx, tx, to.ID)
	return err
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
