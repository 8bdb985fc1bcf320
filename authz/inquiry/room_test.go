package inquiry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// The real presence fits.
var _ Presence = (*approval.Book)(nil)

// A world is a trail with what three people did, and a room whose reader the test says.
type world struct {
	*Room
	t     *testing.T
	by    approval.Approver // who is behind the cookie
	none  error             // why nobody is
	seal  *audit.Sealer
	clock *clock.Fake
	full  bool // no more is written down
}

func (w *world) Signed(context.Context, signin.Origin, string) (approval.Approver, error) {
	return w.by, w.none
}

var errFull = errors.New("the disk is full")

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewFake(t0)}
	dir := t.TempDir()
	at := storetest.At(t, filepath.Join(dir, "sekisho.db"))
	at.Fault = func(stage string) error {
		if w.full && stage == "commit" {
			return errFull
		}
		return nil
	}
	db := storetest.OpenWith(t, at)
	trail, pol := audit.New(db, w.clock.Now), policy.Standard()
	key, err := audit.CreateKey(filepath.Join(dir, "trail.key"), "trail.example")
	w.must(err)
	w.must(os.Mkdir(filepath.Join(dir, "outside"), 0o700))
	w.seal, err = audit.NewSealer(db, w.clock.Now, key, filepath.Join(dir, "outside", "anchor"))
	w.must(err)
	w.Room = New(House{DB: db, Trail: trail, Policy: func() *policy.Policy { return pol }, Presence: w, Now: w.clock.Now})
	w.must(db.WithTx(t.Context(), func(tx *store.Tx) error {
		for i, actor := range []string{"sato", "suzuki", "sato", "<script>", "sato"} {
			e := audit.Entry{Actor: actor, Action: "sign_in.password", Object: fmt.Sprint("p", i), Time: t0.Add(time.Duration(i-10) * time.Minute), Articles: []policy.Article{"62-1"}}
			if err := trail.Append(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	w.must(w.seal.Seal(t.Context()))
	w.is(policy.Auditor)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) is(posts ...policy.PostID) {
	w.by = approval.Approver{
		Holder: approval.Holder{Person: directory.Person{ID: "p-reader", Login: "inoue"}, Posts: posts}, Usable: true,
		ACR: policy.AAL2, AuthAt: w.clock.Now(), From: "10.2.0.9", Zone: policy.LGWAN, RequestID: "r1",
	}
}

// noted are the entries about looking, the oldest first.
func (w *world) noted() []audit.Record {
	w.t.Helper()
	w.must(w.seal.Seal(w.t.Context()))
	found, err := w.Trail.Search(w.t.Context(), audit.Filter{Action: "trail."})
	w.must(err)
	slices.Reverse(found)
	return found
}

func (w *world) search(q Question) (Found, error) {
	return w.Search(w.t.Context(), signin.Origin{}, "c", q)
}

func (w *world) look(index int64, serves string) (audit.Sight, error) {
	return w.Look(w.t.Context(), signin.Origin{}, "c", index, serves)
}

func numbers(f Found) (out []int64) {
	for _, r := range f.Records {
		out = append(out, r.Index)
	}
	return out
}

// TestSearch: pages, the newest first, each with an entry of its own that says what was
// looked for and for which case, which is not in what it found.
func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.search(Question{Actor: "sato", Case: " 2026-7 ", Limit: 2, From: t0.Add(-time.Hour)})
	if w.must(err); !slices.Equal(numbers(first), []int64{4, 2}) || first.Next != 2 {
		t.Errorf("the first page: %v, then %d", numbers(first), first.Next)
	}
	rest, err := w.search(Question{Actor: "sato", Case: "2026-7", Limit: 2, After: first.Next})
	if w.must(err); !slices.Equal(numbers(rest), []int64{0}) || rest.Next != 0 {
		t.Errorf("the second: %v, then %d", numbers(rest), rest.Next)
	}
	noted := w.noted()
	if len(noted) != 2 {
		t.Fatalf("two searches left %d entries", len(noted))
	}
	e := noted[0].Entry
	if e.Actor != "inoue" || e.Action != "trail.searched" || e.Object != "sato" || e.Case != "2026-7" || e.From != "10.2.0.9" || e.Zone != "lgwan" || e.RequestID != "r1" ||
		e.Detail["from"] != "2026-03-31T23:05:00Z" || e.Detail["actor"] != "sato" || e.Detail["limit"] != "2" || !slices.Equal(e.Articles, articles) {
		t.Errorf("noted %+v", e)
	}
	if noted[1].Detail["after"] != "2" {
		t.Errorf("noted %+v", noted[1].Entry)
	}
	// Without a person the case is what is looked for.
	of, err := w.search(Question{Case: "2026-7", Limit: 10})
	if w.must(err); len(of.Records) != 2 || of.Records[0].Action != "trail.searched" {
		t.Errorf("of the case: %+v", of)
	}
}

// TestLook: an entry is shown with whose act it was and the case on the trail first.
func TestLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := w.look(3, "2026-7")
	if w.must(err); s.Actor != "<script>" || s.Covers != 5 || !s.Fits {
		t.Errorf("%+v", s)
	}
	if noted := w.noted(); len(noted) != 1 || noted[0].Object != "3" || noted[0].Case != "2026-7" || noted[0].Detail["actor"] != "<script>" || noted[0].Action != "trail.read" {
		t.Errorf("noted %+v", noted)
	}
	_, err = w.look(3, "")
	w.must(err)
	if noted := w.noted(); noted[1].Case != "" {
		t.Errorf("noted %+v", noted[1])
	}
	for _, index := range []int64{-1, 99} {
		if _, err := w.look(index, ""); !errors.Is(err, audit.ErrNoEntry) {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	var no *Refusal
	if _, err := w.look(3, "a\nb"); !errors.As(err, &no) || len(no.Faults) != 1 || no.Faults[0].Field != "case" {
		t.Errorf("a case of two lines: %v", err)
	}
}

// TestWhoMayNotLook: whoever does not audit is refused, which is on the trail once a
// minute, and sees nothing, whatever is wrong with what they ask; so is who may no more,
// and whoever has not proved enough is asked to.
func TestWhoMayNotLook(t *testing.T) {
	t.Parallel()
	for _, posts := range [][]policy.PostID{{policy.Staff}, {policy.SystemAdministrator}, {policy.SecurityManager}, {policy.SecurityOfficer}, {policy.CIO}, {policy.CSIRT}, nil} {
		w := newWorld(t)
		w.is(posts...)
		for range 2 {
			var no *Refusal
			if found, err := w.search(Question{Actor: "sato", Wrong: []Fault{{Field: "from"}}}); !errors.As(err, &no) || no.Reason != "no_post" || len(no.Faults) > 0 || found.Records != nil {
				t.Errorf("%v search: %+v, %v", posts, found, err)
			}
			if s, err := w.look(0, ""); !errors.As(err, &no) || no.Reason != "no_post" || s.Data != nil {
				t.Errorf("%v look: %+v, %v", posts, s, err)
			}
		}
		noted := w.noted()
		if len(noted) != 2 || noted[0].Outcome != audit.Refused || noted[1].Outcome != audit.Refused || noted[0].Action != "trail.searched" || noted[1].Action != "trail.read" {
			t.Errorf("%v: noted %+v", posts, noted)
		}
	}
	for name, change := range map[string]func(w *world){
		"locked, suspended or ended": func(w *world) { w.by.Usable = false },
		"signed out":                 func(w *world) { w.none = session.ErrNone },
	} {
		w := newWorld(t)
		change(w)
		if _, err := w.search(Question{}); !errors.Is(err, session.ErrNone) {
			t.Errorf("%s: search: %v", name, err)
		}
		if _, err := w.look(0, ""); !errors.Is(err, session.ErrNone) {
			t.Errorf("%s: look: %v", name, err)
		}
	}
	for name, change := range map[string]func(w *world){
		"one factor":  func(w *world) { w.by.ACR = policy.AAL1 },
		"an old sign": func(w *world) { w.by.AuthAt = t0.AddDate(0, 0, -1) },
	} {
		w := newWorld(t)
		change(w)
		var up *account.StepUp
		if _, err := w.search(Question{}); !errors.As(err, &up) || up.Required != policy.AAL2 {
			t.Errorf("%s: search: %v", name, err)
		}
		if _, err := w.look(0, ""); !errors.As(err, &up) {
			t.Errorf("%s: look: %v", name, err)
		}
		if noted := w.noted(); len(noted) != 0 {
			t.Errorf("%s: noted %+v", name, noted)
		}
	}
	w := newWorld(t)
	if _, err := w.Search(t.Context(), signin.Origin{}, "", Question{}); !errors.Is(err, signin.ErrNone) {
		t.Errorf("without a cookie: %v", err)
	}
	if _, err := w.Look(t.Context(), signin.Origin{}, "", 0, ""); !errors.Is(err, signin.ErrNone) {
		t.Errorf("without a cookie: %v", err)
	}
}

// TestNothingIsShownUnwritten: a question with faults is not on the trail as asked, and
// what cannot be written down is not shown.
func TestNothingIsShownUnwritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var no *Refusal
	if found, err := w.search(Question{Actor: "sato"}); !errors.As(err, &no) || no.Faults[0].Field != "case" || found.Records != nil {
		t.Errorf("by person without a case: %+v, %v", found, err)
	}
	if noted := w.noted(); len(noted) != 0 {
		t.Errorf("noted %+v", noted)
	}
	w.full = true
	if found, err := w.search(Question{}); !errors.Is(err, errFull) || found.Records != nil {
		t.Errorf("searched without an entry: %+v, %v", found, err)
	}
	if s, err := w.look(0, ""); !errors.Is(err, errFull) || s.Data != nil {
		t.Errorf("looked without an entry: %+v, %v", s, err)
	}
}
