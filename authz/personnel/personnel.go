// Package personnel carries out personnel changes (人事異動): a file of lines, each about
// one person, on its day (articles 62-3 and 62-4).
//
//	file ──Read──► lines ──Make──► plan ──a second person──► approved ──its day──► done
//	         └► every bad line is named, and nothing is done            └► undone, within days
//
// Reading and planning are pure. What a plan does is rows: each line has steps (its end,
// the change itself, leave), and each step is intended in a transaction, done in the
// directory, read back, and confirmed in a transaction with its entry on the trail. Who
// dies at a line leaves it intended, and whichever gate lives does it again: a step says
// what is to be and not what is to happen, so that twice is once.
//
// An end that is known is written when the import is approved, so that it holds at its
// minute whether or not anything runs then.
//
// It knows neither how the directory is spoken to nor how a plan is shown, and it gives
// nobody a password (authz/people).
package personnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// articles are those that an import serves.
var articles = []policy.Article{"62-3", "62-4"}

// A Directory is where the IDs are; ldap.Directory is one.
type Directory interface {
	// Stream calls each for everybody. A nil error is the only one after which the
	// calls were everybody.
	Stream(ctx context.Context, each func(directory.Person) error) error
	ByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
	// Several reads people in one go; who is not there any more is left out.
	Several(ctx context.Context, ids []directory.PersonID) ([]directory.Person, error)
	Find(ctx context.Context, login string) (directory.Person, error)
	Create(ctx context.Context, n directory.NewPerson) (directory.Person, error)
	Amend(ctx context.Context, p directory.Person, a directory.Amendment) error
	AddMember(ctx context.Context, groupDN, personDN string) error
	RemoveMember(ctx context.Context, groupDN, personDN string) error
}

// Life is what lifecycle knows of IDs; lifecycle.Book is one.
type Life interface {
	Leave(ctx context.Context, tx *store.Tx, l lifecycle.Leave) error
	EndLeave(ctx context.Context, tx *store.Tx, who directory.Person, by string) error
	Reopen(ctx context.Context, tx *store.Tx, who directory.Person) error
}

// Leases is privilege that is lent, and permits; grant.Book and permit.Book are some.
type Leases interface {
	EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error)
	Changed(ctx context.Context)
}

// Permits can also be ended as far as they were asked for before a time; permit.Book is
// one.
type Permits interface {
	Leases
	EndAsked(ctx context.Context, tx *store.Tx, who directory.PersonID, before time.Time, by, why string) (int, error)
}

// Sessions end what somebody has open; session.Sessions are some.
type Sessions interface {
	EndAll(ctx context.Context, tx *store.Tx, person directory.PersonID, login, except, why string) error
	Poll(ctx context.Context) error
}

// Notices are what people are told by mail; notice.Queue is one.
type Notices interface {
	Add(ctx context.Context, tx *store.Tx, n notice.Notice) error
}

// Projects are those that IDs are bound to; project.Book is one. What is done twice by it
// is done once.
type Projects interface {
	Known(ctx context.Context, in store.Reader) ([]project.Project, error)
	Bound(ctx context.Context, in store.Reader) (map[directory.PersonID][]project.Member, error)
	BoundOf(ctx context.Context, in store.Reader, people []directory.PersonID) (map[directory.PersonID][]project.Member, error)
	Ends(ctx context.Context, in store.Reader) (map[directory.PersonID]project.End, error)
	EndsOf(ctx context.Context, in store.Reader, people []directory.PersonID) (map[directory.PersonID]project.End, error)
	Tie(ctx context.Context, tx *store.Tx, projectID string, who directory.Person, role project.Role, by, imported string) error
	TieOver(ctx context.Context, tx *store.Tx, projectID string, who directory.Person, role project.Role, by, imported string) error
	Untie(ctx context.Context, tx *store.Tx, projectID string, who directory.PersonID, by, why string) error
	SetEnd(ctx context.Context, tx *store.Tx, who project.Ref, e project.End) error
	Seen(ctx context.Context, people ...directory.PersonID)
}

// House is what the book is built on.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	Policy    func() *policy.Policy
	Directory Directory
	Sessions  Sessions
	Leases    Leases  // nil: nothing is lent
	Permits   Permits // nil: nothing is permitted
	Life      Life
	Projects  Projects // nil: there are none
	Matters   *approval.Book
	Notices   Notices                                    // nil: nobody is told
	Own       string                                     // the name that Sekisho itself binds with; "": not known
	Forget    interface{ Forget(id directory.PersonID) } // nil: nobody remembers
	// Fresh reports whether what was polled is young enough to be gone by.
	Fresh func() bool
	Now   clock.Now
	Log   *slog.Logger // nil: nothing is logged
	// Stop is called at named points; an error ends what is under way there, as a
	// crash would. Tests alone set it.
	Stop func(point string) error
}

// A Book keeps what was proposed and what became of it. It is safe for concurrent use.
type Book struct {
	House
	wake   chan struct{}
	places places
	looked sync.Map // when somebody last looked at an import
}

// New opens the book.
func New(h House) *Book {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	b := &Book{House: h, wake: make(chan struct{}, 1)}
	b.open()
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
	return b.Stop(point)
}

// A File is a file of personnel changes.
type File struct {
	Name   string    // without its folder
	Digest string    // SHA-256, hexadecimal
	From   io.Reader // of its bytes
}

// dayOf is the effective time of a day, or of none: then it is now. It is to the second, as
// ends are in a directory: what was written is known again when it is undone.
func dayOf(of, now time.Time) time.Time {
	now = now.UTC().Truncate(time.Second)
	if of.IsZero() || of.Before(now) {
		return now
	}
	return of
}

// Look says what a file would do, for somebody who may see it, and enters on the trail
// that they saw it: who moves where is confidential until it is told. Faults name every
// line that cannot be carried out.
func (b *Book) Look(ctx context.Context, by string, f File, effective time.Time) (Plan, error) {
	p, err := b.plan(ctx, f, effective)
	if err != nil {
		return Plan{}, err
	}
	e := b.entry(by, "import.viewed", "file/"+f.Name, "")
	e.Detail["sha256"], e.Detail["dry_run"] = f.Digest, "yes"
	e.Detail["effective"] = p.Effective.Format(time.RFC3339)
	p.Summary().numbers(e.Detail)
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.Trail.Append(ctx, tx, e) })
	if err != nil {
		return Plan{}, fmt.Errorf("entering that a plan was seen: %w", err)
	}
	return p, nil
}

func (b *Book) plan(ctx context.Context, f File, effective time.Time) (Plan, error) {
	pol, now := b.Policy(), b.Now() // once: a file for now has no day that is yet to come, however long it is read
	lines, err := Read(f.From, pol)
	if err != nil {
		return Plan{}, err
	}
	k, err := b.known(ctx, now)
	if err != nil {
		return Plan{}, err
	}
	return Make(pol, lines, k, dayOf(effective, now), now)
}

// errNobody: a directory that has nobody has not answered.
var errNobody = fmt.Errorf("%w: it has nobody", directory.ErrTruncated)

// known reads what a plan goes by.
func (b *Book) known(ctx context.Context, now time.Time) (Known, error) {
	k := Known{Holdings: map[directory.PersonID][]Holding{}, OnLeave: map[directory.PersonID]time.Time{}, Former: map[string]bool{}, Places: map[directory.PersonID][]string{}, Own: b.Own}
	err := b.Directory.Stream(ctx, func(p directory.Person) error {
		k.People = append(k.People, p)
		return nil
	})
	if err == nil && len(k.People) == 0 {
		err = errNobody
	}
	if err != nil {
		return k, fmt.Errorf("reading the directory: %w", err)
	}
	type held struct {
		who directory.PersonID
		Holding
	}
	for kind, q := range map[string]string{
		"lease":  `SELECT person_id, privilege, id, state FROM lease WHERE state IN ('pending', 'approved', 'active') ORDER BY asked_at, id`,
		"permit": `SELECT person_id, kind, id, state FROM permit WHERE state IN ('pending', 'approved') AND kind <> 'zone_crossing' ORDER BY asked_at, id`,
	} {
		all, err := store.All(ctx, b.DB, "what people hold", func(r store.Row) (h held, err error) {
			var state string
			err = r.Scan(&h.who, &h.Subject, &h.ID, &state)
			if h.Kind = kind; state == "pending" {
				h.Kind += "_request"
			}
			return h, err
		}, q)
		if err != nil {
			return k, err
		}
		for _, h := range all {
			k.Holdings[h.who] = append(k.Holdings[h.who], h.Holding)
		}
	}
	pairs := func(what, q string, args ...any) ([][2]string, error) {
		return store.All(ctx, b.DB, what, func(r store.Row) (v [2]string, err error) {
			err = r.Scan(&v[0], &v[1])
			return v, err
		}, q, args...)
	}
	at := store.Micros(now)
	leave, err := pairs("who is on leave", `SELECT person_id, CAST(until AS TEXT) FROM standing WHERE kind = 'on_leave' AND (until = 0 OR until > $1)`, at)
	if err != nil {
		return k, err
	}
	for _, v := range leave {
		until, err := strconv.ParseInt(v[1], 10, 64)
		if err != nil {
			return k, fmt.Errorf("reading who is on leave: %w", err)
		}
		k.OnLeave[directory.PersonID(v[0])] = when(until)
	}
	former, err := pairs("logins of before", `SELECT login, person_id FROM tombstone`)
	if err != nil {
		return k, err
	}
	for _, v := range former {
		k.Former[v[0]] = true
	}
	places, err := pairs("concurrent posts", `SELECT person_id, section FROM posting WHERE kind = 'concurrent' AND (until_at = 0 OR until_at > $1) ORDER BY section`, at)
	for _, v := range places {
		k.Places[directory.PersonID(v[0])] = append(k.Places[directory.PersonID(v[0])], v[1])
	}
	if err != nil || b.Projects == nil {
		return k, err
	}
	if k.Projects, err = b.Projects.Known(ctx, b.DB); err != nil {
		return k, err
	}
	if k.Bound, err = b.Projects.Bound(ctx, b.DB); err != nil {
		return k, err
	}
	k.Ends, err = b.Projects.Ends(ctx, b.DB)
	return k, err
}

// numbers are what a plan comes to, for the trail: no names.
func (s Summary) numbers(into map[string]string) {
	for a, n := range s.Counts {
		into[string(a)] = strconv.Itoa(n)
	}
	into["unchanged"], into["people"] = strconv.Itoa(s.Unchanged), strconv.Itoa(s.People)
	for _, n := range s.Projects {
		into["project."+n.ID] = fmt.Sprintf("+%d -%d", n.Bound, n.Released)
	}
}

// entry begins an entry on the trail.
func (b *Book) entry(by, action, object, reason string) audit.Entry {
	return audit.Entry{Actor: by, Action: action, Object: object, Outcome: audit.OK, Reason: reason, Articles: articles, Detail: map[string]string{}}
}

// ErrStopped: the plan may not be carried out as it is; Plan.Stop says why.
var ErrStopped = errors.New("the import was stopped")
