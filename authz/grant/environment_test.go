package grant

import (
	"slices"
	"testing"
	"time"

	"sekisho/authz"
	"sekisho/policy"
)

const (
	otherSide = Reason(authz.WrongEnvironment)
	ended     = Reason(authz.ProjectOver)
)

// offered are the privileges that somebody may ask for.
func (w *world) offered(login string) []string {
	w.Helper()
	offers, err := w.Offers(w.Context(), w.as(login))
	w.must(err)
	var out []string
	for _, o := range offers {
		out = append(out, o.Privilege.ID)
	}
	return out
}

// TestOfOneEnvironment: what belongs to the other environment is neither offered nor
// given, at any step (articles 68-1, 68-2), also where nobody is asked first (80-2).
func TestOfOneEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	year := t0.AddDate(1, 0, 0)
	if got := w.offered("sato"); slices.Contains(got, "trial") || !slices.Contains(got, "db-admin") || !slices.Contains(got, "takeover") {
		t.Errorf("an ID of production is offered %v", got)
	}
	_, err := w.Ask(t.Context(), w.as("sato"), w.wish("trial", 15))
	w.refused(err, otherSide)
	_, _, err = w.Emergency(t.Context(), w.as("sato"), w.wish("trial", 15))
	w.refused(err, otherSide)
	if n := w.entries(`"action":"lease.refused"`, `"68-2"`); n != 1 { // of one minute
		t.Errorf("%d refusals are on the trail", n)
	}

	w.bind("sato", policy.Development, year)
	if got := w.offered("sato"); !slices.Equal(got, []string{"trial", "takeover"}) {
		t.Errorf("an ID of development is offered %v", got)
	}
	_, err = w.Ask(t.Context(), w.as("sato"), w.wish("db-admin", 15))
	w.refused(err, otherSide)
	_, _, err = w.Emergency(t.Context(), w.as("sato"), w.wish("claims", 15))
	w.refused(err, otherSide)
	l := w.active("sato", "trial", 30)
	w.inGroup(trials, "sato")
	if !w.lives("sato") {
		t.Error("its own environment's lease gives nothing")
	}
	if _, err := w.Extend(t.Context(), w.as("sato"), l.ID, 15*time.Minute, "続ける"); err != nil {
		t.Error(err)
	}
}

// TestTurned: somebody whose ID came to be of the other environment between two steps gets
// no further, and what they hold says nothing from that moment.
func TestTurned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	year := t0.AddDate(1, 0, 0)
	pending, approved := w.ask("sato", "claims", 15), w.approved("takahashi", "claims", 15)
	batch := w.active("takahashi", "batch", 30)
	active := w.active("sato", "db-admin", 30)
	w.inGroup(dbAdmins, "sato")
	if !w.lives("sato") || !w.lives("takahashi") {
		t.Fatal("nothing is lent")
	}
	w.bind("sato", policy.Development, year)
	w.bind("takahashi", policy.Development, year)

	if w.lives("sato") || w.lives("takahashi") { // also one that outlives its session
		t.Error("a lease says something to an ID of the other environment")
	}
	_, err := w.matters.Decide(t.Context(), w.as("yamamoto"), w.get(pending).Matter, true, "よい")
	w.refused(err, otherSide)
	w.isState(pending, Pending)
	w.decide("yamamoto", pending, false)
	w.isState(pending, Denied)
	_, _, err = w.Activate(t.Context(), w.as("takahashi"), approved.ID)
	w.refused(err, otherSide)
	_, err = w.Extend(t.Context(), w.as("sato"), active.ID, 15*time.Minute, "続ける")
	w.refused(err, otherSide)
	_, _, err = w.Renew(t.Context(), w.as("sato"), active.ID)
	w.refused(err, otherSide)
	w.must(w.Watch(t.Context()))
	w.settle()
	w.isState(active, Revoked)
	w.isState(batch, Revoked)
	w.inGroup(dbAdmins)
	if w.entries(`"action":"lease.revoked"`, "wrong_environment") != 2 {
		t.Error("the trail does not say why they were taken away")
	}
}

// TestMoreTimeForTheOther: more time that was asked for before is not given after.
func TestMoreTimeForTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "db-admin", 30)
	l, err := w.Extend(t.Context(), w.as("sato"), l.ID, 15*time.Minute, "続ける")
	w.must(err)
	w.bind("sato", policy.Development, t0.AddDate(1, 0, 0))
	_, err = w.matters.Decide(t.Context(), w.as("yamamoto"), l.Extension.Matter, true, "よい")
	w.refused(err, otherSide)
	if !w.get(l).EndsAt().Equal(t0.Add(30 * time.Minute)) {
		t.Error("it lasts longer")
	}
}

// TestMoreTimeWithinTheProject: more time ends with the project as it is when somebody says
// yes, not as it was when it was asked for.
func TestMoreTimeWithinTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bind("sato", policy.Production, t0.AddDate(1, 0, 0))
	l := w.active("sato", "db-admin", 30)
	l, err := w.Extend(t.Context(), w.as("sato"), l.ID, 15*time.Minute, "続ける")
	w.must(err)
	w.bind("sato", policy.Production, t0.Add(40*time.Minute))
	w.decide("yamamoto", l, true)
	if got := w.get(l); !got.EndsAt().Equal(t0.Add(40 * time.Minute)) {
		t.Errorf("it ends at %v, its project at %v", got.EndsAt(), t0.Add(40*time.Minute))
	}
}

// TestTiesNeedNoDirectory: what somebody's ID may not have any more is taken away while the
// directory is away, for projects are the gate's own; the directory follows when it is back.
func TestTiesNeedNoDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bind("sato", policy.Production, t0.AddDate(1, 0, 0))
	l, sato := w.active("sato", "db-admin", 30), w.id("sato")
	w.server.Away()
	w.clock.Advance(10 * time.Minute) // what is known of people is old
	w.must(w.Watch(t.Context()))
	w.isState(l, Active)
	w.ties.Store(sato, []authz.Tie{{Project: "p", Environment: policy.Production, Until: w.clock.Now()}}) // completed
	w.must(w.Watch(t.Context()))
	w.isState(l, Revoked)
	w.server.Back()
	w.clock.Advance(30 * time.Second)
	w.settle()
	w.inGroup(dbAdmins)
	if w.entries(`"action":"lease.revoked"`, "project_over") != 1 {
		t.Error("the trail does not say why")
	}
}

// TestWitnessOfTheOther: neither of two people is of the other environment (article 49-3).
func TestWitnessOfTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.approved("sato", "pair", 30)
	_, _, err := w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	w.bind("ito", policy.Development, t0.AddDate(1, 0, 0))
	_, err = w.Witness(t.Context(), w.as("ito"), l.ID)
	w.refused(err, otherSide)
	w.bind("sato", policy.Development, t0.AddDate(1, 0, 0))
	_, err = w.Witness(t.Context(), w.as("takahashi"), l.ID)
	w.refused(err, otherSide)
	w.isState(l, Approved)
}

// TestNothingOutlastsTheProject: a lease ends with the project at the latest, whatever was
// asked for, and says nothing from then on though no job has run (article 67-2(1)).
func TestNothingOutlastsTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bind("sato", policy.Production, t0.Add(20*time.Minute))
	l := w.active("sato", "db-admin", 30)
	if !l.EndsAt().Equal(t0.Add(20*time.Minute)) || !l.Limit().Equal(t0.Add(20*time.Minute)) {
		t.Errorf("it ends at %v, and at the latest at %v", l.EndsAt(), l.Limit())
	}
	w.bind("sato", policy.Production, t0.Add(5*time.Minute)) // shortened meanwhile
	given, err := w.Live(t.Context(), w.as("sato").Person)
	w.must(err)
	if len(given) != 1 || !given[0].Until.Equal(t0.Add(5*time.Minute)) {
		t.Errorf("it is good until %v", given)
	}
	w.clock.Advance(5*time.Minute - 1)
	if !w.lives("sato") {
		t.Error("over before the project is")
	}
	w.clock.Advance(1)
	if w.lives("sato") {
		t.Error("it outlasts the project")
	}
	_, err = w.Ask(t.Context(), w.as("sato"), w.wish("claims", 15))
	w.refused(err, ended)
	w.must(w.Watch(t.Context()))
	w.settle()
	w.isState(l, Revoked)
	w.inGroup(dbAdmins)
}
