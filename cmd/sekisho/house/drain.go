package house

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"sekisho/policy/clock"
)

// drainFor is how long connections that are kept open are still answered after
// the door was closed.
const drainFor = 500 * time.Millisecond

// A drain stops a server so that nothing is lost that a balancer is sending at
// that moment. A server that is shut down closes the connections that are kept
// open; what was on its way on one of them is then gone, and a POST is not sent
// twice. So the door is closed first: who comes anew is refused and goes to
// another gate. What still comes on open connections is answered, each with the
// word that the connection is over. Only then is the server shut down.
type drain struct {
	next http.Handler
	over atomic.Bool
	open atomic.Int64 // connections
}

func (d *drain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.over.Load() {
		w.Header().Set("Connection", "close")
	}
	d.next.ServeHTTP(w, r)
}

func (d *drain) state(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		d.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		d.open.Add(-1)
	}
}

// wait closes the door and returns when the connections have been used up, or
// their time is over.
func (d *drain) wait(ctx context.Context, door net.Listener) {
	d.over.Store(true)
	_ = door.Close() // it may be closed already
	elapsed := clock.Stopwatch()
	for d.open.Load() > 0 && elapsed() < drainFor && clock.Wait(ctx, 10*time.Millisecond) == nil {
	}
}
