package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sekisho/policy/store"
	"sekisho/test/harness"
	"sekisho/test/postgres"
)

// readiness is what /readyz says on the listener that tells why.
type readiness struct {
	Status         string
	Down, Degraded []string
}

func readyAt(t *testing.T, site *harness.Site) (r readiness) {
	t.Helper()
	resp, err := http.Get("http://" + site.Metrics + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// noRoom says whether an answer is the one to somebody who asks for what cannot be
// written down.
func noRoom(t *testing.T, a harness.Answer) bool {
	t.Helper()
	if a.Status != 503 {
		return false
	}
	var p struct {
		Code, Detail string
		Away         []string
	}
	a.Into(t, &p)
	return p.Code == "away" && slices.Equal(p.Away, []string{"disk"}) && strings.Contains(p.Detail, "room left on the disk") && a.Header.Get("Retry-After") != ""
}

// TestDiskFull is F13: the disk of the store, and that of the anchor, run full one
// after the other under a gate that people use. What gives somebody more is
// refused while there is still room; what cannot be written down is not done, and
// people are told why; nothing is there by half; and when there is room again all
// of it goes on by itself.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{Settings: "disk_low_mib: 8\ndisk_reserve_mib: 4"})
	data := harness.NewDisk(t, filepath.Join(site.Dir, "data"), "32m")
	anchor := harness.NewDisk(t, filepath.Join(site.Dir, "anchor"), "32m")
	gate := site.Serve(t)
	tanaka, suzuki, kobayashi, yoshida := site.Behind("10.2.0.1"), site.Behind("10.2.0.2"), site.Behind("10.2.0.3"), site.Behind("10.2.0.4")
	for login, c := range map[string]*harness.Client{"tanaka": tanaka, "kobayashi": kobayashi, "yoshida": yoshida} {
		site.Members[login].SignIn(t, c)
	}
	app := appCookie(t, site, tanaka, "app")
	texts := 0
	propose := func() (id, errs string, status int) {
		texts++
		next := site.Variant(t, site.Policy, fmt.Sprintf("next-%d.yaml", texts), "I will keep the rules.", fmt.Sprintf("I will keep all %d rules.", texts))
		out, errs, status := harness.Run(t, "sekisho", "policy", "apply", next, "--config", site.Config)
		id, _, _ = strings.Cut(out, "\n")
		return id, errs, status
	}
	approve := func(id string) harness.Answer {
		return yoshida.Do(t, "POST", "/api/v1/policy/proposals/"+id+"/approve", nil)
	}
	id, errs, status := propose()
	if status != 0 {
		t.Fatal(errs)
	}

	// Little room: nothing begins that gives somebody more, the rest goes on.
	data.Leave(t, 3<<20)
	if r := readyAt(t, site); r.Status != "degraded" || !slices.Contains(r.Degraded, "disk") || !slices.Contains(r.Degraded, "disk_reserve") {
		t.Errorf("with little room: %+v", r)
	}
	if a := approve(id); !noRoom(t, a) {
		t.Errorf("approving with little room: %d %s", a.Status, a.Body)
	}
	if _, errs, status := propose(); status != 1 || !strings.Contains(errs, "room") {
		t.Errorf("proposing with little room: %d %s", status, errs)
	}
	site.Members["suzuki"].SignIn(t, suzuki)

	// No room, with somebody between password and code. Strangers use up what the
	// log still has.
	half := site.Behind("10.2.0.5")
	code := site.Members["suzuki"].Code(t, half)
	if s, a := half.Password(t, "suzuki", site.Members["suzuki"].Password); s.State != "second_factor" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	data.Leave(t, 0)
	var strangers sync.WaitGroup
	refused := make([]bool, 8)
	for i := range refused {
		strangers.Go(func() {
			c := site.Behind(fmt.Sprintf("10.2.1.%d", i))
			for n := range 400 {
				a, err := c.Try("POST", "/api/v1/signin", credentials(fmt.Sprintf("nobody-%d-%d", i, n), "wrong"))
				if err != nil || a.Status != 401 && a.Status != 429 && a.Status != 503 {
					t.Errorf("a stranger: %v %d %s", err, a.Status, a.Body)
					return
				}
				if refused[i] = a.Status == 503 && noRoom(t, a); refused[i] {
					return
				}
			}
		})
	}
	strangers.Wait()
	if !slices.Contains(refused, true) {
		t.Fatal("the disk never was full: nothing was tried")
	}
	if s, a := half.TOTP(t, code); !noRoom(t, a) {
		t.Errorf("the code with no room: %q %d %s", s.State, a.Status, a.Body)
	}
	late := site.Behind("10.2.0.6")
	if s, a := late.Password(t, "kobayashi", site.Members["kobayashi"].Password); !noRoom(t, a) {
		t.Errorf("a right password with no room: %q %d %s", s.State, a.Status, a.Body)
	}
	if a := late.Do(t, "POST", "/api/v1/signin", credentials("kobayashi", "x"), "Accept-Language", "ja"); a.Status != 503 || !strings.Contains(string(a.Body), "ディスクの空きが足りない") {
		t.Errorf("in Japanese: %d %s", a.Status, a.Body)
	}
	if got := allowed(t, tanaka, "app", app); got != 200 {
		t.Errorf("the application of somebody who is signed in: %d", got)
	}
	if a := approve(id); !noRoom(t, a) {
		t.Errorf("approving with no room: %d %s", a.Status, a.Body)
	}

	// Room again: the same code is still good, as nothing was spent, and nobody
	// had to do anything.
	data.Clear(t)
	if s, a := half.TOTP(t, code); s.State != "signed_in" {
		t.Errorf("the same code with room again: %q %d %s", s.State, a.Status, a.Body)
	}
	if s, a := late.Password(t, "kobayashi", site.Members["kobayashi"].Password); s.State != "second_factor" {
		t.Errorf("the same password with room again: %q %d %s", s.State, a.Status, a.Body)
	}
	harness.Until(t, "the gate to be well", func() bool { return readyAt(t, site).Status == "ok" })
	if a := approve(id); a.Status != 200 {
		t.Errorf("approving with room again: %d %s", a.Status, a.Body)
	}

	// The anchor's disk: the gate says so, and nothing begins that gives somebody
	// more, but people sign in and the trail is sealed in the store.
	checkpoint := filepath.Join(anchor.Dir, "checkpoint")
	if id, errs, status = propose(); status != 0 {
		t.Fatal(errs)
	}
	harness.Until(t, "the anchor to follow", func() bool { return readyAt(t, site).Status == "ok" })
	anchor.Leave(t, 0)
	before, err := os.ReadFile(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	site.Members["tanaka"].SignIn(t, site.Behind("10.2.0.7"))
	harness.Until(t, "the gate to say that the anchor is behind", func() bool {
		return slices.Contains(readyAt(t, site).Down, "trail")
	})
	if a := approve(id); !noRoom(t, a) {
		t.Errorf("approving while the anchor's disk is full: %d %s", a.Status, a.Body)
	}
	if kept, err := os.ReadFile(checkpoint); err != nil || string(kept) != string(before) {
		t.Errorf("the anchor is torn: %q (%v)", kept, err)
	}
	anchor.Clear(t)
	harness.Until(t, "the anchor to follow", func() bool { return readyAt(t, site).Status == "ok" })
	if kept, err := os.ReadFile(checkpoint); err != nil || string(kept) == string(before) {
		t.Errorf("the anchor did not follow: %v", err)
	}
	if a := approve(id); a.Status != 200 {
		t.Errorf("approving with room again: %d %s", a.Status, a.Body)
	}
	gate.Stop(t)

	// All of it balances, and the trail holds together from before on.
	booksOf(t, filepath.Join(data.Dir, "sekisho.db")).balance(t, books{})
	if out, errs, status := harness.Run(t, "sekisho", "audit", "verify", "--config", site.Config); status != 0 {
		t.Errorf("audit verify: %s%s", out, errs)
	}
	export := filepath.Join(site.Dir, "trail.jsonl")
	if _, errs, status := harness.Run(t, "sekisho", "audit", "export", "--out", export, "--config", site.Config); status != 0 {
		t.Fatal(errs)
	}
	public, _, _ := harness.Run(t, "sekisho", "audit", "key", "--config", site.Config)
	if out, errs, status := harness.Run(t, "trailcheck", export, "--key", strings.TrimSpace(public), "--checkpoint", site.Write(t, "before", before)); status != 0 {
		t.Errorf("trailcheck: %s%s", out, errs)
	}
	if names, err := filepath.Glob(filepath.Join(anchor.Dir, "checkpoint.*")); err != nil || !slices.Equal(names, []string{checkpoint + ".lock"}) {
		t.Errorf("left beside the anchor: %v %v", names, err)
	}
}

// TestDiskFullOnPostgres is F13 where the disk is the database server's: the gate
// cannot see it run full, so nothing is refused beforehand, and what cannot be
// written is not done. The tables alone are on the small disk; a full disk of its
// log stops PostgreSQL itself, which is F11.
func TestDiskFullOnPostgres(t *testing.T) {
	t.Parallel()
	place, err := os.MkdirTemp("", "sekisho-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(place) })
	if err := os.Chmod(place, 0o711); err != nil {
		t.Fatal(err)
	}
	small := filepath.Join(place, "small")
	if err := postgres.Folder(small); err != nil {
		t.Fatal(err)
	}
	disk := harness.NewDisk(t, small, "64m")
	server := postgres.Start(t, postgres.Options{})
	at := harness.OnPostgres(t, server, "")
	name := regexp.MustCompile(`/(t[a-z0-9]+),`).FindStringSubmatch(at)[1]
	if err := server.Admin(t.Context(), "postgres", `CREATE TABLESPACE small LOCATION '`+small+`'`, `ALTER DATABASE `+name+` SET TABLESPACE small`); err != nil {
		t.Fatal(err)
	}
	site := harness.NewSite(t, harness.SiteOptions{Store: at})
	gate := site.Serve(t)
	tanaka, suzuki, yoshida := site.Behind("10.2.0.1"), site.Behind("10.2.0.2"), site.Behind("10.2.0.4")
	for login, c := range map[string]*harness.Client{"tanaka": tanaka, "suzuki": suzuki, "yoshida": yoshida} {
		site.Members[login].SignIn(t, c)
	}
	app := appCookie(t, site, tanaka, "app")
	next := site.Variant(t, site.Policy, "next.yaml", "I will keep the rules.", "I will keep all rules.")
	out, errs, status := harness.Run(t, "sekisho", "policy", "apply", next, "--config", site.Config)
	if status != 0 {
		t.Fatal(errs)
	}
	id, _, _ := strings.Cut(out, "\n")
	approve := func() harness.Answer {
		return yoshida.Do(t, "POST", "/api/v1/policy/proposals/"+id+"/approve", nil)
	}
	half := site.Behind("10.2.0.5")
	code := site.Members["suzuki"].Code(t, half)
	if s, a := half.Password(t, "suzuki", site.Members["suzuki"].Password); s.State != "second_factor" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}

	disk.Leave(t, 0)
	var strangers sync.WaitGroup
	refused := make([]bool, 8)
	for i := range refused {
		strangers.Go(func() {
			c := site.Behind(fmt.Sprintf("10.2.1.%d", i))
			for n := range 400 {
				a, err := c.Try("POST", "/api/v1/signin", credentials(fmt.Sprintf("nobody-%d-%d", i, n), "wrong"))
				if err != nil || a.Status != 401 && a.Status != 429 && a.Status != 503 {
					t.Errorf("a stranger: %v %d %s", err, a.Status, a.Body)
					return
				}
				if refused[i] = a.Status == 503 && noRoom(t, a); refused[i] {
					return
				}
			}
		})
	}
	strangers.Wait()
	if !slices.Contains(refused, true) {
		t.Fatal("the disk never was full: nothing was tried")
	}
	// A table may have room in the pages that it has; what has none says so.
	done := false
	if s, a := half.TOTP(t, code); s.State == "signed_in" {
		done = true
	} else if !noRoom(t, a) {
		t.Errorf("the code with no room: %q %d %s", s.State, a.Status, a.Body)
	}
	if got := allowed(t, tanaka, "app", app); got != 200 {
		t.Errorf("the application of somebody who is signed in: %d", got)
	}
	before := approve()
	if before.Status != 200 && !noRoom(t, before) && before.Status != 503 {
		t.Errorf("approving with no room: %d %s", before.Status, before.Body)
	}

	disk.Clear(t)
	if s, a := half.TOTP(t, code); !done && s.State != "signed_in" {
		t.Errorf("the same code with room again: %q %d %s", s.State, a.Status, a.Body)
	}
	harness.Until(t, "the gate to be well", func() bool { return readyAt(t, site).Status == "ok" })
	if a := approve(); a.Status != 200 {
		t.Errorf("approving with room again: %d %s", a.Status, a.Body)
	}
	site.Members["kobayashi"].SignIn(t, site.Behind("10.2.0.6"))
	gate.Stop(t)
	if out, errs, status := harness.Run(t, "sekisho", "audit", "verify", "--config", site.Config); status != 0 {
		t.Errorf("audit verify: %s%s", out, errs)
	}
	// One version follows from one yes, and nothing is there by half.
	inStore(t, site, func(tx *store.Tx) error {
		var versions, yes, entries int
		err := tx.QueryRow(t.Context(), `
			SELECT (SELECT COUNT(*) FROM charter_version), (SELECT COUNT(*) FROM approval_decision),
			       (SELECT COUNT(*) FROM trail_leaf WHERE action = 'policy.approved')`).Scan(&versions, &yes, &entries)
		if versions != 2 || yes != 1 || entries != 1 {
			t.Errorf("%d versions, %d words, %d entries", versions, yes, entries)
		}
		return err
	})
}
