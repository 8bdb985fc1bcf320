package permit

import (
	"context"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/policy"
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
