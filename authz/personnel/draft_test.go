package personnel

import (
	"errors"
	"testing"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy"
)

// TestDraft: what somebody brings at a page is looked at first. It is theirs, asks nobody,
// does nothing and is due at no time until they propose it; then it is as any other.
func TestDraft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by, posts := approval.Ref(w.person("kobayashi")), []policy.PostID{policy.SecurityOfficer}
	i, _, err := w.Bring(t.Context(), by, "10.2.0.9", file(changes), effective)
	w.must(err)
	if i.State != Draft || i.By != "kobayashi" || w.entries(`"action":"import.viewed"`, `"dry_run":"yes"`, `"moves":"1"`) != 1 || w.entries("nitta") != 0 {
		t.Errorf("%+v", i)
	}
	if again, _, err := w.Bring(t.Context(), by, "10.2.0.9", file(changes), effective); err != nil || again.ID != i.ID {
		t.Errorf("brought twice: %s, %v", again.ID, err)
	}
	w.clock.Advance(draftLasts / 2)
	w.must(w.Tick(t.Context()))
	w.want("a draft", before)
	if n := w.count(`SELECT COUNT(*) FROM approval_matter`); n != 0 {
		t.Errorf("%d are asked about a draft", n)
	}
	if p, err := w.Progress(t.Context(), i.ID); err != nil || p.Lines != 7 || !p.Next.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	other := approval.Ref(w.person("yoshida"))
	if _, err := w.ProposeDraft(t.Context(), other, posts, "10.2.0.9", i.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("proposed by who did not bring it: %v", err)
	}
	w.must(w.Discard(t.Context(), other, i.ID))
	for range 2 { // clicked twice it is one proposal
		i, err = w.ProposeDraft(t.Context(), by, posts, "10.2.0.9", i.ID)
		w.must(err)
	}
	if i.State != Proposed || w.entries(`"actor":"kobayashi"`, `"action":"import.proposed"`) != 1 {
		t.Errorf("%+v", i)
	}
	if err := w.Discard(t.Context(), by, i.ID); !errors.Is(err, ErrState) {
		t.Errorf("thrown away after it was proposed: %v", err)
	}
	if again, _, err := w.Bring(t.Context(), other, "10.2.0.9", file(changes), effective); err != nil || again.ID != i.ID {
		t.Errorf("brought by another once it is proposed: %s, %v", again.ID, err)
	}
	if _, err := w.matters.Decide(t.Context(), w.as("kobayashi"), i.ID, true, ""); err == nil {
		t.Error("who brought it has approved it")
	}
	w.decide("yoshida", i.ID, true)
	w.at(effective)
	w.must(w.Tick(t.Context()))
	w.want("approved, on its day", after)
	if _, err := w.ProposeDraft(t.Context(), by, posts, "10.2.0.9", i.ID); !errors.Is(err, ErrState) {
		t.Errorf("proposed after it was approved: %v", err)
	}
}

// TestDraftGoes: a draft that is thrown away, or that nobody proposes within a day, leaves
// nothing of whom it names.
func TestDraftGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := approval.Ref(w.person("kobayashi"))
	for _, ends := range []func(id string){
		func(id string) { w.must(w.Discard(t.Context(), by, id)) },
		func(string) {
			w.clock.Advance(draftLasts - time.Minute)
			w.must(w.Tick(t.Context()))
			if n := w.count(`SELECT COUNT(*) FROM personnel_line`); n != 7 {
				t.Errorf("%d lines before the day is over", n)
			}
			w.clock.Advance(time.Minute)
			w.must(w.Tick(t.Context()))
		},
	} {
		i, _, err := w.Bring(t.Context(), by, "10.2.0.9", file(changes), effective)
		w.must(err)
		ends(i.ID)
		if n := w.count(`SELECT (SELECT COUNT(*) FROM personnel_import) + (SELECT COUNT(*) FROM personnel_line) + (SELECT COUNT(*) FROM personnel_step)`); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		if _, err := w.Get(t.Context(), i.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("it is there: %v", err)
		}
	}
	if _, _, err := w.Bring(t.Context(), by, "", file("number,name\nK-ito,例 ito\n"), effective); !errors.Is(err, ErrNothing) {
		t.Errorf("a file that changes nothing: %v", err)
	}
	if _, _, err := w.Bring(t.Context(), by, "", file("number,name\n,x\n"), effective); !errors.As(err, new(Faults)) {
		t.Errorf("a file with a fault: %v", err)
	}
}
