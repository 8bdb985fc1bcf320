package charter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func TestEmptyStoreOpensForNobody(t *testing.T) {
	w := newWorld(t)
	if w.c.Version() != 0 || w.c.Current() == nil || len(w.c.Current().Zones) != 0 {
		t.Errorf("version %d, %+v", w.c.Version(), w.c.Current())
	}
	if _, _, err := w.c.Show(t.Context(), 0); !errors.Is(err, ErrNoVersion) {
		t.Error("Show:", err)
	}
}

func TestInstall(t *testing.T) {
	w := newWorld(t)
	if n := w.install([]byte(first)); n != 1 || w.c.Version() != 1 || w.c.Current().Lockout.HardLimit != 50 {
		t.Errorf("version %d, %d", n, w.c.Version())
	}
	if n := w.install([]byte(first)); n != 1 {
		t.Errorf("the same text again is version %d", n)
	}
	if _, err := w.c.Install(t.Context(), "system", text(60)); !errors.Is(err, ErrNotEmpty) {
		t.Error("a second text is installed:", err)
	}
	if n, err := w.c.Overrule(t.Context(), "dev", text(60)); n != 2 || err != nil || w.c.Current().Lockout.HardLimit != 60 {
		t.Errorf("Overrule = %d, %v", n, err)
	}
	var problems policy.Problems
	if _, err := w.c.Overrule(t.Context(), "dev", []byte("zones: 1")); !errors.As(err, &problems) || len(problems) == 0 {
		t.Error("a file with problems is installed:", err)
	}
	source, v, err := w.c.Show(t.Context(), 1)
	if err != nil || string(source) != first || v.By != "system" || v.ApprovedBy != "" || !v.Since.Equal(t0) || v.Number != 1 {
		t.Errorf("Show(1) = %q, %+v, %v", source, v, err)
	}
	installed, pages := w.entries("policy.installed"), w.entries("policy.difference")
	if len(installed) != 2 || installed[1].Object != "policy/2" || installed[0].Detail["sha256"] != digest([]byte(first)) {
		t.Errorf("%+v", installed)
	}
	if last := pages[len(pages)-1]; last.Detail["00001.01"] != "lockout.hard_limit: 50 → 60" || len(last.Detail) != 1 || last.Object != "policy/2" {
		t.Errorf("%+v", last)
	}
}

func TestProposeAndApprove(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	w.now.Advance(time.Hour)
	p := w.propose("tanaka", text(60))
	if p.Base != 1 || p.Login != "tanaka" || !p.At.Equal(t0.Add(time.Hour)) || len(p.Changes) != 1 || p.Changes[0] != (policy.Change{Path: "lockout.hard_limit", Old: "50", New: "60"}) {
		t.Errorf("%+v", p)
	}
	if w.c.Version() != 1 || w.c.Current().Lockout.HardLimit != 50 {
		t.Error("a proposal governs")
	}
	if e := w.entries("policy.proposed"); len(e) != 1 || e[0].Actor != "tanaka" || e[0].Object != "policy-proposal/"+p.ID || e[0].Articles[0] != "16-1" || e[0].Detail["changes"] != "1" {
		t.Errorf("%+v", e)
	}
	list, err := w.c.Proposals(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != p.ID || len(list[0].Changes) != 1 {
		t.Errorf("Proposals = %+v, %v", list, err)
	}
	if again := w.propose("tanaka", text(60)); again.ID != p.ID || len(w.entries("policy.proposed")) != 1 {
		t.Errorf("proposing the same twice makes two: %+v", again)
	}
	w.now.Advance(time.Hour)
	n, err := w.c.Approve(t.Context(), mira, p.ID)
	if n != 2 || err != nil || w.c.Version() != 2 || w.c.Current().Lockout.HardLimit != 60 {
		t.Fatalf("Approve = %d, %v; version %d", n, err, w.c.Version())
	}
	if e := w.entries("policy.approved"); len(e) != 1 || e[0].Actor != "mira" || e[0].Object != "policy/2" || !strings.Contains(e[0].Reason, "tanaka") {
		t.Errorf("%+v", e)
	}
	if e := w.entries("policy.difference"); e[len(e)-1].Detail["00001.01"] != "lockout.hard_limit: 50 → 60" || e[len(e)-1].Reason != "policy.approved, page 1 of 1" {
		t.Errorf("%+v", e[len(e)-1])
	}
	if _, v, err := w.c.Show(t.Context(), 0); err != nil || v.Number != 2 || v.By != "tanaka" || v.ApprovedBy != "mira" || v.Proposal != p.ID || !v.Since.Equal(t0.Add(2*time.Hour)) {
		t.Errorf("Show(0) = %+v, %v", v, err)
	}
	if list, _ := w.c.Proposals(t.Context()); len(list) != 0 {
		t.Errorf("an approved proposal still waits: %+v", list)
	}
	// The answer may have been lost: the same person is told the same.
	if n, err := w.c.Approve(t.Context(), mira, p.ID); n != 2 || err != nil {
		t.Errorf("asked again: %d, %v", n, err)
	}
	if _, err := w.c.Approve(t.Context(), officer, p.ID); !errors.Is(err, ErrNoProposal) {
		t.Error("a third person approves it again:", err)
	}
}

func TestApproveRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		by   Approver
		want error
	}{
		{"the proposer", Approver{ID: "id", Login: "tanaka", Posts: mira.Posts}, ErrSelfApproval},
		{"the proposer in other letters", Approver{ID: "id", Login: " Ｔａｎａｋａ ", Posts: mira.Posts}, ErrSelfApproval},
		{"the proposer by id", Approver{ID: "tanaka", Login: "t.tanaka", Posts: mira.Posts}, ErrSelfApproval},
		{"the proposer without a post", Approver{ID: "id", Login: "TANAKA"}, ErrSelfApproval},
		{"nobody", Approver{Posts: mira.Posts}, ErrPost},
		{"no post", Approver{ID: "id", Login: "sato"}, ErrPost},
		{"posts that approve other things", Approver{ID: "id", Login: "sato", Posts: []policy.PostID{policy.SecurityManager, policy.CSIRT, policy.Auditor, policy.SystemAdministrator}}, ErrPost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.install([]byte(first))
			p := w.propose("tanaka", text(60))
			if _, err := w.c.Approve(t.Context(), tt.by, p.ID); !errors.Is(err, tt.want) {
				t.Errorf("Approve: %v, want %v", err, tt.want)
			}
			if w.c.Version() != 1 || w.count("charter_version") != 1 {
				t.Error("refused, and in force")
			}
			if e := w.entries("policy.approval_refused"); len(e) != 1 || e[0].Outcome != audit.Refused || !policy.ValidArticle(e[0].Articles[0]) {
				t.Errorf("the refusal is not on the trail: %+v", e)
			}
			if n, err := w.c.Approve(t.Context(), officer, p.ID); n != 2 || err != nil {
				t.Errorf("and then by a second person: %d, %v", n, err)
			}
		})
	}
	w := newWorld(t)
	if _, err := w.c.Approve(t.Context(), mira, "policy-none"); !errors.Is(err, ErrNoProposal) {
		t.Error(err)
	}
}

func TestProposeRefuses(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	var problems policy.Problems
	if _, err := w.c.Propose(t.Context(), "tanaka", []byte("lockout: {hard_limit: 500}")); !errors.As(err, &problems) {
		t.Error("a file with problems:", err)
	}
	if _, err := w.c.Propose(t.Context(), "tanaka", []byte(first)); !errors.Is(err, ErrUnchanged) {
		t.Error("the text in force:", err)
	}
	if n := w.count("charter_proposal"); n != 0 {
		t.Errorf("%d proposals", n)
	}
}

func TestStaleProposal(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	a, b := w.propose("tanaka", text(60)), w.propose("suzuki", text(70))
	if n, err := w.c.Approve(t.Context(), mira, a.ID); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := w.c.Approve(t.Context(), mira, b.ID); !errors.Is(err, ErrStale) {
		t.Errorf("a proposal against version 1 is approved over version 2: %v", err)
	}
	if list, err := w.c.Proposals(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("what can never be approved is offered: %+v, %v", list, err)
	}
	again := w.propose("suzuki", text(70))
	if n, err := w.c.Approve(t.Context(), mira, again.ID); n != 3 || err != nil || w.c.Current().Lockout.HardLimit != 70 {
		t.Errorf("written anew: %d, %v", n, err)
	}
}

// TestBehindProcessDoesNotApprove: the approver's posts were read from a
// policy that is no longer in force.
func TestBehindProcessDoesNotApprove(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	other := w.another()
	p1 := w.propose("tanaka", text(60))
	if _, err := w.c.Approve(t.Context(), mira, p1.ID); err != nil {
		t.Fatal(err)
	}
	p2 := w.propose("tanaka", text(70)) // against version 2, which other has not read
	if _, err := other.Approve(t.Context(), mira, p2.ID); !errors.Is(err, ErrStale) {
		t.Errorf("approved with posts of version 1: %v", err)
	}
	w.must(other.Load(t.Context()))
	if n, err := other.Approve(t.Context(), mira, p2.ID); n != 3 || err != nil {
		t.Errorf("after reading version 2: %d, %v", n, err)
	}
}

// TestRacingApprovals lets many approvers, and many proposals against one
// version, race: exactly one wins, with one entry.
func TestRacingApprovals(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	const racers = 16
	ids := []string{w.propose("tanaka", text(60)).ID, w.propose("suzuki", text(70)).ID}
	charters := make([]*Charter, racers)
	for i := range charters {
		charters[i] = w.another()
	}
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		won int
	)
	for i, c := range charters {
		wg.Add(1)
		go func() {
			defer wg.Done()
			by := Approver{ID: fmt.Sprint("id-", i), Login: fmt.Sprint("cio-", i), Posts: mira.Posts}
			n, err := c.Approve(context.Background(), by, ids[i%2])
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && n == 2:
				won++
			case !errors.Is(err, ErrNoProposal) && !errors.Is(err, ErrStale):
				t.Errorf("racer %d: %d, %v", i, n, err)
			}
		}()
	}
	wg.Wait()
	if won != 1 || w.count("charter_version") != 2 || len(w.entries("policy.approved")) != 1 {
		t.Errorf("%d won, %d versions, %d entries", won, w.count("charter_version"), len(w.entries("policy.approved")))
	}
}

// TestParsedAgainAtApproval: a text that today's code refuses is refused,
// whoever let it in. A text proposed by older code is put in the store by hand.
func TestParsedAgainAtApproval(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	old := []byte(strings.Replace(first, "50", "500", 1))
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, _, err := insertProposal(t.Context(), tx, Proposal{ID: "policy-old", Login: "tanaka", Base: 1, Source: old, At: t0}, digest(old))
		return err
	}))
	var problems policy.Problems
	if _, err := w.c.Approve(t.Context(), mira, "policy-old"); !errors.As(err, &problems) {
		t.Errorf("approved: %v", err)
	}
	if w.c.Version() != 1 || w.count("charter_version") != 1 {
		t.Error("in force")
	}
}

// TestKilledBetweenProposalAndApproval opens the store anew, as a process
// started after kill -9 does: the proposal waits, and can be approved.
func TestKilledBetweenProposalAndApproval(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	p := w.propose("tanaka", text(60))

	db := storetest.OpenWith(t, store.Config{Path: w.path}) // the first one is never closed
	c := New(db, audit.New(db, w.now.Now), w.now.Now)
	w.must(c.Load(t.Context()))
	list, err := c.Proposals(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != p.ID || c.Version() != 1 {
		t.Fatalf("%+v, %v, version %d", list, err, c.Version())
	}
	if n, err := c.Approve(t.Context(), mira, p.ID); n != 2 || err != nil {
		t.Errorf("Approve = %d, %v", n, err)
	}
}

// TestAllOrNothing breaks each step in turn. Whatever broke, what is in the
// store and what is on the trail agree; one retry later there is exactly one
// of each, and it governs.
func TestAllOrNothing(t *testing.T) {
	broken := errors.New("broken")
	acts := []struct {
		action, table string
		before        int // rows of the table before the act
		prepare       func(w *world) string
		act           func(w *world, id string) error
	}{
		{"policy.installed", "charter_version", 0,
			func(*world) string { return "" },
			func(w *world, _ string) error {
				_, err := w.c.Install(w.Context(), "system", []byte(first))
				return err
			}},
		{"policy.proposed", "charter_proposal", 0,
			func(w *world) string { w.install([]byte(first)); return "" },
			func(w *world, _ string) error { _, err := w.c.Propose(w.Context(), "tanaka", text(60)); return err }},
		{"policy.approved", "charter_version", 1,
			func(w *world) string { w.install([]byte(first)); return w.propose("tanaka", text(60)).ID },
			func(w *world, id string) error { _, err := w.c.Approve(w.Context(), mira, id); return err }},
	}
	for _, a := range acts {
		for _, point := range []string{"begin", "commit", "committed", "trail"} {
			t.Run(a.action+"/"+point, func(t *testing.T) {
				w := newWorld(t)
				id := a.prepare(w)
				mend := func() {}
				if point == "trail" {
					// A trail that takes no more entries, as on a full disk.
					mend = storetest.Refuse(t, w.db, "INSERT", "trail_pending", "")
				} else {
					w.fault = func(stage string) error {
						if stage == point {
							return broken
						}
						return nil
					}
				}
				if err := a.act(w, id); err == nil {
					t.Fatal("it succeeded on a broken store")
				}
				rows, entries := w.count(a.table)-a.before, len(w.entries(a.action))
				if want := map[bool]int{true: 1}[point == "committed"]; rows != want || entries != want {
					t.Errorf("after the break: %d rows, %d entries, want %d of each", rows, entries, want)
				}
				w.fault = nil
				mend()
				if err := a.act(w, id); err != nil {
					t.Fatal("retry:", err)
				}
				if rows, entries := w.count(a.table)-a.before, len(w.entries(a.action)); rows != 1 || entries != 1 {
					t.Errorf("after the retry: %d rows, %d entries, want one of each", rows, entries)
				}
				if w.c.Version() != int64(w.count("charter_version")) {
					t.Errorf("version %d governs", w.c.Version())
				}
			})
		}
	}
}

// TestGovernsElsewhereWithinASecond runs a second process's poll on the
// machine's own time: that second is the promise.
func TestGovernsElsewhereWithinASecond(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	other := w.another()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); other.Run(ctx) }()
	defer func() { stop(); <-done }()

	p := w.propose("tanaka", text(60))
	if _, err := w.c.Approve(t.Context(), mira, p.ID); err != nil {
		t.Fatal(err)
	}
	elapsed := clock.Stopwatch()
	for other.Current().Lockout.HardLimit != 60 {
		if elapsed() > time.Second {
			t.Fatal("the new version does not govern after a second")
		}
		w.must(clock.Wait(t.Context(), 5*time.Millisecond))
	}
	if other.Version() != 2 {
		t.Errorf("version %d", other.Version())
	}
}

// TestUnreadableVersionKeepsTheOldOne: a version by newer code, or a damaged
// one, does not leave the gate without rules, and does not pass in silence.
func TestUnreadableVersionKeepsTheOldOne(t *testing.T) {
	for name, v := range map[string]struct {
		source []byte
		digest string
		want   error
	}{
		"of another Sekisho": {[]byte("new_key: 1\n"), digest([]byte("new_key: 1\n")), nil},
		"damaged":            {text(60), digest(text(70)), errDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.install([]byte(first))
			w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
				return insertVersion(t.Context(), tx, Version{Number: 2, By: "x", Since: t0, Digest: v.digest}, v.source)
			}))
			err := w.c.Load(t.Context())
			if err == nil || (v.want != nil && !errors.Is(err, v.want)) || !strings.Contains(err.Error(), "version 2") {
				t.Errorf("Load: %v", err)
			}
			if w.c.Version() != 1 || w.c.Current().Lockout.HardLimit != 50 {
				t.Error("the version before does not govern")
			}
			if w.c.Err() == nil {
				t.Error("nothing is said")
			}
			if _, err := w.c.Propose(t.Context(), "tanaka", text(80)); err == nil {
				t.Error("a proposal is written against a version that is not in force")
			}
			fresh := New(w.db, w.trail, w.now.Now)
			if err := fresh.Load(t.Context()); err == nil || fresh.Current() != nil {
				t.Error("a process that starts now has rules that nobody approved")
			}
			if n, err := w.c.Overrule(t.Context(), "dev", text(80)); n != 3 || err != nil || w.c.Err() != nil {
				t.Errorf("a third version does not mend it: %d, %v, %v", n, err, w.c.Err())
			}
		})
	}
}

// TestWhatIsNotAskedOfAVersionInForce: a version that an earlier Sekisho took goes on
// governing where today's asks more of a file; the same text is not taken anew.
func TestWhatIsNotAskedOfAVersionInForce(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	taken := []byte(first + "reports: {schedule: [{id: monthly, report: evidence, every: month, day: 1, posts: [security_officer]}]}\n")
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return insertVersion(t.Context(), tx, Version{Number: 2, By: "x", Since: t0, Digest: digest(taken)}, taken)
	}))
	if after := w.another(); after.Version() != 2 || after.Err() != nil || len(after.Current().Reports.Schedule) != 1 {
		t.Errorf("after the upgrade version %d governs: %v", after.Version(), after.Err())
	}
	w.must(w.c.Load(t.Context()))
	var problems policy.Problems
	if _, err := w.c.Propose(t.Context(), "tanaka", []byte(strings.Replace(string(taken), "50", "60", 1))); !errors.As(err, &problems) || len(problems) != 1 || problems[0].Field != "reports.schedule[0].posts[0]" {
		t.Errorf("proposed: %v", err)
	}
}

// TestVersionsStay: history is not rewritten, not even by mistake.
func TestVersionsStay(t *testing.T) {
	w := newWorld(t)
	w.install([]byte(first))
	for _, q := range []string{`UPDATE charter_version SET proposed_by = 'nobody'`, `DELETE FROM charter_version`} {
		if err := w.db.WithTx(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(t.Context(), q); return err }); err == nil {
			t.Error("allowed:", q)
		}
	}
}

// TestDifferenceIsWhole: however long a change is, the trail has every byte of
// it, in entries that are not cut.
func TestDifferenceIsWhole(t *testing.T) {
	var (
		changes []policy.Change
		want    strings.Builder
	)
	for i := range 300 {
		c := policy.Change{Path: fmt.Sprintf("applications[a%d].name.ja", i), Old: strings.Repeat("関\"所\n", i), New: "new"}
		changes = append(changes, c)
		fmt.Fprintf(&want, "%s: %s → %s", c.Path, shown(c.Old), c.New)
	}
	w := newWorld(t)
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return w.c.append(t.Context(), tx, w.c.entries(audit.Entry{Actor: "a", Action: "policy.test", Object: "o"}, "sum", 1, changes))
	}))
	var got strings.Builder
	for _, e := range w.entries("policy.difference") {
		for i := 1; i <= len(changes); i++ {
			for part := 1; ; part++ {
				piece, ok := e.Detail[fmt.Sprintf("%05d.%02d", i, part)]
				if !ok && part > 20 {
					break
				}
				got.WriteString(piece)
			}
		}
	}
	if got.String() != want.String() {
		t.Errorf("%d bytes on the trail, %d in the difference", got.Len(), want.Len())
	}
}
