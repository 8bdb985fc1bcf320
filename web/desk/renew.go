package desk

import (
	"context"

	"sekisho/authz/permit"
)

// mostOwn bounds how many of somebody's own permits are looked through for what follows
// what; whoever asks for a section has hundreds each year.
const mostOwn = 10_000

// ownPermits are all permits that are the reader's or that they asked for.
func (d *Desk) ownPermits(ctx context.Context, r reader, kind string) ([]permit.Permit, error) {
	var all []permit.Permit
	for after := ""; len(all) < mostOwn; {
		page, next, err := d.Permits.List(ctx, r.By, permit.Filter{Kind: kind, Mine: true, After: after, Limit: 1000})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if after = next; next == "" {
			break
		}
	}
	return all, nil
}

// toRenew are those of the reader's permits that they may renew now, so many at most,
// those asked for last first. What is renewed already is in force beside its renewal
// until its own end, and stands in nobody's way.
func (d *Desk) toRenew(ctx context.Context, r reader, kind string, limit int) (PermitList, error) {
	own, err := d.ownPermits(ctx, r, kind)
	if err != nil {
		return PermitList{}, err
	}
	var out PermitList
	next := followed(r, own)
	for _, m := range own {
		if m.State(r.now) != permit.Approved || next[m.ID] != "" {
			continue
		}
		one, err := d.permit(ctx, r, m, false)
		if err != nil {
			return PermitList{}, err
		}
		if !one.May[PermitRenew].OK {
			continue
		}
		if out.Permits = append(out.Permits, one); len(out.Permits) == limit {
			break
		}
	}
	return out, nil
}
