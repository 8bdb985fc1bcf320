package test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/authn/token"
	"sekisho/authn/totp/oath"
	"sekisho/authz/restore/replay"
	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/house"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/test/harness"
)

// TestReplayKinds takes each kind of thing away again in a house with a real directory:
// once, with an entry that cites the lost one, and not at all where it is not there,
// where its owner is not, or where it is only looked.
func TestReplayKinds(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{})
	file, err := config.Read(site.Config)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := house.FromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := house.Open(t.Context(), cfg, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	w := replayWorld{t: t, h: h, house: replay.House{
		DB: h.DB, Trail: h.Trail, People: h.People, Account: h.Account, Permits: h.Permits, Directory: h.Directory, Now: h.Clock.Now,
	}}
	var who []directory.Person
	for _, login := range []string{"tanaka", "suzuki", "kobayashi", "yoshida", "shimizu"} {
		p, err := h.Directory.Find(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		who = append(who, p)
	}
	tanaka, suzuki, kobayashi, yoshida, shimizu := who[0], who[1], who[2], who[3], who[4]
	later := h.Clock.Now().Add(time.Hour).Format(time.RFC3339)
	name := func(p directory.Person) string { return p.Login + " (" + string(p.ID) + ")" }

	// What the backup brought back.
	w.do(func(tx *store.Tx) error {
		seeds := []oath.Seed{}
		for _, serial := range []string{"A-1", "A-2", "A-3"} {
			seeds = append(seeds, oath.Seed{Serial: serial, Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Key: secret.NewText([]byte(strings.Repeat(serial, 7)))})
		}
		_, err := h.Stock.Import(t.Context(), tx, seeds)
		return errors.Join(err, h.Stock.Assign(t.Context(), tx, "A-1", tanaka), h.Stock.Assign(t.Context(), tx, "A-2", suzuki),
			h.TOTP.Import(t.Context(), tx, kobayashi.ID, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "denwa"),
			h.TOTP.Import(t.Context(), tx, shimizu.ID, "KRSXG5DSMFXGOZLSMVZWC3LQNRSXG5DS", "denwa"))
	})
	for _, id := range []string{"lost-1", "gone-1", "new-1"} {
		w.do(func(tx *store.Tx) error {
			return h.Terminals.Enrol(t.Context(), tx, terminal.Terminal{
				ID: id, Zone: policy.LGWAN, Class: "counter", Name: policy.Words{JA: "窓口", EN: "counter"}, AddedBy: "takahashi",
			}, "")
		})
	}
	w.do(func(tx *store.Tx) error { // enrolled before the loss, but the last
		_, err := tx.Exec(t.Context(), `UPDATE terminal SET added_at = $1 WHERE id <> 'new-1'`, store.Micros(h.Clock.Now().Add(-3*time.Hour)))
		return err
	})
	for _, id := range []string{"m1", "m2"} {
		w.do(func(tx *store.Tx) error {
			now := h.Clock.Now()
			_, err := tx.Exec(t.Context(), `
				INSERT INTO permit (id, kind, person_id, requester_id, application, terminal, enforced, state, version, asked_at, starts_at, ends_at, due_at, matter, changed_at, body)
				VALUES ($1, 'outside_work', $2, $2, '', '', 0, 'approved', 1, $3, $3, $4, 0, '', $3, $5)`,
				id, string(kobayashi.ID), store.Micros(now.Add(-3*time.Hour)), store.Micros(now.Add(72*time.Hour)),
				fmt.Sprintf(`{"person": {"id": %q, "login": "kobayashi"}, "requester": {"id": %q, "login": "kobayashi"}, "reason": "在宅", "ended_by": {}, "reviewed_by": {}}`, kobayashi.ID, kobayashi.ID))
			return err
		})
	}
	factors, err := h.Account.FactorsOf(t.Context(), kobayashi.ID)
	if err != nil || len(factors) != 1 {
		t.Fatalf("%v %v", factors, err)
	}
	last, err := h.Account.FactorsOf(t.Context(), shimizu.ID)
	if err != nil || len(last) != 1 {
		t.Fatalf("%v %v", last, err)
	}
	signing, err := token.List(t.Context(), h.DB)
	if err != nil || len(signing) == 0 {
		t.Fatalf("%v %v", signing, err)
	}

	count := func(query string, args ...any) func() bool {
		return func() bool {
			t.Helper()
			var n int
			if err := h.DB.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n > 0
		}
	}
	tokenIs := func(serial, state string) func() bool {
		return count(`SELECT COUNT(*) FROM otp_token WHERE serial = $1 AND state = $2`, serial, state)
	}
	suspended := func() bool {
		closed, err := standing.Records(t.Context(), h.DB, tanaka.ID, h.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(closed, func(r standing.Record) bool {
			return r.Kind == standing.Suspended && r.By == "takahashi" && r.Reason == "調査" && r.Until.Format(time.RFC3339) == later
		})
	}
	for _, tt := range []struct {
		name   string
		lost   audit.Entry
		is     func() bool // whether it is taken away
		cannot string
	}{
		{name: "a suspension", lost: audit.Entry{Action: "person.suspended", Object: name(tanaka), Reason: "調査", Detail: map[string]string{"until": later}}, is: suspended},
		{name: "of somebody who is gone", lost: audit.Entry{Action: "person.suspended", Object: "old (00000000-0000-4000-8000-000000000000)"}, cannot: "Nobody is old in the directory any more."},
		{name: "a leak", lost: audit.Entry{Action: "password.leak_reported", Actor: "suzuki", Object: string(suzuki.ID)},
			is: count(`SELECT COUNT(*) FROM leak_report WHERE person_id = $1 AND cleared_at = 0`, string(suzuki.ID))},
		{name: "a factor", lost: audit.Entry{Action: "factor.removed", Object: name(kobayashi), Detail: map[string]string{"factor": factors[0].ID, "kind": factors[0].Kind}},
			is: func() bool {
				left, err := h.Account.FactorsOf(t.Context(), kobayashi.ID)
				return err == nil && len(left) == 0 && count(`SELECT COUNT(*) FROM factor_lost WHERE person_id = $1`, string(kobayashi.ID))()
			}},
		// What they had bound before they dropped it is lost: their password alone binds nothing.
		{name: "a factor that its owner dropped", lost: audit.Entry{Action: "factor.removed", Actor: "shimizu", Object: string(shimizu.ID), Detail: map[string]string{"factor": last[0].ID, "kind": last[0].Kind}},
			is: func() bool {
				left, err := h.Account.FactorsOf(t.Context(), shimizu.ID)
				return err == nil && len(left) == 0 && count(`SELECT COUNT(*) FROM factor_lost WHERE person_id = $1`, string(shimizu.ID))()
			}},
		{name: "leave", lost: audit.Entry{Action: "leave.recorded", Object: name(yoshida), Reason: "育休", Detail: map[string]string{"leave_from": h.Clock.Now().Add(-2 * time.Hour).UTC().Format(time.RFC3339), "until": later}},
			is: func() bool {
				closed, err := standing.Closed(t.Context(), h.DB, yoshida.ID, h.Clock.Now())
				return err == nil && closed
			}},
		{name: "other leave", lost: audit.Entry{Action: "leave.recorded", Object: name(yoshida), Detail: map[string]string{"leave_from": later}},
			cannot: "Other leave is recorded already. Look at it, and record it anew where that is needed."},
		{name: "a lost token", lost: audit.Entry{Action: "token.lost", Object: name(tanaka), Detail: map[string]string{"serial": "A-1"}}, is: tokenIs("A-1", "lost")},
		{name: "a lost token of the stock", lost: audit.Entry{Action: "token.lost", Detail: map[string]string{"serial": "A-3"}}, is: tokenIs("A-3", "lost")},
		{name: "a token taken back", lost: audit.Entry{Action: "token.unassigned", Object: name(suzuki), Detail: map[string]string{"serial": "A-2"}}, is: tokenIs("A-2", "stock")},
		{name: "a lost terminal", lost: audit.Entry{Action: "terminal.lost", Object: "lost-1"}, is: count(`SELECT COUNT(*) FROM terminal_lost WHERE terminal = 'lost-1'`)},
		{name: "a terminal off the register", lost: audit.Entry{Action: "terminal.removed", Object: "gone-1"}, is: count(`SELECT 1 - COUNT(*) FROM terminal WHERE id = 'gone-1'`)},
		{name: "one that was enrolled anew", lost: audit.Entry{Action: "terminal.lost", Object: "new-1"}, cannot: "It was enrolled anew since. Look at it, and report it where that is needed."},
		{name: "a permit revoked", lost: audit.Entry{Action: "permit.revoked", Object: "outside_work", Detail: map[string]string{"permit": "m1"}}, is: count(`SELECT COUNT(*) FROM permit WHERE id = 'm1' AND state = 'revoked'`)},
		{name: "a permit ended", lost: audit.Entry{Action: "permit.ended", Object: "outside_work", Detail: map[string]string{"permit": "m2"}}, is: count(`SELECT COUNT(*) FROM permit WHERE id = 'm2' AND state = 'ended'`)},
		{name: "a lock-down", lost: audit.Entry{Action: "lockdown.ordered", Object: "l1", Reason: "侵入", Detail: map[string]string{"scope": "person", "target": "tanaka", "until": later, "ratify_by": later}},
			is: count(`SELECT COUNT(*) FROM lockdown WHERE id = 'l1' AND person_id = $1 AND lifted_at = 0 AND ratify_by > 0 AND ordered_by = 'takahashi'`, string(tanaka.ID))},
		{name: "its ratification", lost: audit.Entry{Action: "lockdown.ratified", Object: "l1", Detail: map[string]string{"until": later}},
			is: count(`SELECT COUNT(*) FROM lockdown WHERE id = 'l1' AND ratified_by = 'takahashi'`)},
		{name: "a lock-down of somebody who is gone", lost: audit.Entry{Action: "lockdown.ordered", Object: "l2", Detail: map[string]string{"scope": "person", "target": "old", "until": later}},
			cannot: "Nobody is old in the directory any more."},
		{name: "a signing key", lost: audit.Entry{Action: "key.distrusted", Object: "signing/" + signing[0].ID}, is: count(`SELECT COUNT(*) FROM signing_key WHERE kid = $1 AND ends_at > 0`, signing[0].ID)},
	} {
		// One after the other: a ratification needs its order.
		a := w.lost(tt.lost)
		if tt.cannot != "" {
			for range 2 {
				if r := w.take(a, false); r.Outcome != replay.Cannot || r.Why.EN != tt.cannot || r.Why.JA == "" || w.entered(a) != 0 {
					t.Errorf("%s: %+v", tt.name, r)
				}
			}
			continue
		}
		if r := w.take(a, true); r.Outcome != replay.Done || tt.is() || w.entered(a) != 0 {
			t.Errorf("%s, only looked at: %s, taken away: %t", tt.name, r.Outcome, tt.is())
		}
		if got := w.twice(a); !slices.Equal(got, []replay.Outcome{replay.Before, replay.Done}) || !tt.is() || w.entered(a) != 1 {
			t.Errorf("%s, by two at once: %s, taken away: %t, %d entries", tt.name, got, tt.is(), w.entered(a))
		}
		if r := w.take(a, false); r.Outcome != replay.Before || w.entered(a) != 1 {
			t.Errorf("%s, again: %s, %d entries", tt.name, r.Outcome, w.entered(a))
		}
		if strings.HasPrefix(tt.lost.Action, "password.") {
			continue // to do that twice does something
		}
		// Another entry about the same finds nothing left.
		a = w.lost(tt.lost)
		if r := w.take(a, false); r.Outcome != replay.Nothing || w.entered(a) != 0 {
			t.Errorf("%s, by another entry: %s, %d entries", tt.name, r.Outcome, w.entered(a))
		}
		if r := w.take(a, false); r.Outcome != replay.Before {
			t.Errorf("%s, by another entry, again: %s", tt.name, r.Outcome)
		}
	}

	// Who is suspended for longer already is not so for less; for longer, they are.
	soon := h.Clock.Now().Add(time.Minute).Format(time.RFC3339)
	shorter := w.lost(audit.Entry{Action: "person.suspended", Object: name(tanaka), Reason: "x", Detail: map[string]string{"until": soon}})
	if r := w.take(shorter, false); r.Outcome != replay.Nothing || !suspended() {
		t.Errorf("a shorter suspension: %s, and the longer one stands: %t", r.Outcome, suspended())
	}
	if r := w.take(w.lost(audit.Entry{Action: "person.suspended", Object: name(tanaka), Reason: "x"}), false); r.Outcome != replay.Done || suspended() {
		t.Errorf("one without an end: %s, and the shorter one stands: %t", r.Outcome, suspended())
	}

	// A password that its owner has chosen since is theirs.
	w.do(func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `
			INSERT INTO password_history (id, person, key_id, digest, at, settled_at) VALUES ('h1', $1, 'k', $2, $3, $3)`,
			string(kobayashi.ID), []byte("x"), store.Micros(h.Clock.Now()))
		return err
	})
	if r := w.take(w.lost(audit.Entry{Action: "password.leak_reported", Actor: "kobayashi", Object: string(kobayashi.ID)}), false); r.Outcome != replay.Nothing {
		t.Errorf("a leaked password that was changed since: %s", r.Outcome)
	}
	if err := errors.Join(h.Tokens.Refresh(t.Context()), h.Tokens.Turn(t.Context())); err != nil {
		t.Fatal(err)
	}
	next, err := token.List(t.Context(), h.DB)
	if err != nil || !slices.ContainsFunc(next, func(k token.Key) bool { return k.ID != signing[0].ID && k.Ends.IsZero() }) {
		t.Errorf("no key follows the one that is distrusted: %v %v", next, err)
	}

	// A directory that is away keeps nobody in.
	away := w.lost(audit.Entry{Action: "person.suspended", Object: name(suzuki)})
	if err := site.Slapd.Stop(); err != nil {
		t.Fatal(err)
	}
	if r := w.take(away, false); r.Outcome != replay.Done {
		t.Errorf("with the directory away: %s", r.Outcome)
	}
}

type replayWorld struct {
	t     *testing.T
	h     *house.House
	house replay.House
	n     int64
}

func (w *replayWorld) do(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.h.DB.WithTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// lost is the act of an entry that was made an hour ago.
func (w *replayWorld) lost(e audit.Entry) replay.Act {
	w.t.Helper()
	w.n++
	e.Time, e.Outcome, e.Zone = w.h.Clock.Now().Add(-time.Hour), audit.OK, "lgwan"
	if e.Actor == "" {
		e.Actor = "takahashi"
	}
	p := replay.Judge([]audit.Record{{Index: w.n, Hash: tlog.RecordHash(fmt.Appendf(nil, "%d", w.n)), Entry: e}}, w.h.Clock.Now())
	if len(p.Again) != 1 {
		w.t.Fatalf("%+v is not to be done again: %+v", e, p)
	}
	return p.Again[0]
}

func (w *replayWorld) take(a replay.Act, look bool) replay.Result {
	w.t.Helper()
	r, err := w.house.Take(w.t.Context(), "root", a, look)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// twice has two do an act at the same time: what came of it, in order.
func (w *replayWorld) twice(a replay.Act) []replay.Outcome {
	w.t.Helper()
	outcomes := make([]replay.Outcome, 2)
	var group errgroup.Group
	for i := range outcomes {
		group.Go(func() error {
			r, err := w.house.Take(w.t.Context(), "root", a, false)
			outcomes[i] = r.Outcome
			return err
		})
	}
	if err := group.Wait(); err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(outcomes)
	return outcomes
}

// entered is how many entries cite a lost one.
func (w *replayWorld) entered(a replay.Act) int {
	w.t.Helper()
	if err := w.h.Seal.Seal(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	found, err := w.h.Trail.Search(w.t.Context(), audit.Filter{Action: a.Action})
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, r := range found {
		if r.Detail["again_of"] == fmt.Sprint(a.Index) && r.Actor == "root" && r.Detail["again_by"] == a.Actor {
			n++
		}
	}
	return n
}
