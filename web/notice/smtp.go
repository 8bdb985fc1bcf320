package notice

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

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

func (b *smtpBatch) hangUp() {
	if b.line != nil {
		b.line.hangUp()
		b.line = nil
	}
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
	err = b.line.send(ctx, letter)
	if err != nil && !errors.Is(err, ErrRefused) {
		b.hangUp() // whatever state the conversation is in, the next begins anew
	}
	return err
}

// A line is a connection to the server, open for messages.
type line struct {
	client  *mail.Client
	server  *smtp.Client
	conn    net.Conn
	timeout time.Duration
}

// dial opens a connection and does everything that comes before a message. Its
// errors are ErrAway.
func (s *SMTP) dial(ctx context.Context) (_ *line, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: %s: %w", ErrAway, s.c.Server, err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	l := &line{timeout: s.c.Timeout}
	conf := &tls.Config{ServerName: s.host, RootCAs: s.c.Roots, MinVersion: tls.VersionTLS12}
	options := []mail.Option{
		mail.WithPort(s.port), mail.WithTimeout(s.c.Timeout), mail.WithTLSConfig(conf), mail.WithoutSMTPUTF8(), mail.WithoutNoop(),
		// The connection is made here, to be closed here whatever happens: the
		// library leaves it open when TLS or the sign-in fails.
		mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			var err error
			if s.c.TLS == WholeTLS {
				l.conn, err = (&tls.Dialer{Config: conf}).DialContext(ctx, network, address)
			} else {
				l.conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			}
			return l.conn, err
		}),
	}
	switch s.c.TLS {
	case StartTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	default:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if s.c.Username != "" {
		options = append(options, mail.WithUsername(s.c.Username), mail.WithPassword(string(s.c.Password.Reveal())),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	if l.client, err = mail.NewClient(s.host, options...); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { l.close() })
	_ = stop
	l.server, err = l.client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}
