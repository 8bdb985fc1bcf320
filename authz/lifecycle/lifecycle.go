// Package lifecycle finds IDs that nobody uses, tells their holders, closes them,
// and proposes to delete them (article 62-5), with nobody having to remember.
//
//	in use --days--> warned --days--> disabled --days--> proposed --a person--> deleted
//	   any use: in use again           └── opened again: somebody's decision
//
// A sweep reads the directory to its end before anything is done, holding a page of
// it at a time. An answer that is no answer (empty, cut short, very different from
// the last) and a very large number of acts stop it until a person says that it may
// go on. Then it looks at each ID once more, and does what follows from what is true
// at that moment: each act is one transaction with its entry on the trail. A sweep
// that dies is gone on with, from where it was, by whichever gate lives.
//
// What it brings about in the directory is intended in that transaction, done, and
// confirmed by reading it back.
//
// It decides nothing about who comes in (authn/standing), and knows neither how the
// directory is spoken to nor what anybody is shown.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// articles are those that a sweep serves.
var articles = []policy.Article{"62-5"}

// A Directory is where the IDs are; ldap.Directory is one.
type Directory interface {
	// Stream calls each for everybody. A nil error is the only one after which the
	// calls were everybody.
	Stream(ctx context.Context, each func(directory.Person) error) error
	ByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
	Disable(ctx context.Context, p directory.Person) error
	Enable(ctx context.Context, p directory.Person) error
	Delete(ctx context.Context, p directory.Person) error
	// Holders are the members of a group.
	Holders(ctx context.Context, groupDN string) ([]directory.Person, error)
	// Numbered are the IDs that carry a number: one human being's, and those that they
	// answer for.
	Numbered(ctx context.Context, number string) ([]directory.Person, error)
	// Ping asks whether the directory answers at all.
	Ping(ctx context.Context) error
}

// A Keeper keeps factors of one kind; totp.Devices, passkey.Keys and card.Reader are some.
type Keeper interface {
	RemoveAll(ctx context.Context, tx *store.Tx, person directory.PersonID) error
}

// A Register knows which IDs lie in envelopes for emergencies; sealed.Book is one.
type Register interface {
	Among(ctx context.Context, in store.Reader, logins []string) (map[string]bool, error)
}

// Sessions end what somebody has open; session.Sessions are some.
type Sessions interface {
	EndAll(ctx context.Context, tx *store.Tx, person directory.PersonID, login, except, why string) error
	Poll(ctx context.Context) error
}

// Leases are privilege that is lent, and permits; grant.Book and permit.Book are some.
type Leases interface {
	EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error)
	Changed(ctx context.Context)
}

// House is what the book is built on.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	Policy    func() *policy.Policy
	Directory Directory
	Sessions  Sessions
	Leases    Leases         // nil: nothing is lent
	Permits   Leases         // nil: nothing is permitted
	Matters   *approval.Book // asks somebody where a sweep stops, and for deletions
	Notices   *notice.Queue
	Factors   []Keeper                                   // what is removed of IDs that are gone
	Sealed    Register                                   // nil: no ID lies in an envelope
	Own       string                                     // the name that Sekisho itself binds with; "": not known
	Forget    interface{ Forget(id directory.PersonID) } // nil: nobody remembers
	Now       clock.Now
	Log       *slog.Logger // nil: nothing is logged
	// Stop is called at named points; an error ends what is under way there, as a
	// crash would. Tests alone set it.
	Stop func(point string) error
}

// A Book keeps what was found and what was done about it. It is safe for concurrent
// use.
type Book struct {
	House
	wake chan struct{}
}

// The kinds of matters that it asks for.
const (
	GoOn     approval.Kind = "sweep"    // a sweep that stopped may go on
	Deletion approval.Kind = "deletion" // IDs that nobody used are deleted
)

// New opens the book.
func New(h House) *Book {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	b := &Book{House: h, wake: make(chan struct{}, 1)}
	if h.Matters != nil {
		h.Matters.Open(GoOn, approval.Desk{
			Name:   policy.Words{JA: "止まった点検の続行", EN: "A sweep that has stopped goes on"},
			Settle: b.settleStop, Card: b.cardOfStop, Settled: func(context.Context, approval.Matter, approval.State) { b.nudge() },
		})
		h.Matters.Open(Deletion, approval.Desk{
			Name:   policy.Words{JA: "使われないIDの削除", EN: "IDs that nobody uses are deleted"},
			Settle: b.settleDeletion, Card: b.cardOfDeletion, Settled: func(context.Context, approval.Matter, approval.State) { b.nudge() },
		})
	}
	return b
}

// nudge has Run look at once. It is a hint.
func (b *Book) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *Book) at(point string) error {
	if b.Stop == nil {
		return nil
	}
	if err := b.Stop(point); err != nil {
		return fmt.Errorf("%w: %w", errCrash, err)
	}
	return nil
}

// errCrash is what a test's Stop ends something with.
var errCrash = errors.New("crashed")

// ErrBusy: another sweep is under way.
var ErrBusy = errors.New("another sweep is under way")

// A Stopped is a sweep that does nothing until somebody says that it may.
type Stopped struct {
	Sweep  string
	Why    Stop
	Before Answer // what there was last time
	Matter string // of the request that somebody decides; "" where nobody could be asked
	Answer Answer
}

func (s *Stopped) Error() string { return "the sweep stopped: " + string(s.Why) }

// ClassOf is the class of an ID by which its days are counted.
func ClassOf(p *policy.Policy, who directory.Person) policy.DormancyClass {
	return classOf(who, p.Powerful(p.PostsOf(who.Groups)))
}

func classOf(who directory.Person, powerful bool) policy.DormancyClass {
	switch {
	case who.Protected || powerful:
		return policy.DormancyPrivileged
	case who.Kind == directory.KindContractor:
		return policy.DormancyContractor
	case who.Kind == directory.KindService:
		return policy.DormancyService
	case who.Kind == directory.KindShared:
		return policy.DormancyShared
	}
	return policy.DormancyStaff
}

// classes tell the classes of very many people: each group's name is looked at once.
type classes struct {
	powerful map[string]bool // by canonical DN
	known    map[string]bool // by the DN as the directory spells it
}

func newClasses(p *policy.Policy) *classes {
	c := &classes{map[string]bool{}, map[string]bool{}}
	for _, post := range p.Posts {
		if post.Group != "" && p.Powerful([]policy.PostID{post.ID}) {
			c.powerful[policy.CanonicalDN(post.Group)] = true
		}
	}
	return c
}

// mostGroups bounds the names that are remembered.
const mostGroups = 20_000

func (c *classes) of(who directory.Person) policy.DormancyClass {
	for _, dn := range who.Groups {
		powerful, ok := c.known[dn]
		if !ok {
			if len(c.known) >= mostGroups {
				clear(c.known)
			}
			powerful = c.powerful[policy.CanonicalDN(dn)]
			c.known[dn] = powerful
		}
		if powerful {
			return classOf(who, true)
		}
	}
	return classOf(who, false)
}

// An Age is how long ago an ID was last used, roughly.
type Age string

// The ages, youngest first.
const (
	Age30  Age = "under_30"
	Age60  Age = "30_to_59"
	Age90  Age = "60_to_89"
	Age180 Age = "90_to_179"
	Age365 Age = "180_to_364"
	AgeOld Age = "365_and_more"
	Never  Age = "never"
)

// Ages are all of them.
func Ages() []Age { return []Age{Age30, Age60, Age90, Age180, Age365, AgeOld, Never} }

// idle is the days from which an ID has an entry of its own.
const idle = 30

// AgeOf is the age of an ID that was judged.
func AgeOf(j Judgement) Age {
	switch {
	case j.Unused < idle: // also what is new and was never used
		return Age30
	case j.LastUse.IsZero():
		return Never
	case j.Unused < 60:
		return Age60
	case j.Unused < 90:
		return Age90
	case j.Unused < 180:
		return Age180
	case j.Unused < 365:
		return Age365
	}
	return AgeOld
}

// An Act is what a sweep does about an ID.
type Act string

// The acts. The zero Act is none.
const (
	Warn    Act = "warn"
	Disable Act = "disable"
	Propose Act = "propose_deletion"
)

// An Entry is one ID that is not used, as a sweep found it.
type Entry struct {
	Person                        directory.PersonID
	Login, Name, Section, Company string
	Kind                          directory.Kind
	Class                         policy.DormancyClass
	CreatedAt                     time.Time
	LastUse                       time.Time // zero: never
	Since                         time.Time
	Unused                        int
	Stage                         Stage
	Hold                          Hold
	Act                           Act
	Outcome                       Outcome
}

// An Outcome is what became of an entry's act.
type Outcome string

// The outcomes. The zero Outcome: not done yet.
const (
	Done   Outcome = "done"
	Passed Outcome = "passed_over" // it was used, or is gone, since it was read
	Failed Outcome = "failed"
)

// A Summary is what came of a sweep.
type Summary struct {
	ID      string
	Slot    string
	AsOf    time.Time
	BeganAt time.Time
	EndedAt time.Time // zero: not yet
	By      string
	State   State
	Why     string // of one that stopped or failed
	Matter  string
	Answer
	ToWarn, ToDisable, ToDelete int // what was to follow
	Warned, Disabled, Proposed  int // what did
	PassedOver, Failed          int
	DoneTo                      directory.PersonID
	tries                       int // how often in a row it came to nothing
}

// A State is how far a sweep has come.
type State string

// The states.
const (
	Reading    State = "reading"
	Acting     State = "acting"
	Halted     State = "stopped" // somebody is asked
	Finished   State = "done"
	Dropped    State = "dropped" // somebody said no, or nobody said yes in time
	Superseded State = "superseded"
)
