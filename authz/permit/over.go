package permit

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Cancel takes back what waits; who asked may, and whose it would be.
func (b *Book) Cancel(ctx context.Context, by By, id, comment string) (Permit, error) {
	m, err := b.own(ctx, by, id)
	if err != nil {
		return Permit{}, err
	}
	switch m.State(b.Now()) {
	case Cancelled:
		return m, nil
	case Pending:
	default:
		return Permit{}, settled(m, b.Now())
	}
	// The request's own transaction decides between this and those who say yes.
	if _, err := b.Matters.Cancel(ctx, by, m.Matter, comment); err != nil {
		return Permit{}, err
	}
	return read(ctx, b.DB, id)
}

// End gives a permit back.
func (b *Book) End(ctx context.Context, by By, id, comment string) (Permit, error) {
	comment, err := words("comment", comment, false)
	if err != nil {
		return Permit{}, err
	}
	m, err := b.own(ctx, by, id)
	if err != nil {
		return Permit{}, err
	}
	if m.State(b.Now()) == Ended {
		return m, nil // the answer to the first may have been lost
	}
	return b.change(ctx, by, id, "permit.ended", comment, func(tx *store.Tx, m *Permit, e *audit.Entry) error {
		return b.end(ctx, tx, m, e, over{to: Ended, by: approval.Ref(by.Person), why: comment})
	})
}

// Revoke takes a permit away; see MayRevoke (articles 11-4, 63-1, 75-2). What waits still is taken off the table.
func (b *Book) Revoke(ctx context.Context, by By, id, comment string) (Permit, error) {
	m, comment, err := b.overseen(ctx, by, id, comment, true, nil)
	if err != nil {
		return Permit{}, err
	}
	if m.State(b.Now()) == Revoked {
		return m, nil
	}
	o := over{to: Revoked, by: approval.Ref(by.Person), why: comment}
	return b.change(ctx, by, id, "permit.revoked", comment, func(tx *store.Tx, m *Permit, e *audit.Entry) error {
		if m.State(b.Now()) == Pending {
			e.Action = "permit.cancelled"
			if err := b.Matters.Void(ctx, tx, m.Matter, comment); err != nil {
				return err
			}
			o.onto(m, Cancelled, b.Now())
		} else if err := b.end(ctx, tx, m, e, o); err != nil {
			return err
		}
		return b.tellBoth(ctx, tx, *m, notice.PermitRevoked, map[string]string{"by": by.Person.Name, "reason": comment})
	})
}

// overseen is a permit for whoever acts on it by a post, with their comment: they may
// take it away, and have proved themselves lately. also asks what else must be true;
// nil: nothing.
func (b *Book) overseen(ctx context.Context, by By, id, comment string, needed bool, also func(policy.PermitKind, Permit) error) (Permit, string, error) {
	comment, err := words("comment", comment, needed)
	if err != nil {
		return Permit{}, "", err
	}
	m, err := b.Get(ctx, by, id)
	if err != nil {
		return Permit{}, "", err
	}
	k, _ := b.Policy().Permit(m.Kind)
	err = MayRevoke(b.Policy(), k, m, by.Holder, b.Now())
	if err == nil && also != nil {
		err = also(k, m)
	}
	if err != nil {
		return Permit{}, "", b.refuse(ctx, by, k, err)
	}
	if need := by.Elevated(b.Policy(), b.Now()); need != nil {
		return Permit{}, "", need
	}
	return m, comment, nil
}

// MayRevoke says whether somebody may take a permit away, and have it done: whoever has
// their say over what decided it, for the section whose it is. The CIO and the CSIRT may
// anywhere.
func MayRevoke(p *policy.Policy, k policy.PermitKind, m Permit, by approval.Holder, now time.Time) error {
	for _, id := range by.Posts {
		if post, ok := p.Post(id); ok && post.Audits {
			return refused(ReadsOnly, "監査の役割を持つ方は、閲覧だけができます。", "Whoever audits reads and changes nothing.", "16-2", "82-2")
		}
	}
	if approval.Oversees(p, ruleOf(k), m.Person.Section, by, now) {
		return nil
	}
	return refused(NoPost, "この操作は、あなたの役割では行えません。この許可の室課で決める役割の方、CSIRT又は最高情報統括責任者に依頼してください。",
		"Your post does not include this. Ask whoever decides such permits for this section, the CSIRT or the CIO.", k.Articles...)
}

// MayReview says whether somebody may look a permit through: as MayRevoke, and neither
// whose it is nor who asked for or decided it, whichever of their IDs they use (article
// 16-1).
func MayReview(p *policy.Policy, k policy.PermitKind, m Permit, deciders []Ref, by approval.Holder, now time.Time) error {
	me := approval.Ref(by.Person)
	switch {
	case m.Person.Same(me), m.Requester.Same(me):
		return refused(NotTheirs, "自分の許可、自分が申請した許可は、自分では点検できません。ほかの方に依頼してください。", "Nobody reviews their own permit, or one they asked for. Ask somebody else who may.", "16-1")
	case slices.ContainsFunc(deciders, func(d Ref) bool { return d.Same(me) }):
		return refused(Decided, "自分が決めた許可は、自分では点検できません。決定に関わっていない方（CSIRTなど）に依頼してください。", "Nobody reviews a permit that they decided. Ask somebody who had no part in it, such as the CSIRT.", "16-1")
	}
	return MayRevoke(p, k, m, by, now)
}

// deciders are who had their say, one way or the other.
func deciders(made []approval.Decision) []Ref {
	var out []Ref
	for _, d := range made {
		if d.By.ID != "" { // a standing decision is nobody's
			out = append(out, d.By)
		}
	}
	return out
}

// Review writes down that a permit was looked at, and goes on.
func (b *Book) Review(ctx context.Context, by By, id, comment string) (Permit, error) {
	_, comment, err := b.overseen(ctx, by, id, comment, false, func(k policy.PermitKind, m Permit) error {
		made, err := b.Decisions(ctx, m)
		if err != nil {
			return err
		}
		return MayReview(b.Policy(), k, m, deciders(made), by.Holder, b.Now())
	})
	if err != nil {
		return Permit{}, err
	}
	return b.change(ctx, by, id, "permit.reviewed", comment, func(_ *store.Tx, m *Permit, _ *audit.Entry) error {
		if m.State(b.Now()) != Approved {
			return settled(*m, b.Now())
		}
		m.ReviewedAt, m.ReviewedBy = b.Now().UTC().Truncate(time.Microsecond), approval.Ref(by.Person)
		return nil
	})
}

// Record writes down what was done under a permit: when, by whom, what (article
// 26-2). It is written once.
func (b *Book) Record(ctx context.Context, by By, id string, d Done) (Permit, error) {
	what, err := words("what", d.What, true)
	if err != nil {
		return Permit{}, err
	}
	who, err := words("by", d.By, true)
	if err != nil {
		return Permit{}, err
	}
	m, err := b.Get(ctx, by, id)
	if err != nil {
		return Permit{}, err
	}
	k, _ := b.Policy().Permit(m.Kind)
	if err := MayRevoke(b.Policy(), k, m, by.Holder, b.Now()); err != nil && !m.concerns(approval.Ref(by.Person)) {
		return Permit{}, b.refuse(ctx, by, k, err)
	}
	now := b.Now().UTC().Truncate(time.Microsecond)
	if d.At.IsZero() || d.At.After(now) {
		return Permit{}, &Invalid{Faults: []Fault{{"at", "past", policy.Words{JA: "処理した日時を書いてください。", EN: "Say when it was done."}}}}
	}
	return b.change(ctx, by, id, "permit.done", what, func(_ *store.Tx, m *Permit, e *audit.Entry) error {
		switch {
		case !k.Done:
			return refused(NotRecorded, "この許可に処理の記録はありません。", "No record is kept of this kind of permit.", k.Articles...)
		case m.DecidedAt.IsZero(), !m.Done.Wrote.IsZero(), m.State(now) == Revoked:
			return settled(*m, now)
		}
		m.Done = Done{At: d.At.UTC(), By: who, What: what, Writer: approval.Ref(by.Person), Wrote: now}
		e.Articles, e.Detail["done_at"], e.Detail["done_by"] = append(e.Articles, "26-2"), m.Done.At.Format(time.RFC3339), who
		return nil
	})
}

// own is a permit that is the actor's: whose it is, or who asked for it.
func (b *Book) own(ctx context.Context, by By, id string) (Permit, error) {
	m, err := b.Get(ctx, by, id)
	if err != nil {
		return Permit{}, err
	}
	if !m.concerns(approval.Ref(by.Person)) {
		return Permit{}, refused(NotTheirs, "本人又は申請した人だけができます。", "Only whose permit it is, or who asked for it, does this.", "63-1")
	}
	return m, nil
}

func settled(m Permit, now time.Time) error {
	says := map[State]policy.Words{
		Pending:   {JA: "この申請は、まだ決まっていません。", EN: "This request is not decided yet."},
		Approved:  {JA: "この許可は、すでに出ています。", EN: "This permit is given already."},
		Ended:     {JA: "この許可は、すでに終わっています。", EN: "This permit has ended already."},
		Expired:   {JA: "この許可は、期限を過ぎています。", EN: "This permit has expired."},
		Revoked:   {JA: "この許可は、取り消されています。", EN: "This permit was revoked."},
		Denied:    {JA: "この申請は、却下されています。", EN: "This request was denied."},
		Cancelled: {JA: "この申請は、取り下げられています。", EN: "This request was taken back."},
		Lapsed:    {JA: "この申請は、期限までに決まらず失効しています。", EN: "This request has lapsed."},
	}[m.State(now)]
	return &Refused{WrongState, says, nil}
}

// change is one act about a permit, in a transaction of its own with its entry on the
// trail.
func (b *Book) change(ctx context.Context, by By, id, action, reason string, do func(tx *store.Tx, m *Permit, e *audit.Entry) error) (Permit, error) {
	var out Permit
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		m, err := read(ctx, tx, id)
		if err != nil {
			return err
		}
		k, _ := b.Policy().Permit(m.Kind)
		e := b.entry(m, by, action, reason)
		if err := do(tx, &m, &e); err != nil {
			return err
		}
		if err := b.put(ctx, tx, &m, k); err != nil {
			return err
		}
		out = m
		return b.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return Permit{}, err
	}
	b.changed(ctx)
	return out, nil
}

// An over is how permits come to their end.
type over struct {
	to  State
	by  Ref
	why string
	// lost is the terminal that is out of its owner's hands, with everything that was
	// opened there; "" for none.
	lost string
}

// onto writes an end into a permit.
func (o over) onto(m *Permit, to State, now time.Time) {
	m.state, m.EndedAt, m.EndedBy, m.EndReason = to, now.UTC().Truncate(time.Microsecond), o.by, o.why
}

// entryOf begins the entry of an end that comes to a permit from elsewhere.
func (b *Book) entryOf(m Permit, o over, to State) audit.Entry {
	e := b.entry(m, By{}, "permit."+string(to), o.why)
	if o.by.Login != "" {
		e.Actor = o.by.Login
	}
	return e
}

// end ends a permit in the caller's transaction, with what depends on it: the sessions
// that began outside by it, and, where it was a terminal's, the remote access that
// names the terminal. The caller saves it and enters it.
func (b *Book) end(ctx context.Context, tx *store.Tx, m *Permit, e *audit.Entry, o over) error {
	now := b.Now().UTC().Truncate(time.Microsecond)
	if m.State(now) != Approved {
		return settled(*m, now)
	}
	o.onto(m, o.to, now)
	return b.gone(ctx, tx, *m, e, o)
}

// gone ends what depends on a permit that is over.
func (b *Book) gone(ctx context.Context, tx *store.Tx, m Permit, e *audit.Entry, o over) error {
	switch m.Kind {
	case policy.PermitLentTerminal, policy.PermitPrivateTerminal:
		if followed, err := b.followed(ctx, tx, m, o); followed || err != nil {
			return err
		}
		// What waits would begin with a terminal that is permitted no more.
		if _, err := b.voidThose(ctx, tx, o, `terminal = $1 AND person_id = $2 AND kind = 'remote_access'`, m.Stated.One("terminal"), string(m.Person.ID)); err != nil {
			return err
		}
		n, err := b.endThose(ctx, tx, o, `terminal = $1 AND person_id = $2 AND kind = 'remote_access' AND state = 'approved'`, m.Stated.One("terminal"), string(m.Person.ID))
		if e.Detail["remote_permits"] = strconv.Itoa(n); err != nil || o.lost == "" {
			return err
		}
	case policy.PermitRemote:
	default:
		return nil
	}
	n, err := b.shut(ctx, tx, m, o.lost)
	e.Detail["sessions"] = strconv.Itoa(n)
	return err
}

// followed reports whether its person has another permit for the terminal, which goes on.
// Until that begins, the doors let nobody through with the terminal.
func (b *Book) followed(ctx context.Context, tx *store.Tx, m Permit, o over) (bool, error) {
	if o.lost != "" {
		return false, nil
	}
	rest, err := list(ctx, tx, `terminal = $1 AND person_id = $2 AND kind = $3 AND state = 'approved' AND id <> $4`,
		m.Stated.One("terminal"), string(m.Person.ID), m.Kind, m.ID)
	return slices.ContainsFunc(rest, func(r Permit) bool { return r.State(b.Now()) == Approved }), err
}

// shut ends the sessions of a person that began outside and that no other permit
// carries. Of a terminal that was lost it ends those that began there, and those of
// which nobody knows where they began, whatever else would carry them: a permit is for
// a terminal, and a session that does not say which may be in the finder's hands.
func (b *Book) shut(ctx context.Context, tx *store.Tx, m Permit, lost string) (int, error) {
	open, err := b.Sessions.Abroad(ctx, tx, m.Person.ID)
	if err != nil {
		return 0, err
	}
	rest, err := list(ctx, tx, fromOutside+` AND id <> $2`, string(m.Person.ID), m.ID)
	if err != nil {
		return 0, err
	}
	var facts []authz.Permit
	for _, r := range rest {
		if f, ok := r.Fact(); ok {
			facts = append(facts, f)
		}
	}
	n := 0
	for _, s := range open {
		if !s.Outside {
			continue
		}
		from, _ := netip.ParseAddr(s.From)
		// The account is not what is asked about here: the session's own use asks.
		v := authz.Enter(b.Policy(), authz.Facts{
			SignedIn: true, Person: directory.Person{ID: s.Person}, ACR: s.ACR, From: s.Zone, Outside: true, Source: from, Terminal: s.Terminal,
			SessionEnds: s.ExpiresAt, Permits: facts, Now: b.Now(),
		})
		why := "permit " + m.ID + " is over"
		if lost != "" && (s.Terminal == "" || s.Terminal == lost) {
			why = "terminal " + lost + " is gone"
		} else if v.Allowed(b.Now()) {
			continue
		}
		err := b.Sessions.End(ctx, tx, s.ID, why)
		if errors.Is(err, store.ErrUntouched) {
			continue
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
