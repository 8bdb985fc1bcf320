package page

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/web"
)

type terminalsPage struct {
	Rooms                        []room
	Found                        []terminalLine
	MayEnrol, MayLose, MayRemove bool // by their posts
}

type terminalLine struct {
	ID, Name, Class, Zone string
	Key                   string // the beginning of its fingerprint; "" where it cannot speak for itself
	Declared              bool
	AddedAt               time.Time
	AddedBy               string
	LostAt, SeenAt        time.Time
	Who, WhoName          string // signed in there now
}

// A choice is one of several that a form offers.
type choice struct {
	Value, Says string
	Chosen      bool
}

// A terminalForm is what was typed about a new terminal.
type terminalForm struct{ ID, NameJA, NameEN, Class, Zone, Key string }

type enrolTerminalPage struct {
	Rooms          []room
	Zones, Classes []choice
	Form           terminalForm
}

// keyShown is how much of a fingerprint is shown: enough to tell two machines
// apart, and to compare with what the machine says over the telephone.
const keyShown = 16

// terminals shows the register.
func (h *house) terminals(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	found, err := h.People.Terminals(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/terminals")
	}
	may := func(act authz.Act) bool {
		return authz.May(r.Policy(), act, r.Policy().PostsOf(step.Person.Groups), nil, false).OK()
	}
	p := terminalsPage{
		Rooms: h.rooms(r, step, "terminals"), MayEnrol: may(authz.EnrolTerminal),
		MayLose: may(authz.LoseTerminal), MayRemove: may(authz.RemoveTerminal),
	}
	for _, t := range found {
		p.Found = append(p.Found, h.terminalLine(r, t))
	}
	v := h.view(r, step, p)
	v.Wide = true
	v.Notice = h.officeDone(r)
	return h.show(w, r, http.StatusOK, "terminals", v)
}

func (h *house) terminalLine(r *web.Request, t people.TerminalSeen) terminalLine {
	line := terminalLine{
		ID: t.ID, Name: r.Say(t.Name), Class: h.terminalClass(r, t.Class), Zone: zoneName(r, t.Zone), Key: t.Key,
		Declared: t.Declared, AddedAt: t.AddedAt, AddedBy: t.AddedBy, LostAt: t.LostAt, SeenAt: t.SeenAt,
		Who: t.Who, WhoName: t.WhoName,
	}
	if len(line.Key) > keyShown {
		line.Key = line.Key[:keyShown] + "…"
	}
	return line
}

func (h *house) terminalClass(r *web.Request, class string) string {
	g := h.tongue(r)
	switch class {
	case policy.TerminalDedicated:
		return g.say("terminals.dedicated")
	case policy.TerminalCounter:
		return g.say("terminals.counter")
	case policy.TerminalLent:
		return g.say("terminals.lent")
	}
	return class
}

func (h *house) enrolTerminalForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	may := authz.May(r.Policy(), authz.EnrolTerminal, r.Policy().PostsOf(step.Person.Groups), nil, false)
	if !may.OK() {
		return &people.Denied{Permission: may}
	}
	if err := h.proven(r, step); err != nil {
		return h.turned(w, r, err, "/terminals/enrol")
	}
	return h.show(w, r, http.StatusOK, "terminalenrol", h.view(r, step, h.enrolTerminalPage(r, step, terminalForm{})))
}

func (h *house) enrolTerminalPage(r *web.Request, step signin.Step, typed terminalForm) enrolTerminalPage {
	p := enrolTerminalPage{Rooms: h.rooms(r, step, "terminals"), Form: typed}
	for _, z := range r.Policy().Zones {
		p.Zones = append(p.Zones, choice{string(z.ID), zoneName(r, z.ID), string(z.ID) == typed.Zone})
	}
	// A dedicated terminal comes with the policy: it can stand in for a factor
	// (article 26no3-1), which two persons decide.
	for _, c := range []string{policy.TerminalCounter, policy.TerminalLent} {
		p.Classes = append(p.Classes, choice{c, h.terminalClass(r, c), c == typed.Class})
	}
	return p
}

func (h *house) enrolTerminal(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	form := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	typed := terminalForm{form("id"), form("name"), form("name_en"), form("class"), form("zone"), form("public_key")}
	said := refused{Status: http.StatusUnprocessableEntity, Faults: h.terminalFaults(r, typed)}
	if len(said.Faults) == 0 {
		err = h.People.EnrolTerminal(r.Context(), r.Origin, r.Cookie, terminal.Terminal{
			ID: typed.ID, Zone: policy.ZoneID(typed.Zone), Class: typed.Class,
			Name: policy.Words{JA: typed.NameJA, EN: typed.NameEN},
		}, typed.Key)
		if err == nil {
			return redirect(w, r, "/terminals", url.Values{"done": {"terminal_enrolled"}})
		}
		var ok bool
		if said, ok = h.inOffice(w, r, err); !ok {
			return h.turned(w, r, err, "/terminals/enrol")
		}
	}
	if strings.Contains(typed.Key, "PRIVATE") {
		typed.Key = "" // what was pasted by mistake does not go over the wire again
	}
	return h.again(w, r, step, "terminalenrol", h.enrolTerminalPage(r, step, typed), said)
}

// terminalFaults says everything that is missing at once; the register names
// one thing at a time.
func (h *house) terminalFaults(r *web.Request, t terminalForm) []Fault {
	g := h.tongue(r)
	var faults []Fault
	if t.ID == "" {
		faults = append(faults, Fault{"id", g.say("terminals.need_id")})
	}
	if t.NameJA == "" {
		faults = append(faults, Fault{"name", g.say("terminals.need_name")})
	}
	if t.Class == "" {
		faults = append(faults, Fault{"class", g.say("terminals.need_class")})
	}
	if t.Zone == "" {
		faults = append(faults, Fault{"zone", g.say("terminals.need_zone")})
	}
	return faults
}

// A terminalAct is one thing done to one terminal.
type terminalAct struct {
	id   authz.Act
	fits func(people.TerminalSeen) bool
	done string
	says func(*tongue) actWords
	do   func(h *house, r *web.Request, id string) error
}

var (
	losingTerminal = terminalAct{authz.LoseTerminal, func(t people.TerminalSeen) bool { return t.LostAt.IsZero() }, "terminal_lost",
		func(g *tongue) actWords {
			return actWords{g.say("terminals.lose"), "", g.say("terminals.lose_submit"), []string{
				g.say("terminals.lose_then_key"), g.say("terminals.lose_then_sessions"), g.say("terminals.lose_then_back"), g.say("act.then_record")}}
		}, func(h *house, r *web.Request, id string) error {
			return h.People.LoseTerminal(r.Context(), r.Origin, r.Cookie, id)
		}}
	removingTerminal = terminalAct{authz.RemoveTerminal, func(t people.TerminalSeen) bool { return !t.Declared }, "terminal_removed",
		func(g *tongue) actWords {
			return actWords{g.say("terminals.remove"), "", g.say("terminals.remove_submit"), []string{
				g.say("terminals.remove_then_gone"), g.say("terminals.remove_then_sessions"), g.say("act.then_record")}}
		}, func(h *house, r *web.Request, id string) error {
			return h.People.RemoveTerminal(r.Context(), r.Origin, r.Cookie, id)
		}}
)

// terminalActForm shows the page of an act, terminalAct does it.
func (h *house) terminalActForm(a terminalAct) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		p, err := h.terminalActPage(r, step, a)
		if err == nil {
			err = h.proven(r, step)
		}
		if err != nil {
			return h.turned(w, r, err, r.URL.EscapedPath())
		}
		return h.show(w, r, http.StatusOK, "machine", h.view(r, step, p))
	}
}

func (h *house) terminalActPage(r *web.Request, step signin.Step, a terminalAct) (actPage, error) {
	may := authz.May(r.Policy(), a.id, r.Policy().PostsOf(step.Person.Groups), nil, false)
	if !may.OK() {
		return actPage{}, &people.Denied{Permission: may}
	}
	found, err := h.People.Terminals(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return actPage{}, err
	}
	for _, t := range found {
		if t.ID != r.PathValue("id") {
			continue
		}
		if !a.fits(t) {
			return actPage{}, people.ErrState
		}
		g, says, line := h.tongue(r), a.says(h.tongue(r)), h.terminalLine(r, t)
		return actPage{
			Rooms: h.rooms(r, step, "terminals"), Title: says.Name, Then: says.Then, Button: says.Button, Danger: true,
			Subject: g.say("terminals.subject", "Name", line.Name, "ID", line.ID, "Class", line.Class), Articles: may.Articles,
			Action: r.URL.EscapedPath(), Back: "/terminals",
		}, nil
	}
	return actPage{}, people.ErrNotFound
}

func (h *house) terminalAct(a terminalAct) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		if err = a.do(h, r, r.PathValue("id")); err == nil {
			return redirect(w, r, "/terminals", url.Values{"done": {a.done}})
		}
		if said, ok := h.inOffice(w, r, err); ok {
			p, found := h.terminalActPage(r, step, a)
			if found != nil {
				return h.turned(w, r, found, r.URL.EscapedPath())
			}
			return h.again(w, r, step, "machine", p, said)
		}
		return h.turned(w, r, err, r.URL.EscapedPath())
	}
}
