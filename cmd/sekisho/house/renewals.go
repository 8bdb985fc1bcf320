package house

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// renewals are the ends of what others must renew in time.
type renewals struct {
	mu     sync.Mutex
	ends   map[string]time.Time // of certificates
	lists  map[string]time.Time // next updates of revocation lists, by authority
	faults int
	err    error
}

var (
	certificateEnd = prometheus.NewDesc("sekisho_certificate_expiry_timestamp_seconds", "When a certificate ends, by what it is for.", []string{"certificate"}, nil)
	listEnd        = prometheus.NewDesc("sekisho_card_revocation_list_expiry_timestamp_seconds", "When the revocation lists of a card authority cease to be of now and its cards are refused.", []string{"authority"}, nil)
	cardFaults     = prometheus.NewDesc("sekisho_card_faults", "What stands, or soon will stand, in the way of IC cards: the lines that config check has about them.", nil, nil)
)

// set takes what was found; the error is what is new about cards.
func (r *renewals) set(ends, lists map[string]time.Time, faults []error) error {
	err := joined(faults)
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.err
	r.ends, r.lists, r.faults, r.err = ends, lists, len(faults), err
	if err == nil || was != nil && was.Error() == err.Error() {
		return nil
	}
	return err
}

// Err is what stands in the way of cards.
func (r *renewals) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Describe lists what Collect tells.
func (r *renewals) Describe(to chan<- *prometheus.Desc) {
	to <- certificateEnd
	to <- listEnd
	to <- cardFaults
}

// Collect tells the ends.
func (r *renewals) Collect(to chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, all := range map[*prometheus.Desc]map[string]time.Time{certificateEnd: r.ends, listEnd: r.lists} {
		for name, at := range all {
			if !at.IsZero() {
				to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(at.Unix()), name)
			}
		}
	}
	to <- prometheus.MustNewConstMetric(cardFaults, prometheus.GaugeValue, float64(r.faults))
}
