package signin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sekisho/authn/lockout"
	"sekisho/directory"
	"sekisho/policy/store"
)

// A way is one path to a credential that is counted by itself.
type way struct {
	credential string
	rule       lockout.Rule
}

// credential names what failures are counted against. All ways to one
// credential share its prefix.
func credential(kind, whose string) string { return kind + ":" + whose }

// passwordWays are the counts that a password attempt goes against: that of
// everybody, or of the one browser that has signed this person in before, and
// that of all together, which stays below the directory's own threshold. A
// part of it is kept back for such browsers, so that a stranger cannot use up
// the owner's tries (design rule 6). The name of nobody is counted alike.
func (s *Service) passwordWays(ctx context.Context, o Origin, w someone) ([]way, error) {
	rules := s.Policy().Lockout
	ceiling := s.Ceiling()
	if n := w.facts.Person.Account.LockoutAfter; n > 0 && (ceiling == 0 || n <= ceiling) {
		ceiling = max(1, n-1) // this person's directory policy is stricter than the default
	}
	rule := lockout.Of(rules, ceiling)
	if !w.known() {
		return []way{{credential("pw", "?"+s.nameTag(w.name)), rule.Less(rules.KnownBrowserShare)}}, nil
	}
	base := credential("pw", string(w.facts.Person.ID))
	all := way{base + ":all", lockout.Rule{Limit: rule.Limit}}
	browser, err := s.knownBrowser(ctx, o, w.facts.Person.ID)
	if err != nil {
		return nil, err
	}
	if browser != "" {
		return []way{{base + ":" + browser, rule}, all}, nil
	}
	return []way{{base, rule.Less(rules.KnownBrowserShare)}, all}, nil
}

func (s *Service) codeWays(id directory.PersonID) []way {
	return []way{{credential("otp", string(id)), lockout.Of(s.Policy().Lockout, 0)}}
}

// reserve counts an attempt as failed before it is verified, on all its ways
// in one transaction, or answers Held. However many attempts run at once, no
// more are verified than the rule allows one after another (security.md
// section 2, row 3).
func (s *Service) reserve(ctx context.Context, o Origin, w someone, ways []way) error {
	now := s.Now()
	var held *Held
	err := s.DB.WithTx(ctx, func(tx *store.Tx) error {
		held = nil
		for _, w := range ways {
			st, err := load(ctx, tx, w.credential)
			if err != nil {
				return err
			}
			switch wait := st.Wait(now); {
			case w.rule.Spent(st):
				held = &Held{RetryAfter: max(wait, time.Hour), Spent: true}
				return held
			case wait > 0:
				held = &Held{RetryAfter: wait}
				return held
			}
			if err := save(ctx, tx, w.credential, w.rule.AfterFailure(st, now), now); err != nil {
				return err
			}
		}
		return nil
	})
	if held != nil {
		return s.hold(ctx, o, w, held)
	}
	if err != nil {
		return fmt.Errorf("reserving an attempt: %w", err)
	}
	return nil
}

// hold enters a held attempt on the trail, once a minute for each name: a flood
// must not fill the trail.
func (s *Service) hold(ctx context.Context, o Origin, w someone, held *Held) error {
	key := "held:" + s.nameTag(w.name) // people type passwords there, and keys are seen in Redis
	if w.known() {
		key = "held:" + string(w.facts.Person.ID)
	}
	if n, err := s.Flows.Count(ctx, key, time.Minute); err != nil || n > 1 {
		return held
	}
	e := s.entry(o, w, "sign_in.held")
	e.Outcome, e.Reason = "refused", "held"
	if held.Spent {
		e.Reason = "spent"
	}
	if err := s.DB.WithTx(ctx, func(tx *store.Tx) error { return s.Trail.Append(ctx, tx, e) }); err != nil {
		return fmt.Errorf("recording a held sign-in: %w", err)
	}
	return held
}

// release takes reservations back when the attempt could not be verified at
// all: a right password is never counted as wrong because the directory was
// away. Failing to do so only narrows.
func (s *Service) release(ctx context.Context, ways []way) {
	err := s.DB.WithTx(ctx, func(tx *store.Tx) error {
		for _, w := range ways {
			if _, err := tx.Exec(ctx, `
				UPDATE attempt SET failures = failures - 1, held_until = 0
				WHERE  credential = $1 AND failures > 0`, w.credential); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		slog.ErrorContext(ctx, "taking back an attempt that could not be verified", "error", err)
	}
}

func load(ctx context.Context, tx *store.Tx, credential string) (lockout.State, error) {
	var (
		st   lockout.State
		held int64
	)
	err := tx.QueryRow(ctx, `SELECT failures, held_until FROM attempt WHERE credential = $1`, credential).Scan(&st.Failures, &held)
	if errors.Is(err, sql.ErrNoRows) {
		return lockout.State{}, nil
	}
	st.HeldUntil = store.FromMicros(held)
	return st, err
}

func save(ctx context.Context, tx *store.Tx, credential string, st lockout.State, now time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO attempt (credential, failures, held_until, updated_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (credential) DO UPDATE
		SET    failures = excluded.failures, held_until = excluded.held_until, updated_at = excluded.updated_at`,
		credential, st.Failures, store.Micros(st.HeldUntil), store.Micros(now))
	return err
}

// clear forgets the failures against a credential on all its ways, after a
// success or when it was bound anew.
func clear(ctx context.Context, tx *store.Tx, credential string) error {
	// ';' is the character after ':', so this is every name that begins with
	// the credential and a colon.
	_, err := tx.Exec(ctx, `
		DELETE FROM attempt WHERE credential = $1 OR (credential > $1 || ':' AND credential < $1 || ';')`, credential)
	return err
}

// nobodyKept is long, since a count that is forgotten sooner than a person's
// tells that the name is nobody's.
const nobodyKept = 90 * 24 * time.Hour

// Tidy removes counts against names of nobody that are old and hold nothing
// back any more. A person's counts stay: they are consecutive failures,
// whenever they were. Windows of source addresses that are over go too.
func (s *Service) Tidy(ctx context.Context) error {
	now := s.Now()
	if err := s.sources.Tidy(ctx); err != nil {
		return err
	}
	return s.DB.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `
			DELETE FROM attempt
			WHERE  credential > 'pw:?' AND credential < 'pw:@' AND updated_at < $1 AND held_until < $2`,
			store.Micros(now.Add(-nobodyKept)), store.Micros(now))
		return err
	})
}

// flight lets only so many attempts against one credential be verified at the
// same time; the others wait. Without it, two right passwords at once could
// hold each other up, since each is a failure until it has been verified.
type flight struct {
	mu      sync.Mutex
	lane    map[string]*lane
	find    chan struct{} // names being looked up
	looking atomic.Int64  // those, and who waits to be
	all     chan struct{} // attempts being verified

	answered atomic.Int64 // questions that the directory has answered
	silence  atomic.Pointer[silence]
	telling  sync.Mutex // held until all who wait have been told
}

// A silence is heard by all who wait for a place when the directory has answered
// nobody for as long as a question may take. They would find out one after
// another, each after the whole time limit of an operation; so they are told at
// once (security.md F7).
type silence struct {
	heard chan struct{}
	err   error
}

type lane struct {
	places  chan struct{}
	waiting int
}

const (
	// inFlight bounds the names being looked up in this process, and atWork the
	// attempts being verified. The rest wait here, as long as their request
	// lasts, and not for the directory's pool, where waiting counts against the
	// time limit of the operation: many wrong passwords at once would have the
	// directory taken for away, and a right one refused with them.
	inFlight = 64
	atWork   = 16
	// waiting bounds those that wait for a place; more are told to come back.
	waiting = 1024
)

func newFlight() *flight {
	f := &flight{lane: map[string]*lane{}, find: make(chan struct{}, inFlight), all: make(chan struct{}, atWork)}
	f.silence.Store(&silence{heard: make(chan struct{})})
	return f
}

// ask runs one question to the directory. If it ended without an answer, and
// nobody else was answered meanwhile either, whoever waits for a place hears it.
func (f *flight) ask(question func() error) error {
	before := f.answered.Load()
	err := question()
	if err == nil || !errors.Is(err, directory.ErrAway) {
		f.answered.Add(1)
		return err
	}
	// A question whose asker hung up, or a server that refuses at once, says
	// nothing about who waits.
	if errors.Is(err, context.DeadlineExceeded) && f.answered.Load() == before {
		// Under the lock, since who comes next gives its place away when it
		// returns: nobody takes that before having been told.
		f.telling.Lock()
		defer f.telling.Unlock()
		s := f.silence.Swap(&silence{heard: make(chan struct{})})
		s.err = err
		close(s.heard)
	}
	return err
}

// lookUp runs do when there is a place to look a name up. So many may wait for
// one; whoever comes after them is told at once to come back, while what they
// hold in memory is still little.
func (f *flight) lookUp(ctx context.Context, do func() error) error {
	if f.looking.Add(1) > waiting {
		f.looking.Add(-1)
		return ErrBusy
	}
	defer f.looking.Add(-1)
	silent := f.silence.Load()
	select {
	case f.find <- struct{}{}:
		defer func() { <-f.find }()
		return f.ask(do)
	case <-silent.heard:
		return silent.err
	case <-ctx.Done():
		return ErrBusy
	}
}

// enter waits for a place. The caller calls leave when the attempt is decided.
func (f *flight) enter(ctx context.Context, credential string, width int) (leave func(), err error) {
	f.mu.Lock()
	l := f.lane[credential]
	if l == nil {
		if len(f.lane) >= waiting {
			f.mu.Unlock()
			return nil, ErrBusy
		}
		l = &lane{places: make(chan struct{}, max(1, width))}
		f.lane[credential] = l
	}
	l.waiting++
	crowded := l.waiting > waiting
	f.mu.Unlock()
	done := func() {
		f.mu.Lock()
		if l.waiting--; l.waiting == 0 {
			delete(f.lane, credential)
		}
		f.mu.Unlock()
	}
	if crowded {
		done()
		return nil, ErrBusy
	}
	silent := f.silence.Load()
	unanswered := func() error { return &Away{What: "directory", Err: silent.err} }
	select {
	case l.places <- struct{}{}:
	case <-silent.heard:
		done()
		return nil, unanswered()
	case <-ctx.Done():
		done()
		return nil, ErrBusy
	}
	select {
	case f.all <- struct{}{}:
	case <-silent.heard:
		<-l.places
		done()
		return nil, unanswered()
	case <-ctx.Done():
		<-l.places
		done()
		return nil, ErrBusy
	}
	return func() { <-f.all; <-l.places; done() }, nil
}
