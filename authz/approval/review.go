package approval

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Review writes down that an acting decision was looked at (後閲), in order or with
// an objection. It undoes nothing: what was decided is taken back where it is lent,
// or by another decision. An objection is told to who decided, to who asked, and to
// those above.
func (b *Book) Review(ctx context.Context, by Approver, decision string, objects bool, comment string) (View, error) {
	if err := words("comment", comment, objects); err != nil {
		return View{}, err
	}
	if need := b.toReview(by); need != nil {
		return View{}, need
	}
	higher := b.above(ctx)
	var (
		out View
		no  Verdict
	)
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		out, no = View{}, Verdict{}
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		id, err := matterOf(ctx, tx, decision)
		if err != nil {
			return err
		}
		m, made, err := b.read(ctx, tx, id)
		if err != nil {
			return err
		}
		now := b.Now().UTC().Truncate(time.Microsecond)
		i := slices.IndexFunc(made, func(d Decision) bool { return d.ID == decision })
		if i < 0 {
			return ErrNotFound
		}
		if !by.Usable {
			return session.ErrNone
		}
		out = View{m, now, made}
		if no = Reviewer(b.Policy(), m, made[i], by.Holder); !no.ok {
			return nil
		}
		no = Verdict{}
		made[i].Review = Review{By: Ref(by.Person), At: now, Comment: comment, Objects: objects}
		if err := review(ctx, tx, made[i]); err != nil {
			return err
		}
		e := b.entry(m, by.Person.Login, "approval.reviewed", comment)
		e.From, e.RequestID, e.Terminal, e.Zone = by.From, by.RequestID, by.Terminal, string(by.Zone)
		e.Detail["decision"], e.Detail["decided_by"] = decision, made[i].By.Login
		if objects {
			e.Action = "approval.objected"
			if err := b.tellObjection(ctx, tx, m, made[i], higher); err != nil {
				return err
			}
		}
		return b.Trail.Append(ctx, tx, e)
	})
	if err != nil {
		return View{}, fmt.Errorf("reviewing a decision: %w", err)
	}
	if no.Reason != NotStated {
		return View{}, b.refuse(ctx, by, out.Matter, no)
	}
	return out, nil
}

// toReview is the sign-in that a review takes first; nil: the present one does. It
// is that of all acts about what others were given.
func (b *Book) toReview(by Approver) *StepUp {
	need := by.Elevated(b.Policy(), b.Now())
	if need == nil {
		return nil
	}
	return &StepUp{refusal(Stale, policy.Words{
		JA: "後閲の前に、もう一度パスキー又はICカードで確かめてください。", EN: "Before you review it, please prove yourself again with your passkey or card.",
	}, true, "62-7"), need.Required, need.MaxAge}
}

// above are those who hear of an objection, by their posts: the officers and the
// CIO. While the directory is away they are not told by mail; the page shows it.
func (b *Book) above(ctx context.Context) []Holder {
	people, err := b.whoMay(ctx, b.Policy(), Rule{Strict: true})
	if err != nil {
		slog.WarnContext(ctx, "reading whom to tell of an objection", "error", err)
		return nil
	}
	return people
}

func (b *Book) tellObjection(ctx context.Context, tx *store.Tx, m Matter, d Decision, higher []Holder) error {
	tell := []directory.PersonID{d.By.ID, m.Requester.ID}
	p := b.Policy()
	for _, h := range higher {
		for _, post := range []policy.PostID{policy.SecurityOfficer, policy.CIO} {
			if slices.Contains(h.Posts, post) && reaches(p, post, h.Person.Section, m.section(), Own) {
				tell = append(tell, h.Person.ID)
			}
		}
	}
	var told []directory.PersonID
	for _, id := range tell {
		if id == d.Review.By.ID || strings.HasPrefix(string(id), atTerminal) || slices.Contains(told, id) || len(told) == mostTold {
			continue
		}
		told = append(told, id)
		if err := b.Notices.Add(ctx, tx, notice.Notice{Person: id, Kind: notice.DecisionObjected, Zone: m.Zone, At: b.Now(), Detail: map[string]string{
			"by": d.Review.By.Name, "kind": string(m.Kind), "reason": d.Review.Comment,
		}}); err != nil {
			return err
		}
	}
	return nil
}
