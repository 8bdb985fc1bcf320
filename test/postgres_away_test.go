package test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/test/harness"
	"sekisho/test/postgres"
)

// TestPostgresStopsAndStarts is F11: PostgreSQL dies at once under load and comes
// back. What was acknowledged is there, 503 is answered meanwhile and never that
// a session that is good is not, and ten seconds later all goes on. A commit
// whose answer is lost is not told as done, and trying again is safe.
func TestPostgresStopsAndStarts(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t, postgres.Options{})
	proxy := postgres.NewProxy(t, server.Addr())
	site := harness.NewSite(t, harness.SiteOptions{Store: harness.OnPostgres(t, server, proxy.Addr)})
	gate := site.Serve(t)

	type worker struct {
		login  string
		client *harness.Client
		factor string
		acked  []string
	}
	var workers []*worker
	for _, login := range []string{"tanaka", "suzuki", "kobayashi", "yoshida"} {
		w := &worker{login: login, client: site.Behind("10.2.0.9")}
		site.Members[login].SignIn(t, w.client)
		var all struct{ Items []struct{ ID string } }
		w.client.Do(t, "GET", "/api/v1/factors", nil).Into(t, &all)
		if len(all.Items) == 0 {
			t.Fatalf("%s has no factor", login)
		}
		w.factor = all.Items[0].ID
		workers = append(workers, w)
	}

	t.Run("the answer to a commit is lost", func(t *testing.T) {
		c := workers[0].client
		proxy.LoseCommit("INSERT INTO totp_device")
		begin := func() harness.Answer {
			return c.Do(t, "POST", "/api/v1/factors/totp/begin", nil, "Idempotency-Key", "a-lost-answer-1")
		}
		if a := begin(); a.Status != http.StatusServiceUnavailable || a.Code() != "away" {
			t.Errorf("nobody knows whether it was done, and the answer is %d %s", a.Status, a.Body)
		}
		if proxy.Lost() != 1 {
			t.Fatalf("%d answers were lost, want the one", proxy.Lost())
		}
		second, third := begin(), begin()
		if second.Status != http.StatusCreated || string(second.Body) != string(third.Body) {
			t.Errorf("again: %d %s, then %d %s; want one answer", second.Status, second.Body, third.Status, third.Body)
		}
	})

	var (
		stop      atomic.Bool
		written   atomic.Int64 // writes that were acknowledged
		away      atomic.Int64 // answers that said so
		recovered = make(chan time.Time, 64)
		back      atomic.Bool // the server is there again
		wg        sync.WaitGroup
	)
	defer wg.Wait()
	defer stop.Store(true)
	for _, w := range workers {
		wg.Go(func() {
			tick := time.NewTicker(80 * time.Millisecond) // two requests each: 100 a second in all
			defer tick.Stop()
			for n := 0; !stop.Load(); n++ {
				<-tick.C
				if a, err := w.client.Try("GET", "/api/v1/session", nil); err != nil {
					t.Errorf("%s: %v", w.login, err)
					return
				} else if a.Status != 200 && a.Status != 503 {
					t.Errorf("%s: a session that is good: %d %s", w.login, a.Status, a.Body)
				}
				name := fmt.Sprintf("%s-%d", w.login, n)
				a, err := w.client.Try("PATCH", "/api/v1/factors/"+w.factor, map[string]string{"name": name})
				switch {
				case err == nil && a.Status/100 == 2:
					w.acked = append(w.acked, name)
					written.Add(1)
					if back.Load() {
						recovered <- time.Now()
						return
					}
				case err == nil && a.Status == 503:
					away.Add(1)
				default:
					t.Errorf("%s's write: %d %s, %v", w.login, a.Status, a.Body, err)
				}
			}
		})
	}
	harness.Until(t, "writes", func() bool { return written.Load() > 40 })
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	harness.Until(t, "an answer that says so", func() bool { return away.Load() > 0 })
	if a := site.Behind("10.2.0.9").Do(t, "GET", "/readyz", nil); a.Status != 503 || !strings.Contains(string(a.Body), "store") {
		t.Errorf("readyz while it is away: %d %s", a.Status, a.Body)
	}
	if err := server.Again(); err != nil {
		t.Fatal(err)
	}
	there := time.Now()
	back.Store(true)
	for range workers {
		select {
		case at := <-recovered:
			if took := at.Sub(there); took > 10*time.Second {
				t.Errorf("writing again took %v", took)
			}
		case <-time.After(30 * time.Second):
			stop.Store(true)
			t.Fatal("nobody could write 30 s after it came back")
		}
	}
	stop.Store(true)
	wg.Wait()
	if gate.Ended() {
		t.Fatalf("the gate ended: %s", gate.Log())
	}

	out, errs, status := harness.Run(t, "sekisho", "audit", "export", "--config", site.Config)
	if status != 0 {
		t.Fatalf("audit export: %d %s", status, errs)
	}
	total := 0
	for _, w := range workers {
		total += len(w.acked)
		if n := strings.Count(out, `"action":"factor.renamed"`); n < len(w.acked) {
			t.Errorf("%s: %d writes were acknowledged, %d are on the trail in all", w.login, len(w.acked), n)
		}
		var all struct{ Items []struct{ ID, Name string } }
		w.client.Do(t, "GET", "/api/v1/factors", nil).Into(t, &all)
		last := w.acked[len(w.acked)-1]
		if all.Items[0].Name != last {
			t.Errorf("%s's factor is called %q, and the last answer said %q", w.login, all.Items[0].Name, last)
		}
	}
	if n := strings.Count(out, `"action":"factor.renamed"`); n < total {
		t.Errorf("%d writes were acknowledged and %d are on the trail", total, n)
	}
	t.Logf("%d acknowledged writes, %d answered that the store was away", total, away.Load())
}
