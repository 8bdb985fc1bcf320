package test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sekisho/cmd/sekisho/folder"
	"sekisho/policy/clock"
	"sekisho/test/harness"
)

// sampleSource is sign_in.source_failures of the sample: how often one address may fail.
const sampleSource = 1000

// tallied sums the lines of one of dev's metrics whose labels hold all of some.
func tallied(t *testing.T, d *harness.Dev, name string, labels ...string) (sum float64) {
	t.Helper()
	a := harness.NewClient(d.Control.URL).Do(t, "GET", "/metrics", nil, "Authorization", "Bearer "+d.Control.Token)
	if a.Status != http.StatusOK {
		t.Fatalf("/metrics: %d", a.Status)
	}
lines:
	for _, line := range regexp.MustCompile(`(?m)^`+name+`\{([^}]*)\} (\S+)$`).FindAllStringSubmatch(string(a.Body), -1) {
		for _, l := range labels {
			if !strings.Contains(line[1], l) {
				continue lines
			}
		}
		n, err := strconv.ParseFloat(line[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// TestPeersSpray is F18: one password tried on 10,000 names from one place, and then 100
// on one name from a hundred. The place is held before any password of the rest is
// compared; what was refused is counted where the alert SekishoGuessing looks (its own
// test plays such a burst to it); nobody is locked out by one try, and whose password a
// hundred have used up enters by passkey.
func TestPeersSpray(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	const names, width = 10_000, 32
	var people []folder.Person
	for _, p := range d.People {
		if p.State == "active" && p.Passkey != nil {
			people = append(people, p)
		}
	}
	// People stand evenly among names of nobody; so many of them can be tried before the
	// place is held.
	apart, early := names/len(people), 0
	name := func(i int) string {
		if at := i / apart; i%apart == 0 && at < len(people) {
			return people[at].Login
		}
		return "spray" + strconv.Itoa(i)
	}
	for i := 0; i < sampleSource+width; i += apart {
		early++
	}
	const binds, steps = "sekisho_directory_operation_duration_seconds_count", "sekisho_signin_steps_total"
	before, refused, held := tallied(t, d, binds, `operation="bind"`), tallied(t, d, steps, `outcome="refused"`), tallied(t, d, steps, `outcome="held"`)
	got := make([]int, names)
	took := clock.Stopwatch()
	few(names, width, func(i int) { got[i] = status(from(d, 0), "/api/v1/signin", credentials(name(i), "Sekisho-2026")) })
	t.Logf("%d names in %v", names, took())
	counts := map[int]int{}
	for _, s := range got {
		counts[s]++
	}
	if n := counts[401]; n < sampleSource || n > sampleSource+width || counts[429] != names-n {
		t.Errorf("%v, want at most %d of %d looked at, and the others held", counts, sampleSource+width, names)
	}
	if n := tallied(t, d, binds, `operation="bind"`) - before; n < 1 || int(n) > early {
		t.Errorf("the directory compared %v passwords, want at most %d", n, early)
	}
	if r, h := tallied(t, d, steps, `outcome="refused"`)-refused, tallied(t, d, steps, `outcome="held"`)-held; int(r) != counts[401] || int(h) != counts[429] {
		t.Errorf("counted as refused %v, as held %v, of %v", r, h, counts)
	}
	for i, p := range people[:early] {
		if s, a := from(d, 1+i).Password(t, p.Login, p.Password); s.State != "second_factor" {
			t.Errorf("%s after one try of somebody else: %d %s", p.Login, a.Status, a.Body)
		}
	}

	victim := people[len(people)-1]
	few(100, 8, func(i int) {
		got[i] = status(from(d, 1000+i), "/api/v1/signin", credentials(victim.Login, "guess"+strconv.Itoa(i)))
	})
	counts = map[int]int{}
	for _, s := range got[:100] {
		counts[s]++
	}
	if counts[401] != 5 || counts[429] != 95 {
		t.Errorf("a hundred guesses at %s: %v, want five looked at", victim.Login, counts)
	}
	if _, a := from(d, 2000).Password(t, victim.Login, victim.Password); a.Status != 429 {
		t.Errorf("%s's own password from a strange browser: %d", victim.Login, a.Status)
	}
	if s, a := from(d, 2001).Passkey(t, d.Key(t, victim)); a.Status != 200 || s.State == "" {
		t.Errorf("%s by passkey: %d %s", victim.Login, a.Status, a.Body)
	}
}
