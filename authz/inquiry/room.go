package inquiry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Presence knows who is behind a cookie, read afresh; approval.Book is one.
type Presence interface {
	Signed(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error)
}

// House is what the room stands on. All must be given.
type House struct {
	DB       *store.DB
	Trail    *audit.Trail
	Policy   func() *policy.Policy
	Presence Presence
	Now      clock.Now
}

// A Room is where the trail is looked through. It is safe for concurrent use.
type Room struct {
	House
	refused approval.Refusals // by person, act and reason
}

// New builds it.
func New(h House) *Room { return &Room{House: h} }

// A Refusal says why nothing is shown: the reader may not look, or the question has faults.
type Refusal struct {
	Reason   string // for machines and auditors
	Says     policy.Words
	Articles []policy.Article
	Faults   []Fault
}

func (r *Refusal) Error() string { return "inquiry: " + r.Reason }

// articles are those that looking at the trail serves.
var articles = []policy.Article{"51-1", "82-1"}

// mostCase bounds the case that a look is entered with, in bytes.
const mostCase = longest

// May says whether somebody with these posts may look at the trail: whoever audits, and
// nobody else, for it shows what everybody did. nil: they may.
func May(p *policy.Policy, posts []policy.PostID) *Refusal {
	if slices.ContainsFunc(posts, func(id policy.PostID) bool { post, ok := p.Post(id); return ok && post.Audits }) {
		return nil
	}
	return &Refusal{Reason: "no_post", Articles: articles, Says: policy.Words{
		JA: "記録を検索できるのは、監査を担当する方だけです。", EN: "Only auditors may search the trail."}}
}

// Found is one page of what a search found, the newest first. Next is the number to go on
// after; 0 at the end.
type Found struct {
	Records []audit.Record
	Next    int64
}

// Search looks for entries on behalf of whoever is behind a cookie. That they did is on
// the trail before anything is looked for; where it cannot be written, nothing is shown.
func (r *Room) Search(ctx context.Context, o signin.Origin, cookie string, q Question) (Found, error) {
	by, err := r.reader(ctx, o, cookie, "trail.searched")
	if err != nil {
		return Found{}, err
	}
	q.Case = strings.TrimSpace(q.Case)
	if wrong := q.Check(); len(wrong) > 0 {
		return Found{}, &Refusal{Reason: "question", Faults: wrong}
	}
	e := entryOf(by, "trail.searched")
	e.Object, e.Case, e.Detail = q.Actor, q.Case, q.detail()
	if err := r.enter(ctx, e); err != nil {
		return Found{}, err
	}
	f := q.filter()
	f.Limit = max(1, q.Limit)
	wanted := f.Limit
	f.Limit++ // one more tells whether there is a next page
	all, err := r.Trail.Search(ctx, f)
	if err != nil {
		return Found{}, err
	}
	if len(all) > wanted {
		all = all[:wanted]
		return Found{all, all[wanted-1].Index}, nil
	}
	return Found{Records: all}, nil
}

// Look shows one entry to whoever is behind a cookie, with the case that they came with,
// if any. That they looked, and at whose act, is on the trail before they see it.
// audit.ErrNoEntry: there is no such entry.
func (r *Room) Look(ctx context.Context, o signin.Origin, cookie string, index int64, serves string) (audit.Sight, error) {
	by, err := r.reader(ctx, o, cookie, "trail.read")
	if err != nil {
		return audit.Sight{}, err
	}
	if serves = strings.TrimSpace(serves); !plain(serves) || len(serves) > mostCase {
		return audit.Sight{}, &Refusal{Reason: "question", Faults: Question{Case: serves}.Check()}
	}
	s, err := r.Trail.Look(ctx, index)
	if err != nil {
		return audit.Sight{}, err
	}
	e := entryOf(by, "trail.read")
	e.Object, e.Case, e.Detail = strconv.FormatInt(index, 10), serves, map[string]string{"actor": s.Actor, "action": s.Action}
	if err := r.enter(ctx, e); err != nil {
		return audit.Sight{}, err
	}
	return s, nil
}

// reader is who is behind a cookie, if they may look: an auditor, with two factors proved
// within the absolute end of administrators' pages, as for reports, which show less.
func (r *Room) reader(ctx context.Context, o signin.Origin, cookie, action string) (approval.Approver, error) {
	if cookie == "" {
		return approval.Approver{}, signin.ErrNone
	}
	by, err := r.Presence.Signed(ctx, o, cookie)
	if err == nil && !by.Usable {
		err = session.ErrNone
	}
	if err != nil {
		return approval.Approver{}, err
	}
	if no := May(r.Policy(), by.Posts); no != nil {
		e := entryOf(by, action)
		e.Outcome, e.Reason = audit.Refused, no.Reason
		if err := r.refused.Enter(ctx, r.DB, r.Trail, string(by.Person.ID)+" "+action+" "+no.Reason, e, r.Now()); err != nil {
			return approval.Approver{}, fmt.Errorf("recording a refusal: %w", err)
		}
		return approval.Approver{}, no
	}
	need := &account.StepUp{Required: policy.AAL2, MaxAge: r.Policy().Session.ElevatedAbsoluteEnd}
	if !by.ACR.AtLeast(need.Required) || r.Now().Sub(by.AuthAt) > need.MaxAge {
		return approval.Approver{}, need
	}
	return by, nil
}

func entryOf(by approval.Approver, action string) audit.Entry {
	return audit.Entry{
		Actor: by.Person.Login, Action: action, Outcome: audit.OK, Articles: articles,
		From: by.From, Zone: string(by.Zone), Terminal: by.Terminal, RequestID: by.RequestID,
	}
}

func (r *Room) enter(ctx context.Context, e audit.Entry) error {
	if err := r.DB.WithTx(ctx, func(tx *store.Tx) error { return r.Trail.Append(ctx, tx, e) }); err != nil {
		return fmt.Errorf("recording that the trail is looked through: %w", err)
	}
	return nil
}
