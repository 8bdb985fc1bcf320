package gate

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/token"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/web"
)

var t0 = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

// world is what the gate stands on, in memory. Cookies of applications are
// "k.juki", "k.bunsho", "k.weak" (juki, one factor); the gate's is "k.gate".
type world struct {
	now    time.Time
	policy *policy.Policy
	away   error
	asOf   time.Time
	person directory.Person
	dead   map[string]bool
	codes  map[string]string // code → host
	signed int
	amr    []string
	denied []Denial
}

func (w *world) Moment(context.Context) clock.Moment { return clock.Moment{Now: w.now} }

// LoadAt answers with the person as the directory has them.
func (w *world) LoadAt(ctx context.Context, at clock.Moment, cookie string) (session.Loaded, error) {
	s, err := w.Load(ctx, cookie)
	return session.Loaded{Session: s, Person: w.person, At: at}, err
}

func (w *world) Load(_ context.Context, cookie string) (session.Session, error) {
	if w.away != nil {
		return session.Session{}, w.away
	}
	s := session.Session{ID: cookie, Person: "p1", Login: "tanaka", Name: "田中 花子", Zone: "lgwan", ACR: policy.AAL2, AMR: w.amr,
		AuthAt: t0.Add(-20 * time.Minute), ExpiresAt: t0.Add(time.Hour), IdleExpiresAt: t0.Add(time.Hour)}
	switch {
	case w.dead[cookie]:
		return session.Session{}, session.ErrNone
	case cookie == "k.juki":
		s.App = "juki"
	case cookie == "k.weak":
		s.App, s.ACR = "juki", policy.AAL1
	case cookie == "k.bunsho":
		s.App = "bunsho"
	case cookie == "k.kansa":
		s.App = "kansa"
	case cookie == "k.gate":
	default:
		return session.Session{}, session.ErrNone
	}
	return s, nil
}

func (w *world) HandoverCode(_ context.Context, cookie, app, host string) (string, error) {
	if cookie != "k.gate" {
		return "", session.ErrNone
	}
	w.codes["code-"+app] = host
	return "code-" + app, nil
}

func (w *world) RedeemHandover(_ context.Context, code, host, _ string) (string, error) {
	if w.codes[code] != host {
		return "", session.ErrNone
	}
	delete(w.codes, code)
	return "k." + strings.TrimPrefix(code, "code-"), nil
}
func (w *world) CSRF(cookie string) string           { return "t-" + cookie }
func (w *world) CheckCSRF(cookie, token string) bool { return token == "t-"+cookie }
func (w *world) AsOf(directory.PersonID) time.Time   { return w.asOf }

func (w *world) Current(ctx context.Context, _ signin.Origin, cookie string) (signin.Step, error) {
	if cookie == "k.flow" {
		return signin.Step{State: "second_factor"}, nil
	}
	s, err := w.Load(ctx, cookie)
	if err != nil {
		return signin.Step{}, err
	}
	return signin.Step{State: "signed_in", Session: &s, Person: w.person}, nil
}

func (w *world) SignOut(_ context.Context, _ signin.Origin, cookie string) error {
	w.dead[cookie] = true
	return nil
}

func (w *world) JWKS() ([]byte, error) { return []byte(`{"keys":[]}`), nil }

func (w *world) Assert(a token.Assertion) (string, error) {
	if a.ExpiresAt.Sub(w.now) > 5*time.Minute || a.ExpiresAt.Sub(w.now) <= 0 {
		return "", errors.New("not within five minutes")
	}
	w.signed++
	parts := []string{a.Issuer, a.Subject, strings.Join(a.Audience, "+"), string(a.ACR)}
	for _, l := range a.Privileges {
		if l.EndsAt.Before(a.ExpiresAt.Time) {
			return "", errors.New("the assertion outlives what it tells of")
		}
		parts = append(parts, l.Privilege+"@"+l.EndsAt.Format(time.RFC3339))
	}
	return strings.Join(parts, "|"), nil
}

func newWorld(t testing.TB, apps ...policy.Application) (*world, *web.Server, *Gate) {
	t.Helper()
	w := &world{now: t0, dead: map[string]bool{}, codes: map[string]string{}, person: directory.Person{
		ID: "p1", Login: "tanaka", Name: "田中 花子", Mail: "tanaka@pref.example", Section: "jumin", Groups: []string{"cn=staff,dc=x", "cn=op,dc=x"}}}
	p := policy.Standard()
	p.Zones = []policy.Zone{{ID: "lgwan", SignInACR: policy.AAL1}, {ID: "internet", SignInACR: policy.AAL1}}
	p.Networks = []policy.Network{
		{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Zone: "lgwan"}, {Prefix: netip.MustParsePrefix("10.3.0.0/16"), Zone: "internet"},
		{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Zone: "internet", Outside: true},
	}
	p.Classes = nil
	for class := 1; class <= 4; class++ {
		p.Classes = append(p.Classes, policy.Class{Class: class, ACR: map[policy.ZoneID]policy.ACR{"lgwan": policy.AAL1}})
	}
	p.Posts = []policy.Post{{ID: "staff", Group: "cn=staff,dc=x"}, {ID: "system_operator", Group: "cn=op,dc=x"}, {ID: "auditor", Group: "cn=audit,dc=x"}}
	p.Applications = append([]policy.Application{
		{ID: "juki", Host: "juki.localhost", Zone: "lgwan", Class: 1, ACR: policy.AAL2, Name: policy.Words{JA: "住民基本台帳", EN: "Residents"}},
		{ID: "bunsho", Host: "bunsho.localhost", Zone: "lgwan", Class: 2},
		{ID: "kenmei", Host: "kenmei.localhost", Zone: "lgwan", Class: 1, ACR: policy.PHR},
		{ID: "kansa", Host: "kansa.localhost", Zone: "lgwan", Class: 2, Posts: []policy.PostID{"auditor"}},
		{ID: "kyuyo", Host: "kyuyo.localhost", Zone: "lgwan", Class: 2, FreshFor: time.Hour, Paths: []policy.PathRule{{Path: "/pay", ACR: policy.AAL2, FreshFor: 10 * time.Minute}}},
	}, apps...)
	w.policy = p
	public, err := url.Parse("http://localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	srv := web.New(web.Config{
		PublicURL: public, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, LoopbackZone: "lgwan",
		Now: func() time.Time { return w.now }, Policy: func() *policy.Policy { return w.policy }, Guard: w,
	})
	g := Mount(srv, Services{Sessions: w, People: w, SignIn: w, Keys: w, Denied: func(d Denial) { w.denied = append(w.denied, d) }})
	return w, srv, g
}

// send sends one request; headers are "Name: value", "Host:" and "From:" (the
// peer) among them. Names are taken as they are written.
func send(srv http.Handler, method, target string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://localhost:8080"+target, nil)
	r.RemoteAddr = "127.0.0.1:40000"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "Host":
			r.Host = value
		case "From":
			r.RemoteAddr = value
		default:
			r.Header[name] = append(r.Header[name], value)
		}
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	return w.Result()
}
