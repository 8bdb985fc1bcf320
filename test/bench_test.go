package test

import (
	"cmp"
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

// rounds is how often the two sides take turns; the median counts.
const rounds = 7

// A pair is one round: how much each side did in a second.
type pair struct{ ours, limit float64 }

// alternate runs both sides in turns, once unmeasured and then rounds times,
// and reports the median of the rounds' ratios with their spread. The side that
// begins changes from round to round.
func alternate(b *testing.B, ours, limit func() float64) {
	b.Helper()
	for b.Loop() {
		limit()
		ours()
		var all []pair
		for i := range rounds {
			var p pair
			if i%2 == 0 {
				p.limit = limit()
				p.ours = ours()
			} else {
				p.ours = ours()
				p.limit = limit()
			}
			all = append(all, p)
		}
		report(b, all)
	}
	b.ReportMetric(0, "ns/op") // the length of a whole comparison means nothing
}

func report(b *testing.B, all []pair) {
	b.Helper()
	slices.SortFunc(all, func(x, y pair) int { return cmp.Compare(x.ours/x.limit, y.ours/y.limit) })
	middle := func(side func(pair) float64) float64 {
		v := make([]float64, len(all))
		for i, p := range all {
			v[i] = side(p)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	ratio := func(p pair) float64 { return p.ours / p.limit }
	b.ReportMetric(middle(func(p pair) float64 { return p.ours }), "ours/s")
	b.ReportMetric(middle(func(p pair) float64 { return p.limit }), "limit/s")
	b.ReportMetric(middle(ratio), "ratio")
	b.ReportMetric(ratio(all[0]), "ratio_min")
	b.ReportMetric(ratio(all[len(all)-1]), "ratio_max")
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
	dir := b.TempDir()
	public, err := url.Parse("http://sekisho.example")
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
	h, err := house.Open(b.Context(), cfg, clock.System())
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
