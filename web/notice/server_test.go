package notice

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// A post is a mail server on loopback that does what a test tells it to. It
// takes one message after another and keeps what it has said 250 to.
type post struct {
	t         *testing.T
	addr      string
	roots     *x509.CertPool
	ln        net.Listener
	tls       *tls.Config
	whole     bool     // TLS from the first byte
	offers    []string // extensions beside STARTTLS and AUTH
	noTLS     bool     // does not offer STARTTLS
	user      string   // non-empty: AUTH PLAIN with this and password is asked for
	password  string
	reply     func(verb, arg string, tries int) string // "" the usual; "cut", "hang", "take and cut"
	mu        sync.Mutex
	got       []received
	dialled   int
	greeted   int
	inClear   []string // commands before TLS
	counts    map[string]int
	conns     map[net.Conn]bool
	listening sync.WaitGroup
}

// A received message, as it came.
type received struct {
	from, to string
	raw      string
	*mail.Message
	text string // decoded
}

// openPost starts the server; tell changes it before it listens.
func openPost(t *testing.T, tell func(p *post)) *post {
	t.Helper()
	p := &post{t: t, counts: map[string]int{}, conns: map[net.Conn]bool{}}
	p.tls, p.roots = certificate(t, "127.0.0.1")
	if tell != nil {
		tell(p)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.ln, p.addr = ln, ln.Addr().String()
	p.listening.Go(p.listen)
	t.Cleanup(p.close)
	return p
}

func (p *post) close() {
	p.ln.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.listening.Wait()
}

func (p *post) listen() {
	for {
		conn, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.dialled++
		p.conns[conn] = true
		p.mu.Unlock()
		p.listening.Go(func() {
			defer conn.Close()
			p.talk(conn)
			p.mu.Lock()
			delete(p.conns, conn)
			p.mu.Unlock()
		})
	}
}

// talk is one conversation, RFC 5321.
func (p *post) talk(conn net.Conn) {
	safe := p.whole
	if safe {
		conn = tls.Server(conn, p.tls)
	}
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprint(conn, line+"\r\n") }
	say("220 post.example ESMTP")
	var m received
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, arg, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		p.mu.Lock()
		p.counts[verb+" "+arg]++
		tries := p.counts[verb+" "+arg]
		if !safe {
			p.inClear = append(p.inClear, line)
		}
		p.mu.Unlock()
		answer := ""
		if p.reply != nil {
			answer = p.reply(verb, arg, tries)
		}
		switch answer {
		case "":
		case "cut":
			return
		case "hang":
			_, _ = io.Copy(io.Discard, conn) // until they have had enough
			return
		default:
			if verb != "DATA" || !strings.HasPrefix(answer, "end:") {
				say(answer)
				continue
			}
		}
		switch verb {
		case "EHLO":
			p.greet(say, safe)
		case "STARTTLS":
			say("220 go ahead")
			conn, safe = tls.Server(conn, p.tls), true
			in = bufio.NewReader(conn)
		case "AUTH":
			_, token, _ := strings.Cut(arg, " ")
			want := base64.StdEncoding.EncodeToString([]byte("\x00" + p.user + "\x00" + p.password))
			if !safe || token != want {
				say("535 5.7.8 no")
				continue
			}
			say("235 2.7.0 welcome")
		case "MAIL":
			m = received{from: between(arg)}
			say("250 ok")
		case "RCPT":
			m.to = between(arg)
			say("250 ok")
		case "DATA":
			say("354 go on")
			if m.raw, err = readData(in); err != nil {
				return
			}
			switch end := strings.TrimPrefix(answer, "end:"); end {
			case "":
				p.take(m)
				say("250 taken")
			case "cut":
				return
			case "take and cut":
				p.take(m)
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

func (p *post) greet(say func(string), safe bool) {
	p.mu.Lock()
	p.greeted++
	p.mu.Unlock()
	lines := append([]string{"post.example"}, p.offers...)
	if !safe && !p.noTLS {
		lines = append(lines, "STARTTLS")
	}
	if p.user != "" && safe {
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

func (p *post) take(m received) {
	parsed, err := mail.ReadMessage(strings.NewReader(m.raw))
	if err != nil {
		p.t.Errorf("not a message: %v\n%s", err, m.raw)
		return
	}
	m.Message = parsed
	m.text = decoded(p.t, parsed)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, m)
}

// mail is what has been taken so far.
func (p *post) mail() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]received{}, p.got...)
}

// connections is how often somebody connected.
func (p *post) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialled
}

// open is how many connections there are now.
func (p *post) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// certificate makes an authority and a certificate of it for one address.
func certificate(t *testing.T, ip string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(ip)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, roots
}
