package notice

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	queue "sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// outbox is a Mailer that keeps what it gets, unless fail says otherwise.
type outbox struct {
	mu   sync.Mutex
	fail func(m Message, nth int) error // nth counts all messages from 1
	nth  int
	got  []Message
}

func (o *outbox) Send(_ context.Context, m Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nth++
	if o.fail != nil {
		if err := o.fail(m, o.nth); err != nil {
			return err
		}
	}
	o.got = append(o.got, m)
	return nil
}

func (o *outbox) all() []Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.got)
}

func (o *outbox) to() (out []string) {
	for _, m := range o.all() {
		out = append(out, m.To)
	}
	slices.Sort(out)
	return out
}

// registry is a directory that a test changes.
type registry struct {
	mu     sync.Mutex
	people map[directory.PersonID]directory.Person
	err    error
}

func (r *registry) ByID(_ context.Context, id directory.PersonID) (directory.Person, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.people[id]
	switch {
	case r.err != nil:
		return directory.Person{}, r.err
	case !ok:
		return directory.Person{}, directory.ErrNotFound
	}
	return p, nil
}

func (r *registry) set(p directory.Person, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.people[p.ID], r.err = p, err
}

// world is a store with one gateway on it.
type world struct {
	*gateway
	t      *testing.T
	path   string
	clock  *clock.Fake
	people *registry
	rules  *policy.Policy
}

// A gateway is a Sender with its own connection to the store.
type gateway struct {
	*Sender
	reg  *prometheus.Registry
	log  *locked
	mail *outbox
}

type locked struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, path: filepath.Join(t.TempDir(), "sekisho.db"), clock: clock.NewFake(t0), rules: testPolicy(),
		people: &registry{people: map[directory.PersonID]directory.Person{tanaka.ID: tanaka}},
	}
	w.gateway = w.open(store.Config{})
	return w
}

func (w *world) open(cfg store.Config) *gateway {
	w.t.Helper()
	cfg.Path = w.path
	db := storetest.OpenWith(w.t, cfg)
	rules := func() *policy.Policy { return w.rules }
	g := &gateway{reg: prometheus.NewRegistry(), log: &locked{}, mail: &outbox{}}
	g.Sender = New(Config{
		DB: db, Queue: queue.New(db, w.clock.Now, rules), Trail: audit.New(db, w.clock.Now), People: w.people, Mail: g.mail,
		Policy: rules, Gate: gate, Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(g.log, nil)), Registry: g.reg,
	})
	return g
}

func (w *world) add(n queue.Notice) {
	w.t.Helper()
	if n.Person == "" {
		n.Person = tanaka.ID
	}
	if n.Zone == "" {
		n.Zone = policy.LGWAN
	}
	if err := w.DB.WithTx(ctx, func(tx *store.Tx) error { return w.Queue.Add(ctx, tx, n) }); err != nil {
		w.t.Fatal(err)
	}
}

// second gives the person a second address, and forgets the notice of it.
func (w *world) second(address string) {
	w.t.Helper()
	err := w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.Queue.SetSecond(ctx, tx, tanaka.ID, address, policy.LGWAN); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM notice_copy`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM notice`)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deliver() {
	w.t.Helper()
	if _, err := w.Deliver(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// trail are the entries of notices, as the store keeps them until the seal.
func (w *world) trail() (out []string) {
	w.t.Helper()
	rows, err := w.DB.Query(ctx, `SELECT data FROM trail_pending ORDER BY seq`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var data string
		if err := rows.Scan(&data); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, data)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (g *gateway) counted(k queue.Kind, outcome string) float64 {
	return g.metric("sekisho_notices_total", string(k), outcome)
}

// metric is what Prometheus would read: the value of a series, by the values of
// its labels in the order of their names; -1 for none.
func (g *gateway) metric(name string, labels ...string) float64 {
	families, err := g.reg.Gather()
	if err != nil {
		return -1
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return -1
}
