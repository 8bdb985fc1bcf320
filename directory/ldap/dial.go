package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/policy/clock"
)

// deadFor is how long a server that failed is asked last.
const deadFor = 15 * time.Second

// A host is one server of the list.
type host struct {
	url, name, address string
	tls, startTLS      bool
	config             *tls.Config

	mu        sync.Mutex
	deadUntil time.Time
}

func (h *host) mark(until time.Time) {
	h.mu.Lock()
	h.deadUntil = until
	h.mu.Unlock()
}

func (h *host) alive(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	// A clock that was set back must not keep a server dead for hours.
	return !now.Before(h.deadUntil) || h.deadUntil.Sub(now) > deadFor
}

// A link is one connection. The socket is kept beside go-ldap's own view of it
// because go-ldap's Close waits for a writer that may be stuck in a full socket
// buffer; closing the socket first frees it.
type link struct {
	*goldap.Conn
	socket net.Conn
	host   *host
	born   time.Time
	idle   time.Time
}

// cut ends the connection at once. It is safe on a nil link, where go-ldap's
// Close panics, and may be called twice.
func (l *link) cut() {
	if l == nil {
		return
	}
	_ = l.socket.Close()
	if l.Conn != nil {
		_ = l.Conn.Close()
	}
}

// A dialer opens connections to the first server that answers.
type dialer struct {
	hosts []*host
	now   clock.Now
	limit time.Duration // of a whole operation
	// greet makes the connection what its pool needs, for instance bound.
	greet func(*link) error
}

// dial tries the servers in order, those that failed of late last. Each gets an
// equal share of the time that is left, so that one that swallows packets does
// not use up the time of the next.
func (d *dialer) dial(ctx context.Context) (*link, error) {
	now := d.now()
	var alive, dead []*host
	for _, h := range d.hosts {
		if h.alive(now) {
			alive = append(alive, h)
		} else {
			dead = append(dead, h)
		}
	}
	order := append(alive, dead...)
	var failures []error
	for i, h := range order {
		turn, cancel := d.turn(ctx, len(order), i)
		l, err := d.dialHost(turn, h)
		cancel()
		if err == nil {
			h.mark(time.Time{})
			return l, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", h.url, err))
		if ctx.Err() == nil || turn.Err() == context.DeadlineExceeded {
			h.mark(d.now().Add(deadFor))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failures...)
}

// turn gives server i of n its part of the time; the last has what is left.
func (d *dialer) turn(ctx context.Context, n, i int) (context.Context, context.CancelFunc) {
	if i == n-1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d.limit/time.Duration(n))
}

func (d *dialer) dialHost(ctx context.Context, h *host) (*link, error) {
	var nd net.Dialer
	socket, err := nd.DialContext(ctx, "tcp", h.address)
	if err != nil {
		return nil, err
	}
	l := &link{socket: socket, host: h, born: d.now()}
	// What follows knows no context; when time is up the socket goes away under it.
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	err = d.introduce(ctx, l)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		l.cut()
		return nil, err
	}
	return l, nil
}

func (d *dialer) introduce(ctx context.Context, l *link) error {
	if l.host.tls {
		secured := tls.Client(l.socket, l.host.config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("agreeing on TLS: %w", err)
		}
		l.Conn = goldap.NewConn(secured, true)
	} else {
		l.Conn = goldap.NewConn(l.socket, false)
	}
	l.Start()
	if l.host.startTLS {
		if err := l.StartTLS(l.host.config); err != nil {
			return fmt.Errorf("starting TLS: %w", err)
		}
	}
	if d.greet == nil {
		return nil
	}
	return d.greet(l)
}
