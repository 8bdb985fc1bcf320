// Package smtptest is a mail server on loopback for tests: a real one as far as a
// client can tell, and as unhelpful as a test tells it to be.
//
// It speaks RFC 5321 with STARTTLS and AUTH PLAIN to several clients at once,
// and knows nothing of the messages but that they are messages.
package smtptest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/policy/clock"
)

// A Server keeps what it has said 250 to. What a test may change, it changes in
// the function that it gives to Open.
type Server struct {
	Addr string
	PEM  []byte // the certificate, which is its own authority

	Names    string   // the IP address its certificate is for; 127.0.0.1
	WholeTLS bool     // TLS from the first byte
	NoTLS    bool     // does not offer STARTTLS
	Offers   []string // extensions beside STARTTLS and AUTH
	// User, if there is one, is asked to sign in with Password, once there is TLS.
	User, Password string
	// Reply answers a command in the server's place. "" leaves it to the server;
	// "cut" hangs up and "hang" never answers. To DATA, "end:" and an answer
	// stands for the answer to the message itself, and "end:cut" and "end:take and
	// cut" hang up before it. It is called from several goroutines at once, where
	// there are several clients.
	Reply func(verb, arg string) string

	t       testing.TB
	ln      net.Listener
	tls     *tls.Config
	mu      sync.Mutex
	got     []Message
	dialled int
	said    []string
	clear   []string
	conns   map[net.Conn]bool
	talks   sync.WaitGroup
}

// A Message is one as it came.
type Message struct {
	From, To string // of the envelope
	Raw      string
	Header   mail.Header
	Text     string // without its transfer encoding, which must be base64
}

// Open starts a server that stops with the test. change may be nil.
func Open(t testing.TB, change func(s *Server)) *Server {
	t.Helper()
	s := &Server{t: t, Names: "127.0.0.1", conns: map[net.Conn]bool{}}
	if change != nil {
		change(s)
	}
	s.certify()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.ln, s.Addr = ln, ln.Addr().String()
	s.talks.Go(s.listen)
	t.Cleanup(s.close)
	return s
}

// certify makes the certificate.
func (s *Server) certify() {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	now := clock.System()() // TLS asks the machine's clock
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(s.Names)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// Roots trust the server.
func (s *Server) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.PEM)
	return roots
}

// Messages are those taken so far.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// Heard are all commands so far, and those that came before there was TLS.
func (s *Server) Heard() (all, inClear []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said), slices.Clone(s.clear)
}

// Connections are how many there were, and how many there are now.
func (s *Server) Connections() (ever, now int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialled, len(s.conns)
}

func (s *Server) close() {
	_ = s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.talks.Wait()
}

func (s *Server) listen() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.dialled++
		s.conns[conn] = true
		s.mu.Unlock()
		s.talks.Go(func() {
			s.talk(conn)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

// talk is one conversation.
func (s *Server) talk(conn net.Conn) {
	safe := s.WholeTLS
	if safe {
		conn = tls.Server(conn, s.tls)
	}
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprint(conn, line+"\r\n") }
	say("220 post.example ESMTP")
	var m Message
	for {
		verb, arg, err := s.hear(in, safe)
		if err != nil {
			return
		}
		answer := ""
		if s.Reply != nil {
			answer = s.Reply(verb, arg)
		}
		end, ofMessage := strings.CutPrefix(answer, "end:")
		switch {
		case answer == "cut":
			return
		case answer == "hang":
			_, _ = io.Copy(io.Discard, conn) // until they have had enough
			return
		case answer != "" && !ofMessage:
			say(answer)
			continue
		}
		switch verb {
		case "EHLO":
			s.greet(say, safe)
		case "STARTTLS":
			say("220 go ahead")
			conn, safe = tls.Server(conn, s.tls), true
			in = bufio.NewReader(conn)
		case "AUTH":
			say(s.admit(arg, safe))
		case "MAIL":
			m = Message{From: between(arg)}
			say("250 ok")
		case "RCPT":
			m.To = between(arg)
			say("250 ok")
		case "DATA":
			say("354 go on")
			if m.Raw, err = readData(in); err != nil {
				return
			}
			switch end {
			case "":
				s.take(m)
				say("250 taken")
			case "cut":
				return
			case "take and cut":
				s.take(m)
				return
			default:
				say(end)
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// hear reads a command.
func (s *Server) hear(in *bufio.Reader, safe bool) (verb, arg string, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", "", err
	}
	line = strings.TrimRight(line, "\r\n")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, line)
	if !safe {
		s.clear = append(s.clear, line)
	}
	verb, arg, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), arg, nil
}

func (s *Server) greet(say func(string), safe bool) {
	lines := append([]string{"post.example"}, s.Offers...)
	if !safe && !s.NoTLS {
		lines = append(lines, "STARTTLS")
	}
	if s.User != "" && safe {
		lines = append(lines, "AUTH PLAIN")
	}
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		say("250" + sep + l)
	}
}

// admit answers AUTH PLAIN, RFC 4616.
func (s *Server) admit(arg string, safe bool) string {
	_, token, _ := strings.Cut(arg, " ")
	if !safe || token != base64.StdEncoding.EncodeToString([]byte("\x00"+s.User+"\x00"+s.Password)) {
		return "535 5.7.8 no"
	}
	return "235 2.7.0 welcome"
}

func between(arg string) string {
	_, rest, _ := strings.Cut(arg, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

func readData(in *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

func (s *Server) take(m Message) {
	parsed, err := mail.ReadMessage(strings.NewReader(m.Raw))
	if err != nil {
		s.t.Errorf("not a message: %v\n%s", err, m.Raw)
		return
	}
	text, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, parsed.Body))
	if encoding := parsed.Header.Get("Content-Transfer-Encoding"); err != nil || encoding != "base64" {
		s.t.Errorf("a body in %q: %v", encoding, err)
	}
	m.Header, m.Text = parsed.Header, string(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, m)
}
