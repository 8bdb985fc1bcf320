package web

import (
	"net/http"
	"net/url"
	"strings"
)

// pageHeaders sets what a browser must be told on every answer of ours.
func (s *Server) pageHeaders(h http.Header, r *Request) {
	if rd := r.URL.Query().Get("rd"); rd != "" {
		if u, ok := appReturn(s.cfg.Policy(), s.cfg.PublicURL, rd); ok {
			r.form = append(r.form, u.Scheme+"://"+u.Host)
		}
		if origin, ok := s.leadsTo(rd); ok {
			r.form = append(r.form, origin)
		}
	}
	h.Set("Content-Security-Policy", contentPolicy(r.Nonce, r.form))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Request-Id", r.ID)
	if s.cfg.PublicURL.Scheme == "https" {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
}

// leadsTo is the origin that a path of our own leads on to, if it is known to.
func (s *Server) leadsTo(rd string) (string, bool) {
	to, ok := SafeReturn(s.cfg.Policy(), s.cfg.PublicURL, rd)
	if !ok {
		return "", false
	}
	u, err := url.Parse(to)
	if err != nil || s.leads[u.Path] == nil {
		return "", false
	}
	return s.leads[u.Path](s.cfg.Policy(), u.Query())
}

// contentPolicy permits nothing but our own style sheet, pictures, and what
// carries this response's nonce (W3C CSP Level 3). A script of ours speaks to
// nobody: it fills a form, and the reader's browser sends that.
func contentPolicy(nonce string, form []string) string {
	var b strings.Builder
	b.WriteString("default-src 'none'; script-src 'nonce-")
	b.WriteString(nonce)
	b.WriteString("'; style-src 'self' 'nonce-")
	b.WriteString(nonce)
	b.WriteString("'; img-src 'self' data:; font-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
	for _, origin := range form {
		b.WriteByte(' ')
		b.WriteString(origin)
	}
	return b.String()
}

// Static marks an answer that says nothing of anyone and may be kept for a
// day: style sheets, icons.
func Static(w http.ResponseWriter) { w.Header().Set("Cache-Control", "public, max-age=86400") }
