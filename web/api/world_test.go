package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/password"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/authz/inquiry"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/web"
)

var t0 = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

// world is every service the API stands on, in memory and small: one person,
// tanaka, whose cookie decides what they are.
//
//	k.flow     a sign-in at its second step     k.live    signed in, fresh
//	k.old      signed in an hour ago            k.weak    with one factor
//	k.auditor  an auditor                       k.app     an application's own
type world struct {
	mu       sync.Mutex
	now      time.Time
	next     error // what the next call of a service answers, nil for success
	calls    int   // acts that were done
	question inquiry.Question
	by       string // the cookie that approved
	kept     map[string][]byte
	lasts    time.Duration // of what was kept last
	atWork   sync.Mutex
	heard    heard
}

func (w *world) act() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.next
	w.next = nil
	if err == nil {
		w.calls++
	}
	return err
}

func (w *world) step(state signin.State) signin.Step {
	return signin.Step{State: state, Methods: []string{"totp"}, Cookie: "k.new", CSRF: "t-k.new"}
}

func (w *world) Password(_ context.Context, _ signin.Origin, _, login string, pw secret.Text) (signin.Step, error) {
	if err := w.act(); err != nil {
		return signin.Step{}, err
	}
	if login != "tanaka" || string(pw.Reveal()) != "right" {
		return signin.Step{}, signin.ErrRefused
	}
	return w.step("second_factor"), nil
}

func (w *world) TOTP(_ context.Context, _ signin.Origin, _, _ string) (signin.Step, error) {
	s := w.step("acknowledge")
	s.Version = "2026-04"
	return s, w.act()
}

func (w *world) NewPassword(context.Context, signin.Origin, string, secret.Text) (signin.Step, error) {
	return w.step("signed_in"), w.act()
}

func (w *world) ConfirmTerminal(context.Context, signin.Origin, string) (signin.Step, error) {
	return w.step("signed_in"), w.act()
}

func (w *world) Acknowledge(context.Context, signin.Origin, string, string) (signin.Step, error) {
	return w.step("signed_in"), w.act()
}

func (w *world) Current(_ context.Context, _ signin.Origin, cookie string) (signin.Step, error) {
	person := directory.Person{ID: "p1", Login: "tanaka", Section: "jumin", Groups: []string{"cn=staff"}}
	s := session.Session{
		ID: "s1", Person: "p1", Login: "tanaka", Name: "田中", Zone: "lgwan", ACR: policy.AAL2, AMR: []string{"pwd", "otp", "mfa"},
		StartedAt: t0, AuthAt: t0, ExpiresAt: t0.Add(9 * time.Hour), IdleExpiresAt: t0.Add(time.Hour),
	}
	switch cookie {
	case "k.flow", "k.flow2":
		return signin.Step{State: "second_factor", Person: person, CSRF: "t." + cookie}, nil
	case "k.live":
	case "k.counter":
		s.Terminal = "c1"
	case "k.new":
		s.ID = "s2"
	case "k.old":
		s.AuthAt = t0.Add(-time.Hour)
	case "k.weak":
		s.ACR = policy.AAL1
	case "k.auditor":
		person.Groups = []string{"cn=auditor"}
	case "k.app":
		s.App = "juki"
	default:
		return signin.Step{}, signin.ErrNone
	}
	return signin.Step{State: "signed_in", CSRF: "t-" + cookie, Session: &s, Person: person}, nil
}
func (w *world) SignOut(context.Context, signin.Origin, string) error { return w.act() }
func (w *world) CheckCSRF(cookie, token string) bool                  { return token == "t-"+cookie }

func (w *world) ChangePassword(context.Context, signin.Origin, string, secret.Text, secret.Text) (signin.Step, error) {
	return w.step("signed_in"), w.act()
}

func (w *world) Factors(context.Context, signin.Origin, string) ([]account.Factor, error) {
	return []account.Factor{{ID: "f1", Kind: "totp", Name: "電話", AddedAt: t0}}, w.act()
}

func (w *world) BeginTOTP(context.Context, signin.Origin, string) (totp.Enrolment, error) {
	return totp.Enrolment{ID: "e1", Secret: secret.NewText([]byte("CANARYSEED")), URI: secret.NewText([]byte("otpauth://totp/x?secret=CANARYSEED"))}, w.act()
}

func (w *world) FinishTOTP(context.Context, signin.Origin, string, string, string, string) (signin.Step, error) {
	s := w.step("signed_in")
	s.Session, s.Person = &session.Session{ID: "s2"}, directory.Person{ID: "p1"}
	return s, w.act()
}

func (w *world) RemoveFactor(context.Context, signin.Origin, string, string) (signin.Step, error) {
	return w.step("signed_in"), w.act()
}

func (w *world) Sessions(context.Context, signin.Origin, string) ([]session.Session, string, error) {
	return []session.Session{{ID: "s1", StartedAt: t0}, {ID: "s9"}}, "s1", w.act()
}
func (w *world) EndSession(context.Context, signin.Origin, string, string) error { return w.act() }

func (w *world) ReportLeak(context.Context, signin.Origin, string, string) (signin.Step, error) {
	return signin.Step{}, w.act()
}
func (w *world) Version() int64 { return 3 }

func (w *world) Approve(_ context.Context, _ signin.Origin, cookie, _ string) (int64, error) {
	w.by = cookie
	return 4, w.act()
}

func (w *world) Search(ctx context.Context, o signin.Origin, cookie string, q inquiry.Question) (inquiry.Found, error) {
	s, err := w.Current(ctx, o, cookie)
	if err != nil || s.Session == nil || s.Session.App != "" {
		return inquiry.Found{}, signin.ErrNone
	}
	if s.Person.Groups[0] != "cn=auditor" {
		return inquiry.Found{}, &inquiry.Refusal{Reason: "no_post", Articles: []policy.Article{"51-1"}}
	}
	if wrong := q.Check(); len(wrong) > 0 {
		return inquiry.Found{}, &inquiry.Refusal{Faults: wrong}
	}
	w.question = q
	var out inquiry.Found
	for i := range q.Limit {
		out.Records = append(out.Records, audit.Record{Index: int64(1000 - i), Data: []byte(`{"time":"2026-04-01T00:00:00Z"}`)})
	}
	if q.Outcome == audit.Failed { // of which one was broken in the store
		out.Records[0].Data, out.Records[0].Broken = []byte("<b>"), true
	}
	out.Next = int64(1001 - q.Limit)
	return out, w.act()
}

func (w *world) Claim(context.Context, string, time.Duration) (func(), error) {
	w.atWork.Lock()
	return w.atWork.Unlock, nil
}

func (w *world) Put(_ context.Context, key string, value []byte, lasts time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lasts = lasts
	w.kept[key] = value
	return nil
}
func (w *world) Get(_ context.Context, key string) ([]byte, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.kept[key]
	return v, ok, nil
}
func (w *world) Take(context.Context, string) ([]byte, bool, error) { return nil, false, nil }
func (w *world) Count(context.Context, string, time.Duration) (int, error) {
	return 0, errors.New("not asked for")
}
func (w *world) Peek(context.Context, string) (int, error) { return 0, errors.New("not asked for") }
func (w *world) Delete(context.Context, string) error      { return nil }

// xor stands for sealing: unreadable at rest, and bound to its place.
type xor struct{}

func (xor) Seal(at secret.Place, plain []byte) ([]byte, error) {
	out := []byte(at.Row)
	for _, b := range plain {
		out = append(out, b^0xff)
	}
	return out, nil
}

func (xor) Open(at secret.Place, sealed []byte) ([]byte, error) {
	rest, ok := strings.CutPrefix(string(sealed), at.Row)
	if !ok {
		return nil, errors.New("moved")
	}
	var out []byte
	for i := range len(rest) {
		out = append(out, rest[i]^0xff)
	}
	return out, nil
}

func newWorld(t *testing.T) (*world, *web.Server) {
	t.Helper()
	w := &world{now: t0, kept: map[string][]byte{}}
	public, err := url.Parse("http://localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	p := &policy.Policy{
		Profile: "standard",
		Zones:   []policy.Zone{{ID: "lgwan", Name: policy.Words{JA: "LGWAN接続系", EN: "LGWAN"}, SignInACR: policy.AAL2, IdleEnd: time.Hour, AbsoluteEnd: 9 * time.Hour}},
		Posts:   []policy.Post{{ID: "staff", Group: "cn=staff"}, {ID: "auditor", Group: "cn=auditor", Audits: true}},
	}
	p.SignIn.FreshFor = 10 * time.Minute
	srv := web.New(web.Config{
		PublicURL: public, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, LoopbackZone: "lgwan",
		Now: func() time.Time { return w.now }, Policy: func() *policy.Policy { return p }, Guard: w,
	})
	Mount(srv, Services{SignIn: keys{w}, Account: w, Charter: w, Trail: w, People: office{w}, LockDown: alarm{w}, Desk: counter{w}, Permits: register{w}, Sealed: safe{w}, Imports: cabinet{w}, Shared: closet{w}, Recertify: table{w}, Projects: bureau{w}, Reports: shelf{w}, Once: w, Seal: xor{}})
	return w, srv
}

// call sends one request as the holder of cookie, with its token.
func call(t *testing.T, srv http.Handler, method, target, cookie, body string, headers ...string) (*http.Response, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost:8080"+target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:40000"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if cookie != "" {
		r.Header.Set("Cookie", "__Host-sekisho="+cookie)
		r.Header.Set("X-CSRF-Token", "t-"+cookie)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	srv.ServeHTTP(rec, r)
	resp := rec.Result()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if len(b) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, target, err, b)
		}
	}
	return resp, out
}

func rejected() error {
	return &password.Rejected{Failures: []password.Failure{{Code: "too_short", Says: policy.Words{JA: "短い", EN: "Short"}, Article: "64-3"}}}
}
