package web

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"sekisho/authn/signin"
)

// living is a Guard that knows which cookies live; what it is asked of "k.ffar" nobody can
// say.
type living map[string]bool

func (g living) Current(_ context.Context, _ signin.Origin, cookie string) (signin.Step, error) {
	switch {
	case cookie == "k.ffar":
		return signin.Step{}, &signin.Away{What: "store", Err: errors.New("x")}
	case g[cookie]:
		return signin.Step{}, nil
	}
	return signin.Step{}, signin.ErrNone
}

func (living) CheckCSRF(cookie, token string) bool { return cookie != "" && token == "t-"+cookie }

// TestGivenBack: a browser whose sign-in leads nowhere has the session that it had before,
// and no answer takes away what a sign-in that was completed meanwhile has given: a session
// that is over is not given back, nor anything to a form, which may be sent twice. A form
// is worth what it was made for.
func TestGivenBack(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, func(c *Config) {
		c.Guard = living{"k.flive": true, "k.slive": true, "k.sother": true}
	})
	var had *Request
	reach := func(w http.ResponseWriter, r *Request) error { had = r; w.WriteHeader(204); return nil }
	s.Mount("GET /thing", reach)
	s.Mount("POST /thing", reach)
	for _, tt := range []struct {
		name, method, main, before, token string
		cookie, former                    string // what the handler sees; "-" for cookie: it is not reached
		given                             string // the session that the browser is given; "" for nothing
	}{
		{"it has run out", "GET", "k.fdead", "k.slive", "", "k.slive", "", "k.slive"},
		{"it is gone", "GET", "", "k.slive", "", "k.slive", "", "k.slive"},
		{"it goes on", "GET", "k.flive", "k.slive", "", "k.flive", "k.slive", ""},
		{"another has taken its place", "GET", "k.fdead", "k.sdead", "", "k.fdead", "k.sdead", ""},
		{"nobody can say", "GET", "k.ffar", "k.slive", "", "k.ffar", "k.slive", ""},
		{"signed in", "GET", "k.sother", "k.slive", "", "k.sother", "", ""},
		{"no session's", "GET", "k.fdead", "k.flive", "", "k.fdead", "", ""},
		{"its form, sent again", "POST", "k.fdead", "k.slive", "t-k.fdead", "k.fdead", "k.slive", ""},
		{"a form of the session before", "POST", "k.fdead", "k.slive", "t-k.slive", "k.slive", "", ""},
		{"the same, and it is gone", "POST", "", "k.slive", "t-k.slive", "k.slive", "", ""},
		{"a form without a token", "POST", "k.fdead", "k.slive", "", "", "", ""},
		{"the same, and it is gone", "POST", "", "k.slive", "", "", "", ""},
		{"a form of the session before, and it goes on", "POST", "k.flive", "k.slive", "t-k.slive", "-", "", ""},
		{"its own form, and it goes on", "POST", "k.flive", "k.slive", "t-k.flive", "k.flive", "k.slive", ""},
		{"a form while nobody can say", "POST", "k.ffar", "k.slive", "t-k.slive", "-", "", ""},
	} {
		had = nil
		resp := send(s, tt.method, "/thing", "csrf_token="+tt.token, asForm, "Cookie: "+sessionCookie+"="+tt.main+"; "+formerCookie+"="+tt.before)
		given := ""
		for _, c := range resp.Cookies() {
			switch c.Name {
			case sessionCookie:
				given = c.Value
			case formerCookie:
				if c.MaxAge >= 0 {
					t.Errorf("%s: the handle before is set anew", tt.name)
				}
			}
		}
		switch {
		case had == nil && tt.cookie != "-", had != nil && (had.Cookie != tt.cookie || had.Former != tt.former):
			t.Errorf("%s: %d, the handler saw %+v", tt.name, resp.StatusCode, had)
		case given != tt.given:
			t.Errorf("%s: the browser was given %q", tt.name, given)
		}
	}
}
