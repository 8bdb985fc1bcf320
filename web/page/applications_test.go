package page

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
)

// applications is the part of the office that knows of applications.
type applications struct {
	apps   []people.AppSeen
	inside people.AppDetail
	trial  people.Trial
	tried  people.Tried
}

func (d *office) Applications(context.Context, signin.Origin, string) ([]people.AppSeen, error) {
	return d.apps, d.lookErr
}
func (d *office) Application(_ context.Context, _ signin.Origin, _, id string, own bool, login string) (people.AppDetail, error) {
	d.do("application", id, own, login)
	if d.lookErr == nil && (id != d.applications.inside.Application.ID || own != (d.applications.inside.Own != "")) {
		return people.AppDetail{}, people.ErrNotFound
	}
	return d.applications.inside, d.lookErr
}
func (d *office) EndInside(_ context.Context, _ signin.Origin, _, id string, own bool, session string) error {
	d.do("end inside", id, own, session)
	return d.actErr
}
func (d *office) TerminalChoices(context.Context, signin.Origin, string) ([]terminal.Terminal, error) {
	return []terminal.Terminal{
		{ID: "juki-01", Zone: policy.MyNumber, Class: policy.TerminalDedicated, Name: policy.Words{JA: "住基端末1", EN: "Register 1"}},
		{ID: "madoguchi-03", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: evilName}},
	}, d.lookErrBut(d.looksAt)
}

func (d *office) lookErrBut(not bool) error {
	if not {
		return nil
	}
	return d.lookErr
}

func (d *office) TryAccess(_ context.Context, _ signin.Origin, _ string, t people.Trial) (people.Tried, error) {
	d.trial = t
	return d.tried, d.lookErr
}

// atApplications is inOffice with applications and somebody in them.
func atApplications(w *world, posts ...string) *officeWorld {
	o := inOffice(w.withApplications(), posts...)
	w.policy.Applications[0].Sections = []string{"joho"}
	w.policy.Applications[0].Groups = []string{"cn=bunsho-users,ou=groups,dc=example"}
	for _, a := range o.policy.Applications {
		one := people.AppSeen{Application: a, In: 3}
		for _, c := range o.policy.Clients {
			if c.Application == a.ID {
				one.Clients = append(one.Clients, c)
			}
		}
		o.apps = append(o.apps, one)
	}
	for _, c := range o.policy.Clients {
		if c.Application == "" {
			app, _ := o.policy.ClientApplication(c)
			o.apps = append(o.apps, people.AppSeen{Application: app, Clients: []policy.Client{c}, Own: c.ID})
		}
	}
	gate := session.Session{Zone: policy.LGWAN, From: "10.2.0.7", SeenAt: t0, Terminal: "madoguchi-1", TerminalClass: policy.TerminalCounter}
	o.applications.inside = people.AppDetail{
		AppSeen: o.seen("kyuyo"), MayEnd: authz.May(o.policy, authz.EndInside, o.policy.PostsOf(w.now.Person.Groups), nil, false),
		Inside: []people.Inside{
			{ID: "s/9", Login: "suzuki", Name: evilName, Since: t0, Gate: gate},
			{ID: "sid1", Client: "kyuyo-web", Login: "hayashi", Since: t0.Add(-time.Hour), Gate: gate},
		}, More: true,
	}
	o.tried = o.answered(authz.Facts{SignedIn: true, From: policy.LGWAN, ACR: policy.AAL2, AMR: []string{"pwd", "otp", "mfa"}})
	return o
}

func (o *officeWorld) seen(id string) people.AppSeen {
	for _, a := range o.apps {
		if a.Application.ID == id {
			return a
		}
	}
	return people.AppSeen{}
}

// answered is what the service says of suzuki for some facts.
func (o *officeWorld) answered(f authz.Facts) people.Tried {
	p := directory.Person{ID: "p2", Login: "suzuki", Name: evilName, Section: "joho"}
	f.Person, f.Now, f.AuthAt, f.SessionEnds = p, t0, t0, t0.Add(time.Hour)
	return people.Tried{Person: p, Posts: []policy.PostID{policy.Staff}, State: people.Active, Facts: f, Openings: authz.Survey(o.policy, f)}
}

func init() {
	scenes = append(scenes, []scene{
		{"applications", 200, func(w *world) *answer { return atApplications(w).get("/applications") }},
		{"applications-none", 200, func(w *world) *answer { return inOffice(w).get("/applications") }},
		{"applications-forbidden", 403, func(w *world) *answer {
			o := inOffice(w, "staff")
			o.lookErr = o.denied(authz.ViewApplications)
			return o.get("/applications")
		}},
		{"application", 200, func(w *world) *answer { return atApplications(w).get("/applications/kyuyo?done=inside_ended") }},
		{"application-auditor", 200, func(w *world) *answer { return atApplications(w, "auditor").get("/applications/kyuyo") }},
		{"application-behind", 200, func(w *world) *answer {
			o := atApplications(w)
			o.applications.inside = people.AppDetail{AppSeen: o.seen("bunsho")}
			return o.get("/applications/bunsho?q=" + url.QueryEscape(`<b>"だれか`))
		}},
		{"application-service", 200, func(w *world) *answer {
			o := atApplications(w)
			o.applications.inside = people.AppDetail{AppSeen: o.seen("nightly")}
			return o.get("/clients/nightly")
		}},
		{"application-client", 200, func(w *world) *answer {
			o := atApplications(w)
			o.applications.inside = people.AppDetail{AppSeen: o.seen("chizu")}
			return o.get("/clients/chizu")
		}},
		{"dry-run", 200, func(w *world) *answer { return atApplications(w).get("/dry-run") }},
		{"dry-run-answer", 200, func(w *world) *answer {
			return atApplications(w).get("/dry-run?login=suzuki&from=lgwan&with=code&age=10m0s&permits=yes")
		}},
		{"dry-run-outside", 200, func(w *world) *answer {
			o := atApplications(w)
			o.tried = o.answered(authz.Facts{Outside: true})
			o.tried.State, o.tried.Self = people.Suspended, true
			return o.get("/dry-run?from=outside&with=password&terminal=juki-01")
		}},
		{"dry-run-nobody", 422, func(w *world) *answer {
			o := atApplications(w)
			o.lookErr = people.ErrNotFound
			o.looksAt = true
			return o.get("/dry-run?login=dare&with=code")
		}},
	}...)
}

// TestApplicationsInWords: nobody has to be an engineer to read what holds.
func TestApplicationsInWords(t *testing.T) {
	o := atApplications(newWorld(t))
	o.get("/applications").is(200).says("情報システム課のうち、グループ bunsho-users", "パスキー又はICカードでのサインイン",
		"（最後の認証から5分以内）", "関所が通信の途中で確かめ、システムも尋ねる", `href="/clients/chizu"`, `href="/applications/kyuyo"`, "プログラムどうしの連携", "約3件")
	page := o.get("/applications/kyuyo").is(200)
	page.says("/koza", "自分の鍵による署名", "伝える前に本人に尋ねる", "受け取らない", "kyuyo.example", "先に関所へ直接送る", "鍵がなければ使えない",
		"個人番号利用事務系", "リモートアクセスの許可がある人だけ", "新しいものだけ", "&lt;img src=x", `action="/applications/kyuyo/sessions/s%2F9/end"`)
	page.keepsSilentOn("<img src=x", "client_secret", "private_key_jwt", "redirect_uri")
	if got := o.last(); got != "application kyuyo false" {
		t.Errorf("asked %q", got)
	}
	o.get("/applications/kyuyo?q=+suzuki+").is(200)
	if got := o.last(); got != "application kyuyo false suzuki" {
		t.Errorf("asked %q", got)
	}
	o.get("/clients/kyuyo").is(404)
	o.get("/applications/nowhere").is(404)
	atApplications(newWorld(t), "auditor").get("/applications/kyuyo").says("disabled").keepsSilentOn("/sessions/sid1/end")
}

// TestEndInside ends one session and comes back; whoever may not is told.
func TestEndInside(t *testing.T) {
	o := atApplications(newWorld(t))
	o.post("/applications/kyuyo/sessions/sid1/end").leadsTo("/applications/kyuyo?done=inside_ended")
	if got := o.last(); got != "end inside kyuyo false sid1" {
		t.Errorf("did %q", got)
	}
	o.post("/clients/chizu/sessions/sid2/end").leadsTo("/clients/chizu?done=inside_ended")
	if got := o.last(); got != "end inside chizu true sid2" {
		t.Errorf("did %q", got)
	}
	o.post("/applications/kyuyo/sessions/sid1/end", "csrf_token", "wrong").is(403)
	o.actErr = o.denied(authz.EndInside)
	o.post("/applications/kyuyo/sessions/sid1/end").is(403)
}

// TestDryRunForm: what is chosen is what is asked; what nobody knows is not.
func TestDryRunForm(t *testing.T) {
	o := atApplications(newWorld(t))
	for _, tt := range []struct{ query, want string }{
		{"login=+suzuki+&from=mynumber&with=card&age=1h0m0s&terminal=juki-01&permits=yes", "suzuki|mynumber|false|juki-01|[sc]|1h0m0s|true"},
		{"from=outside&with=password", "||true||[pwd]|0s|false"},
		{"from=mars&with=magic&age=1s", "|lgwan|false||[pwd otp]|0s|false"},
	} {
		o.get("/dry-run?" + tt.query).is(200)
		a := o.trial
		got := fmt.Sprintf("%s|%s|%t|%s|%v|%v|%t", a.Login, a.Zone, a.Outside, a.Terminal, a.Methods, a.Age, a.Permits)
		if got != tt.want {
			t.Errorf("%s asks %q, want %q", tt.query, got, tt.want)
		}
	}
	page := o.get("/dry-run?login=suzuki&with=code").is(200)
	page.says("8件のうち3件が開きます", "記録に残しました", "第26条の2", "領域をまたぐ通信の許可をＣＩＯに申請", "&lt;img src=x").keepsSilentOn("<img src=x")
	o.trial = people.Trial{}
	o.site = "cross-site"
	if o.get("/dry-run?login=suzuki&with=code").is(200); o.trial.Methods != nil {
		t.Errorf("a link on another site asked: %+v", o.trial)
	}
	o.site = "same-origin"
	if o.get("/dry-run?login=suzuki&with=code").is(200); o.trial.Methods == nil {
		t.Error("the page's own form asks nothing")
	}
	o.trial = people.Trial{}
	if o.get("/dry-run").is(200); o.trial.Methods != nil {
		t.Errorf("asked before anything was chosen: %v", o.trial)
	}
}
