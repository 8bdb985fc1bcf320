package recertify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/standing"
	"sekisho/authz/authztest"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestIDs is a round of IDs from its beginning to its end: who is told, who confirms, what
// ends at once, what ends for want of a word, and what never does.
func TestIDs(t *testing.T) {
	t.Parallel()
	projectEnds := jst("2026-12-01 00:00")
	w := newWorld(t, policy.RecertifyIDs,
		member{login: "tanaka"}, member{login: "suzuki"}, member{login: "mori"}, member{login: "moved"}, member{login: "gone"}, member{login: "fukki"},
		member{login: "kyuka"}, member{login: "himitsu"}, member{login: "batch", more: map[string][]string{"employeeType": {"service"}, "mail": {}, "employeeNumber": {}}},
		member{login: "closed", more: map[string][]string{"pwdAccountLockedTime": {"000001010000Z"}}},
	)
	w.sealed = register{"himitsu"}
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return standing.Set(t.Context(), tx, w.person("kyuka").ID, standing.OnLeave, t0, time.Time{}, "育休", "sato")
	}))
	session := w.as("suzuki").SessionID
	if n := w.count(`SELECT COUNT(*) FROM recertify_campaign`); n != 0 {
		t.Fatalf("%d rounds began before their time", n)
	}
	suzuki := w.person("suzuki").ID
	w.Projects = func(_ context.Context, people []directory.PersonID) (map[directory.PersonID]project.Purpose, error) {
		if !slices.Contains(people, suzuki) {
			return nil, nil
		}
		return map[directory.PersonID]project.Purpose{suzuki: {Names: []string{"税務システム刷新"}, Until: projectEnds}}, nil
	}
	w.on("2026-04-01")
	w.tick()
	w.tick()
	r := w.round()
	if w.count(`SELECT COUNT(*) FROM recertify_campaign`) != 1 || r.State != Open || r.Lines != len(officials)+9 || !r.Deadline.Equal(jst("2026-04-15 00:00")) {
		t.Fatalf("the round: %+v", r)
	}
	if l := w.line("suzuki"); l.LastUse.IsZero() || l.Person.Name != "例 suzuki" || l.Raised != 0 || len(l.Posts) != 0 || !slices.Equal(l.Projects, []string{"税務システム刷新"}) || !l.Until.Equal(projectEnds) {
		t.Errorf("suzuki's line: %+v", l)
	}
	for login, n := range map[string]int{"yamamoto": 1, "nakamura": 1, "kobayashi": 1, "yoshida": 0, "tanaka": 0} {
		if got := w.told(login, notice.RecertifyWaits); got != n { // the officers hear of the CIOs' lines
			t.Errorf("%s was told %d times at the beginning, want %d", login, got, n)
		}
	}

	res, err := w.decide("yamamoto", true, "suzuki")
	w.must(err)
	if res.Ended != 1 {
		t.Errorf("ending one: %+v", res)
	}
	if p := w.person("suzuki"); !p.Account.Disabled || w.count(`SELECT COUNT(*) FROM session WHERE id = $1 AND ended_at = 0`, session) != 0 {
		t.Error("suzuki's ID is open, or a session goes on")
	}
	if w.told("suzuki", notice.RecertifyEnded) != 1 || w.entries("recertify.ended", "suzuki", "異動した") != 1 || w.entries("dormancy.confirmed", "suzuki") != 1 {
		t.Error("nobody was told, or the trail does not have it")
	}
	if res, err := w.decide("nakamura", false, "suzuki", "tanaka"); err != nil || res.Confirmed != 1 || len(res.Not) != 1 || res.Not[0].Why.Reason != "decided" {
		t.Errorf("two at once, of which one is decided: %+v, %v", res, err)
	}
	w.confirmAll("mori", "moved", "gone", "kyuka", "himitsu", "batch", "fukki")
	if w.entries("recertify.confirmed", "tanaka") != 1 {
		t.Error("the trail does not say who confirmed tanaka")
	}
	w.pass("2026-04-11")
	if w.told("yamamoto", notice.RecertifyWaits) != 2 || w.told("kobayashi", notice.RecertifyWaits) != 1 {
		t.Errorf("reminded: the manager %d times, the officer %d", w.told("yamamoto", notice.RecertifyWaits), w.told("kobayashi", notice.RecertifyWaits))
	}
	if _, err := w.decide("nakamura", false, "fukki"); err != nil {
		t.Fatal(err)
	}
	conn := w.server.Look()
	defer conn.Close()
	w.must(conn.Modify(modify(embeddedtest.PersonDN("moved"), "departmentNumber", "dejitaru")))
	w.must(w.dir.Delete(t.Context(), w.person("gone")))
	w.pass("2026-04-14")
	if w.told("kobayashi", notice.RecertifyWaits) != 2 {
		t.Error("on the last day nobody above is told")
	}
	if w.round().State != Open {
		t.Fatal("it has ended before its deadline")
	}
	w.pass("2026-04-15")
	if w.round().State != Done {
		t.Fatalf("after its deadline: %+v", w.round())
	}
	for login, want := range map[string][2]string{
		"tanaka": {"confirmed", ""}, "mori": {"ended", ""}, "moved": {"void", Moved}, "gone": {"void", Gone}, "kyuka": {"held", "on_leave"},
		"himitsu": {"held", "sealed"}, "batch": {"held", "no_owner"}, "fukki": {"confirmed", ""}, "yoshida": {"confirmed", ""},
	} {
		w.isLine(login, LineState(want[0]), want[1])
	}
	if p := w.person("mori"); !p.Account.Disabled || w.told("mori", notice.RecertifyEnded) != 1 || w.entries("recertify.ended", "mori", "not confirmed") != 1 {
		t.Error("mori's ID, which nobody confirmed, is open")
	}
	for _, login := range []string{"tanaka", "moved", "kyuka", "himitsu", "batch"} {
		if w.person(login).Account.Disabled {
			t.Errorf("%s's ID is closed", login)
		}
	}
	if w.told("kobayashi", notice.RecertifyHeld) != 1 {
		t.Errorf("the officer was told %d times of what is held, want once", w.told("kobayashi", notice.RecertifyHeld))
	}
	var no *Refusal
	if _, err := w.decide("yamamoto", false, "kyuka"); !errors.As(err, &no) || no.Reason != "over" {
		t.Errorf("deciding after the end: %v", err)
	}
	w.pass("2026-04-20")
	if w.count(`SELECT COUNT(*) FROM recertify_campaign`) != 1 || w.entries("recertify.closed") != 1 {
		t.Error("it went on after its end")
	}
	w.on("2026-10-02")
	w.tick()
	if r := w.round(); r.Slot != "2026-10-01T06" || r.State != Open || !r.Deadline.Equal(jst("2026-10-16 00:00")) {
		t.Errorf("the next one, a day late: %+v", r)
	}
}

// TestRefusals: who may not, and what cannot be, each in words and on the trail.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyIDs, member{login: "tanaka"}, member{login: "suzuki"}, member{login: "himitsu"})
	w.sealed = register{"himitsu"}
	w.on("2026-04-01")
	w.tick()
	id, r := w.line("tanaka").ID, w.round().ID
	old := w.as("yamamoto")
	old.AuthAt = w.clock.Now().AddDate(0, 0, -1)
	out := w.as("yamamoto")
	w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE session SET ended_at = $1 WHERE id = $2`, store.Micros(w.clock.Now()), out.SessionID)
		return err
	}))
	long := make([]rune, maxComment+1)
	for i := range long {
		long[i] = 'あ'
	}
	for _, tt := range []struct {
		name, by, line string
		end            bool
		comment, want  string
	}{
		{"no reason", "yamamoto", id, true, " ", "required"}, {"too long a reason", "yamamoto", id, true, string(long), "too_long"},
		{"a reason that turns lines round", "yamamoto", id, true, "a\u202eb", "unusable"}, {"nothing chosen", "yamamoto", "", false, "", "lines"},
		{"staff", "suzuki", id, false, "", "not_theirs"}, {"an auditor", "kansa", id, false, "", "reads_only"}, {"their own", "yamamoto", w.line("yamamoto").ID, false, "", "own"},
		{"a sealed emergency ID", "yamamoto", w.line("himitsu").ID, true, "不要", "sealed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ids := []string{tt.line}
			if tt.line == "" {
				ids = nil
			}
			_, err := w.DecideAs(t.Context(), w.as(tt.by), r, ids, tt.end, tt.comment)
			var no *Refusal
			if !errors.As(err, &no) || no.Reason != tt.want || no.Says.JA == "" || no.Says.EN == "" {
				t.Errorf("refused with %v, want %s", err, tt.want)
			}
			if no != nil && no.Is == Forbidden && w.entries("recertify.refused", tt.want) != 1 {
				t.Errorf("%s is not on the trail", tt.want)
			}
		})
	}
	if _, err := w.DecideAs(t.Context(), old, r, []string{id}, false, ""); err == nil {
		t.Error("an old sign-in decides")
	}
	if _, err := w.DecideAs(t.Context(), out, r, []string{id}, false, ""); err == nil {
		t.Error("somebody who is signed out decides")
	}
	if _, err := w.DecideAs(t.Context(), w.as("yamamoto"), r, []string{"nothing"}, false, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("a line that is not there: %v", err)
	}
	if _, err := w.DecideAs(t.Context(), w.as("yamamoto"), "none", []string{id}, false, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("a round that is not there: %v", err)
	}
	w.isLine("tanaka", Waits, "")
	w.isLine("himitsu", Waits, "")
}

// TestEligibility: a group is left, what the policy gives is an administrator's, and what
// the directory does not do is tried until it does.
func TestEligibility(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyEligibility, member{login: "tanaka", dba: true}, member{login: "suzuki", dba: true}, member{login: "mori", dba: true})
	w.on("2026-04-01")
	w.tick()
	if r := w.round(); r.Lines != 5 { // three by the group, two by their post
		t.Fatalf("the round: %+v", r)
	}
	stubborn := &broken{Directory: w.dir, leave: func(context.Context, string, directory.PersonID, string) error {
		return errors.New("insufficient access")
	}}
	w.Book = w.gateway(stubborn)
	res, err := w.decide("yamamoto", true, "tanaka", "sato")
	w.must(err)
	if res.Ended != 1 || res.Owed != 1 {
		t.Errorf("ended: %+v", res)
	}
	w.isLine("tanaka", Leaving, "")
	takenFrom := func(login string, want ...string) {
		t.Helper()
		if got, err := TakenFrom(t.Context(), w.db, w.person(login).ID); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is taken out of %v, %v; want %v", login, got, err, want)
		}
	}
	takenFrom("tanaka", w.line("tanaka").Object) // from the decision on, and not from when the directory follows
	takenFrom("suzuki")
	takenFrom("sato") // what the policy gives is the policy's
	w.isLine("sato", Owed, "")
	if w.told("kato", notice.RecertifyLeft) != 1 {
		t.Error("the administrators were not told of what the policy gives")
	}
	for range 4 {
		w.clock.Advance(time.Minute)
		_ = w.Tick(t.Context())
	}
	if w.entries("recertify.effect_unconfirmed", "tanaka", "insufficient access") != 1 || w.told("kato", notice.RecertifyLeft) != 2 {
		t.Error("nobody was told that the directory keeps tanaka in the group")
	}
	w.Book = w.gateway(w.dir)
	w.clock.Advance(15 * time.Minute)
	w.tick()
	w.isLine("tanaka", Ended, "")
	takenFrom("tanaka") // who is put into it anew may borrow
	if got := w.server.Members(dba); len(got) != 2 || w.entries("recertify.effect_confirmed", "tanaka") != 1 {
		t.Errorf("the group has %v", got)
	}
	w.policy.Privileges = w.policy.Privileges[:1] // an administrator takes it out of the policy
	w.clock.Advance(owedEvery)
	w.tick()
	w.isLine("sato", Ended, "")
	if _, err := w.decide("yamamoto", false, "suzuki"); err != nil {
		t.Fatal(err)
	}
	w.pass("2026-04-15")
	w.isLine("suzuki", Confirmed, "")
	w.isLine("mori", Ended, "")
	w.isLine("kato", Void, IsOver)
	if got := w.server.Members(dba); len(got) != 1 || got[0] != embeddedtest.PersonDN("suzuki") {
		t.Errorf("the group has %v", got)
	}
}

// TestPermits: remote access is confirmed by the section, and ends through its own room.
func TestPermits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyPermits, member{login: "tanaka"}, member{login: "suzuki"}, member{login: "mori"})
	w.permitted("p1", "tanaka")
	w.permitted("p2", "suzuki")
	w.permitted("p3", "mori")
	w.on("2026-04-01")
	w.tick()
	if l := w.line("tanaka"); l.Object != "p1" || l.Why != "在宅勤務" || !l.LastUse.Equal(t0.AddDate(0, 0, -3)) || !l.Until.Equal(t0.AddDate(1, 0, 0)) {
		t.Errorf("the line: %+v", l)
	}
	_, err := w.decide("yamamoto", true, "tanaka")
	w.must(err)
	_, err = w.decide("yamamoto", false, "suzuki")
	w.must(err)
	w.pass("2026-04-15")
	for id, want := range map[string]string{"p1": "revoked", "p2": "approved", "p3": "revoked"} {
		if n := w.count(`SELECT COUNT(*) FROM permit WHERE id = $1 AND state = $2`, id, want); n != 1 {
			t.Errorf("%s is not %s", id, want)
		}
	}
	if w.entries("permit.revoked", "異動した", "p1") != 1 || w.entries("recertify.ended", "63-2(1)") != 2 || w.told("mori", notice.PermitRevoked) != 1 {
		t.Error("the trail does not have it, or nobody was told")
	}
}

// TestOnce: six gates come to each day together, and each line has one outcome and one
// entry.
func TestOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyIDs, member{login: "tanaka"}, member{login: "suzuki"}, member{login: "mori"})
	gates := make([]*Book, 6)
	for i := range gates {
		gates[i] = w.gateway(w.dir)
	}
	together := func() {
		var wg sync.WaitGroup
		for _, g := range gates {
			wg.Go(func() {
				if err := g.Tick(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	w.on("2026-04-01")
	together()
	together() // who came second to the beginning has nothing left
	if w.count(`SELECT COUNT(*) FROM recertify_campaign`) != 1 || w.entries("recertify.opened") != 1 || w.told("yamamoto", notice.RecertifyWaits) != 1 {
		t.Fatalf("%d rounds, opened %d times", w.count(`SELECT COUNT(*) FROM recertify_campaign`), w.entries("recertify.opened"))
	}
	w.confirmAll("tanaka", "suzuki", "mori")
	for _, day := range []string{"2026-04-10", "2026-04-14", "2026-04-15"} {
		w.on(day)
		together()
	}
	together()
	if w.round().State != Done || w.entries("recertify.reminded") != 2 || w.entries("recertify.closed") != 1 || w.entries("recertify.ended") != 3 || w.told("tanaka", notice.RecertifyEnded) != 1 {
		t.Errorf("%s: reminded %d times, closed %d, ended %d", w.round().State, w.entries("recertify.reminded"), w.entries("recertify.closed"), w.entries("recertify.ended"))
	}
}

// TestRoundIsKilled: a gate dies at each point of a round; another goes on with it when
// the claim is over, nothing is done twice, and nothing is left out.
func TestRoundIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyEligibility, member{login: "tanaka", dba: true}, member{login: "suzuki", dba: true}, member{login: "mori", dba: true})
	die := func(point string, after int) {
		t.Helper()
		w.death.Once(point, after)
		if err := w.Tick(t.Context()); !errors.Is(err, authztest.ErrDied) {
			t.Fatalf("at %s: %v", point, err)
		}
		w.Book = w.gateway(w.dir)
		if err := w.Tick(t.Context()); err != nil { // the claim is the dead one's still
			t.Fatal(err)
		}
	}
	w.on("2026-04-01")
	die(PointFrozen, 0)
	if w.round().State != Freezing {
		t.Fatalf("who died has opened it: %+v", w.round())
	}
	w.clock.Advance(2 * claimLasts)
	w.tick()
	if r := w.round(); r.State != Open || w.count(`SELECT COUNT(*) FROM recertify_line`) != r.Lines || r.Lines != 5 || w.entries("recertify.opened") != 1 {
		t.Fatalf("after a death in the making: %+v", r)
	}
	w.confirmAll("tanaka", "suzuki", "mori")
	w.pass("2026-04-14")
	w.on("2026-04-15")
	die(PointLine, 1)
	w.clock.Advance(2 * claimLasts)
	die(PointEnded, 0)
	w.clock.Advance(2 * claimLasts)
	die(PointLeaving, 0)
	w.clock.Advance(2 * claimLasts)
	die(PointLeft, 0)
	for range 4 {
		w.clock.Advance(2 * claimLasts)
		w.tick()
	}
	if w.round().State != Done || w.entries("recertify.ended") != 3 || w.entries("recertify.effect_confirmed") != 3 || len(w.server.Members(dba)) != 0 {
		t.Errorf("%s: ended %d, confirmed %d, the group has %v", w.round().State, w.entries("recertify.ended"), w.entries("recertify.effect_confirmed"), w.server.Members(dba))
	}
	for _, login := range []string{"tanaka", "suzuki", "mori"} {
		w.isLine(login, Ended, "")
	}
}
