package notice

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("sekisho/test/postgres.(*Server).start.func1"))
}

var (
	ctx = context.Background()
	t0  = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
)

const (
	tanaka = directory.PersonID("p-tanaka")
	lease  = time.Minute
)

// world is one store with a gateway on it; beside adds another.
type world struct {
	t     *testing.T
	path  string
	db    *store.DB
	clock *clock.Fake
	rules *policy.Policy
	*Queue
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "sekisho.db"), clock: clock.NewFake(t0), rules: &policy.Policy{
		Zones: []policy.Zone{{ID: policy.LGWAN, MailNotices: true}, {ID: policy.MyNumber}},
		Mail:  policy.MailRules{From: "sekisho@pref.example"},
	}}
	w.db = storetest.OpenWith(t, store.Config{Path: w.path})
	w.Queue = New(w.db, w.clock.Now, func() *policy.Policy { return w.rules })
	return w
}

// beside is another gateway on the same store, with its own connection to it.
func (w *world) beside() *Queue {
	w.t.Helper()
	return New(storetest.OpenWith(w.t, store.Config{Path: w.path}), w.clock.Now, func() *policy.Policy { return w.rules })
}

func (w *world) tx(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.WithTx(ctx, fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) add(n Notice) {
	w.t.Helper()
	if n.Person == "" {
		n.Person = tanaka
	}
	if n.Zone == "" {
		n.Zone = policy.LGWAN
	}
	w.tx(func(tx *store.Tx) error { return w.Add(ctx, tx, n) })
}

func (w *world) second(address string) {
	w.t.Helper()
	w.tx(func(tx *store.Tx) error { return w.SetSecond(ctx, tx, tanaka, address, policy.LGWAN) })
}

func (w *world) claim() []Due {
	w.t.Helper()
	due, err := w.Claim(ctx, 100, lease)
	if err != nil {
		w.t.Fatal(err)
	}
	return due
}

func (w *world) failed(d Due, refused bool) Outcome {
	w.t.Helper()
	var how Outcome
	w.tx(func(tx *store.Tx) (err error) {
		how, err = w.Failed(ctx, tx, d, refused)
		return err
	})
	return how
}

func (w *world) done(d Due) {
	w.t.Helper()
	if err := w.Done(ctx, d); err != nil {
		w.t.Fatal(err)
	}
}

// state is what the store says of a copy.
func (w *world) state(d Due) string {
	w.t.Helper()
	var state string
	if err := w.db.QueryRow(ctx, `SELECT state FROM notice_copy WHERE notice_id = $1 AND address = $2`, d.ID, d.Address).Scan(&state); err != nil {
		w.t.Fatal(err)
	}
	return state
}

func (w *world) count(table string) (n int) {
	w.t.Helper()
	if err := w.db.QueryRow(ctx, `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func addresses(due []Due) []string {
	var out []string
	for _, d := range due {
		out = append(out, d.Address)
	}
	slices.Sort(out)
	return out
}
