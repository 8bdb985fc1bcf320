package people_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/oidc"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/policy/store"
)

// shares stands for what applications hold of sessions, which authn/oidc tests.
type shares struct {
	held  []oidc.Share
	ended []string
}

func (s *shares) Shares(_ context.Context, client, login string) ([]oidc.Share, error) {
	var out []oidc.Share
	for _, one := range s.held {
		if one.Client == client && (login == "" || one.Login == login) {
			out = append(out, one)
		}
	}
	return out, nil
}

func (s *shares) EndShare(_ context.Context, _ *store.Tx, sid, _ string) (bool, error) {
	for _, one := range s.ended {
		if one == sid {
			return false, nil
		}
	}
	s.ended = append(s.ended, sid)
	return true, nil
}

// withApplications gives the policy two applications and a program of its own.
func withApplications(w *world) *shares {
	back := []string{"https://a.example/cb"}
	w.policy.Applications = []policy.Application{
		{ID: "bunsho", Zone: policy.LGWAN, Class: 4},
		{ID: "kyuyo", Zone: policy.LGWAN, Class: 2, Paths: []policy.PathRule{{Path: "/koza", ACR: policy.PHR}}},
		{ID: "juki", Zone: policy.MyNumber, Class: 1},
	}
	w.policy.Clients = []policy.Client{
		{ID: "kyuyo-web", Application: "kyuyo", RedirectURIs: back}, {ID: "chizu", Zone: policy.LGWAN, Class: 4, RedirectURIs: back},
	}
	s := &shares{}
	w.Service = people.New(people.House{In: w.in, Account: w.Account, Directory: w.dir, Stock: w.Stock, Shares: s})
	return s
}

// inside is a session of somebody at an application's host.
func (w *world) inside(t testing.TB, login, app string) (cookie, id string) {
	t.Helper()
	gate := w.session(t, login, policy.AAL2)
	code, err := w.in.Sessions.HandoverCode(ctx, gate, app, app+".example")
	must(t, err)
	cookie, err = w.in.Sessions.RedeemHandover(ctx, code, app+".example", "10.2.0.9")
	must(t, err)
	n, err := w.in.Sessions.Load(ctx, cookie)
	must(t, err)
	return cookie, n.ID
}

// TestWhoIsInside lists who is in an application, through its host and its
// programs, and ends one of them there and nowhere else.
func TestWhoIsInside(t *testing.T) {
	w := newWorld(t)
	held := withApplications(w)
	cookie, id := w.inside(t, "tanaka", "kyuyo")
	other, _ := w.inside(t, "suzuki", "bunsho")
	held.held = []oidc.Share{{SID: "sid1", Client: "kyuyo-web", Login: "suzuki", BeganAt: w.clock.Now().Add(time.Minute)}}
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO oidc_session (sid, client_id, session_id, person_id, login, began_at) VALUES ('sid1', 'kyuyo-web', 's', 'p', 'suzuki', 1)`)
		return err
	}))
	admin := w.session(t, "admin", policy.PHR)

	d, err := w.Application(ctx, w.origin, admin, "kyuyo", false, "")
	must(t, err)
	if len(d.Inside) != 2 || d.Inside[0].ID != "sid1" || d.Inside[0].Client != "kyuyo-web" || d.Inside[1].ID != id || d.Inside[1].Login != "tanaka" || !d.MayEnd.OK() {
		t.Fatalf("%+v", d.Inside)
	}
	if d, err = w.Application(ctx, w.origin, admin, "kyuyo", false, "TANAKA"); err != nil || len(d.Inside) != 1 {
		t.Errorf("one person's: %+v, %v", d.Inside, err)
	}
	all, err := w.Applications(ctx, w.origin, admin)
	must(t, err)
	if len(all) != 4 || all[0].In != 1 || all[1].In != 1 || len(all[1].Clients) != 1 || all[3].Own != "chizu" {
		t.Errorf("%+v", all)
	}
	for what, err := range map[string]error{
		"no such application": second(w.Application(ctx, w.origin, admin, "nowhere", false, "")),
		"a program as one":    second(w.Application(ctx, w.origin, admin, "chizu", false, "")),
		"one as a program":    second(w.Application(ctx, w.origin, admin, "kyuyo", true, "")),
		"another's session":   w.EndInside(ctx, w.origin, admin, "bunsho", false, id),
		"another's share":     w.EndInside(ctx, w.origin, admin, "chizu", true, "sid1"),
		"no session":          w.EndInside(ctx, w.origin, admin, "kyuyo", false, "x"),
	} {
		if !errors.Is(err, people.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}

	must(t, w.EndInside(ctx, w.origin, admin, "kyuyo", false, id))
	if w.alive(t, cookie) || !w.alive(t, other) {
		t.Error("not that session alone has ended")
	}
	must(t, w.EndInside(ctx, w.origin, admin, "kyuyo", false, "sid1"))
	if len(held.ended) != 1 || held.ended[0] != "sid1" {
		t.Errorf("ended %v", held.ended)
	}
	if n := w.entries(t, "application.session_ended", "kyuyo", "tanaka"); n != 1 {
		t.Errorf("%d entries of tanaka's", n)
	}
	for _, again := range []string{id, "sid1"} {
		if err := w.EndInside(ctx, w.origin, admin, "kyuyo", false, again); !errors.Is(err, people.ErrNotFound) {
			t.Errorf("%s twice: %v", again, err)
		}
	}
	if shown, err := w.Show(ctx, w.origin, admin, "tanaka"); err != nil || len(shown.Past) != 1 || shown.Past[0].What != "kyuyo" {
		t.Errorf("what was done to tanaka: %+v, %v", shown.Past, err)
	}
}

// TestApplicationsAreForOffice: who has no post sees nothing of it, who audits
// ends nothing, and an end takes a strong and fresh proof.
func TestApplicationsAreForOffice(t *testing.T) {
	w := newWorld(t)
	withApplications(w)
	_, id := w.inside(t, "tanaka", "kyuyo")
	var denied *people.Denied
	var up *account.StepUp
	staff, weak := w.session(t, "suzuki", policy.PHR), w.session(t, "admin", policy.AAL1)
	for what, err := range map[string]error{
		"listing":  second(w.Applications(ctx, w.origin, staff)),
		"looking":  second(w.Application(ctx, w.origin, staff, "kyuyo", false, "")),
		"trying":   second(w.TryAccess(ctx, w.origin, staff, people.Trial{})),
		"choosing": second(w.TerminalChoices(ctx, w.origin, staff)),
		"ending":   w.EndInside(ctx, w.origin, staff, "kyuyo", false, id),
		"ending, by who audits": func() error {
			return w.EndInside(ctx, w.origin, w.session(t, "auditor", policy.PHR), "kyuyo", false, id)
		}(),
	} {
		if !errors.As(err, &denied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"listing": second(w.Applications(ctx, w.origin, weak)),
		"trying":  second(w.TryAccess(ctx, w.origin, weak, people.Trial{})),
		"ending":  w.EndInside(ctx, w.origin, w.session(t, "admin", policy.AAL2), "kyuyo", false, id),
	} {
		if !errors.As(err, &up) {
			t.Errorf("%s, too weak: %v", what, err)
		}
	}
	if _, err := w.Applications(ctx, w.origin, ""); !errors.Is(err, session.ErrNone) {
		t.Errorf("nobody: %v", err)
	}
	for _, login := range []string{"admin", "officer", "auditor"} {
		if _, err := w.Application(ctx, w.origin, w.session(t, login, policy.AAL2), "kyuyo", false, ""); err != nil {
			t.Errorf("%s: %v", login, err)
		}
	}
}

// TestTryAccess: the dry run says what Decide would, for who is asked about, and
// that it was asked about another is on the trail.
func TestTryAccess(t *testing.T) {
	w := newWorld(t)
	withApplications(w)
	admin := w.session(t, "admin", policy.AAL2)
	pwd, code := []authn.Method{authn.Password}, []authn.Method{authn.Password, authn.OTP}
	try := func(trial people.Trial) map[string]authz.Reason {
		t.Helper()
		got, err := w.TryAccess(ctx, w.origin, admin, trial)
		must(t, err)
		out := map[string]authz.Reason{}
		for _, o := range got.Openings {
			out[o.Application.ID] = o.Verdict.Reason
		}
		return out
	}
	for _, tt := range []struct {
		name  string
		trial people.Trial
		want  map[string]authz.Reason
	}{
		{"a password", people.Trial{Login: "tanaka", Zone: policy.LGWAN, Methods: pwd},
			map[string]authz.Reason{"bunsho": authz.Allowed, "kyuyo": authz.TooWeak, "chizu": authz.Allowed, "juki": authz.WrongZones}},
		{"two factors", people.Trial{Login: "tanaka", Zone: policy.LGWAN, Methods: code}, map[string]authz.Reason{"kyuyo": authz.Allowed}},
		{"long ago", people.Trial{Login: "tanaka", Zone: policy.LGWAN, Methods: code, Age: 10 * time.Hour}, map[string]authz.Reason{"bunsho": authz.NoSession}},
		{"from outside", people.Trial{Login: "tanaka", Outside: true, Methods: code}, map[string]authz.Reason{"bunsho": authz.NoSession}},
		{"oneself", people.Trial{Zone: policy.LGWAN, Methods: code}, map[string]authz.Reason{"kyuyo": authz.Allowed}},
	} {
		got := try(tt.trial)
		for id, want := range tt.want {
			if got[id] != want {
				t.Errorf("%s: %s is %q, want %q", tt.name, id, got[id], want)
			}
		}
	}
	if n := w.entries(t, "access.tried", "tanaka"); n != 4 {
		t.Errorf("%d entries of four that were about another", n)
	}
	if n := w.entries(t, "access.tried", "admin ("); n != 0 {
		t.Errorf("%d entries about oneself", n)
	}

	// An ID of development, whose projects count though every permit is supposed.
	w.policy.Applications[1].Environment = policy.Development
	tied := authz.Tie{Project: "kyuyo", Environment: policy.Development, Until: w.clock.Now().Add(time.Hour)}
	before := w.Service
	w.Service = people.New(people.House{In: w.in, Account: w.Account, Directory: w.dir, Stock: w.Stock, Permits: projects{tie: tied}})
	for _, permits := range []bool{false, true} {
		got := try(people.Trial{Login: "tanaka", Zone: policy.LGWAN, Methods: code, Permits: permits})
		if got["bunsho"] != authz.WrongEnvironment || got["chizu"] != authz.WrongEnvironment || got["kyuyo"] != authz.Allowed {
			t.Errorf("an ID of development, permits supposed: %t: %v", permits, got)
		}
	}
	w.Service, w.policy.Applications[1].Environment = before, ""

	// Both zones served: what crosses needs a permit, and says so.
	w.policy.Zones = append(w.policy.Zones, policy.Zone{ID: policy.MyNumber, SignInACR: policy.AAL1, IdleEnd: time.Hour, AbsoluteEnd: time.Hour, CounterIdleEnd: time.Minute})
	if got := try(people.Trial{Login: "tanaka", Zone: policy.LGWAN, Methods: code}); got["juki"] != authz.NoCrossing {
		t.Errorf("juki is %q", got["juki"])
	}
	if got := try(people.Trial{Login: "tanaka", Zone: policy.LGWAN, Methods: code, Permits: true}); got["juki"] != authz.Allowed {
		t.Errorf("juki with a permit is %q", got["juki"])
	}
	// A dedicated terminal's own sign-in stands in for the second factor.
	w.policy.Terminals = []policy.Terminal{{ID: "juki-01", Zone: policy.MyNumber, Class: policy.TerminalDedicated}}
	if got := try(people.Trial{Login: "tanaka", Zone: policy.LGWAN, Methods: pwd, Terminal: "juki-01"}); got["juki"] != authz.Allowed {
		t.Errorf("juki at its terminal is %q", got["juki"])
	}
	var bad *people.Invalid
	if _, err := w.TryAccess(ctx, w.origin, admin, people.Trial{Methods: pwd, Zone: policy.LGWAN, Terminal: "nowhere"}); !errors.As(err, &bad) || bad.Field != "terminal" {
		t.Errorf("an unknown terminal: %v", err)
	}
	if _, err := w.TryAccess(ctx, w.origin, admin, people.Trial{Login: "nobody", Methods: pwd}); !errors.Is(err, people.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	// What Sekisho recorded against somebody closes everything.
	w.record(t, "suzuki", standing.Dormant)
	if got := try(people.Trial{Login: "suzuki", Zone: policy.LGWAN, Methods: code}); got["bunsho"] != authz.Closed {
		t.Errorf("a dormant ID: %q", got["bunsho"])
	}
}

// projects are a register of permits in which there are none, and whoever asks is bound to
// a project.
type projects struct {
	people.Permits
	tie authz.Tie
}

func (p projects) Fill(_ context.Context, f *authz.Facts) error {
	f.Ties = append(f.Ties, p.tie)
	return nil
}

func second[T any](_ T, err error) error { return err }
