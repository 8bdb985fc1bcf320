package page

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

// People is what administrators, and those who approve, do to others.
type People interface {
	Find(ctx context.Context, o signin.Origin, cookie, query, after string, limit int) (found []people.Listed, next string, err error)
	Show(ctx context.Context, o signin.Origin, cookie, login string) (people.Detail, error)
	Suspend(ctx context.Context, o signin.Origin, cookie, login, reason string, until time.Time) error
	Restore(ctx context.Context, o signin.Origin, cookie, login, reason string) error
	Unlock(ctx context.Context, o signin.Origin, cookie, login string) error
	TemporaryPassword(ctx context.Context, o signin.Origin, cookie, login string) (people.Slip, error)
	RecoveryCode(ctx context.Context, o signin.Origin, cookie, login string) (people.Slip, error)
	RemoveFactor(ctx context.Context, o signin.Origin, cookie, login, factorID string) error
	Terminals
	Tokens
}

// Terminals is the register of machines.
type Terminals interface {
	Terminals(ctx context.Context, o signin.Origin, cookie string) ([]people.TerminalSeen, error)
	EnrolTerminal(ctx context.Context, o signin.Origin, cookie string, t terminal.Terminal, publicKeyPEM string) error
	LoseTerminal(ctx context.Context, o signin.Origin, cookie, id string) error
	RemoveTerminal(ctx context.Context, o signin.Origin, cookie, id string) error
}

// Tokens is the stock of hardware tokens.
type Tokens interface {
	Tokens(ctx context.Context, o signin.Origin, cookie, query, after string, limit int) (found []totp.Token, next string, err error)
	ImportTokens(ctx context.Context, o signin.Origin, cookie, format string, data []byte, key secret.Text) (totp.Imported, error)
	AssignToken(ctx context.Context, o signin.Origin, cookie, serial, login string) error
	UnassignToken(ctx context.Context, o signin.Origin, cookie, serial string) error
	ResyncToken(ctx context.Context, o signin.Origin, cookie, serial, first, second string) error
	LoseToken(ctx context.Context, o signin.Origin, cookie, serial string) error
}

// mountOffice puts the administrators' pages on the server.
func (h *house) mountOffice() {
	h.srv.Mount("GET /people", h.people)
	h.srv.Mount("GET /people/{login}", h.person)
	h.srv.Mount("GET /people/{login}/{act}", h.actForm)
	h.srv.Mount("POST /people/{login}/{act}", h.act)
	h.srv.Mount("GET /people/{login}/factors/{id}/remove", h.unbindForm)
	h.srv.Mount("POST /people/{login}/factors/{id}/remove", h.unbind)
	h.srv.Mount("GET /terminals", h.terminals)
	h.srv.Mount("POST /terminals", h.enrolTerminal)
	h.srv.Mount("GET /terminals/{id}/{act}", h.machineForm)
	h.srv.Mount("POST /terminals/{id}/{act}", h.machineAct)
	h.srv.Mount("GET /tokens", h.tokens)
	h.srv.Mount("POST /tokens/import", h.importTokens)
	h.srv.Mount("GET /tokens/import", instead("/tokens"))
	h.srv.Mount("GET /tokens/{serial}", h.token)
	h.srv.Mount("POST /tokens/{serial}/{act}", h.tokenAct)
	h.srv.Mount("GET /tokens/{serial}/{act}", h.token)
}

// perPage is how many people or tokens one page lists.
const perPage = 50

type peoplePage struct {
	Query   string
	Found   []personLine
	Next    string // address of the rest; "" for none
	Asked   bool
	Options []choice
}

type choice struct{ Value, Says string }

type personLine struct {
	Login, Name, Section, State string
	Open                        bool
	Posts                       string
}

func (h *house) people(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	found, next, err := h.People.Find(r.Context(), r.Origin, r.Cookie, query, r.URL.Query().Get("after"), perPage)
	if err != nil {
		return h.officeError(w, r, err, "/people")
	}
	p := peoplePage{Query: query, Asked: query != ""}
	for _, one := range found {
		p.Found = append(p.Found, personLine{
			Login: one.Login, Name: one.Name, Section: sectionName(r, one.Section), State: h.stateName(r, one.State), Open: one.State == "active",
			Posts: h.postNames(r, one.Posts),
		})
	}
	if next != "" {
		p.Next = "/people?" + url.Values{"q": {query}, "after": {next}}.Encode()
	}
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "people", v)
}

// stateName says a state in plain words.
func (h *house) stateName(r *web.Request, state string) string {
	g := h.tongue(r)
	switch state {
	case "active":
		return g.say("people.active")
	case "disabled":
		return g.say("people.disabled")
	case "expired":
		return g.say("people.expired")
	case "suspended":
		return g.say("people.suspended")
	case "dormant":
		return g.say("people.dormant")
	case "on_leave":
		return g.say("people.on_leave")
	}
	return state
}

func (h *house) postNames(r *web.Request, posts []policy.PostID) string {
	var names []string
	for _, id := range posts {
		name := string(id)
		if post, ok := r.Policy().Post(id); ok && !post.Name.IsEmpty() {
			name = r.Say(post.Name)
		}
		names = append(names, name)
	}
	return strings.Join(names, h.tongue(r).say("me.comma"))
}

// officeError sends the reader to sign in more strongly where that is what is
// missing; everything else belongs on the error page, which has its words.
func (h *house) officeError(w http.ResponseWriter, r *web.Request, err error, back string) error {
	if done, failed := h.elsewhere(w, r, err, back); done {
		return failed
	}
	return err
}

type personPage struct {
	Login, Name, Section, Company, Posts, State, Mail string
	Open                                              bool
	Closed                                            []closedLine
	Sessions                                          int
	Recovery                                          time.Time
	Password                                          passwordLine
	Attempts                                          []attemptLine
	LastUsedAt                                        time.Time
	Factors                                           []factorLine
	Acts                                              []actLine
	Unbind                                            actLine
}

type closedLine struct {
	State, Reason, By string
	Since, Until      time.Time
}

type passwordLine struct {
	ChangedAt time.Time
	Temporary bool
}

type attemptLine struct {
	Code      bool
	Failures  int
	HeldUntil time.Time
	Spent     bool
}

// An actLine is something that may be done, or why it may not.
type actLine struct {
	Slug, Name, Means string
	May               bool
	Why               string
	Articles          []policy.Article
	Danger            bool
}

// personActs are what can be done to a person, by address, in the order in
// which they are shown.
var personActs = []string{"temporary-password", "recovery-code", "unlock", "suspend", "restore"}

// actLine says one of them, and whether the reader may do it to this person.
func (h *house) actLine(r *web.Request, d people.Detail, slug string) (actLine, bool) {
	g := h.tongue(r)
	line := actLine{Slug: slug}
	var act authz.Act
	switch slug {
	case "temporary-password":
		act, line.Name, line.Means = authz.TemporaryPassword, g.say("act.password"), g.say("act.password_means")
	case "recovery-code":
		act, line.Name, line.Means = authz.RecoveryCode, g.say("act.recovery"), g.say("act.recovery_means")
	case "unlock":
		act, line.Name, line.Means = authz.Unlock, g.say("act.unlock"), g.say("act.unlock_means")
	case "suspend":
		act, line.Name, line.Means, line.Danger = authz.Suspend, g.say("act.suspend"), g.say("act.suspend_means"), true
	case "restore":
		act, line.Name, line.Means = authz.Restore, g.say("act.restore"), g.say("act.restore_means")
	default:
		return actLine{}, false
	}
	may := d.May[act]
	line.May, line.Why, line.Articles = may.OK(), r.Say(may.Says), may.Articles
	return line, true
}

func (h *house) person(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	d, err := h.People.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
	if err != nil {
		return h.officeError(w, r, err, r.URL.Path)
	}
	v := h.view(r, step, h.personPage(r, d))
	v.Wide = true
	v.Notice = h.officeDone(r)
	return h.show(w, r, http.StatusOK, "person", v)
}

func (h *house) personPage(r *web.Request, d people.Detail) personPage {
	a := d.Person.Account
	p := personPage{
		Login: d.Person.Login, Name: d.Person.Name, Section: sectionName(r, d.Person.Section), Company: d.Person.Company,
		Posts: h.postNames(r, d.Posts), State: h.stateName(r, d.State), Open: d.State == "active", Mail: d.Person.Mail,
		Sessions: d.Sessions, Recovery: d.Recovery, LastUsedAt: a.LastUsedAt,
		Password: passwordLine{ChangedAt: a.PasswordChangedAt, Temporary: a.MustChange},
	}
	for _, c := range d.Closed {
		p.Closed = append(p.Closed, closedLine{h.stateName(r, string(c.Kind)), c.Reason, c.By, c.Since, c.Until})
	}
	for _, t := range d.Attempts {
		if t.Failures > 0 {
			p.Attempts = append(p.Attempts, attemptLine{t.Kind == "code", t.Failures, t.HeldUntil, t.Spent})
		}
	}
	for _, f := range d.Factors {
		p.Factors = append(p.Factors, h.factorLine(r, f))
	}
	for _, slug := range personActs {
		line, _ := h.actLine(r, d, slug)
		if slug == "suspend" && !p.Open || slug == "restore" && len(d.Closed) == 0 {
			continue
		}
		p.Acts = append(p.Acts, line)
	}
	may := d.May[authz.RemoveFactor]
	p.Unbind = actLine{May: may.OK(), Why: r.Say(may.Says), Articles: may.Articles}
	return p
}

// officeDone says what the redirect that led here has done.
func (h *house) officeDone(r *web.Request) notice {
	g := h.tongue(r)
	switch r.URL.Query().Get("done") {
	case "suspend":
		return notice{g.say("act.suspend_done"), "good"}
	case "restore":
		return notice{g.say("act.restore_done"), "good"}
	case "unlock":
		return notice{g.say("act.unlock_done"), "good"}
	case "factor":
		return notice{g.say("act.factor_done"), "good"}
	case "enrolled":
		return notice{g.say("terminals.enrolled"), "good"}
	case "lost":
		return notice{g.say("terminals.lost_done"), "good"}
	case "removed":
		return notice{g.say("terminals.removed"), "good"}
	case "assign":
		return notice{g.say("tokens.assign_done"), "good"}
	case "unassign":
		return notice{g.say("tokens.unassign_done"), "good"}
	case "resync":
		return notice{g.say("tokens.resync_done"), "good"}
	case "token-lost":
		return notice{g.say("tokens.lost_done"), "good"}
	}
	return notice{}
}

type actPage struct {
	Login, Name, Section string
	Act                  actLine
	Action, Back         string
	Reason, Until        string
	AskReason, AskUntil  bool
	Factor               string // what is removed
}

// actForm says what an act means before it is done.
func (h *house) actForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.actPage(r)
	if err != nil {
		return h.officeError(w, r, err, r.URL.Path)
	}
	return h.show(w, r, http.StatusOK, "personact", h.view(r, step, p))
}

func (h *house) actPage(r *web.Request) (actPage, error) {
	slug := r.PathValue("act")
	if !slices.Contains(personActs, slug) {
		return actPage{}, web.ErrNoPage
	}
	d, err := h.People.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
	if err != nil {
		return actPage{}, err
	}
	line, _ := h.actLine(r, d, slug)
	back := "/people/" + url.PathEscape(d.Person.Login)
	return actPage{
		Login: d.Person.Login, Name: d.Person.Name, Section: sectionName(r, d.Person.Section), Act: line,
		Action: back + "/" + slug, Back: back, AskReason: slug == "suspend" || slug == "restore", AskUntil: slug == "suspend",
	}, nil
}

// maxReason bounds a reason, in characters.
const maxReason = 500

func (h *house) act(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.actPage(r)
	if err != nil {
		return h.officeError(w, r, err, r.URL.Path)
	}
	p.Reason, p.Until = strings.TrimSpace(r.PostForm.Get("reason")), strings.TrimSpace(r.PostForm.Get("until"))
	var faults []Fault
	if p.Act.Slug == "suspend" && p.Reason == "" {
		faults = append(faults, Fault{"reason", g.say("act.need_reason")})
	}
	if len([]rune(p.Reason)) > maxReason {
		faults = append(faults, Fault{"reason", g.say("act.long_reason")})
	}
	until, ok := endOfDay(p.Until)
	if p.AskUntil && (!ok || !until.IsZero() && !until.After(h.srv.Now())) {
		faults = append(faults, Fault{"until", g.say("act.bad_until")})
	}
	if len(faults) > 0 {
		return h.again(w, r, step, "personact", p, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	ctx, login := r.Context(), p.Login
	var slip people.Slip
	switch p.Act.Slug {
	case "suspend":
		err = h.People.Suspend(ctx, r.Origin, r.Cookie, login, p.Reason, until)
	case "restore":
		err = h.People.Restore(ctx, r.Origin, r.Cookie, login, p.Reason)
	case "unlock":
		err = h.People.Unlock(ctx, r.Origin, r.Cookie, login)
	case "temporary-password":
		if slip, err = h.People.TemporaryPassword(ctx, r.Origin, r.Cookie, login); err == nil {
			return h.slip(w, r, step, slip, p, false)
		}
	case "recovery-code":
		if slip, err = h.People.RecoveryCode(ctx, r.Origin, r.Cookie, login); err == nil {
			return h.slip(w, r, step, slip, p, true)
		}
	}
	if err != nil {
		if said, ok := h.inPlace(w, r, err, Fault{}); ok && web.ProblemOf(err).Code == web.CodeInvalid {
			return h.again(w, r, step, "personact", p, said)
		}
		return h.officeError(w, r, err, r.URL.Path)
	}
	return redirect(w, r, p.Back, url.Values{"done": {p.Act.Slug}})
}

// endOfDay is the end of a day in Japan; zero for none.
func endOfDay(day string) (time.Time, bool) {
	if day == "" {
		return time.Time{}, true
	}
	t, err := time.ParseInLocation(time.DateOnly, day, japan)
	if err != nil {
		return time.Time{}, false
	}
	return t.AddDate(0, 0, 1).UTC(), true
}

type slipPage struct {
	Login, Name, Section string
	Secret               string
	EndsAt               time.Time
	By, Gate, Back       string
	Recovery             bool
	IssuedAt             time.Time
}

// slip shows a secret in the answer to the POST itself: it is shown once, to be
// printed or read out, and is nowhere to be read again.
func (h *house) slip(w http.ResponseWriter, r *web.Request, step signin.Step, s people.Slip, p actPage, recovery bool) error {
	v := h.view(r, step, slipPage{
		Login: s.Login, Name: s.Name, Section: sectionName(r, s.Section), Secret: string(s.Secret.Reveal()), EndsAt: s.EndsAt,
		By: step.Person.Name, Gate: h.srv.PublicURL().String(), Back: p.Back, Recovery: recovery, IssuedAt: h.srv.Now(),
	})
	v.Switch = switchURL(r, p.Back)
	return h.show(w, r, http.StatusOK, "slip", v)
}

// unbindForm asks before a factor of another person is taken away.
func (h *house) unbindForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.unbindPage(r)
	if err != nil {
		return h.officeError(w, r, err, r.URL.Path)
	}
	return h.show(w, r, http.StatusOK, "personact", h.view(r, step, p))
}

func (h *house) unbindPage(r *web.Request) (actPage, error) {
	g := h.tongue(r)
	d, err := h.People.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
	if err != nil {
		return actPage{}, err
	}
	at := slices.IndexFunc(d.Factors, func(f account.Factor) bool { return f.ID == r.PathValue("id") })
	if at < 0 {
		return actPage{}, people.ErrNotFound
	}
	f, may := h.factorLine(r, d.Factors[at]), d.May[authz.RemoveFactor]
	back := "/people/" + url.PathEscape(d.Person.Login)
	return actPage{
		Login: d.Person.Login, Name: d.Person.Name, Section: sectionName(r, d.Person.Section), Back: back,
		Action: back + "/factors/" + url.PathEscape(f.ID) + "/remove", Factor: f.Kind + g.say("me.colon") + f.Name,
		Act: actLine{"remove", g.say("act.factor"), g.say("act.factor_means"), may.OK(), r.Say(may.Says), may.Articles, true},
	}, nil
}

func (h *house) unbind(w http.ResponseWriter, r *web.Request) error {
	login := r.PathValue("login")
	err := h.People.RemoveFactor(r.Context(), r.Origin, r.Cookie, login, r.PathValue("id"))
	if err != nil {
		return h.officeError(w, r, err, r.URL.Path)
	}
	return redirect(w, r, "/people/"+url.PathEscape(login), url.Values{"done": {"factor"}})
}

// formFaults are the faults of a form in place, or the error for another page.
func (h *house) formFaults(w http.ResponseWriter, r *web.Request, err error) (refused, bool) {
	var up *account.StepUp
	if errors.As(err, &up) || none(err) {
		return refused{}, false
	}
	p := web.ProblemOf(err)
	switch p.Code {
	case web.CodeInvalid:
		return h.inPlace(w, r, err, Fault{})
	case web.CodeState, web.CodeHeld:
		return refused{p.Status, []Fault{{"", r.Say(p.Detail)}}, p.Articles}, true
	}
	return refused{}, false
}
