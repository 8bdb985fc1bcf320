package page

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/shared"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// The real book fits.
var _ Shared = (*shared.Book)(nil)

// A closet is who has which shared ID as a test tells it to be.
type closet struct {
	list    []shared.Shown
	past    []shared.Checkout
	live    []shared.Seen
	lookErr error
	actErr  error
	did     []string
}

func (c *closet) List(context.Context, signin.Origin, string) ([]shared.Shown, error) {
	return c.list, c.lookErr
}

func (c *closet) Past(context.Context, signin.Origin, string, int) ([]shared.Checkout, error) {
	return c.past, c.lookErr
}

func (c *closet) CheckOut(_ context.Context, _ signin.Origin, _, id, reason string, minutes int) (shared.Given, error) {
	c.did = append(c.did, fmt.Sprint("out ", id, " ", reason, " ", minutes))
	one := hadBy("c9", "hoso", sasakiRef)
	one.Account = "hoso"
	return shared.Given{Checkout: one, Password: secret.NewText([]byte("Abcd-efgh-2345"))}, c.actErr
}

func (c *closet) CheckIn(_ context.Context, _ signin.Origin, _, id string) (shared.Checkout, error) {
	c.did = append(c.did, "in "+id)
	return shared.Checkout{}, c.actErr
}

func (c *closet) Live(context.Context, signin.Origin, string) ([]shared.Seen, error) {
	return c.live, nil
}

func (c *closet) End(_ context.Context, _ signin.Origin, _, checkout, reason string) (shared.Checkout, error) {
	c.did = append(c.did, "end "+checkout+" "+reason)
	return shared.Checkout{}, c.actErr
}

func (c *closet) Any(approval.Holder) bool { return len(c.list) > 0 }

var sasakiRef = shared.Ref{ID: "p1", Login: "sasaki", Name: "佐々木 健", Section: "joho"}

func hadBy(id, of string, by shared.Ref) shared.Checkout {
	return shared.Checkout{ID: id, Shared: of, By: by, Account: of, Reason: "昼の放送 <i>", AskedAt: t0.Add(-10 * time.Minute), EndsAt: t0.Add(20 * time.Minute)}
}

// atCloset is a reader with a shared ID in each state.
func atCloset(w *world) *world {
	atDesk(w, "staff")
	id := func(id, ja string, holders int) policy.SharedID {
		return policy.SharedID{ID: id, Name: policy.Words{JA: ja, EN: "Shared " + id}, Holders: holders, Usual: 30 * time.Minute, Longest: 2 * time.Hour}
	}
	mine, other := hadBy("c1", "mado", sasakiRef), hadBy("c2", "mado", shared.Ref{ID: "p2", Login: "ogawa"})
	w.policy.SharedIDs = []policy.SharedID{id("hoso", "庁内放送", 1), id("mado", "窓口 <b>", 3)}
	w.closet.list = []shared.Shown{
		{SharedID: id("mado", "窓口 <b>", 3), Held: []shared.Checkout{mine, other}, Mine: mine, Residual: []policy.Words{{JA: "開いているセッションは続きます。", EN: "Open sessions go on."}}, Refused: &shared.Refusal{Says: policy.Words{JA: "もう受け取っています。", EN: "You have it."}}},
		{SharedID: id("hoso", "庁内放送", 1)},
		{SharedID: id("yoyaku", "会議室の予約", 2), Held: []shared.Checkout{other}, StepUp: freshly},
		{SharedID: id("kagi", "鍵の管理", 1), Held: []shared.Checkout{other}, Refused: &shared.Refusal{
			Is: shared.Conflict, Says: policy.Words{JA: "いま小川さんが使っています。", EN: "Ogawa has it."}, Articles: []policy.Article{"46-1"}}},
	}
	over := hadBy("c3", "gone", sasakiRef)
	over.EndedAt, over.EndReason = t0.Add(-time.Minute), "不審な操作"
	w.closet.past = []shared.Checkout{over}
	w.closet.live = []shared.Seen{
		{Checkout: mine, Name: w.policy.SharedIDs[1].Name, MayEnd: true}, {Checkout: other, MayEnd: true, StepUp: freshly}, {Checkout: hadBy("c5", "x", sasakiRef)},
	}
	return w
}

func init() {
	for _, name := range []string{"shared-none", "shared-taken", "shared-secret"} {
		alike[name] = true
	}
	scenes = append(scenes, []scene{
		{"shared", 200, func(w *world) *answer { return atCloset(w).get("/shared?done=checkin") }},
		{"shared-none", 200, func(w *world) *answer {
			atCloset(w).closet.list = nil
			w.closet.past = nil
			return w.get("/shared")
		}},
		{"shared-wrong", 422, func(w *world) *answer {
			atCloset(w).closet.actErr = &shared.Refusal{Reason: "required", Is: shared.Invalid, Field: "reason", Says: policy.Words{JA: "使う理由を入力してください。", EN: "Please say what it is for."}, Articles: []policy.Article{"46-1"}}
			return w.post("/shared/hoso/checkout", "reason", "", "minutes", "30")
		}},
		{"shared-taken", 409, func(w *world) *answer {
			atCloset(w).closet.actErr = &shared.Refusal{Reason: "taken", Is: shared.Conflict, Says: policy.Words{JA: "いま小川さんが使っています。", EN: "Ogawa has it."}, Articles: []policy.Article{"46-1"}}
			return w.post("/shared/kagi/checkout", "reason", "放送", "minutes", "30")
		}},
		{"shared-secret", 200, func(w *world) *answer {
			return atCloset(w).post("/shared/hoso/checkout", "reason", "放送", "minutes", "３０")
		}},
		{"live-shared", 200, func(w *world) *answer {
			atCloset(withLive(w))
			w.signedIn("security_manager")
			return w.get("/live?done=shared_end")
		}},
	}...)
}

func TestSharedPages(t *testing.T) {
	w := atCloset(newWorld(t))
	w.get("/shared").is(200).says(`href="/shared" aria-current="true"`, "窓口 &lt;b&gt;", `data-left="1200"`, "佐々木", "小川さんが使っています", `action="/shared/hoso/checkout"`,
		`value="30"`, `href="/signin?acr=phr`, `action="/shared/mado/checkin"`, "いっしょに使っている人：ogawa", "終わっても及ばないもの", "開いているセッションは続きます。", "同時に2人まで").keepsSilentOn(`action="/shared/kagi/checkout"`, `action="/shared/yoyaku/checkout"`)
	a := w.post("/shared/hoso/checkout", "reason", " 放送 ", "minutes", "３０").is(200).says("Abcd-efgh-2345", ">hoso<", `href="/shared"`, "今だけ表示されます")
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a page with a password may be kept: %q", a.Header.Get("Cache-Control"))
	}
	w.post("/shared/hoso/checkout", "reason", "放送", "minutes", "x").is(422).says(`id="minutes-hoso-wrong-0"`, `value="放送"`)
	w.post("/shared/mado/checkin").is(http.StatusSeeOther)
	w.post("/live/shared/c2/end", "reason", "不審").is(http.StatusSeeOther)
	if got := fmt.Sprint(w.closet.did); got != "[out hoso 放送 30 in mado end c2 不審]" {
		t.Errorf("did %s", got)
	}
	w.closet.actErr = freshly
	a = w.post("/shared/hoso/checkout", "reason", "放送", "minutes", "30").is(http.StatusSeeOther)
	if to := a.Header.Get("Location"); to[:8] != "/signin?" {
		t.Errorf("an old sign-in is led to %s", to)
	}
	w.closet.actErr = shared.ErrNotFound
	w.post("/shared/none/checkin").is(404)
	w.closet.lookErr = errStore
	w.get("/shared").is(500).keepsSilentOn(errStore.Error())
}
