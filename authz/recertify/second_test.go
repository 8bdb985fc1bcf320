package recertify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/notice"
	"sekisho/authz/approval"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/policy"
)

func TestAlone(t *testing.T) {
	for _, tt := range []struct {
		ended, more, most int
		want              bool
	}{
		{0, 20, 20, true}, {0, 21, 20, false}, {19, 1, 20, true}, {20, 1, 20, false}, {20, 0, 20, true},
		{0, 1, 0, false}, // nothing is ended alone, as where nothing is said
		{300, 1, 20, false},
	} {
		if got := Alone(tt.ended, tt.more, tt.most); got != tt.want {
			t.Errorf("Alone(%d, %d, %d) = %t", tt.ended, tt.more, tt.most, got)
		}
	}
}

// staff are so many of crowdOf's.
func staff(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("staff%02d", i))
	}
	return out
}

// matter is by which a second person is asked about somebody's line.
func (w *world) matter(login string) string {
	w.Helper()
	m := w.line(login).Matter
	if m == "" {
		w.Fatalf("nobody is asked about %s", login)
	}
	return m
}

// manyOf is a round in which three may be ended alone.
func manyOf(t *testing.T, kind string, n int) *world {
	t.Helper()
	all := crowdOf(n)
	for i := range all {
		all[i].dba = kind == policy.RecertifyEligibility
	}
	w := newWorld(t, kind, all...)
	w.policy.Recertification.EndsAlone = 3
	w.on("2026-04-01")
	w.tick()
	return w
}

// TestSecondPerson: beyond what somebody ends alone nothing ends until a second person has
// said yes; a no, and silence, have the lines wait again. Confirming stays free.
func TestSecondPerson(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		decide func(w *world, matter string)
		want   LineState
	}{
		{"yes", func(w *world, m string) { w.gate.Decide(w, w.as("kobayashi"), m, true) }, Ended},
		{"no", func(w *world, m string) { w.gate.Decide(w, w.as("yoshida"), m, false) }, Waits},
		{"taken back", func(w *world, m string) {
			_, err := w.gate.Matters.Cancel(w.Context(), w.as("yamamoto"), m, "")
			w.must(err)
		}, Waits},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := manyOf(t, policy.RecertifyIDs, 9)
			res, err := w.decide("yamamoto", true, staff(0, 2)...)
			if err != nil || res.Ended != 2 || res.Asked != 0 {
				t.Fatalf("two alone: %+v, %v", res, err)
			}
			res, err = w.decide("yamamoto", true, staff(2, 5)...)
			if err != nil || res.Ended != 0 || res.Asked != 3 || len(res.Not) != 0 {
				t.Fatalf("three more: %+v, %v", res, err)
			}
			if w.person("staff02").Account.Disabled || w.entries("yamamoto", "recertify.asked", "異動した") != 3 {
				t.Fatal("it has ended before anybody agreed, or the trail does not say who wants it")
			}
			m := w.matter("staff02")
			if w.told("kobayashi", notice.RequestWaits) != 1 || w.told("nakamura", notice.RequestWaits) != 0 {
				t.Error("those who decide were not told, or others were")
			}
			var no *Refusal
			if _, err := w.decide("nakamura", false, "staff02"); !errors.As(err, &no) || no.Reason != "asked" || !strings.Contains(no.Says.JA, "二人目") {
				t.Errorf("confirming what somebody ends: %v", err)
			}
			if res, err := w.decide("yamamoto", false, "staff05", "staff06"); err != nil || res.Confirmed != 2 {
				t.Errorf("confirming goes on: %+v, %v", res, err)
			}
			if res, err := w.decide("nakamura", true, "staff07"); err != nil || res.Ended != 1 {
				t.Errorf("another reviewer's own three: %+v, %v", res, err)
			}
			card, err := w.gate.Matters.Card(t.Context(), m)
			if err != nil || len(card.Facts) != 3 || card.Facts[1].Value != "3" || !strings.Contains(card.Facts[2].Value, "例 staff03 (staff03) ") {
				t.Errorf("the card: %+v, %v", card.Facts, err)
			}
			if _, err := w.gate.Matters.Decide(t.Context(), w.as("nakamura"), m, true, ""); err == nil {
				t.Error("another manager agrees")
			}
			if _, err := w.gate.Matters.Decide(t.Context(), w.as("yamamoto"), m, true, ""); err == nil {
				t.Error("who asks agrees")
			}
			tt.decide(w, m)
			w.tick()
			w.isLine("staff02", tt.want, "")
			w.isLine("staff04", tt.want, "")
			if got := w.person("staff03").Account.Disabled; got != (tt.want == Ended) {
				t.Errorf("staff03 is closed: %t", got)
			}
			l := w.line("staff03")
			if tt.want == Ended {
				if l.DecidedBy.Login != "yamamoto" || l.Comment != "異動した" || w.entries("recertify.ended", m) != 3 || w.entries("recertify.agreed", m) != 1 || w.told("staff03", notice.RecertifyEnded) != 1 {
					t.Errorf("who ended it: %+v, %d entries", l, w.entries("recertify.ended", m))
				}
				// What a second person agreed to is not counted.
				if res, err := w.decide("yamamoto", true, "staff08"); err != nil || res.Ended != 1 {
					t.Errorf("the third alone: %+v, %v", res, err)
				}
				return
			}
			if l.DecidedBy.ID != "" || l.Comment != "" || l.Matter != "" || w.entries("recertify.returned", m) != 1 {
				t.Errorf("a line that waits again: %+v", l)
			}
			if res, err := w.decide("nakamura", false, "staff03"); err != nil || res.Confirmed != 1 {
				t.Errorf("it is confirmed now: %+v, %v", res, err)
			}
		})
	}
}

// TestSecondPersonIsNobody: who has no second person ends no more than they may alone, and
// who is among those that end does not agree to it.
func TestSecondPersonIsNobody(t *testing.T) {
	t.Parallel()
	w := manyOf(t, policy.RecertifyIDs, 4)
	logins := append(staff(0, 3), "kobayashi")
	res, err := w.decide("yoshida", true, logins...) // the CIO's takes two officers, and one of them is among it
	w.must(err)
	if res.Asked != 4 {
		t.Fatalf("asked: %+v", res)
	}
	m := w.matter("staff00")
	var no *approval.Refused
	if _, err := w.gate.Matters.Decide(t.Context(), w.as("kobayashi"), m, true, ""); !errors.As(err, &no) || no.Verdict.Reason != approval.OwnMatter {
		t.Errorf("the officer agrees to their own end: %v", err)
	}
	w.gate.Decide(w, w.as("ishii"), m, false)
	w.isLine("staff00", Waits, "")

	conn := w.server.Look()
	defer conn.Close()
	for _, post := range []policy.PostID{policy.SecurityOfficer, policy.CIO} {
		leave := goldap.NewModifyRequest(w.policy.Posts[indexOfPost(w.policy, post)].Group, nil)
		leave.Replace("member", []string{embeddedtest.PersonDN("nobody")})
		w.must(conn.Modify(leave))
	}
	w.Book = w.gateway(w.dir) // who remembers nobody
	var refused *Refusal
	if _, err := w.decide("yamamoto", true, staff(0, 4)...); !errors.As(err, &refused) || refused.Reason != "no_second" || refused.Is != Conflict {
		t.Errorf("four, with nobody to agree: %v", err)
	}
	w.isLine("staff00", Waits, "")
	if res, err := w.decide("yamamoto", true, staff(0, 3)...); err != nil || res.Ended != 3 {
		t.Errorf("three alone: %+v, %v", res, err)
	}
}

// TestSecondPersonAndDeadline: the deadline holds. Whatever nobody has answered or confirmed
// by then counts as unconfirmed, and nobody is asked any more.
func TestSecondPersonAndDeadline(t *testing.T) {
	t.Parallel()
	w := manyOf(t, policy.RecertifyIDs, 6)
	w.confirmAll(staff(0, 6)...)
	if res, err := w.decide("yamamoto", true, staff(0, 5)...); err != nil || res.Asked != 5 {
		t.Fatalf("asked: %+v, %v", res, err)
	}
	m := w.matter("staff00")
	w.pass("2026-04-15")
	if r := w.round(); r.State != Done || w.entries("approval.void", m) != 1 || w.entries("recertify.returned", "deadline", m) != 1 {
		t.Fatalf("at the deadline: %+v", r)
	}
	w.isLine("staff00", Ended, "")
	w.isLine("staff05", Ended, "")
	if l := w.line("staff00"); l.DecidedBy.ID != "" || w.entries("recertify.ended", "staff00", "not confirmed") != 1 {
		t.Errorf("whose it is: %+v", l)
	}
	if _, err := w.gate.Matters.Decide(t.Context(), w.as("kobayashi"), m, true, ""); err == nil {
		t.Error("somebody agrees after the deadline")
	}
}

// TestSecondPersonSaysNothing: what somebody would end beyond what they end alone waits again
// in time, and those who review are reminded of it and can keep it: one who asks, and
// silence, end nothing together that others would have kept.
func TestSecondPersonSaysNothing(t *testing.T) {
	t.Parallel()
	w := manyOf(t, policy.RecertifyIDs, 6)
	w.confirmAll(staff(0, 6)...)
	if res, err := w.decide("yamamoto", true, staff(0, 5)...); err != nil || res.Asked != 5 {
		t.Fatalf("asked: %+v, %v", res, err)
	}
	w.pass("2026-04-13")
	w.isLine("staff00", ToEnd, "")
	w.clock.Advance(11 * time.Hour)
	w.must(w.gate.Matters.Lapse(t.Context()))
	w.isLine("staff00", Waits, "")
	before := w.told("nakamura", notice.RecertifyWaits)
	w.on("2026-04-14")
	w.tick()
	if w.told("nakamura", notice.RecertifyWaits) != before+1 || w.entries("recertify.reminded", `"open":"6"`) != 1 {
		t.Error("nobody is reminded of what waits again")
	}
	if res, err := w.decide("nakamura", false, staff(0, 6)...); err != nil || res.Confirmed != 6 {
		t.Errorf("keeping it: %+v, %v", res, err)
	}
	w.pass("2026-04-15")
	w.isLine("staff00", Confirmed, "")
	if w.person("staff00").Account.Disabled {
		t.Error("it has ended")
	}
}

// TestSecondPersonAndHalt: what waits for a second person counts as unconfirmed where it
// is asked whether very much is; while that is asked they go on, and a round that is
// called off asks nobody any more.
func TestSecondPersonAndHalt(t *testing.T) {
	t.Parallel()
	w := manyOf(t, policy.RecertifyIDs, 14)
	w.confirmAll(staff(0, 14)...)
	_, err := w.decide("yamamoto", true, staff(0, 6)...)
	w.must(err)
	w.pass("2026-04-15")
	if r := w.round(); r.State != Halted || r.Why != TooMany {
		t.Fatalf("fourteen of so few: %+v", r)
	}
	w.must(w.gate.Matters.Lapse(t.Context()))
	w.isLine("staff00", Waits, "") // nobody has answered by the deadline
	_, err = w.decide("yamamoto", true, staff(0, 6)...)
	w.must(err)
	_, err = w.decide("nakamura", true, staff(6, 12)...)
	w.must(err)
	w.gate.Decide(w, w.as("kobayashi"), w.matter("staff00"), true)
	w.tick()
	w.isLine("staff00", Ended, "")
	w.isLine("staff06", ToEnd, "")
	m := w.matter("staff06")
	w.gate.Decide(w, w.as("kobayashi"), w.round().Matter, false)
	w.isLine("staff06", Left, "denied")
	w.isLine("staff12", Left, "denied")
	if w.entries("approval.void", m) != 1 || w.person("staff06").Account.Disabled {
		t.Error("a second person is asked still, or it has ended")
	}
}

// TestSecondPersonRaces: of reviewers who end the same lines each line is one's; a flood
// of requests ends no more than one ends alone; and of several gates that come to what was
// agreed each line ends once.
func TestSecondPersonRaces(t *testing.T) {
	t.Parallel()
	w := manyOf(t, policy.RecertifyEligibility, 12)
	gates := make([]*Book, 4)
	for i := range gates {
		gates[i] = w.gateway(w.dir)
	}
	ids := func(logins []string) (out []string) {
		for _, l := range logins {
			out = append(out, w.line(l).ID)
		}
		return out
	}
	round, alone := w.round().ID, ids(staff(0, 6))
	by, other := w.as("yamamoto"), w.as("nakamura")
	var wg sync.WaitGroup
	for i, id := range alone { // six requests of one, of which three may end alone
		wg.Go(func() {
			if _, err := gates[i%len(gates)].DecideAs(context.WithoutCancel(t.Context()), by, round, []string{id}, true, "異動した"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := w.count(`SELECT COUNT(*) FROM recertify_line WHERE campaign = $1 AND decided_by <> '' AND matter = '' AND state IN ('ending', 'ended')`, round); n != 3 {
		t.Errorf("%d were ended alone, want 3", n)
	}
	if n := w.count(`SELECT COUNT(*) FROM recertify_line WHERE campaign = $1 AND state = 'to_end'`, round); n != 3 {
		t.Errorf("%d wait for a second person, want 3", n)
	}
	same := ids(staff(6, 12))
	var mu sync.Mutex
	asked := 0
	for i, who := range []approval.Approver{by, other} {
		wg.Go(func() {
			res, err := gates[i].DecideAs(context.WithoutCancel(t.Context()), who, round, same, true, "異動した")
			var no *Refusal
			if err != nil && (!errors.As(err, &no) || no.Reason != "asked" && no.Reason != "decided") {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			asked += res.Asked
		})
	}
	wg.Wait()
	if asked != 6 || w.count(`SELECT COUNT(DISTINCT matter) FROM recertify_line WHERE campaign = $1 AND matter <> ''`, round) < 2 {
		t.Errorf("two asked about the same six: %d were marked", asked)
	}
	matters := map[string]bool{}
	for _, login := range staff(0, 12) {
		if m := w.line(login).Matter; m != "" {
			matters[m] = true
		}
	}
	for m := range matters {
		w.gate.Decide(w, w.as("kobayashi"), m, true)
	}
	for range 2 {
		for _, g := range gates {
			wg.Go(func() {
				if err := g.Tick(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	w.tick()
	for _, login := range staff(0, 12) {
		w.isLine(login, Ended, "")
	}
	if n := w.entries("recertify.ended", "staff"); n != 12 || len(w.server.Members(dba)) != 0 {
		t.Errorf("%d entries of an end, and the group has %v", n, w.server.Members(dba))
	}
}

// TestAgreedIsKilled: a gate dies in the middle of what two persons want ended; another
// goes on with it, and what cannot be ended is held.
func TestAgreedIsKilled(t *testing.T) {
	t.Parallel()
	w := manyOf(t, policy.RecertifyIDs, 5)
	_, err := w.decide("yamamoto", true, append(staff(0, 4), "sato", "kato")...) // of the administrators one is left
	w.must(err)
	w.sealed = register{"staff03"}
	conn := w.server.Look()
	defer conn.Close()
	rise := goldap.NewModifyRequest(w.policy.Posts[indexOfPost(w.policy, policy.CIO)].Group, nil)
	rise.Add("member", []string{embeddedtest.PersonDN("staff02")})
	w.must(conn.Modify(rise))
	w.gate.Decide(w, w.as("kobayashi"), w.matter("staff00"), true)
	w.death.Once(PointEnded, 0)
	if err := w.Tick(t.Context()); err == nil {
		t.Fatal("nobody died")
	}
	w.Book = w.gateway(w.dir)
	w.clock.Advance(2 * leaveLasts)
	w.tick()
	w.isLine("staff00", Ended, "")
	w.isLine("staff01", Ended, "")
	w.isLine("staff02", Waits, "") // they are the CIO: the officers decide
	if l := w.line("staff02"); !l.Apex || l.DecidedBy.ID != "" || w.person("staff02").Account.Disabled {
		t.Errorf("who has become the CIO: %+v", l)
	}
	w.isLine("staff03", Held, "sealed")
	if n := w.entries("recertify.ended", "staff0"); n != 2 {
		t.Errorf("%d ends", n)
	}
	if w.told("kobayashi", notice.RecertifyHeld) != 1 || w.entries("yamamoto", "recertify.held", "sealed") != 1 {
		t.Error("nobody above was told of what is held")
	}
}

// TestHeldAreToldTogether: of fifty IDs that are held those above get one letter each, with
// how many there are, however many gates.
func TestHeldAreToldTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyIDs, crowdOf(50)...)
	w.policy.Recertification.StopFew = 60
	w.sealed = register(staff(0, 50))
	w.on("2026-04-01")
	w.tick()
	w.confirmAll(staff(0, 50)...)
	w.pass("2026-04-14")
	w.on("2026-04-15")
	gates := make([]*Book, 4)
	var wg sync.WaitGroup
	for i := range gates {
		gates[i] = w.gateway(w.dir)
	}
	w.must(w.goOn(t.Context(), w.round()))
	for range 2 {
		for _, g := range gates {
			wg.Go(func() {
				if err := g.tellHeld(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	w.tick()
	if n := w.count(`SELECT COUNT(*) FROM recertify_line WHERE state = 'held' AND told_at > 0`); n != 50 || w.round().State != Done {
		t.Fatalf("%d are held and told of: %+v", n, w.round())
	}
	for login, want := range map[string]int{"kobayashi": 1, "yoshida": 1, "yamamoto": 0, "sato": 0} {
		if got := w.told(login, notice.RecertifyHeld) + w.told(login, notice.RecertifyLeft); got != want {
			t.Errorf("%s got %d letters, want %d", login, got, want)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM notice WHERE kind = 'recertify_held' AND detail LIKE '%"held":"50"%'`); n == 0 {
		t.Error("the letter does not say how many")
	}
}
