package authz

import (
	"slices"
	"time"

	"sekisho/policy"
)

// A Lease is privilege that a person holds in a session, as far as its room knows;
// whether it still gives anything at the moment of use is asked here.
type Lease struct {
	ID        string
	Privilege string
	Until     time.Time
	Emergency bool // taken without approval, article 80-2
	// Shut: the privileged session in which it is good is over, or its sign-in weaker
	// than the privilege asks for. It gives nothing here, and does again once its
	// borrower has signed in anew in this browser.
	Shut  bool
	Gives []policy.Gift
}

// Live reports whether it gives anything at a time.
func (l Lease) Live(now time.Time) bool { return l.ID != "" && !l.Shut && now.Before(l.Until) }

// Roles are what an application is told while it lives.
func (l Lease) Roles(application string) []string {
	var out []string
	for _, g := range l.Gives {
		if g.Kind == policy.GiftApplication && g.Application == application {
			out = append(out, g.Roles...)
		}
	}
	return out
}

// Concerns reports whether an application is told of the lease: it was lent for it, it
// asks for the privilege somewhere, or nobody approved it (article 80-2: that is
// marked everywhere). What else somebody has borrowed is none of its business
// (article 47-3).
func (l Lease) Concerns(app policy.Application) bool {
	return l.Emergency || app.RequiresPrivilege == l.Privilege && l.Privilege != "" ||
		slices.ContainsFunc(app.Paths, func(r policy.PathRule) bool { return r.RequiresPrivilege == l.Privilege && l.Privilege != "" }) ||
		slices.ContainsFunc(l.Gives, func(g policy.Gift) bool {
			return g.Kind == policy.GiftApplication && g.Application == app.ID
		})
}

// SameLeases reports whether two lists tell an application the same.
func SameLeases(a, b []Lease) bool {
	return slices.EqualFunc(a, b, func(x, y Lease) bool {
		return x.ID == y.ID && x.Until.Equal(y.Until) && x.Emergency == y.Emergency
	})
}

// shut reports whether a privilege is lent to the person in this session, and only
// their privileged session is over.
func shut(f Facts, privilege string) bool {
	return slices.ContainsFunc(f.Leases, func(l Lease) bool {
		return l.Privilege == privilege && l.Shut && l.ID != "" && f.Now.Before(l.Until)
	})
}

// borrowed asks for the privileges that a request needs (articles 62-6, 65). ends
// holds the ends of the leases that it goes by.
func borrowed(p *policy.Policy, f Facts) (ends []time.Time, refused Verdict, ok bool) {
	for _, id := range p.Borrowed(f.Application, f.URI) {
		var until time.Time
		for _, l := range f.Leases {
			if l.Privilege == id && l.Live(f.Now) && l.Until.After(until) {
				until = l.Until
			}
		}
		if until.IsZero() && shut(f, id) {
			v := refuse(Stale, with(every, "62-7", "65"), policy.Words{
				JA: "特権のセッションは、操作がないまま時間がたったため終わりました。もう一度サインインすると、特権の残りの時間を続けて使えます。",
				EN: "Your privileged session has ended because it was not used for a while. Sign in once more to use what is left of the privilege's time.",
			})
			lent, _ := p.Privilege(id)
			acr, fresh := lent.ACR, p.Session.ElevatedIdleEnd
			if acr == "" {
				acr = p.Session.ElevatedACR
			}
			if !f.ACR.AtLeast(acr) || acr == policy.PHR && slices.Contains(f.AMR, "swk") {
				v.Says = policy.Words{
					JA: "この特権を使うには、より強い方法でのサインインが必要です。借りるときに求められた方法で、もう一度サインインしてください。",
					EN: "This privilege takes a stronger sign-in than yours. Sign in once more, as it asked for when you borrowed it.",
				}
			}
			// Where the sign-in is that already, another would not help, and would send
			// the browser around for ever: a copied key, say.
			if !f.ACR.AtLeast(acr) || !f.Now.Before(f.AuthAt.Add(fresh)) {
				v.StepUp, v.Fresh = acr, fresh
			}
			return nil, v, false
		}
		if until.IsZero() {
			v := refuse(NoLease, with(every, "62-6", "62-7", "65"), policy.Words{
				JA: "ここを使うには、特権を借りる必要があります。「特権を借りる」の画面で申請し、承認を受けて開始してください。",
				EN: "This takes a privilege that is lent. Ask for it under “Borrow privilege”, have it approved, and start it.",
			})
			v.Borrow = id
			return nil, v, false
		}
		ends = append(ends, until)
	}
	return ends, Verdict{}, true
}
