package postgres

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A Proxy stands between gateways and a server, on loopback, and can lose the
// answer to a COMMIT: the server has it, and whoever sent it never hears.
type Proxy struct {
	Addr string

	to    string
	armed atomic.Pointer[string]
	lost  atomic.Int64
	mu    sync.Mutex
	open  map[net.Conn]bool
}

// NewProxy listens until the end of a test.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = l.Close(); p.Cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(c)
		}
	}()
	return p
}

// LoseCommit loses the answer to the next COMMIT of a transaction in which a
// statement that holds text has run.
func (p *Proxy) LoseCommit(text string) { p.armed.Store(&text) }

// Lost counts the answers that were lost.
func (p *Proxy) Lost() int64 { return p.lost.Load() }

// Cut ends all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

func (p *Proxy) carry(client net.Conn) {
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	end := func() {
		_, _ = client.Close(), server.Close()
		p.mu.Lock()
		delete(p.open, client)
		delete(p.open, server)
		p.mu.Unlock()
	}
	var mute atomic.Bool // what the server says is not passed on any more
	go func() {
		defer end()
		buf := make([]byte, 32<<10)
		for {
			n, err := server.Read(buf)
			if mute.Load() {
				p.lost.Add(1)
				return // the server has done what was asked
			}
			if n > 0 {
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	defer end()
	var begun, meant bool
	prepared := map[string]string{}
	for {
		// A message is a letter, but the first has none, and a length that counts
		// itself.
		head := make([]byte, 5)
		if !begun {
			head = head[:4]
		}
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		size := binary.BigEndian.Uint32(head[len(head)-4:])
		if size < 4 || size > 1<<24 {
			return
		}
		body := make([]byte, size-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if begun {
			text := p.armed.Load()
			fields := bytes.SplitN(body, []byte{0}, 3)
			switch {
			case head[0] == 'P' && len(fields) == 3: // Parse: a name, the statement
				prepared[string(fields[0])] = string(fields[1])
			case text != nil && head[0] == 'B' && len(fields) == 3: // Bind: where to, the name
				meant = meant || strings.Contains(prepared[string(fields[1])], *text)
			case meant && head[0] == 'Q' && bytes.HasPrefix(body, []byte("COMMIT")):
				p.armed.Store(nil)
				mute.Store(true)
			}
		}
		begun = true
		if _, err := server.Write(append(head, body...)); err != nil {
			return
		}
	}
}
