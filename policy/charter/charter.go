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
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

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

// A Version is what is known of one text that is or was in force.
type Version struct {
	Number     int64
	Since      time.Time
	By         string // who proposed or installed it
	ApprovedBy string // empty: installed by one person, in dev or an empty store
	Proposal   string // empty: likewise
	Digest     string // SHA-256 of the text, hexadecimal; also on the trail
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
	p, problems := policy.ParseInForce(textName(number), source)
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

// settled reads what has just been committed. Whether that works does not change
// what is in force: Run tries again, and Err says why not.
func (c *Charter) settled(ctx context.Context, version int64) int64 {
	_ = c.Load(context.WithoutCancel(ctx))
	return version
}

// fresh is the version in force, read again.
func (c *Charter) fresh(ctx context.Context) (*governing, error) {
	if err := c.Load(ctx); err != nil {
		return nil, err
	}
	return c.inForce.Load(), nil
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

func digest(source []byte) string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:])
}

func textName(number int64) string  { return fmt.Sprintf("policy.yaml (version %d)", number) }
func versionName(n int64) string    { return fmt.Sprintf("policy/%d", n) }
func proposalName(id string) string { return "policy-proposal/" + id }
