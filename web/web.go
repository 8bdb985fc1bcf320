// Package web is the way in: it turns a request into something the rooms
// behind it can judge, and their answers and errors into HTTP.
//
// What every door shares is here and nowhere else: who is really asking
// (trusted proxies), the two cookies, the session-bound token against forged
// requests, the headers a browser must get, the bounds on what is read, and
// the one table that turns an error into a status. web/api, web/page and
// web/gate mount their handlers on a Server and can forget none of it.
//
// It refuses to know what any handler does: it imports none of the three,
// decides about no person, and holds no state but counters. A request that
// cannot be understood is refused, never guessed at.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/clock"
)

// A Guard tells the live cookies from the dead and checks the token that goes
// with one. authn/signin and authn/session together are one.
type Guard interface {
	// Current says what a cookie stands for; signin.ErrNone: for nothing.
	Current(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
	// CheckCSRF reports whether token was given with this cookie. It asks no
	// store.
	CheckCSRF(cookie, token string) bool
}

// A Trace sees a request begin and hears how it ended. parent is what a trusted
// proxy said of the request's trace, nil from anybody else. The context it
// returns is the request's own.
type Trace func(ctx context.Context, route string, parent http.Header) (context.Context, func(status int, failure error))

// Config is what a Server needs. PublicURL, Policy, Now and Guard must be
// given.
type Config struct {
	PublicURL *url.URL // scheme, host and port that browsers see
	// ExtraHosts are further host names that are this gate's own: dev answers
	// at 127.0.0.1 and localhost alike. Ports are not compared: many proxies
	// pass a host on without one, and a rebound DNS name has another name.
	ExtraHosts []string
	// TrustedProxies may speak for others in X-Forwarded-*. Empty: nobody may.
	TrustedProxies []netip.Prefix
	// CertificateHeader is the header in which a trusted proxy passes on the
	// certificate of its client: RFC 9440's Client-Cert, or nginx's escaped PEM.
	// Empty: none is read.
	CertificateHeader string
	// LoopbackZone is the zone of a request from loopback that names no other
	// source. Empty but in dev.
	LoopbackZone policy.ZoneID
	Now          clock.Now
	Policy       func() *policy.Policy
	Guard        Guard
	Log          *slog.Logger         // nil: nothing is logged
	Registry     *prometheus.Registry // nil: an own one
	Ready        []Check
	Trace        Trace // nil: nobody watches
	// GateHosts says which hosts are an application's. nil: those the policy
	// names.
	GateHosts func(host string) bool
}

// A Handler answers a request. An error is turned into a problem (API) or an
// error page (anything else) in one place, so a handler writes nothing when it
// returns one.
type Handler func(w http.ResponseWriter, r *Request) error

// A Server holds the handlers and everything around them.
type Server struct {
	cfg          Config
	host         string          // of PublicURL, lower case, with port
	hosts        map[string]bool // by name, PublicURL's among them
	mux          *http.ServeMux  // the gate's own host
	apps         *http.ServeMux  // an application's host: /.sekisho/
	bare         map[string]http.Handler
	leads        map[string]func(*policy.Policy, url.Values) (string, bool)
	fallback     http.Handler // everything else on an application's host; nil: 404
	routes       []string
	origins      *http.CrossOriginProtection
	errorPage    atomic.Pointer[func(http.ResponseWriter, *Request, Problem)]
	questionPage func(http.ResponseWriter, *Request, Question) error
	stamp        atomic.Pointer[stamp]
	ready        *readiness
	draining     atomic.Bool
	meter        *meter
	log          *slog.Logger
}

// New makes a Server with /healthz and /readyz mounted. It panics on a Config
// without what must be given: that is a fault in the wiring, found at once.
func New(cfg Config) *Server {
	if cfg.PublicURL == nil || cfg.PublicURL.Host == "" || cfg.Now == nil || cfg.Policy == nil || cfg.Guard == nil {
		panic("web: Config without PublicURL, Now, Policy or Guard")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	if cfg.GateHosts == nil {
		cfg.GateHosts = func(host string) bool {
			_, ok := cfg.Policy().ApplicationByHost(host)
			return ok
		}
	}
	s := &Server{
		cfg:     cfg,
		host:    strings.ToLower(cfg.PublicURL.Host),
		hosts:   map[string]bool{},
		mux:     http.NewServeMux(),
		apps:    http.NewServeMux(),
		bare:    map[string]http.Handler{},
		leads:   map[string]func(*policy.Policy, url.Values) (string, bool){},
		origins: http.NewCrossOriginProtection(),
		meter:   newMeter(cfg.Registry),
		ready:   newReadiness(cfg.Ready, cfg.Now()),
		log:     cfg.Log,
	}
	for _, h := range append([]string{s.host}, cfg.ExtraHosts...) {
		s.hosts[Hostname(h)] = true
	}
	s.MountBare("/healthz", http.HandlerFunc(healthz))
	s.MountBare("/readyz", s.ReadyHandler(false))
	return s
}

// PublicURL is where browsers find the gate. The caller must not change it.
func (s *Server) PublicURL() *url.URL { return s.cfg.PublicURL }

// Policy is what governs now.
func (s *Server) Policy() *policy.Policy { return s.cfg.Policy() }

// Now is the server's clock.
func (s *Server) Now() time.Time { return s.cfg.Now() }

// Log is where causes go that a reader must not see.
func (s *Server) Log() *slog.Logger { return s.log }

// Mount puts h at pattern ("POST /api/v1/signin") on the gate's own host. The
// method must be named: a handler that took every method would let a GET
// change something.
func (s *Server) Mount(pattern string, h Handler) {
	s.mux.Handle(s.known(pattern), s.around(pattern, sessionCookie, h))
}

// MountFiles is Mount for a form that may bring files (multipart/form-data), at most
// so many bytes of them together; elsewhere such a form is refused. The handler finds
// them with Request.File, and the other fields in PostForm as always. The form's
// csrf_token comes before its files: what comes without is not read on.
func (s *Server) MountFiles(pattern string, most int64, h Handler) {
	s.mux.Handle(s.known(pattern), s.bounded(pattern, sessionCookie, most, h))
}

// MountOpen puts h at pattern on the gate's own host, for requests that carry
// their own proof and no cookie: those of programs, and what a browser brings
// from another site. Nothing that a browser adds by itself counts there (neither
// cookie is read), so there is nothing to forge and no token against it is asked
// for. Such a handler must not change anything in the name of whoever sits at
// the browser.
func (s *Server) MountOpen(pattern string, h Handler) {
	s.mux.Handle(s.known(pattern), s.around(pattern, "", h))
}

// LeadsTo tells where a path of the gate's own leads a browser on to after a
// sign-in, as an origin, so that the forms on the way there may end at it.
func (s *Server) LeadsTo(path string, origin func(p *policy.Policy, query url.Values) (string, bool)) {
	s.leads[path] = origin
}

// MountApp puts h at pattern on every application's host, where
// Request.Cookie is that host's own. The path must lie under /.sekisho/, the
// only part of an application's host that is ours.
func (s *Server) MountApp(pattern string, h Handler) {
	if !strings.Contains(pattern, " "+appPrefix) {
		panic("web: " + pattern + " is not under " + appPrefix)
	}
	s.apps.Handle(s.known(pattern), s.around(pattern, appCookie, h))
}

// MountBare serves GET and HEAD at exactly path with nothing around it: no
// cookie is read, nothing is logged, no page header is set. It is for
// questions that machines ask thousands of times a second.
func (s *Server) MountBare(path string, h http.Handler) { s.bare[path] = h }

// AppFallback serves what is not under /.sekisho/ on an application's host:
// dev's proxy. Without one such a request is answered 421.
func (s *Server) AppFallback(h http.Handler) { s.fallback = h }

// Routes lists the patterns mounted on the gate's own host, in order.
func (s *Server) Routes() []string { return append([]string(nil), s.routes...) }

func (s *Server) known(pattern string) string {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok || method == "" || !strings.HasPrefix(path, "/") {
		panic("web: pattern " + pattern + " names no method")
	}
	if !strings.HasPrefix(path, appPrefix) {
		s.routes = append(s.routes, pattern)
	}
	return pattern
}

// ErrorPage sets how an error looks to a person. Without it, and under /api/
// in any case, an error is application/problem+json.
func (s *Server) ErrorPage(page func(w http.ResponseWriter, r *Request, p Problem)) {
	s.errorPage.Store(&page)
}

// HTTPServer is an http.Server around s with every time limit set, so that a
// slow or silent client holds nothing for long.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}
