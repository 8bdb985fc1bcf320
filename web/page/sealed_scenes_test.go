package page

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/sealed"
	"sekisho/policy"
)

// The real book fits.
var _ Sealed = (*sealed.Book)(nil)

// A safe is the register as a test tells it to be.
type safe struct {
	list    sealed.Listed
	one     sealed.Shown
	stepUp  *account.StepUp
	lookErr error
	actErr  error
	did     []string
}

func (s *safe) List(context.Context, signin.Origin, string) (sealed.Listed, error) {
	return s.list, s.lookErr
}

func (s *safe) Get(context.Context, signin.Origin, string, string) (sealed.Shown, *account.StepUp, error) {
	return s.one, s.stepUp, s.lookErr
}

func (s *safe) Register(_ context.Context, _ signin.Origin, _ string, n sealed.Draft) (sealed.Shown, error) {
	s.did = append(s.did, fmt.Sprintf("register %+v", n))
	return s.one, s.actErr
}

func (s *safe) Do(_ context.Context, _ signin.Origin, _, id string, a sealed.Act, t sealed.Typed) (sealed.Shown, error) {
	at := ""
	if !t.At.IsZero() {
		at = t.At.UTC().Format(time.RFC3339)
	}
	s.did = append(s.did, strings.TrimSpace(fmt.Sprintln(a, id, t.Note, t.Place, t.Failed, t.Opener, at)))
	return s.one, s.actErr
}

var (
	keeper    = sealed.Ref{ID: "k1", Login: "sato", Name: "佐藤 <b>"}
	colleague = sealed.Ref{ID: "k2", Login: "mori"}
)

// kept is an envelope in order, changed; as its reader, who is another, may use it.
func kept(p *policy.Policy, id string, change func(*sealed.Envelope)) sealed.Shown {
	deed := func(days int, by sealed.Ref, note string) sealed.Deed {
		return sealed.Deed{At: t0.AddDate(0, 0, -days), By: by, Note: note}
	}
	e := sealed.Envelope{
		ID: id, System: "庁内ファイアウォール", Account: "emergency-admin", Place: "本庁5階の金庫 <i>", Note: "封筒番号3",
		Registered: deed(100, keeper, ""), Sealed: deed(100, keeper, ""), Placed: deed(100, keeper, ""), Confirmed: deed(99, colleague, ""), Tested: deed(10, colleague, "封に異常なし"),
	}
	change(&e)
	out := sealed.Shown{Envelope: e, Debts: e.Debts(p.SealedIDs, t0), TestDue: e.TestDue(p.SealedIDs), RotationDue: e.RotationDue(p.SealedIDs), May: map[sealed.Act]*sealed.Refusal{}}
	for _, a := range sealed.Acts() {
		out.May[a] = e.May(a, sealed.Ref{ID: "p1", Login: "tanaka"})
	}
	out.History = []sealed.Event{
		{At: t0.AddDate(0, 0, -1), Act: sealed.Open, By: keeper, Note: "関所の停止", Opener: &colleague, Opened: t0.AddDate(0, 0, -2)},
		{At: t0.AddDate(0, 0, -5), Act: sealed.Test, By: colleague, Note: "封が破れていた", Failed: true},
		{At: t0.AddDate(0, 0, -10), Act: sealed.Test, By: colleague, Note: "封に異常なし"},
		{At: t0.AddDate(0, 0, -20), Act: sealed.Move, By: colleague, Place: "別館の金庫"},
		{At: t0.AddDate(0, 0, -99), Act: sealed.Confirm, By: colleague}, {At: t0.AddDate(0, 0, -100), Act: sealed.Register, By: keeper, Note: "封筒番号3", Place: "本庁5階の金庫"},
	}
	return out
}

func opened(e *sealed.Envelope) {
	e.Openings = []sealed.Opening{{At: t0.AddDate(0, 0, -3), By: colleague, Writer: keeper, Reason: "一度目"}, {At: t0.AddDate(0, 0, -1), By: colleague, Writer: keeper, Reason: "関所が止まり、\n通信を復旧するため"}}
	e.ReportDue = t0.Add(-time.Hour)
}

// atSafe is an administrator with an emergency ID in each state.
func atSafe(w *world) *world {
	w.signedIn("system_administrator")
	w.now.Session.ACR = policy.PHR
	p := w.policy
	gone := kept(p, "e6", func(e *sealed.Envelope) { e.Withdrawn = sealed.Deed{At: t0, By: keeper, Note: "廃止"} })
	w.safe.list = sealed.Listed{Withdrawn: []sealed.Shown{gone}, Envelopes: []sealed.Shown{
		kept(p, "e1", opened),
		kept(p, "e2", func(e *sealed.Envelope) {
			opened(e)
			e.Sealed, e.Placed, e.Reported = sealed.Deed{At: t0, By: keeper}, sealed.Deed{At: t0, By: keeper}, sealed.Deed{At: t0, By: colleague, Note: "した"}
		}),
		kept(p, "e3", func(e *sealed.Envelope) { e.Confirmed, e.Tested, e.Placed.At = sealed.Deed{}, sealed.Deed{}, t0 }),
		kept(p, "e4", func(e *sealed.Envelope) { e.Failed = sealed.Deed{At: t0, By: colleague, Note: "破れ"} }),
		kept(p, "e5", func(e *sealed.Envelope) { e.Tested.At, e.Registered.At = t0.AddDate(-1, 0, 0), t0.AddDate(-2, 0, 0) }),
		kept(p, "e7", func(*sealed.Envelope) {}),
	}}
	w.safe.one = w.safe.list.Envelopes[5]
	return w
}

func init() {
	for _, name := range []string{"sealed-none", "sealed-register", "sealed-reconciled", "sealed-auditor", "sealed-stale", "sealed-changed", "sealed-forbidden", "sealed-test-wrong"} {
		alike[name] = true
	}
	one := func(change func(*sealed.Envelope)) func(*world) *answer {
		return func(w *world) *answer {
			atSafe(w).safe.one = kept(w.policy, "e1", change)
			return w.get("/sealed/e1")
		}
	}
	scenes = append(scenes, []scene{
		{"sealed", 200, func(w *world) *answer { return atSafe(w).get("/sealed") }},
		{"sealed-none", 200, func(w *world) *answer {
			atSafe(w).safe.list = sealed.Listed{MayWrite: sealed.MayWrite(w.policy, []policy.PostID{policy.Auditor})}
			return w.get("/sealed")
		}},
		{"sealed-register", 200, func(w *world) *answer { return atSafe(w).get("/sealed/register") }},
		{"sealed-register-wrong", 422, func(w *world) *answer {
			_, atSafe(w).safe.actErr = sealed.Begin("x", sealed.Draft{}, keeper, t0)
			return w.post("/sealed/register", "account", "admin")
		}},
		{"sealed-one", 200, func(w *world) *answer { return atSafe(w).get("/sealed/e7?done=test") }},
		{"sealed-open", 200, one(opened)},
		{"sealed-reported", 200, one(func(e *sealed.Envelope) {
			opened(e)
			e.Reported = sealed.Deed{At: t0, By: colleague, Note: "経路を書き換え、\n戻した。"}
			e.Sealed, e.Placed, e.Confirmed = sealed.Deed{At: t0, By: sealed.Ref{ID: "p1"}}, sealed.Deed{At: t0, By: sealed.Ref{ID: "p1"}}, sealed.Deed{}
		})},
		{"sealed-reconciled", 200, one(func(e *sealed.Envelope) {
			opened(e)
			e.Reported, e.Reconciled, e.Sealed = sealed.Deed{At: t0, By: colleague, Note: "した"}, sealed.Deed{At: t0, By: keeper, Note: "一致した"}, sealed.Deed{At: t0, By: keeper}
		})},
		{"sealed-stale", 200, func(w *world) *answer {
			atSafe(w).safe.stepUp = freshly
			return w.get("/sealed/e7")
		}},
		{"sealed-auditor", 200, func(w *world) *answer {
			atSafe(w).safe.one.May = nil
			return w.get("/sealed/e7")
		}},
		{"sealed-test-wrong", 422, func(w *world) *answer { return atSafe(w).post("/sealed/e7/test", "note", "封に異常なし") }},
		{"sealed-open-wrong", 422, func(w *world) *answer {
			atSafe(w).safe.actErr = &sealed.Refusal{Reason: "unknown", Field: "opener", Says: policy.Words{JA: "その名前の人は見つかりません。", EN: "Nobody of that name is known."}, Articles: []policy.Article{"80-2"}}
			return w.post("/sealed/e7/open", "note", "停止", "opener", "nobody", "at", "2026-04-01T09:00")
		}},
		{"sealed-changed", 409, func(w *world) *answer {
			atSafe(w).safe.actErr = &sealed.Refusal{Reason: "changed", Conflict: true, Says: policy.Words{JA: "ほかの人が先に記録しました。", EN: "Somebody else was first."}}
			return w.post("/sealed/e7/move", "place", "別館")
		}},
		{"sealed-forbidden", 403, func(w *world) *answer {
			atSafe(w).signedIn()
			w.safe.lookErr = sealed.MaySee(w.policy, nil)
			return w.get("/sealed")
		}},
	}...)
}

func TestSealedForms(t *testing.T) {
	for _, tt := range []struct {
		act    string
		fields []string
		did    string
	}{
		{"confirm", nil, "confirm e7   false"},
		{"test", []string{"note", " 良 ", "result", "good"}, "test e7 良  false"}, {"test", []string{"note", "破れ", "result", "failed"}, "test e7 破れ  true"}, {"test", []string{"note", "良"}, ""},
		{"open", []string{"note", "停止", "opener", "ueda", "at", "2026-04-01T09:00"}, "open e7 停止  false ueda 2026-04-01T00:00:00Z"},
		{"open", []string{"note", "停止"}, "open e7 停止  false"}, {"open", []string{"note", "停止", "at", "昨日"}, ""},
		{"report", []string{"note", "した"}, "report e7 した  false"}, {"seal", []string{"place", "別館"}, "seal e7  別館 false"},
		{"move", []string{"place", "別館"}, "move e7  別館 false"}, {"withdraw", []string{"note", "廃止"}, "withdraw e7 廃止  false"},
	} {
		w := atSafe(newWorld(t))
		if a := w.post("/sealed/e7/"+tt.act, tt.fields...); tt.did == "" {
			a.is(http.StatusUnprocessableEntity)
		} else {
			a.leadsTo("/sealed/e7?done=" + tt.act)
		}
		if got := strings.Join(w.safe.did, ";"); got != tt.did {
			t.Errorf("%s %q: did %q, want %q", tt.act, tt.fields, got, tt.did)
		}
	}
	w := atSafe(newWorld(t))
	w.post("/sealed/register", "system", "FW", "account", "admin", "place", "金庫").leadsTo("/sealed/e7?done=register")
	w.get("/sealed/e7/open").leadsTo("/sealed/e7")
	// The sign-in that it takes comes before the form, and is asked again.
	w.safe.list.StepUp = freshly
	back := url.Values{"acr": {"phr"}, "max_age": {"600"}, "rd": {"/sealed/register"}}
	w.get("/sealed/register").leadsTo("/signin?" + back.Encode())
	w.safe.actErr = freshly
	back.Set("rd", "/sealed/e7")
	w.post("/sealed/e7/confirm").leadsTo("/signin?" + back.Encode())
	w.safe.list.MayWrite = sealed.MayWrite(w.policy, []policy.PostID{policy.Auditor})
	w.get("/sealed/register").is(403)
	w.safe.stepUp = freshly
	w.get("/sealed/e7").keepsSilentOn(`action="/sealed/e7/confirm"`, `action="/sealed/e7/open"`)
}
