package web

import (
	"net/url"
	"strings"

	"sekisho/policy"
)

// maxReturn bounds a return address.
const maxReturn = 2048

// SafeReturn says where a browser may be sent after signing in when it asked
// for rd, as a path on the gate's own host; ok is false for everything else,
// and then there is nowhere to go but home.
//
// A path of the gate's own is returned as it is. An address at an application
// becomes the path of the handover, which gives that host its cookie first.
// The application's origin is compared as a whole, with one the policy names:
// nothing is matched by prefix or suffix, and what two parsers could read
// differently (backslashes, control characters, user information, "//",
// anything not ASCII) is refused before it is parsed (security.md section 2,
// row 15).
func SafeReturn(p *policy.Policy, public *url.URL, rd string) (to string, ok bool) {
	if !readable(rd) {
		return "", false
	}
	if rd[0] == '/' {
		return localReturn(rd)
	}
	u, err := url.Parse(rd)
	if err != nil || u.User != nil || u.Opaque != "" || u.Scheme != public.Scheme {
		return "", false
	}
	if canonicalHostPort(u.Host, u.Scheme) == canonicalHostPort(public.Host, public.Scheme) && !strings.HasSuffix(u.Hostname(), ".") {
		u.Scheme, u.Host, u.Fragment, u.RawFragment = "", "", "", ""
		if u.Path == "" {
			u.Path = "/"
		}
		return localReturn(u.String())
	}
	app, ok := appAt(p, public, u)
	if !ok {
		return "", false
	}
	return HandoverPath(app.ID, AppReturnURL(public, app, u)), true
}

// HandoverPath is where the gate begins to give an application its cookie.
func HandoverPath(appID, rd string) string {
	return "/handover?app=" + url.QueryEscape(appID) + "&rd=" + url.QueryEscape(rd)
}

// AppOrigin is the origin at which browsers find an application: the gate's
// scheme and port (both stand at the same front door) and the host that the
// policy names, which may name another port.
func AppOrigin(public *url.URL, app policy.Application) string {
	host := strings.ToLower(app.Host)
	if port := public.Port(); port != "" && !strings.Contains(host, ":") {
		host += ":" + port
	}
	return public.Scheme + "://" + host
}

// AppReturnURL is u, known to lie at app, written anew from its parts.
func AppReturnURL(public *url.URL, app policy.Application, u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return AppOrigin(public, app) + path
}

// AppReturn reads rd as an address at an application; ok is false when it is
// at none, or not exactly at one.
func AppReturn(p *policy.Policy, public *url.URL, rd string) (app policy.Application, u *url.URL, ok bool) {
	if !readable(rd) || rd[0] == '/' {
		return policy.Application{}, nil, false
	}
	u, err := url.Parse(rd)
	if err != nil || u.User != nil || u.Opaque != "" || u.Scheme != public.Scheme {
		return policy.Application{}, nil, false
	}
	app, ok = appAt(p, public, u)
	return app, u, ok
}

func appReturn(p *policy.Policy, public *url.URL, rd string) (*url.URL, bool) {
	app, _, ok := AppReturn(p, public, rd)
	if !ok {
		return nil, false
	}
	u, err := url.Parse(AppOrigin(public, app))
	return u, err == nil
}

func appAt(p *policy.Policy, public *url.URL, u *url.URL) (policy.Application, bool) {
	name := Hostname(u.Host)
	if name == "" || strings.HasSuffix(u.Hostname(), ".") || strings.HasPrefix(u.EscapedPath(), "//") {
		return policy.Application{}, false
	}
	app, ok := p.ApplicationByHost(name)
	if !ok {
		return policy.Application{}, false
	}
	want, err := url.Parse(AppOrigin(public, app))
	if err != nil || canonicalHostPort(want.Host, want.Scheme) != canonicalHostPort(u.Host, u.Scheme) {
		return policy.Application{}, false
	}
	return app, true
}

// LocalReturn is SafeReturn for an address that must stay on one host: a path
// and query, nothing else.
func LocalReturn(rd string) (string, bool) {
	if !readable(rd) || rd[0] != '/' {
		return "", false
	}
	return localReturn(rd)
}

func localReturn(rd string) (string, bool) {
	u, err := url.Parse(rd)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	// The decoded path too: a server behind us may decode before it redirects.
	if !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || !readable(u.Path) && !international(u.Path) {
		return "", false
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String(), true
}

// readable: one reading only, whoever reads.
func readable(s string) bool {
	if s == "" || len(s) > maxReturn {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

// international permits, in a decoded path, what percent-encoding hid from
// readable and is harmless: letters beyond ASCII, and spaces.
func international(s string) bool {
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == '\\' {
			return false
		}
	}
	return true
}
