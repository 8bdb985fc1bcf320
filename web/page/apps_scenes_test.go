package page

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekisho/authz"
	"sekisho/policy"
	"sekisho/web"
)

// withApplications gives the policy an application of every kind.
func (w *world) withApplications() *world {
	w.policy.Applications = append(w.policy.Applications,
		policy.Application{ID: "kyuyo", Name: policy.Words{JA: "給与明細", EN: "Pay slips"}, Host: "kyuyo.localhost", Zone: policy.LGWAN, Class: 2,
			Paths: []policy.PathRule{{Path: "/koza", ACR: policy.PHR, FreshFor: 10 * time.Minute}}},
		policy.Application{ID: "zaimu", Name: policy.Words{JA: "財務会計", EN: "Finance"}, Host: "zaimu.localhost", Zone: policy.LGWAN, Class: 2, ACR: policy.PHR},
		policy.Application{ID: "shinsei", Name: policy.Words{JA: "申請の決裁", EN: "Approvals"}, Host: "shinsei.localhost", Zone: policy.LGWAN, Class: 3, FreshFor: 5 * time.Minute},
		policy.Application{ID: "web", Name: policy.Words{JA: "県のホームページ", EN: "Web site"}, Host: "web.localhost", Zone: policy.Internet, Class: 4},
	)
	w.policy.Clients = []policy.Client{{
		ID: "chizu", Name: policy.Words{JA: "共有地図", EN: "Shared maps"}, Zone: policy.LGWAN, Class: 3, AuthMethod: policy.AuthBasic,
		RedirectURIs: []string{"https://chizu.example/cb"}, Scopes: []string{"profile"}, Refresh: true, BackchannelLogoutURI: "https://chizu.example/out",
	}, {
		ID: "kyuyo-web", Name: policy.Words{JA: "給与の画面", EN: "Pay pages"}, Application: "kyuyo", AuthMethod: policy.AuthPrivateKey,
		RedirectURIs: []string{"https://kyuyo.example/cb"}, Scopes: []string{"profile", "email"}, Consent: true, RequirePAR: true, DPoP: policy.DPoPRequired, MaxAge: time.Hour,
	}, {
		ID: "nightly", Name: policy.Words{JA: "夜間の連携", EN: "Nightly exchange"}, Zone: policy.LGWAN, Class: 2, AuthMethod: policy.AuthPrivateKey,
		Service: policy.Service{Owner: "suzuki", Scopes: []string{"juki.read"}}, Audiences: []string{"chizu"},
	}}
	return w
}

// refusedBy is the page that a door of an application answers with. Each time it is
// another door, as a scene may be shown again.
func (w *world) refusedBy(app policy.Application, v authz.Verdict) *answer {
	w.doors++
	door := "/door" + strconv.Itoa(w.doors)
	w.srv.Mount("GET "+door, func(_ http.ResponseWriter, r *web.Request) error {
		return w.srv.Refused(r.Policy(), app, v, "/")
	})
	return w.get(door)
}

func (w *world) decided(f authz.Facts) (policy.Application, authz.Verdict) {
	f.Now = w.clock.Now()
	if f.SignedIn {
		f.Person, f.AuthAt, f.SessionEnds = w.now.Person, t0, t0.Add(time.Hour)
	}
	return f.Application, authz.Decide(w.policy, f)
}

func init() {
	alike["refused-environment-development"], alike["refused-project-over"] = true, true
	app := func(w *world, id string) policy.Application { a, _ := w.policy.Application(id); return a }
	scenes = append(scenes, []scene{
		{"apps", 200, func(w *world) *answer { return w.withApplications().signedIn().get("/me/applications") }},
		{"apps-weak", 200, func(w *world) *answer {
			w.withApplications().signedIn().now.Session.ACR = policy.AAL1
			w.now.Session.AuthAt = t0.Add(-time.Hour)
			return w.get("/me/applications")
		}},
		{"apps-outside", 200, func(w *world) *answer {
			w.withApplications().signedIn().from = "198.51.100.7"
			return w.get("/me/applications")
		}},
		{"apps-environment", 200, func(w *world) *answer {
			w.withApplications().signedIn()
			for i := range w.policy.Applications {
				if id := w.policy.Applications[i].ID; id == "kyuyo" || id == "zaimu" {
					w.policy.Applications[i].Environment = policy.Development
				}
			}
			return w.get("/me/applications")
		}},
		{"apps-none", 200, func(w *world) *answer {
			w.signedIn().policy.Applications = nil
			return w.get("/me/applications")
		}},
		{"refused-not-yours", 403, func(w *world) *answer {
			return w.signedIn().refusedBy(w.decided(authz.Facts{SignedIn: true, Application: app(w, "kansa"), From: policy.LGWAN, ACR: policy.AAL2}))
		}},
		{"refused-crossing", 403, func(w *world) *answer {
			return w.signedIn().refusedBy(w.decided(authz.Facts{SignedIn: true, Application: app(w, "juki"), From: policy.LGWAN, ACR: policy.AAL2}))
		}},
		{"refused-walled", 403, func(w *world) *answer {
			return w.signedIn().refusedBy(w.decided(authz.Facts{SignedIn: true, Application: app(w, "juki"), From: policy.Internet, ACR: policy.AAL2}))
		}},
		{"refused-remote", 403, func(w *world) *answer {
			return w.signedIn().refusedBy(w.decided(authz.Facts{SignedIn: true, Application: app(w, "bunsho"), Outside: true, ACR: policy.AAL2}))
		}},
		{"refused-environment", 403, func(w *world) *answer {
			f := authz.Facts{SignedIn: true, Application: app(w, "bunsho"), From: policy.LGWAN, ACR: policy.AAL2}
			f.Ties = []authz.Tie{{Project: "jiki-bunsho", Environment: policy.Development, Until: t0.AddDate(1, 0, 0)}}
			return w.signedIn().refusedBy(w.decided(f))
		}},
		{"refused-environment-development", 403, func(w *world) *answer {
			one := app(w, "bunsho")
			one.Environment = policy.Development
			return w.signedIn().refusedBy(w.decided(authz.Facts{SignedIn: true, Application: one, From: policy.LGWAN, ACR: policy.AAL2}))
		}},
		{"refused-project-over", 403, func(w *world) *answer {
			f := authz.Facts{SignedIn: true, Application: app(w, "bunsho"), From: policy.LGWAN, ACR: policy.AAL2}
			f.Ties = []authz.Tie{{Project: "jiki-bunsho", Environment: policy.Development, Until: t0}}
			return w.signedIn().refusedBy(w.decided(f))
		}},
		{"refused-synced", 403, func(w *world) *answer {
			return w.signedIn().refusedBy(w.decided(authz.Facts{SignedIn: true, Application: app(w, "juki"), From: policy.MyNumber, ACR: policy.PHR, AMR: []string{"swk"}}))
		}},
	}...)
}

// TestMyApplications: each stands where it belongs, says what is missing and
// leads to what helps; what is for others is named and not opened.
func TestMyApplications(t *testing.T) {
	w := newWorld(t)
	w.withApplications().signedIn()
	w.now.Session.AuthAt = t0.Add(-time.Hour)
	page := w.get("/me/applications").is(200)
	for _, one := range []struct{ id, says, leads string }{
		{"bunsho", "", "/handover?app=bunsho"},
		{"kyuyo", "/koza", "/handover?app=kyuyo"},
		{"chizu", "そのシステムの画面から", ""},
		{"zaimu", "パスキー又はICカード", "/handover?app=zaimu"},
		{"shinsei", "もう一度サインイン", "/handover?app=shinsei"},
		{"juki", "「個人番号利用事務系」の端末", "/permits/new?application=juki"},
		{"web", "領域をまたぐ通信の許可", "/permits/new?application=web"},
		{"kansa", "監査台帳", ""},
	} {
		line := parse(t, page.body).byID(one.id)
		if line == nil {
			t.Errorf("%s is not on the page", one.id)
			continue
		}
		to := ""
		for _, a := range line.all("a") {
			to = a.attr["href"]
		}
		if !containsText(line, one.says) || !(one.leads == "" && to == "" || one.leads != "" && len(to) > len(one.leads) && to[:len(one.leads)] == one.leads) {
			t.Errorf("%s says %q and leads to %q", one.id, line.text, to)
		}
	}
	page.says("情報セキュリティ管理者に申し出て")

	// What is of the other environment is named beside, once with what to do about it.
	for i := range w.policy.Applications {
		if w.policy.Applications[i].ID == "zaimu" {
			w.policy.Applications[i].Environment = policy.Development
		}
	}
	w.get("/me/applications").is(200).says("別の環境（運用／開発・テスト）のシステム", "開発・テスト用の環境です", "第68条第2項", "財務会計").keepsSilentOn("/handover?app=zaimu")
	// A permit that would help is asked for where that can be done.
	w.get("/me/applications").says(`/permits/new?application=web&amp;kind=zone_crossing`)
	// Who is not signed in signs in first, and comes back.
	w.now.State, w.cookie = "", ""
	w.get("/me/applications").leadsTo("/signin?rd=%2Fme%2Fapplications&why=sign_in")
}

// TestRefusedPage: the page of a refusal says the next step of this very reader.
func TestRefusedPage(t *testing.T) {
	w := newWorld(t)
	bunsho, _ := w.policy.Application("bunsho")
	w.signedIn().refusedBy(w.decided(authz.Facts{SignedIn: true, Application: bunsho, Outside: true, ACR: policy.AAL2})).is(403).
		says("このシステムは開けません", "リモートアクセスの許可を申請してください", "/permits/new?application=bunsho&amp;kind=remote_access", "第63条").
		keepsSilentOn("この操作はできません", "別のIDでサインイン")
	made := bunsho
	made.Environment = policy.Development
	w.refusedBy(w.decided(authz.Facts{SignedIn: true, Application: made, From: policy.LGWAN, ACR: policy.AAL2})).is(403).
		says("開発・テスト用の環境です", "いったんサインアウトし", `action="/signout"`, "サインアウトして、別のIDでサインインする", "第68条第2項")
}

// byID is the element with an id; nil for none.
func (e *element) byID(id string) *element {
	for _, in := range e.inner {
		if in.attr["id"] == id {
			return in
		}
		if found := in.byID(id); found != nil {
			return found
		}
	}
	return nil
}

func containsText(e *element, text string) bool {
	if strings.Contains(e.text, text) {
		return true
	}
	return slices.ContainsFunc(e.inner, func(in *element) bool { return containsText(in, text) })
}
