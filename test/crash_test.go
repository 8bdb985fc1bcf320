package test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// Each round lets clients work at once, kills the process with SIGKILL after a
// random number of requests written and answers read, starts it again on the
// same folder, and asks whether everything that was answered is there, once,
// and nothing is there by half (security.md section 3, I3, I4 and I6).

// A fuse blows after so many events. Time does not come into it, so a slow
// machine is killed at the same places as a fast one.
type fuse struct {
	left atomic.Int64
	blow func()
	once sync.Once
}

func newFuse(events int, blow func()) *fuse {
	f := &fuse{blow: blow}
	f.left.Store(int64(events))
	return f
}

func (f *fuse) event() {
	if f.left.Add(-1) <= 0 {
		f.once.Do(f.blow)
	}
}

// client is one whose requests and answers burn the fuse.
func (f *fuse) client(d *harness.Dev, n int) *harness.Client {
	c := from(d, n)
	f.on(c)
	return c
}

func (f *fuse) on(c *harness.Client) {
	c.HTTP = &http.Client{CheckRedirect: c.HTTP.CheckRedirect, Timeout: c.HTTP.Timeout, Transport: burning{f}}
}

type burning struct{ *fuse }

// RoundTrip counts the request once it is written and the answer once it has
// come: between the two the gate is at work.
func (b burning) RoundTrip(r *http.Request) (*http.Response, error) {
	written := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { b.event() }}
	resp, err := wide.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), written)))
	if err == nil {
		b.event()
	}
	return resp, err
}

// active are the sample's people who can sign in with a code.
func active(d *harness.Dev) (out []folder.Person) {
	for _, p := range d.People {
		if p.State == "active" {
			out = append(out, p)
		}
	}
	return out
}

// killRounds runs kill -9 rounds on one folder; work is done until the fuse blows
// or all is done, and returns what to check after the restart.
func killRounds(t *testing.T, stream uint64, work func(t *testing.T, d *harness.Dev, rng *rand.Rand, round int) (after func(*harness.Dev))) {
	rng := rand.New(rand.NewPCG(seedOf(t), stream))
	d := harness.StartSample(t)
	before := verifiedTrail(t, d)
	for round := range short(15, 60) {
		d.Advance(t, 61*time.Second) // two steps of TOTP, and past the first delays
		after := work(t, d, rng, round)
		d.Kill()
		d = harness.StartDev(t, d.Folder)
		after(d)
		verifiedTrail(t, d).balance(t, before)
		exported, _ := trail(t, d)
		if n := len(verifiedTrail(t, d).acts); len(exported) > n {
			t.Errorf("%d entries were exported and %d are there", len(exported), n)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	d.Stop(t)
	verifiedTrail(t, d).balance(t, before)
}

// TestCrashSignIn kills the process while people sign in.
func TestCrashSignIn(t *testing.T) {
	t.Parallel()
	total := 0
	killRounds(t, 1, func(t *testing.T, d *harness.Dev, rng *rand.Rand, _ int) func(*harness.Dev) {
		people := active(d)[:8]
		f := newFuse(1+rng.IntN(6*len(people)), d.Kill)
		now := from(d, 0).Now(t)
		var (
			wg sync.WaitGroup
			mu sync.Mutex
			in []*harness.Client
		)
		for i, p := range people {
			c, code := f.client(d, i), harness.Code(t, *p.TOTPSecret, now)
			wg.Go(func() {
				if steps(c, p, code) {
					mu.Lock()
					defer mu.Unlock()
					in = append(in, c)
				}
			})
		}
		wg.Wait()
		total += len(in)
		return func(d *harness.Dev) {
			for _, c := range in {
				c.URL, c.HTTP = d.URL, harness.NewClient("").HTTP
				if a := c.Do(t, "GET", "/api/v1/session", nil); a.Status != 200 {
					t.Errorf("a session that was answered is gone: %d %s", a.Status, a.Body)
				}
			}
		}
	})
	t.Logf("%d sign-ins were answered", total)
	if total == 0 {
		t.Error("nobody ever got in: nothing was tried")
	}
}

// steps signs in; false when the gate died on the way.
func steps(c *harness.Client, p folder.Person, code string) bool {
	for path, body := "/api/v1/signin", credentials(p.Login, p.Password); ; {
		a, err := c.Try("POST", path, body)
		var s harness.Step
		if err != nil || a.Status != 200 || json.Unmarshal(a.Body, &s) != nil {
			return false
		}
		switch s.State {
		case "second_factor":
			path, body = "/api/v1/signin/totp", map[string]string{"code": code}
		case "acknowledge":
			path, body = "/api/v1/signin/acknowledge", map[string]string{"version": s.Version}
		default:
			return s.State == "signed_in"
		}
	}
}

// TestCrashEnrolment kills the process while people bind a second device.
func TestCrashEnrolment(t *testing.T) {
	t.Parallel()
	total := 0
	killRounds(t, 2, func(t *testing.T, d *harness.Dev, rng *rand.Rand, round int) func(*harness.Dev) {
		const at = 4
		var people []folder.Person
		for i := range at {
			all := active(d)
			people = append(people, all[(round*at+i)%len(all)])
		}
		f := newFuse(1+rng.IntN(5*at), d.Kill)
		type bound struct {
			c          *harness.Client
			p          folder.Person
			id, secret string
		}
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			have []bound
		)
		var clients []*harness.Client
		now := from(d, 0).Now(t)
		for i, p := range people {
			c := from(d, i)
			c.SignIn(t, p.Login, p.Password, *p.TOTPSecret, now)
			f.on(c)
			clients = append(clients, c)
		}
		for i, c := range clients {
			wg.Go(func() {
				var begun struct{ ID, Secret string }
				a, err := c.Try("POST", "/api/v1/factors/totp/begin", map[string]string{})
				if err != nil || a.Status != 201 || json.Unmarshal(a.Body, &begun) != nil {
					return
				}
				a, err = c.Try("POST", "/api/v1/factors/totp/finish", map[string]string{"id": begun.ID, "code": harness.Code(t, begun.Secret, now), "name": "phone"})
				if err == nil && a.Status == 201 {
					mu.Lock()
					defer mu.Unlock()
					have = append(have, bound{c, people[i], begun.ID, begun.Secret})
				}
			})
		}
		wg.Wait()
		total += len(have)
		return func(d *harness.Dev) {
			d.Advance(t, 30*time.Second)
			for _, b := range have {
				b.c.URL, b.c.HTTP = d.URL, harness.NewClient("").HTTP
				if ids := factors(t, b.c); !slices.Contains(ids, b.id) {
					t.Errorf("%s's factor %s was answered as bound; there are %v", b.p.Login, b.id, ids)
				}
				c := from(d, 100)
				if !steps(c, b.p, harness.Code(t, b.secret, c.Now(t))) {
					t.Errorf("%s's factor %s was answered as bound and does not sign in", b.p.Login, b.id)
				}
			}
		}
	})
	t.Logf("%d enrolments were answered", total)
	if total == 0 {
		t.Error("nothing was ever bound: nothing was tried")
	}
}

var inForce = regexp.MustCompile(`version (\d+) is in force`)

// TestCrashPolicy kills the commands that apply policies, and the process in
// which a second person approves them.
func TestCrashPolicy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	applied, approved := 0, 0
	killRounds(t, 3, func(t *testing.T, d *harness.Dev, rng *rand.Rand, round int) func(*harness.Dev) {
		base, _, status := harness.Run(t, "sekisho", "policy", "show", "--data", d.Folder)
		if status != 0 {
			t.Fatal("policy show fails")
		}
		text := func(n int) (path string, digest string) {
			source := ack.ReplaceAllString(base, fmt.Sprintf("en: Mark %d-%d.", round, n))
			if source == base {
				t.Fatal("the sample's banner is not where it was")
			}
			path = filepath.Join(dir, fmt.Sprintf("%d-%d.yaml", round, n))
			if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256([]byte(source))
			return path, hex.EncodeToString(sum[:])
		}
		// Answered as in force: number → digest, "" when it is not known.
		answered := map[string]string{}
		if round%2 == 0 {
			applied += apply(t, d, rng, text, answered)
		} else {
			approved += approve(t, d, rng, text, answered)
		}
		return func(d *harness.Dev) {
			b := verifiedTrail(t, d)
			for version, digest := range answered {
				if b.versions[version] == "" || digest != "" && b.versions[version] != digest {
					t.Errorf("%s was answered as in force with %q; the store has %q", version, digest, b.versions[version])
				}
			}
			shown, _, _ := harness.Run(t, "sekisho", "policy", "show", "--data", d.Folder)
			if want := fmt.Sprintf("# version %d,", len(b.versions)); !strings.HasPrefix(shown, want) {
				t.Errorf("policy show begins %.40q, want %q", shown, want)
			}
			if m := ack.FindString(shown); m == "" || !strings.Contains(string(from(d, 0).Do(t, "GET", "/signin?lang=en", nil).Body), strings.TrimPrefix(m, "en: ")) {
				t.Errorf("the sign-in page does not show the banner in force, %q", m)
			}
		}
	})
	t.Logf("%d applied and %d approved versions were answered", applied, approved)
	if applied == 0 || approved == 0 {
		t.Error("nothing was ever applied or approved: nothing was tried")
	}
}

// ack is the line of the banner: what the sample has, or what a round put there.
var ack = regexp.MustCompile(`en: (This is a trial\.|Mark [0-9-]+\.)`)

// apply runs commands at once and kills those that are left, and dev, when so
// many have come to an end.
func apply(t *testing.T, d *harness.Dev, rng *rand.Rand, text func(int) (string, string), answered map[string]string) int {
	const commands = 4
	var (
		mu      sync.Mutex
		running []*harness.Process
		wg      sync.WaitGroup
	)
	stop := func() {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range running {
			p.Kill()
		}
		d.Kill()
	}
	f := newFuse(1+rng.IntN(commands-1), stop)
	for i := range commands {
		path, digest := text(i)
		mu.Lock()
		p := harness.Start(t, d.Folder, harness.Binary(t, "sekisho"), "policy", "apply", path, "--data", d.Folder)
		running = append(running, p)
		mu.Unlock()
		wg.Go(func() {
			status := p.Exit()
			if m := inForce.FindStringSubmatch(p.Output()); status == 0 && m != nil {
				mu.Lock()
				answered["policy/"+m[1]] = digest
				mu.Unlock()
			}
			f.event()
		})
	}
	wg.Wait()
	return len(answered)
}

// approve has two people approve two proposals at once.
func approve(t *testing.T, d *harness.Dev, rng *rand.Rand, text func(int) (string, string), answered map[string]string) int {
	digests := map[string]string{} // proposal → digest
	for i := range 2 {
		path, digest := text(i)
		out, errs, status := harness.Run(t, "sekisho", "policy", "apply", "--propose", path, "--data", d.Folder)
		if status != 0 {
			t.Fatalf("proposing: %s", errs)
		}
		id, _, _ := strings.Cut(out, "\n")
		digests[id] = digest
	}
	f := newFuse(1+rng.IntN(10), d.Kill)
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	var approvers []*harness.Client
	for i, login := range []string{"kobayashi", "yoshida"} {
		p := d.Person(t, login)
		c := from(d, i)
		c.SignIn(t, p.Login, p.Password, *p.TOTPSecret, c.Now(t))
		approvers = append(approvers, c)
	}
	for _, c := range approvers {
		for id, digest := range digests {
			fork := c.Fork()
			f.on(fork)
			wg.Go(func() {
				a, err := fork.Try("POST", "/api/v1/policy/proposals/"+id+"/approve", map[string]string{})
				var v struct{ Version int }
				if err != nil || a.Status != 200 || json.Unmarshal(a.Body, &v) != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				key := fmt.Sprintf("policy/%d", v.Version)
				if was, twice := answered[key]; twice && was != digest {
					t.Errorf("two proposals were both answered as %s", key)
				}
				answered[key] = digest
			})
		}
	}
	wg.Wait()
	return len(answered)
}
