package permit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// Matters decide what is asked for; approval.Book is one. It is what this room needs
// of it.
type Matters interface {
	Signed(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error)
	Consider(ctx context.Context, m approval.Matter) (approval.Considered, error)
	Ask(ctx context.Context, tx *store.Tx, c approval.Considered) (approval.Matter, error)
	DecideWith(ctx context.Context, by approval.Approver, id string, yes bool, comment string, confirmed []string) (approval.View, error)
	Cancel(ctx context.Context, by approval.Approver, id, comment string) (approval.View, error)
	Void(ctx context.Context, tx *store.Tx, id, why string) error
	Decisions(ctx context.Context, in store.Reader, id string) ([]approval.Decision, error)
	Overseers(ctx context.Context, r approval.Rule, section string) ([]approval.Holder, error)
	Get(ctx context.Context, id string) (approval.View, error)
	Pending(ctx context.Context, by approval.Approver) ([]approval.View, error)
	Verdict(ctx context.Context, v approval.View, by approval.Approver) (approval.Verdict, error)
}

// People finds whom a permit is for.
type People interface {
	Find(ctx context.Context, typed string) (directory.Person, error)
}

// Facts reads one person afresh.
type Facts interface {
	Of(ctx context.Context, id directory.PersonID) (standing.Facts, error)
}

// Terminals is the register of terminals; authn/terminal has one.
type Terminals interface {
	Find(ctx context.Context, in store.Reader, id string) (terminal.Terminal, error)
	List(ctx context.Context) ([]terminal.Terminal, error)
}

// Sessions ends what depends on a permit; authn/session has them.
type Sessions interface {
	Abroad(ctx context.Context, in store.Reader, person directory.PersonID) ([]session.Session, error)
	End(ctx context.Context, tx *store.Tx, id, why string) error
	Row(ctx context.Context, in store.Reader, id string) (session.Session, error)
	Untold(ctx context.Context, most int) ([]session.Session, error)
	Tell(ctx context.Context, tx *store.Tx, n session.Session) (first bool, err error)
	Poll(ctx context.Context) error
	Ring()
}

// House is what the book is built on.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	Policy    func() *policy.Policy
	Version   func() int64 // of the policy
	Matters   Matters
	People    People
	Facts     Facts
	Terminals Terminals
	Sessions  Sessions
	Notices   *notice.Queue
	Now       clock.Now
	Ties      approval.Ties // of those whom permits are for; nil: there are no projects
}

// Kinds of matters that this room settles: those that a standing decision can name,
// and all the rest, whose subject is the kind of permit.
const (
	KindRemote   = approval.Kind(policy.PermitRemote)
	KindCrossing = approval.Kind(policy.PermitCrossing)
	KindPermit   = approval.Kind("permit")
)

// Kinds are all of them.
func Kinds() []approval.Kind { return []approval.Kind{KindRemote, KindCrossing, KindPermit} }

func matterKind(kind string) approval.Kind {
	if k := approval.Kind(kind); k == KindRemote || k == KindCrossing {
		return k
	}
	return KindPermit
}

// A Book keeps permits. It is safe for concurrent use.
type Book struct {
	House
	polling sync.Mutex // one poll at a time

	mu     sync.RWMutex
	held   map[string]authz.Permit // what may open something, by id
	person map[directory.PersonID][]authz.Permit
	way    map[way][]authz.Permit           // crossings, by what they lead to
	zone   map[policy.ZoneID][]authz.Permit // crossings, by the zone they lead from
	polled atomic.Int64                     // microseconds of the last poll that succeeded
	heard  atomic.Int64                     // the same, in nanoseconds of ticks
	polls  atomic.Int64
	ticks  func() time.Duration

	uses    sync.Map          // used since the last flush, by id
	refused approval.Refusals // by person, kind and reason
}

// New opens the book.
func New(h House) *Book {
	return &Book{
		House: h, held: map[string]authz.Permit{}, person: map[directory.PersonID][]authz.Permit{}, way: map[way][]authz.Permit{},
		zone: map[policy.ZoneID][]authz.Permit{}, ticks: clock.Ticks,
	}
}

// Open gives this room's matters to its desk.
func (b *Book) Open(book *approval.Book) {
	for _, k := range Kinds() {
		book.Open(k, approval.Desk{
			Name: policy.Words{JA: "許可", EN: "Permission"}, Settle: b.Settle, Confirms: b.confirms, Card: b.card,
			Settled: func(ctx context.Context, _ approval.Matter, _ approval.State) { b.changed(ctx) },
		})
	}
}

// Signed is who is behind a cookie, read afresh.
func (b *Book) Signed(ctx context.Context, o signin.Origin, cookie string) (By, error) {
	if cookie == "" {
		return By{}, session.ErrNone
	}
	return b.Matters.Signed(ctx, o, cookie)
}

func (b *Book) signed(by By) error {
	if by.Person.ID == "" || by.SessionID == "" {
		return session.ErrNone
	}
	if !by.Usable || !by.Person.Account.Usable(b.Now()) {
		return refused(AccountEnds, "このIDは現在利用できません。", "This ID cannot be used at present.", "62-2")
	}
	return nil
}

// still refuses who has been signed out, or closed out, since the request began.
func (b *Book) still(ctx context.Context, tx *store.Tx, by By) error {
	return session.StillSignedIn(ctx, tx, by.SessionID, by.Person.ID, b.Now())
}

// kind is one of the policy in force.
func (b *Book) kind(id string) (policy.PermitKind, error) {
	k, ok := b.Policy().Permit(id)
	if !ok {
		return policy.PermitKind{}, &Invalid{Faults: []Fault{{"kind", "unknown", policy.Words{
			JA: "この種類の許可はありません。", EN: "There is no such kind of permit."}}}}
	}
	return k, nil
}

// put saves a permit and counts its version.
func (b *Book) put(ctx context.Context, tx *store.Tx, m *Permit, k policy.PermitKind) error {
	if err := save(ctx, tx, *m, m.due(k), b.Now()); err != nil {
		return err
	}
	m.version++
	return nil
}

// entry begins the entry of an act about a permit.
func (b *Book) entry(m Permit, by By, action, reason string) audit.Entry {
	k, _ := b.Policy().Permit(m.Kind)
	e := audit.Entry{
		Actor: by.Person.Login, Action: action, Object: m.Kind, Outcome: audit.OK, Reason: reason, Articles: articles(k, m.Contractor),
		From: by.From, Zone: string(by.Zone), Terminal: by.Terminal, RequestID: by.RequestID,
		Detail: map[string]string{
			"permit": m.ID, "person": m.Person.Login, "requester": m.Requester.Login,
			"from": m.From.Format(time.RFC3339), "until": m.Until.Format(time.RFC3339),
		},
	}
	if e.Zone == "" {
		e.Zone = string(m.Zone)
	}
	if e.Actor == "" {
		e.Actor = "system"
	}
	if m.ID == "" {
		e.Detail = map[string]string{}
	}
	return e
}

// refuse enters on the trail that something was refused, once a minute for each
// person, kind and reason, and answers it. What was typed wrong is no breach.
func (b *Book) refuse(ctx context.Context, by By, k policy.PermitKind, err error) error {
	var r *Refused
	if !errors.As(err, &r) || r.Conflict() {
		return err
	}
	e := b.entry(Permit{Kind: k.ID}, by, "permit.refused", string(r.Reason))
	e.Outcome, e.Articles = audit.Refused, r.Articles
	if wrote := b.refused.Enter(ctx, b.DB, b.Trail, string(by.Person.ID)+" "+k.ID+" "+string(r.Reason), e, b.Now()); wrote != nil {
		return fmt.Errorf("recording a refusal: %w", wrote)
	}
	return err
}

// tell queues a notice in the caller's transaction.
func (b *Book) tell(ctx context.Context, tx *store.Tx, m Permit, to directory.PersonID, k notice.Kind, detail map[string]string) error {
	if to == "" {
		return nil
	}
	detail["kind"] = m.Kind
	return b.Notices.Add(ctx, tx, notice.Notice{Person: to, Kind: k, Zone: m.Zone, At: b.Now(), Detail: detail})
}

// tellBoth tells whose it is and who asked.
func (b *Book) tellBoth(ctx context.Context, tx *store.Tx, m Permit, k notice.Kind, detail map[string]string) error {
	for _, to := range unique([]string{string(m.Person.ID), string(m.Requester.ID)}) {
		if err := b.tell(ctx, tx, m, directory.PersonID(to), k, detail); err != nil {
			return err
		}
	}
	return nil
}

// changed has what was just committed seen here at once, and by the other gateways
// soon. It stands whether or not this succeeds: what is held in memory goes unused
// until it does.
func (b *Book) changed(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if err := errors.Join(b.poll(ctx), b.Sessions.Poll(ctx)); err != nil {
		slog.ErrorContext(ctx, "noting changed permits; memory is not used until it is noted", "error", err)
	}
}

// Changed has what a caller's own transaction did to permits seen at once.
func (b *Book) Changed(ctx context.Context) { b.changed(ctx) }

// words refuses what is no comment.
func words(field, text string, needed bool) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case needed && text == "":
		return "", &Invalid{Faults: []Fault{{field, "required", policy.Words{JA: "書いてください。", EN: "Please fill this in."}}}}
	case utf8.RuneCountInString(text) > mostReason:
		return "", &Invalid{Faults: []Fault{{field, "too_long", policy.Words{JA: "1000文字までで書いてください。", EN: "Please use 1000 characters at most."}}}}
	}
	return text, nil
}
