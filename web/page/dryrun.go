package page

import (
	"net/http"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/web"
)

// dryRunPage is the form of a dry run with what it answered.
type dryRunPage struct {
	Rooms                                []room
	Login                                string
	From, Terminal, With, Age            []choice
	Permits                              bool
	Asked                                bool
	Name, Section, State, Tone, Strength string
	Posts                                []string
	Place                                string
	Nobody                               string // why nobody would be signed in there; "" where somebody would
	Found                                []openingLine
	Opens                                int
	Noted                                bool // it stands on the trail that this was looked at
}

// What a supposed sign-in may have been made with, and how long ago.
var (
	dryWith = []struct {
		value   string
		methods []authn.Method
	}{
		{"code", []authn.Method{authn.Password, authn.OTP}}, {"password", []authn.Method{authn.Password}},
		{"passkey", []authn.Method{authn.HardwareKey}}, {"synced", []authn.Method{authn.SyncedKey}}, {"card", []authn.Method{authn.SmartCard}},
	}
	dryAges = []time.Duration{0, 10 * time.Minute, time.Hour, 4 * time.Hour}
)

const fromOutside = "outside"

// dryRun answers who may open what from where, and why not the rest. It is a
// GET: it changes nothing, and what is asked can be asked again.
func (h *house) dryRun(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	q := r.URL.Query()
	p := dryRunPage{Rooms: h.rooms(r, step, "applications"), Login: strings.TrimSpace(q.Get("login")), Permits: q.Get("permits") == "yes", Asked: q.Has("with")}
	t := h.trial(r, &p)
	terminals, err := h.People.TerminalChoices(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/dry-run")
	}
	p.Terminal = []choice{{"", h.tongue(r).say("dry.no_terminal"), t.Terminal == ""}}
	for _, one := range terminals {
		name := r.Say(one.Name)
		if name == "" {
			name = one.ID
		}
		p.Terminal = append(p.Terminal, choice{one.ID, name + h.tongue(r).say("me.dot") + h.terminalClass(r, one.Class), t.Terminal == one.ID})
	}
	said := refused{}
	// What is asked about somebody else is entered on the trail, so a link on
	// another site asks nothing: it shows the form, filled in.
	p.Asked = p.Asked && ownAsking(r)
	if p.Asked {
		tried, err := h.People.TryAccess(r.Context(), r.Origin, r.Cookie, t)
		switch {
		case err == nil:
			h.tried(r, &p, tried)
		case web.ProblemOf(err).Code == web.CodeNotFound:
			said = refused{http.StatusUnprocessableEntity, []Fault{{"login", h.tongue(r).say("dry.nobody")}}, nil}
		default:
			var ok bool
			if said, ok = h.inOffice(w, r, err); !ok {
				return h.turned(w, r, err, "/dry-run")
			}
		}
	}
	if len(said.Faults) > 0 {
		p.Asked = false
		return h.again(w, r, step, "dryrun", p, said)
	}
	v := h.view(r, step, p)
	v.Wide = true
	if p.Asked {
		q.Del("lang")
		v.Switch += "&" + q.Encode()
	}
	return h.show(w, r, http.StatusOK, "dryrun", v)
}

// ownAsking reports whether a form of ours was sent, or an address was typed, as
// far as the browser says (Sec-Fetch-Site).
func ownAsking(r *web.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return true
	}
	return false
}

// trial reads the form. What it does not know is as if it had not been said.
func (h *house) trial(r *web.Request, p *dryRunPage) people.Trial {
	g, q := h.tongue(r), r.URL.Query()
	t := people.Trial{Login: p.Login, Terminal: q.Get("terminal"), Permits: p.Permits, Zone: r.Origin.Zone, Outside: r.Origin.Outside}
	from := q.Get("from")
	for _, z := range r.Policy().Zones {
		if string(z.ID) == from {
			t.Zone, t.Outside = z.ID, false
		}
	}
	if from == fromOutside {
		t.Zone, t.Outside = "", true
	}
	for _, z := range r.Policy().Zones {
		p.From = append(p.From, choice{string(z.ID), zoneName(r, z.ID), t.Zone == z.ID && !t.Outside})
	}
	p.From = append(p.From, choice{fromOutside, g.say("place.outside"), t.Outside})
	t.Methods = dryWith[0].methods
	for _, one := range dryWith {
		if chosen := q.Get("with") == one.value; chosen {
			t.Methods = one.methods
		}
		p.With = append(p.With, choice{one.value, withSays(g, one.value), q.Get("with") == one.value})
	}
	for _, age := range dryAges {
		value, says := age.String(), g.say("dry.just_now")
		if age > 0 {
			says = g.say("dry.ago", "Time", g.lasting(age))
		}
		if q.Get("age") == value {
			t.Age = age
		}
		p.Age = append(p.Age, choice{value, says, q.Get("age") == value})
	}
	return t
}

func withSays(g *tongue, value string) string {
	switch value {
	case "password":
		return g.say("dry.with_password")
	case "code":
		return g.say("dry.with_code")
	case "passkey":
		return g.say("factor.passkey_bound")
	case "synced":
		return g.say("factor.passkey_synced")
	}
	return g.say("factor.card")
}

func (h *house) tried(r *web.Request, p *dryRunPage, t people.Tried) {
	g, f := h.tongue(r), t.Facts
	p.Name, p.Section, p.Posts = t.Person.Name, sectionName(r, t.Person.Section), postNames(r, t.Posts)
	if p.Name == "" {
		p.Name = t.Person.Login
	}
	p.Login = t.Person.Login
	state := h.state(r, t.State)
	p.State, p.Tone, p.Noted = state.Says, state.Tone, !t.Self
	p.Strength, _ = strength(g, f.ACR)
	p.Place = r.Say(authz.ZoneName(r.Policy(), f.From))
	if f.Outside || f.From == "" {
		p.Place = g.say("place.outside")
	}
	if !f.SignedIn {
		p.Nobody = g.say("dry.no_session")
	}
	for _, o := range t.Openings {
		line := h.opening(r, o)
		line.URL, line.Step = "", link{}
		if line.Until != "" {
			p.Opens++
		}
		p.Found = append(p.Found, line)
	}
}
