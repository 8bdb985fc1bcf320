package policy

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// PlainPath is the one spelling of a request's path, without its query: escapes
// of characters that need none are undone (RFC 3986 section 6.2.2). It is false
// where servers disagree about which path is meant: an escaped slash, dot,
// backslash or percent sign, empty or dot segments, parameters behind a
// semicolon, control characters, bytes that are no UTF-8; and what Windows takes
// for another name: a dot or a blank at the end of one, and NTFS's ":$". What
// cannot be read in one way is no path of ours (oauth2-proxy CVE-2025-54576,
// Traefik CVE-2025-66490).
func PlainPath(uri string) (string, bool) {
	raw, _, _ := strings.Cut(uri, "?")
	if raw == "" || raw[0] != '/' {
		return "", false
	}
	path := raw
	if strings.IndexByte(raw, '%') >= 0 {
		var ok bool
		if path, ok = unescape(raw); !ok {
			return "", false
		}
	}
	if !utf8.ValidString(path) {
		return "", false
	}
	segment := 1 // where the segment begins
	for i := 1; i <= len(path); i++ {
		if i < len(path) {
			switch c := path[i]; {
			case c < ' ' || c == 0x7f || c == '\\' || c == ';' || c == '#' || c == '$' && path[i-1] == ':':
				return "", false
			case c != '/':
				continue
			}
		}
		if i == segment {
			if i < len(path) { // only the last segment may be empty
				return "", false
			}
		} else if last := path[i-1]; last == '.' || last == ' ' {
			return "", false
		}
		segment = i + 1
	}
	return path, true
}

// unescape undoes percent escapes, but refuses those behind which one server
// sees structure and the next one a plain character.
func unescape(raw string) (string, bool) {
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '%' {
			b.WriteByte(raw[i])
			continue
		}
		if i+2 >= len(raw) {
			return "", false
		}
		high, low := unhex(raw[i+1]), unhex(raw[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		c := byte(high<<4 | low)
		switch c {
		case '/', '\\', '.', ';', '%', '?', '#':
			return "", false
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String(), true
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Below reports whether a plain path is at or below another.
func Below(path, root string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// folded is a path without regard to case: a server that ignores it would
// otherwise serve /Admin by the rules of the rest. Both ways, because there are
// letters that only one of them knows (U+017F, U+212A).
func folded(path string) string { return strings.ToLower(strings.ToUpper(path)) }

// Asks is what an application asks of a request for a path: the assurance, and
// how long ago the person may have proved who they are (0: the session lasts).
// An empty path is the application as a whole. It is false where the
// application has rules by path and the path cannot be read in one way.
func (p *Policy) Asks(app Application, uri string) (acr ACR, fresh time.Duration, ok bool) {
	acr, fresh = p.RequiredACR(app), app.FreshFor
	if len(app.Paths) == 0 || uri == "" {
		return acr, fresh, true
	}
	path, ok := PlainPath(uri)
	if !ok {
		return acr, fresh, false
	}
	path = folded(path)
	for _, rule := range app.Paths {
		if !Below(path, folded(rule.Path)) {
			continue
		}
		if rule.ACR != "" && !acr.AtLeast(rule.ACR) {
			acr = rule.ACR
		}
		if rule.FreshFor > 0 && (fresh == 0 || rule.FreshFor < fresh) {
			fresh = rule.FreshFor
		}
	}
	return acr, fresh, true
}

// Borrowed are the privileges that an application asks for a path, each once: its
// own, and those of every rule that holds. The path is one that Asks could read;
// one that it could not is refused there.
func (p *Policy) Borrowed(app Application, uri string) []string {
	var out []string
	if app.RequiresPrivilege != "" {
		out = append(out, app.RequiresPrivilege)
	}
	path := ""
	for _, rule := range app.Paths {
		if rule.RequiresPrivilege == "" || uri == "" {
			continue
		}
		if path == "" {
			plain, ok := PlainPath(uri)
			if !ok {
				// Never loosened by what cannot be read.
				return append(out, rule.RequiresPrivilege)
			}
			path = folded(plain)
		}
		if Below(path, folded(rule.Path)) && !slices.Contains(out, rule.RequiresPrivilege) {
			out = append(out, rule.RequiresPrivilege)
		}
	}
	return out
}

// InGroup reports whether one of a person's groups is among those wanted. No
// wanted group means that none is asked for.
func InGroup(groupDNs, wanted []string) bool {
	if len(wanted) == 0 {
		return true
	}
	for _, w := range wanted {
		w = canonicalDN(w)
		for _, dn := range groupDNs {
			if canonicalDN(dn) == w {
				return true
			}
		}
	}
	return false
}
