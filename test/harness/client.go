package harness

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/authn/totp"
)

// A Client is one browser's or script's conversation with a gate. It keeps
// cookies as the contract tells scripts to: by hand, since a client that obeys
// the letter of Secure withholds them on plain http. Where HTTP has a jar, as a
// browser on https has, the jar alone decides what is sent.
type Client struct {
	URL     string // of the gate
	From    string // X-Forwarded-For, "" for none
	Cookies map[string]string
	CSRF    string
	HTTP    *http.Client
}

// NewClient begins a conversation.
func NewClient(url string) *Client {
	return &Client{URL: url, Cookies: map[string]string{}, HTTP: &http.Client{
		Timeout:       60 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Fork is another conversation that has the same cookies now.
func (c *Client) Fork() *Client {
	f := *c
	f.Cookies = map[string]string{}
	for k, v := range c.Cookies {
		f.Cookies[k] = v
	}
	return &f
}

// An Answer is what the gate said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Into reads the answer's JSON.
func (a Answer) Into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.Body, v); err != nil {
		t.Fatalf("%d answer is no JSON: %v\n%s", a.Status, err, a.Body)
	}
}

// Code is the stable code of a problem.
func (a Answer) Code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.Body, &p) // no JSON, no code
	return p.Code
}

// Do sends a request to the API (a path that begins with /api is kept as it
// is), with the CSRF token where there is one, and keeps new cookies.
func (c *Client) Do(t testing.TB, method, path string, body any, headers ...string) Answer {
	t.Helper()
	a, err := c.Try(method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Try is Do for use where a failing connection is no failure of the test.
func (c *Client) Try(method, path string, body any, headers ...string) (Answer, error) {
	if body == nil {
		return c.Send(method, path, "", nil, headers...)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return Answer{}, err
	}
	return c.Send(method, path, "application/json", b, headers...)
}

// Form posts a form, as a page does.
func (c *Client) Form(t testing.TB, path string, form url.Values, headers ...string) Answer {
	t.Helper()
	a, err := c.Send("POST", path, "application/x-www-form-urlencoded", []byte(form.Encode()), headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Send sends a body as it is, well formed or not.
func (c *Client) Send(method, path, contentType string, body []byte, headers ...string) (Answer, error) {
	to := path
	if !strings.HasPrefix(path, "http") {
		to = c.URL + path
	}
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequest(method, to, in)
	if err != nil {
		return Answer{}, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.From != "" {
		req.Header.Set("X-Forwarded-For", c.From)
	}
	if c.CSRF != "" {
		req.Header.Set("X-CSRF-Token", c.CSRF)
	}
	req.Header.Set("Accept-Language", "en")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if strings.EqualFold(headers[i], "Host") {
			req.Host = headers[i+1]
		}
	}
	if c.HTTP.Jar == nil {
		for name, value := range c.Cookies {
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	for _, k := range resp.Cookies() {
		if k.MaxAge < 0 || k.Value == "" {
			delete(c.Cookies, k.Name)
		} else {
			c.Cookies[k.Name] = k.Value
		}
	}
	var token struct {
		CSRF string `json:"csrf_token"`
	}
	if json.Unmarshal(b, &token) == nil && token.CSRF != "" {
		c.CSRF = token.CSRF
	}
	return Answer{resp.StatusCode, resp.Header, b}, nil
}

// Step is what the sign-in answers.
type Step struct {
	State   string   `json:"state"`
	Methods []string `json:"methods"`
	Version string   `json:"version"`
	CSRF    string   `json:"csrf_token"`
}

// Password is the first step.
func (c *Client) Password(t testing.TB, login, password string) (Step, Answer) {
	t.Helper()
	return c.step(t, "/api/v1/signin", map[string]string{"login": login, "password": password})
}

// TOTP is the second.
func (c *Client) TOTP(t testing.TB, code string) (Step, Answer) {
	t.Helper()
	return c.step(t, "/api/v1/signin/totp", map[string]string{"code": code})
}

// Acknowledge is the last.
func (c *Client) Acknowledge(t testing.TB, version string) (Step, Answer) {
	t.Helper()
	return c.step(t, "/api/v1/signin/acknowledge", map[string]string{"version": version})
}

func (c *Client) step(t testing.TB, path string, body any) (Step, Answer) {
	t.Helper()
	a := c.Do(t, "POST", path, body)
	var s Step
	if a.Status == http.StatusOK {
		a.Into(t, &s)
	}
	return s, a
}

// SignIn takes somebody through all steps; now is the gate's clock.
func (c *Client) SignIn(t testing.TB, login, password, totpSecret string, now time.Time) {
	t.Helper()
	s, a := c.Password(t, login, password)
	for range 4 {
		switch s.State {
		case "second_factor":
			s, a = c.TOTP(t, Code(t, totpSecret, now))
		case "acknowledge":
			s, a = c.Acknowledge(t, s.Version)
		case "signed_in":
			return
		default:
			t.Fatalf("signing %s in came to %q: %d %s", login, s.State, a.Status, a.Body)
		}
	}
	t.Fatalf("signing %s in does not end: %q", login, s.State)
}

// Now is the gate's clock, by its Date header.
func (c *Client) Now(t testing.TB) time.Time {
	t.Helper()
	a := c.Do(t, "GET", "/healthz", nil)
	now, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		t.Fatal("the gate's Date:", err)
	}
	return now
}

// Code is what a TOTP device with this secret shows at now.
func Code(t testing.TB, secret string, now time.Time) string {
	t.Helper()
	seed, err := totp.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.Code(seed, totp.StepAt(now))
	if err != nil {
		t.Fatal(err)
	}
	return code
}
