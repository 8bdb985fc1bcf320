package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

// An act is one thing that administrators do to a person. It has a page of its
// own that says what follows, before anything does.
type act struct {
	id     authz.Act
	path   string // below the person's page; "" where the act has more in its path
	danger bool   // takes something away from the person
	reason bool   // asks why,
	must   bool   // and takes no silence for an answer
	until  bool   // asks for how long
	from   bool   // and from when
	says   func(*tongue) actWords
}

// actWords are what an act is called and what follows from it.
type actWords struct {
	Name, Brief string
	Button      string
	Then        []string
}

var (
	suspending = act{authz.Suspend, "suspend", true, true, true, true, false, func(g *tongue) actWords {
		return actWords{g.say("suspend.name"), g.say("suspend.brief"), g.say("suspend.submit"), []string{
			g.say("suspend.then_sessions"), g.say("suspend.then_doors"), g.say("suspend.then_kept"), g.say("act.then_record")}}
	}}
	restoring = act{authz.Restore, "restore", false, true, false, false, false, func(g *tongue) actWords {
		return actWords{g.say("restore.name"), g.say("restore.brief"), g.say("restore.submit"), []string{
			g.say("restore.then_open"), g.say("restore.then_others"), g.say("act.then_record")}}
	}}
	recordingLeave = act{authz.RecordLeave, "leave", true, true, true, true, true, func(g *tongue) actWords {
		return actWords{g.say("leave.name"), g.say("leave.brief"), g.say("leave.submit"), []string{
			g.say("leave.then_doors"), g.say("leave.then_count"), g.say("leave.then_kept"), g.say("act.then_record")}}
	}}
	endingLeave = act{authz.EndLeave, "end-leave", false, true, true, false, false, func(g *tongue) actWords {
		return actWords{g.say("endleave.name"), g.say("endleave.brief"), g.say("endleave.submit"), []string{
			g.say("endleave.then_open"), g.say("endleave.then_count"), g.say("act.then_record")}}
	}}
	unlocking = act{authz.Unlock, "unlock", false, false, false, false, false, func(g *tongue) actWords {
		return actWords{g.say("unlock.name"), g.say("unlock.brief"), g.say("unlock.submit"), []string{
			g.say("unlock.then_count"), g.say("unlock.then_same"), g.say("unlock.then_ask")}}
	}}
	givingPassword = act{authz.TemporaryPassword, "temporary-password", true, false, false, false, false, func(g *tongue) actWords {
		return actWords{g.say("temporary.name"), g.say("temporary.brief"), g.say("temporary.submit"), []string{
			g.say("temporary.then_old"), g.say("temporary.then_sessions"), g.say("temporary.then_change"),
			g.say("act.then_once"), g.say("act.then_person")}}
	}}
	givingCode = act{authz.RecoveryCode, "recovery-code", true, false, false, false, false, func(g *tongue) actWords {
		return actWords{g.say("recover.name"), g.say("recover.brief"), g.say("recover.submit"), []string{
			g.say("recover.then_only"), g.say("recover.then_replaced"), g.say("recover.then_sessions"), g.say("recover.then_old"), g.say("act.then_once"), g.say("act.then_person")}}
	}}
	dropping = act{authz.RemoveFactor, "", true, false, false, false, false, func(g *tongue) actWords {
		return actWords{g.say("drop.name"), g.say("drop.brief"), g.say("drop.submit"), []string{
			g.say("drop.then_gone"), g.say("drop.then_sessions"), g.say("drop.then_last"), g.say("act.then_record")}}
	}}
)

// at is where the act on somebody has its page.
func (a act) at(login string) string { return personPath(login) + "/" + a.path }

func personPath(login string) string { return "/people/" + url.PathEscape(login) }

// An actPage is the last page before something is done: to whom, what follows,
// and what else must be said.
type actPage struct {
	Rooms          []room
	Title, Subject string
	What           string // of the subject's; "" for all
	Then           []string
	Articles       []policy.Article
	Action, Back   string
	Button         string
	Danger         bool
	AsksReason     bool
	NeedsReason    bool
	AsksUntil      bool
	AsksFrom       bool
	AsksLogin      bool
	AsksCodes      bool
	Reason         string
	Hint           string // to the reason; "": what is usual
	From, Until    string
	Login          string
	Today          string // the first day that can be the last
	Form           string // names the form of a slip: it makes one; "" for another act
}

// actForm shows the page of an act. One that the policy refuses has no page: a
// form that can only fail is a trap.
func (h *house) actForm(a act) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		p, err := h.actPage(r, step, a)
		if err == nil {
			err = h.proven(r, step)
		}
		if err != nil {
			return h.turned(w, r, err, r.URL.EscapedPath())
		}
		was := h.typedBefore(r, step, r.URL.EscapedPath()).Form
		p.Reason, p.From, p.Until = was.Get("reason"), was.Get("from"), was.Get("until")
		return h.show(w, r, http.StatusOK, "personact", h.view(r, step, p))
	}
}

func (h *house) actPage(r *web.Request, step signin.Step, a act) (actPage, error) {
	d, err := h.People.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
	if err != nil {
		return actPage{}, err
	}
	may := d.May[a.id]
	joint := may.Reason == authz.TwoPersons
	if !may.OK() && !joint {
		return actPage{}, &people.Denied{Permission: may}
	}
	g, says := h.tongue(r), a.says(h.tongue(r))
	p := actPage{
		Rooms: h.rooms(r, step, "people"), Title: says.Name, Then: says.Then, Articles: may.Articles,
		Subject: g.say("act.person", "Name", d.Person.Name, "Login", d.Person.Login, "Section", sectionName(r, d.Person.Section)),
		Action:  r.URL.EscapedPath(), Back: personPath(d.Person.Login), Button: says.Button, Danger: a.danger,
		AsksReason: a.reason, NeedsReason: a.must, AsksUntil: a.until, AsksFrom: a.from, Today: h.srv.Now().In(japan).Format(time.DateOnly),
	}
	if a.id == authz.TemporaryPassword || a.id == authz.RecoveryCode {
		p.Form = secret.Token(12)
	}
	if a.id == authz.Restore && slices.ContainsFunc(d.Closed, func(c standing.Record) bool { return c.Kind == standing.Dormant }) {
		p.NeedsReason = true
	}
	if joint {
		p.Then = append([]string{g.say("act.joint")}, p.Then...)
	}
	if a.id != authz.RemoveFactor {
		return p, nil
	}
	for _, f := range d.Factors {
		if f.ID == r.PathValue("id") {
			p.What = factorKind(g, f) + g.say("me.colon") + f.Name
			return p, nil
		}
	}
	return actPage{}, people.ErrNotFound
}

// actAgain shows the page of an act once more, with what was typed.
func (h *house) actAgain(w http.ResponseWriter, r *web.Request, step signin.Step, a act, said refused) error {
	p, err := h.actPage(r, step, a)
	if err != nil {
		return h.turned(w, r, err, r.URL.EscapedPath())
	}
	p.Reason, p.From, p.Until = r.PostForm.Get("reason"), r.PostForm.Get("from"), r.PostForm.Get("until")
	return h.again(w, r, step, "personact", p, said)
}

// acted answers an act: what became of it stands on the person's page.
func (h *house) acted(w http.ResponseWriter, r *web.Request, step signin.Step, a act, err error, done string) error {
	if err == nil {
		h.dropTyped(r, step, r.URL.EscapedPath())
		return redirect(w, r, personPath(r.PathValue("login")), url.Values{"done": {done}})
	}
	return h.actError(w, r, step, a, err)
}

func (h *house) actError(w http.ResponseWriter, r *web.Request, step signin.Step, a act, err error) error {
	if said, ok := h.inOffice(w, r, err); ok {
		return h.actAgain(w, r, step, a, said)
	}
	return h.turned(w, r, err, r.URL.EscapedPath())
}

func (h *house) suspend(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	reason, faults := h.reason(r, suspending)
	until, ok := lastDay(r.PostForm.Get("until"), h.srv.Now())
	if !ok {
		faults = append(faults, Fault{"until", h.tongue(r).say("suspend.until_wrong")})
	}
	if len(faults) > 0 {
		return h.actAgain(w, r, step, suspending, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	err = h.People.Suspend(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), reason, until)
	return h.acted(w, r, step, suspending, err, "suspended")
}

func (h *house) restore(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	reason, faults := h.reason(r, restoring)
	if len(faults) > 0 {
		return h.actAgain(w, r, step, restoring, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	err = h.People.Restore(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), reason)
	return h.acted(w, r, step, restoring, err, "restored")
}

func (h *house) recordLeave(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	reason, faults := h.reason(r, recordingLeave)
	if len(faults) > 0 {
		return h.actAgain(w, r, step, recordingLeave, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	days := people.LeaveDays{From: r.PostForm.Get("from"), Until: r.PostForm.Get("until"), Reason: reason}
	err = h.People.RecordLeave(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), days)
	return h.acted(w, r, step, recordingLeave, err, "leave_recorded")
}

func (h *house) endLeave(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	reason, faults := h.reason(r, endingLeave)
	if len(faults) > 0 {
		return h.actAgain(w, r, step, endingLeave, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	err = h.People.EndLeave(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), reason)
	return h.acted(w, r, step, endingLeave, err, "leave_ended")
}

func (h *house) unlock(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	err = h.People.Unlock(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
	return h.acted(w, r, step, unlocking, err, "unlocked")
}

func (h *house) drop(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	err = h.People.RemoveFactor(r.Context(), r.Origin, r.Cookie, r.PathValue("login"), r.PathValue("id"))
	return h.acted(w, r, step, dropping, err, "factor_removed")
}

// reason reads why somebody acts; it goes on the trail.
func (h *house) reason(r *web.Request, a act) (string, []Fault) {
	reason := strings.TrimSpace(r.PostForm.Get("reason"))
	switch {
	case reason == "" && a.must:
		return "", []Fault{{"reason", h.tongue(r).say("act.need_reason")}}
	case utf8.RuneCountInString(reason) > people.MaxReason:
		return "", []Fault{{"reason", h.tongue(r).say("act.reason_long", "Max", people.MaxReason)}}
	}
	return reason, nil
}

// lastDay is the end of the last day of something, in Japan's time; zero for
// no day. Today is the first that can be the last.
func lastDay(typed string, now time.Time) (end time.Time, ok bool) {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return time.Time{}, true
	}
	day, err := time.ParseInLocation(time.DateOnly, typed, japan)
	if err != nil {
		return time.Time{}, false
	}
	end = day.AddDate(0, 0, 1).UTC()
	return end, now.Before(end)
}
