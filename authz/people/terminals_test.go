package people_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
)

// publicKey is a terminal's, in PEM.
func publicKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func counter(id string) terminal.Terminal {
	return terminal.Terminal{ID: id, Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口" + id}}
}

// onTerminals are the acts that have a terminal for their object.
var onTerminals = map[authz.Act]func(w *world, cookie, id string) error{
	authz.EnrolTerminal: func(w *world, cookie, id string) error {
		return w.EnrolTerminal(ctx, w.origin, cookie, counter(id), "")
	},
	authz.LoseTerminal:   func(w *world, cookie, id string) error { return w.LoseTerminal(ctx, w.origin, cookie, id) },
	authz.RemoveTerminal: func(w *world, cookie, id string) error { return w.RemoveTerminal(ctx, w.origin, cookie, id) },
}

func TestWhoMayNotDoToTerminals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.EnrolTerminal(ctx, w.origin, w.session(t, "admin", policy.PHR), counter("c1"), publicKey(t)))
	for act, do := range onTerminals {
		for _, tt := range []struct {
			name, cookie string
			check        func(error) bool
		}{
			{"nobody", "", is(session.ErrNone)},
			{"staff", w.session(t, "tanaka", policy.PHR), denied(authz.NoPost)},
			{"an auditor", w.session(t, "auditor", policy.PHR), denied(authz.ReadsOnly)},
			{"two factors that can be phished", w.session(t, "admin", policy.AAL2), stepUp(policy.PHR)},
		} {
			if err := do(w, tt.cookie, "c1"); !tt.check(err) {
				t.Errorf("%s by %s: %v", act, tt.name, err)
			}
		}
	}
	officer := w.session(t, "officer", policy.PHR)
	for _, act := range []authz.Act{authz.EnrolTerminal, authz.RemoveTerminal} {
		if err := onTerminals[act](w, officer, "c1"); !denied(authz.NoPost)(err) {
			t.Errorf("%s by who approves: %v", act, err)
		}
	}
	must(t, w.LoseTerminal(ctx, w.origin, officer, "c1"))
}

func TestEnrolTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin, key := w.session(t, "admin", policy.PHR), publicKey(t)
	try := func(of terminal.Terminal, key, field string) {
		t.Helper()
		var bad *terminal.Invalid
		if err := w.EnrolTerminal(ctx, w.origin, admin, of, key); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("enrolling %+v: %v, want %s refused", of, err, field)
		}
	}
	must(t, w.EnrolTerminal(ctx, w.origin, admin, counter("c1"), key))
	try(counter("c1"), "", "id")
	try(counter("c2"), key, "public_key")
	dedicated := counter("d1")
	dedicated.Class = policy.TerminalDedicated
	try(dedicated, "", "class")
	all, err := w.Terminals(ctx, w.origin, w.session(t, "auditor", policy.AAL2))
	if err != nil || len(all) != 1 || all[0].ID != "c1" || all[0].AddedBy != "admin" || all[0].Key == "" || all[0].Who != "" {
		t.Errorf("the register: %+v, %v", all, err)
	}
	if w.entries(t, `"actor":"admin"`, `"action":"terminal.enrolled"`, `"object":"c1"`, `"class":"counter"`) != 1 || w.entries(t, `"terminal.enrolled"`) != 1 {
		t.Error("the trail does not tell of it, or of what was refused")
	}
}

// TestTakenAwayTerminal: whatever is open on a terminal ends with it, and only
// that; without the trail nothing does.
func TestTakenAwayTerminal(t *testing.T) {
	t.Parallel()
	for act, action := range map[authz.Act]string{authz.LoseTerminal: "terminal.lost", authz.RemoveTerminal: "terminal.removed"} {
		t.Run(string(act), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			admin := w.session(t, "admin", policy.PHR)
			must(t, w.EnrolTerminal(ctx, w.origin, admin, counter("c1"), publicKey(t)))
			must(t, w.EnrolTerminal(ctx, w.origin, admin, counter("c2"), publicKey(t)))
			there, elsewhere, desk := w.session(t, "tanaka", policy.AAL2, at("c1")), w.session(t, "suzuki", policy.AAL2, at("c2")), w.session(t, "tanaka", policy.AAL2)
			mend := w.breakTrail(t, action)
			if err := onTerminals[act](w, admin, "c1"); err == nil || !w.alive(t, there) {
				t.Errorf("done without the trail: %v", err)
			}
			if all, err := w.Terminals(ctx, w.origin, admin); err != nil || len(all) != 2 || !all[0].LostAt.IsZero() {
				t.Errorf("the register without the trail: %+v, %v", all, err)
			}
			mend()
			must(t, onTerminals[act](w, admin, "c1"))
			if w.alive(t, there) || !w.alive(t, elsewhere) || !w.alive(t, desk) {
				t.Errorf("alive: there %t, elsewhere %t, at the desk %t", w.alive(t, there), w.alive(t, elsewhere), w.alive(t, desk))
			}
			if w.entries(t, `"action":"`+action+`"`, `"object":"c1"`, `"sessions":"1"`) != 1 {
				t.Error("the trail does not say what ended")
			}
			want := people.ErrNotFound
			if act == authz.LoseTerminal {
				want = people.ErrState
			}
			if err := onTerminals[act](w, admin, "c1"); !errors.Is(err, want) {
				t.Errorf("twice: %v, want %v", err, want)
			}
			if err := onTerminals[act](w, admin, "nowhere"); !errors.Is(err, people.ErrNotFound) {
				t.Errorf("no such terminal: %v", err)
			}
		})
	}
}

func TestWhoIsAtATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.session(t, "admin", policy.PHR)
	for _, id := range []string{"c1", "c2", "c3"} {
		must(t, w.EnrolTerminal(ctx, w.origin, admin, counter(id), ""))
	}
	w.session(t, "suzuki", policy.AAL2, at("c2"))
	w.clock.Advance(3 * time.Minute) // suzuki has turned away
	w.session(t, "tanaka", policy.AAL2, at("c1"))
	w.session(t, "tanaka", policy.AAL2)
	var got []string
	all, err := w.Terminals(ctx, w.origin, admin)
	must(t, err)
	for _, one := range all {
		got = append(got, one.ID+":"+one.Who+":"+one.WhoName)
	}
	if want := []string{"c1:tanaka:例 tanaka", "c2::", "c3::"}; !slices.Equal(got, want) {
		t.Errorf("at the terminals: %q, want %q", got, want)
	}
}
