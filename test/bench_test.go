package test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sekisho/cmd/sekisho/house"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// The benchmarks of design.md section 5. Each measures a limit and Sekisho in
// turns within one run and prints both and their ratio; a number alone would
// say more about the machine than about us. docs/performance.md has the method.

// onlyAsked skips what takes a machine to itself.
func onlyAsked(b *testing.B) {
	b.Helper()
	if os.Getenv("SEKISHO_BENCH") != "1" {
		b.Skip("set SEKISHO_BENCH=1, or run test/run bench")
	}
}

// rounds is how often the two sides take turns. The turns are short, so that
// whatever else the machine does hits both; the median of the rounds counts.
const (
	rounds = 25
	turn   = 150 * time.Millisecond
)

// A side is one of the two that are compared: how much was done, how long it
// took, and how much processor time this process spent on it.
type side struct {
	n    int
	took time.Duration
	cpu  time.Duration
}

func (s side) rate() float64 { return float64(s.n) / s.took.Seconds() }

// cost is processor time for each. It is the same on a quiet machine and on a
// busy one, where the rate is not.
func (s side) cost() float64 { return float64(s.cpu.Microseconds()) / float64(s.n) }

// measured runs one side's turn.
func measured(do func() int) side {
	before, elapsed := processorTime(), clock.Stopwatch()
	n := do()
	return side{n, elapsed(), processorTime() - before}
}

func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // it cannot fail with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// alternate runs both sides in turns, once unmeasured and then rounds times,
// and reports the median of the rounds' ratios with the quartiles around it.
// The side that begins changes from round to round.
func alternate(b *testing.B, rounds int, ours, limit func() int) {
	b.Helper()
	for b.Loop() {
		limit()
		ours()
		var us, them []side
		for i := range rounds {
			if i%2 == 0 {
				them = append(them, measured(limit))
				us = append(us, measured(ours))
			} else {
				us = append(us, measured(ours))
				them = append(them, measured(limit))
			}
		}
		if b.Failed() {
			return
		}
		report(b, us, them)
	}
	b.ReportMetric(0, "ns/op") // the length of a whole comparison means nothing
}

func report(b *testing.B, us, them []side) {
	b.Helper()
	spread := func(of func(i int) float64) []float64 {
		v := make([]float64, len(us))
		for i := range v {
			v[i] = of(i)
		}
		slices.Sort(v)
		return v
	}
	median := func(of func(i int) float64) float64 { return spread(of)[len(us)/2] }
	ratios := spread(func(i int) float64 { return us[i].rate() / them[i].rate() })
	b.ReportMetric(median(func(i int) float64 { return us[i].rate() }), "ours/s")
	b.ReportMetric(median(func(i int) float64 { return them[i].rate() }), "limit/s")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(ratios[len(ratios)/4], "ratio_q1")
	b.ReportMetric(ratios[len(ratios)*3/4], "ratio_q3")
	b.ReportMetric(median(func(i int) float64 { return us[i].cost() }), "ours_cpu_us")
	b.ReportMetric(median(func(i int) float64 { return them[i].cost() }), "limit_cpu_us")
	b.ReportMetric(median(func(i int) float64 { return them[i].cost() / us[i].cost() }), "cpu_ratio")
}

// since measures on the machine's own clock.
var since = clock.Stopwatch

// rulesFor is a policy of one zone where a password is enough, with n
// applications.
func rulesFor(n int) []byte {
	var b strings.Builder
	b.WriteString(`profile: standard
prefecture:
  name: {ja: 例県, en: Rei Prefecture}
zones:
  - {id: lgwan, name: {ja: LGWAN接続系, en: LGWAN zone}, sign_in_acr: aal1}
posts:
  - {id: staff, group: "cn=staff,ou=groups,dc=pref,dc=example"}
  - {id: cio, group: "cn=cio,ou=groups,dc=pref,dc=example"}
sections:
  - {id: soumu, name: {ja: 総務部, en: General Affairs}}
networks:
  - {cidr: 10.2.0.0/16, zone: lgwan}
  - {cidr: 127.0.0.0/8, zone: lgwan}
sign_in:
  source_failures: 1000
applications:
`)
	for i := range n {
		fmt.Fprintf(&b, "  - {id: app%d, name: {ja: 業務%d, en: App %d}, host: app%d.example, zone: lgwan, class: 4}\n", i, i, i, i)
	}
	return []byte(b.String())
}

// benchHouse is a whole house on a store of its own, with the machine's clock.
// set changes what it is built from.
func benchHouse(b *testing.B, set func(*house.Config)) *house.House {
	b.Helper()
	return benchHouseAt(b, clock.System(), set)
}

func benchHouseAt(b *testing.B, now clock.Now, set func(*house.Config)) *house.House {
	b.Helper()
	dir := b.TempDir()
	public, err := url.Parse("https://sekisho.example")
	if err != nil {
		b.Fatal(err)
	}
	cfg := house.Config{
		Store:      store.Config{Path: filepath.Join(dir, "sekisho.db")},
		SealingKey: filepath.Join(dir, "sealing.key"), SessionKey: filepath.Join(dir, "session.key"), TrailKey: filepath.Join(dir, "trail.key"),
		Origin: "bench.example/trail", Anchor: filepath.Join(dir, "anchor"),
		BootstrapText: rulesFor(100),
		Argon2:        secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, Queue: 64,
		PublicURL: public, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Log: slog.New(slog.DiscardHandler),
	}
	set(&cfg)
	h, err := house.Open(b.Context(), cfg, now)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.Close)
	return h
}

// living lets the house do what it does by itself, until the benchmark ends:
// sealing, polling and flushing are part of what is measured.
func living(b *testing.B, run func(context.Context)) {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); run(ctx) }()
	b.Cleanup(func() { stop(); <-done })
}
