package restore

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/approval/approvaltest"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/charter"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var (
	t0     = time.Date(2026, 4, 1, 1, 0, 0, 0, time.UTC)
	origin = signin.Origin{Source: netip.MustParseAddr("10.2.0.9"), Zone: policy.LGWAN, RequestID: "r1"}
	copied = Backup{File: "one.age", Digest: "aa", MadeAt: t0.Add(-time.Hour), Policy: 1, Trail: 1}
)

// world is a store in use with a desk. cho is CIO, oda an officer, kan audits, sho is
// CSIRT, tanaka is staff.
type world struct {
	*Desk
	t      *testing.T
	clock  *clock.Fake
	trail  *audit.Trail
	office *approvaltest.Office
}

func newWorld(t *testing.T, more string) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewFake(t0)}
	db := storetest.Open(t)
	w.trail = audit.New(db, w.clock.Now)
	rules := charter.New(db, w.trail, w.clock.Now)
	_, err := rules.Install(t.Context(), "system", fmt.Appendf(nil, `
prefecture: {name: {ja: 関所県}}
zones: [{id: lgwan, mail_notices: true}]
mail: {from: sekisho@pref.example}
posts:
  - {id: cio, group: "cn=cio,ou=groups"}
  - {id: security_officer, group: "cn=security_officer,ou=groups"}
  - {id: csirt, group: "cn=csirt,ou=groups"}
  - {id: auditor, group: "cn=auditor,ou=groups"}
%s
`, more))
	w.must(err)
	w.office = approvaltest.Open(t, db, w.trail, rules.Current, w.clock, map[string]policy.PostID{
		"cho": "cio", "oda": "security_officer", "kan": "auditor", "sho": "csirt", "tanaka": "staff",
	})
	notices := notice.New(db, w.clock.Now, rules.Current)
	book := approval.New(approval.House{
		DB: db, Trail: w.trail, Policy: rules.Current, Version: rules.Version, People: w.office, Facts: w.office, Presence: w.office, Notices: notices, Now: w.clock.Now,
	})
	w.Desk = Open(House{DB: db, Policy: rules.Current, Book: book, People: w.office, Notices: notices, Now: w.clock.Now})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// by is somebody who has just signed in with a key of so long ago.
func (w *world) by(login string, acr policy.ACR, age time.Duration) approval.Approver {
	w.t.Helper()
	a, err := w.Book.Signed(w.t.Context(), origin, w.office.SignIn(w.t, login, acr, w.clock.Now().Add(-age)))
	w.must(err)
	return a
}

func (w *world) propose(login string, b Backup) Proposal {
	w.t.Helper()
	p, err := Propose(w.t.Context(), w.DB, w.trail, login, b, w.clock.Now())
	w.must(err)
	return p
}

func (w *world) decide(login, id string, yes bool) error {
	w.t.Helper()
	_, err := w.Book.Decide(w.t.Context(), w.by(login, policy.PHR, 48*time.Hour), id, yes, "確かめた")
	return err
}

// find is how far a proposal of a file has come: "" for none.
func (w *world) find(digest, id string) (Standing, string) {
	w.t.Helper()
	s, ok, err := Find(w.t.Context(), w.DB, digest, id, w.clock.Now(), w.Policy().Approval.LapseAfter)
	switch {
	case err != nil:
		return s, err.Error()
	case !ok:
		return s, ""
	case !s.Good.IsZero():
		return s, "good"
	}
	return s, string(s.State())
}

func (w *world) setAside(warrant Warrant) error {
	epoch, err := w.DB.Epoch(w.t.Context())
	w.must(err)
	_, err = warrant.SetAside(w.t.Context(), w.DB, w.trail, "oda", epoch, w.clock.Now())
	return err
}

func reason(err error) approval.Reason {
	var refused *approval.Refused
	var step *approval.StepUp
	switch {
	case errors.As(err, &refused):
		return refused.Verdict.Reason
	case errors.As(err, &step):
		return step.Verdict.Reason
	}
	return approval.NotStated
}

func TestASecondPersonRestores(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	if _, got := w.find("aa", ""); got != "" {
		t.Fatalf("nothing was proposed: %q", got)
	}
	p := w.propose("oda", copied)
	if _, got := w.find("aa", ""); got != "pending" {
		t.Errorf("before a gate has asked: %q", got)
	}
	w.must(w.ask(t.Context()))
	w.must(w.ask(t.Context())) // once
	if _, got := w.find("bb", p.ID); got != ErrOtherFile.Error() {
		t.Errorf("another file under its id: %q", got)
	}
	if _, got := w.find("aa", "restore-none"); got != ErrNoProposal.Error() {
		t.Errorf("an id that is not there: %q", got)
	}
	for _, c := range []struct {
		by   approval.Approver
		want approval.Reason
	}{
		{w.by("oda", policy.PHR, 48*time.Hour), approval.OwnMatter},
		{w.by("tanaka", policy.PHR, 48*time.Hour), approval.NotTheirs},
		{w.by("kan", policy.PHR, 48*time.Hour), approval.Audits},
		{w.by("sho", policy.PHR, 48*time.Hour), approval.NotTheirs},
		{w.by("cho", policy.AAL2, 48*time.Hour), approval.TooWeak},
		{w.by("cho", policy.PHR, time.Hour), approval.NewFactor},
	} {
		if _, err := w.Book.Decide(t.Context(), c.by, p.ID, true, ""); reason(err) != c.want {
			t.Errorf("by %s: %v, want %s", c.by.Person.Login, err, c.want)
		}
	}
	s, _ := w.find("aa", "")
	if _, err := Approved(s, time.Hour); !errors.Is(err, approval.ErrNotApproved) {
		t.Errorf("a warrant before the yes: %v", err)
	}
	w.must(w.decide("cho", p.ID, true))
	s, got := w.find("aa", "")
	if got != "good" || s.ID != p.ID {
		t.Fatalf("approved: %q %+v", got, s)
	}
	warrant, err := Approved(s, w.Policy().Approval.LapseAfter)
	w.must(err)
	d := warrant.Detail()
	if d["proposed_by"] != "oda" || d["approved_by"] != "cho" || d["sha256"] != "aa" || warrant.Sealed() {
		t.Errorf("%v", d)
	}
	before, err := w.DB.Epoch(t.Context())
	w.must(err)
	if _, err := warrant.SetAside(t.Context(), w.DB, w.trail, "oda", before-1, w.clock.Now()); !errors.Is(err, store.ErrReplaced) {
		t.Errorf("in an epoch that nobody has looked at: %v", err)
	}
	w.must(w.setAside(warrant))
	if after, err := w.DB.Epoch(t.Context()); err != nil || after <= before {
		t.Errorf("the epoch went from %d to %d (%v)", before, after, err)
	}
	if err := w.setAside(warrant); !errors.Is(err, approval.ErrNotApproved) {
		t.Errorf("used twice: %v", err)
	}
	if _, got := w.find("aa", ""); got != "" {
		t.Errorf("used up, it is offered: %q", got)
	}
	aside := func() bool {
		_, ok, err := store.Aside(t.Context(), w.DB)
		w.must(err)
		return ok
	}
	if !aside() {
		t.Error("the store that goes is not set aside")
	}
	set, err := w.DB.Epoch(t.Context())
	w.must(err)
	epoch, was, err := Abandon(t.Context(), w.DB, w.trail, "oda", w.clock.Now())
	if err != nil || !was || epoch <= set || aside() {
		t.Errorf("taken back into use: %v, epoch %d after %d (%v)", was, epoch, set, err)
	}
	if _, was, err := Abandon(t.Context(), w.DB, w.trail, "oda", w.clock.Now()); err != nil || was {
		t.Errorf("a store in use: %v, %v", was, err)
	}

	// In the store that comes, the decision is told of and is of no more use.
	next := storetest.Open(t)
	w.must(next.WithTx(t.Context(), func(tx *store.Tx) error {
		return Note(t.Context(), tx, Done{Backup: copied, By: "oda", Kept: 1, LostTo: 9, At: w.clock.Now()}, &warrant)
	}))
	v, err := approval.Read(t.Context(), next, p.ID, w.clock.Now())
	if err != nil || v.At() != approval.Approved || len(v.Decisions) != 1 || v.Decisions[0].By.Login != "cho" || v.Matter.Usable(w.clock.Now(), time.Hour) {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestApprovalsEnd: one that nobody carried out, one that was denied, and one that
// nobody decided, come to nothing, and the file may be proposed again.
func TestApprovalsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for _, c := range []struct {
		name string
		do   func(id string)
		want string
	}{
		{"approved, and left", func(id string) {
			w.must(w.decide("cho", id, true))
			w.clock.Advance(w.Policy().Approval.LapseAfter)
		}, "approved"},
		{"denied", func(id string) { w.must(w.decide("cho", id, false)) }, "denied"},
		{"undecided", func(string) { w.clock.Advance(w.Policy().Approval.LapseAfter) }, "lapsed"},
	} {
		p := w.propose("oda", copied)
		w.must(w.ask(t.Context()))
		c.do(p.ID)
		if _, got := w.find("aa", ""); got != "" {
			t.Errorf("%s: the file's newest is %q", c.name, got)
		}
		s, got := w.find("aa", p.ID)
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if _, err := Approved(s, time.Hour); !errors.Is(err, approval.ErrNotApproved) {
			t.Errorf("%s: a warrant: %v", c.name, err)
		}
	}
	// An approval that grew old between the look and the deed.
	p := w.propose("oda", copied)
	w.must(w.ask(t.Context()))
	w.must(w.decide("cho", p.ID, true))
	s, _ := w.find("aa", "")
	warrant, err := Approved(s, w.Policy().Approval.LapseAfter)
	w.must(err)
	w.clock.Advance(w.Policy().Approval.LapseAfter)
	if err := w.setAside(warrant); !errors.Is(err, approval.ErrNotApproved) {
		t.Errorf("carried out too late: %v", err)
	}
	// Who audits proposes nothing, and nobody is asked.
	p = w.propose("kan", copied)
	w.must(w.ask(t.Context()))
	if _, err := w.Book.Get(t.Context(), p.ID); !errors.Is(err, approval.ErrNotFound) {
		t.Errorf("proposed by an auditor: %v", err)
	}
}

// TestCard: who decides reads what is lost by a yes, as of now.
func TestCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	p := w.propose("oda", copied)
	w.must(w.ask(t.Context()))
	w.by("tanaka", policy.AAL1, 0)
	c, err := w.Book.Card(t.Context(), p.ID)
	w.must(err)
	facts := map[string]string{}
	for _, f := range c.Facts {
		facts[f.Label.EN] = f.Value
	}
	if !strings.Contains(c.Yes.EN, "2026-04-01 00:00:00 UTC is lost") || !strings.Contains(c.Yes.EN, "oda") || c.Yes.JA == "" ||
		facts["SHA-256"] != "aa" || facts["File"] != "one.age" || facts["Sessions that end"] != "1" {
		t.Errorf("%s %v", c.Yes.EN, facts)
	}
}

// TestCardWarns: whoever decides reads whether this store's own trail knows the file,
// and whether the directory knows who proposed it.
func TestCardWarns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	facts := func(id string) string {
		t.Helper()
		w.must(w.ask(t.Context()))
		c, err := w.Book.Card(t.Context(), id)
		w.must(err)
		var all []string
		for _, f := range c.Facts {
			all = append(all, f.Label.EN+": "+f.Value)
		}
		return strings.Join(all, "\n")
	}
	p := w.propose("root", copied)
	if got := facts(p.ID); !strings.Contains(got, "trail does not know this file: one.age") || !strings.Contains(got, "does not know who proposed; it may be whoever approves: root") {
		t.Errorf("a file of nobody, by root:\n%s", got)
	}
	key, err := audit.CreateKey(filepath.Join(t.TempDir(), "trail"), "gate.example")
	w.must(err)
	seal, err := audit.NewSealer(w.DB, w.clock.Now, key, "")
	w.must(err)
	for _, c := range []struct{ action, want string }{
		{"store.restored", "Restored here before, says the trail: 2026-04-01 01:00:00 UTC, ueda"},
		{"store.backed_up", "Made here, says the trail: 2026-04-01 01:00:00 UTC, ueda"},
	} {
		w.must(w.DB.WithTx(t.Context(), func(tx *store.Tx) error {
			return w.trail.Append(t.Context(), tx, audit.Entry{Actor: "ueda", Action: c.action, Detail: map[string]string{"sha256": "aa"}})
		}))
		w.must(seal.Seal(t.Context()))
		p := w.propose("oda", copied)
		if got := facts(p.ID); !strings.Contains(got, c.want) || strings.Contains(got, "CAUTION") {
			t.Errorf("after %s:\n%s", c.action, got)
		}
	}
	if _, ok, err := Known(t.Context(), w.DB, "bb"); err != nil || ok {
		t.Errorf("another file: %v, %v", ok, err)
	}
}

// TestSealedKey: the key that the policy names is a warrant by itself. The CIO owes a
// look at it, and those concerned are told, once.
func TestSealedKey(t *testing.T) {
	t.Parallel()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, `lockdown: {sealed_keys: ["`+policy.SealedKeyPrefix+base64.StdEncoding.EncodeToString(public)+`"]}`)
	if _, err := BySealedKey(w.Policy(), other, copied, "oda", w.clock.Now()); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("another key: %v", err)
	}
	warrant, err := BySealedKey(w.Policy(), key, copied, "oda", w.clock.Now())
	w.must(err)
	if d := warrant.Detail(); !warrant.Sealed() || !strings.HasPrefix(d["sealed_key"], policy.SealedKeyPrefix) || d["sha256"] != "aa" {
		t.Errorf("%v", d)
	}
	w.must(w.setAside(warrant))
	if owed, err := w.Book.Owed(t.Context(), w.by("cho", policy.PHR, 48*time.Hour)); err != nil || len(owed) != 1 || owed[0].Decision.How != approval.BySealed {
		t.Errorf("reviews owed by the CIO: %+v, %v", owed, err)
	}

	next := newWorld(t, "")
	next.must(next.DB.WithTx(t.Context(), func(tx *store.Tx) error {
		return Note(t.Context(), tx, Done{Backup: copied, By: "oda", Kept: 1, LostTo: 9, At: next.clock.Now()}, &warrant)
	}))
	told := func() (n int) {
		next.t.Helper()
		next.must(next.DB.QueryRow(t.Context(), `SELECT COUNT(*) FROM notice WHERE kind = $1`, string(notice.StoreRestored)).Scan(&n))
		return n
	}
	for range 2 {
		next.must(next.tell(t.Context()))
		next.must(next.count(t.Context()))
	}
	if n := told(); n != 4 || next.SealedLately() != 1 {
		t.Errorf("%d were told, want cho, oda, sho and kan; by a sealed key: %d", n, next.SealedLately())
	}
	next.clock.Advance(25 * time.Hour)
	next.must(next.count(t.Context()))
	if next.SealedLately() != 0 {
		t.Error("it is counted for ever")
	}
}
