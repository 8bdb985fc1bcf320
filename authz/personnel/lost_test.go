package personnel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy/store"
)

// TestAnswerLost: whichever commit's answer is lost, each act and each failure is on the
// trail once, and everybody comes to what the file says.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 2; n++ { // what is intended, and what became of it
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			i := w.propose(changes)
			w.decide("kobayashi", i.ID, true)
			w.must(w.Tick(t.Context()))
			_, err := w.dir.Create(t.Context(), directory.NewPerson{Login: "arai", Name: "別の人", Kind: directory.KindStaff, Number: "K-other", Section: "joho"})
			w.must(err)
			w.at(effective)
			w.mu.Lock()
			w.lose = n
			w.mu.Unlock()
			_ = w.Tick(t.Context()) // whether it goes on by itself is not the question
			if w.lose != 0 {
				t.Fatal("there was no such commit")
			}
			for range 3 {
				w.clock.Advance(workLasts + time.Second)
				w.must(w.Tick(t.Context()))
			}
			w.want("gone on with", strings.Replace(after, "arai: joho +staff", "arai: joho", 1))
			if n := w.entries(`"action":"person.`); n != 8 {
				t.Errorf("%d entries about people, want 8", n)
			}
			if n := w.entries(`"action":"import.line_failed"`); n != 1 {
				t.Errorf("%d entries that a line failed, want 1", n)
			}
		})
	}
}

// TestWhatFollowsFails: where what follows from one line cannot be written, that line is
// tried again, and keeps back no other of its batch.
func TestWhatFollowsFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Leases = unending{}
	i := w.propose(changes)
	w.decide("kobayashi", i.ID, true)
	w.must(w.Tick(t.Context()))
	w.at(effective)
	w.must(w.Tick(t.Context()))
	p, err := w.Progress(t.Context(), i.ID)
	if err != nil || p.Done != 4 || p.Failed != 0 { // who moves and who leaves is to have no lease
		t.Errorf("%+v %v", p, err)
	}
	w.Leases = nil
	w.clock.Advance(workLasts)
	w.must(w.Tick(t.Context()))
	w.want("leases end again", after)
	if n := w.entries(`"action":"person.`); n != 9 {
		t.Errorf("%d entries about people, want 9", n)
	}
}

// unending are leases that cannot be ended.
type unending struct{}

func (unending) EndOf(context.Context, *store.Tx, directory.PersonID, string, string) (int, error) {
	return 0, errors.New("the lease cannot be read")
}

func (unending) Changed(context.Context) {}
