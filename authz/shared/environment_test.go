package shared

import (
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/policy"
)

// TestOfOneEnvironment: a shared ID is neither shown nor given to an ID of the other
// environment (article 68-2), which is on the trail; to its own it is both.
func TestOfOneEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.SharedIDs[0].Environment = policy.Development
	listed := func(cookie string) int {
		t.Helper()
		all, err := w.List(t.Context(), signin.Origin{}, cookie)
		w.must(err)
		return len(all)
	}
	tanaka := w.as("tanaka")
	if n := listed(tanaka); n != 2 {
		t.Errorf("an ID of production sees %d shared IDs, want 2", n)
	}
	_, err := w.checkOut(tanaka, "one", 30)
	w.refused(err, "wrong_environment")
	w.change(tanaka, func(by *approval.Approver) { by.Tied = authz.Tied{Of: policy.Development, Until: t0.AddDate(1, 0, 0)} })
	w.bind(w.signed["tanaka"].Person.ID, policy.Development, t0.AddDate(1, 0, 0))
	if n := listed(tanaka); n != 1 {
		t.Errorf("an ID of development sees %d shared IDs, want 1", n)
	}
	_, err = w.checkOut(tanaka, "two", 30)
	w.refused(err, "wrong_environment")
	if n := w.entries(`"action":"shared.refused"`, `"68-2"`); n != 2 {
		t.Errorf("%d refusals are on the trail", n)
	}
	g := w.out(tanaka, "one", 30)
	w.settle()
	w.works("one", g.Password, true)
	if !w.Any(approval.Holder{Person: w.signed["tanaka"].Person, Posts: []policy.PostID{policy.Staff}}) {
		t.Error("the page of shared IDs is not shown to whom there are some")
	}
}

// TestNothingOutlastsTheProject: a shared ID is given back with the project of whoever has
// it at the latest, and also while the directory is away (article 67-2(1)).
func TestNothingOutlastsTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	end := t0.Add(20 * time.Minute)
	tanaka, suzuki := w.as("tanaka"), w.as("suzuki")
	for _, login := range []string{"tanaka", "suzuki"} {
		w.change(login, func(by *approval.Approver) { by.Tied = authz.Tied{Of: policy.Production, Until: end} })
		w.bind(w.signed[login].Person.ID, policy.Production, end)
	}
	g, joined := w.out(tanaka, "two", 60), w.out(suzuki, "two", 60)
	if !g.EndsAt.Equal(end) || !joined.EndsAt.Equal(end) {
		t.Errorf("check-outs end at %v and %v, the project at %v", g.EndsAt, joined.EndsAt, end)
	}
	w.server.Away()
	w.clock.Advance(10 * time.Minute) // what is known of people is old
	w.must(w.Watch(t.Context()))
	w.state(g.Checkout, Active)
	w.bind(w.signed["tanaka"].Person.ID, policy.Production, w.clock.Now()) // completed
	w.must(w.Watch(t.Context()))
	w.state(g.Checkout, Revoked)
	if w.entries(`"action":"shared.revoked"`, "project_over") != 1 {
		t.Error("the trail does not say why")
	}
}
