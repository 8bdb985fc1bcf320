package approval

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

var (
	// ErrNotFound says that there is no such matter.
	ErrNotFound = errors.New("no such request")
	// ErrNotApproved says that an approval is not there to be used: not given, or
	// used before.
	ErrNotApproved = errors.New("no approval that could be used")
)

// Refused is a rule that said no. It says why in plain words.
type Refused struct{ Verdict Verdict }

func (r *Refused) Error() string { return "refused: " + string(r.Verdict.Reason) }

// StepUp says that signing in again, so strongly and so lately, would help.
type StepUp struct {
	Verdict  Verdict
	Required policy.ACR
	MaxAge   time.Duration
}

func (s *StepUp) Error() string { return "a fresh sign-in is needed: " + string(s.Verdict.Reason) }

// Unwrap is what those who know no approvals take it for.
func (s *StepUp) Unwrap() error { return &account.StepUp{Required: s.Required, MaxAge: s.MaxAge} }

// Invalid says that something which was entered cannot be taken.
type Invalid struct {
	Field, Rule string
	Says        policy.Words
}

func (i *Invalid) Error() string { return "the " + i.Field + " cannot be taken: " + i.Rule }

// MaxComment is the longest comment and reason, in code points.
const MaxComment = 1000

// An Event is something that is told to people.
type Event string

// The events.
const (
	Asked    Event = "asked"    // to whoever may decide
	Reminded Event = "reminded" // to them again, and to those a step up
	Settled  Event = "settled"  // to who asked, and whom it is for
)

// A Desk is the room that a kind of matter belongs to.
type Desk struct {
	Name policy.Words
	// Settle does what follows from an outcome, in the transaction that gives it.
	// It calls nothing outside the store, and may run more than once.
	Settle func(ctx context.Context, tx *store.Tx, m Matter, to State) error
	// Settled is called after the commit; what it does may be lost.
	Settled func(ctx context.Context, m Matter, to State)
	// Confirms are what every yes to a matter must confirm. nil: nothing.
	Confirms func(m Matter) []Confirmation
	// Against says why somebody whose post decides a matter may not say yes to it all
	// the same: they gain by it (article 16-1). Empty words and nil: nothing is.
	Against func(ctx context.Context, m Matter, by PersonRef) (policy.Words, error)
	// Card fills what the kind knows of a matter into its card.
	Card func(ctx context.Context, m Matter, c *Card) error
	// Notice says how an event is told; ok is false for the plain way.
	Notice func(m Matter, e Event, to State, by string) (k notice.Kind, detail map[string]string, ok bool)
}

// People reads who holds posts, and who the policy names.
type People interface {
	// Holders are the members of a group who are people.
	Holders(ctx context.Context, groupDN string) ([]directory.Person, error)
	Find(ctx context.Context, login string) (directory.Person, error)
}

// Facts reads one person afresh.
type Facts interface {
	Of(ctx context.Context, id directory.PersonID) (standing.Facts, error)
}

// Presence knows who is behind a cookie.
type Presence interface {
	Current(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
}

// House is what the book is built on.
type House struct {
	DB       *store.DB
	Trail    *audit.Trail
	Policy   func() *policy.Policy
	Version  func() int64 // of the policy
	People   People
	Facts    Facts
	Presence Presence
	Notices  *notice.Queue
	Now      clock.Now
	Ties     Ties // of those who act; nil: there are no projects
}

// A Book keeps what was asked and what was said. It is safe for concurrent use.
type Book struct {
	House
	desks   map[Kind]Desk
	roster  roster
	refused Refusals // by person, matter and reason
}

// New opens the book.
func New(h House) *Book {
	return &Book{House: h, desks: map[Kind]Desk{}, roster: roster{held: map[string]held{}}}
}

// Open gives a kind of matter to its desk, before anything is asked.
func (b *Book) Open(k Kind, d Desk) { b.desks[k] = d }

// A View is a matter with all that was said on it.
type View struct {
	Matter
	Now       time.Time
	Decisions []Decision
}

// At is the state that the view shows.
func (v View) At() State { return v.Matter.State(v.Now) }

// Step is the step that is waited at, from 0, and how many there are.
func (v View) Step() (at, of int) { return v.current(v.Decisions), len(v.Rule.Steps) }

// Signed is who is behind a cookie, read afresh, as an approver.
func (b *Book) Signed(ctx context.Context, o signin.Origin, cookie string) (Approver, error) {
	if session.KindOf(cookie) != session.KindSession {
		return Approver{}, session.ErrNone
	}
	step, err := b.Presence.Current(ctx, o, cookie)
	if err != nil {
		return Approver{}, err
	}
	n := step.Session
	if n == nil || n.App != "" {
		return Approver{}, session.ErrNone
	}
	facts, err := b.Facts.Of(ctx, n.Person)
	if err != nil {
		return Approver{}, err
	}
	tied, err := b.Ties.Of(ctx, nil, n.Person, b.Now())
	if err != nil {
		return Approver{}, err
	}
	return Approver{
		Holder: Holder{facts.Person, b.Policy().PostsOf(facts.Person.Groups), tied}, Usable: facts.Usable(b.Now()),
		ACR: n.ACR, AuthAt: n.AuthAt, FactorAt: n.FactorAt, Synced: slices.Contains(n.AMR, "swk"),
		SessionID: n.ID, Terminal: n.Terminal, From: o.Source.String(), RequestID: o.RequestID, Zone: o.Zone,
	}, nil
}

// Decisions are what was said on a matter, as in sees it.
func (b *Book) Decisions(ctx context.Context, in store.Reader, id string) ([]Decision, error) {
	return readDecisions(ctx, in, id)
}

// Get is a matter with all that was said on it.
func (b *Book) Get(ctx context.Context, id string) (View, error) {
	return Read(ctx, b.DB, id, b.Now())
}

// Read is Book.Get where no book is open, such as at a terminal.
func Read(ctx context.Context, in store.Reader, id string, now time.Time) (View, error) {
	m, made, err := read(ctx, in, id)
	return View{m, now, made}, err
}

func (b *Book) read(ctx context.Context, in store.Reader, id string) (Matter, []Decision, error) {
	return read(ctx, in, id)
}

func read(ctx context.Context, in store.Reader, id string) (Matter, []Decision, error) {
	m, err := readMatter(ctx, in, id)
	if err != nil {
		return Matter{}, nil, err
	}
	made, err := readDecisions(ctx, in, id)
	return m, made, err
}

// still refuses who has been signed out, or closed out, since the request began.
func (b *Book) still(ctx context.Context, tx *store.Tx, by Approver) error {
	return session.StillSignedIn(ctx, tx, by.SessionID, by.Person.ID, b.Now())
}

// entry begins an entry on the trail.
func (b *Book) entry(m Matter, actor, action, reason string) audit.Entry {
	articles := []policy.Article{"16-1"}
	for _, a := range m.Articles {
		if !slices.Contains(articles, a) {
			articles = append(articles, a)
		}
	}
	detail := map[string]string{"matter": m.ID, "kind": string(m.Kind), "requester": m.Requester.Login}
	if !m.Nobody {
		detail["for"] = m.For().Login
	}
	return audit.Entry{
		Actor: actor, Action: action, Object: string(m.Kind) + "/" + m.Subject, Outcome: audit.OK, Reason: reason,
		Articles: articles, Zone: string(m.Zone), Detail: detail,
	}
}

// Comment refuses what is no comment, for rooms that keep words of the same sort.
func Comment(field, text string, needed bool) error { return words(field, text, needed) }

// words refuses what is no comment: too long, or missing where it is needed.
func words(field, text string, needed bool) error {
	switch {
	case needed && strings.TrimSpace(text) == "":
		return &Invalid{field, "required", policy.Words{JA: "理由を書いてください。", EN: "Please give a reason."}}
	case utf8.RuneCountInString(text) > MaxComment:
		return &Invalid{field, "too_long", policy.Words{JA: "1000文字までで書いてください。", EN: "Please use 1000 characters at most."}}
	}
	return nil
}
