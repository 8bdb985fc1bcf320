// Package authz decides what a person may open, and what they may do to others.
//
// Decide and May are pure functions from facts to an answer, with the articles
// and the words that go with it. They read nothing, store nothing and do not
// know HTTP. Whoever calls them calls them at the time of use (design rule 2).
package authz

import (
	"slices"
	"time"

	"sekisho/authn"
	"sekisho/directory"
	"sekisho/policy"
)

// A Reason is why a verdict is what it is, for machines and auditors.
type Reason string

const (
	Allowed    Reason = "allowed"
	NoSession  Reason = "no_session"  // signing in would help
	TooWeak    Reason = "too_weak"    // signing in with more factors would help
	Synced     Reason = "synced_key"  // signed in by a passkey that is copied between devices
	Closed     Reason = "closed"      // the person may use nothing
	NotYours   Reason = "not_yours"   // posts or sections are not among those concerned
	Unknown    Reason = "unknown_app" // no such application
	NotStated  Reason = ""            // the zero value: refused
	WrongZones Reason = "wrong_zone"  // this gateway does not serve the application's zone
)

// Facts are what a decision goes by.
type Facts struct {
	SignedIn    bool
	Person      directory.Person
	Posts       []policy.PostID
	ACR         policy.ACR
	AMR         []string // how the person signed in, RFC 8176
	SessionEnds time.Time
	Application policy.Application // zero for none
	Now         time.Time
}

// A Verdict is what Decide answers. Its zero value denies, and only this
// package can set allowed, so a forgotten branch fails closed.
type Verdict struct {
	allowed  bool
	Reason   Reason
	Says     policy.Words     // for the person who was refused
	Articles []policy.Article // those the decision serves
	StepUp   policy.ACR       // assurance that would help, "" if none would
	Until    time.Time        // when the verdict must be asked for again
}

// Allowed reports whether the verdict lets the request through at now.
func (v Verdict) Allowed(now time.Time) bool { return v.allowed && now.Before(v.Until) }

// every is served by each decision (article 62).
var every = []policy.Article{"62-1", "62-2"}

// Decide says whether the facts allow the use of an application.
func Decide(p *policy.Policy, f Facts) Verdict {
	app := f.Application
	zone, served := p.Zone(app.Zone)
	switch {
	case app.ID == "":
		return refuse(Unknown, "", every, policy.Words{
			JA: "この宛先のシステムは登録されていません。情報システム管理者にお尋ねください。",
			EN: "No application is registered here. Please ask the system administrator.",
		})
	case !served:
		return refuse(WrongZones, "", []policy.Article{"26no2-1", "26no4-1"}, policy.Words{
			JA: "このシステムの領域は、この関所では扱っていません。",
			EN: "This gateway does not serve the application's zone.",
		})
	}
	need := p.RequiredACR(app)
	if !f.SignedIn {
		return refuse(NoSession, need, every, policy.Words{
			JA: "サインインしてください。", EN: "Please sign in.",
		})
	}
	if !f.Person.Account.Usable(f.Now) || f.Person.ID == "" {
		return refuse(Closed, "", every, policy.Words{
			JA: "このIDは現在利用できません。情報システム管理者にお尋ねください。",
			EN: "This ID cannot be used at present. Please ask the system administrator.",
		})
	}
	if !concerned(p, app, f) {
		return refuse(NotYours, "", append(slices.Clone(every), "47-2"), policy.Words{
			JA: "このシステムは、あなたの所属又は役割では利用できません。必要な場合は情報システム管理者に相談してください。",
			EN: "Your section or post does not include this application. If you need it, please ask the system administrator.",
		})
	}
	if !f.ACR.AtLeast(need) {
		articles := slices.Clone(every)
		if zone.ID == policy.MyNumber {
			articles = append(articles, "26no3-1")
		}
		return refuse(TooWeak, need, articles, policy.Words{
			JA: "このシステムには、より強い認証が必要です。もう一度サインインしてください。",
			EN: "This application needs a stronger sign-in. Please sign in again.",
		})
	}
	if zone.ID == policy.MyNumber && slices.Contains(f.AMR, string(authn.SyncedKey)) {
		return refuse(Synced, "", append(slices.Clone(every), "26no3-1"), policy.Words{
			JA: "同期されるパスキーでは、個人番号利用事務系のシステムを開けません。サインアウトして、端末に固定されたパスキー、カード又は確認コードでサインインし直してください。",
			EN: "A passkey that is copied between devices does not open the My Number zone. Sign out, then sign in with a passkey that stays on its device, a card, or a one-time code.",
		})
	}
	return Verdict{allowed: true, Reason: Allowed, Articles: every, Until: f.SessionEnds}
}

// concerned reports whether an application is meant for the person (articles
// 47-2, 47-3): one that names no posts or sections is meant for all, and a 部局
// stands for the 室課 below it.
func concerned(p *policy.Policy, app policy.Application, f Facts) bool {
	if len(app.Posts) > 0 && !slices.ContainsFunc(f.Posts, func(id policy.PostID) bool { return slices.Contains(app.Posts, id) }) {
		return false
	}
	return p.InSection(f.Person.Section, app.Sections)
}

func refuse(why Reason, stepUp policy.ACR, articles []policy.Article, says policy.Words) Verdict {
	return Verdict{Reason: why, StepUp: stepUp, Articles: articles, Says: says}
}
