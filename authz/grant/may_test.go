package grant

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "db-admin", 30)
	weak := func(by By) By { by.ACR = policy.AAL1; return by }
	old := func(by By) By { by.AuthAt = w.clock.Now().Add(-9 * time.Hour); return by }
	aal2 := func(by By) By { by.ACR = policy.AAL2; return by }
	out := w.signIn("takahashi")
	w.must(w.tx(func(tx *store.Tx) error { return w.sessions.End(t.Context(), tx, out.SessionID, "signed out") }))
	suspended := w.as("ito")
	w.must(w.tx(func(tx *store.Tx) error {
		return standing.Set(t.Context(), tx, suspended.Person.ID, standing.Suspended, w.clock.Now(), time.Time{}, "x", "y")
	}))
	for _, tt := range []struct {
		name string
		do   func() error
		want any // a Reason, *account.StepUp or an error
	}{
		{"staff asks", func() error { _, err := w.Ask(t.Context(), w.as("tanaka"), w.wish("db-admin", 15)); return err }, NotEligible},
		{"an auditor asks", func() error { _, err := w.Ask(t.Context(), w.as("inoue"), w.wish("db-admin", 15)); return err }, NotEligible},
		{"with one factor", func() error {
			_, err := w.Ask(t.Context(), weak(w.as("takahashi")), w.wish("db-admin", 15))
			return err
		}, &account.StepUp{}},
		{"signed in long ago", func() error { _, err := w.Ask(t.Context(), old(w.as("takahashi")), w.wish("db-admin", 15)); return err }, &account.StepUp{}},
		{"signed out meanwhile", func() error { _, err := w.Ask(t.Context(), out, w.wish("db-admin", 15)); return err }, session.ErrNone},
		{"suspended meanwhile", func() error { _, err := w.Ask(t.Context(), suspended, w.wish("db-admin", 15)); return err }, session.ErrNone},
		{"nobody", func() error { _, err := w.Ask(t.Context(), By{}, w.wish("db-admin", 15)); return err }, session.ErrNone},
		{"what is not lent", func() error { _, err := w.Ask(t.Context(), w.as("sato"), w.wish("root", 15)); return err }, UnknownPrivilege},
		{"another one", func() error { _, err := w.Ask(t.Context(), w.as("sato"), w.wish("db-admin", 15)); return err }, HasOne},
		{"another's activation", func() error { _, _, err := w.Activate(t.Context(), w.as("takahashi"), l.ID); return err }, NotTheirs},
		{"another's end", func() error { _, err := w.End(t.Context(), w.as("yamamoto"), l.ID, ""); return err }, NotTheirs},
		{"another's extension", func() error { _, err := w.Extend(t.Context(), w.as("takahashi"), l.ID, time.Minute, ""); return err }, NotTheirs},
		{"another's report", func() error { _, err := w.Report(t.Context(), w.as("takahashi"), l.ID, "x"); return err }, NotTheirs},
		{"another's cancellation", func() error { _, err := w.Cancel(t.Context(), w.as("takahashi"), l.ID, ""); return err }, NotTheirs},
		{"revoked by a colleague", func() error { _, err := w.Revoke(t.Context(), w.as("takahashi"), l.ID, "x"); return err }, NoPost},
		{"revoked by an officer who does not approve it", func() error { _, err := w.Revoke(t.Context(), w.as("kobayashi"), l.ID, "x"); return err }, NoPost},
		{"revoked by an auditor", func() error { _, err := w.Revoke(t.Context(), w.as("inoue"), l.ID, "x"); return err }, NoPost},
		{"revoked without a reason", func() error { _, err := w.Revoke(t.Context(), w.as("yamamoto"), l.ID, " "); return err }, BadReason},
		{"revoked after a weak sign-in", func() error { _, err := w.Revoke(t.Context(), aal2(w.as("yamamoto")), l.ID, "x"); return err }, &account.StepUp{}},
		{"a lease there is not", func() error { _, err := w.End(t.Context(), w.as("sato"), "nonesuch", ""); return err }, ErrNotFound},
		{"judged without being taken", func() error { _, err := w.Judge(t.Context(), w.as("yoshida"), l.ID, "x"); return err }, NotJudged},
		{"judged by a manager", func() error { _, err := w.Judge(t.Context(), w.as("yamamoto"), l.ID, "x"); return err }, NoPost},
		{"countersigned by a colleague", func() error { _, err := w.Countersign(t.Context(), w.as("takahashi"), l.ID, "x"); return err }, NoPost},
		{"countersigned by oneself", func() error { _, err := w.Countersign(t.Context(), w.as("sato"), l.ID, "x"); return err }, OwnLease},
		{"witnessed where nobody asks for it", func() error { _, err := w.Witness(t.Context(), w.as("takahashi"), l.ID); return err }, WrongState},
		{"witnessed by staff", func() error { _, err := w.Witness(t.Context(), w.as("tanaka"), l.ID); return err }, NotEligible},
	} {
		err := tt.do()
		var step *account.StepUp
		switch want := tt.want.(type) {
		case Reason:
			if why(err) != want {
				t.Errorf("%s: %v, want %s", tt.name, err, want)
			}
		case *account.StepUp:
			if !errors.As(err, &step) {
				t.Errorf("%s: %v, want a fresh sign-in asked for", tt.name, err)
			}
		case error:
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", tt.name, err, want)
			}
		}
	}
	if v := w.get(l).Version(); v != l.Version() {
		t.Errorf("the lease changed: version %d, was %d", v, l.Version())
	}
	before := w.entries(`"action":"lease.refused"`, "not_eligible")
	for range 3 {
		_, err := w.Ask(t.Context(), w.as("tanaka"), w.wish("db-admin", 15))
		w.refused(err, NotEligible)
	}
	if n := w.entries(`"action":"lease.refused"`, "not_eligible"); n != before || before == 0 {
		t.Errorf("%d refusals on the trail after %d, want one a minute each", n, before)
	}
	for _, login := range []string{"yamamoto", "yoshida", "sasaki"} {
		if err := w.MayRevoke(w.as(login), l); err != nil {
			t.Errorf("%s may not revoke: %v", login, err)
		}
	}
	l, err := w.Revoke(t.Context(), w.as("sasaki"), l.ID, "攻撃の兆候")
	w.must(err)
	w.settle()
	w.isState(l, Revoked)
	w.inGroup(dbAdmins)
	if w.told("sato", notice.LeaseRevoked) != 1 {
		t.Error("the borrower was not told")
	}
}

// TestEligibilityIsAskedAgain: at activation, and while a lease lives.
func TestEligibilityIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kept := w.policy
	narrowed := func() {
		p := *kept
		p.Privileges = slices.Clone(kept.Privileges)
		for i := range p.Privileges {
			p.Privileges[i].Eligible = policy.Eligible{Persons: []string{"takahashi"}}
		}
		w.policy = &p
	}
	l := w.approved("sato", "db-admin", 15)
	narrowed()
	_, _, err := w.Activate(t.Context(), w.as("sato"), l.ID)
	w.refused(err, NotEligible)
	w.inGroup(dbAdmins)
	w.policy = kept
	l, _, err = w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	narrowed()
	if w.lives("sato") {
		t.Error("the gate goes by the lease of somebody who may not borrow it any more")
	}
	w.must(w.Watch(t.Context()))
	w.settle()
	w.isState(l, Revoked)
	w.inGroup(dbAdmins)
	// A shorter longest time in force caps again what was approved under another.
	w.policy = kept
	l = w.approved("takahashi", "db-admin", 60)
	p := *kept
	p.Privileges = slices.Clone(kept.Privileges)
	p.Privileges[0].Longest = 10 * time.Minute
	w.policy = &p
	l, _, err = w.Activate(t.Context(), w.as("takahashi"), l.ID)
	w.must(err)
	if got := l.EndsAt().Sub(w.clock.Now()); got != 10*time.Minute {
		t.Errorf("lent for %v, want no longer than the policy in force allows", got)
	}
}

// TestOffTheTable: what is asked for a lease that is no more waits for nobody, and
// nobody is told that it was approved.
func TestOffTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	off := func(what, matter string) {
		t.Helper()
		v, err := w.matters.Get(t.Context(), matter)
		w.must(err)
		if v.At() != approval.Cancelled {
			t.Errorf("%s: the request is %s", what, v.At())
		}
	}
	l := w.ask("sato", "db-admin", 15)
	_, err := w.Revoke(t.Context(), w.as("yamamoto"), l.ID, "やはり待つ")
	w.must(err)
	off("taken back by who oversees it", l.Matter)

	l = w.ask("sato", "db-admin", 15)
	_, _, err = w.Emergency(t.Context(), w.as("sato"), w.wish("db-admin", 10))
	w.must(err)
	off("taken without approval", l.Matter)

	l = w.active("takahashi", "db-admin", 10)
	l, err = w.Extend(t.Context(), w.as("takahashi"), l.ID, 5*time.Minute, "まだ終わらない")
	w.must(err)
	_, err = w.End(t.Context(), w.as("takahashi"), l.ID, "")
	w.must(err)
	off("given back", l.Extension.Matter)

	if n := w.told("sato", notice.LeaseApproved); n != 0 {
		t.Errorf("told %d times that it was approved", n)
	}
}

// TestStandingDecision: what was decided beforehand is approved at once.
func TestStandingDecision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Approval.Standing = []policy.StandingDecision{{
		ID: "night", Kinds: []string{"elevation"}, Subjects: []string{"db-admin"}, From: "2026-05-01", Until: "2026-07-01",
		Hours: []policy.Hours{{From: "17:15", Until: "24:00"}}, Decision: "例情第9号", Reason: policy.Words{JA: "夜間", EN: "nights"},
	}}
	l, err := w.Ask(t.Context(), w.as("sato"), w.wish("db-admin", 15))
	w.must(err)
	w.isState(l, Approved)
	if l.State(w.clock.Now()) != Approved {
		t.Errorf("answered as %s", l.State(w.clock.Now()))
	}
	l, _, err = w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	w.isState(l, Active)
}

// TestListAndOffers: what pages and API show.
func TestListAndOffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "db-admin", 15)
	w.clock.Advance(time.Second)
	other := w.ask("takahashi", "claims", 15)
	ids := func(f Filter) string {
		t.Helper()
		all, err := w.List(t.Context(), f)
		w.must(err)
		var out []string
		for _, l := range all {
			out = append(out, l.ID)
		}
		return strings.Join(out, " ")
	}
	for _, tt := range []struct {
		name string
		f    Filter
		want string
	}{
		{"all, the last first", Filter{}, other.ID + " " + l.ID},
		{"one", Filter{Limit: 1}, other.ID},
		{"the next", Filter{Before: other.AskedAt}, l.ID},
		{"theirs", Filter{Person: w.id("sato")}, l.ID},
		{"of a privilege", Filter{Privilege: "claims"}, other.ID},
		{"active", Filter{State: Active}, l.ID},
		{"over", Filter{State: Expired}, ""},
		{"owing", Filter{Owing: true}, l.ID},
	} {
		if got := ids(tt.f); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	w.clock.Advance(15 * time.Minute)
	if got := ids(Filter{State: Expired}); got != l.ID {
		t.Errorf("what is over by itself is not listed as over: %q", got)
	}
	offers, err := w.Offers(t.Context(), w.as("takahashi"))
	w.must(err)
	got := map[string]Offer{}
	for _, o := range offers {
		got[o.Privilege.ID] = o
	}
	if len(offers) != len(w.policy.Privileges)-1 || got["trial"].Privilege.ID != "" || got["db-admin"].Refused != nil || why(got["claims"].Refused) != HasOne || why(got["pair"].AtOnce) != NoEmergency {
		t.Errorf("%+v", got)
	}
	if offers, err := w.Offers(t.Context(), w.as("tanaka")); err != nil || len(offers) != 0 {
		t.Errorf("staff is offered %v, %v", offers, err)
	}
}
