package gate

import (
	"context"
	"net/http"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy/clock"
)

// late finds sessions only after a while.
type late struct {
	*world
	at clock.Moment
}

func (l *late) LoadAt(ctx context.Context, at clock.Moment, cookie string) (session.Loaded, error) {
	u, err := l.world.LoadAt(ctx, at, cookie)
	u.At = l.at
	return u, err
}

// TestOneMoment: all that a check rests on is asked at the moment that finding the
// session left, and it is decided at that moment: a wait lets nothing through that ended
// meanwhile.
func TestOneMoment(t *testing.T) {
	w, srv, g := newWorld(t)
	sessions := &late{world: w}
	g.Sessions = sessions
	var asked []clock.Moment
	g.LockDowns = func(_ context.Context, at clock.Moment) ([]authz.LockDown, error) {
		asked = append(asked, at)
		return nil, nil
	}
	g.Leases = func(_ context.Context, at clock.Moment, _ session.Session, _ directory.Person) ([]authz.Lease, error) {
		asked = append(asked, at)
		return nil, nil
	}
	g.Fill = func(_ context.Context, at clock.Moment, f authz.Facts) (authz.Facts, error) {
		asked = append(asked, at)
		return f, nil
	}
	for _, tt := range []struct {
		name string
		at   time.Time
		want int
	}{
		{"at once", t0, http.StatusOK},
		{"a minute before the session ends", t0.Add(59 * time.Minute), http.StatusOK},
		{"as the session ends", t0.Add(time.Hour), http.StatusForbidden},
	} {
		asked, sessions.at = nil, clock.Moment{Now: tt.at, Tick: time.Second}
		w.now = tt.at // signing what is told takes the time that has come
		resp := send(srv, "GET", "/auth/check", original("http://juki.localhost:8080/a"), get, appCookie("k.juki"))
		if resp.StatusCode != tt.want {
			t.Errorf("%s: %s, want %d", tt.name, resp.Status, tt.want)
		}
		for _, at := range asked {
			if at != sessions.at {
				t.Errorf("%s: asked at %v, want %v", tt.name, at, sessions.at)
			}
		}
		if len(asked) != 3 {
			t.Errorf("%s: asked %d times", tt.name, len(asked))
		}
	}
}
