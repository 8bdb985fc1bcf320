package policy

import (
	"slices"
	"time"
)

// Served are the zones that a gateway serves which names these; one that names
// none means all of the policy's. Article 26no2-1 keeps a gateway to one zone:
// without a deviation in force it is the first of them. It is asked at each
// use, so that a deviation that ends, or a zone that leaves the policy, narrows
// at once.
func (p *Policy) Served(named []ZoneID, now time.Time) []ZoneID {
	var served []ZoneID
	if len(named) == 0 {
		for _, z := range p.Zones {
			served = append(served, z.ID)
		}
	}
	for _, id := range named {
		if _, ok := p.Zone(id); ok && !slices.Contains(served, id) {
			served = append(served, id)
		}
	}
	if len(served) > 1 && !p.DeviatesAt(DeviationSeveralZones, now) {
		return served[:1]
	}
	return served
}

// DeviatesAt reports whether a deviation from a rule is in force and names its
// decision (article 80-1).
func (p *Policy) DeviatesAt(rule string, now time.Time) bool {
	return slices.ContainsFunc(p.Deviations, func(d Deviation) bool {
		return d.Rule == rule && d.Decision != "" && d.InForce(now)
	})
}

// Serving is p as a gateway obeys it that serves these zones and no other: Zone
// does not find the rest, so their applications are nobody's here and nobody
// signs in from their networks. It is p itself where that is all of them.
func (p *Policy) Serving(zones []ZoneID) *Policy {
	kept := make([]Zone, 0, len(p.Zones))
	for _, z := range p.Zones {
		if slices.Contains(zones, z.ID) {
			kept = append(kept, z)
		}
	}
	if len(kept) == len(p.Zones) {
		return p
	}
	narrowed := *p
	narrowed.Zones = kept
	return &narrowed
}
