package house

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/textproto"
	"os"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/secret"
	mail "sekisho/web/notice"
)

// Mailer is the mail server of a configuration file, nil where it names none. It
// reads the password and the certificates, and connects to nothing.
func Mailer(m config.Mail) (mail.Mailer, error) {
	if m.Server == "" {
		return nil, nil
	}
	server, err := mailServer(m)
	if err != nil {
		return nil, err
	}
	return server, nil
}

func mailServer(m config.Mail) (*mail.SMTP, error) {
	c := mail.SMTPConfig{Server: m.Server, TLS: m.TLS, PlaintextAllowed: m.PlaintextAllowed, Username: m.Username}
	if m.PasswordFile != "" {
		if err := guarded("mail.password_file", m.PasswordFile); err != nil {
			return nil, err
		}
		var err error
		if c.Password, err = secret.ReadFile(m.PasswordFile); err != nil {
			return nil, say.Errorf("mail.password_file を使えません: %[1]v", "mail.password_file cannot be used: %[1]v", err)
		}
	}
	if m.CAFile != "" {
		pem, err := os.ReadFile(m.CAFile)
		if err != nil {
			return nil, say.Errorf("mail.ca_file: %[1]v。名前を確かめてください。", "mail.ca_file: %[1]v; check the name", err)
		}
		c.Roots = x509.NewCertPool()
		if !c.Roots.AppendCertsFromPEM(pem) {
			return nil, say.Errorf("mail.ca_file: %[1]s に証明書がありません。PEM のファイルを書いてください。",
				"mail.ca_file: %[1]s holds no certificate; name a file of PEM", m.CAFile)
		}
	}
	server, err := mail.NewSMTP(c)
	if err != nil {
		return nil, say.Errorf("mail: %[1]v。設定の mail の項を直してください。", "mail: %[1]v; mend the mail section", err)
	}
	return server, nil
}

// checkMail greets the mail server as for a message and sends none. That a gate
// names no server is no fault: another gate of the same store may be the one
// that mails.
func checkMail(ctx context.Context, cfg Config) []error {
	if cfg.Mail.Server == "" {
		return nil
	}
	server, err := mailServer(cfg.Mail)
	if err != nil {
		return []error{err}
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := server.Try(ctx); err != nil {
		return []error{mailFault(err)}
	}
	return nil
}

func mailFault(err error) error {
	var (
		certificate *tls.CertificateVerificationError
		said        *textproto.Error
	)
	switch {
	case errors.As(err, &certificate):
		return say.Errorf("mail.ca_file: メールサーバーの証明書を確かめられません（%[1]v）。発行元の証明書を ca_file に書くか、mail.server の名前を直してください。",
			"mail.ca_file: the mail server's certificate is not accepted (%[1]v); name its authority in ca_file, or mend the name in mail.server", err)
	case errors.As(err, &said) && said.Code >= 530 && said.Code < 540: // RFC 4954 section 6
		return say.Errorf("mail.username: メールサーバーが sekisho のサインインを断りました（%[1]v）。username と password_file を確かめてください。",
			"mail.username: the mail server refuses our own sign-in (%[1]v); check username and password_file", err)
	}
	return say.Errorf("mail.server: メールサーバーが受け付けません（%[1]v）。アドレス、経路、mail.tls を確かめてください。",
		"mail.server: the mail server does not take our mail (%[1]v); check address, route and mail.tls", err)
}
