package ldap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
)

const (
	probeAfter = 5 * time.Second  // idle this long: asked whether it still lives
	idleEnd    = time.Minute      // idle this long: closed
	bornEnd    = 10 * time.Minute // this old: closed, so that a moved server is noticed
)

// A pool is a bounded set of connections that are all alike. A taken link goes
// back only when its last answer was understood.
type pool struct {
	dialer
	slots   chan struct{} // one token per connection that may exist
	waiters chan struct{} // one token per caller inside take
	probe   func(*link) error

	mu     sync.Mutex
	idle   []*link            // newest last, so that the rest can grow old
	taken  map[*link]struct{} // so that Close can end operations under way
	closed bool
}

var (
	errClosed  = errors.New("this directory client was closed")
	errCrowded = errors.New("too many callers wait for a connection")
)

func newPool(p *plan, now clock.Now, greet, probe func(*link) error) *pool {
	return &pool{
		dialer:  dialer{hosts: p.hosts, now: now, limit: p.OpTimeout, greet: greet},
		slots:   make(chan struct{}, p.PoolSize),
		waiters: make(chan struct{}, p.PoolSize+p.Waiters),
		probe:   probe,
		taken:   make(map[*link]struct{}),
	}
}

// do runs one exchange on one connection. With again set, an exchange that died
// on a connection that had been idle is tried once more on a fresh one: the
// server may have closed it between our look and our word. A write is never
// repeated, because the first may have been done.
func (p *pool) do(ctx context.Context, again bool, exchange func(context.Context, *link) error) error {
	select {
	case p.waiters <- struct{}{}:
		defer func() { <-p.waiters }()
	default:
		return fmt.Errorf("%w: %w", directory.ErrAway, errCrowded)
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting for a connection: %w", directory.ErrAway, ctx.Err())
	}
	l, fresh, err := p.take(ctx)
	if err != nil {
		return err
	}
	if err = p.run(ctx, l, exchange); err == nil || fresh || !again || !broken(err) || ctx.Err() != nil {
		return err
	}
	if l, err = p.open(ctx); err != nil {
		return err
	}
	return p.run(ctx, l, exchange)
}

func (p *pool) run(ctx context.Context, l *link, exchange func(context.Context, *link) error) error {
	// AfterFunc's goroutine may come after the exchange: what nobody waits for
	// any more is not begun, or a write that was said to be away might be done.
	if ctx.Err() != nil {
		p.give(l)
		return fmt.Errorf("%w: %w", directory.ErrAway, ctx.Err())
	}
	stop := context.AfterFunc(ctx, func() { _ = l.socket.Close() })
	err := exchange(ctx, l)
	late := !stop()
	if late || broken(err) || l.IsClosing() {
		p.drop(l)
		if late && err != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				l.host.mark(p.now().Add(deadFor))
			}
			return fmt.Errorf("%w: %w: %w", directory.ErrAway, ctx.Err(), err)
		}
		return err
	}
	p.give(l)
	return err
}

// take finds an idle connection that still lives or opens one.
func (p *pool) take(ctx context.Context) (l *link, fresh bool, err error) {
	for {
		l, err := p.pop()
		if err != nil {
			return nil, false, err
		}
		if l == nil {
			l, err := p.open(ctx)
			return l, true, err
		}
		if p.now().Sub(l.idle) < probeAfter {
			return l, false, nil
		}
		stop := context.AfterFunc(ctx, func() { _ = l.socket.Close() })
		err = p.probe(l)
		if stop() && err == nil {
			return l, false, nil
		}
		p.drop(l)
		if ctx.Err() != nil {
			return nil, false, fmt.Errorf("%w: probing a connection: %w", directory.ErrAway, ctx.Err())
		}
	}
}

func (p *pool) pop() (*link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%w: %w", directory.ErrAway, errClosed)
	}
	now := p.now()
	// The oldest sleepers first: an idle connection nobody needs any more ends
	// when the next caller comes by, without a goroutine of its own.
	for len(p.idle) > 0 && stale(p.idle[0], now) {
		go p.idle[0].cut()
		p.idle = p.idle[1:]
	}
	for len(p.idle) > 0 {
		l := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if !stale(l, now) {
			p.taken[l] = struct{}{}
			return l, nil
		}
		go l.cut()
	}
	return nil, nil
}

func stale(l *link, now time.Time) bool {
	return l.IsClosing() || now.Sub(l.idle) >= idleEnd || now.Sub(l.born) >= bornEnd || now.Before(l.idle)
}

func (p *pool) open(ctx context.Context) (*link, error) {
	l, err := p.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", directory.ErrAway, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		go l.cut()
		return nil, fmt.Errorf("%w: %w", directory.ErrAway, errClosed)
	}
	p.taken[l] = struct{}{}
	return l, nil
}

func (p *pool) give(l *link) {
	l.idle = p.now()
	p.mu.Lock()
	delete(p.taken, l)
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, l)
	}
	p.mu.Unlock()
	if closed {
		l.cut()
	}
}

func (p *pool) drop(l *link) {
	p.mu.Lock()
	delete(p.taken, l)
	p.mu.Unlock()
	l.cut()
}

// close ends every connection, also those in use: their exchanges fail.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	links := p.idle
	p.idle = nil
	for l := range p.taken {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.cut()
	}
}
