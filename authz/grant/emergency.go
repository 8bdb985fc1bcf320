package grant

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Emergency takes a privilege without approval (article 80-2): for the shortest
// time, told to everyone concerned in the transaction that begins it, with a
// report owed, and for the CIO to judge.
func (b *Book) Emergency(ctx context.Context, by By, w Wish) (Lease, *elevate.Account, error) {
	w.Emergency = true
	v, w, err := b.mayAsk(ctx, by, w)
	if err != nil {
		return Lease{}, nil, err
	}
	id := idOf(by.Person.ID, w.Key)
	if l, ok, err := b.again(ctx, b.DB, id, by, w); ok || err != nil {
		return l, nil, err
	}
	if err := b.Trail.MayBegin(); err != nil {
		return Lease{}, nil, err
	}
	concerned := b.concerned(ctx, v)
	var l Lease
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		theirs, err := b.tidyOf(ctx, tx, by.Person.ID)
		if err != nil {
			return err
		}
		now := b.Now().Truncate(time.Microsecond)
		if err := MayAsk(b.Policy(), v, by.Holder, theirs, true, now); err != nil {
			return err
		}
		if err := b.keeps(ctx, tx, v, by.Holder); err != nil {
			return err
		}
		for _, o := range theirs { // what was asked for gives way
			if s := o.State(now); o.Privilege == v.ID && (s == Pending || s == Approved) {
				if err := b.giveWay(ctx, tx, by, o, now); err != nil {
					return err
				}
			}
		}
		incident, times, err := incidentOf(ctx, tx, v.ID, now)
		if err != nil {
			return err
		}
		l = takeAtOnce(id, v, by.Holder, w, b.Version(), incident, times, now)
		l.Zone, l.wish, l.Session, l.Outlives = by.Zone, w.digest(), by.SessionID, v.OutlivesSession
		made, err := insert(ctx, tx, l, now)
		if err != nil || !made {
			return errors.Join(err, errors.New("a lease of this id appeared meanwhile"))
		}
		l.version = 1
		e := b.entry(l, by, "lease.emergency", w.Reason)
		e.Detail["minutes"], e.Detail["incident"], e.Detail["told"] = minutes(w.For), l.Incident, strconv.Itoa(len(concerned))
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return err
		}
		for _, to := range concerned {
			err := b.tell(ctx, tx, l, to, notice.LeaseEmergency, map[string]string{
				"by": by.Person.Name, "until": now.Add(w.For).Format(time.RFC3339), "reason": w.Reason, "times": strconv.Itoa(l.Times),
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Lease{}, nil, b.refuse(ctx, by, v.ID, err)
	}
	if err := b.Stop(PointAsked); err != nil {
		return Lease{}, nil, err
	}
	return b.activate(ctx, by, l, by.Holder, v, Ref{})
}

// giveWay cancels what somebody asked for, when they take the same without
// approval.
func (b *Book) giveWay(ctx context.Context, tx *store.Tx, by By, l Lease, now time.Time) error {
	out, err := l.cancel(l.By, "taken without approval", now)
	if err != nil {
		return err
	}
	if err := b.drop(ctx, tx, l, "taken without approval"); err != nil {
		return err
	}
	if err := b.put(ctx, tx, &out); err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, b.entry(out, by, "lease.cancelled", "taken without approval"))
}

// anIncident is how long after a use without approval another of the same
// privilege counts as the same incident, if the CIO has not judged it before.
const anIncident = 24 * time.Hour

// incidentOf finds the incident that a use without approval belongs to, and how
// many it makes.
func incidentOf(ctx context.Context, in store.Reader, privilege string, now time.Time) (incident string, times int, err error) {
	uses, err := list(ctx, in, `privilege = $1 AND incident <> '' AND asked_at > $2 ORDER BY asked_at DESC`, privilege, store.Micros(now.Add(-anIncident)))
	if err != nil {
		return "", 0, err
	}
	times = 1
	for _, l := range uses {
		if l.StartedAt.IsZero() { // it came to nothing
			continue
		}
		if incident == "" {
			if !l.Judgement.At.IsZero() {
				return "", 1, nil
			}
			incident = l.Incident
		}
		if l.Incident == incident {
			times++
		}
	}
	return incident, times, nil
}

// concerned are those who are told at once when somebody takes a privilege without
// approval. Who cannot be found at this moment cannot be told, and the entry on
// the trail says how many were.
func (b *Book) concerned(ctx context.Context, v policy.Privilege) []directory.PersonID {
	return b.holding(ctx, append(slices.Clone(v.Approvers.Posts), policy.CIO, policy.SecurityOfficer, policy.CSIRT))
}

// remember reads who is concerned by each privilege that may be taken without
// approval, so that they are told even while the directory is away.
func (b *Book) remember(ctx context.Context) {
	for _, v := range b.Policy().Privileges {
		if v.Emergency {
			b.concerned(ctx, v)
		}
	}
}

// approversOf are those who may confirm the record of a lease, by their posts.
func (b *Book) approversOf(ctx context.Context, l Lease) []directory.PersonID {
	v, _ := b.Policy().Privilege(l.Privilege)
	return b.holding(ctx, v.Approvers.Posts)
}

func (b *Book) holding(ctx context.Context, posts []policy.PostID) []directory.PersonID {
	p, now := b.Policy(), b.Now()
	var out []directory.PersonID
	for _, id := range posts {
		post, ok := p.Post(id)
		if !ok || post.Group == "" {
			continue
		}
		var ids []directory.PersonID
		if people, err := b.Holders.Holders(ctx, post.Group); err == nil {
			for _, person := range people {
				if person.MaySignIn(now) {
					ids = append(ids, person.ID)
				}
			}
			b.holders.Store(id, ids)
		} else if last, ok := b.holders.Load(id); ok {
			// While the directory is away, those who held the post when it was last
			// read: one told too many does no harm.
			ids = last.([]directory.PersonID)
		}
		for _, id := range ids {
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out
}
