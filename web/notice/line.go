package notice

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// A line is a connection to the mail server, open for messages. It is for one
// goroutine.
type line struct {
	client *mail.Client
	server *smtp.Client
	conn   net.Conn // ours to close: the library leaves it open when TLS or a sign-in fails
}

// dial opens a connection and does everything that comes before a message. Its
// errors are ErrAway: none of them speaks of a message.
func (s *SMTP) dial(ctx context.Context) (*line, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrAway, s.c.Server, err)
	}
	return l, nil
}

func (s *SMTP) open(ctx context.Context) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	conf := &tls.Config{ServerName: s.host, RootCAs: s.c.Roots, MinVersion: tls.VersionTLS12}
	var dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = &net.Dialer{}
	if s.c.TLS == WholeTLS {
		dialer = &tls.Dialer{Config: conf}
	}
	conn, err := dialer.DialContext(ctx, "tcp", s.c.Server)
	if err != nil {
		return nil, err
	}
	l := &line{conn: conn}
	// The library asks ctx no more once it is connected.
	stop := context.AfterFunc(ctx, l.cut)
	defer stop()
	if l.client, err = mail.NewClient(s.host, s.options(conf, conn)...); err == nil {
		l.server, err = l.client.DialToSMTPClientWithContext(ctx)
	}
	if err != nil {
		l.cut()
		return nil, err
	}
	return l, nil
}

// options are what the library is told. It gets the connection ready made.
func (s *SMTP) options(conf *tls.Config, conn net.Conn) []mail.Option {
	policy := mail.NoTLS // no more than there is by now
	if s.c.TLS == StartTLS {
		policy = mail.TLSMandatory
	}
	o := []mail.Option{
		mail.WithPort(s.port), mail.WithTimeout(s.c.Timeout), mail.WithTLSConfig(conf), mail.WithTLSPolicy(policy),
		mail.WithoutSMTPUTF8(), // every address is ASCII
		// The server's answer to the message is the last word on it: a RSET behind
		// it that failed would look as if the message had.
		mail.WithoutRset(), mail.WithoutNoop(),
		mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }),
	}
	if s.c.Username != "" {
		o = append(o, mail.WithUsername(s.c.Username), mail.WithPassword(string(s.c.Password.Reveal())),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	return o
}

// send hands one message over. nil: the server has it.
func (l *line) send(ctx context.Context, m *mail.Msg) error {
	stop := context.AfterFunc(ctx, l.cut)
	defer stop()
	err := l.client.SendWithSMTPClient(l.server, m)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("handing over a mail: %w", ctx.Err())
	}
	return judge(err)
}

// judge says what an error means for the message. A server that does not take
// our name takes no message at all; a refusal of the recipient or of the content
// is this message's; everything else may be better next time.
func judge(err error) error {
	// The library adds the recipient, which a log has no need of.
	said, _, _ := strings.Cut(err.Error(), ", affected ")
	var e *mail.SendError
	if !errors.As(err, &e) {
		return fmt.Errorf("handing over a mail: %s", said)
	}
	switch {
	case e.Reason == mail.ErrSMTPMailFrom && e.ErrorCode() != 0:
		return fmt.Errorf("%w: %s", ErrAway, said)
	case e.ErrorCode() >= 500:
		return fmt.Errorf("%w: %s", ErrRefused, said)
	}
	return fmt.Errorf("handing over a mail: %s", said)
}

// goodbye is how long a server that has all its messages may take to say so.
const goodbye = 2 * time.Second

// hangUp ends the conversation as RFC 5321 section 4.1.1.10 has it.
func (l *line) hangUp() {
	if l.server.UpdateDeadline(goodbye) == nil {
		_ = l.server.Quit() // whatever it answers, we go
	}
	l.cut()
}

// cut closes the connection, in the middle of a word if need be.
func (l *line) cut() { _ = l.conn.Close() }
