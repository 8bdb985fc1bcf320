package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/web"
)

type terminalsPage struct {
	Lines   []terminalLine
	Form    machineForm
	Zones   []choice
	Classes []choice
}

type terminalLine struct {
	ID, Name, Class, Zone, Key, Who string
	Declared, Lost                  bool
	LostAt, SeenAt                  time.Time
}

// machineForm is what was typed to enrol one.
type machineForm struct{ ID, JA, EN, Class, Zone, Key string }

func (h *house) terminals(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.terminalsPage(r, machineForm{})
	if err != nil {
		return h.officeError(w, r, err, "/terminals")
	}
	v := h.view(r, step, p)
	v.Wide = true
	v.Notice = h.officeDone(r)
	return h.show(w, r, http.StatusOK, "terminals", v)
}

func (h *house) terminalsPage(r *web.Request, typed machineForm) (terminalsPage, error) {
	g := h.tongue(r)
	all, err := h.People.Terminals(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return terminalsPage{}, err
	}
	p := terminalsPage{Form: typed}
	for _, t := range all {
		p.Lines = append(p.Lines, h.terminalLine(r, t))
	}
	for _, z := range r.Policy().Zones {
		p.Zones = append(p.Zones, choice{string(z.ID), zoneName(r, z.ID)})
	}
	p.Classes = []choice{{policy.TerminalCounter, g.say("terminals.counter")}, {policy.TerminalLent, g.say("terminals.lent")}}
	return p, nil
}

func (h *house) terminalLine(r *web.Request, t people.TerminalSeen) terminalLine {
	g := h.tongue(r)
	line := terminalLine{
		ID: t.ID, Name: r.Say(t.Name), Zone: zoneName(r, t.Zone), Key: short(t.Key), Who: t.WhoName,
		Declared: t.Declared, Lost: !t.LostAt.IsZero(), LostAt: t.LostAt, SeenAt: t.SeenAt,
	}
	switch t.Class {
	case policy.TerminalDedicated:
		line.Class = g.say("terminals.dedicated")
	case policy.TerminalCounter:
		line.Class = g.say("terminals.counter")
	case policy.TerminalLent:
		line.Class = g.say("terminals.lent")
	}
	if line.Who == "" {
		line.Who = t.Who
	}
	return line
}

// short is the beginning of a fingerprint, enough to compare two by eye.
func short(fingerprint string) string {
	if len(fingerprint) > 16 {
		return fours(fingerprint[:16])
	}
	return fingerprint
}

func (h *house) enrolTerminal(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	get := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	typed := machineForm{get("id"), get("name_ja"), get("name_en"), get("class"), get("zone"), get("public_key")}
	err = h.People.EnrolTerminal(r.Context(), r.Origin, r.Cookie, terminal.Terminal{
		ID: typed.ID, Zone: policy.ZoneID(typed.Zone), Class: typed.Class, Name: policy.Words{JA: typed.JA, EN: typed.EN},
	}, typed.Key)
	if err == nil {
		return redirect(w, r, "/terminals", url.Values{"done": {"enrolled"}})
	}
	said, ok := h.formFaults(w, r, err)
	if !ok {
		return h.officeError(w, r, err, "/terminals")
	}
	p, failed := h.terminalsPage(r, typed)
	if failed != nil {
		return h.officeError(w, r, failed, "/terminals")
	}
	v := h.view(r, step, p)
	v.Wide = true
	v.Faults, v.Articles = said.Faults, said.Articles
	return h.show(w, r, said.Status, "terminals", v)
}

type machinePage struct {
	Line             terminalLine
	Title, Means, Do string
	Action           string
}

// machineForm asks before a terminal is marked as lost, or taken off the
// register.
func (h *house) machineForm(w http.ResponseWriter, r *web.Request) error {
	step, p, done, err := h.machine(w, r)
	if done || err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "machine", h.view(r, step, p))
}

func (h *house) machine(w http.ResponseWriter, r *web.Request) (step signin.Step, p machinePage, done bool, err error) {
	g := h.tongue(r)
	if step, done, err = h.at(w, r, authn.SignedIn); done || err != nil {
		return step, p, done, err
	}
	id, act := r.PathValue("id"), r.PathValue("act")
	all, err := h.People.Terminals(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return step, p, true, h.officeError(w, r, err, "/terminals")
	}
	at := slices.IndexFunc(all, func(t people.TerminalSeen) bool { return t.ID == id })
	if at < 0 {
		return step, p, false, people.ErrNotFound
	}
	p = machinePage{Line: h.terminalLine(r, all[at]), Action: "/terminals/" + url.PathEscape(id) + "/" + act}
	switch act {
	case "lost":
		p.Title, p.Means, p.Do = g.say("terminals.lose"), g.say("terminals.lose_means"), g.say("terminals.lose_do")
	case "remove":
		p.Title, p.Means, p.Do = g.say("terminals.remove"), g.say("terminals.remove_means"), g.say("terminals.remove_do")
	default:
		return step, p, false, web.ErrNoPage
	}
	return step, p, false, nil
}

func (h *house) machineAct(w http.ResponseWriter, r *web.Request) error {
	id := r.PathValue("id")
	var (
		err  error
		what string
	)
	switch r.PathValue("act") {
	case "lost":
		what, err = "lost", h.People.LoseTerminal(r.Context(), r.Origin, r.Cookie, id)
	case "remove":
		what, err = "removed", h.People.RemoveTerminal(r.Context(), r.Origin, r.Cookie, id)
	default:
		return web.ErrNoPage
	}
	if err != nil {
		return h.officeError(w, r, err, r.URL.Path)
	}
	return redirect(w, r, "/terminals", url.Values{"done": {what}})
}
