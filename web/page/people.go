package page

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

// People is what administrators see of others and do to them. Who may is asked
// there at every call; a page that shows a button grants nothing by it.
type People interface {
	Find(ctx context.Context, o signin.Origin, cookie, query, after string, limit int) (found []people.Listed, next string, err error)
	Show(ctx context.Context, o signin.Origin, cookie, login string) (people.Detail, error)
	Suspend(ctx context.Context, o signin.Origin, cookie, login, reason string, until time.Time) error
	Restore(ctx context.Context, o signin.Origin, cookie, login, reason string) error
	Unlock(ctx context.Context, o signin.Origin, cookie, login string) error
	TemporaryPassword(ctx context.Context, o signin.Origin, cookie, login string) (people.Slip, error)
	RecoveryCode(ctx context.Context, o signin.Origin, cookie, login string) (people.Slip, error)
	RemoveFactor(ctx context.Context, o signin.Origin, cookie, login, factorID string) error
	Terminals(ctx context.Context, o signin.Origin, cookie string) ([]people.TerminalSeen, error)
	EnrolTerminal(ctx context.Context, o signin.Origin, cookie string, t terminal.Terminal, publicKeyPEM string) error
	LoseTerminal(ctx context.Context, o signin.Origin, cookie, id string) error
	RemoveTerminal(ctx context.Context, o signin.Origin, cookie, id string) error
	Tokens(ctx context.Context, o signin.Origin, cookie, query, after string, limit int) (found []totp.Token, next string, err error)
	ImportTokens(ctx context.Context, o signin.Origin, cookie, format string, data []byte, key secret.Text) (totp.Imported, error)
	AssignToken(ctx context.Context, o signin.Origin, cookie, serial, login string) error
	UnassignToken(ctx context.Context, o signin.Origin, cookie, serial string) error
	ResyncToken(ctx context.Context, o signin.Origin, cookie, serial, first, second string) error
	LoseToken(ctx context.Context, o signin.Origin, cookie, serial string) error
}

// mountOffice puts the administrators' pages on the server.
func (h *house) mountOffice() {
	m := h.srv.Mount
	m("GET /people", h.people)
	m("GET /people/{login}", h.person)
	m("GET /people/{login}/suspend", h.actForm(suspending))
	m("POST /people/{login}/suspend", h.suspend)
	m("GET /people/{login}/restore", h.actForm(restoring))
	m("POST /people/{login}/restore", h.restore)
	m("GET /people/{login}/unlock", h.actForm(unlocking))
	m("POST /people/{login}/unlock", h.unlock)
	m("GET /people/{login}/temporary-password", h.actForm(givingPassword))
	m("POST /people/{login}/temporary-password", h.givePassword)
	m("GET /people/{login}/recovery-code", h.actForm(givingCode))
	m("POST /people/{login}/recovery-code", h.giveCode)
	m("GET /people/{login}/factors/{id}/remove", h.actForm(dropping))
	m("POST /people/{login}/factors/{id}/remove", h.drop)

	m("GET /terminals", h.terminals)
	m("GET /terminals/enrol", h.enrolTerminalForm)
	m("POST /terminals/enrol", h.enrolTerminal)
	m("GET /terminals/{id}/lost", h.terminalActForm(losingTerminal))
	m("POST /terminals/{id}/lost", h.terminalAct(losingTerminal))
	m("GET /terminals/{id}/remove", h.terminalActForm(removingTerminal))
	m("POST /terminals/{id}/remove", h.terminalAct(removingTerminal))

	m("GET /tokens", h.tokens)
	m("GET /tokens/import", h.importForm)
	m("POST /tokens/import", h.importTokens)
	m("GET /tokens/{serial}", h.token)
	m("GET /tokens/{serial}/assign", h.tokenActForm(assigning))
	m("POST /tokens/{serial}/assign", h.tokenAct(assigning))
	m("GET /tokens/{serial}/unassign", h.tokenActForm(unassigning))
	m("POST /tokens/{serial}/unassign", h.tokenAct(unassigning))
	m("GET /tokens/{serial}/resync", h.tokenActForm(resyncing))
	m("POST /tokens/{serial}/resync", h.tokenAct(resyncing))
	m("GET /tokens/{serial}/lost", h.tokenActForm(losingToken))
	m("POST /tokens/{serial}/lost", h.tokenAct(losingToken))
}

// pageRows is how many rows a list shows at once.
const pageRows = 50

// A room is one part of the office, as its pages link to each other.
type room struct {
	Path, Name string
	Here       bool
}

// rooms are those that the reader may look into.
func (h *house) rooms(r *web.Request, step signin.Step, here string) []room {
	g, posts := h.tongue(r), r.Policy().PostsOf(step.Person.Groups)
	var open []room
	for _, one := range []struct {
		act        authz.Act
		name, says string
	}{
		{authz.ViewPeople, "people", g.say("people.title")},
		{authz.ViewTerminals, "terminals", g.say("terminals.title")},
		{authz.ViewTokens, "tokens", g.say("tokens.title")},
	} {
		if authz.May(r.Policy(), one.act, posts, nil, false).OK() {
			open = append(open, room{"/" + one.name, one.says, one.name == here})
		}
	}
	return open
}

// A search is a list that is looked through by words and by pages.
type search struct {
	Path, Query string
	Next, First string // addresses of other pages; "" for none
}

// searching reads a search from the address.
func searching(r *web.Request, path string) (s search, after string) {
	q := r.URL.Query()
	s = search{Path: path, Query: strings.TrimSpace(q.Get("q"))}
	if after = q.Get("after"); after != "" {
		s.First = s.at("")
	}
	return s, after
}

// at is the address of the page of the list that begins after a row.
func (s search) at(after string) string {
	q := url.Values{}
	if s.Query != "" {
		q.Set("q", s.Query)
	}
	if after != "" {
		q.Set("after", after)
	}
	if len(q) == 0 {
		return s.Path
	}
	return s.Path + "?" + q.Encode()
}

// showList shows a list. In the other language it is the same search.
func (h *house) showList(w http.ResponseWriter, r *web.Request, step signin.Step, s search, name string, page any) error {
	v := h.view(r, step, page)
	v.Wide, v.Notice = true, h.officeDone(r)
	if s.Query != "" {
		v.Switch += "&" + url.Values{"q": {s.Query}}.Encode()
	}
	return h.show(w, r, http.StatusOK, name, v)
}

type peoplePage struct {
	Rooms []room
	search
	Found []personLine
}

type personLine struct {
	Login, Name, Section, Kind string
	State                      tag
	Posts                      []string
}

// A tag is a state in a word. Tone makes some look different ("bad", "warn"),
// but the word alone says it all.
type tag struct{ Says, Tone string }

// people finds people and lists them.
func (h *house) people(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	s, after := searching(r, "/people")
	p := peoplePage{Rooms: h.rooms(r, step, "people"), search: s}
	found, next, err := h.People.Find(r.Context(), r.Origin, r.Cookie, s.Query, after, pageRows)
	if err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.again(w, r, step, "people", p, said)
		}
		return h.turned(w, r, err, "/people")
	}
	if next != "" {
		p.Next = s.at(next)
	}
	for _, one := range found {
		p.Found = append(p.Found, personLine{
			Login: one.Login, Name: one.Name, Section: sectionName(r, one.Section), Kind: h.kind(r, one.Kind),
			State: h.state(r, one.State), Posts: postNames(r, one.Posts),
		})
	}
	return h.showList(w, r, step, s, "people", p)
}

// proven asks, before anything is typed or decided, for the proof that an act
// will need: the service asks again, and on the way to a stronger sign-in what
// was typed would be lost.
func (h *house) proven(r *web.Request, step signin.Step) error {
	rules := r.Policy().Session
	need := &account.StepUp{Required: rules.ElevatedACR, MaxAge: min(r.Policy().SignIn.FreshFor, rules.ElevatedIdleEnd)}
	if n := step.Session; n == nil || !n.ACR.AtLeast(need.Required) || h.srv.Now().Sub(n.AuthAt) > need.MaxAge {
		return need
	}
	return nil
}

// inOffice is inPlace, and says besides how the state of things stands against
// an act: whoever meets it here can go and see.
func (h *house) inOffice(w http.ResponseWriter, r *web.Request, err error) (refused, bool) {
	if p := web.ProblemOf(err); p.Code == web.CodeState {
		return refused{p.Status, []Fault{{"", r.Say(p.Detail)}}, p.Articles}, true
	}
	return h.inPlace(w, r, err, Fault{})
}

// turned answers an error of the administrators' service that belongs on
// another page: a stronger sign-in leads back here.
func (h *house) turned(w http.ResponseWriter, r *web.Request, err error, back string) error {
	if done, failed := h.elsewhere(w, r, err, back); done {
		return failed
	}
	return err
}

func postNames(r *web.Request, posts []policy.PostID) []string {
	var names []string
	for _, id := range posts {
		name := string(id)
		if post, ok := r.Policy().Post(id); ok && !post.Name.IsEmpty() {
			name = r.Say(post.Name)
		}
		names = append(names, name)
	}
	return names
}

// kind says what sort of ID somebody's is.
func (h *house) kind(r *web.Request, k directory.Kind) string {
	g := h.tongue(r)
	switch k {
	case directory.KindStaff:
		return g.say("office.kind_staff")
	case directory.KindContractor:
		return g.say("office.kind_contractor")
	case directory.KindService:
		return g.say("office.kind_service")
	case directory.KindShared:
		return g.say("office.kind_shared")
	}
	return string(k)
}

// state says whether somebody may use anything, and why not.
func (h *house) state(r *web.Request, state string) tag {
	g := h.tongue(r)
	switch state {
	case people.Active:
		return tag{Says: g.say("office.active")}
	case people.Disabled:
		return tag{g.say("office.disabled"), "bad"}
	case people.Expired:
		return tag{g.say("office.expired"), "bad"}
	case people.Suspended:
		return tag{g.say("office.suspended"), "bad"}
	case people.Dormant:
		return tag{g.say("office.dormant"), "warn"}
	case people.OnLeave:
		return tag{g.say("office.on_leave"), "warn"}
	}
	return tag{state, "bad"}
}

// number is a count from an address, where anybody may have written something
// else.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// officeDone says what the redirect that led here has done.
func (h *house) officeDone(r *web.Request) notice {
	g, q := h.tongue(r), r.URL.Query()
	good := func(says string) notice { return notice{says, "good"} }
	switch q.Get("done") {
	case "suspended":
		return good(g.say("office.done_suspended"))
	case "restored":
		return good(g.say("office.done_restored"))
	case "unlocked":
		return good(g.say("office.done_unlocked"))
	case "factor_removed":
		return good(g.say("office.done_factor_removed"))
	case "terminal_enrolled":
		return good(g.say("office.done_terminal_enrolled"))
	case "terminal_lost":
		return good(g.say("office.done_terminal_lost"))
	case "terminal_removed":
		return good(g.say("office.done_terminal_removed"))
	case "imported":
		return good(g.say("office.done_imported", "Added", number(q.Get("added")), "Known", number(q.Get("known"))))
	case "assigned":
		return good(g.say("office.done_assigned"))
	case "unassigned":
		return good(g.say("office.done_unassigned"))
	case "resynced":
		return good(g.say("office.done_resynced"))
	case "token_lost":
		return good(g.say("office.done_token_lost"))
	}
	return notice{}
}
