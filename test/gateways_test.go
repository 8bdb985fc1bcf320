package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sekisho/test/harness"
	"sekisho/test/postgres"
	"sekisho/test/redis"
)

// redisSettings are the lines of sekisho.yaml for a Redis server.
func redisSettings(s *redis.Server) string {
	return fmt.Sprintf("redis: {addresses: ['%s']}", s.Addr)
}

// twoGates are two gates on one store and one Redis, without a proxy before them.
func twoGates(t *testing.T, o harness.SiteOptions) (a, b *harness.Site, r *redis.Server) {
	t.Helper()
	r = redis.Start(t, redis.Options{})
	o.Settings = strings.TrimSpace(o.Settings + "\n" + redisSettings(r))
	a, b = gates(t, o)
	return a, b, r
}

func gates(t *testing.T, o harness.SiteOptions) (a, b *harness.Site) {
	t.Helper()
	a = harness.NewSite(t, o)
	a.Serve(t)
	b = a.Beside(t)
	b.Serve(t)
	return a, b
}

// at is the same browser at another gate.
func at(s *harness.Site, c *harness.Client) *harness.Client {
	there := s.Behind(c.From)
	for k, v := range c.Cookies {
		there.Cookies[k] = v
	}
	there.CSRF = c.CSRF
	return there
}

// within waits for a condition and reports how long it took, which must be less
// than the limit.
func within(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	begun := time.Now()
	harness.Until(t, what, is)
	if took := time.Since(begun); took > limit {
		t.Errorf("%s took %v, want no more than %v", what, took, limit)
	}
}

// ready is what /readyz says.
func ready(t *testing.T, s *harness.Site) (status int, degraded string) {
	t.Helper()
	a := s.Client("127.0.0.1").Do(t, "GET", "/readyz", nil)
	var body struct{ Down, Degraded []string }
	a.Into(t, &body)
	return a.Status, strings.Join(append(body.Down, body.Degraded...), " ")
}

// TestTwoGates: two gates on one store are one gate: with Redis, and on
// PostgreSQL without it too. Two on one SQLite file, such as during an update,
// need Redis.
func TestTwoGates(t *testing.T) {
	t.Parallel()
	rules := harness.SiteOptions{Rules: "session: {max_per_person: 50}"}
	server := postgres.Start(t, postgres.Options{})
	t.Run("PostgreSQL and Redis", func(t *testing.T) {
		t.Parallel()
		o := rules
		o.Store = harness.OnPostgres(t, server, "")
		a, b, r := twoGates(t, o)
		asOne(t, a, b)
		whatRedisHolds(t, r)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		o := rules
		o.Store = harness.OnPostgres(t, server, "")
		a, b := gates(t, o)
		asOne(t, a, b)
	})
	t.Run("SQLite and Redis", func(t *testing.T) {
		t.Parallel()
		a, b, r := twoGates(t, rules)
		asOne(t, a, b)
		whatRedisHolds(t, r)
	})
}

func asOne(t *testing.T, a, b *harness.Site) {
	t.Helper()
	// Nobody signs in more than twice: a third code has to be waited for.
	tanaka, suzuki, kobayashi, yoshida := a.Members["tanaka"], a.Members["suzuki"], a.Members["kobayashi"], a.Members["yoshida"]
	first := a.Behind("10.2.0.1")
	tanaka.SignIn(t, first)

	t.Run("a sign-in goes from one to the other at each step", func(t *testing.T) {
		c := a.Behind("10.2.0.2")
		if s, ans := c.Password(t, "tanaka", tanaka.Password); s.State != "second_factor" {
			t.Fatalf("%d %s", ans.Status, ans.Body)
		}
		c = at(b, c)
		if s, ans := c.TOTP(t, tanaka.Code(t, c)); s.State != "signed_in" {
			t.Fatalf("%d %s", ans.Status, ans.Body)
		}
		for _, s := range []*harness.Site{a, b} {
			if ans := at(s, c).Do(t, "GET", "/api/v1/session", nil); ans.Status != 200 {
				t.Errorf("the session: %d %s", ans.Status, ans.Body)
			}
		}
	})
	t.Run("what one ends the other refuses", func(t *testing.T) {
		c := a.Behind("10.2.0.3")
		suzuki.SignIn(t, c)
		cookie, there := appCookie(t, a, c, "app"), at(b, c)
		if got := allowed(t, there, "app", cookie); got != 200 {
			t.Fatalf("at the other gate: %d", got)
		}
		if ans := c.Do(t, "DELETE", "/api/v1/session", nil); ans.Status != 204 {
			t.Fatalf("signing out: %d %s", ans.Status, ans.Body)
		}
		within(t, time.Second, "the other gate to refuse", func() bool { return allowed(t, there, "app", cookie) == 401 })
	})
	t.Run("a handover code made at one is good once at either", func(t *testing.T) {
		c := at(b, first)
		cookie := appCookie(t, a, c, "other") // made at b, redeemed at a
		for _, s := range []*harness.Site{a, b} {
			if got := allowed(t, s.Behind("10.2.0.1"), "other", cookie); got != 200 {
				t.Errorf("its cookie: %d", got)
			}
		}
	})
	t.Run("one code once", func(t *testing.T) {
		kobayashi.SignIn(t, a.Behind("10.2.0.6"))
		var clients []*harness.Client
		for i := range 20 {
			c := []*harness.Site{a, b}[i%2].Behind(fmt.Sprintf("10.2.1.%d", i+1))
			if s, ans := c.Password(t, "kobayashi", kobayashi.Password); s.State != "second_factor" {
				t.Fatalf("%d %s", ans.Status, ans.Body)
			}
			clients = append(clients, at([]*harness.Site{b, a}[i/2%2], c))
		}
		code := kobayashi.Code(t, first)
		got := atOnce(len(clients), func(i int) int { return status(clients[i], "/api/v1/signin/totp", map[string]string{"code": code}) })
		if got[200] != 1 {
			t.Errorf("one code at two gates: %v", got)
		}
	})
	t.Run("guesses are counted together", func(t *testing.T) {
		var verified, held int
		for i := range 12 {
			ans, err := []*harness.Site{a, b}[i%2].Behind("10.2.0.9").Try("POST", "/api/v1/signin", credentials("suzuki", "wrong"))
			if err != nil {
				t.Fatal(err)
			}
			switch ans.Status {
			case 401:
				verified++
			case 429:
				held++
			default:
				t.Fatalf("%d %s", ans.Status, ans.Body)
			}
		}
		if verified > 6 || held < 6 { // five are free
			t.Errorf("%d verified, %d held", verified, held)
		}
		for _, s := range []*harness.Site{a, b} {
			if _, ans := s.Behind("10.2.0.9").Password(t, "suzuki", suzuki.Password); ans.Status != 429 {
				t.Errorf("the right password while held: %d", ans.Status)
			}
		}
	})
	t.Run("one key, one act", func(t *testing.T) {
		var mu sync.Mutex
		ids := map[string]int{}
		got := atOnce(8, func(i int) int {
			ans, err := at([]*harness.Site{a, b}[i%2], first).Try("POST", "/api/v1/factors/totp/begin", map[string]string{}, "Idempotency-Key", "two-gates")
			if err != nil {
				return 0
			}
			var made struct{ ID string }
			if json.Unmarshal(ans.Body, &made) == nil {
				mu.Lock()
				ids[made.ID]++
				mu.Unlock()
			}
			return ans.Status
		})
		if got[201] != 8 || len(ids) != 1 {
			t.Errorf("one Idempotency-Key at two gates: %v, answers %v", got, ids)
		}
	})
	t.Run("a policy approved at one is in force at the other", func(t *testing.T) {
		cio := a.Behind("10.2.0.5")
		yoshida.SignIn(t, cio)
		next := a.Variant(t, a.Policy, "next.yaml", "host: app.pref.example, zone: lgwan, class: 2", "host: app.pref.example, zone: lgwan, class: 2, posts: [cio]")
		out, errs, exit := harness.Run(t, "sekisho", "policy", "apply", next, "--config", b.Config)
		id, _, _ := strings.Cut(out, "\n")
		if exit != 0 {
			t.Fatalf("policy apply: %d\n%s%s", exit, out, errs)
		}
		c := at(b, first)
		cookie := appCookie(t, b, c, "app")
		if got := allowed(t, c, "app", cookie); got != 200 {
			t.Fatalf("before: %d", got)
		}
		if ans := cio.Do(t, "POST", "/api/v1/policy/proposals/"+id+"/approve", nil); ans.Status != 200 {
			t.Fatalf("approving: %d %s", ans.Status, ans.Body)
		}
		within(t, time.Second, "the application to close at the other gate", func() bool { return allowed(t, c, "app", cookie) == 403 })
	})
	t.Run("both publish the same keys", func(t *testing.T) {
		var sets [2]struct{ Keys []struct{ Kid string } }
		for i, s := range []*harness.Site{a, b} {
			s.Client("127.0.0.1").Do(t, "GET", "/.well-known/jwks.json", nil).Into(t, &sets[i])
		}
		if len(sets[0].Keys) == 0 || fmt.Sprint(sets[0]) != fmt.Sprint(sets[1]) {
			t.Errorf("keys %v and %v", sets[0], sets[1])
		}
	})
}

// whatRedisHolds: sign-ins under way, sealed, and what keeps the trail short.
func whatRedisHolds(t *testing.T, r *redis.Server) {
	t.Helper()
	flows := 0
	for key := range strings.SplitSeq(r.Do(t, "KEYS", "*"), "\n") {
		switch {
		case key == "sekisho:ping", strings.HasPrefix(key, "sekisho:c:{held:"), strings.HasPrefix(key, "sekisho:c:{denied:"):
		case strings.HasPrefix(key, "sekisho:v:{flow:"):
			flows++
			value := r.Do(t, "GET", key)
			for _, word := range []string{"tanaka", "kobayashi", "lgwan", "progress"} {
				if strings.Contains(value, word) {
					t.Errorf("%s says %q", key, word)
				}
			}
		default:
			t.Errorf("%s is in Redis", key)
		}
	}
	if flows == 0 {
		t.Error("no sign-in under way is in Redis: is it used?")
	}
}

// TestRedisGone is F9: while Redis is killed, or accepts and does not answer,
// checks pass and refuse as before, sign-ins go on through both gates, nothing
// that limits guessing is forgotten, and five seconds after its return it is used
// again.
func TestRedisGone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		away, back func(t *testing.T, r *redis.Server)
	}{
		{"killed", func(_ *testing.T, r *redis.Server) { r.Kill() }, func(t *testing.T, r *redis.Server) { r.Restart(t) }},
		{"silent", func(t *testing.T, r *redis.Server) { r.Pause(t) }, func(t *testing.T, r *redis.Server) { r.Resume(t) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, b, r := twoGates(t, harness.SiteOptions{})
			// Nobody signs in more than twice: a third code has to be waited for.
			tanaka, kobayashi, yoshida := a.Members["tanaka"], a.Members["kobayashi"], a.Members["yoshida"]
			c := a.Behind("10.2.0.1")
			tanaka.SignIn(t, c)
			cookie := appCookie(t, a, c, "app")
			ended := a.Behind("10.2.0.2")
			kobayashi.SignIn(t, ended)
			endedCookie := appCookie(t, a, ended, "app")
			if ans := ended.Do(t, "DELETE", "/api/v1/session", nil); ans.Status != 204 {
				t.Fatalf("signing out: %d %s", ans.Status, ans.Body)
			}
			yoshida.SignIn(t, a.Behind("10.2.0.5"))
			for range 6 {
				if _, ans := a.Behind("10.2.0.3").Password(t, "suzuki", "wrong"); ans.Status != 401 && ans.Status != 429 {
					t.Fatalf("%d %s", ans.Status, ans.Body)
				}
			}
			to := func(s *harness.Site, from string, m *harness.Member) *harness.Client {
				t.Helper()
				c := s.Behind(from)
				if s, ans := c.Password(t, m.Login, m.Password); s.State != "second_factor" {
					t.Fatalf("%s's password: %d %s", m.Login, ans.Status, ans.Body)
				}
				return c
			}
			half := to(a, "10.2.0.4", tanaka)
			spent := tanaka.Code(t, half)
			if s, ans := at(b, half).TOTP(t, spent); s.State != "signed_in" {
				t.Fatalf("%d %s", ans.Status, ans.Body)
			}
			under := to(b, "10.2.0.5", yoshida)

			tt.away(t, r)
			// Checks do not ask Redis, so they do not even notice.
			var asking sync.WaitGroup
			stop := make(chan struct{})
			for _, s := range []*harness.Site{a, b} {
				asking.Go(func() {
					good, bad := s.Behind("10.2.0.1"), s.Behind("10.2.0.2")
					for {
						select {
						case <-stop:
							return
						default:
						}
						begun := time.Now()
						if got := allowed(t, good, "app", cookie); got != 200 {
							t.Errorf("a check without Redis: %d", got)
						}
						if took := time.Since(begun); took > time.Second {
							t.Errorf("a check without Redis took %v", took)
						}
						if got := allowed(t, bad, "app", endedCookie); got != 401 {
							t.Errorf("an ended session without Redis: %d", got)
						}
					}
				})
			}
			// A new sign-in goes through both gates, a used code does not.
			begun := time.Now()
			if _, ans := at(b, to(a, "10.2.0.4", tanaka)).TOTP(t, spent); ans.Status != 401 || ans.Code() != "refused" {
				t.Errorf("a code that was used: %d %s", ans.Status, ans.Body)
			}
			c = at(b, to(a, "10.2.0.6", kobayashi))
			if s, ans := c.TOTP(t, kobayashi.Code(t, c)); s.State != "signed_in" {
				t.Fatalf("the second factor at the other gate: %d %s", ans.Status, ans.Body)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("new sign-ins without Redis took %v", took)
			}
			// One that was under way begins again, and is told so rather than let in.
			if _, ans := at(a, under).TOTP(t, yoshida.Code(t, under)); ans.Status != 401 {
				t.Errorf("a sign-in that was under way: %d %s", ans.Status, ans.Body)
			}
			// What was held is held.
			for _, s := range []*harness.Site{a, b} {
				if _, ans := s.Behind("10.2.0.7").Password(t, "suzuki", a.Members["suzuki"].Password); ans.Status != 429 {
					t.Errorf("a held password without Redis: %d", ans.Status)
				}
				if got, missing := ready(t, s); got != 200 || missing != "redis" {
					t.Errorf("readyz without Redis: %d, missing %q", got, missing)
				}
			}
			if metrics := string(harness.NewClient("http://"+a.Metrics).Do(t, "GET", "/metrics", nil).Body); !strings.Contains(metrics, "\nsekisho_redis_up 0\n") {
				t.Error("the metrics do not say that Redis is away")
			}
			// What one ends the other refuses, by its own polling.
			out := appCookie(t, a, at(a, c), "app")
			if ans := c.Do(t, "DELETE", "/api/v1/session", nil); ans.Status != 204 {
				t.Fatalf("signing out: %d %s", ans.Status, ans.Body)
			}
			within(t, time.Second, "the other gate to refuse", func() bool { return allowed(t, a.Behind("10.2.0.6"), "app", out) == 401 })

			tt.back(t, r)
			within(t, 5*time.Second, "Redis to be used again", func() bool {
				for _, s := range []*harness.Site{a, b} {
					metrics := string(harness.NewClient("http://"+s.Metrics).Do(t, "GET", "/metrics", nil).Body)
					if !strings.Contains(metrics, "\nsekisho_redis_up 1\n") || !strings.Contains(metrics, "\nsekisho_redis_losses_total 1\n") {
						return false
					}
				}
				return true
			})
			close(stop)
			asking.Wait()
			if got, missing := ready(t, a); got != 200 || missing != "" {
				t.Errorf("readyz afterwards: %d, missing %q", got, missing)
			}
		})
	}
}

// TestRedisRelapses is F10: Redis is emptied, and later set back to what it held
// before. Nothing that was ended, used or held comes back to life.
func TestRedisRelapses(t *testing.T) {
	t.Parallel()
	a, b, r := twoGates(t, harness.SiteOptions{})
	tanaka, kobayashi := a.Members["tanaka"], a.Members["kobayashi"]
	live := a.Behind("10.2.0.1")
	tanaka.SignIn(t, live)
	cookie := appCookie(t, a, live, "app")

	kobayashi.SignIn(t, a.Behind("10.2.0.2"))
	under := a.Behind("10.2.0.2")
	if s, ans := under.Password(t, "kobayashi", kobayashi.Password); s.State != "second_factor" {
		t.Fatalf("%d %s", ans.Status, ans.Body)
	}
	before := snapshot(t, r) // the sign-in waits for its code
	stale := under.Fork()
	code := kobayashi.Code(t, under)
	if s, ans := under.TOTP(t, code); s.State != "signed_in" {
		t.Fatalf("%d %s", ans.Status, ans.Body)
	}
	// A handover code, used, by the browser that holds what it began with.
	browser := a.Client("127.0.0.1")
	begun := browser.Do(t, "GET", "/.sekisho/start?rd=/", nil, "Host", "app.pref.example").Header.Get("Location")
	_, query, _ := strings.Cut(under.Do(t, "GET", strings.TrimPrefix(begun, a.PublicURL), nil).Header.Get("Location"), "/.sekisho/callback?")
	redeem := func(s *harness.Site) int {
		c := s.Client("127.0.0.1")
		for name, value := range browser.Cookies {
			c.Cookies[name] = value
		}
		return c.Do(t, "GET", "/.sekisho/callback?"+query, nil, "Host", "app.pref.example").Status
	}
	if got := redeem(a); got != 303 {
		t.Fatalf("the handover: %d", got)
	}
	ended := appCookie(t, a, under, "other")
	if ans := under.Do(t, "DELETE", "/api/v1/session", nil); ans.Status != 204 {
		t.Fatalf("signing out: %d %s", ans.Status, ans.Body)
	}
	for range 6 {
		if _, ans := a.Behind("10.2.0.3").Password(t, "suzuki", "wrong"); ans.Status != 401 && ans.Status != 429 {
			t.Fatalf("%d %s", ans.Status, ans.Body)
		}
	}
	for _, relapse := range []struct {
		name string
		do   func()
	}{
		{"emptied", func() { r.Do(t, "FLUSHALL") }},
		{"set back", func() { restore(t, r, before) }},
	} {
		relapse.do()
		for _, s := range []*harness.Site{a, b} {
			if got := allowed(t, s.Behind("10.2.0.1"), "app", cookie); got != 200 {
				t.Errorf("%s: a live session: %d", relapse.name, got)
			}
			if got := allowed(t, s.Behind("10.2.0.2"), "other", ended); got != 401 {
				t.Errorf("%s: an ended session: %d", relapse.name, got)
			}
			if ans := at(s, under).Do(t, "GET", "/api/v1/session", nil); ans.Status != 401 {
				t.Errorf("%s: its own cookie: %d", relapse.name, ans.Status)
			}
			if _, ans := at(s, stale).TOTP(t, code); ans.Status != 401 {
				t.Errorf("%s: the code that was used, in the sign-in it was used in: %d", relapse.name, ans.Status)
			}
			if got := redeem(s); got != 401 {
				t.Errorf("%s: the handover that was used: %d", relapse.name, got)
			}
			if _, ans := s.Behind("10.2.0.4").Password(t, "suzuki", a.Members["suzuki"].Password); ans.Status != 429 {
				t.Errorf("%s: a held password: %d", relapse.name, ans.Status)
			}
		}
	}
}

// snapshot is everything in Redis, as a replica that lags would have it.
func snapshot(t *testing.T, r *redis.Server) map[string]string {
	t.Helper()
	all := map[string]string{}
	for key := range strings.SplitSeq(r.Do(t, "KEYS", "*"), "\n") {
		if key != "" {
			all[key] = r.Do(t, "DUMP", key)
		}
	}
	if len(all) == 0 {
		t.Fatal("there is nothing in Redis: is it used?")
	}
	return all
}

func restore(t *testing.T, r *redis.Server, all map[string]string) {
	t.Helper()
	r.Do(t, "FLUSHALL")
	for key, value := range all {
		r.Do(t, "RESTORE", key, "600000", value)
	}
}

// TestGatesBehindNginx is F12 with two gates: people sign in through both, one is
// killed and the other asked to stop under load, and no request is refused that
// should pass, none passes that should be refused.
func TestGatesBehindNginx(t *testing.T) {
	t.Parallel()
	r := redis.Start(t, redis.Options{})
	f := frontOf(t, true, harness.SiteOptions{
		Store: harness.OnPostgres(t, postgres.Start(t, postgres.Options{}), ""), Settings: redisSettings(r), Rules: "session: {max_per_person: 50}",
	})
	tanaka := f.Members["tanaka"]
	page := f.url(appHost, "/documents")
	c := f.visitor(t, "127.0.0.3")
	tanaka.SignIn(t, c) // each step at the next gate
	if a := walk(t, c, page); a.Status != 200 || string(a.Body) != "you are \"tanaka\"\n" {
		t.Fatalf("signed in through two gates: %d %s", a.Status, a.Body)
	}
	out := f.visitor(t, "127.0.0.4")
	f.Members["kobayashi"].SignIn(t, out)
	if a := walk(t, out, page); a.Status != 200 {
		t.Fatalf("signed in through two gates: %d", a.Status)
	}
	if a := out.Do(t, "DELETE", "/api/v1/session", nil); a.Status != 204 {
		t.Fatalf("signing out: %d %s", a.Status, a.Body)
	}
	within(t, time.Second, "both gates to refuse", func() bool {
		for range 2 { // one gate after the other
			if out.Do(t, "GET", page, nil).Status != 401 {
				return false
			}
		}
		return true
	})

	l := f.load(t, c, out, page)
	l.more(t, 200)
	f.gate.Kill()
	l.more(t, 400)
	f.gate = f.Serve(t)
	askedAgain(t, f.Site)
	l.more(t, 100)
	// One that is asked to stop finishes what it was given: not even a POST, which
	// nginx never sends twice, is lost.
	posts := f.posting(t)
	f.twin.Signal(t, syscall.SIGTERM)
	f.twin.Exit()
	l.more(t, 400)
	posts()
	f.twin = f.other.Serve(t)
	askedAgain(t, f.other)
	// Both gates are asked again, and a sign-in goes through them.
	f.Members["suzuki"].SignIn(t, f.visitor(t, "127.0.0.5"))
	l.more(t, 200)
	l.end(t)
}

// askedAgain waits until nginx asks a gate that was started again: it leaves one that
// failed out for two seconds.
func askedAgain(t *testing.T, s *harness.Site) {
	t.Helper()
	harness.Until(t, "nginx to ask the gate again", func() bool {
		a, err := harness.NewClient("http://"+s.Metrics).Try("GET", "/metrics", nil)
		return err == nil && strings.Contains(string(a.Body), `sekisho_gate_checks_total{outcome="allowed"} `) &&
			!strings.Contains(string(a.Body), `sekisho_gate_checks_total{outcome="allowed"} 0`)
	})
}

// A load asks for a page without pause: with a live session, with an ended one,
// and with none.
type load struct {
	stop             context.CancelFunc
	workers          sync.WaitGroup
	passed, refused  atomic.Int64
	wrongly, letThru atomic.Int64
	mu               sync.Mutex
	said             map[string]int
}

func (f *front) load(t *testing.T, good, ended *harness.Client, page string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop, said: map[string]int{}}
	t.Cleanup(func() { stop(); l.workers.Wait() })
	at := mustParse(t, page)
	cookies := map[string]string{"none": ""}
	for name, c := range map[string]*harness.Client{"good": good, "ended": ended} {
		for _, k := range c.HTTP.Jar.Cookies(at) {
			cookies[name] += k.Name + "=" + k.Value
		}
		if cookies[name] == "" {
			t.Fatalf("the %s visitor has no cookie for the application", name)
		}
	}
	for i := range 6 {
		name := []string{"good", "good", "ended", "good", "none", "good"}[i]
		c := f.visitor(t, fmt.Sprintf("127.0.0.%d", 20+i))
		c.HTTP.Jar = nil
		l.workers.Go(func() {
			for ctx.Err() == nil {
				var headers []string
				if cookies[name] != "" {
					headers = []string{"Cookie", cookies[name]}
				}
				a, err := c.Try("GET", page, nil, headers...)
				reached := err == nil && a.Header.Get("X-Application") != ""
				switch {
				case name == "good" && err == nil && a.Status == 200 && string(a.Body) == "you are \"tanaka\"\n":
					l.passed.Add(1)
				case name == "good":
					l.wrongly.Add(1)
					l.note(fmt.Sprintf("a live session: %d %v", a.Status, err))
				case reached || err == nil && a.Status == http.StatusOK:
					l.letThru.Add(1)
					l.note(fmt.Sprintf("%s: %d", name, a.Status))
				default:
					l.refused.Add(1)
				}
			}
		})
	}
	return l
}

// posting sends what no gate takes, 400, from several connections; the function it
// returns ends that and complains about any other answer.
func (f *front) posting(t *testing.T) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	var workers sync.WaitGroup
	var asked, other atomic.Int64
	for i := range 4 {
		c := f.visitor(t, fmt.Sprintf("127.0.0.%d", 40+i))
		workers.Go(func() {
			for ctx.Err() == nil {
				asked.Add(1)
				if a, err := c.Send("POST", "/api/v1/signin", "application/json", []byte("{")); err != nil || a.Status != 400 {
					other.Add(1)
				}
			}
		})
	}
	harness.Until(t, "some posts", func() bool { return asked.Load() > 100 })
	return func() {
		stop()
		workers.Wait()
		t.Logf("%d posts", asked.Load())
		if n := other.Load(); n > 0 {
			t.Errorf("%d of %d posts were lost", n, asked.Load())
		}
	}
}

func (l *load) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said[what]++
}

// more waits until so many more requests have passed.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	to := l.passed.Load() + n
	harness.Until(t, fmt.Sprintf("%d more requests", n), func() bool { return l.passed.Load() >= to || l.wrongly.Load() > n })
}

func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.workers.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%d passed, %d refused", l.passed.Load(), l.refused.Load())
	if l.wrongly.Load() > 0 || l.letThru.Load() > 0 || l.refused.Load() == 0 {
		t.Errorf("%d were refused that should pass, %d passed that should be refused, %d refused: %v",
			l.wrongly.Load(), l.letThru.Load(), l.refused.Load(), l.said)
	}
}
