package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	queue "sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

const (
	// lookAgain is how long after a wake the queue is looked at once more.
	lookAgain = 500 * time.Millisecond
	// lookEvery is how often the queue is looked at without being woken: for
	// what another gateway has queued, and for what is due again.
	lookEvery = 2 * time.Second
	tidyEvery = time.Hour

	// lease is how long a claimed copy is ours. No message is begun after
	// lastStart, and one that was begun is cut off at roundEnd: before the lease
	// ends, so that no other gateway sends what this one is still sending.
	lease     = 3 * time.Minute
	lastStart = 80 * time.Second
	roundEnd  = 2*time.Minute + 30*time.Second
	// batch is what one round claims, and lanes how many connections share it.
	batch = 40
	lanes = 3
)

// People says who is who.
type People interface {
	ByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
}

// A Config is what a Sender works with.
type Config struct {
	DB       *store.DB
	Queue    *queue.Queue
	Trail    *audit.Trail
	People   People
	Mail     Mailer // nil: this gateway sends none, and only keeps the queue tidy
	Policy   func() *policy.Policy
	Gate     string // the gate's address, for people to type
	Now      clock.Now
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Watch sees each message handed over and hears how that ended. nil: nobody
	// watches.
	Watch func(ctx context.Context) (ended func(error))
}

// A Sender mails what is queued.
type Sender struct {
	Config
	letters *Letters
	meter   *meter
	look    time.Duration // between two looks

	mu   sync.Mutex
	held bool // the log knows that nothing can be mailed
}

// New makes a Sender. It does nothing before Run.
func New(c Config) *Sender {
	return &Sender{Config: c, letters: NewLetters(c.Gate), meter: newMeter(c.Registry), look: lookEvery}
}

// Run mails what is queued, and tidies the queue, until ctx ends. What it had
// claimed and not sent by then is given back.
func (s *Sender) Run(ctx context.Context) {
	look, tidy, soon := time.NewTicker(s.look), time.NewTicker(tidyEvery), time.NewTimer(lookAgain)
	defer soon.Stop()
	defer look.Stop()
	defer tidy.Stop()
	if s.Mail == nil && slices.ContainsFunc(s.Policy().Zones, func(z policy.Zone) bool { return z.MailNotices }) {
		s.Log.Warn("this gate has no mail server: the notices that the policy has mailed wait for another gate")
	}
	for {
		more := false
		if s.Mail != nil {
			var err error
			more, err = s.Deliver(ctx)
			s.complain(ctx, "mailing notices", err)
		}
		s.measure(ctx)
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.Queue.Wake():
			// The word comes from inside the transaction that queues: what it tells of
			// may not be there yet, so it is looked for once more.
			soon.Reset(lookAgain)
		case <-soon.C:
		case <-look.C:
		case <-tidy.C:
			s.complain(ctx, "tidying notices", s.Tidy(ctx))
		}
	}
}

// Deliver tries once, now, to mail what is due. more says that all went well and
// that there may be more. An error is the queue's own; what became of each copy
// is in the queue.
func (s *Sender) Deliver(ctx context.Context) (more bool, err error) {
	due, err := s.Queue.Claim(ctx, batch, lease)
	if err != nil || len(due) == 0 {
		return false, err
	}
	// Both are the machine's time, whatever Now says: they bound work, no right.
	start, cancelStart := context.WithTimeout(ctx, lastStart)
	defer cancelStart()
	round, cancelRound := context.WithTimeout(ctx, roundEnd)
	defer cancelRound()
	var (
		work  sync.WaitGroup
		mu    sync.Mutex
		held  bool
		fault error
	)
	for part := range slices.Chunk(due, (len(due)+lanes-1)/lanes) {
		work.Go(func() {
			stuck, err := s.lane(start, round, part)
			mu.Lock()
			defer mu.Unlock()
			held, fault = held || stuck, errors.Join(fault, err)
		})
	}
	work.Wait()
	return len(due) == batch && !held && fault == nil, fault
}

// lane mails some copies over one connection, one after the other. held says
// that something they all need is away.
func (s *Sender) lane(start, round context.Context, due []queue.Due) (held bool, err error) {
	mail := s.Mail
	if b, ok := mail.(Batcher); ok {
		m, hangUp := b.Batch()
		defer hangUp()
		mail = m
	}
	var away error
	for i, d := range due {
		if start.Err() != nil {
			return true, s.Queue.Release(context.WithoutCancel(start), due[i:])
		}
		tried := away
		if tried == nil {
			tried = s.mail(round, mail, d)
		}
		if blocks(tried) {
			away = tried // the others would only wait for it too
		}
		if err := s.settle(round, d, tried); err != nil {
			return true, err
		}
	}
	return away != nil, nil
}

// errDirectory means that the directory cannot be asked who a notice is for.
var errDirectory = errors.New("the directory is away")

// blocks reports whether an error stands in the way of every message.
func blocks(err error) bool { return errors.Is(err, ErrAway) || errors.Is(err, errDirectory) }

// mail writes one copy and hands it over.
func (s *Sender) mail(ctx context.Context, m Mailer, d queue.Due) error {
	p := s.Policy()
	if !queue.Mails(p, d.Zone) {
		return &end{queue.Withheld, "the zone sends no mail any more"}
	}
	person, err := s.People.ByID(ctx, d.Person)
	if errors.Is(err, directory.ErrNotFound) {
		return &end{queue.Unaddressed, "the directory has nobody of this name"}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errDirectory, err)
	}
	to := d.Address
	if to == "" {
		if to, err = queue.Address(person.Mail); err != nil {
			return &end{queue.Unaddressed, "the directory has no address that can be used"}
		}
	}
	subject, text, err := s.letters.Write(d.Notice, person, p)
	if err != nil {
		return err
	}
	ended := func(error) {}
	if s.Watch != nil {
		ended = s.Watch(ctx)
	}
	err = m.Send(ctx, Message{
		ID: messageID(d.ID, to, p.Mail.From), From: p.Mail.From, To: to, Subject: subject, Text: text, At: d.At,
	})
	ended(err)
	return err
}

func (s *Sender) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.Log.Warn(what+" failed; it is tried again", "error", err)
	}
}
