package authz

import (
	"slices"
	"time"

	"sekisho/policy"
)

// Owes is the permit that the terminal of a remote access takes beside it, of the same
// person; "" where it takes none. A terminal on no register is not the prefecture's
// (article 38-4). One that is lent takes the CIO's word that it is (article 63-3), which
// the policy may have the remote access be.
func (m *Permit) Owes(p *policy.Policy) PermitKind {
	if m.Kind != RemoteAccess || m.Terminal == "" {
		return ""
	}
	class := m.Enrolled
	if t, declared := p.Terminal(m.Terminal); declared {
		class = t.Class
	}
	switch {
	case class == "":
		return PrivateTerminal
	case class == policy.TerminalLent && !p.Remote.LentByRemotePermit:
		return LentTerminal
	}
	return ""
}

// A way in from outside is the remote access that lets a request through for the longest,
// and its terminal's own permit, if it takes one. Without an end there is none; owes is
// then the permit without which the terminal of one that would fit is not used.
type way struct {
	until    time.Time
	id, with string
	owes     PermitKind
}

func remotely(p *policy.Policy, f *Facts) (best way) {
	for i := range f.Permits {
		m := &f.Permits[i]
		if m.Kind != RemoteAccess || m.Person != f.Person.ID || f.Application.ID != "" && !slices.Contains(m.Applications, f.Application.ID) {
			continue
		}
		until, live := m.live(f)
		if !live {
			continue
		}
		one := way{until: until, id: m.ID}
		if owes := m.Owes(p); owes != "" {
			end, with, ok := f.terminal(owes, m.Terminal)
			if !ok {
				if best.until.IsZero() {
					best.owes = owes
				}
				continue
			}
			if one.with = with; end.Before(until) {
				one.until = end
			}
		}
		if one.until.After(best.until) {
			best = one
		}
	}
	return best
}

// terminal finds the longest permit of a kind that the person has for a terminal.
func (f *Facts) terminal(kind PermitKind, name string) (until time.Time, id string, ok bool) {
	for i := range f.Permits {
		m := &f.Permits[i]
		if m.Kind != kind || m.Person != f.Person.ID || m.Terminal != name {
			continue
		}
		if end, live := m.live(f); live && end.After(until) {
			until, id, ok = end, m.ID, true
		}
	}
	return until, id, ok
}

// onto adds the permits of a way to a list.
func (w way) onto(ids []string) []string {
	if w.with == "" {
		return append(ids, w.id)
	}
	return append(ids, w.id, w.with)
}

// owing refuses a terminal whose own permit is missing.
func owing(kind PermitKind) Verdict {
	v := refuse(NoTerminal, with(every, "63-3", "63-4"), policy.Words{
		JA: "リモートアクセスの許可に書かれた端末機は貸与の端末機ですが、あなたへの「端末機の貸与」の許可が有効ではありません。",
		EN: "The terminal that your remote-access permit names is one that is lent, and no permit that lends it to you is in force.",
	})
	if kind == PrivateTerminal {
		v = refuse(NoTerminal, with(every, "38-4"), policy.Words{
			JA: "リモートアクセスの許可に書かれた端末機は、登録された端末機ではありません。使うには「私物の端末機の使用」の許可が必要ですが、有効なものがありません。",
			EN: "The terminal that your remote-access permit names is not an enrolled one. Using it takes the permit for a private terminal, and none of yours is in force.",
		})
	}
	v.Ask = kind
	return v
}

// unchecked sends somebody who has a permit, and whose session began inside, to sign
// in from where they are: the terminal was not looked at (articles 63-4, 63-6).
func unchecked(need policy.ACR) Verdict {
	v := refuse(Unchecked, with(every, "63-4", "63-6"), policy.Words{
		JA: "庁外からは、端末機の確認を含めて、もう一度サインインしてください。",
		EN: "From outside, please sign in once more; the terminal is confirmed then.",
	})
	v.StepUp, v.Fresh = need, time.Second
	return v
}

// concerned reports whether an application is meant for the person (articles
// 47-2, 47-3): one that names no posts, groups or sections is meant for all, and
// a 部局 stands for the 室課 below it.
// Who belongs there beside their own section belongs there until that ends: ends holds
// it, and nothing where it has none or none was needed.
func concerned(p *policy.Policy, app policy.Application, f Facts) (ends []time.Time, ok bool) {
	if len(app.Posts) > 0 && !slices.ContainsFunc(f.Posts, func(id policy.PostID) bool { return slices.Contains(app.Posts, id) }) {
		return nil, false
	}
	if !policy.InGroup(f.Person.Groups, app.Groups) {
		return nil, false
	}
	if p.InSection(f.Person.Section, app.Sections) {
		return nil, true
	}
	var last time.Time
	for _, beside := range f.Beside {
		switch {
		case !beside.Until.IsZero() && !f.Now.Before(beside.Until) || !p.InSection(beside.Section, app.Sections):
		case beside.Until.IsZero():
			return nil, true
		case beside.Until.After(last):
			last = beside.Until
		}
	}
	if last.IsZero() {
		return nil, false
	}
	return []time.Time{last}, true
}

func unreadable() Verdict {
	return refuse(Unreadable, every, policy.Words{
		JA: "このアドレスは、サーバーによって違う場所と読まれるおそれがあるため、開けません。",
		EN: "Servers may read this address in different ways, so it is not opened.",
	})
}

func refuse(why Reason, articles []policy.Article, says policy.Words) Verdict {
	return Verdict{Reason: why, Articles: articles, Says: says}
}
