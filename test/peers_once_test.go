package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// An act is what the trail says that was done.
type act struct {
	Actor, Action, Object, Outcome, Reason string
	Detail                                 map[string]string
}

// trail exports the trail of a folder, has trailcheck prove it, and returns its
// entries and its text.
func trail(t testing.TB, d *harness.Dev) ([]act, string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "trail.jsonl")
	if _, errs, status := harness.Run(t, "sekisho", "audit", "export", "--data", d.Folder, "--out", out); status != 0 {
		t.Fatalf("audit export exits %d: %s", status, errs)
	}
	if _, errs, status := harness.Run(t, "trailcheck", out, "--key", d.Trail.PublicKey); status != 0 {
		t.Fatalf("trailcheck exits %d: %s", status, errs)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var acts []act
	lines := bufio.NewScanner(strings.NewReader(string(b)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Entry *act }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("the trail: %v in %s", err, lines.Text())
		}
		if line.Entry != nil {
			acts = append(acts, *line.Entry)
		}
	}
	return acts, string(b)
}

// done counts the acts of a person that came to an outcome.
func done(acts []act, actor, action, outcome string) (n int) {
	for _, a := range acts {
		if a.Actor == actor && a.Action == action && a.Outcome == outcome {
			n++
		}
	}
	return n
}

func factors(t testing.TB, c *harness.Client) (ids []string) {
	t.Helper()
	var l struct{ Items []struct{ ID string } }
	c.Fork().Do(t, "GET", "/api/v1/factors", nil).Into(t, &l)
	for _, f := range l.Items {
		ids = append(ids, f.ID)
	}
	return ids
}

// TestPeersEnrolmentOnce is row 10: an enrolment that is finished many times at
// once makes one factor, in a session and in a sign-in.
func TestPeersEnrolmentOnce(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	sasaki, shimizu := d.Person(t, "sasaki"), d.InState(t, "must_change")
	inSession := signIn(t, d, sasaki)
	inSignIn := from(d, 1)
	inSignIn.Password(t, shimizu.Login, shimizu.Password)
	newPassword(t, inSignIn, "harusame furikomu tera no kane")
	for _, tt := range []struct {
		login  string
		c      *harness.Client
		before int
	}{{sasaki.Login, inSession, 2}, {shimizu.Login, inSignIn, 0}} {
		t.Run(tt.login, func(t *testing.T) {
			var begun struct{ ID, Secret string }
			tt.c.Do(t, "POST", "/api/v1/factors/totp/begin", map[string]string{}).Into(t, &begun)
			finish := map[string]string{"id": begun.ID, "code": harness.Code(t, begun.Secret, tt.c.Now(t)), "name": "phone"}
			winner := make(chan *harness.Client, 20)
			got := atOnce(20, func(int) int {
				c := tt.c.Fork()
				s := status(c, "/api/v1/factors/totp/finish", finish)
				if s == 201 {
					winner <- c
				}
				return s
			})
			if got[201] != 1 || got[0] > 0 || got[500] > 0 {
				t.Fatalf("20 ends of one enrolment: %v, want one 201", got)
			}
			c := <-winner
			if a := c.Fork().Do(t, "POST", "/api/v1/factors/totp/finish", finish); a.Status/100 != 4 {
				t.Errorf("the same once more: %d", a.Status)
			}
			if s, _ := c.Acknowledge(t, "2026-04"); tt.before == 0 && s.State != "signed_in" {
				t.Fatalf("the sign-in does not go on: %q", s.State)
			}
			if ids := factors(t, c); len(ids) != tt.before+1 {
				t.Errorf("factors %v, want %d", ids, tt.before+1)
			}
			acts, _ := trail(t, d)
			if n := done(acts, tt.login, "factor.added", "ok"); n != 1 {
				t.Errorf("%d entries say that %s added a factor", n, tt.login)
			}
		})
	}
}

// TestPeersIdempotencyKey: the contract honours Idempotency-Key on POSTs that
// create. The same body gives the first answer and has one effect, also ten at
// once (security.md, F16); another body is refused.
func TestPeersIdempotencyKey(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	p := d.Person(t, "matsumoto")
	c := signIn(t, d, p)
	post := func(path, key, body string) harness.Answer {
		t.Helper()
		a, err := c.Send("POST", "/api/v1"+path, "application/json", []byte(body), "Idempotency-Key", key)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	same := func(what string, a, b harness.Answer) {
		t.Helper()
		if b.Status != 201 || string(a.Body) != string(b.Body) {
			t.Errorf("%s again: %d %s\nfirst: %d %s", what, b.Status, b.Body, a.Status, a.Body)
		}
	}
	other := func(what string, a harness.Answer) {
		t.Helper()
		if a.Status != 409 || a.Code() != "idempotency" {
			t.Errorf("%s, another body under the same key: %d %s", what, a.Status, a.Body)
		}
	}
	first := post("/factors/totp/begin", "k1", "{}")
	same("begin", first, post("/factors/totp/begin", "k1", "{}"))
	other("begin", post("/factors/totp/begin", "k1", "{ }"))
	if a := post("/factors/totp/begin", "k2", "{}"); a.Status != 201 || string(a.Body) == string(first.Body) {
		t.Errorf("another key: %d, the same answer", a.Status)
	}
	answers := make(chan string, 10)
	got := atOnce(10, func(int) int {
		a, err := c.Fork().Send("POST", "/api/v1/factors/totp/begin", "application/json", []byte("{}"), "Idempotency-Key", "k3")
		if err != nil {
			return 0
		}
		answers <- string(a.Body)
		return a.Status
	})
	close(answers)
	distinct := map[string]bool{}
	for a := range answers {
		distinct[a] = true
	}
	if got[201] != 10 || len(distinct) != 1 {
		t.Errorf("ten at once under one key: %v, %d different answers", got, len(distinct))
	}

	var begun struct{ ID, Secret string }
	first.Into(t, &begun)
	body := fmt.Sprintf(`{"id":%q,"code":%q,"name":"phone"}`, begun.ID, harness.Code(t, begun.Secret, c.Now(t)))
	first = post("/factors/totp/finish", "k4", body)
	if first.Status != 201 {
		t.Fatalf("finish: %d %s", first.Status, first.Body)
	}
	same("finish", first, post("/factors/totp/finish", "k4", body))
	other("finish", post("/factors/totp/finish", "k4", strings.Replace(body, "phone", "tablet", 1)))
	if ids := factors(t, c); len(ids) != 3 {
		t.Errorf("factors %v, want the sample's two and one", ids)
	}

	// After a restart the effect is still one.
	d.Kill()
	d = harness.StartDev(t, d.Folder)
	c.URL = d.URL
	same("finish after kill -9", first, post("/factors/totp/finish", "k4", body))
	if ids := factors(t, c); len(ids) != 3 {
		t.Errorf("factors after kill -9 and the same once more: %v, want 3", ids)
	}

	leak := `{"what":"a note on my desk was read"}`
	first = post("/leak-reports", "k5", leak)
	if first.Status != 201 {
		t.Fatalf("leak: %d %s", first.Status, first.Body)
	}
	same("leak", first, post("/leak-reports", "k5", leak))
	other("leak", post("/leak-reports", "k5", `{"what":"something else"}`))
	acts, _ := trail(t, d)
	for action, want := range map[string]int{"password.leak_reported": 1, "factor.added": 1} {
		if n := done(acts, p.Login, action, "ok"); n != want {
			t.Errorf("%d entries %s, want %d", n, action, want)
		}
	}
}
