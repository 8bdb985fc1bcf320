package test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	rad "layeh.com/radius"
	"layeh.com/radius/rfc2869"

	"sekisho/test/harness"
)

const gearSecret = "kagami-no-tobira-wo-hiraku-0123456789"

// gearSettings has a site answer gear: radclient and a proxy from 127.0.0.1, and from
// 127.0.0.3 what cannot send a Message-Authenticator. disconnect is where the first is
// told to end sessions.
func gearSettings(port int, disconnect string) string {
	return fmt.Sprintf(`radius:
  listen: 127.0.0.1:%d
  clients:
    - {id: vpn, from: [127.0.0.1], secret_file: vpn.secret, attributes: ["Filter-Id=staff"], disconnect: %q}
    - {id: old, from: [127.0.0.3], secret_file: old.secret, message_authenticator: optional, disconnect: none}
`, port, disconnect)
}

// gearTerminal is what those who come by gear have.
const gearTerminal = `terminals:
  - {id: gear-001, zone: lgwan, class: lent, name: {ja: 貸与端末, en: Lent terminal}}
remote:
  lent_by_remote_permit: true
`

func writeGearSecrets(t *testing.T, s *harness.Site) {
	t.Helper()
	s.Write(t, "vpn.secret", []byte(gearSecret+"\n"))
	s.Write(t, "old.secret", []byte("furui-"+gearSecret+"\n"))
}

// A radAnswer is what radclient says it was answered.
type radAnswer struct {
	code, message, state, all string
}

var (
	radCode    = regexp.MustCompile(`(?m)^Received (\S+) Id`)
	radMessage = regexp.MustCompile(`(?m)^\s*Reply-Message = "(.*)"$`)
	radState   = regexp.MustCompile(`(?m)^\s*State = (0x[0-9a-f]+)$`)
)

// radclient sends one request and reads the answer.
func radclient(t *testing.T, to, secret, attributes string) radAnswer {
	t.Helper()
	cmd := exec.Command(harness.Need(t, "radclient", "freeradius-utils"), "-x", "-r", "1", "-t", "30", to, "auth", secret)
	cmd.Stdin = strings.NewReader(attributes + "\n")
	out, _ := cmd.CombinedOutput() // it fails where the answer is a reject, or none
	a := radAnswer{all: string(out)}
	for _, m := range []struct {
		form *regexp.Regexp
		into *string
	}{{radCode, &a.code}, {radMessage, &a.message}, {radState, &a.state}} {
		if found := m.form.FindSubmatch(out); found != nil {
			*m.into = string(found[1])
		}
	}
	return a
}

func pap(login, password string, more ...string) string {
	return strings.Join(append([]string{
		fmt.Sprintf("User-Name = %q", login), fmt.Sprintf("User-Password = %q", password), "Message-Authenticator = 0x00",
	}, more...), ", ")
}

// A gearSite is a site that answers gear, with its people signed in inside.
type gearSite struct {
	*harness.Site
	addr string
	in   map[string]*harness.Client
}

// sitesGear is one whose people have enrolled their devices.
func sitesGear(t *testing.T, disconnect string, logins ...string) gearSite {
	t.Helper()
	port := harness.FreePort(t)
	s := gearSite{
		harness.NewSite(t, harness.SiteOptions{Settings: gearSettings(port, disconnect), Rules: gearTerminal}),
		net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), map[string]*harness.Client{},
	}
	writeGearSecrets(t, s.Site)
	s.Serve(t)
	for _, login := range logins {
		s.in[login] = s.Behind("10.2.0.9")
		s.Members[login].SignIn(t, s.in[login])
	}
	return s
}

// permits has somebody ask for remote access, and the CIO say yes.
func (s gearSite) permits(t *testing.T, login string, cio *harness.Client) (id string) {
	t.Helper()
	now := cio.Now(t)
	a := s.in[login].Do(t, "POST", "/api/v1/permits", map[string]any{
		"kind": "remote_access", "terminal": "gear-001", "applications": []string{"app"}, "reason": "在宅勤務",
		"from": now.Format(time.RFC3339), "until": now.Add(2 * time.Hour).Format(time.RFC3339),
	})
	var m permitted
	if a.Into(t, &m); a.Status != http.StatusCreated {
		t.Fatalf("%s asks: %d %s", login, a.Status, a.Body)
	}
	if a := cio.Do(t, "POST", "/api/v1/permits/"+m.ID+"/approve", map[string]string{"comment": "可"}); a.Status != http.StatusOK {
		t.Fatalf("the CIO says yes to %s: %d %s", login, a.Status, a.Body)
	}
	return m.ID
}

// TestRadclient: FreeRADIUS's own client against serve and slapd.
func TestRadclient(t *testing.T) {
	t.Parallel()
	s := sitesGear(t, "none", "tanaka")
	addr, tanaka := s.addr, s.Members["tanaka"]
	ask := func(login, password string, more ...string) radAnswer {
		t.Helper()
		return radclient(t, addr, gearSecret, pap(login, password, more...))
	}
	wrong := ask("tanaka", "wrong")
	if wrong.code != "Access-Reject" || wrong.message == "" {
		t.Fatalf("a wrong password: %s", wrong.all)
	}
	for _, login := range []string{"nobody", "dareka"} {
		if a := ask(login, tanaka.Password); a.code != wrong.code || a.message != wrong.message {
			t.Errorf("an unknown name: %s", a.all)
		}
	}
	challenge := ask("tanaka", tanaka.Password)
	if challenge.code != "Access-Challenge" || challenge.state == "" || !strings.Contains(challenge.message, "確認コード") {
		t.Fatalf("a right password: %s", challenge.all)
	}
	code := tanaka.Code(t, s.Behind("10.2.0.9"))
	refused := ask("tanaka", code, "State = "+challenge.state)
	if refused.code != "Access-Reject" || !strings.Contains(refused.message, "許可を申請") {
		t.Errorf("without a permit: %s", refused.all)
	}
	if a := ask("tanaka", tanaka.Password+","+code); a.message != wrong.message {
		t.Errorf("a code that was used: %s", a.all)
	}
	if a := ask("shimizu", s.Members["shimizu"].Password); a.code != "Access-Reject" {
		t.Errorf("a temporary password: %s", a.all)
	}
	unanswered(t, addr, "another-"+gearSecret, pap("tanaka", tanaka.Password))
	unanswered(t, addr, gearSecret, pap("tanaka", tanaka.Password, "Packet-Src-IP-Address = 127.0.0.2"))
	unanswered(t, addr, gearSecret, fmt.Sprintf("User-Name = %q, User-Password = %q", tanaka.Login, tanaka.Password))
	status := exec.Command(harness.Need(t, "radclient", "freeradius-utils"), "-x", "-r", "1", "-t", "30", addr, "status", gearSecret)
	status.Stdin = strings.NewReader("Message-Authenticator = 0x00\n")
	if out, err := status.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("Access-Accept")) {
		t.Errorf("Status-Server: %v %s", err, out)
	}
	text := meters(t, s.Site)
	for _, outcome := range []string{"challenged", "refused", "unsigned", "forged", "unknown_client", "status"} {
		if !regexp.MustCompile(`(?m)^sekisho_radius_packets_total\{outcome="` + outcome + `"\} [1-9]`).MatchString(text) {
			t.Errorf("nothing is counted as %s", outcome)
		}
	}
	if !strings.Contains(text, "sekisho_radius_unsigned_clients 1") {
		t.Error("gear that is excused is not shown")
	}
}

// unanswered sends a request once, and waits a moment for an answer in vain.
func unanswered(t *testing.T, addr, secret, attributes string) {
	t.Helper()
	cmd := exec.Command(harness.Need(t, "radclient", "freeradius-utils"), "-x", "-r", "1", "-t", "1", addr, "auth", secret)
	cmd.Stdin = strings.NewReader(attributes + "\n")
	out, err := cmd.CombinedOutput()
	if err == nil || radCode.Match(out) {
		t.Errorf("%s: answered %s", attributes, out)
	}
}

// TestPamRadius: pam_radius asks for password and code through pamtester. It cannot
// send a Message-Authenticator, so it comes by the client that is excused.
func TestPamRadius(t *testing.T) {
	t.Parallel()
	pamtester := harness.Need(t, "pamtester", "pamtester")
	if os.Getuid() != 0 {
		t.Skip("PAM reads its services from /etc/pam.d")
	}
	s := sitesGear(t, "none", "tanaka")
	addr := s.addr
	conf := s.Write(t, "pam_radius.conf", []byte(fmt.Sprintf("%s furui-%s 30 127.0.0.3\n", addr, gearSecret)))
	service := "sekisho-test-" + strconv.Itoa(os.Getpid())
	at := filepath.Join("/etc/pam.d", service)
	if err := os.WriteFile(at, []byte("auth required pam_radius_auth.so conf="+conf+" debug\naccount required pam_permit.so\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(at) })
	tanaka := s.Members["tanaka"]
	try := func(answers ...string) string {
		cmd := exec.Command(pamtester, "-v", service, "tanaka", "authenticate")
		cmd.Stdin = strings.NewReader(strings.Join(answers, "\n") + "\n")
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	out := try(tanaka.Password, tanaka.Code(t, s.Behind("10.2.0.9")))
	if !strings.Contains(out, "one-time code") || strings.Contains(out, "successfully authenticated") {
		t.Errorf("password and code, without a permit: %s", out)
	}
	if out := try("wrong"); strings.Contains(out, "successfully") || strings.Contains(out, "one-time code") {
		t.Errorf("a wrong password: %s", out)
	}
	s.permits(t, "tanaka", approver(t, s.Site, "yoshida", "10.2.0.20"))
	if out := try(tanaka.Password, tanaka.Code(t, s.Behind("10.2.0.9"))); !strings.Contains(out, "successfully authenticated") {
		t.Errorf("password and code, with a permit: %s", out)
	}
}

const proxyConf = `prefix = /usr
exec_prefix = /usr
localstatedir = %[1]s
logdir = %[1]s
raddbdir = %[1]s
confdir = %[1]s
run_dir = %[1]s
libdir = /usr/lib/freeradius
pidfile = %[1]s/radiusd.pid
max_request_time = 60
cleanup_delay = 2
max_requests = 256
log {
	destination = stdout
}
security {
	max_attributes = 200
	reject_delay = 0
	status_server = yes
	allow_vulnerable_openssl = yes
}
proxy_requests = yes
proxy server {
	default_fallback = no
}
home_server gate {
	type = auth
	ipaddr = 127.0.0.1
	port = %[2]s
	secret = %[3]s
	response_window = 30
	status_check = none
}
home_server_pool gates {
	type = fail-over
	home_server = gate
}
realm NULL {
	auth_pool = gates
	nostrip
}
client near {
	ipaddr = 127.0.0.1
	secret = of-the-proxy
}
modules {
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[4]d
	}
	authorize {
		update control {
			Proxy-To-Realm := "NULL"
		}
	}
	pre-proxy {
		update proxy-request {
			Message-Authenticator := 0x00
		}
	}
}
`

// TestFreeRADIUSInFront: FreeRADIUS as a proxy before the gate; its Proxy-State comes
// back, and it believes the answers' Message-Authenticator.
func TestFreeRADIUSInFront(t *testing.T) {
	t.Parallel()
	freeradius := harness.Need(t, "freeradius", "freeradius")
	s := sitesGear(t, "none", "tanaka")
	_, port, _ := net.SplitHostPort(s.addr)
	mine := harness.FreePort(t)
	dir := t.TempDir()
	conf := fmt.Sprintf(proxyConf, dir, port, gearSecret, mine)
	if err := os.WriteFile(filepath.Join(dir, "radiusd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	p := harness.Start(t, dir, freeradius, "-f", "-l", "stdout", "-d", dir, "-n", "radiusd")
	harness.Until(t, "FreeRADIUS to be ready", func() bool {
		if p.Ended() {
			t.Fatalf("FreeRADIUS ended: %s\n%s", p.Output(), conf)
		}
		return strings.Contains(p.Output(), "Ready to process requests")
	})
	to := net.JoinHostPort("127.0.0.1", strconv.Itoa(mine))
	tanaka := s.Members["tanaka"]
	challenge := radclient(t, to, "of-the-proxy", pap("tanaka", tanaka.Password))
	if challenge.code != "Access-Challenge" || challenge.state == "" {
		t.Fatalf("through the proxy: %s\n%s", challenge.all, p.Output())
	}
	refused := radclient(t, to, "of-the-proxy", pap("tanaka", tanaka.Code(t, s.Behind("10.2.0.9")), "State = "+challenge.state))
	if refused.code != "Access-Reject" || !strings.Contains(refused.message, "許可を申請") {
		t.Errorf("through the proxy, without a permit: %s", refused.all)
	}
	s.permits(t, "tanaka", approver(t, s.Site, "yoshida", "10.2.0.20"))
	in := radclient(t, to, "of-the-proxy", pap("tanaka", tanaka.Password+","+tanaka.Code(t, s.Behind("10.2.0.9"))))
	if in.code != "Access-Accept" || sessionTimeout.FindString(in.all) == "" || !strings.Contains(in.all, "Class = 0x") {
		t.Errorf("through the proxy, with a permit: %s\n%s", in.all, p.Output())
	}
}

// signedRequest is a request's bytes with a Message-Authenticator (RFC 3579 section
// 3.2), by a reading of the rule that is not the door's.
func signedRequest(p *rad.Packet) ([]byte, error) {
	p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
	raw, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	h := hmac.New(md5.New, p.Secret)
	h.Write(raw)
	p.Set(rfc2869.MessageAuthenticator_Type, h.Sum(nil))
	return p.Encode()
}

// TestRADIUSNewSecret: gear is given another secret without a restart. The old one counts
// beside it while the configuration says so; what cannot be used changes nothing.
func TestRADIUSNewSecret(t *testing.T) {
	t.Parallel()
	const newer = "atarashii-kagi-wo-tsukau-0123456789-42"
	port := harness.FreePort(t)
	s := harness.NewSite(t, harness.SiteOptions{Settings: gearSettings(port, "none")})
	writeGearSecrets(t, s)
	p := s.Serve(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	says := func(secret string) string {
		t.Helper()
		return radclient(t, addr, secret, pap("tanaka", "wrong")).code
	}
	reload := func(old, new, then string) {
		t.Helper()
		before := strings.Count(p.Log(), then)
		s.Config = s.Variant(t, s.Config, "sekisho.yaml", old, new)
		p.Signal(t, syscall.SIGHUP)
		harness.Until(t, then, func() bool { return strings.Count(p.Log(), then) > before })
	}
	s.Write(t, "newer.secret", []byte(newer+"\n"))
	const line, mine = "secret_file: vpn.secret", "secret_file: newer.secret"
	both := mine + `, former_secrets: [{file: vpn.secret, until: "2999-01-01T00:00:00+09:00"}]`

	reload(line, "secret_file: nowhere.secret", "reload refused")
	if got := says(gearSecret); got != "Access-Reject" {
		t.Errorf("after a file that cannot be used, the secret of before is answered %q", got)
	}
	reload("secret_file: nowhere.secret", both, "reloaded the certificate, the network gear")
	for _, secret := range []string{gearSecret, newer} {
		if got := says(secret); got != "Access-Reject" {
			t.Errorf("while both count, %q is answered %q", secret, got)
		}
	}
	if !strings.Contains(p.Log(), "gear asks with a former secret") {
		t.Error("the log does not say that gear has the former secret still")
	}
	reload(both, mine, "reloaded the certificate, the network gear")
	unanswered(t, addr, gearSecret, pap("tanaka", "wrong"))
	if got := says(newer); got != "Access-Reject" {
		t.Errorf("the new secret is answered %q", got)
	}
}
