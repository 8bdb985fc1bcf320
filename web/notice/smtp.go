package notice

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"sekisho/policy/secret"
)

// How the way to the mail server is protected.
const (
	StartTLS = "starttls" // RFC 3207; a server that does not offer it gets no mail
	WholeTLS = "tls"      // from the first byte, RFC 8314 section 3.3
	NoTLS    = "none"
)

// DefaultTimeout bounds a connection and its greetings, and then each message.
const DefaultTimeout = 20 * time.Second

// An SMTPConfig says which mail server takes our messages, and who we are to it.
// The zero value of everything but Server is usable.
type SMTPConfig struct {
	Server string // host:port
	TLS    string // StartTLS when empty
	// PlaintextAllowed permits NoTLS to another machine than this one: whoever
	// is on the way reads who was told what.
	PlaintextAllowed bool
	Username         string // empty: we do not sign in
	Password         secret.Text
	Roots            *x509.CertPool // nil: the machine's own
	Timeout          time.Duration  // DefaultTimeout when zero; at most a minute
}

// An SMTP hands messages to one mail server.
type SMTP struct {
	c    SMTPConfig
	host string
	port int
}

// NewSMTP checks the configuration. It opens no connection.
func NewSMTP(c SMTPConfig) (*SMTP, error) {
	host, digits, err := net.SplitHostPort(c.Server)
	port, perr := strconv.ParseUint(digits, 10, 16)
	if err != nil || perr != nil || host == "" || port == 0 {
		return nil, fmt.Errorf("mail server %q: not host:port", c.Server)
	}
	if c.TLS == "" {
		c.TLS = StartTLS
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	switch {
	case c.TLS != StartTLS && c.TLS != WholeTLS && c.TLS != NoTLS:
		return nil, fmt.Errorf("mail server %s: tls is %s, %s or %s, not %q", c.Server, StartTLS, WholeTLS, NoTLS, c.TLS)
	case c.TLS == NoTLS && !c.PlaintextAllowed && !loopback(host):
		return nil, fmt.Errorf("mail server %s: mail would cross the network in clear; use TLS, or allow plain text in as many words", c.Server)
	case c.TLS == NoTLS && c.Username != "":
		return nil, fmt.Errorf("mail server %s: a password would cross the network in clear; use TLS, or no username", c.Server)
	case (c.Username == "") != c.Password.IsEmpty():
		return nil, fmt.Errorf("mail server %s: username and password belong together", c.Server)
	case c.Timeout > time.Minute:
		return nil, fmt.Errorf("mail server %s: a timeout of %v outlasts a round of sending", c.Server, c.Timeout)
	}
	return &SMTP{c, host, int(port)}, nil
}

// loopback trusts literal addresses and the one name that RFC 6761 section 6.3
// keeps on this machine; any other name may be answered by somebody's DNS.
func loopback(name string) bool {
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(name, "localhost")
}

// Try connects, greets, starts TLS and signs in as for a message, and sends
// none.
func (s *SMTP) Try(ctx context.Context) error {
	l, err := s.dial(ctx)
	if err != nil {
		return err
	}
	l.hangUp()
	return nil
}

// Send sends one message over a connection of its own.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	one, hangUp := s.Batch()
	defer hangUp()
	return one.Send(ctx, m)
}

// Batch sends what follows over one connection, opened by the first message, and
// opened again should it break.
func (s *SMTP) Batch() (Mailer, func()) {
	b := &smtpBatch{smtp: s}
	return b, b.hangUp
}

type smtpBatch struct {
	smtp *SMTP
	line *line // nil: none is open
}

func (b *smtpBatch) Send(ctx context.Context, m Message) error {
	letter, err := compose(m)
	if err != nil {
		return err
	}
	if b.line == nil {
		if b.line, err = b.smtp.dial(ctx); err != nil {
			return err
		}
	}
	if err = b.line.send(ctx, letter); err != nil {
		// Wherever the conversation broke off, the next begins anew.
		b.line.cut()
		b.line = nil
	}
	return err
}

func (b *smtpBatch) hangUp() {
	if b.line != nil {
		b.line.hangUp()
		b.line = nil
	}
}

// compose writes the message as RFC 5322 has it. The library encodes what is not
// ASCII in a header, and with it whatever could end one.
func compose(m Message) (*mail.Msg, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithEncoding(mail.EncodingB64))
	if err := letter.From(m.From); err != nil {
		return nil, fmt.Errorf("composing a mail: %w", err)
	}
	if err := letter.To(m.To); err != nil {
		return nil, fmt.Errorf("composing a mail: %w", err)
	}
	letter.Subject(m.Subject)
	letter.SetMessageIDWithValue(m.ID)
	letter.SetDateWithValue(m.At.In(japan))
	// RFC 3834 section 5: nobody's holiday notice answers this.
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetBodyString(mail.TypeTextPlain, strings.ReplaceAll(m.Text, "\n", "\r\n"))
	return letter, nil
}
