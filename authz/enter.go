package authz

import (
	"time"

	"sekisho/policy"
)

// Enter says whether the facts let somebody in at all: at a sign-in, at each use of
// the session that came of it, and where only that is the question (a VPN). They name
// no application; what the person may open is Decide's to say.
//
// From a network of a zone that is served here nothing more is asked. From outside it
// takes a remote-access permit that lives (article 63-1), from another zone a crossing
// permit that leads from it to an application here (articles 26no2-2, 26no4-1).
func Enter(p *policy.Policy, f Facts) Verdict {
	f.Application, f.URI = policy.Application{}, ""
	f.Outside = f.Outside || f.From == ""
	if !f.SignedIn || !f.Person.MaySignIn(f.Now) {
		return closed(f)
	}
	_, good, ok := tied(f.Ties, f.Now)
	if !ok {
		return projectOver()
	}
	allow := func(until time.Time, by ...string) Verdict {
		if until.IsZero() || f.SessionEnds.Before(until) {
			until = f.SessionEnds
		}
		if !good.IsZero() && good.Before(until) {
			until = good
		}
		return Verdict{allowed: true, Reason: Allowed, Articles: every, Until: until, Permits: by}
	}
	if f.Outside {
		if !f.ACR.AtLeast(policy.AAL2) {
			v := refuse(TooWeak, with(every, "63-2(2)"), policy.Words{
				JA: "庁外からのサインインには、二つの要素による認証が必要です。",
				EN: "From outside, signing in takes two factors.",
			})
			v.StepUp = policy.AAL2
			return v
		}
		way := remotely(p, &f)
		if way.owes != "" {
			return owing(way.owes)
		}
		if way.until.IsZero() {
			v := refuse(NoRemote, with(every, "63-1", "63-2(1)"), policy.Words{
				JA: "庁外から使うには、ＣＩＯの許可が必要です。この端末、場所及び時間で使える許可がありません。庁内で、リモートアクセスの許可を申請してください。",
				EN: "From outside it takes the CIO's permit, and there is none for this terminal, place and time. Ask for remote access from inside.",
			})
			v.Ask = RemoteAccess
			return v
		}
		return allow(way.until, way.onto(nil)...)
	}
	if _, served := p.Zone(f.From); served {
		return allow(time.Time{})
	}
	until, id, ok := permitted(&f, ZoneCrossing, func(m *Permit) bool { return m.From == f.From && leadsHere(p, m) })
	if !ok {
		v := refuse(NoCrossing, []policy.Article{"26no2-1", "26no4-1"}, policy.Words{
			JA: "お使いのネットワークの領域は、この関所では扱っていません。その領域の関所からサインインしてください。場所が分からないときは情報システム管理者にお尋ねください。",
			EN: "This gateway does not serve the zone of your network. Sign in at that zone's own gateway; the system administrator knows where it is.",
		})
		v.Ask = ZoneCrossing
		return v
	}
	return allow(until, id)
}

// leadsHere reports whether a crossing ends at an application that is served here, by
// a way that the matrix leaves open.
func leadsHere(p *policy.Policy, m *Permit) bool {
	for _, id := range m.Applications {
		app, ok := p.Application(id)
		if _, served := p.Zone(app.Zone); ok && served && p.ZoneMatrix.Between(m.From, app.Zone).Rule == policy.CrossingPermit {
			return true
		}
	}
	return false
}
