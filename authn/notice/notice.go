// Package notice is the queue of what people are told about their own factors,
// passwords and sign-ins (ASVS 6.3.5 and 6.3.7).
//
// A notice is queued in the transaction of what it tells of, so there is none
// without the act and no act without it. It goes to the address in the directory
// and to a second one that the person has named (NIST SP 800-63B-4 asks for two
// where there are), and each copy is waited for by itself.
//
//	waiting --sent--> sent
//	waiting --tried, failed--> waiting, later
//	waiting --for Patience and often enough--> undelivered
//	waiting --refused for good, a few times--> refused
//	waiting --nowhere to send it--> unaddressed
//	waiting --the zone has stopped mailing--> withheld
//
// It knows neither words nor mail: who renders and sends takes what is due with
// Claim and says what became of it. A sender may die between sending and saying
// so; the copy is then sent again. Mail allows no better than at least once.
package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Notice is something to tell a person. It never carries a secret.
type Notice struct {
	Person directory.PersonID
	Kind   Kind
	Zone   policy.ZoneID // where it happened: a zone may send no mail
	At     time.Time     // zero: now
	Detail map[string]string
}

// Queue keeps what is to be told until it was. It is safe for concurrent use.
type Queue struct {
	db     *store.DB
	now    clock.Now
	policy func() *policy.Policy
	wake   chan struct{}
}

// New makes the queue.
func New(db *store.DB, now clock.Now, pol func() *policy.Policy) *Queue {
	return &Queue{db: db, now: now, policy: pol, wake: make(chan struct{}, 1)}
}

// Wake hears, now and then, that something was queued in this process. It is a
// hint that comes before the commit, and never comes from another gateway:
// whoever waits for it also looks by the clock.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

// Mails reports whether notices of what happens in a zone leave it by mail. A
// zone that the policy does not know sends none.
func Mails(p *policy.Policy, zone policy.ZoneID) bool {
	z, ok := p.Zone(zone)
	return ok && z.MailNotices && p.Mail.From != ""
}

// Add queues a notice in the caller's transaction. Where the zone sends no mail
// it queues nothing: the act is on the trail, and a row that must never leave
// would be one more copy of who did what.
//
// Only the details that its kind has are kept, cut to a length that fits in a
// line; one that is missing is empty.
func (q *Queue) Add(ctx context.Context, tx *store.Tx, n Notice) error {
	return q.add(ctx, tx, n, "")
}

// add queues a notice that also goes to the address former, "" for none.
func (q *Queue) add(ctx context.Context, tx *store.Tx, n Notice, former string) error {
	known, ok := details[n.Kind]
	switch {
	case !ok:
		return fmt.Errorf("queueing a notice: there is no kind %q", n.Kind)
	case n.Person == "":
		return errors.New("queueing a notice: it is for nobody")
	case !Mails(q.policy(), n.Zone):
		return nil
	}
	if n.At.IsZero() {
		n.At = q.now()
	}
	detail, err := json.Marshal(kept(known, n.Detail))
	if err != nil {
		return fmt.Errorf("queueing a notice: %w", err)
	}
	second, err := secondOf(ctx, tx, n.Person)
	if err != nil {
		return err
	}
	id := secret.Token(16)
	if _, err := tx.Exec(ctx, `
		INSERT INTO notice (id, person_id, kind, zone, at, detail) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, string(n.Person), string(n.Kind), string(n.Zone), store.Micros(n.At), string(detail)); err != nil {
		return fmt.Errorf("queueing a notice: %w", err)
	}
	// The second address is that of this moment: whoever changes it afterwards
	// turns away what comes later, not what has happened.
	for address := range distinct("", second, former) {
		if _, err := tx.Exec(ctx, `
			INSERT INTO notice_copy (notice_id, address, due_at) VALUES ($1, $2, $3)`,
			id, address, store.Micros(q.now())); err != nil {
			return fmt.Errorf("queueing a notice: %w", err)
		}
	}
	select {
	case q.wake <- struct{}{}:
	default: // somebody is being woken already
	}
	return nil
}

// distinct are the addresses, each once. The empty one, which stands for the
// directory's, is always among them.
func distinct(addresses ...string) map[string]bool {
	set := map[string]bool{}
	for _, a := range addresses {
		set[a] = true
	}
	return set
}
