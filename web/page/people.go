package page

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
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
	List(ctx context.Context, o signin.Origin, cookie string, f people.Filter, after string, limit int) (people.List, error)
	Show(ctx context.Context, o signin.Origin, cookie, login string) (people.Detail, error)
	Suspend(ctx context.Context, o signin.Origin, cookie, login, reason string, until time.Time) error
	Restore(ctx context.Context, o signin.Origin, cookie, login, reason string) error
	RecordLeave(ctx context.Context, o signin.Origin, cookie, login string, days people.LeaveDays) error
	EndLeave(ctx context.Context, o signin.Origin, cookie, login, reason string) error
	Unlock(ctx context.Context, o signin.Origin, cookie, login string) error
	TemporaryPassword(ctx context.Context, o signin.Origin, cookie, login string) (people.Slip, error)
	TemporaryPasswords(ctx context.Context, o signin.Origin, cookie string, logins []string) (people.Handful, error)
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
	Applications(ctx context.Context, o signin.Origin, cookie string) ([]people.AppSeen, error)
	Application(ctx context.Context, o signin.Origin, cookie, id string, own bool, login string) (people.AppDetail, error)
	EndInside(ctx context.Context, o signin.Origin, cookie, id string, own bool, session string) error
	TerminalChoices(ctx context.Context, o signin.Origin, cookie string) ([]terminal.Terminal, error)
	TryAccess(ctx context.Context, o signin.Origin, cookie string, t people.Trial) (people.Tried, error)
}

// mountOffice puts the administrators' pages on the server.
func (h *house) mountOffice() {
	m := h.srv.Mount
	m("GET /people", h.people)
	h.mountSlips()
	m("GET /people/{login}", h.person)
	m("GET /people/{login}/suspend", h.actForm(suspending))
	m("POST /people/{login}/suspend", h.suspend)
	m("GET /people/{login}/restore", h.actForm(restoring))
	m("POST /people/{login}/restore", h.restore)
	m("GET /people/{login}/leave", h.actForm(recordingLeave))
	m("POST /people/{login}/leave", h.recordLeave)
	m("GET /people/{login}/end-leave", h.actForm(endingLeave))
	m("POST /people/{login}/end-leave", h.endLeave)
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
	h.srv.MountFiles("POST /tokens/import", oath.MaxFile, h.importTokens)
	m("GET /tokens/{serial}", h.token)
	m("GET /tokens/{serial}/assign", h.tokenActForm(assigning))
	m("POST /tokens/{serial}/assign", h.tokenAct(assigning))
	m("GET /tokens/{serial}/unassign", h.tokenActForm(unassigning))
	m("POST /tokens/{serial}/unassign", h.tokenAct(unassigning))
	m("GET /tokens/{serial}/resync", h.tokenActForm(resyncing))
	m("POST /tokens/{serial}/resync", h.tokenAct(resyncing))
	m("GET /tokens/{serial}/lost", h.tokenActForm(losingToken))
	m("POST /tokens/{serial}/lost", h.tokenAct(losingToken))
	h.mountApplications()
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
		{authz.TemporaryPassword, "slips", g.say("slips.title")},
		{authz.ViewTerminals, "terminals", g.say("terminals.title")},
		{authz.ViewTokens, "tokens", g.say("tokens.title")},
		{authz.ViewApplications, "applications", g.say("app.title")},
	} {
		if authz.May(r.Policy(), one.act, posts, nil, false).OK() {
			open = append(open, room{"/" + one.name, one.says, one.name == here})
		}
	}
	if h.projecting(r, step) {
		open = append(open, room{"/projects", g.say("projects.title"), here == "projects"})
	}
	return open
}

// A search is a list that is looked through by words, by what a list may be
// narrowed to besides, and by pages.
type search struct {
	Path, Query string
	Narrowed    url.Values
	Next, First string // addresses of other pages; "" for none
}

// searching reads a search from the address. by are the names of what the list
// can be narrowed to.
func searching(r *web.Request, path string, by ...string) (s search, after string) {
	q := r.URL.Query()
	s = search{Path: path, Query: strings.TrimSpace(q.Get("q")), Narrowed: url.Values{}}
	for _, name := range by {
		if value := q.Get(name); value != "" {
			s.Narrowed.Set(name, value)
		}
	}
	if after = q.Get("after"); after != "" {
		s.First = s.at("")
	}
	return s, after
}

// asked is the search without the page of it.
func (s search) asked() url.Values {
	q := maps.Clone(s.Narrowed)
	if s.Query != "" {
		q.Set("q", s.Query)
	}
	return q
}

// at is the address of the page of the list that begins after a row.
func (s search) at(after string) string {
	q := s.asked()
	if after != "" {
		q.Set("after", after)
	}
	if len(q) == 0 {
		return s.Path
	}
	return s.Path + "?" + q.Encode()
}

// Narrow reports whether not everything is listed.
func (s search) Narrow() bool { return len(s.asked()) > 0 }

// showList shows a list. In the other language it is the same search.
func (h *house) showList(w http.ResponseWriter, r *web.Request, step signin.Step, s search, name string, page any) error {
	v := h.view(r, step, page)
	v.Wide, v.Notice = true, h.officeDone(r)
	if s.Narrow() {
		v.Switch += "&" + s.asked().Encode()
	}
	return h.show(w, r, http.StatusOK, name, v)
}

type peoplePage struct {
	Rooms []room
	search
	Sections, Kinds, States []option
	Found                   []personLine
	Total                   int
	ByState                 bool // how many there are of one state is not known
	More                    bool // not all were read for this page
	Read                    int
}

// An option is one that a list can be narrowed to.
type option struct {
	Value, Says string
	Chosen      bool
}

type personLine struct {
	Login, Name, Section, Kind string
	Tags                       []tag
	Posts                      []string
	LastUsed                   string // "" for never
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
	s, after := searching(r, "/people", "section", "kind", "state")
	p := h.peoplePage(r, s)
	p.Rooms = h.rooms(r, step, "people")
	list, err := h.People.List(r.Context(), r.Origin, r.Cookie, people.Filter{
		Words: s.Query, Section: s.Narrowed.Get("section"), Kind: directory.Kind(s.Narrowed.Get("kind")), State: s.Narrowed.Get("state"),
	}, after, pageRows)
	if err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.again(w, r, step, "people", p, said)
		}
		return h.turned(w, r, err, "/people")
	}
	p.Total, p.Read, p.ByState = list.Total, list.Read, s.Narrowed.Has("state")
	if list.Next != "" {
		p.Next, p.More = s.at(list.Next), len(list.People) < pageRows
	}
	for _, one := range list.People {
		p.Found = append(p.Found, h.personLine(r, one))
	}
	return h.showList(w, r, step, s, "people", p)
}

// peoplePage is the page with what the list can be narrowed to.
func (h *house) peoplePage(r *web.Request, s search) peoplePage {
	p := peoplePage{search: s}
	choose := func(name string, o option) option {
		o.Chosen = s.Narrowed.Get(name) == o.Value
		return o
	}
	for _, one := range r.Policy().Sections {
		p.Sections = append(p.Sections, choose("section", option{Value: one.ID, Says: r.Say(one.Name)}))
	}
	for _, k := range []directory.Kind{directory.KindStaff, directory.KindContractor, directory.KindShared, directory.KindService} {
		p.Kinds = append(p.Kinds, choose("kind", option{Value: string(k), Says: h.kind(r, k)}))
	}
	for _, state := range people.States() {
		p.States = append(p.States, choose("state", option{Value: state, Says: h.state(r, state).Says}))
	}
	return p
}

func (h *house) personLine(r *web.Request, one people.Line) personLine {
	line := personLine{
		Login: one.Login, Name: one.Name, Section: sectionName(r, one.Section), Kind: h.kind(r, one.Kind),
		Tags: []tag{h.state(r, one.State)},
		// Those of everybody say nothing about one; the kind says them already.
		Posts: postNames(r, slices.DeleteFunc(slices.Clone(one.Posts), func(p policy.PostID) bool { return p == policy.Staff || p == policy.Contractor })),
	}
	for _, also := range []struct {
		is    bool
		state string
	}{{one.ShutOut, people.ShutOut}, {one.Temporary, people.Temporary}, {one.NoFactor, people.NoFactor}} {
		if also.is {
			line.Tags = append(line.Tags, h.state(r, also.state))
		}
	}
	if !one.LastUsedAt.IsZero() {
		line.LastUsed = h.tongue(r).day(one.LastUsedAt)
	}
	return line
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
	case people.ShutOut:
		return tag{g.say("office.shut_out"), "warn"}
	case people.Temporary:
		return tag{g.say("office.temporary"), "plain"}
	case people.NoFactor:
		return tag{g.say("office.no_factor"), "plain"}
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

// officeDone says what the redirect that led here has done, and the way back
// where there is one.
func (h *house) officeDone(r *web.Request) notice {
	g, q := h.tongue(r), r.URL.Query()
	good := func(says string) notice { return notice{Says: says, Tone: "good"} }
	undo := func(says, act, name string) notice {
		n := good(says)
		n.URL, n.Name = r.URL.EscapedPath()+"/"+act, name
		return n
	}
	switch q.Get("done") {
	case "suspended":
		return undo(g.say("office.done_suspended"), restoring.path, g.say("restore.name"))
	case "restored":
		return undo(g.say("office.done_restored"), suspending.path, g.say("suspend.name"))
	case "leave_recorded":
		return undo(g.say("office.done_leave_recorded"), endingLeave.path, g.say("endleave.name"))
	case "leave_ended":
		return good(g.say("office.done_leave_ended"))
	case "unlocked":
		return good(g.say("office.done_unlocked"))
	case "factor_removed":
		return undo(g.say("office.done_factor_removed"), givingCode.path, g.say("recover.name"))
	case "terminal_enrolled":
		return good(g.say("office.done_terminal_enrolled"))
	case "terminal_lost":
		return good(g.say("office.done_terminal_lost"))
	case "terminal_removed":
		return good(g.say("office.done_terminal_removed"))
	case "imported":
		return good(g.say("office.done_imported", "Added", number(q.Get("added")), "Known", number(q.Get("known"))))
	case "assigned":
		return undo(g.say("office.done_assigned"), "unassign", g.say("tokens.unassign"))
	case "unassigned":
		return undo(g.say("office.done_unassigned"), "assign", g.say("tokens.assign"))
	case "resynced":
		return good(g.say("office.done_resynced"))
	case "token_lost":
		return good(g.say("office.done_token_lost"))
	case "inside_ended":
		return good(g.say("office.done_inside_ended"))
	}
	return notice{}
}
