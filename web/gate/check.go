package gate

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekisho/authz"
	"sekisho/policy"
	"sekisho/web"
)

// ServeHTTP is GET /auth/check: 200 with who it is, 401 with where to sign in
// when that would help, 403 when it would not. Where somebody reads a page, the 403
// names in Location the one that says why, and what they can do about it. Whoever is no trusted proxy is
// told nothing at all.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Cache-Control"] = noStore
	peer, trusted := g.srv.Peer(r)
	if !trusted {
		g.counts.untrusted.Inc()
		w.WriteHeader(http.StatusForbidden)
		return
	}
	q, err := ask(r.Header)
	if err != nil {
		g.counts.malformed.Inc()
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	source, named, err := g.srv.SourceBehind(peer, r)
	if err != nil {
		g.counts.malformed.Inc()
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	from := place{source: source}
	from.zone, from.outside = g.srv.ZoneOf(source, named)
	a, err := g.check(r.Context(), r.Header["Cookie"], q, from)
	if err != nil {
		g.broken(w, r, err)
		return
	}
	if !a.verdict.Allowed(a.now) {
		if !helps(a.verdict) {
			g.counts.refused.Inc()
			g.deny(a, source)
			if a.app.ID != "" && reads(q, r.Header) {
				h.Set("Location", g.issuer+web.HandoverPath(a.app.ID, web.AppOrigin(g.srv.PublicURL(), a.app)+q.uri))
			}
			w.WriteHeader(http.StatusForbidden)
			return
		}
		g.counts.signIn.Inc()
		h.Set("Location", g.signInURL(a, q.uri))
		if q.redirect && reads(q, r.Header) {
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	t, err := g.tell(a)
	if err != nil {
		g.broken(w, r, err)
		return
	}
	for i, name := range headerNames {
		h[name] = t.headers[i]
	}
	if at := g.People.AsOf(a.session.Person); !at.IsZero() {
		h.Set(web.AsOfHeader, at.Format(time.RFC3339))
	}
	g.counts.allowed.Inc()
	w.WriteHeader(http.StatusOK)
}

// freshMargin is more than the clocks of two gateways differ that are ready.
const freshMargin = 5 * time.Second

var noStore = []string{"no-store"}

// broken refuses because the answer could not be had. A proxy lets nothing
// through on a 503.
func (g *Gate) broken(w http.ResponseWriter, r *http.Request, err error) {
	g.counts.failed.Inc()
	p := web.ProblemOf(err)
	g.srv.Log().Warn("a check could not be answered", "request_id", g.srv.RequestID(r), "code", p.Code, "error", err)
	if p.Status != http.StatusServiceUnavailable {
		p.Status = http.StatusInternalServerError
	}
	w.WriteHeader(p.Status)
}

// helps reports whether signing in, or in more strongly, would change the
// answer. An assurance that nobody has heard of would not.
func helps(v authz.Verdict) bool {
	return v.Reason == authz.NoSession || v.StepUp != "" && policy.PHR.AtLeast(v.StepUp)
}

// signInURL leads to the sign-in page and from there back to uri at the
// application, whose origin is taken from the policy and not from the proxy.
func (g *Gate) signInURL(a answer, uri string) string {
	to := g.issuer + "/signin?rd=" + url.QueryEscape(web.AppOrigin(g.srv.PublicURL(), a.app)+uri)
	if a.verdict.Reason != authz.NoSession && a.verdict.StepUp != "" {
		to += "&acr=" + url.QueryEscape(string(a.verdict.StepUp))
	}
	if fresh := a.verdict.Fresh; fresh > 0 {
		// A little less: the page may be another gateway's, whose clock is behind,
		// and would send a sign-in back that is too old here.
		to += "&max_age=" + strconv.Itoa(int(max(0, fresh-freshMargin)/time.Second))
	}
	return to
}

// reads reports whether somebody would see a page in answer to their request.
func reads(q question, h http.Header) bool {
	return (q.method == http.MethodGet || q.method == http.MethodHead) && acceptsHTML(h)
}

func acceptsHTML(h http.Header) bool {
	for _, v := range h["Accept"] {
		if strings.Contains(strings.ToLower(v), "text/html") {
			return true
		}
	}
	return false
}
