package notice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	queue "sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
	"sekisho/web/notice/smtptest"
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

func TestBothAddressesAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("me@home.example")
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	w.deliver()
	got := w.mail.all()
	if len(got) != 2 || !slices.Equal(w.mail.to(), []string{"me@home.example", "tanaka@pref.example"}) {
		t.Fatalf("told %v", w.mail.to())
	}
	for _, m := range got {
		if m.From != "sekisho@pref.example" || !m.At.Equal(t0) || !strings.Contains(m.Subject, "パスワードが変わりました") {
			t.Errorf("message %+v", m)
		}
		for _, other := range got {
			if other.To != m.To && strings.Contains(m.Subject+m.Text+m.ID, other.To) {
				t.Errorf("the message to %s shows %s", m.To, other.To)
			}
		}
	}
	if got[0].ID == got[1].ID {
		t.Error("two messages of one name")
	}
	if w.counted(queue.PasswordChanged, "sent") != 2 || len(w.trail()) != 0 {
		t.Errorf("%v counted, trail %v", w.counted(queue.PasswordChanged, "sent"), w.trail())
	}
	w.clock.Advance(24 * time.Hour)
	w.deliver()
	if n := len(w.mail.all()); n != 2 {
		t.Errorf("%d messages a day later", n)
	}
}

// TestOneAddressThatFails does not bring the other its notice again.
func TestOneAddressThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("me@home.example")
	w.mail.fail = func(m Message, nth int) error {
		if m.To == "me@home.example" && nth < 4 {
			return errors.New("451 not now")
		}
		return nil
	}
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	for range 5 {
		w.deliver()
		w.clock.Advance(time.Hour)
	}
	if got := w.mail.to(); !slices.Equal(got, []string{"me@home.example", "tanaka@pref.example"}) {
		t.Errorf("told %q", got)
	}
	if w.counted(queue.PasswordChanged, "retried") != 2 || !strings.Contains(w.log.String(), "451 not now") {
		t.Errorf("%v retried, log %s", w.counted(queue.PasswordChanged, "retried"), w.log)
	}
}

// TestACrashAfterSending: a gateway that dies before the queue hears of it sends
// again, under the same name; nothing is lost.
func TestACrashAfterSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dying := false
	first := w.open(store.Config{Fault: func(stage string) error {
		if stage == "commit" && dying {
			return errors.New("power is gone")
		}
		return nil
	}})
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	first.mail.fail = func(Message, int) error { dying = true; return nil }
	if _, err := first.Deliver(ctx); err == nil {
		t.Fatal("the crash went unnoticed")
	}
	w.deliver()
	if n := len(w.mail.all()); n != 0 {
		t.Fatalf("%d messages while the dead gateway's lease lasts", n)
	}
	w.clock.Advance(lease)
	w.deliver()
	before, after := first.mail.all(), w.mail.all()
	if len(before) != 1 || len(after) != 1 || before[0] != after[0] || before[0].ID == "" {
		t.Errorf("before the crash %+v\nafter it %+v", before, after)
	}
	w.clock.Advance(24 * time.Hour)
	w.deliver()
	if n := len(w.mail.all()); n != 1 {
		t.Errorf("%d messages a day later", n)
	}
}

// TestACrashBeforeSending: a gateway dies with the copies claimed. Another one
// takes them when the lease has ended.
func TestACrashBeforeSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	if due, err := w.Queue.Claim(ctx, 10, lease); err != nil || len(due) != 1 {
		t.Fatalf("claimed %d, %v", len(due), err)
	}
	other := w.open(store.Config{})
	for _, tt := range []struct {
		wait time.Duration
		want int
	}{{lease - time.Microsecond, 0}, {time.Microsecond, 1}} {
		w.clock.Advance(tt.wait)
		if _, err := other.Deliver(ctx); err != nil {
			t.Fatal(err)
		}
		if n := len(other.mail.all()); n != tt.want {
			t.Errorf("%d messages, want %d", n, tt.want)
		}
	}
}

// TestTwoGatewaysSendOnce: two gateways, each on its own connection, empty one
// queue through one mail server.
func TestTwoGatewaysSendOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("me@home.example")
	server := smtptest.Open(t, nil)
	gates := []*gateway{w.gateway, w.open(store.Config{}), w.open(store.Config{})}
	for _, g := range gates {
		g.Mail = smtpTo(t, server, nil)
	}
	const notices = 60
	for range notices {
		w.add(queue.Notice{Kind: queue.PasswordChanged})
	}
	var work sync.WaitGroup
	for _, g := range gates {
		work.Go(func() {
			for more := true; more; {
				var err error
				if more, err = g.Deliver(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	seen := map[string]int{}
	for _, m := range server.Messages() {
		seen[m.Header.Get("Message-ID")]++
	}
	if len(seen) != 2*notices || len(server.Messages()) != 2*notices {
		t.Errorf("%d messages of %d names, want %d", len(server.Messages()), len(seen), 2*notices)
	}
	// Three gateways open three lanes for every 40 copies, and one connection a
	// lane: each carries several messages.
	if n, _ := server.Connections(); n > 2*notices/2 {
		t.Errorf("%d connections for %d messages", n, 2*notices)
	}
}

func TestRefusalsEndInTheTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("nobody@home.example")
	w.mail.fail = func(m Message, _ int) error {
		if m.To == "nobody@home.example" {
			return fmt.Errorf("%w: 550 5.1.1 no such user", ErrRefused)
		}
		return nil
	}
	w.add(queue.Notice{Kind: queue.FactorAdded})
	for range 10 {
		w.deliver()
		w.clock.Advance(6 * time.Hour)
	}
	if w.mail.nth != 1+4 || w.counted(queue.FactorAdded, "retried") != 3 || w.counted(queue.FactorAdded, "refused") != 1 {
		t.Errorf("%d tries, %v retried, %v refused; want 5, 3, 1", w.mail.nth, w.counted(queue.FactorAdded, "retried"), w.counted(queue.FactorAdded, "refused"))
	}
	trail := w.trail()
	if len(trail) != 1 {
		t.Fatalf("trail %q", trail)
	}
	for _, want := range []string{`"action":"notice.refused"`, `"object":"p-tanaka"`, `"outcome":"failed"`, `"kind":"factor_added"`, `"address":"second"`} {
		if !strings.Contains(trail[0], want) {
			t.Errorf("trail lacks %s: %s", want, trail[0])
		}
	}
	if strings.Contains(trail[0], "home.example") {
		t.Errorf("the trail names the address: %s", trail[0])
	}
}

// TestAServerThatIsAway holds everything up and loses nothing; the log says so
// once, and the dead server is asked once in a round, not once for each copy.
func TestAServerThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mail.fail = func(Message, int) error { return fmt.Errorf("%w: connection refused", ErrAway) }
	for range 30 {
		w.add(queue.Notice{Kind: queue.PasswordChanged})
	}
	if more, err := w.Deliver(ctx); more || err != nil {
		t.Errorf("Deliver = %t, %v", more, err)
	}
	if w.mail.nth > lanes {
		t.Errorf("the server was asked %d times in a round of %d lanes", w.mail.nth, lanes)
	}
	w.clock.Advance(time.Minute)
	w.deliver()
	if n := strings.Count(w.log.String(), "cannot be mailed"); n != 1 {
		t.Errorf("said %d times:\n%s", n, w.log)
	}
	if len(w.trail()) != 0 {
		t.Errorf("trail %q", w.trail())
	}
	w.mail.fail = nil
	w.clock.Advance(time.Hour)
	w.deliver()
	if n := len(w.mail.all()); n != 30 || strings.Count(w.log.String(), "mailed again") != 1 {
		t.Errorf("%d of 30 told, log:\n%s", n, w.log)
	}
}

func TestAServerThatNeverComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mail.fail = func(Message, int) error { return ErrAway }
	w.add(queue.Notice{Kind: queue.PasswordLeaked})
	for w.clock.Now().Before(t0.Add(queue.Patience + 2*time.Hour)) {
		w.deliver()
		w.clock.Advance(30 * time.Minute)
	}
	if trail := w.trail(); len(trail) != 1 || !strings.Contains(trail[0], `"action":"notice.undelivered"`) || !strings.Contains(trail[0], `"address":"directory"`) {
		t.Errorf("trail %q", trail)
	}
	if w.counted(queue.PasswordLeaked, "undelivered") != 1 {
		t.Error("not counted")
	}
}

// TestWhatCannotBeSent ends at once, with a word on the trail.
func TestWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		before  func(w *world)
		outcome string
		entry   string
	}{
		{"no address", func(w *world) { p := tanaka; p.Mail = ""; w.people.set(p, nil) }, "unaddressed", `"outcome":"failed"`},
		{"an address that is none", func(w *world) {
			p := tanaka
			p.Mail = "tanaka@pref.example\r\nBcc: mallory@evil.example"
			w.people.set(p, nil)
		}, "unaddressed", `"outcome":"failed"`},
		{"nobody any more", func(w *world) { w.people.people = nil }, "unaddressed", `"outcome":"failed"`},
		{"the zone has stopped", func(w *world) { w.rules.Zones[0].MailNotices = false }, "withheld", `"outcome":"refused"`},
		{"there is no sender any more", func(w *world) { w.rules.Mail.From = "" }, "withheld", `"outcome":"refused"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add(queue.Notice{Kind: queue.PasswordChanged})
			tt.before(w)
			w.deliver()
			if w.mail.nth != 0 || w.counted(queue.PasswordChanged, tt.outcome) != 1 {
				t.Errorf("%d sent, %v counted as %s", w.mail.nth, w.counted(queue.PasswordChanged, tt.outcome), tt.outcome)
			}
			trail := w.trail()
			if len(trail) != 1 || !strings.Contains(trail[0], `"action":"notice.`+tt.outcome+`"`) || !strings.Contains(trail[0], tt.entry) {
				t.Errorf("trail %q", trail)
			}
			w.clock.Advance(24 * time.Hour)
			w.deliver()
			if len(w.trail()) != 1 {
				t.Error("tried again")
			}
		})
	}
}

// TestADirectoryThatIsAway is no reason to say that there is nobody.
func TestADirectoryThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		w.add(queue.Notice{Kind: queue.PasswordChanged})
	}
	w.people.set(tanaka, directory.ErrAway)
	w.deliver()
	if w.mail.nth != 0 || len(w.trail()) != 0 || strings.Count(w.log.String(), "level=WARN") != 1 {
		t.Errorf("%d sent, trail %q, log:\n%s", w.mail.nth, w.trail(), w.log)
	}
	w.people.set(tanaka, nil)
	w.clock.Advance(time.Minute)
	w.deliver()
	if n := len(w.mail.all()); n != 5 {
		t.Errorf("%d of 5 told", n)
	}
}

// TestALetterThatCannotBeWritten waits for a Sekisho that can: another gateway,
// of a later version, may have queued it.
func TestALetterThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	w.add(queue.Notice{Kind: queue.RecoveryUsed})
	if err := w.DB.WithTx(ctx, func(tx *store.Tx) error {
		return tx.ExecOne(ctx, `UPDATE notice SET kind = 'implant_added' WHERE kind = 'recovery_used'`)
	}); err != nil {
		t.Fatal(err)
	}
	w.deliver()
	if n := len(w.mail.all()); n != 1 {
		t.Errorf("%d told, want the one that can be written", n)
	}
	if n := w.counted("unknown", "retried"); n != 1 {
		t.Errorf("%v counted as unknown", n)
	}
}

// TestStoppingGivesBack: a gateway that is stopped in the middle gives back what
// it has not sent, and the next one sends all of it, once.
func TestStoppingGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 20 {
		w.add(queue.Notice{Kind: queue.PasswordChanged})
	}
	ending, stop := context.WithCancel(ctx)
	w.mail.fail = func(_ Message, nth int) error {
		if nth == 2 {
			stop()
			return context.Canceled
		}
		return nil
	}
	if _, err := w.Deliver(ending); err != nil {
		t.Fatal(err)
	}
	sent := len(w.mail.all())
	next := w.open(store.Config{})
	if _, err := next.Deliver(ctx); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range append(w.mail.all(), next.mail.all()...) {
		names[m.ID] = true
	}
	if sent == 20 || sent+len(next.mail.all()) != 20 || len(names) != 20 {
		t.Errorf("%d before the stop, %d after it, %d names; want 20 in all", sent, len(next.mail.all()), len(names))
	}
}

// TestRun: what this process queues is sent because it wakes the sender, what
// another queues because the sender looks.
func TestRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		look  time.Duration
		other bool
	}{
		{"woken", time.Hour, false},
		{"looking", 10 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			server := smtptest.Open(t, nil)
			w.Mail, w.look = smtpTo(t, server, nil), tt.look
			from := w.gateway
			if tt.other {
				from = w.open(store.Config{})
			}
			running, stop := context.WithCancel(ctx)
			var run sync.WaitGroup
			run.Go(func() { w.Run(running) })
			for i := range 3 {
				if err := from.DB.WithTx(ctx, func(tx *store.Tx) error {
					return from.Queue.Add(ctx, tx, queue.Notice{Person: tanaka.ID, Kind: queue.RecoveryUsed, Zone: policy.LGWAN})
				}); err != nil {
					t.Fatal(err)
				}
				waitFor(t, func() bool { return len(server.Messages()) == i+1 })
			}
			waitFor(t, func() bool { return w.metric("sekisho_notices_waiting") == 0 })
			stop()
			run.Wait()
		})
	}
}

// waitFor waits for a condition, as long as a busy machine may take.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("waited in vain")
		case <-tick.C:
		}
	}
}

// TestAGatewayWithoutMail leaves the queue to those who have it, and still keeps
// it tidy.
func TestAGatewayWithoutMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent := w.open(store.Config{})
	silent.Mail, silent.look = nil, 10*time.Millisecond
	running, stop := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { silent.Run(running) })
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	waitFor(t, func() bool { return silent.metric("sekisho_notices_waiting") == 1 })
	stop()
	run.Wait()
	if n := strings.Count(silent.log.String(), "no mail server"); n != 1 {
		t.Errorf("said %d times that it has no mail server", n)
	}
	w.deliver()
	if n := len(w.mail.all()); n != 1 {
		t.Fatalf("%d told by the gateway that has mail", n)
	}
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	w.clock.Advance(queue.Kept)
	if err := silent.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	if n, _, err := w.Queue.Waiting(ctx); n != 0 || err != nil {
		t.Errorf("%d wait, %v", n, err)
	}
	if trail := w.trail(); len(trail) != 1 || !strings.Contains(trail[0], `"action":"notice.dropped"`) || !strings.Contains(trail[0], `"copies":"1"`) {
		t.Errorf("trail %q", trail)
	}
	if err := silent.Tidy(ctx); err != nil || len(w.trail()) != 1 {
		t.Errorf("tidied again: %v, trail %q", err, w.trail())
	}
}

func TestMeasures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("me@home.example")
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	w.clock.Advance(90 * time.Second)
	w.measure(ctx)
	if n, age := w.metric("sekisho_notices_waiting"), w.metric("sekisho_notice_oldest_seconds"); n != 2 || age != 90 {
		t.Errorf("%v wait for %v s, want 2 for 90", n, age)
	}
	w.deliver()
	w.measure(ctx)
	if n, age := w.metric("sekisho_notices_waiting"), w.metric("sekisho_notice_oldest_seconds"); n != 0 || age != 0 {
		t.Errorf("%v wait for %v s after all was sent", n, age)
	}
}
