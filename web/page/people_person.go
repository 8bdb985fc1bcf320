package page

import (
	"html/template"
	"net/http"
	"time"

	"sekisho/authn"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/web"
)

// A personPage answers, in this order: can this person sign in, and if not, why;
// what can be done; what they hold; what was done before.
type personPage struct {
	Rooms             []room
	Login, Name, Mail string
	Section, Company  string
	Kind              string
	Posts             []string
	Tags              []tag
	Troubles          []trouble
	LastUsed          template.HTML // "" for never
	EndsAt            time.Time     // of the account; zero: it has no end
	Recovery          time.Time     // until when a code is good; zero: none is open
	Password          passwordLine
	Attempts          []attemptLine
	Factors           []factorLine
	Drop              actLine // what removing a factor would be
	Sessions          []sessionLine
	Past              []pastLine
	Acts, Refused     []actLine // what can be done now, and what cannot
	Projects          []ownProject
	ToProjects        bool // the reader has a use for the pages of projects
}

// A trouble is one thing that stands between somebody and signing in, or soon
// will: what it is, and what ends it.
type trouble struct {
	Title, Tone  string
	Says         string
	Since, Until time.Time // zero Until of what was recorded: until it is lifted
	Recorded     bool
	Reason, By   string
	Act          *actLine // what ends it; nil where it is not the reader's to end
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

// A pastLine is something that an administrator did.
type pastLine struct {
	At         template.HTML
	Says, What string
	By, Reason string
}

// An actLine is an act as the page of its subject offers it, or says why not.
type actLine struct {
	Path, ID, Name string
	Brief          string // what follows from it
	Danger         bool
	Why            string // it is not offered, because of this; "" when it is
	Articles       []policy.Article
	Joint          string // it takes a second person, and this says so
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
	p.Rooms, p.ToProjects = h.rooms(r, step, "people"), h.projecting(r, step)
	if p.Projects, err = h.projectsOf(r, d.Person.ID); err != nil {
		return err
	}
	v := h.view(r, step, p)
	v.Wide = true
	v.Notice = h.officeDone(r)
	if v.Notice.URL != "" && !p.offers(v.Notice.URL) {
		v.Notice.URL = ""
	}
	return h.show(w, r, http.StatusOK, "person", v)
}

// offers reports whether an act can be done now.
func (p personPage) offers(path string) bool {
	for _, a := range p.Acts {
		if a.Path == path {
			return true
		}
	}
	return false
}

func (h *house) personPage(r *web.Request, d people.Detail) personPage {
	g, now, who := h.tongue(r), h.srv.Now(), d.Person
	p := personPage{
		Login: who.Login, Name: who.Name, Mail: who.Mail,
		Section: sectionName(r, who.Section), Company: who.Company, Kind: h.kind(r, who.Kind),
		Posts: postNames(r, d.Posts), Tags: []tag{h.state(r, d.State)},
		EndsAt: who.Account.ExpiresAt, Recovery: d.Recovery,
		Password: passwordLine{
			ChangedAt: who.Account.PasswordChangedAt, ExpiresAt: who.Account.PasswordExpiresAt, Temporary: who.Account.MustChange,
			Locked: who.Account.PasswordLocked, LockedUntil: who.Account.PasswordLockedUntil,
		},
	}
	if !who.Account.LastUsedAt.IsZero() {
		p.LastUsed = g.near(who.Account.LastUsedAt, now)
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
	for _, s := range own(d.Live) {
		p.Sessions = append(p.Sessions, sessionLine{
			Browser: browser(g, s.UserAgent), Zone: zoneName(r, s.Zone), From: s.From,
			Terminal: h.terminalName(r, s), Seen: g.near(s.SeenAt, now),
		})
	}
	for _, one := range d.Past {
		p.Past = append(p.Past, pastLine{g.near(one.At, now), pastAct(g, one.Action), one.What, one.By, one.Reason})
	}
	p.Drop = h.offer(r, d, dropping, "")
	for _, a := range []act{unlocking, restoring, endingLeave, givingPassword, givingCode, recordingLeave, suspending} {
		if line := h.offer(r, d, a, h.idle(r, d, a)); line.Why == "" {
			p.Acts = append(p.Acts, line)
		} else {
			p.Refused = append(p.Refused, line)
		}
	}
	h.troubles(r, d, &p)
	return p
}

// troubles says why somebody cannot sign in, the gravest first, or will meet
// something when they do.
func (h *house) troubles(r *web.Request, d people.Detail, p *personPage) {
	g, account := h.tongue(r), d.Person.Account
	ends := func(a act) *actLine {
		for _, line := range p.Acts {
			if line.ID == string(a.id) {
				return &line
			}
		}
		return nil
	}
	for _, c := range d.Closed {
		one := trouble{Title: h.state(r, string(c.Kind)).Says, Tone: h.state(r, string(c.Kind)).Tone, Recorded: true, Since: c.Since, Until: c.Until, Reason: c.Reason, By: c.By}
		switch c.Kind {
		case standing.Suspended:
			one.Says, one.Act = g.say("trouble.suspended"), ends(restoring)
		case standing.Dormant:
			one.Says, one.Act = g.say("trouble.dormant"), ends(restoring)
		case standing.OnLeave:
			one.Says, one.Act = g.say("trouble.on_leave"), ends(endingLeave)
		}
		p.Troubles = append(p.Troubles, one)
	}
	if l := d.Leave; l.Kind != "" && l.Since.After(h.srv.Now()) {
		p.Troubles = append(p.Troubles, trouble{
			Title: g.say("trouble.leave_to_come"), Says: g.say("trouble.leave_to_come_says"), Recorded: true, Since: l.Since, Until: l.Until, Reason: l.Reason, By: l.By, Act: ends(endingLeave),
		})
	}
	switch {
	case account.Disabled:
		p.Troubles = append(p.Troubles, trouble{Title: g.say("office.disabled"), Tone: "bad", Says: g.say("trouble.disabled")})
	case !account.Usable(h.srv.Now()):
		p.Troubles = append(p.Troubles, trouble{Title: g.say("office.expired"), Tone: "bad", Says: g.say("trouble.expired")})
	}
	held := account.PasswordLocked
	for _, a := range p.Attempts {
		switch {
		case a.Spent:
			p.Troubles = append(p.Troubles, trouble{Title: g.say("trouble.spent", "Kind", a.Kind), Tone: "bad", Says: g.say("trouble.spent_says"), Act: ends(unlocking)})
		case !a.HeldUntil.IsZero():
			held = true
		}
	}
	if held {
		p.Troubles = append(p.Troubles, trouble{Title: g.say("office.shut_out"), Tone: "warn", Says: g.say("trouble.shut_out"), Act: ends(unlocking)})
		p.Tags = append(p.Tags, h.state(r, people.ShutOut))
	}
	if d.State != people.Active {
		return
	}
	if account.MustChange {
		p.Troubles = append(p.Troubles, trouble{Title: g.say("office.temporary"), Says: g.say("trouble.temporary")})
	}
	switch {
	case !d.Recovery.IsZero():
		p.Troubles = append(p.Troubles, trouble{Title: g.say("person.recovery"), Says: g.say("trouble.recovery")})
	case len(d.Factors) == 0:
		p.Troubles = append(p.Troubles, trouble{Title: g.say("office.no_factor"), Says: g.say("trouble.no_factor")})
	}
}

// pastAct says what an administrator did.
func pastAct(g *tongue, action string) string {
	switch action {
	case "person.suspended":
		return g.say("past.suspended")
	case "person.restored":
		return g.say("past.restored")
	case "leave.recorded":
		return g.say("past.leave_recorded")
	case "leave.ended":
		return g.say("past.leave_ended")
	case "person.unlocked":
		return g.say("past.unlocked")
	case "password.temporary":
		return g.say("past.temporary")
	case "recovery.issued":
		return g.say("past.recovery")
	case "factor.removed":
		return g.say("past.factor_removed")
	case "token.assigned":
		return g.say("past.token_assigned")
	case "token.unassigned":
		return g.say("past.token_unassigned")
	case "token.resynced":
		return g.say("past.token_resynced")
	case "token.lost":
		return g.say("past.token_lost")
	case "application.session_ended":
		return g.say("past.inside_ended")
	}
	return action
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
	case a.id == authz.EndLeave && d.Leave.Kind == "":
		return g.say("person.not_on_leave")
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
	case may.Reason == authz.TwoPersons && idle == "":
		line.Joint, line.Articles = r.Say(may.Says), may.Articles
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
