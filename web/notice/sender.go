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
}

// A Sender mails what is queued.
type Sender struct {
	Config
	letters *Letters
	meter   *meter

	mu   sync.Mutex
	held bool // the log knows that nothing can be mailed
}

// New makes a Sender. It does nothing before Run.
func New(c Config) *Sender {
	return &Sender{Config: c, letters: NewLetters(c.Gate), meter: newMeter(c.Registry)}
}

// Run mails what is queued, and tidies the queue, until ctx ends. What it had
// claimed and not sent by then is given back.
func (s *Sender) Run(ctx context.Context) {
	look, tidy := time.NewTicker(lookEvery), time.NewTicker(tidyEvery)
	defer look.Stop()
	defer tidy.Stop()
	for {
		for more := s.Mail != nil; more; {
			var err error
			more, err = s.Deliver(ctx)
			s.complain(ctx, "mailing notices", err)
		}
		s.measure(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.Queue.Wake():
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

// end is an error that ends a copy without a message having been tried.
type end struct {
	how queue.Outcome
	why string
}

func (e *end) Error() string { return e.why }

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
	return m.Send(ctx, Message{
		ID: messageID(d.ID, to, p.Mail.From), From: p.Mail.From, To: to, Subject: subject, Text: text, At: d.At,
	})
}

// settle tells the queue what became of a copy. A copy that is given up is on
// the trail: somebody was not told. It is done whether or not ctx has ended: a
// message that is out must not go out again for want of a word.
func (s *Sender) settle(ctx context.Context, d queue.Due, tried error) error {
	stopped := tried != nil && errors.Is(ctx.Err(), context.Canceled)
	ctx = context.WithoutCancel(ctx)
	if stopped {
		// We hung up because this gateway stops. The server may have the message
		// or not; asked again, it gets one of the same name.
		return s.Queue.Release(ctx, []queue.Due{d})
	}
	s.hear(d, tried)
	if tried == nil {
		s.meter.count(d.Kind, string(queue.Sent))
		return s.Queue.Done(ctx, d)
	}
	var (
		how queue.Outcome
		e   *end
	)
	err := s.DB.WithTx(ctx, func(tx *store.Tx) (err error) {
		if errors.As(tried, &e) {
			how, err = e.how, s.Queue.End(ctx, tx, d, e.how)
		} else {
			how, err = s.Queue.Failed(ctx, tx, d, errors.Is(tried, ErrRefused))
		}
		if err != nil || how == "" {
			return err
		}
		return s.Trail.Append(ctx, tx, lost(d, how, tried))
	})
	if err != nil {
		return fmt.Errorf("settling a notice: %w", err)
	}
	if how == "" {
		how = retried
	}
	s.meter.count(d.Kind, string(how))
	return nil
}

// lost is the entry of a copy that was given up. It names no address: the
// trail is read by more people than the directory.
func lost(d queue.Due, how queue.Outcome, tried error) audit.Entry {
	which := "directory"
	if d.Address != "" {
		which = "second"
	}
	why := "the mail server did not take it in all the time it was tried"
	if how == queue.Refused {
		why = "the mail server refuses it for this address"
	}
	if e := (*end)(nil); errors.As(tried, &e) {
		why = e.why
	}
	return audit.Entry{
		Actor: "system", Action: "notice." + string(how), Object: string(d.Person), Outcome: audit.Failed, Reason: why,
		Articles: []policy.Article{"64-1"}, Zone: string(d.Zone),
		Detail: map[string]string{"kind": string(d.Kind), "notice": d.ID, "address": which},
	}
}

// hear logs a failure. What stands in the way of every message is said once, and
// its end once, not for each notice that waits.
func (s *Sender) hear(d queue.Due, tried error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var settled *end
	switch {
	case blocks(tried):
		if !s.held {
			s.Log.Warn("notices cannot be mailed; they are kept and tried again", "error", tried)
		}
		s.held = true
	case tried == nil:
		if s.held {
			s.Log.Warn("notices are mailed again")
		}
		s.held = false
	case !errors.As(tried, &settled): // what the trail is told of by itself
		s.Log.Warn("a notice was not mailed", "notice", d.ID, "kind", string(d.Kind), "tries", d.Tries+1, "error", tried)
	}
}

// Tidy removes what is old. What was never sent in all that time is on the
// trail.
func (s *Sender) Tidy(ctx context.Context) error {
	for more := true; more; {
		err := s.DB.WithTx(ctx, func(tx *store.Tx) (err error) {
			var n int
			if n, more, err = s.Queue.Tidy(ctx, tx); err != nil || n == 0 {
				return err
			}
			return s.Trail.Append(ctx, tx, audit.Entry{
				Actor: "system", Action: "notice.dropped", Outcome: audit.Failed, Articles: []policy.Article{"64-1"},
				Reason: "nobody mailed them in time", Detail: map[string]string{"copies": fmt.Sprint(n)},
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Sender) measure(ctx context.Context) {
	n, oldest, err := s.Queue.Waiting(ctx)
	if err != nil {
		s.complain(ctx, "counting notices", err)
		return
	}
	s.meter.waiting.Set(float64(n))
	age := time.Duration(0)
	if n > 0 {
		age = max(0, s.Now().Sub(oldest))
	}
	s.meter.oldest.Set(age.Seconds())
}

func (s *Sender) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.Log.Warn(what+" failed; it is tried again", "error", err)
	}
}
