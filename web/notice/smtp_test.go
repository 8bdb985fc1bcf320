package notice

import (
	"context"
	"crypto/x509"
	"errors"
	"mime"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sekisho/policy/secret"
	"sekisho/web/notice/smtptest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("sekisho/test/postgres.(*Server).start.func1"))
}

var (
	ctx = context.Background()
	t0  = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
)

// quick is long enough for loopback on a busy machine and short enough to wait
// for.
const quick = 20 * time.Second

func smtpTo(t *testing.T, p *smtptest.Server, change func(c *SMTPConfig)) *SMTP {
	t.Helper()
	c := SMTPConfig{Server: p.Addr, Roots: p.Roots(), Timeout: quick}
	if change != nil {
		change(&c)
	}
	s, err := NewSMTP(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func message(to string) Message {
	return Message{
		ID: "0123456789abcdef@pref.example", From: "sekisho@pref.example", To: to,
		Subject: "［関所］パスワードが変わりました / Your password was changed", Text: "田中 花子 様\n\nパスワードが変わりました。\n.\n", At: t0,
	}
}

func TestConfigRefuses(t *testing.T) {
	pw := secret.NewText([]byte("hunter2"))
	for _, tt := range []struct {
		name string
		c    SMTPConfig
		ok   bool
	}{
		{"least", SMTPConfig{Server: "mail.pref.example:587"}, true},
		{"whole", SMTPConfig{Server: "mail.pref.example:465", TLS: WholeTLS, Username: "sekisho", Password: pw}, true},
		{"an address", SMTPConfig{Server: "[2001:db8::1]:25"}, true},
		{"plain on loopback", SMTPConfig{Server: "127.0.0.1:25", TLS: NoTLS}, true},
		{"plain on localhost", SMTPConfig{Server: "LocalHost:25", TLS: NoTLS}, true},
		{"plain across the network", SMTPConfig{Server: "mail.pref.example:25", TLS: NoTLS}, false},
		{"plain in as many words", SMTPConfig{Server: "mail.pref.example:25", TLS: NoTLS, PlaintextAllowed: true}, true},
		{"a password in clear", SMTPConfig{Server: "127.0.0.1:25", TLS: NoTLS, Username: "sekisho", Password: pw}, false},
		{"a password in clear, allowed", SMTPConfig{Server: "mail.pref.example:25", TLS: NoTLS, PlaintextAllowed: true, Username: "sekisho", Password: pw}, false},
		{"unknown protection", SMTPConfig{Server: "mail.pref.example:25", TLS: "opportunistic"}, false},
		{"nothing", SMTPConfig{}, false},
		{"no port", SMTPConfig{Server: "mail.pref.example"}, false},
		{"a named port", SMTPConfig{Server: "mail.pref.example:smtp"}, false},
		{"port 0", SMTPConfig{Server: "mail.pref.example:0"}, false},
		{"port beyond", SMTPConfig{Server: "mail.pref.example:70000"}, false},
		{"no host", SMTPConfig{Server: ":25"}, false},
		{"user without password", SMTPConfig{Server: "mail.pref.example:587", Username: "sekisho"}, false},
		{"password without user", SMTPConfig{Server: "mail.pref.example:587", Password: pw}, false},
		{"endless patience", SMTPConfig{Server: "mail.pref.example:587", Timeout: time.Hour}, false},
	} {
		_, err := NewSMTP(tt.c)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s shows the password", tt.name)
		}
	}
}

func TestAMessageArrivesAsWritten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		tell   func(p *smtptest.Server)
		change func(c *SMTPConfig)
	}{
		{"STARTTLS", nil, nil},
		{"whole TLS", func(p *smtptest.Server) { p.WholeTLS = true }, func(c *SMTPConfig) { c.TLS = WholeTLS }},
		{"none, on loopback", func(p *smtptest.Server) { p.NoTLS = true }, func(c *SMTPConfig) { c.TLS = NoTLS }},
		{"signed in", func(p *smtptest.Server) { p.User, p.Password = "sekisho", "hunter2" },
			func(c *SMTPConfig) { c.Username, c.Password = "sekisho", secret.NewText([]byte("hunter2")) }},
		{"signed in over whole TLS", func(p *smtptest.Server) { p.WholeTLS, p.User, p.Password = true, "sekisho", "hunter2" },
			func(c *SMTPConfig) {
				c.TLS, c.Username, c.Password = WholeTLS, "sekisho", secret.NewText([]byte("hunter2"))
			}},
		{"a modern server", func(p *smtptest.Server) {
			p.Offers = []string{"8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "PIPELINING"}
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := smtptest.Open(t, tt.tell)
			m := message("tanaka@pref.example")
			if err := smtpTo(t, p, tt.change).Send(ctx, m); err != nil {
				t.Fatal(err)
			}
			got := p.Messages()
			if len(got) != 1 {
				t.Fatalf("%d messages", len(got))
			}
			g := got[0]
			for _, x := range []struct{ what, got, want string }{
				{"envelope from", g.From, m.From},
				{"envelope to", g.To, m.To},
				{"From", g.Header.Get("From"), "<" + m.From + ">"},
				{"To", g.Header.Get("To"), "<" + m.To + ">"},
				{"Message-ID", g.Header.Get("Message-ID"), "<" + m.ID + ">"},
				{"Date", g.Header.Get("Date"), "Wed, 01 Apr 2026 09:00:00 +0900"},
				{"Auto-Submitted", g.Header.Get("Auto-Submitted"), "auto-generated"},
				{"User-Agent", g.Header.Get("User-Agent") + g.Header.Get("X-Mailer"), ""},
				{"text", g.Text, strings.ReplaceAll(m.Text, "\n", "\r\n")},
			} {
				if x.got != x.want {
					t.Errorf("%s = %q, want %q", x.what, x.got, x.want)
				}
			}
			if subject, err := new(mime.WordDecoder).DecodeHeader(g.Header.Get("Subject")); err != nil || subject != m.Subject {
				t.Errorf("subject = %q, %v", subject, err)
			}
			for i, line := range strings.Split(g.Raw, "\r\n") {
				if len(line) > 78 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
					t.Errorf("line %d is not plain: %q", i+1, line)
				}
			}
			if tt.change == nil {
				if _, inClear := p.Heard(); !slices.Equal(verbs(inClear), []string{"EHLO", "STARTTLS"}) {
					t.Errorf("in clear: %q", inClear)
				}
			}
		})
	}
}

func verbs(lines []string) (out []string) {
	for _, l := range lines {
		v, _, _ := strings.Cut(l, " ")
		out = append(out, v)
	}
	return out
}

// open is how many connections the server still has.
func open(p *smtptest.Server) int {
	_, now := p.Connections()
	return now
}

// TestAway: whatever stands in the way of every message is ErrAway, and the
// password has not been shown to anybody by then.
func TestAway(t *testing.T) {
	t.Parallel()
	pw := func(c *SMTPConfig) { c.Username, c.Password = "sekisho", secret.NewText([]byte("hunter2")) }
	for _, tt := range []struct {
		name   string
		tell   func(p *smtptest.Server)
		change func(c *SMTPConfig)
		auth   bool // a password may have been sent
	}{
		{"no STARTTLS", func(p *smtptest.Server) { p.NoTLS = true }, pw, false},
		{"no STARTTLS, and nobody to sign in", func(p *smtptest.Server) { p.NoTLS = true }, nil, false},
		{"STARTTLS refused", func(p *smtptest.Server) { p.Reply = on("STARTTLS", "454 not now") }, pw, false},
		{"a certificate of strangers", nil, func(c *SMTPConfig) { pw(c); c.Roots = x509.NewCertPool() }, false},
		{"a certificate for another", func(p *smtptest.Server) { p.Names = "192.0.2.1" }, pw, false},
		{"TLS where there is none", func(p *smtptest.Server) { p.NoTLS = true }, func(c *SMTPConfig) { pw(c); c.TLS = WholeTLS; c.Timeout = time.Second }, false},
		{"no AUTH", nil, pw, false},
		{"wrong password", func(p *smtptest.Server) { p.User, p.Password = "sekisho", "other" }, pw, true},
		{"sender not taken", func(p *smtptest.Server) { p.Reply = on("MAIL", "553 5.7.1 not your address") }, nil, false},
		{"busy", func(p *smtptest.Server) { p.Reply = on("MAIL", "451 4.3.2 later") }, nil, false},
		{"cut at the greeting", func(p *smtptest.Server) { p.Reply = on("EHLO", "cut") }, nil, false},
		{"silent", func(p *smtptest.Server) { p.Reply = on("EHLO", "hang") }, func(c *SMTPConfig) { c.Timeout = 300 * time.Millisecond }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := smtptest.Open(t, tt.tell)
			s := smtpTo(t, p, tt.change)
			err := s.Send(ctx, message("tanaka@pref.example"))
			if !errors.Is(err, ErrAway) || errors.Is(err, ErrRefused) {
				t.Errorf("Send = %v, want ErrAway", err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
			if got := p.Messages(); len(got) != 0 {
				t.Errorf("%d messages went out", len(got))
			}
			waitFor(t, func() bool { return open(p) == 0 })
			heard, _ := p.Heard()
			for _, command := range heard {
				if strings.HasPrefix(command, "AUTH") && !tt.auth {
					t.Errorf("the server heard %q", command)
				}
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSMTP(SMTPConfig{Server: ln.Addr().String(), Timeout: quick})
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := s.Send(ctx, message("tanaka@pref.example")); !errors.Is(err, ErrAway) {
		t.Errorf("Send = %v", err)
	}
	if err := s.Try(ctx); !errors.Is(err, ErrAway) {
		t.Errorf("Try = %v", err)
	}
}

// on answers one verb; everything else as usual.
func on(verb, answer string) func(string, string) string {
	return func(v, _ string) string {
		if v == verb {
			return answer
		}
		return ""
	}
}

// TestOneMessage: what concerns one message is said of it alone, and the next
// over the same batch goes out.
func TestOneMessage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, verb, answer string
		refused            bool
		taken              int // of the two messages
	}{
		{"no such recipient", "RCPT", "550 5.1.1 nobody <tanaka@pref.example>", true, 1},
		{"mailbox full", "RCPT", "452 4.2.2 full", false, 1},
		{"greylisted", "RCPT", "450 4.7.1 come again", false, 1},
		{"no data", "DATA", "554 no", true, 1},
		{"not now", "DATA", "451 no", false, 1},
		{"content refused", "DATA", "end:554 5.7.1 spam", true, 1},
		{"content deferred", "DATA", "end:451 4.3.0 no room", false, 1},
		{"cut at the recipient", "RCPT", "cut", false, 1},
		{"cut before the answer", "DATA", "end:cut", false, 1},
		{"taken, and cut before the answer", "DATA", "end:take and cut", false, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first := true
			p := smtptest.Open(t, func(p *smtptest.Server) {
				p.Reply = func(verb, _ string) string { // of one conversation at a time
					if verb == tt.verb && first {
						first = false
						return tt.answer
					}
					return ""
				}
			})
			batch, hangUp := smtpTo(t, p, nil).Batch()
			defer hangUp() // twice is once
			err := batch.Send(ctx, message("tanaka@pref.example"))
			if err == nil || errors.Is(err, ErrRefused) != tt.refused || errors.Is(err, ErrAway) {
				t.Errorf("first = %v, want refused %t", err, tt.refused)
			}
			if err != nil && strings.Contains(err.Error(), "affected") {
				t.Errorf("the error names the recipient: %v", err)
			}
			if err := batch.Send(ctx, message("sato@pref.example")); err != nil {
				t.Errorf("second = %v", err)
			}
			hangUp()
			waitFor(t, func() bool { return open(p) == 0 })
			if got := p.Messages(); len(got) != tt.taken || got[len(got)-1].To != "sato@pref.example" {
				t.Errorf("%d messages taken, want %d", len(got), tt.taken)
			}
		})
	}
}

func TestOneConnectionForABatch(t *testing.T) {
	t.Parallel()
	p := smtptest.Open(t, nil)
	batch, hangUp := smtpTo(t, p, nil).Batch()
	for _, to := range []string{"a@pref.example", "b@pref.example", "c@pref.example"} {
		if err := batch.Send(ctx, message(to)); err != nil {
			t.Fatal(err)
		}
	}
	hangUp()
	if n, _ := p.Connections(); n != 1 || len(p.Messages()) != 3 {
		t.Errorf("%d connections for %d messages, want 1 for 3", n, len(p.Messages()))
	}
	if heard, _ := p.Heard(); heard[len(heard)-1] != "QUIT" {
		t.Error("we left without a word")
	}
}

// TestAnEndedContextCutsTheLine: stopping a gateway does not wait for a mail
// server, wherever it keeps us waiting.
func TestAnEndedContextCutsTheLine(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"EHLO", "STARTTLS", "MAIL", "RCPT", "DATA"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(ctx)
			p := smtptest.Open(t, func(p *smtptest.Server) {
				p.Reply = func(v, _ string) string {
					if v == verb {
						cancel()
						return "hang"
					}
					return ""
				}
			})
			s := smtpTo(t, p, func(c *SMTPConfig) { c.Timeout = time.Minute })
			if err := s.Send(ctx, message("tanaka@pref.example")); err == nil || errors.Is(err, ErrRefused) {
				t.Errorf("Send = %v", err)
			}
		})
	}
}

func TestTrySendsNothing(t *testing.T) {
	t.Parallel()
	p := smtptest.Open(t, func(p *smtptest.Server) { p.User, p.Password = "sekisho", "hunter2" })
	s := smtpTo(t, p, func(c *SMTPConfig) { c.Username, c.Password = "sekisho", secret.NewText([]byte("hunter2")) })
	if err := s.Try(ctx); err != nil {
		t.Fatal(err)
	}
	heard, _ := p.Heard()
	for _, command := range heard {
		if strings.HasPrefix(command, "MAIL") || strings.HasPrefix(command, "DATA") {
			t.Errorf("Try said %q", command)
		}
	}
	if want := []string{"EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"}; !slices.Equal(verbs(heard), want) {
		t.Errorf("Try said %q, want %q", heard, want)
	}
}
