package grant

import (
	"errors"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A browser is somebody with the cookie that they carry.
type browser struct {
	*world
	By
	cookie string
}

// at has somebody sign in at a browser of their own.
func (w *world) at(login string, acr policy.ACR) *browser {
	w.Helper()
	p, err := w.dir.Find(w.Context(), login)
	w.must(err)
	b := &browser{world: w}
	w.must(w.tx(func(tx *store.Tx) error {
		n, cookie, err := w.sessions.Begin(w.Context(), tx, session.Session{
			Person: p.ID, Login: login, Zone: policy.LGWAN, ACR: acr, AuthAt: w.clock.Now(), From: "10.2.0.9",
		})
		b.cookie = cookie
		b.By = By{
			Holder: approval.Holder{Person: p, Tied: authz.Untied}, Usable: true, ACR: acr, AuthAt: w.clock.Now(), FactorAt: t0.AddDate(-1, 0, 0),
			SessionID: n.ID, From: "10.2.0.9", Zone: policy.LGWAN, RequestID: "r1",
		}
		return err
	}))
	return b.fresh()
}

func (b *browser) fresh() *browser { b.By = b.afresh(b.By); return b }

// begin asks for a privilege, has it approved and activates it.
func (b *browser) begin(privilege string, m int) Lease {
	b.Helper()
	l, err := b.Ask(b.Context(), b.fresh().By, b.wish(privilege, m))
	b.must(err)
	b.decide("yamamoto", l, true)
	l, _, err = b.Activate(b.Context(), b.By, l.ID)
	b.must(err)
	b.carries(l)
	return l
}

// carries has the browser take the handle that a lease came with.
func (b *browser) carries(l Lease) {
	b.Helper()
	if l.Handle == "" || l.Handle == b.cookie {
		b.Fatalf("activated, and the handle is %q as before", l.Handle)
	}
	b.opens(b.cookie, false)
	b.cookie = l.Handle
	b.opens(b.cookie, true)
}

func (b *browser) opens(cookie string, want bool) {
	b.Helper()
	n, err := b.sessions.Load(b.Context(), cookie)
	if (err == nil) != want || err != nil && !errors.Is(err, session.ErrNone) || want && n.ID != b.SessionID {
		b.Errorf("a handle opens %q, %v; want %v", n.ID, err, want)
	}
}

func (b *browser) raised(want bool, when string) {
	b.Helper()
	b.must(b.sessions.Poll(b.Context()))
	b.stands(want, when)
}

// stands is raised without a poll before it.
func (b *browser) stands(want bool, when string) {
	b.Helper()
	if _, ok, err := b.sessions.Privileged(b.Context(), session.Session{ID: b.SessionID}); ok != want || err != nil {
		b.Errorf("%s privileged: %v, %v; want %v", when, ok, err, want)
	}
}

// TestPrivilegedSession: a lease begins with a new handle and in a privileged session
// (security.md section 2, row 16), which ends with the last of them by whatever way.
func TestPrivilegedSession(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(*world, *browser, Lease)
	}{
		{"given back", func(w *world, b *browser, l Lease) {
			_, err := w.End(w.Context(), b.fresh().By, l.ID, "")
			w.must(err)
			b.stands(false, "at once when it was given back,")
		}},
		{"taken away", func(w *world, b *browser, l Lease) {
			_, err := w.Revoke(w.Context(), w.as("sasaki"), l.ID, "攻撃の兆候")
			w.must(err)
			b.stands(false, "at once when it was taken away,")
		}},
		{"its time is over", func(w *world, _ *browser, l Lease) {
			w.clock.Advance(l.EndsAt().Sub(w.clock.Now()))
			w.must(w.Tidy(w.Context()))
		}},
		{"suspended", func(w *world, b *browser, _ Lease) {
			w.must(w.tx(func(tx *store.Tx) error {
				_, err := w.EndOf(w.Context(), tx, b.Person.ID, "yamada", "suspended")
				return err
			}))
		}},
		{"not lent any more", func(w *world, _ *browser, _ Lease) {
			p := *w.policy
			p.Privileges = nil
			w.policy = &p
			w.must(w.Watch(w.Context()))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.at("sato", policy.PHR)
			b.raised(false, "before it is activated")
			first := b.begin("claims", 10)
			b.raised(true, "activated,")
			second := b.begin("db-admin", 12)
			b.raised(true, "with a second one,")
			_, err := w.End(w.Context(), b.fresh().By, first.ID, "")
			w.must(err)
			b.raised(true, "with one given back,")
			tt.end(w, b, second)
			b.raised(false, "with the last over,")
			if n := w.count(`SELECT COUNT(*) FROM privileged_session WHERE ended_at = 0`); n != 0 {
				t.Errorf("%d are not written down as ended", n)
			}
			b.opens(b.cookie, true) // to write the record that is owed
			if n, m := w.entries(`"action":"session.elevated"`), w.entries(`"action":"session.lowered"`); n != 2 || m != 2 {
				t.Errorf("%d begun, %d ended on the trail", n, m)
			}
		})
	}
}

// TestRefusedActivationChangesNoHandle: what is refused, or fails, leaves the person
// with the handle that they have (contract: a refused step changes neither).
func TestRefusedActivationChangesNoHandle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.at("sato", policy.PHR)
	l, err := w.Ask(t.Context(), b.By, w.wish("db-admin", 10))
	w.must(err)
	if _, _, err := w.Activate(t.Context(), b.By, l.ID); err == nil {
		t.Fatal("activated before it was approved")
	}
	b.opens(b.cookie, true)
	w.decide("yamamoto", l, true)
	w.server.Away()
	if _, _, err := w.Activate(t.Context(), b.By, l.ID); why(err) != DirectoryAway {
		t.Fatalf("while the directory is away: %v", err)
	}
	b.raised(false, "not activated,")
	w.server.Back()
	b.opens(b.cookie, true)
	weak := b.By
	weak.ACR = policy.AAL1
	if _, _, err := w.Activate(t.Context(), weak, l.ID); err == nil {
		t.Fatal("activated by a password alone")
	}
	b.opens(b.cookie, true)
	w.clock.Advance(time.Second) // the effect that was turned round is undone
	w.settle()
	l, _, err = w.Activate(t.Context(), b.fresh().By, l.ID)
	w.must(err)
	b.carries(l)
	b.raised(true, "activated at last,")
	if l, err = w.Get(t.Context(), l.ID); err != nil || l.Handle != "" {
		t.Errorf("read again it shows the handle %q, %v", l.Handle, err)
	}
}

// TestPrivilegedElsewhere: a person is privileged in one place. Beginning in another
// takes what they hold along, and the browser before is left with its session.
func TestPrivilegedElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	here := w.at("sato", policy.PHR)
	first := here.begin("claims", 30)
	there := w.at("sato", policy.PHR)
	there.raised(false, "a second browser")
	second := there.begin("db-admin", 30)
	there.raised(true, "the second browser")
	here.raised(false, "the first browser")
	here.opens(here.cookie, true)
	if l := w.get(first); l.Session != there.SessionID || l.State(w.clock.Now()) != Active {
		t.Errorf("the first lease is %s in %s", l.State(w.clock.Now()), l.Session)
	}
	// The first browser is closed: nothing hangs on it any more.
	w.must(w.tx(func(tx *store.Tx) error { return w.sessions.End(t.Context(), tx, here.SessionID, "signed out") }))
	w.must(w.Watch(t.Context()))
	w.isState(first, Active)
	w.isState(second, Active)
	w.must(w.tx(func(tx *store.Tx) error { return w.sessions.End(t.Context(), tx, there.SessionID, "signed out") }))
	w.must(w.Watch(t.Context()))
	w.isState(first, Ended)
	w.isState(second, Ended)
}

// TestPrivilegedCarriedToAWeaker: what goes along to a session whose sign-in is weaker
// than it asks for says so to whoever decides, and each move is on the trail.
func TestPrivilegedCarriedToAWeaker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range w.policy.Privileges {
		if w.policy.Privileges[i].ID == "claims" {
			w.policy.Privileges[i].ACR = policy.PHR
		}
	}
	here := w.at("sato", policy.PHR)
	first := here.begin("claims", 30)
	there := w.at("sato", policy.AAL2)
	second := there.begin("db-admin", 30)
	w.must(w.poll(t.Context()))
	live, err := w.Live(t.Context(), there.Person)
	w.must(err)
	if len(live) != 2 {
		t.Fatalf("lives with %+v", live)
	}
	for _, g := range live {
		if want := g.Lease == second.ID; g.Session != there.SessionID || Meets(g.ACR, policy.AAL2, false) != want || !Meets(g.ACR, policy.PHR, false) {
			t.Errorf("%s asks for %q in %s", g.Privilege, g.ACR, g.Session)
		}
	}
	next := w.at("sato", policy.AAL1)
	w.must(w.tx(func(tx *store.Tx) error {
		return w.Succeed(t.Context(), tx, there.SessionID, session.Session{ID: next.SessionID, Person: next.Person.ID, ACR: policy.AAL1})
	}))
	for _, l := range []Lease{first, second} {
		if got := w.get(l); got.Session != next.SessionID {
			t.Errorf("%s is in %s", l.Privilege, got.Session)
		}
	}
	if n := w.entries(`"action":"lease.moved"`); n != 3 {
		t.Errorf("%d moves on the trail, want 3", n)
	}
}

// TestPrivilegedReadiedAndWeaker: what a borrower readied with a strong sign-in is not
// started by the second person once they have signed in more weakly there, or are gone.
func TestPrivilegedReadiedAndWeaker(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		acr  policy.ACR // of the sign-in after; "" for none
		want bool
	}{
		{"as strongly", policy.PHR, true},
		{"more weakly", policy.AAL2, false},
		{"not at all", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range w.policy.Privileges {
				w.policy.Privileges[i].ACR = policy.PHR
			}
			b, other := w.at("sato", policy.PHR), w.at("takahashi", policy.PHR)
			l := w.readied(b.By)
			next := b
			if tt.acr != "" {
				next = w.at("sato", tt.acr)
			}
			w.must(w.tx(func(tx *store.Tx) error {
				if err := w.sessions.End(t.Context(), tx, b.SessionID, "signed in again"); err != nil || tt.acr == "" {
					return err
				}
				return w.Succeed(t.Context(), tx, b.SessionID, session.Session{ID: next.SessionID, Person: next.Person.ID, ACR: tt.acr})
			}))
			got, err := w.Witness(t.Context(), other.By, l.ID)
			if tt.want {
				w.must(err)
				if got.Session != next.SessionID {
					t.Errorf("started in %s", got.Session)
				}
				return
			}
			if why(err) != WrongState || w.get(l).State(w.clock.Now()) != Approved {
				t.Errorf("the second person is answered %v, and the lease is %s", err, w.get(l).State(w.clock.Now()))
			}
		})
	}
}

// readied is a lease of two persons whose borrower has said that they begin.
func (w *world) readied(by By) Lease {
	w.Helper()
	l, err := w.Ask(w.Context(), by, w.wish("pair", 30))
	w.must(err)
	w.decide("yamamoto", l, true)
	l, _, err = w.Activate(w.Context(), by, l.ID)
	w.must(err)
	return l
}

// TestWitnessOfOneWhoLeaves: the borrower's session ends while the directory is told.
// The second person hears of that, and not that they themselves are signed out.
func TestWitnessOfOneWhoLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, other := w.at("sato", policy.PHR), w.at("takahashi", policy.PHR)
	l := w.readied(b.By)
	w.Stop = func(p string) error {
		if p != PointApplied {
			return nil
		}
		return w.tx(func(tx *store.Tx) error { return w.sessions.End(t.Context(), tx, b.SessionID, "signed out") })
	}
	if _, err := w.Witness(t.Context(), other.By, l.ID); why(err) != WrongState {
		t.Errorf("the second person is answered %v", err)
	}
	w.isState(l, Approved)
}

// TestPrivilegedTogether: of two people the borrower is given a new handle and the
// privileged session; the second person's session stays as it was.
func TestPrivilegedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, other := w.at("sato", policy.PHR), w.at("takahashi", policy.PHR)
	l := w.readied(b.By)
	b.carries(l)
	b.raised(false, "waiting for the second person,")
	l, err := w.Witness(t.Context(), other.By, l.ID)
	w.must(err)
	if l.Handle != "" {
		t.Error("the second person was given a handle")
	}
	b.opens(b.cookie, true)
	other.opens(other.cookie, true)
	b.raised(true, "begun together, the borrower")
	other.raised(false, "the second person")
}

// TestPrivilegedWithoutApproval: also what nobody approved begins with a new handle.
func TestPrivilegedWithoutApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.at("sato", policy.PHR)
	wish := w.wish("claims", 10)
	wish.Key = "k1"
	l, _, err := w.Emergency(t.Context(), b.By, wish)
	w.must(err)
	b.carries(l)
	b.raised(true, "taken without approval,")
	again, _, err := w.Emergency(t.Context(), b.By, wish)
	if err != nil || again.ID != l.ID || again.Handle != "" {
		t.Errorf("asked again: %q, %v", again.Handle, err)
	}
	b.opens(b.cookie, true)
}

// TestPrivilegedAnew: whoever signs in again in the same browser goes on as they were,
// if that sign-in is one by which they could have begun.
func TestPrivilegedAnew(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		acr  policy.ACR
		amr  []string
		idle bool
		want bool
	}{
		{"as strongly", policy.PHR, []string{"hwk"}, false, true},
		{"after it idled out", policy.PHR, []string{"hwk"}, true, true},
		{"more weakly", policy.AAL1, []string{"pwd"}, false, false},
		{"with a copied key where a bound one is asked for", policy.PHR, []string{"swk"}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range w.policy.Privileges {
				w.policy.Privileges[i].ACR = policy.PHR
			}
			b := w.at("sato", policy.PHR)
			l := b.begin("db-admin", 60)
			if tt.idle {
				w.clock.Advance(15 * time.Minute)
				b.raised(false, "idled out,")
			}
			next := w.at("sato", tt.acr)
			w.must(w.tx(func(tx *store.Tx) error {
				if err := w.sessions.End(t.Context(), tx, b.SessionID, "signed in again"); err != nil {
					return err
				}
				return w.Succeed(t.Context(), tx, b.SessionID, session.Session{ID: next.SessionID, Person: next.Person.ID, ACR: tt.acr, AMR: tt.amr})
			}))
			next.raised(tt.want, "signed in again,")
			b.raised(false, "the session before")
			if got := w.get(l); got.Session != next.SessionID || got.State(w.clock.Now()) != Active {
				t.Errorf("the lease is %s in %s", got.State(w.clock.Now()), got.Session)
			}
		})
	}
}

// TestIdleEndsNoWorkElsewhere: the privileged session that idles out takes what is
// given at the gate with it, and not what is given in the directory: the gate does not
// see that being used.
func TestIdleEndsNoWorkElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.at("sato", policy.PHR)
	l := b.begin("db-admin", 60)
	for range 2 {
		w.clock.Advance(10 * time.Minute)
		w.must(w.Watch(t.Context()))
	}
	b.raised(false, "twenty minutes unused,")
	w.isState(l, Active)
	w.inGroup(dbAdmins, "sato")
	w.clock.Advance(11 * time.Minute) // and then the session itself is over
	w.must(w.Watch(t.Context()))
	w.settle()
	w.isState(l, Ended)
	w.inGroup(dbAdmins)
}
