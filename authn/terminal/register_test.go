package terminal_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"sekisho/authn/terminal"
	"sekisho/policy"
	"sekisho/policy/store"
)

// list is the register by id.
func (w *world) list() map[string]terminal.Terminal {
	w.t.Helper()
	all, err := w.List(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	byID := map[string]terminal.Terminal{}
	for _, t := range all {
		byID[t.ID] = t
		if found := w.find(t.ID); found != t {
			w.t.Errorf("List has %+v\nFind has %+v", t, found)
		}
	}
	if len(byID) != len(all) {
		w.t.Errorf("List has an id twice: %+v", all)
	}
	return byID
}

func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newPair(t)
	wantIs(t, "Enrol", w.enrol(counter2(), key.public), nil)
	wantWhy(t, "Spend", w.spend(w.heard("counter-2", key)), "taken")
	w.clock.Advance(time.Hour)
	wantIs(t, "Lose", w.lose("lent-1"), nil)
	all, err := w.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []terminal.Terminal{
		{ID: "counter-2", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口2", EN: "Counter 2"}, Key: key.print(), AddedAt: t0, AddedBy: "suzuki", SeenAt: t0},
		{ID: "juki-1", Zone: policy.MyNumber, Class: policy.TerminalDedicated, Name: policy.Words{JA: "住基端末"}, Key: w.juki.print(), Declared: true},
		{ID: "lent-1", Zone: policy.LGWAN, Class: policy.TerminalLent, Name: policy.Words{JA: "貸与1"}, Declared: true, LostAt: t0.Add(time.Hour)},
		{ID: "madoguchi-1", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口1"}, Key: w.madoguchi.print(), Declared: true},
	}
	if !slices.Equal(all, want) {
		t.Errorf("List = %+v\nwant   %+v", all, want)
	}
	w.list() // agrees with Find
	for _, id := range []string{"", "counter-9", "Juki-1", "juki-1\x00", "' OR 1=1 --"} {
		_, err := w.Find(context.Background(), w.db, id)
		wantIs(t, "Find("+id+")", err, terminal.ErrNotFound)
	}
}

func TestLose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantIs(t, "one nobody knows", w.lose("juki-9"), terminal.ErrNotFound)
	wantIs(t, "juki-1", w.lose("juki-1"), nil)
	w.clock.Advance(time.Hour)
	wantIs(t, "juki-1 again", w.lose("juki-1"), terminal.ErrLost)
	if at := w.find("juki-1").LostAt; !at.Equal(t0) {
		t.Errorf("LostAt = %v, want the first report, %v", at, t0)
	}
	_, err := w.say(w.words("juki-1"), w.juki)
	wantWhy(t, "a lost terminal's word", err, "lost")
	bad := w.words("juki-1")
	bad.Audience = "https://evil.example"
	_, err = w.say(bad, w.juki)
	wantWhy(t, "a lost terminal's word for another gate", err, "lost")
	_, err = w.say(w.words("juki-1"), newPair(t))
	wantWhy(t, "a stranger's word in its name", err, "signature")
	_, err = w.say(w.words("madoguchi-1"), w.madoguchi)
	wantWhy(t, "another terminal's word", err, "taken")
	w.restart()
	_, err = w.say(w.words("juki-1"), w.juki)
	wantWhy(t, "after a restart", err, "lost")

	wantIs(t, "lent-1", w.lose("lent-1"), nil)
	wantIs(t, "lent-1 again", w.lose("lent-1"), terminal.ErrLost)
}

// TestLostKeyIsDead: whatever name the machine comes back under.
func TestLostKeyIsDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newPair(t)
	wantIs(t, "Enrol", w.enrol(counter2(), key.public), nil)
	wantIs(t, "Lose", w.lose("counter-2"), nil)
	wantIs(t, "Remove", w.remove("counter-2"), nil)
	err := w.enrol(counter2(), key.public)
	wantIs(t, "the same terminal", err, terminal.ErrLost)
	wantInvalid(t, "the same terminal", err, "public_key", "lost")
	other := counter2()
	other.ID = "counter-3"
	wantInvalid(t, "another terminal", w.enrol(other, key.public), "public_key", "lost")
	wantInvalid(t, "the same terminal, silent", w.enrol(counter2(), ""), "public_key", "lost")

	w.declare(policy.Terminal{ID: "counter-4", Zone: policy.LGWAN, Class: policy.TerminalCounter, PublicKey: key.public})
	_, err = w.say(w.words("counter-4"), key)
	wantWhy(t, "declared with the dead key", err, "lost")
	if w.list()["counter-4"].LostAt.IsZero() {
		t.Error("the list does not say that a declared terminal has a dead key")
	}
	wantIs(t, "losing it", w.lose("counter-4"), terminal.ErrLost)
}

// TestComesBackWithNewKey, and not without one.
func TestComesBackWithNewKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.declared("juki-1")
	wantIs(t, "Lose", w.lose("juki-1"), nil)

	d.PublicKey = ""
	w.declare(d)
	if w.find("juki-1").LostAt.IsZero() || w.list()["juki-1"].LostAt.IsZero() {
		t.Error("a lost terminal comes back by giving up its key")
	}
	wantIs(t, "losing it without its key", w.lose("juki-1"), terminal.ErrLost)

	fresh := newPair(t)
	d.PublicKey = fresh.public
	w.declare(d)
	_, err := w.say(w.words("juki-1"), w.juki)
	wantWhy(t, "the lost machine, when the policy has another", err, "signature")
	a, err := w.say(w.words("juki-1"), fresh)
	wantWhy(t, "the new machine", err, "taken")
	wantWhy(t, "the new machine's Spend", w.spend(a), "taken")
	wantIs(t, "losing the new one, too", w.lose("juki-1"), nil)

	d.PublicKey = w.juki.public
	w.declare(d)
	_, err = w.say(w.words("juki-1"), w.juki)
	wantWhy(t, "the first key again", err, "lost")

	// One that could not speak was marked by its id, and comes back with a key.
	wantIs(t, "Enrol", w.enrol(counter2(), ""), nil)
	wantIs(t, "Lose", w.lose("counter-2"), nil)
	wantIs(t, "Remove", w.remove("counter-2"), nil)
	wantInvalid(t, "without a key", w.enrol(counter2(), ""), "public_key", "lost")
	key := newPair(t)
	wantIs(t, "with a key", w.enrol(counter2(), key.public), nil)
	_, err = w.say(w.words("counter-2"), key)
	wantWhy(t, "with a key", err, "taken")
}

// TestPolicyHidesRow: the policy's word about an id is the whole word.
func TestPolicyHidesRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := newPair(t)
	wantIs(t, "Enrol", w.enrol(counter2(), mine.public), nil)
	before := w.policy.Load().Terminals
	hides := policy.Terminal{ID: "counter-2", Zone: policy.MyNumber, Class: policy.TerminalDedicated}
	w.declare(append(slices.Clone(before), hides)...)
	_, err := w.say(w.words("counter-2"), mine)
	wantWhy(t, "a key that one person chose, under a class that two did", err, "no_key")
	if got := w.list()["counter-2"]; got.Key != "" || !got.Declared || got.AddedBy != "" || got.Class != policy.TerminalDedicated {
		t.Errorf("List has %+v", got)
	}

	// Who reports it lost means the machine, and so both.
	wantIs(t, "Lose", w.lose("counter-2"), nil)
	w.declare(before...)
	_, err = w.say(w.words("counter-2"), mine)
	wantWhy(t, "the row, when the declaration goes", err, "lost")
}

func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newPair(t)
	wantInvalid(t, "a declared one", w.remove("juki-1"), "id", "declared")
	wantIs(t, "one nobody knows", w.remove("counter-2"), terminal.ErrNotFound)
	wantIs(t, "what is no id", w.remove("counter-2\x00"), terminal.ErrNotFound)
	wantIs(t, "Enrol", w.enrol(counter2(), key.public), nil)
	wantWhy(t, "Spend", w.spend(w.heard("counter-2", key)), "taken")
	wantIs(t, "Remove", w.remove("counter-2"), nil)
	wantIs(t, "Remove again", w.remove("counter-2"), terminal.ErrNotFound)
	_, err := w.say(w.words("counter-2"), key)
	wantWhy(t, "a removed terminal's word", err, "unknown_terminal")
	if _, there := w.list()["counter-2"]; there {
		t.Error("the list has a removed terminal")
	}
	// It was removed, not lost: it may return, and has not spoken yet.
	wantIs(t, "Enrol again", w.enrol(counter2(), key.public), nil)
	if at := w.find("counter-2").SeenAt; !at.IsZero() {
		t.Errorf("a terminal that was enrolled anew spoke at %v", at)
	}
}

// TestLoseRace: of many who report one terminal, one is the first.
func TestLoseRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"juki-1", "lent-1"} {
		got := race(8, func(int) error { return w.lose(id) })
		if n := count(got, nil); n != 1 {
			t.Errorf("%s: %d were the first, want one: %v", id, n, got)
		}
		if n := count(got, terminal.ErrLost); n != 7 {
			t.Errorf("%s: %d were told that it is lost, want 7: %v", id, n, got)
		}
	}
}

// TestLoseAndUndo: a report whose trail entry fails is none.
func TestLoseAndUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := w.tx(func(tx *store.Tx) error {
		if err := w.Lose(context.Background(), tx, "juki-1", "suzuki"); err != nil {
			return err
		}
		if found, err := w.Find(context.Background(), tx, "juki-1"); err != nil || found.LostAt.IsZero() {
			t.Errorf("inside the transaction: %+v, %v", found, err)
		}
		return context.Canceled
	})
	wantIs(t, "the transaction", err, context.Canceled)
	_, err = w.say(w.words("juki-1"), w.juki)
	wantWhy(t, "its word", err, "taken")
}
