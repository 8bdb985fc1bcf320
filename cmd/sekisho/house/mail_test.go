package house_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/clock"
	mail "sekisho/web/notice"
	"sekisho/web/notice/smtptest"
)

func file(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// mailFaults are the lines of `config check` that speak of mail.
func mailFaults(t *testing.T, m config.Mail) (en, ja []string) {
	t.Helper()
	cfg := house.Config{Mail: m}
	cfg.Store.Path = filepath.Join(t.TempDir(), "sekisho.db")
	for _, err := range house.Check(context.Background(), cfg, clock.System()) {
		if line := say.In("en", err); strings.HasPrefix(line, "mail") {
			en, ja = append(en, line), append(ja, say.In("ja", err))
		}
	}
	return en, ja
}

// TestCheckMail asks real servers, and finds what would keep notices waiting.
func TestCheckMail(t *testing.T) {
	t.Parallel()
	server := smtptest.Open(t, func(s *smtptest.Server) { s.User, s.Password = "sekisho", "hunter2" })
	open := smtptest.Open(t, nil)
	bare := smtptest.Open(t, func(s *smtptest.Server) { s.NoTLS = true })
	other := smtptest.Open(t, func(s *smtptest.Server) { s.Names = "192.0.2.1" })
	ca := file(t, "ca.pem", string(server.PEM), 0o644)
	right, wrong := file(t, "right", "hunter2\n", 0o600), file(t, "wrong", "hunter3\n", 0o600)
	for _, tt := range []struct {
		name string
		mail config.Mail
		want string // the fault begins with it and says the rest; "" none
		says string
	}{
		{"sound", config.Mail{Server: server.Addr, CAFile: ca, Username: "sekisho", PasswordFile: right}, "", ""},
		{"sound, and nobody signs in", config.Mail{Server: open.Addr, CAFile: file(t, "ca.pem", string(open.PEM), 0o644)}, "", ""},
		{"in clear on this machine", config.Mail{Server: bare.Addr, TLS: "none"}, "", ""},
		{"no server", config.Mail{}, "", ""},
		{"wrong password", config.Mail{Server: server.Addr, CAFile: ca, Username: "sekisho", PasswordFile: wrong}, "mail.username:", "535"},
		{"a password that others read", config.Mail{Server: server.Addr, CAFile: ca, Username: "sekisho", PasswordFile: file(t, "open", "hunter2\n", 0o644)}, "mail.password_file:", "chmod 600"},
		{"no password", config.Mail{Server: server.Addr, CAFile: ca, Username: "sekisho", PasswordFile: "/nowhere/password"}, "mail.password_file:", "/nowhere/password"},
		{"an authority nobody knows", config.Mail{Server: open.Addr}, "mail.ca_file:", "certificate"},
		{"the certificate of another", config.Mail{Server: other.Addr, CAFile: file(t, "ca.pem", string(other.PEM), 0o644)}, "mail.ca_file:", "192.0.2.1"},
		{"no CA file", config.Mail{Server: open.Addr, CAFile: "/nowhere/ca.pem"}, "mail.ca_file:", "/nowhere/ca.pem"},
		{"a CA file of something else", config.Mail{Server: open.Addr, CAFile: right}, "mail.ca_file:", "holds no certificate"},
		{"no STARTTLS", config.Mail{Server: bare.Addr}, "mail.server:", "STARTTLS"},
		{"nobody there", config.Mail{Server: "127.0.0.1:1"}, "mail.server:", "refused"},
		{"across the network in clear", config.Mail{Server: "192.0.2.1:25", TLS: "none"}, "mail:", "in clear"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			en, ja := mailFaults(t, tt.mail)
			switch {
			case tt.want == "" && len(en) != 0:
				t.Errorf("found %q", en)
			case tt.want != "" && (len(en) != 1 || !strings.HasPrefix(en[0], tt.want) || !strings.Contains(en[0], tt.says)):
				t.Errorf("found %q, want one that begins with %q and says %q", en, tt.want, tt.says)
			case tt.want != "" && (ja[0] == en[0] || !strings.Contains(ja[0], "。")):
				t.Errorf("in Japanese: %q", ja[0])
			}
			for _, line := range append(en, ja...) {
				if strings.Contains(line, "hunter") {
					t.Errorf("shows the password: %q", line)
				}
			}
		})
	}
	t.Cleanup(func() {
		for _, s := range []*smtptest.Server{server, open, bare, other} {
			if n := len(s.Messages()); n != 0 {
				t.Errorf("a check sent %d messages", n)
			}
		}
	})
}

func TestMailer(t *testing.T) {
	t.Parallel()
	if m, err := house.Mailer(config.Mail{}); m != nil || err != nil {
		t.Errorf("no server: %v, %v", m, err)
	}
	if m, err := house.Mailer(config.Mail{Server: "mail.pref.example:587", Username: "sekisho", PasswordFile: "/nowhere/password"}); m != nil || err == nil {
		t.Errorf("no password: %v, %v", m, err)
	}
	server := smtptest.Open(t, func(s *smtptest.Server) { s.User, s.Password = "sekisho", "hunter2" })
	m, err := house.Mailer(config.Mail{
		Server: server.Addr, CAFile: file(t, "ca.pem", string(server.PEM), 0o644),
		Username: "sekisho", PasswordFile: file(t, "password", "hunter2\n", 0o600),
	})
	if err != nil {
		t.Fatal(err)
	}
	letter := mail.Message{ID: "1@pref.example", From: "sekisho@pref.example", To: "tanaka@pref.example", Subject: "s", Text: "t\n"}
	if err := m.Send(context.Background(), letter); err != nil || len(server.Messages()) != 1 {
		t.Errorf("Send = %v, %d messages", err, len(server.Messages()))
	}
}
