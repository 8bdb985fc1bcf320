package page

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/lockdown"
	"sekisho/policy"
)

// The real service fits.
var _ LockDown = (*lockdown.Service)(nil)

// An alarm is lock-downs as a test tells them to be.
type alarm struct {
	room    lockdown.Room
	picture lockdown.Picture
	order   authz.LockDown // what Order answers
	lookErr error
	actErr  error
	did     []string
}

func (a *alarm) do(what ...any) error {
	a.did = append(a.did, strings.TrimSpace(fmt.Sprintln(what...)))
	return a.actErr
}

func (a *alarm) Room(context.Context, signin.Origin, string) (lockdown.Room, error) {
	return a.room, a.lookErr
}

func (a *alarm) Preview(_ context.Context, _ signin.Origin, _ string, r lockdown.Order) (lockdown.Picture, error) {
	pic := a.picture
	pic.Order = r
	return pic, a.do("preview", r.Scope, r.Target, r.Minutes, r.Reason, r.ID)
}

func (a *alarm) Order(_ context.Context, _ signin.Origin, _ string, r lockdown.Order) (authz.LockDown, error) {
	return a.order, a.do("order", r.Scope, r.Target, r.Minutes, r.Reason, r.ID)
}

func (a *alarm) Ratify(_ context.Context, _ signin.Origin, _, id string) (authz.LockDown, error) {
	return a.order, a.do("ratify", id)
}

func (a *alarm) Lift(_ context.Context, _ signin.Origin, _, id, reason string) error {
	return a.do("lift", id, reason)
}

// atAlarm is the CIO, with a lock-down of each sort in force and before.
func atAlarm(w *world) *world {
	asApprover(w)
	w.signedIn("cio")
	w.now.Session.ACR = policy.PHR
	w.policy.LockDown.Custodians, w.policy.LockDown.Applications = []string{"sasaki", "ogawa"}, []string{"bunsho"}
	own := authz.LockDown{ID: "l1", Scope: authz.LockApplication, Target: "juki", Reason: "不審な照会 <b>\n調査中", By: "yoshida", OrderedAt: t0.Add(-20 * time.Minute), EndsAt: t0.Add(40 * time.Minute)}
	csirt := authz.LockDown{ID: "l2", Scope: authz.LockSection, Target: "joho", Reason: "端末の感染", By: "ueda", OrderedAt: t0.Add(-time.Hour), EndsAt: t0.Add(3 * time.Hour), RatifyBy: t0.Add(time.Hour)}
	ratified := csirt
	ratified.ID, ratified.Scope, ratified.Target, ratified.RatifiedAt, ratified.RatifiedBy, ratified.EndsAt = "l3", authz.LockPerson, "tanaka", t0.Add(-2*time.Hour), "yoshida", t0.Add(-time.Hour)
	lifted := own
	lifted.ID, lifted.Scope, lifted.Target, lifted.LiftedAt, lifted.LiftedBy, lifted.LiftReason = "l4", authz.LockAll, "", t0.AddDate(0, 0, -1), "yoshida", "安全を確認した"
	sealed := lifted
	sealed.ID, sealed.Scope, sealed.Target, sealed.Sealed, sealed.LiftedBy, sealed.LiftReason = "l5", authz.LockTerminal, "madoguchi-1", true, "root", "sealed key"
	alone := csirt
	alone.ID, alone.Scope, alone.Target, alone.RatifyBy = "l6", authz.LockRemote, "", t0.Add(-time.Minute)
	w.alarm.room = lockdown.Room{
		InForce: []authz.LockDown{own, csirt}, Past: []authz.LockDown{ratified, lifted, sealed, alone}, Right: lockdown.Own,
		Ratify: map[string]bool{"l2": true}, Lift: map[string]bool{"l1": true, "l2": true}, Longest: 72 * time.Hour, Within: 2 * time.Hour,
	}
	w.alarm.order = own
	w.alarm.picture = lockdown.Picture{
		Right: lockdown.Own, EndsAt: t0.Add(time.Hour), Sessions: 12, Hosts: 5, Leases: 2, Spared: 3, Excepted: 1, Unknown: 1, ID: "id-1",
		People:   []lockdown.Hit{{Login: "tanaka", Name: "田中 一郎", Section: "joho", Sessions: 3}, {Login: "suzuki", Sessions: 1}},
		Sections: []lockdown.Counted{{ID: "joho", Count: 11}, {Count: 1}}, Apps: []lockdown.Counted{{ID: "bunsho", Count: 4}, {ID: "juki", Count: 1}},
		Lent: []lockdown.Named{{Login: "sasaki", Name: "佐々木 健"}, {Login: "mori"}}, Closed: []string{"juki", "kansa"}, GoOn: []string{"bunsho"},
		Exempt: []lockdown.Named{{Login: "yoshida", Name: "吉田 <i>"}, {Login: "sasaki", Name: "佐々木 健", Custodian: true}, {Login: "ogawa", Custodian: true}},
	}
	return w
}

// asCSIRT is atAlarm for somebody who orders under delegation.
func asCSIRT(w *world) *world {
	atAlarm(w).signedIn("csirt")
	w.alarm.room.Right, w.alarm.room.Ratify, w.alarm.room.Lift = lockdown.Delegated, nil, map[string]bool{"l2": true}
	p := &w.alarm.picture
	p.Right, p.RatifyBy, p.Self, p.Ratifiers, p.Unread = lockdown.Delegated, t0.Add(2*time.Hour), true, []lockdown.Named{{Login: "yoshida", Name: "吉田 誠"}, {Login: "choei"}}, true
	return w
}

func init() {
	for _, name := range []string{"lockdown-none", "lockdown-auditor", "lockorder-all", "lockorder-application", "lockseen", "lockseen-many"} {
		alike[name] = true
	}
	order := func(scope string) func(*world) *answer {
		return func(w *world) *answer { return atAlarm(w).get("/lockdown/order?scope=" + scope) }
	}
	typed := []string{"scope", "all", "minutes", "60", "reason", "侵入の疑い <b>\n外部から接続あり"}
	scenes = append(scenes, []scene{
		{"lockdown", 200, func(w *world) *answer { return atAlarm(w).get("/lockdown?done=lifted") }},
		{"lockdown-none", 200, func(w *world) *answer {
			atAlarm(w).alarm.room = lockdown.Room{Right: lockdown.Own, Longest: time.Hour}
			return w.get("/lockdown")
		}},
		{"lockdown-csirt", 200, func(w *world) *answer { return asCSIRT(w).get("/lockdown?done=ordered") }},
		{"lockdown-stale", 200, func(w *world) *answer {
			atAlarm(w).alarm.room.StepUp = freshly
			return w.get("/lockdown?done=ratified")
		}},
		{"lockdown-auditor", 200, func(w *world) *answer {
			atAlarm(w).signedIn("auditor")
			w.alarm.room.Right, w.alarm.room.Ratify, w.alarm.room.Lift = "", nil, nil
			_, w.alarm.room.Refused = lockdown.MayOrder(w.policy, []policy.PostID{policy.Auditor}, t0)
			return w.get("/lockdown")
		}},
		{"lockdown-lift-wrong", 422, func(w *world) *answer { return atAlarm(w).post("/lockdown/l1/lift", "reason", " ") }},
		{"lockorder-all", 200, order("all")},
		{"lockorder-person", 200, order("person")},
		{"lockorder-section", 200, order("section&target=joho&minutes=30")},
		{"lockorder-application", 200, order("application")},
		{"lockorder-wrong", 422, func(w *world) *answer {
			atAlarm(w).alarm.actErr = &lockdown.Refusal{Reason: "unknown", Field: "target", Says: policy.Words{JA: "その名前の人は見つかりません。", EN: "Nobody of that name is known."}, Articles: []policy.Article{"75-2"}}
			return w.post("/lockdown/preview", "scope", "person", "target", "nobody", "minutes", "60", "reason", "x")
		}},
		{"lockseen", 200, func(w *world) *answer { return atAlarm(w).post("/lockdown/preview", typed...) }},
		{"lockseen-csirt", 200, func(w *world) *answer { return asCSIRT(w).post("/lockdown/preview", typed...) }},
		{"lockseen-person", 200, func(w *world) *answer {
			atAlarm(w).alarm.picture = lockdown.Picture{Right: lockdown.Own, EndsAt: t0.Add(time.Hour), Name: "田中 一郎"}
			return w.post("/lockdown/preview", "scope", "person", "target", "tanaka", "minutes", "60", "reason", "漏えいの疑い")
		}},
		{"lockseen-many", 200, func(w *world) *answer {
			atAlarm(w).alarm.picture.Exempt = nil
			for i := range 250 {
				w.alarm.picture.People = append(w.alarm.picture.People, lockdown.Hit{Login: fmt.Sprintf("p%03d", i), Name: fmt.Sprintf("例 %d", i), Section: "joho", Sessions: 1})
			}
			return w.post("/lockdown/preview", typed...)
		}},
	}...)
}

// TestLockForms: what was looked at is what is ordered, once, and nothing is ordered
// by looking.
func TestLockForms(t *testing.T) {
	w := atAlarm(newWorld(t))
	a := w.post("/lockdown/preview", "scope", "section", "target", "joho", "minutes", "３０", "reason", "侵入", "id", "x").is(200)
	a.says(`name="id" value="id-1"`, `name="scope" value="section"`, `name="target" value="joho"`, `name="reason" value="侵入"`, `name="minutes" value="30"`)
	w.post("/lockdown/order", "scope", "section", "target", "joho", "minutes", "30", "reason", "侵入", "id", "id-1").leadsTo("/lockdown?done=ordered")
	if got := strings.Join(w.alarm.did, ";"); got != "preview section joho 30 侵入;order section joho 30 侵入 id-1" {
		t.Errorf("did %q", got)
	}
	w.alarm.order.LiftedAt = t0 // the button pressed once more, later
	w.post("/lockdown/order", "scope", "all", "minutes", "x", "reason", "y").leadsTo("/lockdown")
	w.alarm.did = nil
	w.post("/lockdown/l2/ratify").leadsTo("/lockdown?done=ratified")
	w.post("/lockdown/l2/lift", "reason", " 済んだ ").leadsTo("/lockdown?done=lifted")
	w.post("/lockdown/l1/lift", "reason", strings.Repeat("あ", 501)).is(http.StatusUnprocessableEntity).says(`id="reason-l1-wrong-0"`)
	if got := strings.Join(w.alarm.did, ";"); got != "ratify l2;lift l2 済んだ" {
		t.Errorf("did %q", got)
	}
	w.get("/lockdown/l2/lift").leadsTo("/lockdown")
	w.get("/lockdown/order?scope=nothing").is(404)
}

// TestLockAsksForASignIn before anything is typed, and again where it has grown old
// meanwhile; what is not the reader's to order is not asked for.
func TestLockAsksForASignIn(t *testing.T) {
	w := atAlarm(newWorld(t))
	w.alarm.room.StepUp = freshly
	w.get("/lockdown").says("本人確認").keepsSilentOn(`action="/lockdown/l1/lift"`)
	back := url.Values{"acr": {"phr"}, "max_age": {"600"}}
	back.Set("rd", "/lockdown/order?minutes=&scope=all&target=")
	w.get("/lockdown/order?scope=all").leadsTo("/signin?" + back.Encode())
	w.alarm.room.StepUp, w.alarm.actErr = nil, freshly
	back.Set("rd", "/lockdown/order?minutes=30&scope=section&target=joho")
	for _, path := range []string{"/lockdown/preview", "/lockdown/order"} {
		w.post(path, "scope", "section", "target", "joho", "minutes", "30", "reason", "x").leadsTo("/signin?" + back.Encode())
	}
	w.alarm.actErr = nil
	_, w.alarm.room.Refused = lockdown.MayOrder(w.policy, nil, t0)
	w.get("/lockdown/order?scope=all").is(403)
	w.alarm.actErr = w.alarm.room.Refused
	w.post("/lockdown/order", "scope", "all", "minutes", "30", "reason", "x").is(403)
	// The way there is shown to who has a use for it.
	for post, want := range map[string]bool{"cio": true, "csirt": true, "security_manager": false} {
		w := atAlarm(newWorld(t))
		w.signedIn(post)
		if got := strings.Contains(w.get("/me").body, `href="/lockdown"`); got != want {
			t.Errorf("%s is shown the way: %v", post, got)
		}
	}
}
