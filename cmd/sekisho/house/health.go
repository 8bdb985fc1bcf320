package house

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"sekisho/authn/card"
	"sekisho/authz/report"
	sharing "sekisho/authz/shared"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
	"sekisho/web"
)

const (
	// examineEvery is how often the house looks at itself when nobody asks.
	examineEvery = 10 * time.Second
	// countEvery is how often the store is asked for numbers.
	countEvery = time.Minute
	// lookEvery is how often files that others renew are looked at: card
	// revocation lists and certificates.
	lookEvery = 5 * time.Minute
	// mostBehind is how far the machine's clock may run behind the store's
	// before this gateway is not ready (design rule 2).
	mostBehind = time.Second
)

// checks are what /readyz asks. What every gateway of the store would lack as
// well, and can be done without, only degrades.
func (h *House) checks(cfg Config) []web.Check {
	return append([]web.Check{
		{Name: "store", Ask: h.DB.Ping},
		{Name: "store_write", Ask: func(context.Context) error { return h.Written() }, Degrades: true},
		{Name: "directory", Ask: h.Directory.Ping},
		{Name: "policy", Ask: func(context.Context) error { return h.Charter.Err() }},
		{Name: "trail", Ask: func(context.Context) error { return h.Seal.Err() }},
		{Name: "keys", Ask: func(context.Context) error { return h.keys.Err() }},
		{Name: "clock", Ask: func(ctx context.Context) error {
			if d := h.Clock.Behind(); d > mostBehind {
				return fmt.Errorf("the machine's clock is %v behind the store's", d)
			}
			return h.inTime(ctx)
		}},
		{Name: "disk", Ask: func(context.Context) error { return enoughDisk(places(cfg), cfg.DiskLow) }, Degrades: true},
		{Name: "disk_reserve", Ask: func(context.Context) error { return enoughDisk(places(cfg), cfg.DiskReserve) }, Degrades: true},
		{Name: "mail", Ask: func(context.Context) error { return h.lookout.Mail() }, Degrades: true},
		{Name: "cards", Ask: func(context.Context) error { return h.cards.Err() }, Degrades: true},
	}, h.shared.ready()...)
}

// places are the folders that are written to, by what lies in them.
func places(cfg Config) map[string]string {
	at := map[string]string{}
	for name, path := range map[string]string{"store": cfg.Store.Path, "anchor": cfg.Anchor} {
		if path != "" {
			at[name] = filepath.Dir(path)
		}
	}
	return at
}

func freeDisk(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("asking how full the disk of %s is: %w", dir, err)
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}

func enoughDisk(at map[string]string, low int64) error {
	var all []error
	for name, dir := range at {
		switch free, err := freeDisk(dir); {
		case err != nil:
			all = append(all, err)
		case free < low:
			all = append(all, fmt.Errorf("%d MiB are left for the %s in %s", free>>20, name, dir))
		}
	}
	return errors.Join(all...)
}

// room is what MayBegin asks: is there room for what follows from an act, and is
// what was done before it being sealed.
func (g *Ground) room() error {
	if err := enoughDisk(places(g.cfg), g.cfg.DiskReserve); err != nil {
		return fmt.Errorf("%w: %w", audit.ErrNoRoom, err)
	}
	if err := g.Seal.Err(); err != nil {
		return fmt.Errorf("%w: %w", audit.ErrNoSeal, err)
	}
	return nil
}

// measure registers what is told when it is asked for.
func (h *House) measure(cfg Config) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	counter := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	h.sessions = prometheus.NewGauge(prometheus.GaugeOpts{Name: "sekisho_sessions", Help: "Sessions that have neither ended nor run out, of all gateways of the store; asked once a minute."})
	h.sharedHeld = prometheus.NewGauge(prometheus.GaugeOpts{Name: "sekisho_shared_ids_held", Help: "Check-outs of shared IDs that go on, of all gateways of the store; asked once a minute."})
	h.permits = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sekisho_permits", Help: "Permits that are in force, approved for later, or wait, of all gateways of the store; asked once a minute."}, []string{"kind", "state"})
	h.Registry.MustRegister(
		h.sessions, h.sharedHeld, h.permits, h.cards, waterLevels{h, places(cfg)},
		gauge("sekisho_sessions_held", "Sessions that have a copy in memory here.", func() float64 { return float64(h.Sessions.Held()) }),
		gauge("sekisho_privileged_sessions", "Privileged sessions that are open, as this gateway knows.", func() float64 { return float64(h.Sessions.Raised()) }),
		gauge("sekisho_session_poll_age_seconds", "Age of what this gateway knows of sessions ended elsewhere.", func() float64 { return h.Sessions.PollAge().Seconds() }),
		gauge("sekisho_lockdowns", "Lock-downs that are in force, as this gateway knows.", func() float64 { return float64(h.Orders.Held()) }),
		gauge("sekisho_lockdowns_lifted_by_sealed_key", "Lock-downs that a sealed key has lifted within the last day.", func() float64 { return float64(h.Orders.SealedHeld()) }),
		gauge("sekisho_restores_by_sealed_key", "Backups that a sealed key has put in this store's place within the last day.", func() float64 { return float64(h.Restores.SealedLately()) }),
		gauge("sekisho_hash_waiting", "Callers that wait for a password hash.", func() float64 { return float64(h.Hasher.Waiting()) }),
		gauge("sekisho_policy_version", "Version of the policy in force here.", func() float64 { return float64(h.Charter.Version()) }),
		gauge("sekisho_clock_behind_seconds", "How far the machine's clock runs behind the store's.", func() float64 { return h.Clock.Behind().Seconds() }),
		gauge("sekisho_trail_seal_lag_seconds", "How long entries of the trail may have been waiting to be sealed.", func() float64 {
			lag, _ := h.Seal.Lag()
			return lag.Seconds()
		}),
		counter("sekisho_trail_seal_failures_total", "Attempts to seal the trail that failed.", func() float64 {
			_, failures := h.Seal.Lag()
			return float64(failures)
		}),
		counter("sekisho_store_retries_total", "Transactions that were tried again because another was in the way.", func() float64 { return float64(h.DB.Stats().Retries) }),
		counter("sekisho_store_failures_total", "Transactions that the database did not begin or did not keep.", func() float64 { return float64(h.DB.Stats().Failures) }),
	)
}

// waterLevels are the gauges with a label whose values are known only when they
// are read.
type waterLevels struct {
	h  *House
	at map[string]string
}

var (
	poolConnections = prometheus.NewDesc("sekisho_directory_connections", "Connections to the directory, by pool and by whether they are at work.", []string{"pool", "state"}, nil)
	poolLimit       = prometheus.NewDesc("sekisho_directory_connections_limit", "Connections to the directory that a pool may have.", []string{"pool"}, nil)
	poolWaiting     = prometheus.NewDesc("sekisho_directory_waiting", "Operations that wait for a connection to the directory, by pool.", []string{"pool"}, nil)
	leasesActive    = prometheus.NewDesc("sekisho_leases", "Leases that are active, as this gateway knows: approved, taken without approval, or paused.", []string{"state"}, nil)
	reportRun       = prometheus.NewDesc("sekisho_report_last_run_timestamp_seconds", "When a scheduled report was last made, by any gateway of the store; 0: never yet.", []string{"schedule"}, nil)
	diskFree        = prometheus.NewDesc("sekisho_disk_free_bytes", "Room left on the disks that are written to, by what lies there.", []string{"place"}, nil)
)

// Describe lists what Collect tells.
func (w waterLevels) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolConnections, poolLimit, poolWaiting, leasesActive, reportRun, diskFree} {
		to <- d
	}
}

// Collect reads the levels.
func (w waterLevels) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	lent := w.h.Leases.Tally()
	tell(leasesActive, float64(lent.Approved), "approved")
	tell(leasesActive, float64(lent.Emergency), "emergency")
	tell(leasesActive, float64(lent.Paused), "paused")
	for _, p := range w.h.Directory.Pools() {
		tell(poolConnections, float64(p.Busy), p.Name, "busy")
		tell(poolConnections, float64(p.Idle), p.Name, "idle")
		tell(poolLimit, float64(p.Most), p.Name)
		tell(poolWaiting, float64(p.Waiting), p.Name)
	}
	for _, s := range w.h.inForce().Reports.Schedule {
		ctx, done := context.WithTimeout(context.Background(), time.Second)
		if at, err := report.LastRun(ctx, w.h.DB, s.ID); err == nil {
			seconds := 0.0
			if !at.IsZero() {
				seconds = float64(at.Unix())
			}
			tell(reportRun, seconds, s.ID)
		}
		done()
	}
	for name, dir := range w.at {
		if free, err := freeDisk(dir); err == nil {
			tell(diskFree, float64(free), name)
		}
	}
}

// countCheckOuts counts what became of check-outs of shared IDs here.
func countCheckOuts(reg prometheus.Registerer) func(sharing.Outcome) {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sekisho_shared_checkouts_total", Help: "Check-outs of shared IDs that were asked for, by what became of them."}, []string{"outcome"})
	reg.MustRegister(all)
	for _, o := range sharing.Outcomes() {
		all.WithLabelValues(string(o))
	}
	return func(o sharing.Outcome) { all.WithLabelValues(string(o)).Inc() }
}

// countStored asks the store how many sessions, check-outs and permits live.
func (h *House) countStored(ctx context.Context) {
	if n, err := h.Sessions.Live(ctx); err != nil {
		h.complain(ctx, "counting sessions", err)
	} else {
		h.sessions.Set(float64(n))
	}
	if n, err := h.SharedIDs.Tally(ctx); err != nil {
		h.complain(ctx, "counting check-outs of shared IDs", err)
	} else {
		h.sharedHeld.Set(float64(n))
	}
	all, err := h.Permits.Tally(ctx)
	if err != nil {
		h.complain(ctx, "counting permits", err)
		return
	}
	h.permits.Reset() // a kind that the policy has no more
	for _, k := range h.Charter.Current().Permits {
		n := all[k.ID]
		h.permits.WithLabelValues(k.ID, "live").Set(float64(n.Live))
		h.permits.WithLabelValues(k.ID, "ahead").Set(float64(n.Ahead))
		h.permits.WithLabelValues(k.ID, "pending").Set(float64(n.Pending))
	}
}

// lookAtFiles looks at what others renew, and says when it was not renewed.
func (h *House) lookAtFiles(ctx context.Context, cfg Config) {
	now, rules := h.Clock.Now(), h.Charter.Current()
	ends := map[string]time.Time{}
	if cfg.CertificateEnds != nil {
		ends["tls"] = cfg.CertificateEnds()
	}
	for name, path := range map[string]string{"directory_ca": cfg.Directory.CAFile, "mail_ca": cfg.Mail.CAFile} {
		if text, err := os.ReadFile(path); path != "" && err == nil {
			ends[name] = latestEnd(text)
		}
	}
	lists := map[string]time.Time{}
	for _, a := range rules.Cards {
		ends["card_"+a.ID] = latestEnd([]byte(a.CA))
		if next, ok := nextUpdate(cfg, a, now); ok {
			lists[a.ID] = next
		}
	}
	if err := h.cards.set(ends, lists, checkCards(cfg, now, rules)); err != nil {
		h.log.WarnContext(ctx, "cards of an authority are or will be refused", "error", err)
	}
}

// latestEnd is when the last certificate of a PEM text ends, zero for none.
func latestEnd(text []byte) (end time.Time) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return end
		}
		if c, err := x509.ParseCertificate(b.Bytes); err == nil && c.NotAfter.After(end) {
			end = c.NotAfter
		}
	}
}

// nextUpdate is when the first of an authority's files ceases to be of now:
// each of them is required.
func nextUpdate(cfg Config, a policy.CardAuthority, now time.Time) (first time.Time, ok bool) {
	for _, path := range cfg.RevocationLists[a.ID] {
		lists, err := card.NewFiles(map[string][]string{a.ID: {path}}, func() time.Time { return now }).For(a.ID)
		if err != nil {
			return time.Time{}, false
		}
		var newest time.Time
		for _, l := range lists {
			if l.NextUpdate.After(newest) {
				newest = l.NextUpdate
			}
		}
		if !ok || newest.Before(first) {
			first, ok = newest, true
		}
	}
	return first, ok
}

// Written is what the last attempt to write the store's clock came to.
func (g *Ground) Written() error {
	if err := g.written.Load(); err != nil {
		return *err
	}
	return nil
}

// remember keeps what an attempt to write the store's clock came to.
func (g *Ground) remember(ctx context.Context, err error) {
	switch {
	case err == nil:
		g.written.Store(nil)
	case ctx.Err() == nil && !errors.Is(err, store.ErrClosed):
		g.written.Store(&err)
	}
}

// joined is one line of several sentences.
func joined(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	words := make([]string, len(errs))
	for i, err := range errs {
		words[i] = err.Error()
	}
	return errors.New(strings.Join(words, "; "))
}
