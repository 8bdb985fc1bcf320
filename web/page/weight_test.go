package page

import (
	"testing"
	"time"
)

// mostWeight is what all style and script together may weigh, uncompressed, in
// bytes; quick is how long the server may take to make a page.
const (
	mostWeight = 60_000
	quick      = 5 * time.Millisecond
)

// TestWeight adds up what is really served, by every address that a page names.
func TestWeight(t *testing.T) {
	weights := map[string]int{}
	for _, sc := range scenes {
		w := newWorld(t)
		page := parse(t, sc.show(w).body)
		for _, e := range page.all("link") {
			if e.attr["rel"] == "stylesheet" {
				weights[e.attr["href"]] = len(w.get(e.attr["href"]).is(200).body)
			}
		}
		for _, e := range page.all("script") {
			weights[e.attr["src"]] = len(w.get(e.attr["src"]).is(200).body)
		}
	}
	sum := 0
	for _, n := range weights {
		sum += n
	}
	if len(weights) < 2 || sum > mostWeight {
		t.Errorf("%v: %d bytes together, want at most %d", weights, sum, mostWeight)
	}
}

// TestPagesAreQuick takes the best of several tries, so that what else the
// machine does is not held against a page.
func TestPagesAreQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("the run with the race detector, which is several times slower, measures nothing")
	}
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			w, best := newWorld(t), time.Hour
			for range 100 {
				begun := time.Now()
				sc.show(w)
				if best = min(best, time.Since(begun)); best < quick {
					return
				}
			}
			t.Errorf("takes %v at best, want less than %v", best, quick)
		})
	}
}

// BenchmarkPage makes each page, all around it included but the services.
func BenchmarkPage(b *testing.B) {
	for _, sc := range scenes {
		b.Run(sc.name, func(b *testing.B) {
			w := newWorld(b)
			sc.show(w)
			for b.Loop() {
				sc.show(w)
			}
		})
	}
}
