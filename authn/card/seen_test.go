package card_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/card"
	"sekisho/directory"
	"sekisho/policy/store"
)

const (
	tanaka  directory.PersonID = "id-tanaka"
	yoshida directory.PersonID = "id-yoshida"
)

// held is a good card.
func (d *desk) held(t *testing.T) card.Card {
	t.Helper()
	c, why := d.read(t, d.Issue("tanaka"))
	if why != "" {
		t.Fatal(why)
	}
	return c
}

func (d *desk) use(t *testing.T, who directory.PersonID, c card.Card) error {
	return d.db.WithTx(t.Context(), func(tx *store.Tx) error { return d.Use(t.Context(), tx, who, c) })
}

func (d *desk) remove(t *testing.T, who directory.PersonID, id string) error {
	return d.db.WithTx(t.Context(), func(tx *store.Tx) error { return d.Remove(t.Context(), tx, who, id) })
}

func (d *desk) cards(t *testing.T, who directory.PersonID) []card.Seen {
	t.Helper()
	seen, err := d.List(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	n, err := d.Count(t.Context(), d.db, who)
	if err != nil || n != len(seen) {
		t.Errorf("Count = %d, %v with %d cards", n, err, len(seen))
	}
	return seen
}

func TestUse(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.held(t)
	if err := d.use(t, tanaka, c); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(time.Hour)
	if err := d.use(t, tanaka, c); err != nil {
		t.Fatal("again:", err)
	}
	seen := d.cards(t, tanaka)
	if len(seen) != 1 || seen[0].ID != c.ID || !strings.HasPrefix(seen[0].Name, "職員証 ") || !seen[0].LastUsedAt.Equal(t0.Add(time.Hour)) || !seen[0].AddedAt.Equal(t0) {
		t.Errorf("List = %+v", seen)
	}
	second := d.held(t)
	if err := d.use(t, tanaka, second); err != nil {
		t.Fatal(err)
	}
	if seen := d.cards(t, tanaka); len(seen) != 2 || seen[1].ID != second.ID || seen[0].Name == seen[1].Name {
		t.Errorf("with a second card: %+v", seen)
	}
	if seen := d.cards(t, yoshida); len(seen) != 0 {
		t.Errorf("another person has %+v", seen)
	}
}

// TestACardIsOnePersons: whoever used it first, and for good.
func TestACardIsOnePersons(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.held(t)
	var no *card.Refused
	if err := d.use(t, tanaka, c); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(time.Hour)
	if err := d.use(t, yoshida, c); !errors.As(err, &no) {
		t.Errorf("another person: %v", err)
	}
	if err := d.remove(t, yoshida, c.ID); !errors.Is(err, card.ErrNoCard) {
		t.Errorf("removed by another person: %v", err)
	}
	if seen := d.cards(t, tanaka); len(seen) != 1 || !seen[0].LastUsedAt.Equal(t0) {
		t.Errorf("what another did stands in the list: %+v", seen)
	}
	if err := d.remove(t, tanaka, c.ID); err != nil {
		t.Fatal(err)
	}
	for _, who := range []directory.PersonID{tanaka, yoshida} {
		if err := d.use(t, who, c); !errors.As(err, &no) {
			t.Errorf("%s, after it was removed: %v", who, err)
		}
		if err := d.remove(t, who, c.ID); !errors.Is(err, card.ErrNoCard) {
			t.Errorf("%s removes it again: %v", who, err)
		}
		if seen := d.cards(t, who); len(seen) != 0 {
			t.Errorf("%s has %+v", who, seen)
		}
	}
	if err := d.remove(t, tanaka, "no such id"); !errors.Is(err, card.ErrNoCard) {
		t.Errorf("a card nobody knows: %v", err)
	}
}

// TestWhatReadDidNotMake: the zero values belong to nobody.
func TestWhatReadDidNotMake(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var no *card.Refused
	if err := d.use(t, tanaka, card.Card{}); !errors.As(err, &no) {
		t.Errorf("no card: %v", err)
	}
	if err := d.use(t, "", d.held(t)); !errors.As(err, &no) {
		t.Errorf("nobody: %v", err)
	}
	if seen := append(d.cards(t, tanaka), d.cards(t, "")...); len(seen) != 0 {
		t.Errorf("they left %+v", seen)
	}
}

// TestAnUndoneUseIsNone: what else happens with a sign-in decides with it.
func TestAnUndoneUseIsNone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.held(t)
	broken := errors.New("broken")
	err := d.db.WithTx(t.Context(), func(tx *store.Tx) error {
		if err := d.Use(t.Context(), tx, tanaka, c); err != nil {
			t.Error(err)
		}
		return broken
	})
	if !errors.Is(err, broken) || len(d.cards(t, tanaka)) != 0 {
		t.Fatalf("%v, and the card is kept", err)
	}
	if err := d.use(t, yoshida, c); err != nil {
		t.Errorf("it has an owner: %v", err)
	}
}

// TestFirstUseRace: of several persons who bring a new card at once, it becomes
// one's.
func TestFirstUseRace(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.held(t)
	var won atomic.Int32
	var wg sync.WaitGroup
	for _, who := range []directory.PersonID{"a", "b", "c", "d", "e", "f"} {
		wg.Go(func() {
			err := d.use(t, who, c)
			var no *card.Refused
			switch {
			case err == nil:
				won.Add(1)
			case !errors.As(err, &no):
				t.Errorf("%s: %v", who, err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("the card is of %d persons", won.Load())
	}
}

// TestUseAndRemoveRace: once a removal has been answered, no use gets through.
func TestUseAndRemoveRace(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.held(t)
	if err := d.use(t, tanaka, c); err != nil {
		t.Fatal(err)
	}
	var removed atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				gone := removed.Load()
				if err := d.use(t, tanaka, c); err == nil && gone {
					t.Error("used after it was removed")
				}
			}
		})
	}
	wg.Go(func() {
		if err := d.remove(t, tanaka, c.ID); err != nil {
			t.Error(err)
		}
		removed.Store(true)
	})
	wg.Wait()
	if err := d.use(t, tanaka, c); err == nil {
		t.Error("used after everything")
	}
}
