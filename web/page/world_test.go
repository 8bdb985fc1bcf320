package page

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/passkey"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/authz/statute"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/charter"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/web"
)

// The real services fit.
var (
	_ Steps    = (*signin.Service)(nil)
	_ Presence = (*signin.Service)(nil)
	_ Factors  = (*account.Service)(nil)
	_ Account  = (*account.Service)(nil)
	_ Charter  = (*statute.Desk)(nil)
)

var t0 = time.Date(2026, 4, 1, 0, 5, 0, 0, time.UTC)

// A world is a real server and, behind the pages, services that answer what a
// test tells them to and remember what they were asked.
type world struct {
	doors int // of applications, see refusedBy
	*services
	t       testing.TB
	srv     *web.Server
	clock   *clock.Fake
	policy  *policy.Policy
	cookie  string
	lang    string
	from    string // source address; "" for the machine itself
	site    string // Sec-Fetch-Site; "" for a browser that does not say
	office  *office
	desk    *counter
	alarm   *alarm
	safe    *safe
	closet  *closet
	round   *roundtable
	shelf   *shelf
	imports *cabinet
	project *bureau
	trail   *ledger

	permits *tollbooth
}

// services answer with step and err: what a service decides is not this
// package's business, only what becomes of its answer.
type services struct {
	now       signin.Step // what Current says
	nowErr    error
	step      signin.Step // what the next act answers
	err       error
	enrolment totp.Enrolment
	ceremony  signin.Ceremony
	askErr    error // what beginning a passkey answers
	second    string
	factors   []account.Factor
	sessions  []session.Session
	proposals []charter.Proposal
	asked     []string
}

func (s *services) ask(what ...string) { s.asked = append(s.asked, strings.Join(what, " ")) }

func (s *services) Password(_ context.Context, _ signin.Origin, _, login string, pw secret.Text) (signin.Step, error) {
	s.ask("password", login, string(pw.Reveal()))
	return s.step, s.err
}
func (s *services) TOTP(_ context.Context, _ signin.Origin, _, code string) (signin.Step, error) {
	s.ask("totp", code)
	return s.step, s.err
}
func (s *services) BeginPasskey(_ context.Context, _ signin.Origin, cookie, _ string) (signin.Ceremony, error) {
	c := s.ceremony
	if c.CSRF == "" {
		c.CSRF = token(cookie)
	}
	return c, s.askErr
}
func (s *services) Passkey(_ context.Context, _ signin.Origin, cookie string, credential []byte) (signin.Step, error) {
	s.ask("passkey", cookie, string(credential))
	return s.step, s.err
}
func (s *services) Card(context.Context, signin.Origin, string) (signin.Step, error) {
	s.ask("card")
	return s.step, s.err
}
func (s *services) RecoveryCode(_ context.Context, _ signin.Origin, _ string, code secret.Text) (signin.Step, error) {
	s.ask("recovery", string(code.Reveal()))
	return s.step, s.err
}
func (s *services) NewPassword(_ context.Context, _ signin.Origin, _ string, pw secret.Text) (signin.Step, error) {
	s.ask("new password", string(pw.Reveal()))
	return s.step, s.err
}
func (s *services) Acknowledge(_ context.Context, _ signin.Origin, _, version string) (signin.Step, error) {
	s.ask("acknowledge", version)
	return s.step, s.err
}
func (s *services) ConfirmTerminal(context.Context, signin.Origin, string) (signin.Step, error) {
	s.ask("terminal")
	return s.step, s.err
}
func (s *services) Current(_ context.Context, _ signin.Origin, cookie string) (signin.Step, error) {
	if errors.As(s.nowErr, new(*signin.NoPassage)) {
		return signin.Step{CSRF: token(cookie)}, s.nowErr
	}
	if s.nowErr != nil {
		return signin.Step{}, s.nowErr
	}
	if s.now.State == "" {
		return signin.Step{}, signin.ErrNone
	}
	step := s.now
	step.CSRF = token(cookie)
	return step, nil
}
func (s *services) CheckCSRF(cookie, given string) bool { return given == token(cookie) }
func (s *services) SignOut(_ context.Context, _ signin.Origin, cookie string) error {
	s.ask("sign out", cookie)
	return s.err
}
func (s *services) Factors(context.Context, signin.Origin, string) ([]account.Factor, error) {
	return s.factors, nil
}
func (s *services) BeginTOTP(context.Context, signin.Origin, string) (totp.Enrolment, error) {
	s.ask("begin")
	return s.enrolment, s.err
}
func (s *services) FinishTOTP(_ context.Context, _ signin.Origin, _, id, code, name string) (signin.Step, error) {
	s.ask("finish", id, code, name)
	return s.step, s.err
}
func (s *services) FinishPasskey(_ context.Context, _ signin.Origin, _, id, name string, credential []byte) (signin.Step, error) {
	s.ask("finish key", id, name, string(credential))
	return s.step, s.err
}
func (s *services) RenameFactor(_ context.Context, _ signin.Origin, _, id, name string) error {
	s.ask("rename", id, name)
	return s.err
}
func (s *services) RemoveFactor(_ context.Context, _ signin.Origin, _, id string) (signin.Step, error) {
	s.ask("remove", id)
	return s.step, s.err
}
func (s *services) ChangePassword(_ context.Context, _ signin.Origin, _ string, current, pw secret.Text) (signin.Step, error) {
	s.ask("change", string(current.Reveal()), string(pw.Reveal()))
	return s.step, s.err
}
func (s *services) Sessions(context.Context, signin.Origin, string) ([]session.Session, string, error) {
	return s.sessions, "s1", nil
}
func (s *services) EndSession(_ context.Context, _ signin.Origin, _, id string) error {
	s.ask("end", id)
	return s.err
}
func (s *services) Second(context.Context, signin.Origin, string) (string, error) {
	return s.second, nil
}
func (s *services) SetSecond(_ context.Context, _ signin.Origin, _, address string) (signin.Step, error) {
	s.ask("address", address)
	return s.step, s.err
}
func (s *services) ReportLeak(_ context.Context, _ signin.Origin, _, what string) (signin.Step, error) {
	s.ask("leak", what)
	return s.step, s.err
}
func (s *services) Version() int64 { return 7 }
func (s *services) Proposals(context.Context) ([]charter.Proposal, error) {
	return s.proposals, nil
}
func (s *services) Approve(_ context.Context, _ signin.Origin, _, id string) (int64, error) {
	s.ask("approve", id)
	return 8, s.err
}

// ways are the services as a person's own factors: they begin a new passkey
// where the steps of a sign-in ask for one.
type ways struct{ *services }

func (w ways) BeginPasskey(context.Context, signin.Origin, string) (passkey.Enrolment, error) {
	return passkey.Enrolment{ID: "k1", PublicKey: json.RawMessage(`{"challenge":"bmV3","rp":{"id":"localhost"}}`)}, w.askErr
}

func token(cookie string) string { return "token-of-" + cookie }

func newWorld(t testing.TB) *world {
	t.Helper()
	public, err := url.Parse("http://localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, services: &services{}, clock: clock.NewFake(t0), policy: samplePolicy(), lang: "ja", office: &office{}, desk: &counter{}, permits: &tollbooth{}, alarm: &alarm{}, safe: &safe{}, closet: &closet{}, shelf: &shelf{}, imports: &cabinet{}, trail: &ledger{}, round: &roundtable{}, project: &bureau{}}
	w.enrolment = totp.Enrolment{
		ID: "e1", Secret: secret.NewText([]byte("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")),
		URI: secret.NewText([]byte("otpauth://totp/Rei:tanaka?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Rei")),
		QR:  picture,
	}
	w.ceremony = signin.Ceremony{PublicKey: json.RawMessage(`{"challenge":"YXNr","rpId":"localhost","timeout":300000}`)}
	w.srv = web.New(web.Config{
		PublicURL: public, Now: w.clock.Now, Policy: func() *policy.Policy { return w.policy },
		Guard: w.services, LoopbackZone: policy.LGWAN, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	Mount(w.srv, Services{Steps: w.services, Presence: w.services, Factors: ways{w.services}, Account: w.services, Charter: w.services, Terminal: w.services, People: w.office, Desk: w.desk, Permits: w.permits, LockDown: w.alarm, Sealed: w.safe, Shared: w.closet, Reports: w.shelf, Imports: w.imports, Trail: w.trail, Recertify: w.round, Projects: w.project, Drafts: ephemeral.NewMemory(w.clock.Now, 100)})
	return w
}

func samplePolicy() *policy.Policy {
	p := policy.Standard()
	p.Prefecture = policy.Prefecture{Name: policy.Words{JA: "例県", EN: "Rei Prefecture"}, GuidelineURL: "https://www.pref.example/guideline"}
	p.Banner = policy.Words{JA: "これは試用の環境です。利用はすべて記録されます。", EN: "This is a trial. Every use is recorded."}
	p.Acknowledgement = policy.Acknowledgement{Version: "2026-04", URL: "https://www.pref.example/rules", Text: policy.Words{
		JA: "一 自分のIDだけを使い、ほかの人に使わせません。\n二 パスワードを人に教えません。",
		EN: "1. I use my own ID alone.\n2. I tell nobody my password."}}
	p.Sections = []policy.Section{{ID: "joho", Name: policy.Words{JA: "情報システム課", EN: "Information Systems Division"}}}
	p.Applications = []policy.Application{
		{ID: "bunsho", Name: policy.Words{JA: "文書管理", EN: "Documents"}, Host: "bunsho.localhost", Zone: policy.LGWAN, Class: 3},
		{ID: "juki", Name: policy.Words{JA: "住民基本台帳", EN: "Resident register"}, Host: "juki.localhost", Zone: policy.MyNumber, Class: 1},
		{ID: "kansa", Name: policy.Words{JA: "監査台帳", EN: "Audit register"}, Host: "kansa.localhost", Zone: policy.LGWAN, Class: 2, Posts: []policy.PostID{policy.Auditor}},
	}
	p.Terminals = []policy.Terminal{{ID: "madoguchi-1", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "住民窓口1番", EN: "Counter 1"}}}
	for i, post := range p.Posts {
		p.Posts[i].Group = "cn=" + string(post.ID) + ",dc=example"
	}
	return p
}

// at puts the reader's cookie at a state; methods are those that may be used
// there: by default codes at the second factor, and all at enrol.
func (w *world) at(state signin.State, methods ...string) *world {
	switch {
	case len(methods) > 0:
	case state == authn.SecondFactor:
		methods = []string{"totp"}
	case state == authn.Enrol:
		methods = []string{"passkey", "totp"}
	}
	w.cookie, w.now = "abc", signin.Step{State: state, Methods: methods}
	return w
}

// agent is what Edge on Windows says of itself.
const agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0"

// signedIn makes the reader a person with a session that says something in
// every place of my page.
func (w *world) signedIn(posts ...string) *world {
	w.at(authn.SignedIn)
	person := directory.Person{
		ID: "p1", Login: "tanaka", Name: "田中 一郎", Section: "joho", Mail: "tanaka@pref.example",
		Account: directory.Account{PasswordChangedAt: t0.AddDate(0, -1, 0)},
	}
	for _, p := range append(posts, "staff") {
		person.Groups = append(person.Groups, "cn="+p+",dc=example")
	}
	s := session.Session{
		ID: "s1", Person: "p1", Login: "tanaka", Name: person.Name, Zone: policy.LGWAN, ACR: policy.AAL2, AMR: []string{"pwd", "otp", "mfa"},
		From: "10.2.0.7", UserAgent: agent, StartedAt: t0, AuthAt: t0, SeenAt: t0,
		ExpiresAt: t0.Add(9 * time.Hour), IdleExpiresAt: t0.Add(30 * time.Minute),
		Previous: session.Previous{At: t0.AddDate(0, 0, -1), From: "10.2.0.7", OutAt: t0.AddDate(0, 0, -1).Add(8 * time.Hour)},
	}
	other := s
	other.ID, other.UserAgent, other.From = "s2", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "10.2.0.99"
	child := s
	child.ID, child.Parent, child.App = "s3", "s1", "bunsho"
	w.now.Person, w.now.Session = person, &s
	w.sessions = []session.Session{s, other, child}
	w.factors = []account.Factor{{ID: "f1", Kind: "totp", Name: "庁用スマートフォン", AddedAt: t0.AddDate(-1, 0, 0), LastUsedAt: t0}}
	return w
}

// withEverything is signedIn with one of everything that my page can show.
func (w *world) withEverything() *world {
	w.signedIn("cio", "system_administrator")
	s := w.now.Session
	s.ACR, s.AMR, s.Terminal, s.TerminalClass = policy.PHR, []string{"hwk", "mfa"}, "madoguchi-1", policy.TerminalCounter
	s.Previous.FailuresSince, s.Previous.OutAt = 3, time.Time{}
	w.sessions[0] = *s
	w.second = "ichiro@example.jp"
	old := t0.AddDate(-1, 0, 0)
	w.factors = append(w.factors,
		account.Factor{ID: "f2", Kind: "token", Name: "窓口のトークン", Serial: "A1234567", AddedAt: old},
		account.Factor{ID: "f3", Kind: "passkey", Name: "Windows端末のパスキー", AddedAt: old, LastUsedAt: t0},
		account.Factor{ID: "f4", Kind: "passkey", Name: "私のスマートフォン", Synced: true, AddedAt: old, LastUsedAt: t0},
		account.Factor{ID: "f5", Kind: "card", Name: "職員証", AddedAt: old, LastUsedAt: t0},
	)
	return w
}

// get and post ask the server as a browser would.
func (w *world) get(path string) *answer { return w.send(http.MethodGet, path, nil) }

// post sends a form with the token that goes with the cookie; pairs are its
// fields.
func (w *world) post(path string, pairs ...string) *answer {
	form := url.Values{}
	if w.cookie != "" {
		form.Set("csrf_token", token(w.cookie))
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return w.send(http.MethodPost, path, form)
}

// bring posts a form with a file, as a browser does.
func (w *world) bring(path, file string, pairs ...string) *answer {
	var b strings.Builder
	part := func(head, body string) {
		b.WriteString("--xx\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + body + "\r\n")
	}
	part(`name="csrf_token"`, token(w.cookie))
	part(`name="file"; filename="a.csv"`+"\r\nContent-Type: text/csv", file)
	for i := 0; i < len(pairs); i += 2 {
		part(`name="`+pairs[i]+`"`, pairs[i+1])
	}
	return w.sendTo("localhost:8080", http.MethodPost, path, b.String()+"--xx--\r\n")
}

func (w *world) send(method, path string, form url.Values) *answer {
	w.t.Helper()
	if form == nil {
		return w.sendTo("localhost:8080", method, path, "")
	}
	return w.sendTo("localhost:8080", method, path, form.Encode())
}

func (w *world) sendTo(host, method, path, body string) *answer {
	w.t.Helper()
	r := httptest.NewRequest(method, "http://"+host+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:5555"
	if w.from != "" {
		r.RemoteAddr = w.from + ":5555"
	}
	r.Header.Set("Accept-Language", w.lang)
	if w.site != "" {
		r.Header.Set("Sec-Fetch-Site", w.site)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if strings.HasPrefix(body, "--xx\r\n") {
			r.Header.Set("Content-Type", "multipart/form-data; boundary=xx")
		}
	}
	if w.cookie != "" {
		r.Header.Set("Cookie", "__Host-sekisho="+w.cookie)
	}
	rec := httptest.NewRecorder()
	w.srv.ServeHTTP(rec, r)
	return &answer{w.t, rec.Result(), rec.Body.String()}
}

type answer struct {
	t testing.TB
	*http.Response
	body string
}

func (a *answer) is(status int) *answer {
	a.t.Helper()
	if a.StatusCode != status {
		a.t.Fatalf("status %d, want %d; Location %q\n%s", a.StatusCode, status, a.Header.Get("Location"), a.body)
	}
	return a
}

func (a *answer) leadsTo(where string) *answer {
	a.t.Helper()
	if a.is(http.StatusSeeOther); a.Header.Get("Location") != where {
		a.t.Errorf("leads to %q, want %q", a.Header.Get("Location"), where)
	}
	return a
}

func (a *answer) says(texts ...string) *answer {
	a.t.Helper()
	for _, s := range texts {
		if !strings.Contains(a.body, s) {
			a.t.Errorf("does not say %q:\n%s", s, a.body)
		}
	}
	return a
}

func (a *answer) keepsSilentOn(texts ...string) *answer {
	a.t.Helper()
	for _, s := range texts {
		if strings.Contains(a.body, s) {
			a.t.Errorf("says %q:\n%s", s, a.body)
		}
	}
	return a
}

// cookieSet is the new value of the session cookie; "-" when it is cleared, ""
// when it is left alone.
func (a *answer) cookieSet() string {
	for _, c := range a.Cookies() {
		if c.Name == "__Host-sekisho" {
			if c.MaxAge < 0 {
				return "-"
			}
			return c.Value
		}
	}
	return ""
}

var errStore = errors.New("disk on fire at /var/lib/sekisho")
