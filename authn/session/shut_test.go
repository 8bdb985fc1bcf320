package session

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// child hands a session over to an application's host.
func (g *gate) child(t *testing.T, cookie, app string) string {
	t.Helper()
	code, err := g.HandoverCode(ctx, cookie, app, app+".pref.example")
	if err != nil {
		t.Fatal(err)
	}
	child, err := g.RedeemHandover(ctx, code, app+".pref.example", "10.2.0.9")
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// TestBar: a session that a bar shuts opens nothing, and for good; the session of
// an application that was spared goes on.
func TestBar(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	shut, away := false, error(nil)
	g.Obey(func(_ context.Context, _ clock.Moment, n *Session, _ directory.Person) (string, bool, error) {
		return "lock-down 1", shut && n.App != "bosai", away
	}, func() []string { return []string{"bosai", "madoguchi"} })
	_, cookie := g.begin(t)
	bunsho, bosai := g.child(t, cookie, "bunsho"), g.child(t, cookie, "bosai")
	for name, c := range map[string]string{"the gate's": cookie, "an application's": bunsho, "a spared one's": bosai} {
		wantAlive(t, g.Sessions, c, name+" before")
	}
	away = errors.New("the store is away")
	if _, err := g.Load(ctx, cookie); !errors.Is(err, away) {
		t.Errorf("nobody could say: %v", err)
	}
	away, shut = nil, true
	wantDead(t, g.Sessions, cookie, "the gate's")
	wantDead(t, g.Sessions, bunsho, "an application's")
	wantAlive(t, g.Sessions, bosai, "a spared one's")
	shut = false
	wantDead(t, g.Sessions, cookie, "the gate's, after it was lifted")
	wantDead(t, g.Sessions, bunsho, "an application's, after it was lifted")
	wantAlive(t, g.Sessions, bosai, "a spared one's, after it was lifted")
}

// TestShutMany ends exactly those that are named, in one transaction.
func TestShutMany(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.policy.Session.MaxPerPerson = 0
	var ids, cookies []string
	for range perShut + 3 {
		n, cookie := g.begin(t)
		ids, cookies = append(ids, n.ID), append(cookies, cookie)
	}
	all, err := g.Everyone(ctx, g.db)
	if err != nil || len(all) != len(ids) {
		t.Fatalf("Everyone = %d, %v", len(all), err)
	}
	err = g.db.WithTx(ctx, func(tx *store.Tx) error {
		n, err := g.Shut(ctx, tx, ids[:perShut+2], "lock-down 1")
		if err == nil && n != perShut+2 {
			err = fmt.Errorf("ended %d", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantDead(t, g.Sessions, cookies[0], "the first")
	wantDead(t, g.Sessions, cookies[perShut+1], "the last that was named")
	wantAlive(t, g.Sessions, cookies[perShut+2], "the one that was not")
	if all, err := g.Everyone(ctx, g.db); err != nil || len(all) != 1 {
		t.Errorf("afterwards Everyone = %d, %v", len(all), err)
	}
}

// TestShutWhatIsAimedAt: an application that was spared goes on when the gate's
// session ends, and not when its own was named.
func TestShutWhatIsAimedAt(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.Obey(func(context.Context, clock.Moment, *Session, directory.Person) (string, bool, error) {
		return "", false, nil
	}, func() []string { return []string{"bosai"} })
	n, cookie := g.begin(t)
	bosai, other := g.child(t, cookie, "bosai"), g.child(t, cookie, "bunsho")
	named, err := g.Load(ctx, bosai)
	if err != nil {
		t.Fatal(err)
	}
	shut := func(ids ...string) {
		t.Helper()
		if err := g.db.WithTx(ctx, func(tx *store.Tx) error { _, err := g.Shut(ctx, tx, ids, "lock-down 1"); return err }); err != nil {
			t.Fatal(err)
		}
		if err := g.Poll(ctx); err != nil {
			t.Fatal(err)
		}
	}
	shut(n.ID)
	wantDead(t, g.Sessions, cookie, "the gate's")
	wantDead(t, g.Sessions, other, "another application's")
	wantAlive(t, g.Sessions, bosai, "the spared one's")
	shut(named.ID)
	wantDead(t, g.Sessions, bosai, "the spared one's, which was named")
}

// followed hears of polls.
type followed chan struct{}

func (f followed) Follow(context.Context, time.Time) error { f <- struct{}{}; return nil }

// TestRunPollsAtOnce: a gateway that has started goes by memory as soon as it can,
// and not only when the first interval is over.
func TestRunPollsAtOnce(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.policy.Session.RevocationPoll = time.Hour
	polls := make(followed)
	g.PollWith(polls)
	if g.InStep() {
		t.Fatal("in step before it polled")
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { g.Run(running); close(ended) }()
	select {
	case <-polls:
	case <-time.After(20 * time.Second):
		t.Error("it waits for the first interval")
	}
	stop()
	<-ended
	if !g.InStep() {
		t.Error("not in step after its poll")
	}
}
