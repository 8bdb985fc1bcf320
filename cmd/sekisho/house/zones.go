package house

import (
	"log/slog"
	"slices"
	"sync/atomic"

	"sekisho/policy"
	"sekisho/policy/charter"
	"sekisho/policy/clock"
)

// zones are those this gate serves, asked anew at each use. What the rooms get
// as the policy is the policy without the other zones: each of them asks
// policy.Zone, so none can forget the rule of one zone (article 26no2-1). Nor can
// one go on by a decision on passwords or failures that is over (article 80-1).
type zones struct {
	named   []policy.ZoneID
	charter *charter.Charter
	now     clock.Now
	log     *slog.Logger

	last atomic.Pointer[narrowed]
}

// narrowed is one version of the policy, narrowed. Readers compare versions by
// their pointer, so it is made once for each.
type narrowed struct {
	of     *policy.Policy
	zones  []policy.ZoneID
	lapsed []string // the rules whose deviations are over
	policy *policy.Policy
}

// rules are the rules in force, for this gate.
func (z *zones) rules() *policy.Policy {
	p := z.charter.Current()
	if p == nil {
		return nil
	}
	lapsed := p.Lapsed(z.now())
	if len(lapsed) == 0 && len(p.Zones) == 1 && (len(z.named) == 0 || len(z.named) == 1 && z.named[0] == p.Zones[0].ID) {
		return p // what a gate usually is
	}
	served, last := p.Served(z.named, z.now()), z.last.Load()
	same := func(n *narrowed) bool {
		return n != nil && n.of == p && slices.Equal(n.zones, served) && slices.Equal(n.lapsed, lapsed)
	}
	if same(last) {
		return last.policy
	}
	next := &narrowed{of: p, zones: served, lapsed: lapsed, policy: p.Serving(served).Keeping(lapsed)}
	if z.last.CompareAndSwap(last, next) && last != nil && !slices.Equal(last.zones, served) {
		z.log.Warn("the zones served have changed", "before", joinZones(last.zones), "now", joinZones(served))
	}
	if now := z.last.Load(); same(now) {
		return now.policy
	}
	return next.policy
}
