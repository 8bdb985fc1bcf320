package notice

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	queue "sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy/store"
	"sekisho/web/notice/smtptest"
)

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
