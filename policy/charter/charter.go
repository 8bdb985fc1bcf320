// Package charter keeps the articles in force: every version of policy.yaml
// that ever was, which of them governs, and which wait for a second person.
//
// It refuses to know what the articles say. It reads them with policy.Parse,
// compares them with policy.Diff, and holds to two rules of its own: nobody
// changes the articles alone (article 16-1), and no version exists without its
// difference on the trail, in the same transaction.
//
//	proposal --second person, base unchanged--> version n+1, in force
//	proposal --another version came first-----> stale: propose again
//
// It trusts the store to keep what was committed. A digest beside each text
// finds a damaged one; against somebody who can write the database, the digest
// on the trail is the witness.
package charter

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/text/unicode/norm"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

var (
	// ErrSelfApproval refuses the proposer as the second person, article 16-1.
	ErrSelfApproval = errors.New("the proposer cannot approve the proposal")
	// ErrPost refuses an approver who is neither CIO nor security officer,
	// articles 11-1 and 12-2.
	ErrPost = errors.New("only the CIO or a security officer approves a policy")
	// ErrStale says that another version came into force after the proposal was
	// written, or that this process has not read the version in force yet.
	ErrStale = errors.New("the proposal was written against another version")
	// ErrNoProposal says that nothing with this id waits.
	ErrNoProposal = errors.New("no such proposal waits")
	// ErrNotEmpty refuses to install where a version is in force.
	ErrNotEmpty = errors.New("a policy is in force already")
	// ErrUnchanged refuses a proposal that is the text in force.
	ErrUnchanged = errors.New("this is the policy in force, letter by letter")
	// ErrOlder refuses a text from another gateway that is older than one taken
	// from there before: a file that lies about must not bring old rules back.
	ErrOlder = errors.New("a newer policy was taken from there before")
	// ErrTwoTexts refuses a second text under a version that was taken before.
	ErrTwoTexts = errors.New("another text was taken from there under this version")
	// ErrNoVersion says that there is no version of this number.
	ErrNoVersion = errors.New("no such version")
)

// pollEvery is how often Run looks for a new version: a quarter of the second
// within which it must govern.
const pollEvery = 250 * time.Millisecond

// A Charter is one process's view of the articles in force. It is safe for
// concurrent use.
type Charter struct {
	db    *store.DB
	trail *audit.Trail
	now   clock.Now

	loading sync.Mutex // one Load at a time, so that an older one never wins
	inForce atomic.Pointer[governing]
	fault   atomic.Pointer[error]
}

type governing struct {
	version int64
	policy  *policy.Policy
	digest  string
}

// A Proposal is a text that waits for a second person.
type Proposal struct {
	ID      string
	Login   string // who proposed it
	At      time.Time
	Base    int64 // the version it was written against
	Source  []byte
	Changes []policy.Change // against Base
}

// A Carried text comes from another gateway, whose signature the caller has
// checked. Epoch and Version are that gateway's own.
type Carried struct {
	Origin, Key    string
	Epoch, Version int64
	Issued         time.Time
	Digest         string // SHA-256 of the text, hexadecimal
}

// A Version is what is known of one text that is or was in force.
type Version struct {
	Number     int64
	Since      time.Time
	By         string // who proposed or installed it
	ApprovedBy string // empty: installed by one person, in dev or an empty store
	Proposal   string // empty: likewise
	Digest     string // SHA-256 of the text, hexadecimal; also on the trail
}

// An Approver is the second person. Posts are those the policy in force gives
// to that person's groups at this moment.
type Approver struct {
	ID, Login string
	Posts     []policy.PostID
}

// New makes the charter of a store. It governs nothing until Load.
func New(db *store.DB, trail *audit.Trail, now clock.Now) *Charter {
	return &Charter{db: db, trail: trail, now: now}
}

// Current is the policy in force as this process knows it; it is never nil
// after a Load that succeeded. Over an empty store it is the profile without a
// zone, which opens for nobody. Callers must not change it.
func (c *Charter) Current() *policy.Policy {
	if g := c.inForce.Load(); g != nil {
		return g.policy
	}
	return nil
}

// Version is the number of Current; 0 before the first.
func (c *Charter) Version() int64 {
	if g := c.inForce.Load(); g != nil {
		return g.version
	}
	return 0
}

// Begun is when the first version came into force; the zero time before.
func (c *Charter) Begun(ctx context.Context) (time.Time, error) {
	at, err := oldest(ctx, c.db)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading since when there is a policy: %w", err)
	}
	return at, nil
}

// Err is why the newest version could not be read, or nil. While it is not nil
// the version before goes on governing, and the gate should say so.
func (c *Charter) Err() error {
	if err := c.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// Load reads the newest version. When that fails the one before stays in
// force: a store that is away or a text that today's code refuses must not
// leave the gate without rules.
func (c *Charter) Load(ctx context.Context) error {
	c.loading.Lock()
	defer c.loading.Unlock()
	err := c.load(ctx)
	if err != nil {
		c.fault.Store(&err)
		return err
	}
	c.fault.Store(nil)
	return nil
}

func (c *Charter) load(ctx context.Context) error {
	number, err := newest(ctx, c.db)
	if err != nil {
		return fmt.Errorf("reading the policy in force: %w", err)
	}
	if g := c.inForce.Load(); g != nil && g.version == number {
		return nil
	}
	if number == 0 {
		empty := policy.Standard()
		empty.Zones = nil
		c.inForce.Store(&governing{policy: empty})
		return nil
	}
	v, source, err := readVersion(ctx, c.db, number)
	if err != nil {
		return fmt.Errorf("reading version %d of the policy: %w", number, err)
	}
	p, problems := policy.Parse(textName(number), source)
	if err := problems.Err(); err != nil {
		return fmt.Errorf("version %d of the policy is in force but cannot be read by this Sekisho: %w", number, err)
	}
	c.inForce.Store(&governing{version: number, policy: p, digest: v.Digest})
	return nil
}

// Run keeps reading the newest version until ctx ends. What goes wrong is in
// Err until it is right again.
func (c *Charter) Run(ctx context.Context) {
	for clock.Wait(ctx, pollEvery) == nil {
		_ = c.Load(ctx) // kept in Err
	}
}

// Install puts the first version in force without a second person. It is for
// an empty store; another text there is ErrNotEmpty, the same text is the same
// version. A file with problems comes back as policy.Problems.
func (c *Charter) Install(ctx context.Context, actor string, source []byte) (int64, error) {
	return c.install(ctx, actor, source, nil, false)
}

// InstallCarried is Install of a text from another gateway.
func (c *Charter) InstallCarried(ctx context.Context, actor string, source []byte, from Carried) (int64, error) {
	return c.install(ctx, actor, source, &from, false)
}

// Overrule is Install whatever is in force. Only dev may call it, where the
// people are invented; the trail says that no second person was asked.
func (c *Charter) Overrule(ctx context.Context, actor string, source []byte) (int64, error) {
	return c.install(ctx, actor, source, nil, true)
}

// OverruleCarried is Overrule by a text from another gateway.
func (c *Charter) OverruleCarried(ctx context.Context, actor string, source []byte, from Carried) (int64, error) {
	return c.install(ctx, actor, source, &from, true)
}

func (c *Charter) install(ctx context.Context, actor string, source []byte, from *Carried, overrule bool) (int64, error) {
	next, problems := policy.Parse("policy.yaml", source)
	if err := problems.Err(); err != nil {
		return 0, err
	}
	// The difference is made before the transaction, which holds up everybody;
	// the guard inside sees to it that the base is still the base.
	base, err := newest(ctx, c.db)
	if err != nil {
		return 0, fmt.Errorf("installing a policy: %w", err)
	}
	now := digest(source)
	if base > 0 {
		v, _, err := readVersion(ctx, c.db, base)
		if err != nil && !(overrule && errors.Is(err, errDamaged)) { // a new text is what mends a damaged one
			return 0, fmt.Errorf("installing a policy: %w", err)
		}
		if v.Digest == now && v.By == actor && v.ApprovedBy == "" {
			return c.settled(ctx, base), nil
		}
		if !overrule {
			return 0, ErrNotEmpty
		}
	}
	v := Version{Number: base + 1, Since: c.now(), By: actor, Digest: now}
	entries := c.entries(audit.Entry{
		Actor: actor, Action: "policy.installed", Object: versionName(v.Number),
		Reason: "no second person: the store was empty, or this is dev", Detail: from.detail(),
	}, v.Digest, base, policy.Diff(c.basePolicy(base), next))
	err = c.db.WithTx(ctx, func(tx *store.Tx) error {
		if err := c.takeIn(ctx, tx, actor, now, from); err != nil {
			return err
		}
		if err := insertVersion(ctx, tx, v, source); err != nil {
			return err
		}
		return c.append(ctx, tx, entries)
	})
	switch {
	case errors.Is(err, errNumberTaken) && !overrule:
		return 0, ErrNotEmpty
	case errors.Is(err, errNumberTaken):
		return 0, ErrStale
	case err != nil:
		return 0, fmt.Errorf("installing a policy: %w", err)
	}
	return c.settled(ctx, v.Number), nil
}

// settled reads what has just been committed. Whether that works does not change
// what is in force: Run tries again, and Err says why not.
func (c *Charter) settled(ctx context.Context, version int64) int64 {
	_ = c.Load(context.WithoutCancel(ctx))
	return version
}

// basePolicy is what a difference is counted from. A version that this process
// could not read counts as empty, which shows more on the trail, not less.
func (c *Charter) basePolicy(base int64) *policy.Policy {
	if g := c.inForce.Load(); g != nil && g.version == base && base > 0 {
		return g.policy
	}
	return nil
}

// Propose stores a text for a second person to approve, with its difference
// from the version in force on the trail. A file with problems comes back as
// policy.Problems. The same text by the same person is the same proposal.
func (c *Charter) Propose(ctx context.Context, actor string, source []byte) (Proposal, error) {
	return c.propose(ctx, actor, source, nil)
}

// ProposeCarried is Propose of a text from another gateway. An older one than is
// taken from there is refused; it is taken when it is approved.
func (c *Charter) ProposeCarried(ctx context.Context, actor string, source []byte, from Carried) (Proposal, error) {
	return c.propose(ctx, actor, source, &from)
}

func (c *Charter) propose(ctx context.Context, actor string, source []byte, from *Carried) (Proposal, error) {
	next, problems := policy.Parse("policy.yaml", source)
	if err := problems.Err(); err != nil {
		return Proposal{}, err
	}
	if err := c.trail.MayBegin(); err != nil {
		return Proposal{}, fmt.Errorf("proposing a policy: %w", err)
	}
	g, err := c.fresh(ctx)
	if err != nil {
		return Proposal{}, fmt.Errorf("proposing a policy: %w", err)
	}
	sum := digest(source)
	if g.version > 0 && g.digest == sum {
		return Proposal{}, ErrUnchanged
	}
	p := Proposal{ID: newID(), Login: actor, At: c.now().UTC(), Base: g.version, Source: source, Changes: policy.Diff(g.policy, next)}
	var ( // what stands in the store; p stays as it is, because the transaction may run again
		id string
		at time.Time
	)
	err = c.db.WithTx(ctx, func(tx *store.Tx) error {
		var err error
		if id, at, err = insertProposal(ctx, tx, p, sum); err != nil {
			return err
		}
		if err := from.propose(ctx, tx, id, sum); err != nil {
			return err
		}
		if id != p.ID {
			return nil // it is there already, with its entry
		}
		return c.append(ctx, tx, c.entries(audit.Entry{
			Actor: actor, Action: "policy.proposed", Object: proposalName(id), Detail: from.detail(),
		}, sum, p.Base, p.Changes))
	})
	if errors.Is(err, errBaseMoved) {
		return Proposal{}, ErrStale
	}
	if err != nil {
		return Proposal{}, fmt.Errorf("proposing a policy: %w", err)
	}
	if id != p.ID {
		p.ID, p.At = id, at
	}
	return p, nil
}

// fresh is the version in force, read again.
func (c *Charter) fresh(ctx context.Context) (*governing, error) {
	if err := c.Load(ctx); err != nil {
		return nil, err
	}
	return c.inForce.Load(), nil
}

// Approve puts a proposal in force as the next version. It is refused to the
// proposer and to whoever is neither CIO nor security officer, and those
// refusals are on the trail too. The text is read once more by today's code,
// which may be stricter than the code that proposed it.
//
// Asked again by the same person after it succeeded, it gives the same answer.
func (c *Charter) Approve(ctx context.Context, by Approver, proposalID string) (int64, error) {
	held := c.inForce.Load() // what by.Posts were read from
	row, err := readProposal(ctx, c.db, proposalID)
	if err != nil {
		return 0, fmt.Errorf("approving a policy: %w", err)
	}
	if err := allowed(row, by); err != nil {
		return 0, c.refused(ctx, by, row.ID, err)
	}
	if row.approvedAt != 0 {
		if row.approvedID == by.ID && by.ID != "" {
			return c.settled(ctx, row.Base+1), nil
		}
		return 0, ErrNoProposal
	}
	if held == nil || held.version != row.Base {
		return 0, ErrStale
	}
	if err := c.trail.MayBegin(); err != nil {
		return 0, fmt.Errorf("approving a policy: %w", err)
	}
	bill, err := c.bill(row, held)
	if err != nil {
		return 0, err
	}
	err = c.db.WithTx(ctx, func(tx *store.Tx) error { return c.enact(ctx, tx, bill, by) })
	switch {
	case errors.Is(err, store.ErrUntouched), errors.Is(err, errNumberTaken):
		return 0, c.tooLate(ctx, row.ID)
	case err != nil:
		return 0, fmt.Errorf("approving a policy: %w", err)
	}
	return c.settled(ctx, row.Base+1), nil
}

// A Bill is a proposal that was read and compared, ready to come into force.
type Bill struct {
	row     proposalRow
	changes []policy.Change
}

// Read reads a proposal that waits, and compares it with the version in force, so
// that the transaction that enacts it need not. ErrNoProposal: it does not wait.
func (c *Charter) Read(ctx context.Context, id string) (Proposal, Bill, error) {
	held := c.inForce.Load()
	row, err := readProposal(ctx, c.db, id)
	if err != nil {
		return Proposal{}, Bill{}, fmt.Errorf("reading a proposed policy: %w", err)
	}
	if row.approvedAt != 0 {
		return Proposal{}, Bill{}, ErrNoProposal
	}
	b, err := c.bill(row, held)
	b.row.Changes = b.changes
	return b.row.Proposal, b, err
}

func (c *Charter) bill(row proposalRow, held *governing) (Bill, error) {
	if held == nil || held.version != row.Base {
		return Bill{row: row}, ErrStale
	}
	next, problems := policy.Parse("policy.yaml", row.Source)
	if err := problems.Err(); err != nil {
		return Bill{row: row}, err
	}
	return Bill{row, policy.Diff(held.policy, next)}, nil
}

// Enact puts a proposal in force in the caller's transaction, where somebody else
// has established the second person; the rule of two persons holds all the same.
// ErrStale, when something came first.
func (c *Charter) Enact(ctx context.Context, tx *store.Tx, b Bill, by Approver) error {
	if err := allowed(b.row, by); err != nil {
		return err
	}
	if err := c.trail.MayBegin(); err != nil {
		return err
	}
	err := c.enact(ctx, tx, b, by)
	if errors.Is(err, store.ErrUntouched) || errors.Is(err, errNumberTaken) {
		return ErrStale
	}
	return err
}

func (c *Charter) enact(ctx context.Context, tx *store.Tx, b Bill, by Approver) error {
	row := b.row
	v := Version{Number: row.Base + 1, Since: c.now(), By: row.Login, ApprovedBy: by.Login, Proposal: row.ID, Digest: digest(row.Source)}
	from, err := carriedIn(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	if err := spendProposal(ctx, tx, row.ID, by, v.Since); err != nil {
		return err
	}
	if err := c.takeIn(ctx, tx, row.Login, v.Digest, from); err != nil {
		return err
	}
	if err := insertVersion(ctx, tx, v, row.Source); err != nil {
		return err
	}
	return c.append(ctx, tx, c.entries(audit.Entry{
		Actor: by.Login, Action: "policy.approved", Object: versionName(v.Number),
		Reason: fmt.Sprintf("proposed by %s as %s", row.Login, row.ID), Detail: from.detail(),
	}, v.Digest, row.Base, b.changes))
}

// Of is the number of the version that a proposal became; 0 while it is none.
func (c *Charter) Of(ctx context.Context, proposalID string) (int64, error) {
	row, err := readProposal(ctx, c.db, proposalID)
	if err != nil || row.approvedAt == 0 {
		return 0, err
	}
	return row.Base + 1, nil
}

// tooLate tells a proposal that somebody else approved from one whose base
// moved. The guard has refused already; this only finds the words.
func (c *Charter) tooLate(ctx context.Context, id string) error {
	row, err := readProposal(ctx, c.db, id)
	switch {
	case err != nil:
		return fmt.Errorf("approving a policy: %w", err)
	case row.approvedAt != 0:
		return ErrNoProposal
	}
	return ErrStale
}

// allowed is the rule of two persons. A proposal made at a terminal names a
// login, one made on a page could name an id, so both are compared, in the one
// spelling that logins have.
func allowed(row proposalRow, by Approver) error {
	if by.Login == "" && by.ID == "" {
		return ErrPost
	}
	proposer := canonical(row.Login)
	if proposer == canonical(by.Login) || proposer == canonical(by.ID) {
		return ErrSelfApproval
	}
	if !slices.Contains(by.Posts, policy.CIO) && !slices.Contains(by.Posts, policy.SecurityOfficer) {
		return ErrPost
	}
	return nil
}

// canonical folds what people type differently and mean the same: width, case
// and spaces.
func canonical(login string) string {
	return strings.Join(strings.Fields(strings.ToLower(norm.NFKC.String(login))), "")
}

func (c *Charter) refused(ctx context.Context, by Approver, id string, why error) error {
	article := policy.Article("11-1")
	if errors.Is(why, ErrSelfApproval) {
		article = "16-1"
	}
	err := c.db.WithTx(ctx, func(tx *store.Tx) error {
		return c.trail.Append(ctx, tx, audit.Entry{
			Actor: by.Login, Action: "policy.approval_refused", Object: proposalName(id),
			Outcome: audit.Refused, Reason: why.Error(), Articles: []policy.Article{article},
		})
	})
	if err != nil {
		return fmt.Errorf("%w; and the refusal could not be put on the trail: %w", why, err)
	}
	return why
}

// Proposals are those that can still be approved, oldest first.
func (c *Charter) Proposals(ctx context.Context) ([]Proposal, error) {
	g := c.inForce.Load()
	rows, err := pending(ctx, c.db)
	if err != nil {
		return nil, fmt.Errorf("listing policy proposals: %w", err)
	}
	var out []Proposal
	for _, p := range rows {
		if g == nil || p.Base != g.version {
			continue // read by another process a moment ago; the next poll sees it
		}
		next, problems := policy.Parse("policy.yaml", p.Source)
		if len(problems) == 0 { // one that today's code refuses can never be approved
			p.Changes = policy.Diff(g.policy, next)
			out = append(out, p)
		}
	}
	return out, nil
}

// Show is the text of one version and what is known of it; 0 means the newest.
func (c *Charter) Show(ctx context.Context, version int64) ([]byte, Version, error) {
	if version == 0 {
		n, err := newest(ctx, c.db)
		if err != nil {
			return nil, Version{}, fmt.Errorf("reading the policy in force: %w", err)
		}
		version = n
	}
	v, source, err := readVersion(ctx, c.db, version)
	if err != nil {
		return nil, Version{}, fmt.Errorf("reading version %d of the policy: %w", version, err)
	}
	return source, v, nil
}

func newID() string {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // crypto/rand does not fail
	return "policy-" + strings.ToLower(base32.StdEncoding.EncodeToString(b))
}

func digest(source []byte) string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:])
}

func textName(number int64) string  { return fmt.Sprintf("policy.yaml (version %d)", number) }
func versionName(n int64) string    { return fmt.Sprintf("policy/%d", n) }
func proposalName(id string) string { return "policy-proposal/" + id }
