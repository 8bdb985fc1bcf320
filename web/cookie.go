package web

import (
	"net/http"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
)

// The cookies. The __Host- prefix makes a browser refuse them unless they are
// Secure, have no Domain and Path=/ (RFC 6265bis, section 4.1.3.2), so that no
// neighbouring host can plant one.
const (
	sessionCookie = "__Host-sekisho"
	formerCookie  = "__Host-sekisho-former"
	deviceCookie  = "__Host-sekisho-device"
	appCookie     = "__Host-sekisho-app"
	startCookie   = "__Host-sekisho-start"
	langCookie    = "__Host-sekisho-lang"

	deviceDays = 180
	// A cookie longer than this is none of ours.
	maxCookie = 1024
)

// WriteStep sets the cookies that a sign-in step asks for, and no others: a
// refused step changes neither cookie nor token. The body is the caller's.
//
// The handle of the session that a sign-in is to take the place of stays with the browser
// until it does: who gives the sign-in up has what they had (see fallBack).
func WriteStep(w http.ResponseWriter, r *Request, step signin.Step) {
	if step.Cookie != "" {
		setCookie(w, sessionCookie, step.Cookie, 0)
		switch session.KindOf(step.Cookie) {
		case session.KindFlow:
			if session.KindOf(r.Cookie) == session.KindSession {
				setCookie(w, formerCookie, r.Cookie, 0)
			}
		default:
			forgetFormer(w, r)
		}
	}
	if step.DeviceCookie != "" {
		setCookie(w, deviceCookie, step.DeviceCookie, deviceDays*24*60*60)
	}
	if !step.AsOf.IsZero() {
		w.Header().Set(AsOfHeader, step.AsOf.Format(time.RFC3339))
	}
}

// AsOfHeader states on an answer how stale the directory's facts behind it are:
// when they were read. It is there only while the directory is away.
const AsOfHeader = "Sekisho-Directory-As-Of"

// ClearSession tells the browser to forget the session, and the one before it.
func ClearSession(w http.ResponseWriter, r *Request) {
	setCookie(w, sessionCookie, "", -1)
	forgetFormer(w, r)
}

// GiveUp tells the browser to forget a sign-in under way, and gives it back the session
// that it had.
func GiveUp(w http.ResponseWriter, r *Request) {
	if r.Former == "" {
		ClearSession(w, r)
		return
	}
	setCookie(w, sessionCookie, r.Former, 0)
	forgetFormer(w, r)
}

func forgetFormer(w http.ResponseWriter, r *Request) {
	if oneCookie(r.Header["Cookie"], formerCookie) != "" {
		setCookie(w, formerCookie, "", -1)
	}
}

// fallBack gives a browser back the session that it had before a sign-in which leads
// nowhere from here: it has run out, or was begun in another place and given up there. A
// session that is over is not given back, for the sign-in may have taken its place in an
// answer that is on its way; and a form has nothing given back, for it may be sent twice:
// genuine says what it is worth.
func (s *Server) fallBack(w http.ResponseWriter, r *Request) {
	former := oneCookie(r.Header["Cookie"], formerCookie)
	if session.KindOf(former) != session.KindSession || r.Cookie != "" && session.KindOf(r.Cookie) != session.KindFlow {
		return
	}
	r.Former = former
	if unsafe(r.Method) || r.Cookie != "" && !s.over(r, r.Cookie) || s.over(r, former) {
		return
	}
	GiveUp(w, r)
	r.Cookie, r.Former = former, ""
}

// over reports whether a cookie stands for nothing any more from where the request comes.
// Where nobody can say, it may stand for something.
func (s *Server) over(r *Request, cookie string) bool {
	_, err := s.cfg.Guard.Current(r.Context(), r.Origin, cookie)
	return isNone(err)
}

// SetAppCookie gives an application's host its own cookie; "" takes it away.
func SetAppCookie(w http.ResponseWriter, value string) {
	if value == "" {
		setCookie(w, appCookie, "", -1)
		return
	}
	setCookie(w, appCookie, value, 0)
}

// AppCookie is the value of an application host's cookie in raw Cookie
// headers; "" for none, and for one that came twice.
func AppCookie(headers []string) string { return oneCookie(headers, appCookie) }

// startMinutes is how long a handover may take, a sign-in within it included.
const startMinutes = 30

// SetStartCookie lets an application's host know again the browser that began a
// handover there; "" takes it away.
func SetStartCookie(w http.ResponseWriter, value string) {
	if value == "" {
		setCookie(w, startCookie, "", -1)
		return
	}
	setCookie(w, startCookie, value, startMinutes*60)
}

// StartCookie is what SetStartCookie set; "" for none.
func StartCookie(headers []string) string { return oneCookie(headers, startCookie) }

// GateCookie is the value of the gate's own cookie in raw Cookie headers, where
// they carry none of an application's host: an application that shares the
// gate's host, or a script that asks on behalf of a session it holds. "" for
// none. A browser never sends it to another host.
func GateCookie(headers []string) string {
	for _, line := range headers {
		if strings.Contains(line, appCookie) {
			return ""
		}
	}
	return oneCookie(headers, sessionCookie)
}

// WithoutOurs removes every cookie of ours from raw Cookie headers: what stands
// behind a proxy has no use for them but theft.
func WithoutOurs(headers []string) []string {
	var out []string
	for _, line := range headers {
		var kept []string
		for part := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(part, "=")
			if name = strings.TrimSpace(name); name != "" && !ours(name) {
				kept = append(kept, strings.TrimSpace(part))
			}
		}
		if len(kept) > 0 {
			out = append(out, strings.Join(kept, "; "))
		}
	}
	return out
}

func ours(name string) bool {
	return len(name) >= len(sessionCookie) && strings.EqualFold(name[:len(sessionCookie)], sessionCookie)
}

// setCookie writes one cookie; maxAge 0 means until the browser closes.
// Secure is set on http://localhost too: browsers trust that origin.
func setCookie(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// oneCookie finds the one cookie of that name without allocating. Two of the
// same name cannot come from a browser that honours __Host-, so they are a
// trick and count as none; so does a value that no cookie of ours has.
func oneCookie(headers []string, name string) string {
	value, seen := "", false
	for _, line := range headers {
		for len(line) > 0 {
			var part string
			part, line, _ = strings.Cut(line, ";")
			if !strings.Contains(part, name) { // nearly all of what a browser sends
				continue
			}
			k, v, ok := strings.Cut(part, "=")
			if !ok || strings.TrimSpace(k) != name {
				continue
			}
			if seen {
				return ""
			}
			value, seen = strings.TrimSpace(v), true
		}
	}
	if len(value) > maxCookie {
		return ""
	}
	for i := range len(value) {
		if !cookieBytes[value[i]] {
			return ""
		}
	}
	return value
}

// cookieBytes are what a value of ours may be made of.
var cookieBytes = func() (ours [256]bool) {
	for _, c := range []byte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.=+/~:") {
		ours[c] = true
	}
	return ours
}()
