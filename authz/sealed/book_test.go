package sealed

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store/storetest"
)

var ctx = context.Background()

// A world is a book on a real store; who is behind a cookie is said by the test.
type world struct {
	*Book
	clock  *clock.Fake
	policy *policy.Policy
	who    map[string]approval.Approver
	away   error
}

func (w *world) Signed(_ context.Context, _ signin.Origin, cookie string) (approval.Approver, error) {
	by, ok := w.who[cookie]
	if !ok {
		return by, session.ErrNone
	}
	by.AuthAt = by.AuthAt.Add(w.clock.Now().Sub(t0))
	return by, nil
}

func (w *world) Find(_ context.Context, login string) (directory.Person, error) {
	if by, ok := w.who[login]; ok && w.away == nil {
		return by.Person, nil
	}
	return directory.Person{}, errors.Join(w.away, directory.ErrNotFound)
}

func (w *world) Holders(_ context.Context, group string) ([]directory.Person, error) {
	var out []directory.Person
	for _, by := range w.who {
		if slices.Contains(by.Person.Groups, group) {
			out = append(out, by.Person)
		}
	}
	return out, w.away
}

func newWorld(t *testing.T) *world {
	t.Helper()
	p := policy.Standard()
	p.SealedIDs = rules
	for i := range p.Posts {
		p.Posts[i].Group = "cn=" + string(p.Posts[i].ID)
	}
	for i := range p.Zones {
		p.Zones[i].MailNotices = true
	}
	p.Mail.From = "sekisho@pref.example"
	w := &world{clock: clock.NewFake(t0), policy: p, who: map[string]approval.Approver{}}
	for login, post := range map[string]policy.PostID{
		"sato": policy.SystemAdministrator, "mori": policy.SecurityManager, "ueda": policy.CSIRT, "cho": policy.CIO, "kan": policy.Auditor, "tanaka": policy.Staff,
	} {
		w.who[login] = approval.Approver{
			Holder: approval.Holder{Person: directory.Person{ID: directory.PersonID("id-" + login), Login: login, Name: "例 " + login, Number: "n-" + login, Groups: []string{"cn=" + string(post)}}, Posts: []policy.PostID{post}},
			Usable: true, ACR: policy.PHR, AuthAt: t0, Zone: policy.LGWAN, From: "10.2.0.9",
		}
	}
	db, rules := storetest.Open(t), func() *policy.Policy { return p }
	w.Book = New(House{DB: db, Trail: audit.New(db, w.clock.Now), Policy: rules, Presence: w, Directory: w, Notices: notice.New(db, w.clock.Now, rules), Now: w.clock.Now})
	return w
}

func (w *world) count(t *testing.T, q string, args ...any) int {
	t.Helper()
	var n int
	if err := w.DB.QueryRow(ctx, q, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) entries(t *testing.T, action string) int {
	t.Helper()
	return w.count(t, `SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE $1`, `%"action":"`+action+`"%`)
}

func (w *world) told(t *testing.T, login string, k notice.Kind) int {
	t.Helper()
	return w.count(t, `SELECT COUNT(*) FROM notice WHERE person_id = $1 AND kind = $2`, "id-"+login, string(k))
}

func (w *world) register(t *testing.T) Shown {
	t.Helper()
	e, err := w.Register(ctx, signin.Origin{}, "sato", Draft{System: "Firewall", Account: "Admin-1", Place: "金庫"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (w *world) does(t *testing.T, who, id string, a Act, typed Typed) Shown {
	t.Helper()
	e, err := w.Do(ctx, signin.Origin{}, who, id, a, typed)
	if err != nil {
		t.Fatalf("%s by %s: %v", a, who, err)
	}
	return e
}

// TestRegister: an ID stands in the register once, under whatever spelling, and each
// act has its event and its entry on the trail.
func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.register(t)
	if _, err := w.Register(ctx, signin.Origin{}, "mori", Draft{System: "ＦＩＲＥＷＡＬＬ", Account: "admin-1", Place: "別館"}); reasonOf(err) != "account.exists" {
		t.Errorf("registered twice: %v", err)
	}
	w.does(t, "mori", e.ID, Confirm, Typed{})
	w.does(t, "mori", e.ID, Test, Typed{Note: "良"})
	w.does(t, "mori", e.ID, Withdraw, Typed{Note: "廃止"})
	again := w.register(t) // what was taken off may come again
	list, err := w.List(ctx, signin.Origin{}, "kan")
	if err != nil || len(list.Envelopes) != 1 || len(list.Withdrawn) != 1 || list.Envelopes[0].ID != again.ID || list.MayWrite == nil || list.Envelopes[0].May != nil {
		t.Fatalf("%+v, %v", list, err)
	}
	one, _, err := w.Get(ctx, signin.Origin{}, "sato", e.ID)
	if err != nil || len(one.History) != 4 || one.History[0].Act != Withdraw || one.History[3].Act != Register || one.History[3].Place != "金庫" {
		t.Errorf("%+v, %v", one.History, err)
	}
	for _, a := range []Act{Confirm, Test, Withdraw} {
		if n := w.entries(t, "sealed."+string(a)); n != 1 {
			t.Errorf("%s has %d entries on the trail", a, n)
		}
	}
	if _, _, err := w.Get(ctx, signin.Origin{}, "sato", "nothing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := w.Do(ctx, signin.Origin{}, "sato", "nothing", Test, Typed{Note: "x"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestWhoMay: posts, sign-ins, and two persons where one would do without being seen.
func TestWhoMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.register(t)
	for who, want := range map[string]string{"tanaka": "no_post", "kan": "reads_only", "sato": "oneself"} {
		for range 2 {
			if _, err := w.Do(ctx, signin.Origin{}, who, e.ID, Confirm, Typed{}); reasonOf(err) != want {
				t.Errorf("confirmed by %s: %v", who, err)
			}
		}
	}
	if n := w.count(t, `SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE '%"outcome":"refused"%'`); n != 3 {
		t.Errorf("%d refusals on the trail, want each once", n)
	}
	if _, err := w.List(ctx, signin.Origin{}, "tanaka"); reasonOf(err) != "no_post" {
		t.Errorf("read by staff: %v", err)
	}
	for _, cookie := range []string{"", "nobody"} {
		if _, err := w.List(ctx, signin.Origin{}, cookie); !errors.Is(err, session.ErrNone) && !errors.Is(err, signin.ErrNone) {
			t.Errorf("read by nobody: %v", err)
		}
	}
	change := func(f func(*approval.Approver)) {
		by := w.who["mori"]
		f(&by)
		w.who["weak"] = by
	}
	var up *account.StepUp
	for name, f := range map[string]func(*approval.Approver){
		"weak": func(a *approval.Approver) { a.ACR = policy.AAL2 }, "old": func(a *approval.Approver) { a.AuthAt = t0.Add(-time.Hour) }, "copied": func(a *approval.Approver) { a.Synced = true },
	} {
		change(f)
		if _, err := w.Do(ctx, signin.Origin{}, "weak", e.ID, Confirm, Typed{}); !errors.As(err, &up) || up.Required != policy.PHR {
			t.Errorf("a sign-in that is %s: %v", name, err)
		}
		if list, err := w.List(ctx, signin.Origin{}, "weak"); err != nil || list.StepUp == nil {
			t.Errorf("a sign-in that is %s is not told of it: %v", name, err)
		}
	}
	change(func(a *approval.Approver) { a.Usable = false })
	if _, err := w.List(ctx, signin.Origin{}, "weak"); !errors.Is(err, session.ErrNone) {
		t.Errorf("somebody suspended reads: %v", err)
	}
	w.does(t, "mori", e.ID, Confirm, Typed{})
}

// TestOpenedIsTold at once, in the transaction that enters it, whoever opened it.
func TestOpenedIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.register(t)
	if _, err := w.Do(ctx, signin.Origin{}, "sato", e.ID, Open, Typed{Note: "停止", Opener: "nobody"}); reasonOf(err) != "opener.unknown" {
		t.Errorf("by nobody: %v", err)
	}
	w.clock.Advance(time.Hour)
	got := w.does(t, "sato", e.ID, Open, Typed{Note: "停止", Opener: "mori", At: t0.Add(time.Minute)})
	if o := got.Opened(); o.By.Login != "mori" || !o.At.Equal(t0.Add(time.Minute)) || !got.IsOpen() {
		t.Errorf("%+v", o)
	}
	for login, want := range map[string]int{"cho": 1, "ueda": 1, "mori": 0, "sato": 0, "kan": 0} {
		if n := w.told(t, login, notice.SealedOpened); n != want {
			t.Errorf("%s was told %d times, want %d", login, n, want)
		}
	}
	// While the directory is away it is entered all the same.
	w.does(t, "sato", e.ID, Seal, Typed{})
	w.clock.Advance(time.Minute)
	w.away = errors.New("away")
	w.does(t, "sato", e.ID, Open, Typed{Note: "再び"})
	if n := w.told(t, "cho", notice.SealedOpened); n != 1 || w.entries(t, "sealed.open") != 2 {
		t.Errorf("told %d times", n)
	}
}

// TestOverdueIsTold once and then weekly, by one gateway.
func TestOverdueIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.register(t)
	remind := func(want int) {
		t.Helper()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := w.Remind(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, login := range []string{"cho", "sato"} { // the CIO, and who sealed it
			if n := w.told(t, login, notice.SealedDue); n != want {
				t.Errorf("%s was told %d times, want %d", login, n, want)
			}
		}
	}
	remind(0)
	w.clock.Advance(confirmWithin)
	remind(1)
	w.does(t, "mori", e.ID, Confirm, Typed{})
	remind(1)
	w.clock.Advance(30 * day)
	remind(2)
	w.clock.Advance(tellEvery - 1)
	remind(2)
	w.clock.Advance(1)
	remind(3)
	w.does(t, "mori", e.ID, Withdraw, Typed{Note: "廃止"})
	w.clock.Advance(100 * day)
	remind(3)
}

// TestTwoAtOnce: of two who enter something at the same time, one is told that the
// other was first.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.register(t)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done int
	)
	for _, who := range []string{"mori", "ueda", "cho", "mori"} {
		wg.Go(func() {
			_, err := w.Do(ctx, signin.Origin{}, who, e.ID, Confirm, Typed{})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
			} else if got := reasonOf(err); got != "confirmed" && got != "changed" {
				t.Errorf("%s: %v", who, err)
			}
		})
	}
	wg.Wait()
	if done != 1 || w.entries(t, "sealed.confirm") != 1 {
		t.Errorf("confirmed %d times", done)
	}
}

// TestKnown: what is found in the directory is named by the register, by its login or
// its name; what was taken off is not.
func TestKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.register(t)
	for _, tt := range []struct{ login, dn, want string }{
		{"admin-1", "", "Firewall"}, {"ＡＤＭＩＮ-1", "", "Firewall"}, {"", "cn=admin-1,ou=admins,dc=pref", "Firewall"}, {"admin", "cn=admin-1,dc=pref", ""}, {"", "", ""}, {"", "odd", ""},
	} {
		got, err := w.Known(ctx, w.DB, tt.login, tt.dn)
		if err != nil || len(got) > 1 || len(got) == 1 != (tt.want != "") || len(got) == 1 && got[0] != tt.want {
			t.Errorf("%q, %q: %q, %v", tt.login, tt.dn, got, err)
		}
	}
	w.does(t, "mori", e.ID, Withdraw, Typed{Note: "廃止"})
	if got, err := w.Known(ctx, w.DB, "admin-1", ""); err != nil || got != nil {
		t.Errorf("taken off, and known: %q, %v", got, err)
	}
}
