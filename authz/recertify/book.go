package recertify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/authz/permit"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// ErrNotFound says that there is no such round, or none that is the reader's.
var ErrNotFound = errors.New("no such recertification")

// A Directory is where IDs and groups are; ldap.Directory is one.
type Directory interface {
	// Stream calls each for everybody. A nil error is the only one after which the
	// calls were everybody.
	Stream(ctx context.Context, each func(directory.Person) error) error
	ByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
	// Leave takes somebody out of a group, and sees that it is so.
	Leave(ctx context.Context, groupDN string, id directory.PersonID, formerDN string) error
}

// IDs close IDs; lifecycle.Book is one.
type IDs interface {
	LastUses(ctx context.Context, people []directory.Person) (map[directory.PersonID]time.Time, error)
	Prepare(ctx context.Context, id directory.PersonID) (lifecycle.Closing, error)
	CloseOut(ctx context.Context, tx *store.Tx, c lifecycle.Closing, by, reason, why string, asked bool) (lifecycle.Hold, error)
	Shut(ctx context.Context, in store.Reader, people []directory.Person) (map[directory.PersonID]bool, error)
	Bring(ctx context.Context, id directory.PersonID) error
	Told(ctx context.Context)
}

// Permits are what is permitted; permit.Book is one.
type Permits interface {
	InForce(ctx context.Context, kind string) ([]permit.Permit, error)
	EndOne(ctx context.Context, tx *store.Tx, id string, by Ref, why string) (bool, error)
	Changed(ctx context.Context)
}

// House is what the book is built on.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	Policy    func() *policy.Policy
	Directory Directory
	IDs       IDs
	Permits   Permits
	Matters   *approval.Book // who reviews, and who is asked where a round halts
	Sessions  interface {
		Poll(ctx context.Context) error
	}
	Projects func(ctx context.Context, people []directory.PersonID) (map[directory.PersonID]project.Purpose, error) // nil: IDs are for none
	Notices  *notice.Queue
	Forget   interface{ Forget(id directory.PersonID) } // nil: nobody remembers
	Now      clock.Now
	Log      *slog.Logger // nil: nothing is logged
	// Stop is called at named points; an error ends what is under way there, as a
	// crash would. Tests alone set it.
	Stop func(point string) error
}

// The points at which a test may stop what is under way.
const (
	PointFrozen  = "recertify frozen"  // lines are kept, and the round is not open
	PointLine    = "recertify line"    // one line is about to end
	PointEnded   = "recertify ended"   // it has, and nothing outside has heard of it
	PointLeaving = "recertify leaving" // the directory is about to hear
	PointLeft    = "recertify left"    // it has heard, and that is not written down
)

// A Book keeps rounds and their lines. It is safe for concurrent use.
type Book struct {
	House
	refused approval.Refusals // by person, round and reason
}

// errCrash is what a test's Stop ends something with.
var errCrash = errors.New("crashed")

func (b *Book) at(point string) error {
	if err := b.Stop(point); err != nil {
		return fmt.Errorf("%w: %w", errCrash, err)
	}
	return nil
}

// GoOn is the kind of matter that it asks for: what nobody confirmed ends after all.
const GoOn approval.Kind = "recertification"

// EndMany is the kind of matter by which a second person is asked: what one has ended
// beyond what they end alone.
const EndMany approval.Kind = "recertification_ends"

// New opens the book.
func New(h House) *Book {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	if h.Stop == nil {
		h.Stop = func(string) error { return nil }
	}
	b := &Book{House: h}
	h.Matters.Open(GoOn, approval.Desk{
		Name:   policy.Words{JA: "止まった棚卸しの続行", EN: "A recertification that has halted goes on"},
		Settle: b.settleHalt, Card: b.cardOfHalt,
	})
	h.Matters.Open(EndMany, approval.Desk{
		Name:   policy.Words{JA: "棚卸しで多くを終わらせる", EN: "Much of a recertification ends"},
		Settle: b.settleEnds, Card: b.cardOfEnds, Against: b.againstEnds,
	})
	return b
}

// system is who acts where nobody does.
const system = "system"

// entry begins an entry about a round on the trail.
func (r Round) entry(action string) audit.Entry {
	return audit.Entry{
		Actor: system, Action: action, Object: "recertification/" + r.Campaign, Outcome: audit.OK, Articles: articlesOf(r.Kind),
		Detail: map[string]string{"round": r.ID, "slot": r.Slot, "kind": r.Kind},
	}
}

// about begins an entry about one line.
func (r Round) about(action string, l Line, by approval.Approver) audit.Entry {
	e := r.entry(action)
	e.Object = l.Person.Login + " (" + string(l.Person.ID) + ")"
	e.Reason, e.Detail["line"], e.Detail["section"] = l.Comment, l.ID, l.Person.Section
	if l.Object != "" {
		e.Detail["what"] = l.Object
	}
	if l.Matter != "" {
		e.Detail["matter"] = l.Matter
	}
	if by.Person.ID != "" {
		e.Actor, e.From, e.RequestID, e.Terminal, e.Zone = by.Person.Login, by.From, by.RequestID, by.Terminal, string(by.Zone)
	}
	return e
}

// tell queues a notice in the first zone that sends mail: a recertification is in none.
func (b *Book) tell(ctx context.Context, tx *store.Tx, to directory.PersonID, k notice.Kind, detail map[string]string) error {
	p := b.Policy()
	var zone policy.ZoneID
	for _, z := range p.Zones {
		if notice.Mails(p, z.ID) {
			zone = z.ID
			break
		}
	}
	return b.Notices.Add(ctx, tx, notice.Notice{Person: to, Kind: k, Zone: zone, At: b.Now(), Detail: detail})
}

// reviewers are those who may come to decide lines of a section, CIO and officers of
// others among them.
func (b *Book) reviewers(ctx context.Context, section string) ([]approval.Holder, error) {
	all, err := b.Matters.Overseers(ctx, approval.Rule{Steps: []approval.Step{reviewing, anyOfficer}}, section)
	if err != nil {
		return nil, fmt.Errorf("reading who recertifies for %s: %w", section, err)
	}
	return all, nil
}

// A crowd remembers the reviewers of sections.
type crowd struct {
	*Book
	known map[string][]approval.Holder
}

func (b *Book) crowd() crowd { return crowd{b, map[string][]approval.Holder{}} }

func (c crowd) of(ctx context.Context, section string) ([]approval.Holder, error) {
	if all, ok := c.known[section]; ok {
		return all, nil
	}
	all, err := c.reviewers(ctx, section)
	if err == nil {
		c.known[section] = all
	}
	return all, err
}

// tellReviewers tells those before whom lines of a round are that wait, each once, with
// how many they are. up tells those a step above them too.
func (b *Book) tellReviewers(ctx context.Context, tx *store.Tx, r Round, to map[directory.PersonID]int) (int, error) {
	until := r.EndsAt(r.Deadline, b.Now()).Format(time.RFC3339)
	for _, id := range sortedKeys(to) {
		detail := map[string]string{"campaign": r.Name.JA, "campaign_en": r.Name.EN, "lines": strconv.Itoa(to[id]), "until": until}
		if err := b.tell(ctx, tx, id, notice.RecertifyWaits, detail); err != nil {
			return 0, err
		}
	}
	return len(to), nil
}

// heard counts, for each reviewer, the lines that are put before them; up adds those a
// step above.
func (c crowd) heard(ctx context.Context, open []Line, up int) (map[directory.PersonID]int, error) {
	p, now, out := c.Policy(), c.Now(), map[directory.PersonID]int{}
	for _, l := range open {
		all, err := c.of(ctx, l.Person.Section)
		if err != nil {
			return nil, err
		}
		for _, by := range all {
			if height, ok := l.Over(p, by, now); ok && height <= l.Raised+up && height >= l.Raised && MayDecide(p, l, by, now) == nil {
				out[by.Person.ID]++
			}
		}
	}
	return out, nil
}
