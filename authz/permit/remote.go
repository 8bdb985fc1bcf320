package permit

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Over tells of the end of a session through network gear, in the transaction that
// writes it down, where the kinds of the permits that let it in say so (tell_end; article
// 63-7). It is told whatever ended the session, also the end of the permit itself. Where
// it is not known which permits those were, they are what the person has now.
func (b *Book) Over(ctx context.Context, tx *store.Tx, ids []string, n session.Session) error {
	if len(ids) == 0 {
		return b.Left(ctx, tx, n)
	}
	for _, id := range ids {
		if err := b.tellUse(ctx, tx, id, n, notice.RemoteOver, func(k policy.PermitKind) bool { return k.TellEnd }); err != nil {
			return err
		}
	}
	return nil
}

// MayEndSession says whether somebody may end a session from outside of a person of a
// section: whoever may take away the permits of remote access there.
func MayEndSession(p *policy.Policy, section string, by approval.Holder, now time.Time) error {
	k, _ := p.Permit(policy.PermitRemote)
	return MayRevoke(p, k, Permit{Person: Ref{Section: section}}, by, now)
}

// EndSession ends one session from outside, at the gate's pages or through gear, which is
// told by the network door (articles 63-1, 75-2). The permits that let it in stay. Its
// person is told who did it and why.
//
// Errors: ErrNotFound, *Refused, *Invalid, *approval.StepUp, session.ErrNone of who acts.
func (b *Book) EndSession(ctx context.Context, by By, id, reason string) error {
	reason, err := words("reason", reason, true)
	if err != nil {
		return err
	}
	if err := b.signed(by); err != nil {
		return err
	}
	n, err := b.Sessions.Row(ctx, b.DB, id)
	if errors.Is(err, session.ErrNone) || err == nil && !n.Outside {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	sections, err := b.SectionsOf(ctx, []session.Session{n})
	if err != nil {
		return err
	}
	section := sections[n.ID]
	p := b.Policy()
	if !b.Reach(by).Sees(p, section) {
		return ErrNotFound
	}
	k, _ := p.Permit(policy.PermitRemote)
	if err := MayEndSession(p, section, by.Holder, b.Now()); err != nil {
		return b.refuse(ctx, by, k, err)
	}
	if need := by.Elevated(p, b.Now()); need != nil {
		return need
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		err := b.Sessions.End(ctx, tx, n.ID, "ended by "+by.Person.Login)
		if errors.Is(err, store.ErrUntouched) {
			return refused(WrongState, "このセッションは、すでに終わっています。", "This session is over already.")
		}
		if err != nil {
			return err
		}
		if err := b.Notices.Add(ctx, tx, notice.Notice{
			Person: n.Person, Kind: notice.RemoteEnded, Zone: n.Zone, At: b.Now(), Detail: map[string]string{"by": by.Person.Name, "from": n.From, "reason": reason},
		}); err != nil {
			return err
		}
		return b.Trail.Append(ctx, tx, audit.Entry{
			Actor: by.Person.Login, Action: "session.ended", Object: n.Login, Outcome: audit.OK, Reason: reason, Articles: []policy.Article{"63-1", "75-2"},
			From: by.From, Zone: string(by.Zone), Terminal: by.Terminal, RequestID: by.RequestID,
			Detail: map[string]string{"session": n.ID, "session_from": n.From, "permits": strings.Join(n.Permits, " ")},
		})
	})
	if err != nil {
		return err
	}
	return b.Sessions.Poll(context.WithoutCancel(ctx))
}

// SectionsOf are the sections, by session, that its person belonged to when the permit
// was asked for that let them in. A session of which no permit is known has none.
func (b *Book) SectionsOf(ctx context.Context, all []session.Session) (map[string]string, error) {
	ids := map[string]bool{}
	for _, n := range all {
		for _, id := range n.Permits {
			ids[id] = true
		}
	}
	section := map[string]string{}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(ids)), tidyBatch) {
		args := make([]any, 0, len(part))
		for _, id := range part {
			args = append(args, id)
		}
		found, err := list(ctx, b.DB, numbered("id IN (?"+strings.Repeat(", ?", len(part)-1)+")", 1), args...)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			section[m.ID] = m.Person.Section
		}
	}
	out := map[string]string{}
	for _, n := range all {
		for _, id := range n.Permits {
			if s := section[id]; s != "" && out[n.ID] == "" {
				out[n.ID] = s
			}
		}
	}
	return out, nil
}
