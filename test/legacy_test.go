package test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sekisho/test/harness"
)

// TestLegacyProfile: a prefecture whose auditors hold passwords to older ordinances
// chooses profile jp-legacy. Each of its choices takes a decision, which is on the
// trail; a new password has its kinds of characters and an old one is changed; the
// third failure ends the password, and its owner comes in by passkey.
func TestLegacyProfile(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	text, _, status := harness.Run(t, "sekisho", "policy", "show", "--data", d.Folder)
	if status != 0 {
		t.Fatal("policy show:", status)
	}
	legacy := writeFile(t, "legacy.yaml", strings.Replace(text, "\nprofile: standard\n", "\nprofile: jp-legacy\npassword: {max_age: 720h}\n", 1))

	out, errs, status := harness.Run(t, "sekisho", "policy", "apply", legacy, "--data", d.Folder)
	if out += errs; status == 0 {
		t.Fatal("the profile governs without a decision")
	}
	for field, deviation := range map[string]string{"password.max_age": "password_expiry", "password.min_classes": "password_classes", "lockout.hard_limit": "early_lockout"} {
		if _, after, _ := strings.Cut(out, field); !strings.Contains(after, "deviation "+deviation) {
			t.Errorf("%s is not refused with the next step:\n%s", field, out)
		}
	}
	change(t, legacy, "\ndeviations:\n", `
deviations:
  - {id: d-age, rule: password_expiry, reason: {ja: 条例, en: An ordinance}, decision: 例情第11号, decided: "2026-10-01"}
  - {id: d-kinds, rule: password_classes, reason: {ja: 条例, en: An ordinance}, decision: 例情第12号, decided: "2026-10-01"}
  - {id: d-three, rule: early_lockout, reason: {ja: 条例, en: An ordinance}, decision: 例情第13号, decided: "2026-10-01"}
`)
	if out, errs, status := harness.Run(t, "sekisho", "policy", "apply", legacy, "--data", d.Folder); status != 0 {
		t.Fatal("with its decisions:", out, errs)
	}

	// The gate reads the policy within a second, which the page of rules shows.
	fresh := d.InState(t, "must_change")
	c := harness.NewClient(d.URL)
	if s, a := c.Password(t, fresh.Login, fresh.Password); s.State != "password_change" {
		t.Fatalf("a temporary password: %q %s", s.State, a.Body)
	}
	harness.Until(t, "the gate to ask for kinds of characters", func() bool {
		return strings.Contains(string(c.Do(t, "GET", "/signin/password", nil, "Accept-Language", "en").Body), "Use at least 3 of the four kinds")
	})

	t.Run("kinds of characters", func(t *testing.T) {
		const plain = "harusame furikomu tera no kane"
		for lang, says := range map[string]string{
			"ja": "大文字、数字 のうち、あと1種類以上を使ってください", "en": "Use 1 more of: upper-case letters, digits (3 of the 4 kinds are needed)",
		} {
			a := c.Do(t, "POST", "/api/v1/signin/password", map[string]string{"new_password": plain}, "Accept-Language", lang)
			if body := string(a.Body); a.Status != http.StatusUnprocessableEntity || !strings.Contains(body, `"too_few_classes"`) || !strings.Contains(body, says) || !strings.Contains(body, "46") {
				t.Errorf("%s: %d %s, want %q", lang, a.Status, body, says)
			}
		}
		a := c.Do(t, "POST", "/api/v1/signin/password", map[string]string{"new_password": "Harusame furikomu tera no kane"})
		var s harness.Step
		if a.Status == http.StatusOK {
			a.Into(t, &s)
		}
		if s.State != "enrol" {
			t.Errorf("with a third kind: %d %s", a.Status, a.Body)
		}
	})

	t.Run("three strikes", func(t *testing.T) {
		owner := d.Person(t, "yoshida")
		guess := func(password string) int {
			_, a := harness.NewClient(d.URL).Password(t, owner.Login, password)
			return a.Status
		}
		for i := range 3 {
			if got := guess("not-the-password"); got != http.StatusUnauthorized {
				t.Fatalf("wrong password %d: %d", i+1, got)
			}
		}
		d.Advance(t, 2*time.Hour)
		if got := guess(owner.Password); got != http.StatusTooManyRequests {
			t.Errorf("the right password after the third: %d", got)
		}
		if s, a := harness.NewClient(d.URL).Passkey(t, d.Key(t, owner)); s.State != "signed_in" && s.State != "acknowledge" {
			t.Errorf("its owner's passkey: %q %d %s", s.State, a.Status, a.Body)
		}
	})

	t.Run("an old password is changed", func(t *testing.T) {
		tanaka := d.Person(t, "tanaka")
		d.Advance(t, 31*24*time.Hour)
		c := harness.NewClient(d.URL)
		s, a := c.Password(t, tanaka.Login, tanaka.Password)
		if s.State == "second_factor" {
			s, a = c.TOTP(t, harness.Code(t, *tanaka.TOTPSecret, c.Now(t)))
		}
		if s.State != "password_change" {
			t.Fatalf("a password of 31 days: %q %d %s", s.State, a.Status, a.Body)
		}
		if a := c.Do(t, "GET", "/api/v1/session", nil); a.Status == http.StatusOK {
			t.Errorf("it opened a session: %s", a.Body)
		}
		if a = c.Do(t, "POST", "/api/v1/signin/password", map[string]string{"new_password": "Samidare wo atsumete hayashi"}); a.Status != http.StatusOK {
			t.Fatalf("changing it: %d %s", a.Status, a.Body)
		}
		if s, a = harness.NewClient(d.URL).Password(t, tanaka.Login, "Samidare wo atsumete hayashi"); s.State != "second_factor" {
			t.Errorf("the new one: %q %d %s", s.State, a.Status, a.Body)
		}
	})

	t.Run("the trail names the decisions", func(t *testing.T) {
		out, errs, status := harness.Run(t, "sekisho", "audit", "export", "--data", d.Folder)
		if status != 0 {
			t.Fatal("audit export:", errs)
		}
		for _, want := range []string{
			"profile: standard → jp-legacy", "password.min_classes: 0 → 3", "password.max_age: 0s → 720h", "lockout.hard_limit: 50 → 3",
			"deviations[d-age].rule: (none) → password_expiry", "deviations[d-age].decision: (none) → 例情第11号",
			"deviations[d-kinds].rule: (none) → password_classes", "deviations[d-kinds].decision: (none) → 例情第12号",
			"deviations[d-three].rule: (none) → early_lockout", "deviations[d-three].decision: (none) → 例情第13号",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("not on the trail: %s", want)
			}
		}
	})
}
