package policy_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"sekisho/policy"
)

// TestServed holds a gateway to one zone, article 26no2-1.
func TestServed(t *testing.T) {
	const all = policy.DeviationSeveralZones
	var (
		both   = []policy.ZoneID{policy.MyNumber, policy.LGWAN}
		before = time.Date(2027, 3, 31, 14, 59, 59, 0, time.UTC) // 23:59:59 in Japan
		after  = before.Add(time.Second)
	)
	for _, tt := range []struct {
		name       string
		zones      []policy.ZoneID
		deviations []policy.Deviation
		named      []policy.ZoneID
		at         time.Time
		want       []policy.ZoneID
	}{
		{"one of one", both[1:], nil, nil, after, both[1:]},
		{"the one that is named", both, nil, both[1:], after, both[1:]},
		{"two without a deviation: the first named", both, nil, []policy.ZoneID{policy.LGWAN, policy.MyNumber}, after, both[1:]},
		{"two under a deviation", both, []policy.Deviation{{Rule: all, Decision: "CIO 1"}}, both, after, both},
		{"on its last day in Japan", both, []policy.Deviation{{Rule: all, Decision: "CIO 1", Until: "2027-03-31"}}, both, before, both},
		{"after its last day", both, []policy.Deviation{{Rule: all, Decision: "CIO 1", Until: "2027-03-31"}}, both, after, both[:1]},
		{"renewed: one ended, one in force", both, []policy.Deviation{{Rule: all, Decision: "CIO 1", Until: "2027-03-31"}, {Rule: all, Decision: "CIO 2"}}, both, after, both},
		{"a deviation without its decision", both, []policy.Deviation{{Rule: all}}, both, after, both[:1]},
		{"a deviation from another rule", both, []policy.Deviation{{Rule: policy.DeviationShortPasswords, Decision: "CIO 1"}}, both, after, both[:1]},
		{"a zone that left the policy", both[1:], []policy.Deviation{{Rule: all, Decision: "CIO 1"}}, both, after, both[1:]},
		{"none of those named is there", both[1:], nil, both[:1], after, nil},
		{"named twice is one", both, nil, []policy.ZoneID{policy.LGWAN, policy.LGWAN}, after, both[1:]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := policy.Standard()
			p.Zones, p.Deviations = nil, tt.deviations
			for _, id := range tt.zones {
				p.Zones = append(p.Zones, policy.Zone{ID: id})
			}
			got := p.Served(tt.named, tt.at)
			if !slices.Equal(got, tt.want) {
				t.Errorf("Served = %v, want %v", got, tt.want)
			}
		})
	}
}

// TestServingFindsNoOtherZone: the rest of the policy stays, so that a request
// from another zone's network is known for what it is and refused for it.
func TestServingFindsNoOtherZone(t *testing.T) {
	p := policy.Standard()
	p.Zones = []policy.Zone{{ID: policy.MyNumber}, {ID: policy.LGWAN}, {ID: policy.Internet}}
	p.Networks = []policy.Network{{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Zone: policy.MyNumber}}
	if p.Serving([]policy.ZoneID{policy.Internet, policy.LGWAN, policy.MyNumber}) != p {
		t.Error("all zones served is another policy")
	}
	n := p.Serving([]policy.ZoneID{policy.LGWAN})
	if _, ok := n.Zone(policy.MyNumber); ok {
		t.Error("a zone that is not served was found")
	}
	if z, outside := n.ZoneOf(netip.MustParseAddr("10.1.2.3")); z != policy.MyNumber || outside {
		t.Errorf("its network is %q, outside %v", z, outside)
	}
	if z, outside := n.ZoneOf(netip.MustParseAddr("192.0.2.1")); z != "" || !outside {
		t.Errorf("an unknown address is %q, outside %v: it must be nobody's", z, outside)
	}
	if len(p.Zones) != 3 {
		t.Error("the policy itself was changed")
	}
}
