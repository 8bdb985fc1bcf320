package test

import (
	"os"
	"strings"
	"testing"
	"time"

	"sekisho/test/harness"
)

// TestPolicyApplyTakesTwo: outside dev a new policy is a proposal; a second
// person who holds the post brings it into force, and the next decision of
// every session obeys it, within a second.
func TestPolicyApplyTakesTwo(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{})
	site.Serve(t)
	tanaka, cio := site.Behind("10.2.0.1"), site.Behind("10.2.0.2")
	site.Members["tanaka"].SignIn(t, tanaka)
	site.Members["yoshida"].SignIn(t, cio)
	app, other := appCookie(t, site, tanaka, "app"), appCookie(t, site, tanaka, "other")

	propose := func(t *testing.T, old, new string) string {
		t.Helper()
		next := site.Variant(t, site.Policy, "next.yaml", old, new)
		out, errs, status := harness.Run(t, "sekisho", "policy", "apply", next, "--config", site.Config)
		id, _, _ := strings.Cut(out, "\n")
		if status != 0 || id == "" || strings.ContainsAny(id, " \t") {
			t.Fatalf("policy apply: %d\n%s%s", status, out, errs)
		}
		site.Policy = next
		return id
	}
	approve := func(t *testing.T, c *harness.Client, id string) harness.Answer {
		t.Helper()
		return c.Do(t, "POST", "/api/v1/policy/proposals/"+id+"/approve", nil)
	}
	version := func(t *testing.T) (v int64) {
		t.Helper()
		var p struct{ Version int64 }
		cio.Do(t, "GET", "/api/v1/policy", nil).Into(t, &p)
		return p.Version
	}
	// soon waits, no longer than a second, for a decision.
	soon := func(t *testing.T, what string, is func() bool) {
		t.Helper()
		begun := time.Now()
		harness.Until(t, what, is)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%s took %v", what, took)
		}
	}

	t.Run("posts", func(t *testing.T) {
		id := propose(t, "host: app.pref.example, zone: lgwan, class: 2", "host: app.pref.example, zone: lgwan, class: 2, posts: [cio]")
		if v := version(t); v != 1 {
			t.Fatalf("a proposal is version %d already", v)
		}
		if a := approve(t, tanaka, id); a.Status != 403 || a.Code() != "forbidden" {
			t.Errorf("approved by staff: %d %s", a.Status, a.Body)
		}
		if a := approve(t, site.Behind("10.2.0.3"), id); a.Status != 401 {
			t.Errorf("approved by nobody: %d %s", a.Status, a.Body)
		}
		if a := approve(t, cio, "no-such-proposal"); a.Status != 404 {
			t.Errorf("approving what is not there: %d %s", a.Status, a.Body)
		}
		if got := allowed(t, tanaka, "app", app); got != 200 {
			t.Fatalf("the application before: %d", got)
		}
		a := approve(t, cio, id)
		if a.Status != 200 {
			t.Fatalf("approved by the CIO: %d %s", a.Status, a.Body)
		}
		soon(t, "the application to close", func() bool { return allowed(t, tanaka, "app", app) == 403 })
		if got := allowed(t, tanaka, "other", other); got != 200 {
			t.Errorf("the other application: %d", got)
		}
		if a := approve(t, cio, id); a.Status != 200 || version(t) != 2 {
			t.Errorf("asked again by who approved: %d %s", a.Status, a.Body)
		}
	})
	t.Run("assurance", func(t *testing.T) {
		id := propose(t, "host: other.pref.example, zone: lgwan, class: 2", "host: other.pref.example, zone: lgwan, class: 2, acr: phr")
		if a := approve(t, cio, id); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		// A sign-in that resists phishing would help.
		soon(t, "the other application to close", func() bool { return allowed(t, tanaka, "other", other) == 401 })
	})
	t.Run("ends", func(t *testing.T) {
		ends := func() time.Duration {
			var n struct {
				SignedInAt time.Time `json:"signed_in_at"`
				ExpiresAt  time.Time `json:"expires_at"`
			}
			tanaka.Do(t, "GET", "/api/v1/session", nil).Into(t, &n)
			return n.ExpiresAt.Sub(n.SignedInAt)
		}
		if got := ends(); got != 9*time.Hour {
			t.Fatalf("a session ends after %v", got)
		}
		id := propose(t, "  - id: lgwan\n", "  - id: lgwan\n    absolute_end: 1h\n    directory_stale: 10m\n")
		if a := approve(t, cio, id); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		soon(t, "the session's end to move", func() bool { return ends() == time.Hour })
	})
	t.Run("stale", func(t *testing.T) {
		first, second := propose(t, "words: [試験県, shiken]", "words: [試験県, shiken, 一]"), propose(t, "一]", "二]")
		if a := approve(t, cio, second); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if a := approve(t, cio, first); a.Status != 409 {
			t.Errorf("a proposal made on an older version: %d %s", a.Status, a.Body)
		}
	})
	t.Run("faults", func(t *testing.T) {
		before := version(t)
		bad := site.Variant(t, site.Policy, "bad.yaml", "profile: standard", "profile: standard\nbaner: {ja: あ}")
		out, errs, status := harness.Run(t, "sekisho", "policy", "apply", bad, "--config", site.Config)
		if status != 1 || !strings.Contains(out, bad+":2") || !strings.Contains(out, "banner") || strings.Count(errs, "\n") != 1 {
			t.Errorf("%d\n%s%s", status, out, errs)
		}
		if after := version(t); after != before {
			t.Errorf("a file with a fault made version %d", after)
		}
	})
	t.Run("trail", func(t *testing.T) {
		out := site.Dir + "/trail.jsonl"
		if _, errs, status := harness.Run(t, "sekisho", "audit", "export", "--config", site.Config, "--out", out); status != 0 {
			t.Fatal(errs)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"policy.proposed", "policy.approved", "policy.difference", "cio"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("the trail does not hold %q", want)
			}
		}
	})
}
