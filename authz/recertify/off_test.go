package recertify

import (
	"context"
	"errors"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/policy"
)

// TestCalledOff: a campaign that is taken out of the policy ends nothing more, whether its
// round is open or waits for somebody; put back, it begins with its next time.
func TestCalledOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, day string
		from      State
	}{{"open", "2026-04-10", Open}, {"halted", "2026-04-16", Halted}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, policy.RecertifyIDs, crowdOf(11)...)
			w.on("2026-04-01")
			w.tick()
			w.pass(tt.day)
			r := w.round()
			if r.State != tt.from {
				t.Fatalf("the round: %+v", r)
			}
			campaigns := w.policy.Recertification.Campaigns
			w.policy.Recertification.Campaigns = nil
			w.tick()
			w.tick()
			if got := w.round(); got.State != Dropped || w.entries("recertify.closed") != 1 {
				t.Fatalf("called off: %+v, closed %d times", got, w.entries("recertify.closed"))
			}
			w.isLine("staff00", Left, "called_off")
			if r.Matter != "" && w.entries("approval.void", r.Matter) != 1 {
				t.Error("somebody is asked about it still")
			}
			w.policy.Recertification.Campaigns = campaigns
			w.pass("2026-04-25")
			if w.person("staff00").Account.Disabled || w.count(`SELECT COUNT(*) FROM recertify_campaign`) != 1 {
				t.Error("it went on, or began anew before its time")
			}
			w.on("2026-10-01")
			w.tick()
			if got := w.round(); got.Slot != "2026-10-01T06" || got.State != Open {
				t.Errorf("its next time: %+v", got)
			}
		})
	}
}

// TestPutBack: a campaign that comes back to the policy in a later cycle begins with its
// next time, as a new one does; a round that has just begun is no stale gateway's to end.
func TestPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyIDs)
	campaigns := w.policy.Recertification.Campaigns
	w.policy.Recertification.Campaigns = nil
	w.tick()
	w.on("2026-10-05")
	w.policy.Recertification.Campaigns = campaigns
	w.tick()
	w.tick()
	if n := w.count(`SELECT COUNT(*) FROM recertify_campaign`); n != 0 {
		t.Fatalf("%d rounds began in the middle of a cycle", n)
	}
	w.on("2027-04-01")
	w.tick()
	w.policy.Recertification.Campaigns = nil
	w.clock.Advance(claimLasts / 2)
	w.tick()
	if r := w.round(); r.Slot != "2027-04-01T06" || r.State != Open {
		t.Errorf("its next time: %+v", r)
	}
	w.clock.Advance(claimLasts)
	w.tick()
	if r := w.round(); r.State != Dropped {
		t.Errorf("taken out again: %+v", r)
	}
}

// TestNobodyIsThereAfterAll: a directory that comes back with nobody in it, after a yes to
// end what is unconfirmed, makes no line void: somebody is asked once more, about that.
func TestNobodyIsThereAfterAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyIDs, crowdOf(11)...)
	dir := &broken{Directory: w.dir}
	w.Book = w.gateway(dir)
	w.on("2026-04-01")
	w.tick()
	w.pass("2026-04-16")
	w.gate.Decide(w, w.as("kobayashi"), w.round().Matter, true)
	dir.byID = func(context.Context, directory.PersonID) (directory.Person, error) {
		return directory.Person{}, directory.ErrNotFound
	}
	w.tick()
	r := w.round()
	if r.State != Halted || r.Why != Missing || w.entries("recertify.halted") != 2 {
		t.Fatalf("the round: %+v", r)
	}
	w.isLine("staff00", Waits, "")
	w.gate.Decide(w, w.as("kobayashi"), r.Matter, true)
	w.tick()
	if got := w.round(); got.State != Done {
		t.Errorf("after a yes to that too: %+v", got)
	}
	w.isLine("staff00", Ended, "")
}

// TestStaleRound: a gateway that comes second to a round which it read before the first
// did what was due finds nothing to do.
func TestStaleRound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyIDs)
	w.on("2026-04-01")
	w.tick()
	w.on("2026-04-10")
	r := w.round()
	for range 2 {
		if err := w.goOn(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	if n := w.entries("recertify.reminded"); n != 1 {
		t.Errorf("reminded %d times", n)
	}
}

// TestNothingLeftToEnd: whoever ends what is not theirs any more hears that nothing has
// ended, and an ID that they may take for closed is told to be open.
func TestNothingLeftToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.RecertifyIDs, member{login: "moved"}, member{login: "gone"}, member{login: "closed"}, member{login: "riser"}, member{login: "tanaka"})
	w.on("2026-04-01")
	w.tick()
	conn := w.server.Look()
	defer conn.Close()
	w.must(conn.Modify(modify(embeddedtest.PersonDN("moved"), "departmentNumber", "dejitaru")))
	w.must(conn.Modify(modify(embeddedtest.PersonDN("closed"), "pwdAccountLockedTime", "000001010000Z")))
	rise := goldap.NewModifyRequest(w.policy.Posts[indexOfPost(w.policy, policy.CIO)].Group, nil)
	rise.Add("member", []string{embeddedtest.PersonDN("riser")})
	w.must(conn.Modify(rise))
	w.must(w.dir.Delete(t.Context(), w.person("gone")))
	for login, want := range map[string]struct {
		reason string
		line   LineState
		why    string
	}{"moved": {Moved, Void, Moved}, "gone": {Gone, Void, Gone}, "closed": {"is_over", Void, IsOver}, "riser": {"not_theirs", Waits, ""}} {
		res, err := w.decide("yamamoto", true, login)
		var no *Refusal
		if !errors.As(err, &no) || no.Reason != want.reason || no.Says.JA == "" || no.Says.EN == "" || res.Ended != 0 {
			t.Errorf("%s: %+v, %v; want %s", login, res, err, want.reason)
		}
		w.isLine(login, want.line, want.why)
	}
	for _, login := range []string{"moved", "riser"} {
		if w.person(login).Account.Disabled {
			t.Errorf("%s's ID is closed", login)
		}
	}
	// The CIO's ID is an officer's to end, and others beside it end all the same.
	if res, err := w.decide("kobayashi", true, "riser", "tanaka"); err != nil || res.Ended != 2 {
		t.Errorf("by an officer: %+v, %v", res, err)
	}
}
