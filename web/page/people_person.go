package page

import (
	"net/http"
	"time"

	"sekisho/authn"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/web"
)

type personPage struct {
	Rooms             []room
	Login, Name, Mail string
	Section, Company  string
	Kind              string
	Posts             []string
	State             tag
	Closed            []closedLine
	LastUsedAt        time.Time
	EndsAt            time.Time // of the account; zero: it has no end
	Sessions          int
	Recovery          time.Time // until when a code is good; zero: none is open
	Password          passwordLine
	Attempts          []attemptLine
	Factors           []factorLine
	Drop              actLine // what removing a factor would be
	Acts              []actLine
}

// A closedLine is one reason, recorded here, why somebody may use nothing.
type closedLine struct {
	State        tag
	Since, Until time.Time // zero Until: until it is lifted
	Reason, By   string
}

// A passwordLine is what the directory says of a password.
type passwordLine struct {
	ChangedAt, ExpiresAt time.Time
	Temporary            bool
	Locked               bool      // by the directory
	LockedUntil          time.Time // zero while locked: until it is cleared
}

// An attemptLine is what failures have done to one factor.
type attemptLine struct {
	Kind      string
	Failures  int
	HeldUntil time.Time // zero: not held now
	Spent     bool
}

// An actLine is an act as the page of its subject offers it, or says why not.
type actLine struct {
	Path, ID, Name string
	Brief          string // what follows from it
	Danger         bool
	Why            string // it is not offered, because of this; "" when it is
	Articles       []policy.Article
}

// person shows everything an administrator needs to help somebody, and what can
// be done.
func (h *house) person(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	d, err := h.People.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
	if err != nil {
		return h.turned(w, r, err, r.URL.EscapedPath())
	}
	p := h.personPage(r, d)
	p.Rooms = h.rooms(r, step, "people")
	v := h.view(r, step, p)
	v.Wide = true
	v.Notice = h.officeDone(r)
	return h.show(w, r, http.StatusOK, "person", v)
}

func (h *house) personPage(r *web.Request, d people.Detail) personPage {
	g, now, who := h.tongue(r), h.srv.Now(), d.Person
	p := personPage{
		Login: who.Login, Name: who.Name, Mail: who.Mail,
		Section: sectionName(r, who.Section), Company: who.Company, Kind: h.kind(r, who.Kind),
		Posts: postNames(r, d.Posts), State: h.state(r, d.State),
		LastUsedAt: who.Account.LastUsedAt, EndsAt: who.Account.ExpiresAt,
		Sessions: d.Sessions, Recovery: d.Recovery,
		Password: passwordLine{
			ChangedAt: who.Account.PasswordChangedAt, ExpiresAt: who.Account.PasswordExpiresAt, Temporary: who.Account.MustChange,
			Locked: who.Account.PasswordLocked, LockedUntil: who.Account.PasswordLockedUntil,
		},
	}
	for _, c := range d.Closed {
		p.Closed = append(p.Closed, closedLine{h.state(r, string(c.Kind)), c.Since, c.Until, c.Reason, c.By})
	}
	for _, a := range d.Attempts {
		line := attemptLine{Kind: g.say("person.codes"), Failures: a.Failures, Spent: a.Spent}
		if a.Kind == "password" {
			line.Kind = g.say("person.password")
		}
		if now.Before(a.HeldUntil) {
			line.HeldUntil = a.HeldUntil
		}
		p.Attempts = append(p.Attempts, line)
	}
	for _, f := range d.Factors {
		p.Factors = append(p.Factors, h.factorLine(r, f))
	}
	p.Drop = h.offer(r, d, dropping, "")
	for _, a := range []act{unlocking, givingPassword, givingCode, suspending, restoring} {
		p.Acts = append(p.Acts, h.offer(r, d, a, h.idle(r, d, a)))
	}
	return p
}

// idle says why an act would change nothing as things stand; "" if it would.
func (h *house) idle(r *web.Request, d people.Detail, a act) string {
	g, closed := h.tongue(r), map[standing.Kind]bool{}
	for _, c := range d.Closed {
		closed[c.Kind] = true
	}
	switch {
	case a.id == authz.Suspend && closed[standing.Suspended]:
		return g.say("person.suspended_already")
	case a.id == authz.Restore && !closed[standing.Suspended] && !closed[standing.Dormant]:
		return g.say("person.not_suspended")
	case a.id == authz.Unlock && !shutOut(d):
		return g.say("person.not_shut_out")
	case (a.id == authz.TemporaryPassword || a.id == authz.RecoveryCode) && d.State != people.Active:
		return g.say("person.unusable")
	}
	return ""
}

// shutOut reports whether failures stand between somebody and signing in.
func shutOut(d people.Detail) bool {
	for _, a := range d.Attempts {
		if a.Failures > 0 || a.Spent {
			return true
		}
	}
	return d.Person.Account.PasswordLocked
}

// offer is an act as the subject's page shows it. The policy's no comes before
// that of the moment: it will still stand tomorrow.
func (h *house) offer(r *web.Request, d people.Detail, a act, idle string) actLine {
	says, may := a.says(h.tongue(r)), d.May[a.id]
	line := actLine{Path: a.at(d.Person.Login), ID: string(a.id), Name: says.Name, Brief: says.Brief, Danger: a.danger}
	switch {
	case !may.OK():
		line.Why, line.Articles = r.Say(may.Says), may.Articles
		if line.Why == "" {
			line.Why = h.tongue(r).say("person.refused")
		}
	case idle != "":
		line.Why = idle
	}
	return line
}
