package gate

import (
	"errors"
	"net/http"
	"strings"

	"sekisho/web"
)

// A question is what a proxy asks: may a request for this pass?
type question struct {
	host     string // as web.Hostname gives it
	uri      string // path and query
	method   string
	redirect bool // the proxy hands a redirect on to the browser
}

var errQuestion = errors.New("not a readable question")

// ask reads a proxy's question.
//
// There are two forms, nginx's (X-Original-URL, X-Original-Method) and that of
// Traefik and Caddy (X-Forwarded-Method, -Proto, -Host, -Uri). A header that
// the proxy does not set itself may come from the client: so where headers of
// both forms are there, they must say the same, and a client that adds one
// only shuts itself out. Missing, doubled or unreadable ones are an error,
// never a yes (security.md section 2, rows 11 to 14).
func ask(h http.Header) (question, error) {
	original, forwarded := h["X-Original-Url"], h["X-Forwarded-Uri"]
	if len(original) == 0 {
		return askForwarded(h)
	}
	method := h["X-Original-Method"]
	if len(original) != 1 || len(method) != 1 || !isToken(method[0]) {
		return question{}, errQuestion
	}
	rest, ok := cutScheme(original[0])
	if !ok {
		return question{}, errQuestion
	}
	authority, uri := splitURI(rest)
	q := question{host: hostOf(authority), uri: uri, method: method[0]}
	if q.host == "" || !readableURI(uri) {
		return question{}, errQuestion
	}
	if hosts := h["X-Forwarded-Host"]; len(hosts) > 1 || len(hosts) == 1 && web.Hostname(hosts[0]) != q.host {
		return question{}, errQuestion
	}
	if len(forwarded) > 1 || len(forwarded) == 1 && forwarded[0] != uri {
		return question{}, errQuestion
	}
	if m := h["X-Forwarded-Method"]; len(m) > 1 || len(m) == 1 && m[0] != q.method {
		return question{}, errQuestion
	}
	return q, nil
}

func askForwarded(h http.Header) (question, error) {
	method, proto, host, uri := h["X-Forwarded-Method"], h["X-Forwarded-Proto"], h["X-Forwarded-Host"], h["X-Forwarded-Uri"]
	if len(method) != 1 || len(proto) != 1 || len(host) != 1 || len(uri) != 1 || len(h["X-Original-Method"]) > 0 {
		return question{}, errQuestion
	}
	switch proto[0] {
	case "http", "https", "ws", "wss":
	default:
		return question{}, errQuestion
	}
	q := question{host: hostOf(host[0]), uri: uri[0], method: method[0], redirect: true}
	if q.host == "" || !isToken(q.method) || !readableURI(q.uri) {
		return question{}, errQuestion
	}
	return q, nil
}

func cutScheme(s string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(s, "https://"); ok {
		return rest, true
	}
	return strings.CutPrefix(s, "http://")
}

func splitURI(rest string) (authority, uri string) {
	i := strings.IndexAny(rest, "/?#")
	if i < 0 {
		return rest, "/"
	}
	if rest[i] != '/' {
		return rest[:i], "/" + rest[i:]
	}
	return rest[:i], rest[i:]
}

// hostOf is web.Hostname of an authority whose port, if any, is one.
func hostOf(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		port := authority[i+1:]
		if len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return ""
		}
	}
	if len(authority) > 255 {
		return ""
	}
	return web.Hostname(authority)
}

// readableURI accepts a path and query that every parser reads alike: visible
// ASCII, no backslash, no fragment, whole percent escapes.
func readableURI(uri string) bool {
	if uri == "" || uri[0] != '/' || len(uri) > 8<<10 {
		return false
	}
	for i := 0; i < len(uri); i++ {
		switch c := uri[i]; {
		case c <= ' ' || c >= 0x7f || c == '\\' || c == '#':
			return false
		case c == '%':
			if i+2 >= len(uri) || !isHex(uri[i+1]) || !isHex(uri[i+2]) || uri[i+1] == '0' && uri[i+2] == '0' {
				return false
			}
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// isToken: a method, RFC 9110 section 9.1.
func isToken(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
