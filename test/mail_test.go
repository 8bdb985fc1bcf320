package test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/control"
	"sekisho/test/harness"
)

// mailTo is what people would have got at an address, oldest first.
func mailTo(t *testing.T, d *harness.Dev, address string) []control.Message {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", d.Control.URL+"/mail", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.Control.Token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all, out []control.Message
	a := harness.Answer{}
	if a.Body, err = io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /mail: %d %v", resp.StatusCode, err)
	}
	a.Into(t, &all)
	for _, m := range all {
		if m.To == address {
			out = append(out, m)
		}
	}
	return out
}

// mailArrives waits for the nth message to an address.
func mailArrives(t *testing.T, d *harness.Dev, address string, n int) control.Message {
	t.Helper()
	var got []control.Message
	harness.Until(t, "mail to "+address, func() bool {
		got = mailTo(t, d, address)
		return len(got) >= n
	})
	return got[n-1]
}

// TestMail: whatever happens to a person's own factors and password is told to
// them at both their addresses, says nothing secret, and leaves no zone that
// sends no mail.
func TestMail(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	tanaka := d.Person(t, "tanaka")
	c := signIn(t, d, tanaka)
	second := "misaki@home.example"
	if a := c.Do(t, "PUT", "/api/v1/notice-address", map[string]string{"address": second}); a.Status/100 != 2 {
		t.Fatalf("setting the second address: %d %s", a.Status, a.Body)
	}
	mailArrives(t, d, tanaka.Mail, 1)
	for name, bad := range map[string]string{"no address": "tanaka", "two": "a@b.example, c@d.example", "a line break": "a@b.example\r\nBcc: x@y.example"} {
		if a := c.Do(t, "PUT", "/api/v1/notice-address", map[string]string{"address": bad}); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}

	before, beforeSecond := len(mailTo(t, d, tanaka.Mail)), len(mailTo(t, d, second))
	if _, a := c.EnrolPasskey(t, d.URL); a.Status != http.StatusCreated {
		t.Fatalf("enrolling a passkey: %d %s", a.Status, a.Body)
	}
	for _, m := range []control.Message{mailArrives(t, d, tanaka.Mail, before+1), mailArrives(t, d, second, beforeSecond+1)} {
		for _, word := range []string{"パスキー", "passkey", d.URL} {
			if !strings.Contains(m.Text, word) {
				t.Errorf("the notice does not say %q:\n%s\n%s", word, m.Subject, m.Text)
			}
		}
		if strings.Contains(m.Text, tanaka.Password) || strings.Contains(m.Text, *tanaka.TOTPSecret) {
			t.Error("a notice carries a secret")
		}
	}

	// The mynumber zone sends none.
	suzuki := d.Person(t, "suzuki")
	inside := harness.NewClient(d.URL)
	inside.From = "10.1.0.9"
	inside.SignIn(t, suzuki.Login, suzuki.Password, *suzuki.TOTPSecret, inside.Now(t))
	if _, a := inside.EnrolPasskey(t, d.URL); a.Status != http.StatusCreated {
		t.Fatalf("enrolling in the mynumber zone: %d %s", a.Status, a.Body)
	}

	// A sign-in after failures, from where its owner has not been before.
	outsider := harness.NewClient(d.URL)
	outsider.From = "10.3.0.77"
	if _, a := outsider.Password(t, tanaka.Login, "wrong"); a.Status != 401 {
		t.Fatalf("a wrong password: %d", a.Status)
	}
	d.Advance(t, 30*time.Second)
	before = len(mailTo(t, d, tanaka.Mail))
	outsider.SignIn(t, tanaka.Login, tanaka.Password, *tanaka.TOTPSecret, outsider.Now(t))
	if m := mailArrives(t, d, tanaka.Mail, before+1); !strings.Contains(m.Text, "10.3.0.77") {
		t.Errorf("the notice of an unusual sign-in does not say from where:\n%s\n%s", m.Subject, m.Text)
	}
	if got := mailTo(t, d, suzuki.Mail); len(got) > 0 {
		t.Errorf("mail left the mynumber zone: %+v", got)
	}

	// An administrator's acts are told too.
	sato := keysIn(t, d, d.Person(t, "sato"))
	before = len(mailTo(t, d, tanaka.Mail))
	a := sato.Do(t, "POST", "/api/v1/people/tanaka/temporary-password", map[string]string{})
	var slip struct{ Password string }
	if a.Status != http.StatusCreated {
		t.Fatalf("a temporary password: %d %s", a.Status, a.Body)
	}
	a.Into(t, &slip)
	if m := mailArrives(t, d, tanaka.Mail, before+1); slip.Password == "" || strings.Contains(m.Text+m.Subject, slip.Password) {
		t.Errorf("the notice carries the password:\n%s", m.Text)
	}
}
