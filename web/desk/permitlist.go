package desk

import (
	"context"
	"strings"

	"sekisho/authn/signin"
	"sekisho/authz/permit"
)

// ListPermits lists, the newest first. Who sees nothing of others is shown their own.
func (d *Desk) ListPermits(ctx context.Context, o signin.Origin, cookie string, f PermitFilter) (PermitList, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return PermitList{}, err
	}
	limit := f.Limit
	if limit < 1 || limit > mostLines {
		limit = mostLines
	}
	if f.Which == WhichRenew {
		return d.toRenew(ctx, r, f.Kind, limit)
	}
	filter := d.filter(f)
	filter.After, filter.Limit = f.After, limit
	page, next, err := d.Permits.List(ctx, r.By, filter)
	if err != nil {
		return PermitList{}, err
	}
	out := PermitList{Next: next}
	for _, m := range page {
		one, err := d.permit(ctx, r, m, false)
		if err != nil {
			return PermitList{}, err
		}
		out.Permits = append(out.Permits, one)
	}
	if f.Which == WhichMine {
		own, err := d.ownPermits(ctx, r, f.Kind)
		if err != nil {
			return PermitList{}, err
		}
		shown := make([]*Permit, len(out.Permits))
		for i := range out.Permits {
			shown[i] = &out.Permits[i]
		}
		follow(r, own, shown)
		return out, nil
	}
	counts, err := d.Permits.Count(ctx, r.By, f.Kind)
	for _, n := range counts {
		out.Live, out.Soon, out.Unused = out.Live+n.Live, out.Soon+n.Soon, out.Unused+n.Unused
	}
	return out, err
}

// filter is what a page asks for, as the book knows it.
func (d *Desk) filter(f PermitFilter) permit.Filter {
	words := strings.Fields(f.Words)
	out := permit.Filter{Kind: f.Kind, Section: f.Section, Application: f.Application, Words: words[:min(len(words), mostWords)]}
	switch f.Which {
	case WhichLive:
		out.State = permit.Approved
	case WhichRenew:
		out.State, out.Mine = permit.Approved, true
	case WhichMine:
		out.Mine = true
	case WhichSoon:
		out.Soon = true
	case WhichUnused:
		out.State, out.Unused = permit.Approved, true
	case WhichPending:
		out.State = permit.Pending
	case WhichDue:
		out.Review = true
	case WhichOwed:
		out.Owed = true
	case WhichOver:
		out.Over = true
	}
	return out
}

// CountPermits counts by kind what somebody has to look at.
func (d *Desk) CountPermits(ctx context.Context, o signin.Origin, cookie string) (map[string]PermitCount, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	counts, err := d.Permits.Count(ctx, r.By, "")
	out := map[string]PermitCount{}
	for kind, n := range counts {
		out[kind] = PermitCount{n.Live, n.Pending, n.Due, n.Owed}
	}
	return out, err
}

// followed are the permits that others follow, by id, with those.
func followed(r reader, among []permit.Permit) map[string]string {
	out := map[string]string{}
	for _, next := range among {
		if next.Renews != "" && next.State(r.now).Open() {
			out[next.Renews] = next.ID
		}
	}
	return out
}

// follow finds for each permit the one that follows it, and lets nobody renew
// twice.
func follow(r reader, among []permit.Permit, shown []*Permit) {
	next := followed(r, among)
	for _, p := range shown {
		if id := next[p.ID]; id != "" {
			p.Renewed = id
			delete(p.May, PermitRenew)
		}
	}
}
