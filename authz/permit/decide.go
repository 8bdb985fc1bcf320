package permit

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// confirms are what a yes to a permit confirms. A link that comes from the Internet
// zone itself is a direct one: nothing but the exception is left (article 26no2-3(3)).
func (b *Book) confirms(m approval.Matter) []approval.Confirmation {
	k, ok := b.Policy().Permit(m.Detail["kind"])
	if !ok || len(k.Confirm) == 0 {
		return nil
	}
	permit, err := read(context.Background(), b.DB, m.Detail["permit"])
	if err != nil {
		return k.Confirm // what cannot be read asks for everything
	}
	app, _ := b.Policy().Application(permit.Stated.One("application"))
	from := policy.ZoneID(permit.Stated.One("from_zone"))
	asked := k.AskedOf(from, app.Zone)
	if from != policy.Internet {
		return asked
	}
	var out []approval.Confirmation
	for _, c := range asked {
		switch c.ID {
		case policy.ConfirmNoInternet:
		case policy.ConfirmPublicBody:
			c.Instead = ""
			out = append(out, c)
		default:
			out = append(out, c)
		}
	}
	return out
}

// Confirmations are what whoever says yes to a permit confirms.
func (b *Book) Confirmations(m Permit) []approval.Confirmation {
	return b.confirms(approval.Matter{Detail: map[string]string{"permit": m.ID, "kind": m.Kind}})
}

// Settle is what follows from a decision, in the transaction that gives it.
func (b *Book) Settle(ctx context.Context, tx *store.Tx, a approval.Matter, to approval.State) error {
	m, err := read(ctx, tx, a.Detail["permit"])
	if errors.Is(err, ErrNotFound) {
		return nil // nothing hangs on it
	}
	if err != nil {
		return err
	}
	if m.state != Pending || m.Matter != a.ID {
		return nil // it went on without the decision
	}
	now := b.Now().UTC().Truncate(time.Microsecond)
	k, known := b.Policy().Permit(m.Kind)
	named, _, err := b.standingOf(ctx, tx, k, m.Stated)
	if err != nil {
		return err
	}
	switch {
	case to == approval.Approved && known && now.Before(m.Until) && named != Lost:
		m.state, m.DecidedAt = Approved, now
	case to == approval.Denied:
		m.state = Denied
	case to == approval.Cancelled:
		m.state = Cancelled
	default:
		m.state = Lapsed // also where the policy knows the kind no more, or its terminal was lost
	}
	made, err := b.Matters.Decisions(ctx, tx, a.ID)
	if err != nil {
		return err
	}
	m.Deciders = deciders(made)
	e := b.entry(m, By{}, "permit."+string(m.state), "")
	e.Detail["matter"] = a.ID
	for _, d := range made {
		for _, c := range d.Confirmed {
			if d.Yes && !slices.Contains(m.Confirmed, c) {
				m.Confirmed = append(m.Confirmed, c)
			}
		}
	}
	if len(m.Confirmed) > 0 {
		e.Detail["confirmed"] = strings.Join(m.Confirmed, " ")
	}
	if err := b.put(ctx, tx, &m, k); err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, e)
}

// An Outcome is what a decision came to, of several that were made at once.
type Outcome struct {
	ID     string
	Permit Permit
	Err    error
}

// Decide says yes or no to one permit; see approval.Book.Decide.
func (b *Book) Decide(ctx context.Context, by By, id string, yes bool, comment string, confirmed []string) (Permit, error) {
	m, err := b.Get(ctx, by, id)
	if err != nil {
		return Permit{}, err
	}
	if _, err := b.Matters.DecideWith(ctx, by, m.Matter, yes, comment, confirmed); err != nil {
		return Permit{}, err
	}
	return read(context.WithoutCancel(ctx), b.DB, id) // it is decided, whoever waits still
}

// mostAtOnce bounds what is decided with one sign-in.
const mostAtOnce = 200

// DecideAll decides several with one fresh sign-in, each by itself: with a decision
// and an entry on the trail of its own. What refuses one lets the others go on. A sign-in
// that is too old refuses all; where it grows old between two, the first stay decided and
// the rest are answered with that.
func (b *Book) DecideAll(ctx context.Context, by By, ids []string, yes bool, comment string, confirmed []string) ([]Outcome, error) {
	if len(ids) == 0 || len(ids) > mostAtOnce {
		return nil, &Invalid{Faults: []Fault{{"ids", "number", policy.Words{
			JA: "1件から" + strconv.Itoa(mostAtOnce) + "件までを選んでください。", EN: "Choose 1 to " + strconv.Itoa(mostAtOnce) + "."}}}}
	}
	out := make([]Outcome, 0, len(ids))
	var stop error // why nothing more is decided
	for _, id := range unique(ids) {
		if stop != nil {
			out = append(out, Outcome{ID: id, Err: stop})
			continue
		}
		m, err := b.Decide(ctx, by, id, yes, comment, confirmed)
		var fresh *approval.StepUp
		if err != nil && (errors.As(err, &fresh) || errors.Is(err, session.ErrNone) || ctx.Err() != nil) {
			if stop = err; len(out) == 0 {
				return nil, err
			}
		}
		out = append(out, Outcome{id, m, err})
	}
	return out, nil
}
