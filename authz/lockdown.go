package authz

import (
	"slices"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// A Scope is what a lock-down stops.
type Scope string

// The scopes.
const (
	LockPerson      Scope = "person"
	LockSection     Scope = "section"
	LockApplication Scope = "application"
	LockZone        Scope = "zone"
	LockCompany     Scope = "company"
	LockTerminal    Scope = "terminal"
	LockRemote      Scope = "remote"
	LockAll         Scope = "all"
)

// Scopes are all of them, the narrowest first.
func Scopes() []Scope {
	return []Scope{LockPerson, LockTerminal, LockApplication, LockSection, LockCompany, LockRemote, LockZone, LockAll}
}

// Aimed reports whether a scope names something: whom, or what.
func (s Scope) Aimed() bool { return s != LockRemote && s != LockAll }

// A LockDown stops a part of everything under attack (articles 11-4, 54-3, 75-2).
type LockDown struct {
	ID     string
	Scope  Scope
	Target string             // login, section, application, zone, company or terminal; "" where the scope names nothing
	Person directory.PersonID // whose login Target is
	Reason string
	By     string // login

	OrderedAt time.Time
	EndsAt    time.Time
	// RatifyBy is when it ends unless the CIO has ratified it: it was ordered under
	// delegation. Zero for one that the CIO ordered.
	RatifyBy   time.Time
	RatifiedAt time.Time
	RatifiedBy string
	LiftedAt   time.Time
	LiftedBy   string
	LiftReason string
	Sealed     bool // lifted by a sealed key
}

// Until is when it ends by itself.
func (l *LockDown) Until() time.Time {
	if !l.RatifyBy.IsZero() && l.RatifiedAt.IsZero() && l.RatifyBy.Before(l.EndsAt) {
		return l.RatifyBy
	}
	return l.EndsAt
}

// Live reports whether it is in force at a time.
func (l *LockDown) Live(now time.Time) bool {
	return l.ID != "" && l.LiftedAt.IsZero() && now.Before(l.Until())
}

// A Subject is somebody who wants to come in, or is in: who, and from where.
type Subject struct {
	Person   directory.Person
	Posts    []policy.PostID
	From     policy.ZoneID // "" for no network of ours
	Outside  bool
	Terminal string // that spoke for itself; "" for none
}

// Spared reports whether a lock-down of many does not reach a person: the CIO, and
// the two key custodians, must be able to lift it. One that is aimed at that very
// person, or at the terminal before them, does.
func Spared(p *policy.Policy, s Subject) bool {
	if s.Person.ID == "" {
		return false
	}
	return slices.Contains(s.Posts, policy.CIO) || slices.ContainsFunc(p.LockDown.Custodians, func(login string) bool {
		return directory.Canonical(login) == directory.Canonical(s.Person.Login)
	})
}

// Hits reports whether a lock-down shuts a person out altogether. One of an
// application shuts nobody out: see Shuts. A scope that nobody has heard of hits
// everybody.
func (l *LockDown) Hits(p *policy.Policy, s Subject) bool {
	switch l.Scope {
	case LockPerson:
		return s.Person.ID != "" && s.Person.ID == l.Person
	case LockTerminal:
		return s.Terminal != "" && s.Terminal == l.Target
	case LockApplication:
		return false
	}
	reached := true
	switch l.Scope {
	case LockSection:
		reached = p.InSection(s.Person.Section, []string{l.Target})
	case LockCompany:
		reached = s.Person.Company != "" && sameCompany(s.Person.Company, l.Target)
	case LockZone:
		reached = string(s.From) == l.Target
	case LockRemote:
		reached = s.Outside || s.From == ""
	}
	return reached && !Spared(p, s)
}

func sameCompany(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

// Shuts reports whether a lock-down closes an application to a person. Of an
// application that was excepted beforehand only what is aimed at it, at the person
// or at the terminal does.
func (l *LockDown) Shuts(p *policy.Policy, app policy.Application, s Subject) bool {
	switch l.Scope {
	case LockApplication:
		return app.ID == l.Target
	case LockPerson, LockTerminal:
		return l.Hits(p, s)
	}
	if slices.Contains(p.LockDown.Applications, app.ID) {
		return false
	}
	if l.Scope == LockZone && string(app.Zone) == l.Target {
		return !Spared(p, s)
	}
	return l.Hits(p, s)
}

// ShutOut finds the first lock-down in force that shuts a person out.
func ShutOut(p *policy.Policy, orders []LockDown, s Subject, now time.Time) (LockDown, bool) {
	for _, l := range orders {
		if l.Live(now) && l.Hits(p, s) {
			return l, true
		}
	}
	return LockDown{}, false
}

// LockArticles are those that a refusal because of a lock-down rests on.
func LockArticles() []policy.Article { return []policy.Article{"62-1", "75-2"} }

// LockWords are for whoever is refused by a lock-down. They tell nobody why.
func LockWords() policy.Words {
	return policy.Words{
		JA: "緊急停止中のため、今は利用できません。庁内の連絡をお待ちください。急ぎの場合は、CSIRT又は情報システム管理者に電話で連絡してください。",
		EN: "A lock-down is in force, so this cannot be used now. Wait for word from your office; if it is urgent, call CSIRT or the system administrator.",
	}
}

// locked asks whether a lock-down closes what the facts ask for.
func locked(p *policy.Policy, f Facts) (Verdict, bool) {
	if len(f.LockDowns) == 0 {
		return Verdict{}, false
	}
	s := Subject{Person: f.Person, Posts: f.Posts, From: f.From, Outside: f.Outside, Terminal: f.Terminal}
	for i := range f.LockDowns {
		l := &f.LockDowns[i]
		if !l.Live(f.Now) || !l.Shuts(p, f.Application, s) {
			continue
		}
		// Who is not known yet may be one of the spared: they sign in first.
		if !f.SignedIn && l.Scope != LockApplication {
			continue
		}
		return refuse(LockedDown, with(every, "75-2"), LockWords()), true
	}
	return Verdict{}, false
}
