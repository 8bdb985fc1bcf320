package page

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/web"
)

type tokensPage struct {
	Rooms []room
	search
	Found     []tokenLine
	MayImport bool
}

type tokenLine struct {
	Serial, Maker                      string
	Kind                               string // how it makes its codes
	State                              tag
	Login, Name                        string // whose it is; "" for nobody's
	ImportedAt, AssignedAt, LastUsedAt time.Time
}

type tokenPage struct {
	Rooms []room
	tokenLine
	Acts []actLine
}

// tokens lists the inventory.
func (h *house) tokens(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	s, after := searching(r, "/tokens")
	may := authz.May(r.Policy(), authz.ImportTokens, r.Policy().PostsOf(step.Person.Groups), nil, false)
	p := tokensPage{Rooms: h.rooms(r, step, "tokens"), search: s, MayImport: may.OK()}
	found, next, err := h.People.Tokens(r.Context(), r.Origin, r.Cookie, s.Query, after, pageRows)
	if err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.again(w, r, step, "tokens", p, said)
		}
		return h.turned(w, r, err, "/tokens")
	}
	if next != "" {
		p.Next = s.at(next)
	}
	for _, t := range found {
		p.Found = append(p.Found, h.tokenLine(r, t))
	}
	return h.showList(w, r, step, s, "tokens", p)
}

func (h *house) tokenLine(r *web.Request, t totp.Token) tokenLine {
	g := h.tongue(r)
	line := tokenLine{
		Serial: t.Serial, Maker: t.Maker, Login: t.Login, Name: t.Name, State: tag{t.State, "bad"},
		Kind:       g.say("tokens.kind", "Digits", t.Digits, "Period", g.lasting(t.Period), "Algorithm", t.Algorithm),
		ImportedAt: t.ImportedAt, AssignedAt: t.AssignedAt, LastUsedAt: t.LastUsedAt,
	}
	switch t.State {
	case totp.StateStock:
		line.State = tag{g.say("tokens.stock"), "plain"}
	case totp.StateAssigned:
		line.State = tag{g.say("tokens.assigned"), ""}
	case totp.StateLost:
		line.State = tag{g.say("tokens.lost"), "bad"}
	}
	return line
}

// findToken is the token of a serial. The inventory is looked through by words,
// so other tokens may come along.
func (h *house) findToken(r *web.Request, serial string) (totp.Token, error) {
	for after := ""; ; {
		found, next, err := h.People.Tokens(r.Context(), r.Origin, r.Cookie, serial, after, pageRows)
		if err != nil {
			return totp.Token{}, err
		}
		for _, t := range found {
			if t.Serial == serial {
				return t, nil
			}
		}
		if next == "" || next == after {
			return totp.Token{}, people.ErrNotFound
		}
		after = next
	}
}

// token shows one token and what can be done with it.
func (h *house) token(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	t, err := h.findToken(r, r.PathValue("serial"))
	if err != nil {
		return h.turned(w, r, err, r.URL.EscapedPath())
	}
	p := tokenPage{Rooms: h.rooms(r, step, "tokens"), tokenLine: h.tokenLine(r, t)}
	for _, a := range []tokenAct{assigning, resyncing, unassigning, losingToken} {
		p.Acts = append(p.Acts, h.offerToken(r, step, t, a))
	}
	v := h.view(r, step, p)
	v.Wide = true
	v.Notice = h.officeDone(r)
	return h.show(w, r, http.StatusOK, "token", v)
}

// offerToken is an act as the token's page shows it. Whether its holder's posts
// stand against it is asked when it is done.
func (h *house) offerToken(r *web.Request, step signin.Step, t totp.Token, a tokenAct) actLine {
	says, may := a.says(h.tongue(r)), authz.May(r.Policy(), a.id, r.Policy().PostsOf(step.Person.Groups), nil, false)
	line := actLine{Path: tokenPath(t.Serial) + "/" + a.path, ID: a.path, Name: says.Name, Brief: says.Brief, Danger: a.danger}
	switch {
	case !may.OK():
		line.Why, line.Articles = r.Say(may.Says), may.Articles
	case !slices.Contains(a.in, t.State):
		line.Why = h.tongue(r).say("tokens.unfit", "State", h.tokenLine(r, t).State.Says)
	}
	return line
}

func tokenPath(serial string) string { return "/tokens/" + url.PathEscape(serial) }

// A tokenAct is one thing done to one token.
type tokenAct struct {
	id     authz.Act
	path   string
	danger bool
	login  bool // asks whose it will be
	codes  bool // asks for two codes
	in     []string
	done   string
	says   func(*tongue) actWords
	do     func(h *house, r *web.Request, serial string) error
}

var (
	assigning = tokenAct{authz.AssignToken, "assign", false, true, false, []string{totp.StateStock}, "assigned", func(g *tongue) actWords {
		return actWords{g.say("tokens.assign"), g.say("tokens.assign_brief"), g.say("tokens.assign_submit"), []string{
			g.say("tokens.assign_then_use"), g.say("tokens.assign_then_sessions"), g.say("tokens.assign_then_hand"), g.say("act.then_record")}}
	}, func(h *house, r *web.Request, serial string) error {
		return h.People.AssignToken(r.Context(), r.Origin, r.Cookie, serial, strings.TrimSpace(r.PostForm.Get("login")))
	}}
	unassigning = tokenAct{authz.AssignToken, "unassign", true, false, false, []string{totp.StateAssigned}, "unassigned", func(g *tongue) actWords {
		return actWords{g.say("tokens.unassign"), g.say("tokens.unassign_brief"), g.say("tokens.unassign_submit"), []string{
			g.say("tokens.unassign_then_gone"), g.say("tokens.unassign_then_stock"), g.say("act.then_record")}}
	}, func(h *house, r *web.Request, serial string) error {
		return h.People.UnassignToken(r.Context(), r.Origin, r.Cookie, serial)
	}}
	resyncing = tokenAct{authz.ResyncToken, "resync", false, false, true, []string{totp.StateAssigned}, "resynced", func(g *tongue) actWords {
		return actWords{g.say("tokens.resync"), g.say("tokens.resync_brief"), g.say("tokens.resync_submit"), []string{
			g.say("tokens.resync_then_match"), g.say("tokens.resync_then_spent")}}
	}, func(h *house, r *web.Request, serial string) error {
		return h.People.ResyncToken(r.Context(), r.Origin, r.Cookie, serial, digits(r.PostForm.Get("first")), digits(r.PostForm.Get("second")))
	}}
	losingToken = tokenAct{authz.LoseToken, "lost", true, false, false, []string{totp.StateStock, totp.StateAssigned}, "token_lost", func(g *tongue) actWords {
		return actWords{g.say("tokens.lose"), g.say("tokens.lose_brief"), g.say("tokens.lose_submit"), []string{
			g.say("tokens.lose_then_gone"), g.say("tokens.lose_then_sessions"), g.say("act.then_record")}}
	}, func(h *house, r *web.Request, serial string) error {
		return h.People.LoseToken(r.Context(), r.Origin, r.Cookie, serial)
	}}
)

// tokenActForm shows the page of an act, tokenAct does it.
func (h *house) tokenActForm(a tokenAct) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		p, err := h.tokenActPage(r, step, a)
		if err == nil {
			err = h.proven(r, step)
		}
		if err != nil {
			return h.turned(w, r, err, r.URL.EscapedPath())
		}
		return h.show(w, r, http.StatusOK, "tokenact", h.view(r, step, p))
	}
}

func (h *house) tokenActPage(r *web.Request, step signin.Step, a tokenAct) (actPage, error) {
	may := authz.May(r.Policy(), a.id, r.Policy().PostsOf(step.Person.Groups), nil, false)
	if !may.OK() {
		return actPage{}, &people.Denied{Permission: may}
	}
	t, err := h.findToken(r, r.PathValue("serial"))
	switch {
	case err != nil:
		return actPage{}, err
	case !slices.Contains(a.in, t.State):
		return actPage{}, totp.ErrTokenState
	}
	g, says := h.tongue(r), a.says(h.tongue(r))
	p := actPage{
		Rooms: h.rooms(r, step, "tokens"), Title: says.Name, Then: says.Then, Button: says.Button, Danger: a.danger,
		Subject: g.say("tokens.subject", "Serial", t.Serial), Articles: may.Articles,
		Action: r.URL.EscapedPath(), Back: tokenPath(t.Serial), AsksLogin: a.login, AsksCodes: a.codes,
	}
	if t.Login != "" {
		p.What = g.say("tokens.held_by", "Name", t.Name, "Login", t.Login)
	}
	return p, nil
}

func (h *house) tokenAct(a tokenAct) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		said := refused{Status: http.StatusUnprocessableEntity, Faults: h.tokenFaults(r, a)}
		if len(said.Faults) == 0 {
			err = a.do(h, r, r.PathValue("serial"))
			if err == nil {
				return redirect(w, r, tokenPath(r.PathValue("serial")), url.Values{"done": {a.done}})
			}
			var ok bool
			if said, ok = h.tokenRefused(w, r, a, err); !ok {
				return h.turned(w, r, err, r.URL.EscapedPath())
			}
		}
		p, err := h.tokenActPage(r, step, a)
		if err != nil {
			return h.turned(w, r, err, r.URL.EscapedPath())
		}
		p.Login = strings.TrimSpace(r.PostForm.Get("login"))
		return h.again(w, r, step, "tokenact", p, said)
	}
}

// tokenFaults says what is missing before the inventory is asked.
func (h *house) tokenFaults(r *web.Request, a tokenAct) []Fault {
	g := h.tongue(r)
	var faults []Fault
	if a.login && strings.TrimSpace(r.PostForm.Get("login")) == "" {
		faults = append(faults, Fault{"login", g.say("signin.need_login")})
	}
	if a.codes {
		first, second := digits(r.PostForm.Get("first")), digits(r.PostForm.Get("second"))
		if first == "" {
			faults = append(faults, Fault{"first", g.say("tokens.need_first")})
		}
		switch {
		case second == "":
			faults = append(faults, Fault{"second", g.say("tokens.need_second")})
		case first == second:
			faults = append(faults, Fault{"second", g.say("tokens.same_codes")})
		}
	}
	return faults
}

// tokenRefused makes what the inventory does not take into faults of the form.
func (h *house) tokenRefused(w http.ResponseWriter, r *web.Request, a tokenAct, err error) (refused, bool) {
	g, p := h.tongue(r), web.ProblemOf(err)
	// Who may hand out tokens and may not to this person can name another.
	var denied *people.Denied
	if a.login && errors.As(err, &denied) && denied.Permission.Reason != authz.NoPost && denied.Permission.Reason != authz.ReadsOnly {
		return refused{http.StatusForbidden, []Fault{{"login", r.Say(denied.Permission.Says)}}, denied.Permission.Articles}, true
	}
	switch {
	case a.login && errors.Is(err, people.ErrNotFound) && !errors.Is(err, totp.ErrNoToken):
		return refused{http.StatusUnprocessableEntity, []Fault{{"login", g.say("tokens.nobody")}}, nil}, true
	case a.codes && (errors.Is(err, totp.ErrWrong) || errors.Is(err, totp.ErrReplayed)):
		return refused{http.StatusUnprocessableEntity, []Fault{{"first", g.say("tokens.wrong_codes")}}, nil}, true
	}
	said, ok := h.inOffice(w, r, err)
	if p.Code == web.CodeHeld {
		said.Faults = []Fault{{"", g.say("tokens.held", "Wait", g.lasting(p.RetryAfter))}}
	}
	return said, ok
}
