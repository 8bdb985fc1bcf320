package permit

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// enters is what the way in from outside says to somebody, from memory and from the store.
func (w *world) enters(login string) string {
	w.Helper()
	said := ""
	for _, in := range []store.Reader{nil, w.DB} {
		if in == nil {
			w.must(w.poll(w.Context()))
		}
		f := authz.Facts{
			SignedIn: true, Person: directory.Person{ID: directory.PersonID("id-" + login)}, ACR: policy.AAL2, Outside: true, Source: netip.MustParseAddr("198.51.100.7"),
			SessionEnds: w.clock.Now().Add(time.Hour), Now: w.clock.Now(),
		}
		w.must(w.fill(w.Context(), in, &f))
		v := authz.Enter(w.policy, f)
		if said != "" && said != string(v.Reason) {
			w.Errorf("%s enters: %s from memory, %s from the store", login, said, v.Reason)
		}
		said = string(v.Reason)
	}
	return said
}

// enrols has an administrator enrol a terminal.
func (w *world) enrols(id, class string) {
	w.Helper()
	w.listed[id] = terminal.Terminal{ID: id, Class: class}
	w.must(w.DB.WithTx(w.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(w.Context(), `
			INSERT INTO terminal (id, zone, class, name_ja, name_en, public_key, fingerprint, added_at, added_by) VALUES ($1, 'lgwan', $2, '', '', '', '', 1, 'sato')`, id, class); err != nil {
			return err
		}
		return w.Enrolled(w.Context(), tx, id)
	}))
	w.Changed(w.Context())
}

// TestPrivateTerminal: remote access with a terminal that is not the prefecture's is asked
// for beside the terminal's own permit, opens with both, and shuts with either (article
// 38-4).
func TestPrivateTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	byOwn := remote(func(w *Wish) { w.Stated = Stated{"terminal": {"jitaku-pc"}, "applications": {"bunsho"}} })
	_, err := w.Ask(t.Context(), w.as("tanaka"), byOwn)
	var bad *Invalid
	if why(err) != "terminal/own_permit" || !errors.As(err, &bad) || !slices.Contains(bad.Articles, "38-4") || bad.Faults[0].Says.JA == "" || bad.Faults[0].Says.EN == "" {
		t.Fatalf("without the terminal's permit: %v", err)
	}
	w.asks("mori", privately()) // somebody else's helps nobody
	if _, err := w.Ask(t.Context(), w.as("tanaka"), byOwn); why(err) != "terminal/own_permit" {
		t.Errorf("beside another's: %v", err)
	}
	first := w.asks("tanaka", privately(func(w *Wish) { w.Until = "2026-12-31" }))
	if _, err := w.Ask(t.Context(), w.as("tanaka"), byOwn); why(err) != "until/terminal_end" {
		t.Errorf("beyond the terminal's permit: %v", err)
	}
	byOwn.Until = "2026-12-31"
	access := w.given("tanaka", byOwn, "cho")
	if got := w.enters("tanaka"); got != "no_terminal" {
		t.Errorf("while the terminal's permit waits: %s", got)
	}
	_, err = w.Decide(t.Context(), w.as("endo"), first.ID, true, "", nil)
	w.must(err)
	if got := w.enters("tanaka"); got != "allowed" {
		t.Errorf("with both: %s", got)
	}
	// A longer one follows it: when the first is over, the access goes on.
	second := w.given("tanaka", privately(), "endo")
	if _, err := w.Revoke(t.Context(), w.as("endo"), first.ID, "差し替え"); err != nil {
		t.Fatal(err)
	}
	if got := w.enters("tanaka"); got != "allowed" {
		t.Errorf("with the permit that follows: %s", got)
	}
	// Without any, it does not, and the access is over with it.
	if _, err := w.Revoke(t.Context(), w.as("endo"), second.ID, "不要"); err != nil {
		t.Fatal(err)
	}
	if m, err := read(t.Context(), w.DB, access.ID); err != nil || m.State(w.clock.Now()) != Revoked || w.enters("tanaka") != "no_remote" {
		t.Errorf("without: %s, %v; enters: %s", m.State(w.clock.Now()), err, w.enters("tanaka"))
	}
}

// TestTerminalIsEnrolled: what was a private terminal becomes one that is lent as soon as it
// is enrolled, at every gateway, and what the policy asks of those holds from then on
// (article 63-3).
func TestTerminalIsEnrolled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.given("tanaka", privately(), "endo")
	w.given("tanaka", remote(func(w *Wish) { w.Stated = Stated{"terminal": {"jitaku-pc"}, "applications": {"bunsho"}} }), "cho")
	if got := w.enters("tanaka"); got != "allowed" {
		t.Fatalf("with a private terminal: %s", got)
	}
	w.policy.Remote.LentByRemotePermit = false
	w.past(10 * time.Minute) // what was changed lately is read anew in any case
	if got := w.enters("tanaka"); got != "allowed" {
		t.Fatalf("a while later: %s", got)
	}
	w.enrols("jitaku-pc", policy.TerminalLent)
	if got := w.enters("tanaka"); got != "no_terminal" {
		t.Errorf("it is the prefecture's now, and not lent: %s", got)
	}
	lends := remote(func(w *Wish) {
		w.Kind, w.Stated = policy.PermitLentTerminal, Stated{"terminal": {"jitaku-pc"}, "measures": {"暗号化"}}
	})
	w.given("tanaka", lends, "cho")
	if got := w.enters("tanaka"); got != "allowed" {
		t.Errorf("lent: %s", got)
	}
	if _, err := w.Ask(t.Context(), w.as("mori"), remote()); why(err) != "terminal/own_permit" {
		t.Errorf("asking for access with a terminal that is not lent to them: %v", err)
	}
	w.policy.Remote.LentByRemotePermit = true
	if _, err := w.Ask(t.Context(), w.as("mori"), remote()); err != nil {
		t.Errorf("where the remote access lends it: %v", err)
	}
}

// comes begins a session from outside by a permit.
func (w *world) comes(login string, permits ...string) session.Session {
	w.Helper()
	var n session.Session
	w.must(w.DB.WithTx(w.Context(), func(tx *store.Tx) (err error) {
		n, _, err = w.Sessions.(*session.Sessions).Begin(w.Context(), tx, session.Session{
			Person: directory.PersonID("id-" + login), Login: login, Name: login, Zone: policy.Internet, Outside: true, ACR: policy.PHR, AMR: []string{"hwk"},
			From: "198.51.100.7", AuthAt: w.clock.Now(), Permits: permits,
		})
		return err
	}))
	return n
}

// TestToldHowever: that a session from outside is over is told once, whatever ended it and
// however many gateways find it, where the policy has it told (article 63-7).
func TestToldHowever(t *testing.T) {
	t.Parallel()
	leaves := func(w *world, n session.Session) {
		w.Helper()
		w.must(w.DB.WithTx(w.Context(), func(tx *store.Tx) error {
			if err := w.Sessions.End(w.Context(), tx, n.ID, "signed out"); err != nil {
				return err
			}
			return w.Left(w.Context(), tx, n)
		}))
	}
	used := func(w *world, n session.Session) {
		w.Helper()
		w.must(w.DB.WithTx(w.Context(), func(tx *store.Tx) error {
			return tx.ExecOne(w.Context(), `UPDATE session SET seen_at = $1 WHERE id = $2`, store.Micros(w.clock.Now()), n.ID)
		}))
	}
	const idle = 15 * time.Minute
	for _, tt := range []struct {
		name  string
		quiet bool // the policy has nothing told
		do    func(w *world, n session.Session)
		told  int
		over  string // why the session's row says that it is; "" while it goes on
	}{
		{"used a moment ago", false, func(w *world, _ session.Session) { w.past(idle - time.Second) }, 0, ""},
		{"idled out, as far as is known here", false, func(w *world, _ session.Session) { w.past(idle) }, 0, ""},
		{"idled out", false, func(w *world, _ session.Session) { w.past(idle + time.Minute) }, 1, "idle"},
		{"used elsewhere meanwhile", false, func(w *world, n session.Session) { w.past(idle); used(w, n); w.past(time.Minute) }, 0, ""},
		{"its longest time is over", false, func(w *world, n session.Session) {
			w.past(8*time.Hour - time.Second)
			used(w, n)
			w.past(time.Minute)
		}, 1, "its time is over"},
		{"signed out", false, leaves, 1, "signed out"},
		{"signed out, and long after", false, func(w *world, n session.Session) { leaves(w, n); w.past(9 * time.Hour) }, 1, "signed out"},
		{"its permit was revoked", false, func(w *world, n session.Session) {
			_, err := w.Revoke(w.Context(), w.as("choei"), n.Permits[0], "不要")
			w.must(err)
		}, 1, "permit"},
		{"idled out, told to nobody", true, func(w *world, _ session.Session) { w.past(time.Hour) }, 0, "idle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range w.policy.Permits {
				if w.policy.Permits[i].ID == policy.PermitRemote {
					w.policy.Permits[i].TellEnd = !tt.quiet
				}
			}
			m := w.given("tanaka", remote(), "cho")
			n := w.comes("tanaka", m.ID)
			tt.do(w, n)
			second := New(w.House) // another gateway
			var wait sync.WaitGroup
			for _, b := range []*Book{w.Book, second, w.Book, second} {
				wait.Go(func() {
					if err := b.TellOver(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			w.must(w.TellOver(t.Context()))
			if got := w.told("cho", notice.RemoteOver); got != tt.told {
				t.Errorf("told %d times, want %d", got, tt.told)
			}
			row, err := w.Sessions.Row(t.Context(), w.DB, n.ID)
			w.must(err)
			var ended string
			w.must(w.DB.QueryRow(t.Context(), `SELECT ended_why FROM session WHERE id = $1`, n.ID).Scan(&ended))
			if row.EndedAt.IsZero() != (tt.over == "") || len(ended) < len(tt.over) || ended[:len(tt.over)] != tt.over {
				t.Errorf("over at %v because of %q; want %q", row.EndedAt, ended, tt.over)
			}
		})
	}
}

// TestEndSession: whoever may take away the remote access of a section ends one session by
// it, for a reason, with an entry, and its person is told; the permit stands.
func TestEndSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.given("tanaka", remote(), "cho")
	n := w.comes("tanaka", m.ID)
	for _, tt := range []struct{ login, id, reason, want string }{
		{"cho", n.ID, " ", "reason/required"}, {"cho", "none", "不審", ErrNotFound.Error()},
		{"tanaka", n.ID, "不審", ErrNotFound.Error()}, {"zen", n.ID, "不審", ErrNotFound.Error()}, // a manager of another section
		{"endo", n.ID, "不審", "no_post"}, {"kan", n.ID, "不審", "reads_only"},
	} {
		if err := w.EndSession(t.Context(), w.as(tt.login), tt.id, tt.reason); why(err) != tt.want {
			t.Errorf("%s ends %s for %q: %v, want %s", tt.login, tt.id, tt.reason, err, tt.want)
		}
	}
	weak := w.as("sasa")
	weak.AuthAt = w.clock.Now().Add(-time.Hour)
	if err := w.EndSession(t.Context(), weak, n.ID, "不審"); why(err) == "" || errors.Is(err, ErrNotFound) {
		t.Errorf("by an old sign-in: %v", err)
	}
	if row, err := w.Sessions.Row(t.Context(), w.DB, n.ID); err != nil || !row.EndedAt.IsZero() {
		t.Fatalf("it is over: %+v, %v", row, err)
	}
	w.must(w.EndSession(t.Context(), w.as("sasa"), n.ID, "不審な接続"))
	row, err := w.Sessions.Row(t.Context(), w.DB, n.ID)
	if err != nil || row.EndedAt.IsZero() {
		t.Errorf("it goes on: %+v, %v", row, err)
	}
	if got := w.told("tanaka", notice.RemoteEnded); got != 1 {
		t.Errorf("its person is told %d times", got)
	}
	if got := w.entries(`"sasa"`, `"session.ended"`, "不審な接続", n.ID); got != 1 {
		t.Errorf("%d entries", got)
	}
	if err := w.EndSession(t.Context(), w.as("sasa"), n.ID, "もう一度"); why(err) != string(WrongState) {
		t.Errorf("once more: %v", err)
	}
	if got, err := w.Get(t.Context(), w.as("tanaka"), m.ID); err != nil || got.State(w.clock.Now()) != Approved {
		t.Errorf("the permit: %s, %v", got.State(w.clock.Now()), err)
	}
}

// TestReach: permits, with the addresses that they were used from, are for those whom they
// concern and those who answer for the section (article 47-3).
func TestReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jinji, zaisei, joho := w.given("tanaka", remote(), "cho"), w.given("mori", remote(), "cho"), w.given("sato", remote(), "cho")
	names := map[string]string{jinji.ID: "jinji", zaisei.ID: "zaisei", joho.ID: "joho"}
	for _, tt := range []struct{ login, sees string }{
		{"tanaka", "jinji"}, {"mori", "zaisei"},
		{"endo", "jinji"}, {"zen", "zaisei"}, {"eto", "joho"}, // managers of a section
		{"ono", "jinji zaisei"}, {"oda", "joho"}, // officers of a department
		{"sato", "joho"},                                                                          // administers
		{"cho", "jinji joho zaisei"}, {"sasa", "jinji joho zaisei"}, {"kan", "jinji joho zaisei"}, // CIO, CSIRT, auditor
	} {
		by := w.as(tt.login)
		var listed, read []string
		all, _, err := w.List(t.Context(), by, Filter{})
		w.must(err)
		for _, m := range all {
			listed = append(listed, names[m.ID])
		}
		for id, name := range names {
			if _, err := w.Get(t.Context(), by, id); err == nil {
				read = append(read, name)
			} else if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s reads %s: %v", tt.login, name, err)
			}
		}
		counted, err := w.Count(t.Context(), by, policy.PermitRemote)
		w.must(err)
		slices.Sort(listed)
		slices.Sort(read)
		want := "[" + tt.sees + "]"
		if fmt.Sprint(listed) != want || fmt.Sprint(read) != want || counted[policy.PermitRemote].Live != len(listed) {
			t.Errorf("%s is listed %v, reads %v, counts %d; want %s", tt.login, listed, read, counted[policy.PermitRemote].Live, want)
		}
	}
	// Who moved elsewhere, or whose section the policy does not know, answers for nobody there.
	if got := ReachOf(w.policy, []policy.PostID{policy.SecurityManager}, "nowhere"); got.Any() || got.Sees(w.policy, "") {
		t.Errorf("a manager of no section: %+v", got)
	}
}
