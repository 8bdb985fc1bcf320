package house

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"sekisho/cmd/sekisho/say"
)

// Handler answers everything that visitors may ask.
func (h *House) Handler() http.Handler { return h.Web }

// Serve opens the doors on ln until ctx ends. Then /readyz says so while the
// doors are still open, for Config.DrainDelay, so that balancers look elsewhere;
// then what is in flight may finish, for as long as grace.
func (h *House) Serve(ctx context.Context, ln net.Listener, grace time.Duration) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { h.Run(background) })
	// The trail is sealed until the last request has been answered.
	defer running.Wait()
	defer stop()
	defer h.answerGear(ctx)()

	srv := h.Web.HTTPServer()
	out := &drain{next: h.Handler()}
	srv.Handler, srv.ConnState = out, out.state
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-h.life.over:
		_ = srv.Close() // nothing that is in flight may be done in the other store
		return say.Errorf("データベースが、控えからの復元などで別のものに替わりました。ゲートを起動し直してください。", "another store was put in the place of this gate's, by a restore perhaps; start the gate again")
	case <-ctx.Done():
	}
	h.Web.Drain()
	h.log.Info("stopping", "drain_delay", h.drain.String(), "shutdown_grace", grace.String())
	if h.drain > 0 {
		leaving := time.NewTimer(h.drain)
		defer leaving.Stop()
		select {
		case err := <-failed:
			return fmt.Errorf("serving: %w", err)
		case <-leaving.C:
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	out.wait(last, ln)
	// The door was closed already; that it cannot be closed twice is no fault.
	if err := srv.Shutdown(last); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = srv.Close()
		return say.Errorf("%[1]v 待っても終わらない要求を打ち切りました。", "requests still in flight after %[1]v were cut off", grace)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
