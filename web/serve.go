package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/audit"
)

const (
	appPrefix = "/.sekisho/"
	// maxBody is more than any form or JSON of ours needs.
	maxBody = 64 << 10
	// answerWithin bounds what a handler may wait for.
	answerWithin = 30 * time.Second
)

// ServeHTTP finds the handler: bare ones first, then by host.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// By Sekisho's clock, which dev can move; net/http keeps a Date it finds.
	w.Header()["Date"] = s.date(s.cfg.Now())
	if s.draining.Load() {
		w.Header()["Connection"] = closing
	}
	if h, ok := s.bare[r.URL.Path]; ok && (s.fallback == nil || !s.cfg.GateHosts(Hostname(r.Host))) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if s.cfg.Trace != nil || s.log.Enabled(r.Context(), slog.LevelDebug) {
			s.seen(h, w, r)
			return
		}
		h.ServeHTTP(w, r)
		return
	}
	host, err := s.forwardedHost(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	name := Hostname(host)
	if r.Host = host; name == Hostname(s.host) {
		r.Host = s.host // what CrossOriginProtection compares Origin with
	}
	switch {
	case name != "" && s.hosts[name]:
		// An application may share the gate's host; then both parts are here.
		if strings.HasPrefix(r.URL.Path, appPrefix) {
			s.dispatch(s.apps, w, r)
			return
		}
		s.dispatch(s.mux, w, r)
	case name != "" && s.cfg.GateHosts(name):
		if s.fallback != nil && !strings.HasPrefix(r.URL.Path, appPrefix) {
			s.recovered(s.fallback).ServeHTTP(w, r)
			return
		}
		s.dispatch(s.apps, w, r)
	default:
		s.refuse(w, r, Say(CodeHost, policy.Words{}))
	}
}

// closing asks a client that keeps its connections to make its next request on
// a new one, which a balancer will open elsewhere (RFC 9110, section 7.6.1).
var closing = []string{"close"}

// seen is a bare handler while somebody watches: it is traced, and at level
// debug there is a line for it.
func (s *Server) seen(h http.Handler, rw http.ResponseWriter, r *http.Request) {
	begun, route, w := s.cfg.Now(), r.Method+" "+r.URL.Path, &writer{ResponseWriter: rw}
	id := s.requestID(r)
	r, ended := s.traced(r.WithContext(audit.WithRequest(r.Context(), id)), route)
	h.ServeHTTP(w, r)
	ended(w.code(), nil)
	took := s.cfg.Now().Sub(begun)
	s.log.Log(r.Context(), slog.LevelDebug, "request",
		"request_id", id, "method", r.Method, "route", route, "status", w.code(), "bytes", w.bytes, "duration_ms", millis(took))
}

// traced begins a request's span where somebody watches. The word of a trusted
// proxy about the trace is passed on, a stranger's is not: it could tie its
// request to another's.
func (s *Server) traced(r *http.Request, route string) (*http.Request, func(status int, failure error)) {
	if s.cfg.Trace == nil {
		return r, func(int, error) {}
	}
	var parent http.Header
	if _, trusted := s.Peer(r); trusted {
		parent = r.Header
	}
	ctx, ended := s.cfg.Trace(r.Context(), route, parent)
	return r.WithContext(ctx), ended
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// A stamp is the Date header of one second.
type stamp struct {
	second int64
	header []string
}

// date is written once a second and shared by the answers of that second.
func (s *Server) date(now time.Time) []string {
	d := s.stamp.Load()
	if at := now.Unix(); d == nil || d.second != at {
		d = &stamp{at, []string{now.UTC().Format(http.TimeFormat)}}
		s.stamp.Store(d)
	}
	return d.header
}

// dispatch asks the mux, and says in our own words what it has no handler for.
func (s *Server) dispatch(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	// A path that a proxy and we could read differently belongs to nobody
	// (security.md section 2, row 14).
	if p := r.URL.Path; p == "" || path.Clean(p) != strings.TrimSuffix(p, "/") && p != "/" {
		s.refuse(w, r, ErrNoPage)
		return
	}
	h, pattern := mux.Handler(r)
	if pattern != "" {
		mux.ServeHTTP(w, r)
		return
	}
	probe := &statusProbe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		s.refuse(w, r, Say(CodeMethod, policy.Words{}))
		return
	}
	s.refuse(w, r, ErrNoPage)
}

// Refuse answers a request of AppFallback's handler with an error, as if it had
// come from a Handler.
func (s *Server) Refuse(w http.ResponseWriter, r *http.Request, err error) { s.refuse(w, r, err) }

// refuse answers a request that reached no handler.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.around("none", sessionCookie, func(http.ResponseWriter, *Request) error { return err })(w, r)
}

// around is everything that every handler gets.
func (s *Server) around(pattern, cookie string, h Handler) http.HandlerFunc {
	return s.bounded(pattern, cookie, 0, h)
}

// bounded is around, for forms whose files are at most so many bytes together; 0: no
// files are taken.
func (s *Server) bounded(pattern, cookie string, files int64, h Handler) http.HandlerFunc {
	return func(rw http.ResponseWriter, hr *http.Request) {
		begun := s.cfg.Now()
		w := &writer{ResponseWriter: rw}
		id := s.requestID(hr)
		ctx, cancel := context.WithTimeout(audit.WithRequest(hr.Context(), id), answerWithin)
		defer cancel()
		hr, ended := s.traced(hr.WithContext(ctx), pattern)
		if hr.Body != nil && hr.Body != http.NoBody {
			hr.Body = http.MaxBytesReader(rw, hr.Body, maxBody+files)
		}
		r := &Request{Request: hr, srv: s, Lang: language(hr), Nonce: token(), ID: id, most: files}
		r.Origin = signin.Origin{RequestID: r.ID, UserAgent: short(hr.UserAgent(), 256)}
		if cookie != "" {
			r.Cookie = oneCookie(hr.Header["Cookie"], cookie)
			r.Origin.Device = oneCookie(hr.Header["Cookie"], deviceCookie)
		}
		var failure error
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				s.log.ErrorContext(ctx, "panic", "request_id", r.ID, "route", pattern, "error", p, "stack", string(debug.Stack()))
				failure = errPanic
				if w.status != 0 {
					ended(w.code(), failure)
					panic(http.ErrAbortHandler) // half an answer is out: cut it off
				}
				s.fail(w, r, failure)
			}
			ended(w.code(), failure)
			s.account(pattern, w, r, begun, failure)
		}()
		s.pageHeaders(w.Header(), r)
		if failure = s.admit(w, r, cookie, h); failure != nil {
			s.fail(w, r, failure)
		}
	}
}

// admit asks everything that must be true before a handler may look.
func (s *Server) admit(w http.ResponseWriter, r *Request, cookie string, h Handler) error {
	addr, named, err := s.Source(r.Request)
	if err != nil {
		return err
	}
	r.Origin.Source = addr
	r.Origin.Zone, r.Origin.Outside = s.ZoneOf(addr, named)
	if r.Origin.Certificate, err = s.certificates(r.Request); err != nil {
		return err
	}
	if r.Origin.Terminal, err = spoken(r.Request); err != nil {
		return err
	}
	if cookie == sessionCookie {
		s.fallBack(w, r)
	}
	if unsafe(r.Method) && cookie != "" {
		if err := s.genuine(r, cookie); err != nil {
			return err
		}
	}
	if l := r.URL.Query().Get("lang"); !r.API() && cookie == sessionCookie && (l == "ja" || l == "en") {
		setCookie(w, langCookie, l, 365*24*60*60)
	}
	return h(w, r)
}

// ZoneOf says in which zone a source lies, and whether outside of all networks.
func (s *Server) ZoneOf(addr netip.Addr, named bool) (zone policy.ZoneID, outside bool) {
	if !named && addr.IsLoopback() && s.cfg.LoopbackZone != "" {
		return s.cfg.LoopbackZone, false
	}
	return s.cfg.Policy().ZoneOf(addr)
}

// OriginOf is the origin of a request that came to a bare handler.
func (s *Server) OriginOf(r *http.Request) (signin.Origin, error) {
	addr, named, err := s.Source(r)
	if err != nil {
		return signin.Origin{}, err
	}
	o := signin.Origin{Source: addr, UserAgent: short(r.UserAgent(), 256)}
	o.Zone, o.Outside = s.ZoneOf(addr, named)
	return o, nil
}

func unsafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return true
}

// genuine refuses a change that another site could have sent in the reader's
// name. It stands before every handler with a method other than GET, HEAD or
// OPTIONS, so no handler can forget it.
//
// Two things are asked. The browser's own word (Sec-Fetch-Site, Origin) where
// there is one; and, because a request with neither passes that, the token
// given with the cookie, wherever the cookie stands for a session or a sign-in
// under way. A dead cookie counts as none: it has no power to abuse.
func (s *Server) genuine(r *Request, cookie string) error {
	if err := s.origins.Check(r.Request); err != nil {
		return signin.ErrCSRF
	}
	if err := contentType(r); err != nil {
		return err
	}
	given := r.Header.Get("X-CSRF-Token")
	if !r.API() {
		if err := s.parse(r, given); err != nil {
			return err
		}
		if given == "" {
			given = r.PostForm.Get("csrf_token")
		}
	}
	if r.Cookie == "" && r.Former == "" || r.Cookie != "" && s.cfg.Guard.CheckCSRF(r.Cookie, given) {
		return nil
	}
	if cookie == sessionCookie {
		if r.Cookie != "" {
			switch _, err := s.cfg.Guard.Current(r.Context(), r.Origin, r.Cookie); {
			case err == nil:
				return signin.ErrCSRF
			case !isNone(err):
				return err
			}
		}
		// A form of the session before has the power of that one, and any other has none.
		former := r.Former
		if r.Cookie, r.Former = "", ""; former != "" && s.cfg.Guard.CheckCSRF(former, given) {
			r.Cookie = former
		}
		return nil
	}
	return signin.ErrCSRF
}

// contentType holds the body to the one form its reader expects: a form posted
// as text/plain is how another site dresses up JSON.
func contentType(r *Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	want := "application/x-www-form-urlencoded"
	if r.API() {
		want = "application/json"
	}
	got, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.most > 0 && got == withFiles {
		want = withFiles
	}
	charset := strings.ToLower(params["charset"])
	if err != nil || got != want || (charset != "" && charset != "utf-8") || len(r.Header["Content-Type"]) > 1 {
		return Say(CodeMediaType, policy.Words{})
	}
	return nil
}

// RequestID is the id of a request that came to a bare handler.
func (s *Server) RequestID(r *http.Request) string {
	if id := audit.RequestOf(r.Context()); id != "" {
		return id
	}
	return s.requestID(r)
}

// requestID takes over the id a trusted proxy gave, so that both logs can be
// laid side by side; from anyone else it would be a way to write into ours.
func (s *Server) requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); len(id) >= 8 && len(id) <= 64 {
		if _, trusted := s.Peer(r); trusted && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == "" {
			return id
		}
	}
	return token()
}

// recovered keeps a panic of dev's proxy from the reader's eyes.
func (s *Server) recovered(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					s.log.ErrorContext(r.Context(), "panic", "route", "application", "error", p, "stack", string(debug.Stack()))
				}
				panic(http.ErrAbortHandler)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// account counts a request and writes its line: at level error what is our own
// fault, at level debug all the rest. Neither the query nor a cookie nor a token
// is in it: rd and one-time codes travel in queries.
func (s *Server) account(pattern string, w *writer, r *Request, begun time.Time, failure error) {
	took := s.cfg.Now().Sub(begun)
	code := ""
	if failure != nil {
		code = ProblemOf(failure).Code
	}
	s.meter.request(pattern, w.code(), code, took)
	level := slog.LevelDebug
	if failure != nil && w.code() >= 500 {
		level = slog.LevelError
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	args := []any{
		"request_id", r.ID, "method", r.Method, "route", pattern, "status", w.code(),
		"bytes", w.bytes, "duration_ms", millis(took), "zone", string(r.Origin.Zone),
	}
	if r.Origin.Source.IsValid() {
		args = append(args, "from", r.Origin.Source.String())
	}
	if failure != nil {
		args = append(args, "code", code)
		if level == slog.LevelError {
			args = append(args, "error", failure)
		}
	}
	s.log.Log(r.Context(), level, "request", args...)
}

func token() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func short(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}

// writer remembers what was answered.
type writer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *writer) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// statusProbe hears what ServeMux would have answered.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
