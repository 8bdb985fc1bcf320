package store

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// readWithin is the default of Config.ReadWithin: above the server's own limit for a
// statement, so that it is met by a server that says nothing, not by a slow answer.
const readWithin = 20 * time.Second

// A patient connection is closed when the server has left it without a word for too
// long: a paused machine acknowledges what is sent to it, and never answers. Whoever
// asks with a context that has no end would wait for ever.
type patient struct {
	net.Conn
	most time.Duration
}

// patiently dials such connections.
func patiently(dial func(ctx context.Context, network, addr string) (net.Conn, error), most time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return patient{c, most}, nil
	}
}

// Read is called when an answer is waited for, and not while a connection is idle.
func (p patient) Read(b []byte) (int, error) {
	var silent atomic.Bool
	limit := time.AfterFunc(p.most, func() {
		silent.Store(true)
		_ = p.Close()
	})
	n, err := p.Conn.Read(b)
	limit.Stop()
	if err != nil && silent.Load() {
		// A timeout: the next connection would say nothing either, so it is not asked.
		err = &net.OpError{Op: "read", Net: p.RemoteAddr().Network(), Addr: p.RemoteAddr(), Err: os.ErrDeadlineExceeded}
	}
	return n, err
}
