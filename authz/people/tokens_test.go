package people_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

const tokenSeed = "3132333435363738393031323334353637383930"

// file is a maker's delivery, with a seed of its own for each serial.
func file(serials ...string) []byte {
	var b strings.Builder
	b.WriteString("serial,seed\n")
	for i, s := range serials {
		fmt.Fprintf(&b, "%s,%s%02x\n", s, tokenSeed, i)
	}
	return []byte(b.String())
}

func (w *world) stocked(t testing.TB, serials ...string) (admin string) {
	t.Helper()
	admin = w.session(t, "admin", policy.PHR)
	_, err := w.ImportTokens(ctx, w.origin, admin, "csv", file(serials...), secret.Text{})
	must(t, err)
	return admin
}

// onTokens are the acts that have a token for their object, which is assigned to
// tanaka where it must be.
var onTokens = []struct {
	act    authz.Act
	action string
	ends   bool // the holder's sessions
	do     func(w *world, cookie, serial string) error
}{
	{authz.ImportTokens, "tokens.imported", false, func(w *world, cookie, serial string) error {
		_, err := w.ImportTokens(ctx, w.origin, cookie, "csv", file("NEW1"), secret.Text{})
		return err
	}},
	{authz.AssignToken, "token.assigned", true, func(w *world, cookie, serial string) error {
		return w.AssignToken(ctx, w.origin, cookie, "T2", "tanaka")
	}},
	{authz.AssignToken, "token.unassigned", true, func(w *world, cookie, serial string) error {
		return w.UnassignToken(ctx, w.origin, cookie, serial)
	}},
	{authz.ResyncToken, "token.resynced", false, func(w *world, cookie, serial string) error {
		return w.ResyncToken(ctx, w.origin, cookie, serial, code(w, 0, 40), code(w, 0, 41))
	}},
	{authz.LoseToken, "token.lost", true, func(w *world, cookie, serial string) error {
		return w.LoseToken(ctx, w.origin, cookie, serial)
	}},
}

// code is what the token at a place of the file shows, so many steps from now.
func code(w *world, place, steps int) string {
	c, err := totp.Code(append([]byte("12345678901234567890"), byte(place)), totp.StepAt(w.clock.Now())+int64(steps))
	if err != nil {
		panic(err)
	}
	return c
}

func TestWhoMayNotDoToTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.stocked(t, "T1", "T2")
	must(t, w.AssignToken(ctx, w.origin, admin, "T1", "tanaka"))
	for _, a := range onTokens {
		for _, tt := range []struct {
			name, cookie string
			check        func(error) bool
		}{
			{"nobody", "", is(session.ErrNone)},
			{"staff", w.session(t, "suzuki", policy.PHR), denied(authz.NoPost)},
			{"who approves", w.session(t, "officer", policy.PHR), denied(authz.NoPost)},
			{"an auditor", w.session(t, "auditor", policy.PHR), denied(authz.ReadsOnly)},
			{"two factors that can be phished", w.session(t, "operator", policy.AAL2), stepUp(policy.PHR)},
		} {
			if err := a.do(w, tt.cookie, "T1"); !tt.check(err) {
				t.Errorf("%s by %s: %v", a.action, tt.name, err)
			}
		}
	}
	if _, _, err := w.Tokens(ctx, w.origin, w.session(t, "officer", policy.PHR), "", "", 10); !denied(authz.NoPost)(err) {
		t.Errorf("the inventory for who approves: %v", err)
	}
	if found, _, err := w.Tokens(ctx, w.origin, w.session(t, "auditor", policy.AAL2), "", "", 10); err != nil || len(found) != 2 {
		t.Errorf("the inventory for an auditor: %v, %v", found, err)
	}
}

// TestTokensOfThePowerful: nobody gives or takes alone what somebody who
// approves or administers signs in with; what was lost is ended at once.
func TestTokensOfThePowerful(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.stocked(t, "T1", "T2")
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { return w.Stock.Assign(ctx, tx, "T1", w.all["officer"]) }))
	for name, err := range map[string]error{
		"giving": w.AssignToken(ctx, w.origin, admin, "T2", "officer"), "taking": w.UnassignToken(ctx, w.origin, admin, "T1"),
	} {
		if !denied(authz.TwoPersons)(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.AssignToken(ctx, w.origin, admin, "T2", "admin"); !denied(authz.OwnAccount)(err) {
		t.Errorf("to oneself: %v", err)
	}
	must(t, w.LoseToken(ctx, w.origin, admin, "T1"))
	if w.told(t, "officer", notice.FactorRemoved) != 1 {
		t.Error("its holder was not told")
	}
}

func TestNothingToTokensWithoutTheTrail(t *testing.T) {
	t.Parallel()
	for _, a := range onTokens {
		t.Run(a.action, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			admin := w.stocked(t, "T1", "T2")
			must(t, w.AssignToken(ctx, w.origin, admin, "T1", "tanaka"))
			open, told := w.session(t, "tanaka", policy.AAL2), w.count(t, `SELECT COUNT(*) FROM notice`)
			state := func() string {
				t.Helper()
				all, _, err := w.Stock.List(ctx, "", "", 10)
				must(t, err)
				return fmt.Sprint(all, w.count(t, `SELECT COALESCE(SUM(drift), 0) FROM totp_device`), w.count(t, `SELECT COUNT(*) FROM notice`))
			}
			before, entries := state(), w.entries(t, `"action":"`+a.action+`"`)
			mend := w.breakTrail(t, a.action)
			if err := a.do(w, admin, "T1"); err == nil || state() != before || !w.alive(t, open) {
				t.Errorf("done without the trail: %v", err)
			}
			mend()
			must(t, a.do(w, admin, "T1"))
			if state() == before || w.alive(t, open) == a.ends {
				t.Errorf("done: %t, alive %t", state() != before, w.alive(t, open))
			}
			if n := w.entries(t, `"action":"`+a.action+`"`) - entries; n != 1 {
				t.Errorf("%d entries", n)
			}
			if n := w.count(t, `SELECT COUNT(*) FROM notice`) - told; (n == 1) != a.ends {
				t.Errorf("told %d times", n)
			}
		})
	}
}

func TestImportTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.stocked(t, "T1")
	done, err := w.ImportTokens(ctx, w.origin, admin, "csv", []byte("serial,seed\nT1,"+tokenSeed+"\nT2,"+tokenSeed+"ff\n"), secret.Text{})
	if err != nil || done.Added != 1 || !slices.Equal(done.Known, []string{"T1"}) {
		t.Errorf("ImportTokens = %+v, %v", done, err)
	}
	if w.entries(t, `"action":"tokens.imported"`, `"added":"1"`, `"format":"csv"`, `"known":"1"`) != 1 {
		t.Error("the trail does not count them")
	}
	var faults *oath.Faults
	if _, err := w.ImportTokens(ctx, w.origin, admin, "csv", []byte("serial,seed\nT3,"+tokenSeed+"aa\nT4,"+tokenSeed+"bb\n*,"+tokenSeed+"cc\n"), secret.Text{}); !errors.As(err, &faults) || faults.List[0].Line != 4 {
		t.Errorf("a bad line: %v", err)
	}
	if _, err := w.ImportTokens(ctx, w.origin, admin, "pskc", []byte("<x/>"), secret.Text{}); !errors.As(err, &faults) {
		t.Errorf("no container: %v", err)
	}
	var bad *people.Invalid
	if _, err := w.ImportTokens(ctx, w.origin, admin, "xlsx", nil, secret.Text{}); !errors.As(err, &bad) || bad.Field != "format" {
		t.Errorf("a format nobody reads: %v", err)
	}
	if found, _, err := w.Tokens(ctx, w.origin, admin, "", "", 10); err != nil || len(found) != 2 {
		t.Errorf("of a file with a bad line something was taken: %v, %v", found, err)
	}
	if w.holdsSecret(t, text(tokenSeed)) || w.holdsSecret(t, text("12345678901234567890")) {
		t.Error("a seed stands in the store in clear")
	}
}

func TestLifeOfAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.stocked(t, "T1", "T2")
	must(t, w.AssignToken(ctx, w.origin, admin, "t1", "tanaka"))
	step, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	step, err = w.in.TOTP(ctx, w.origin, step.Cookie, code(w, 0, 0))
	must(t, err)
	if step.State != "signed_in" || w.entries(t, `"action":"token.assigned"`, `"object":"tanaka (`, `"serial":"T1"`) != 1 {
		t.Errorf("with the token: %s", step.State)
	}
	for name, tt := range map[string]struct {
		err  error
		want error
	}{
		"given twice":                {w.AssignToken(ctx, w.origin, admin, "T1", "suzuki"), people.ErrState},
		"no such token":              {w.AssignToken(ctx, w.origin, admin, "T9", "suzuki"), people.ErrNotFound},
		"no such person":             {w.AssignToken(ctx, w.origin, admin, "T2", "nobody"), people.ErrNotFound},
		"taken back out of stock":    {w.UnassignToken(ctx, w.origin, admin, "T2"), people.ErrState},
		"taken back, no such token":  {w.UnassignToken(ctx, w.origin, admin, "T9"), people.ErrNotFound},
		"lost, no such token":        {w.LoseToken(ctx, w.origin, admin, "T9"), people.ErrNotFound},
		"no serial":                  {w.LoseToken(ctx, w.origin, admin, "*"), people.ErrNotFound},
		"set right, no such token":   {w.ResyncToken(ctx, w.origin, admin, "T9", "1", "2"), people.ErrNotFound},
		"set right with wrong codes": {w.ResyncToken(ctx, w.origin, admin, "T1", "000000", "000000"), totp.ErrWrong},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.err, tt.want)
		}
	}
	if w.entries(t, `"action":"token.resynced"`, `"outcome":"refused"`, `"reason":"wrong_code"`) != 1 || w.count(t, `SELECT resync_tries FROM otp_token WHERE serial = 'T1'`) != 1 {
		t.Error("wrong codes were not entered and counted")
	}
	must(t, w.UnassignToken(ctx, w.origin, admin, "T1"))
	if w.alive(t, step.Cookie) {
		t.Error("what was open with it is open")
	}
	must(t, w.LoseToken(ctx, w.origin, admin, "T1"))
	if err := w.LoseToken(ctx, w.origin, admin, "T1"); !errors.Is(err, people.ErrState) {
		t.Errorf("lost twice: %v", err)
	}
	w.record(t, "suzuki", standing.Dormant)
	if err := w.AssignToken(ctx, w.origin, admin, "T2", "suzuki"); !errors.Is(err, people.ErrUnusable) {
		t.Errorf("to somebody who may use nothing: %v", err)
	}
}

// TestANewTokenIsUntried: wrong codes were tried against what was held before.
func TestANewTokenIsUntried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.stocked(t, "T1")
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO attempt (credential, failures, held_until, updated_at) VALUES ($1, 99, 0, 0)`, "otp:"+string(w.all["tanaka"].ID))
		return err
	}))
	must(t, w.AssignToken(ctx, w.origin, admin, "T1", "tanaka"))
	step, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	if _, err := w.in.TOTP(ctx, w.origin, step.Cookie, code(w, 0, 0)); err != nil {
		t.Errorf("with a new token: %v", err)
	}
}

// TestTokenOfSomebodyGone: it comes back although its holder is nobody any more.
func TestTokenOfSomebodyGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.stocked(t, "T1")
	must(t, w.AssignToken(ctx, w.origin, admin, "T1", "tanaka"))
	must(t, w.dir.Delete(ctx, w.all["tanaka"]))
	must(t, w.UnassignToken(ctx, w.origin, admin, "T1"))
	if found, _, err := w.Tokens(ctx, w.origin, admin, "T1", "", 1); err != nil || found[0].State != totp.StateStock {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestATokenInOtherHands: between the question about its holder's posts and the
// act, a token can be given to somebody else. Of many who race, each act is on
// the one it was asked about.
func TestATokenInOtherHands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.stocked(t, "T1")
	for range 10 {
		w.clock.Advance(time.Second)
		must(t, w.AssignToken(ctx, w.origin, admin, "T1", "tanaka"))
		open := w.session(t, "officer", policy.AAL2)
		var wg sync.WaitGroup
		var taken, moved error
		wg.Go(func() { taken = w.UnassignToken(ctx, w.origin, admin, "T1") })
		wg.Go(func() {
			moved = w.db.WithTx(ctx, func(tx *store.Tx) error {
				if err := w.Stock.Unassign(ctx, tx, "T1"); err != nil {
					return err
				}
				return w.Stock.Assign(ctx, tx, "T1", w.all["officer"])
			})
		})
		wg.Wait()
		switch {
		case taken == nil && errors.Is(moved, totp.ErrTokenState):
		case moved == nil && (errors.Is(taken, people.ErrState) || denied(authz.TwoPersons)(taken)):
			must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { return w.Stock.Unassign(ctx, tx, "T1") }))
		default:
			t.Fatalf("taken: %v, moved: %v", taken, moved)
		}
		if !w.alive(t, open) {
			t.Fatal("the sessions of somebody who was not asked about have ended")
		}
	}
}
