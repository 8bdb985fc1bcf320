package house

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/prometheus/client_golang/prometheus"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	mail "sekisho/web/notice"
)

// Spans tells of work that is part of a request's trace: what it is, and when
// it has ended, how. Nobody's name and nothing secret is in either.
type Spans func(ctx context.Context, name string) (ended func(outcome string))

// A lookout times what the rooms ask of the world outside, and tells it on
// where traces are configured. The rooms know nothing of either.
type lookout struct {
	spans                                    Spans
	store, directory, hash, mail, ephemerals *prometheus.HistogramVec
	failures                                 *prometheus.CounterVec
	mailAway                                 atomic.Pointer[error] // what the last delivery met, where the server was away
}

// buckets reach from what a local disk takes to where people give up.
var buckets = []float64{.001, .005, .02, .1, .5, 2, 10}

func newLookout(reg prometheus.Registerer, spans Spans) *lookout {
	took := func(name, help string, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		reg.MustRegister(h)
		return h
	}
	l := &lookout{
		spans:      spans,
		store:      took("sekisho_store_transaction_duration_seconds", "Time that transactions took, waiting included, by outcome.", "outcome"),
		directory:  took("sekisho_directory_operation_duration_seconds", "Time that directory operations took, waiting for a connection included, by kind and outcome.", "operation", "outcome"),
		hash:       took("sekisho_hash_duration_seconds", "Time that password hashes took, waiting included, by outcome.", "outcome"),
		mail:       took("sekisho_mail_delivery_duration_seconds", "Time that the mail server took to take a message, by outcome.", "outcome"),
		ephemerals: took("sekisho_ephemeral_operation_duration_seconds", "Time that the store of what may be lost took, by operation and outcome.", "operation", "outcome"),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sekisho_background_failures_total",
			Help: "Background work that failed and is tried again, by what it is.",
		}, []string{"work"}),
	}
	reg.MustRegister(l.failures)
	return l
}

// begin starts to time one piece of work.
func (l *lookout) begin(ctx context.Context, name string) (ended func(observe prometheus.Observer, outcome string)) {
	took, close := clock.Stopwatch(), func(string) {}
	if l.spans != nil {
		close = l.spans(ctx, name)
	}
	return func(o prometheus.Observer, outcome string) {
		o.Observe(took().Seconds())
		close(outcome)
	}
}

// What became of a piece of work.
const (
	outcomeOK      = "ok"
	outcomeRefused = "refused" // the other side answered no
	outcomeUndone  = "undone"  // our own side answered no, or gave up waiting
	outcomeBusy    = "busy"    // too much at once; it never began
	outcomeAway    = "away"    // nobody answered
)

// Transaction is store.Config.Watch.
func (l *lookout) Transaction(ctx context.Context) func(error) {
	ended := l.begin(ctx, "store.transaction")
	return func(err error) {
		outcome := outcomeUndone
		switch {
		case err == nil:
			outcome = outcomeOK
		case errors.Is(err, store.ErrBusy):
			outcome = outcomeBusy
		case errors.Is(err, store.ErrClosed):
			outcome = outcomeAway
		}
		ended(l.store.WithLabelValues(outcome), outcome)
	}
}

// Directory is ldap.Config.Watch.
func (l *lookout) Directory(ctx context.Context, operation string) func(error) {
	ended := l.begin(ctx, "directory."+operation)
	return func(err error) {
		outcome := outcomeAway
		var said *goldap.Error
		switch {
		case err == nil:
			outcome = outcomeOK
		case errors.As(err, &said) && said.ResultCode < goldap.ErrorNetwork && !errors.Is(err, directory.ErrAway):
			outcome = outcomeRefused
		case errors.Is(err, context.Canceled):
			outcome = outcomeUndone
		case !errors.Is(err, directory.ErrAway) && !errors.As(err, &said):
			outcome = outcomeRefused // what came back was an answer, if not the wished one
		}
		ended(l.directory.WithLabelValues(operation, outcome), outcome)
	}
}

// Hash is secret.Hasher.Watch.
func (l *lookout) Hash(ctx context.Context) func(error) {
	ended := l.begin(ctx, "password.hash")
	return func(err error) {
		outcome := outcomeUndone
		switch {
		case err == nil:
			outcome = outcomeOK
		case errors.Is(err, secret.ErrBusy):
			outcome = outcomeBusy
		}
		ended(l.hash.WithLabelValues(outcome), outcome)
	}
}

// Delivery is notice.Config.Watch.
func (l *lookout) Delivery(ctx context.Context) func(error) {
	ended := l.begin(ctx, "mail.delivery")
	return func(err error) {
		outcome := outcomeUndone
		switch {
		case err == nil:
			outcome = outcomeOK
		case errors.Is(err, mail.ErrRefused):
			outcome = outcomeRefused
		case errors.Is(err, mail.ErrAway):
			outcome = outcomeAway
			l.mailAway.Store(&err)
		}
		if outcome == outcomeOK || outcome == outcomeRefused {
			l.mailAway.Store(nil)
		}
		ended(l.mail.WithLabelValues(outcome), outcome)
	}
}

// Mail is what the last delivery met where the mail server was away.
func (l *lookout) Mail() error {
	if err := l.mailAway.Load(); err != nil {
		return *err
	}
	return nil
}

// watched is an ephemeral store under the lookout's eyes.
type watched struct {
	ephemeral.Store
	l *lookout
}

func (w watched) watch(ctx context.Context, operation string) func(error) {
	ended := w.l.begin(ctx, "ephemeral."+operation)
	return func(err error) {
		outcome := outcomeAway
		switch {
		case err == nil:
			outcome = outcomeOK
		case errors.Is(err, ephemeral.ErrFull):
			outcome = outcomeBusy
		case errors.Is(err, context.Canceled):
			outcome = outcomeUndone
		}
		ended(w.l.ephemerals.WithLabelValues(operation, outcome), outcome)
	}
}

func (w watched) Put(ctx context.Context, key string, value []byte, ttl time.Duration) (err error) {
	ended := w.watch(ctx, "put")
	defer func() { ended(err) }()
	return w.Store.Put(ctx, key, value, ttl)
}

func (w watched) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	ended := w.watch(ctx, "get")
	defer func() { ended(err) }()
	return w.Store.Get(ctx, key)
}

func (w watched) Take(ctx context.Context, key string) (value []byte, ok bool, err error) {
	ended := w.watch(ctx, "take")
	defer func() { ended(err) }()
	return w.Store.Take(ctx, key)
}

func (w watched) Count(ctx context.Context, key string, window time.Duration) (n int, err error) {
	ended := w.watch(ctx, "count")
	defer func() { ended(err) }()
	return w.Store.Count(ctx, key, window)
}

func (w watched) Peek(ctx context.Context, key string) (n int, err error) {
	ended := w.watch(ctx, "peek")
	defer func() { ended(err) }()
	return w.Store.Peek(ctx, key)
}

func (w watched) Delete(ctx context.Context, key string) (err error) {
	ended := w.watch(ctx, "delete")
	defer func() { ended(err) }()
	return w.Store.Delete(ctx, key)
}
