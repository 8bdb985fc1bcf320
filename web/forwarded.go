package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// errForwarded means that a proxy's word about its client cannot be read. The
// request is refused: guessing would let the client choose where it comes from.
var errForwarded = errors.New("unreadable X-Forwarded-* header")

// maxHops bounds how many proxies are believed to stand in a row.
const maxHops = 32

// Forwarded finds the address that a request really comes from.
//
// peer is who holds the connection. Only if peer lies in trusted is
// X-Forwarded-For (all headers of that name, in order) read, from the right,
// skipping trusted addresses: the first that is not trusted is the client, and
// whatever stands left of it was written by the client and is not looked at.
// An element that is no address, before the client is found, is an error.
// named is false when nobody named another source than peer.
func Forwarded(peer netip.Addr, xff []string, trusted []netip.Prefix) (source netip.Addr, named bool, err error) {
	peer = plain(peer)
	if !peer.IsValid() {
		return netip.Addr{}, false, fmt.Errorf("%w: no peer address", errForwarded)
	}
	if len(xff) == 0 || !within(trusted, peer) {
		return peer, false, nil
	}
	hops := 0
	for i := len(xff) - 1; i >= 0; i-- {
		for rest, more := xff[i], true; more; {
			var element string
			if cut := strings.LastIndexByte(rest, ','); cut >= 0 {
				rest, element = rest[:cut], rest[cut+1:]
			} else {
				element, more = rest, false
			}
			addr, ok := element1(element)
			if hops++; !ok || hops > maxHops {
				return netip.Addr{}, false, fmt.Errorf("%w: X-Forwarded-For", errForwarded)
			}
			if source = addr; !within(trusted, addr) {
				return source, true, nil
			}
		}
	}
	return source, true, nil
}

// element1 reads one element: an address, with or without a port.
func element1(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	if a, err := netip.ParseAddr(s); err == nil {
		return plain(a), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plain(ap.Addr()), true
	}
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		if a, err := netip.ParseAddr(s[1 : len(s)-1]); err == nil && a.Is6() {
			return plain(a), true
		}
	}
	return netip.Addr{}, false
}

// plain is the one form of an address: IPv4 where it is IPv4 in IPv6 clothes,
// and without a zone id, which means something on one machine only.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Peer is the address at the other end of the connection, and whether it is a
// trusted proxy.
func (s *Server) Peer(r *http.Request) (addr netip.Addr, trusted bool) {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr = plain(ap.Addr())
	return addr, within(s.cfg.TrustedProxies, addr)
}

// Source is the address a request really comes from. Its error is already
// what the reader may hear.
func (s *Server) Source(r *http.Request) (addr netip.Addr, named bool, err error) {
	peer, _ := s.Peer(r)
	return s.SourceBehind(peer, r)
}

// SourceBehind is Source for who has asked for the Peer already.
func (s *Server) SourceBehind(peer netip.Addr, r *http.Request) (addr netip.Addr, named bool, err error) {
	addr, named, err = Forwarded(peer, r.Header["X-Forwarded-For"], s.cfg.TrustedProxies)
	if err != nil {
		return netip.Addr{}, false, Malformed("X-Forwarded-For", err)
	}
	return addr, named, nil
}

// forwardedHost is the host the client asked for. Only a trusted proxy may say
// that it was another than Host.
func (s *Server) forwardedHost(r *http.Request) (string, error) {
	values := r.Header["X-Forwarded-Host"]
	if len(values) == 0 {
		return r.Host, nil
	}
	if _, trusted := s.Peer(r); !trusted {
		return r.Host, nil
	}
	if len(values) > 1 || strings.ContainsAny(values[0], ", \t/\\@") || values[0] == "" {
		return "", Malformed("X-Forwarded-Host", errForwarded)
	}
	return values[0], nil
}

// Hostname is a host without port, in lower case, without the dot of a fully
// qualified name; "" when it is not one.
func Hostname(hostport string) string {
	h := hostport
	if strings.HasPrefix(h, "[") {
		end := strings.IndexByte(h, ']')
		if end < 0 || (len(h) > end+1 && h[end+1] != ':') {
			return ""
		}
		return strings.ToLower(h[1:end])
	}
	if i := strings.IndexByte(h, ':'); i >= 0 {
		h = h[:i]
	}
	h = strings.TrimSuffix(h, ".")
	for i := range len(h) {
		c := h[i]
		if c >= 'A' && c <= 'Z' {
			return lowerHost(h)
		}
		if !hostByte(c) {
			return ""
		}
	}
	return h
}

func lowerHost(h string) string {
	h = strings.ToLower(h)
	for i := range len(h) {
		if !hostByte(h[i]) {
			return ""
		}
	}
	return h
}

func hostByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'
}

// canonicalHostPort is how two hosts are compared: name as Hostname gives it,
// port always written.
func canonicalHostPort(hostport, scheme string) string {
	name, port := Hostname(hostport), ""
	if i := strings.LastIndexByte(hostport, ':'); i > strings.LastIndexByte(hostport, ']') {
		port = hostport[i+1:]
	}
	if port == "" {
		port = "80"
		if scheme == "https" {
			port = "443"
		}
	}
	return name + ":" + port
}
