package page

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/web"
)

// A completePage is the last page before a project is completed: whose ID ends, and what
// that takes from them.
type completePage struct {
	Rooms []room
	projectLine
	Path     string
	Ending   []memberLine
	Staying  []memberLine
	Reason   string
	Articles []policy.Article
}

// completeForm says what follows before anything does. The sign-in that it takes comes
// first, so that what is typed is not interrupted.
func (h *house) completeForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.completePage(r, step)
	if err == nil {
		err = h.proven(r, step)
	}
	if err != nil {
		return h.turned(w, r, err, r.URL.EscapedPath())
	}
	p.Reason = h.typedBefore(r, step, r.URL.EscapedPath()).Form.Get("reason")
	return h.completeShown(w, r, step, p, refused{Status: http.StatusOK})
}

func (h *house) completeShown(w http.ResponseWriter, r *web.Request, step signin.Step, p completePage, said refused) error {
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles = true, said.Faults, said.Articles
	return h.show(w, r, said.Status, "complete", v)
}

// completePage is the project with the IDs that end with it, and those that another
// project keeps.
func (h *house) completePage(r *web.Request, step signin.Step) (completePage, error) {
	one, err := h.Projects.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return completePage{}, err
	}
	p := completePage{
		Rooms: h.rooms(r, step, "projects"), projectLine: h.projectLine(r, one), Path: projectPath(one.ID), Articles: []policy.Article{"67-2(1)", "68-2"},
	}
	if !one.MayAct || !p.Running {
		return completePage{}, project.ErrNotFound
	}
	elsewhere, err := h.Projects.Elsewhere(r.Context(), r.Origin, r.Cookie, one.ID)
	if err != nil {
		return completePage{}, err
	}
	for _, m := range one.Members {
		if !m.Bound() {
			continue
		}
		line := h.memberLine(r, one, m)
		if other, stays := elsewhere[m.Person.ID]; stays {
			line.Stays = cmp.Or(other.Name, h.tongue(r).say("project.stays_unseen"))
			p.Staying = append(p.Staying, line)
			continue
		}
		p.Ending = append(p.Ending, line)
	}
	return p, nil
}

func (h *house) complete(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	reason, back := strings.TrimSpace(r.PostForm.Get("reason")), r.URL.EscapedPath()
	said := refused{http.StatusUnprocessableEntity, h.text(r, "reason", reason, mostReason, true), nil}
	if len(said.Faults) == 0 {
		_, err := h.Projects.Complete(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), reason)
		if err == nil {
			h.dropTyped(r, step, back)
			return redirect(w, r, projectPath(r.PathValue("id")), url.Values{"done": {"completed"}})
		}
		var ok bool
		if said, ok = h.inOffice(w, r, err); !ok {
			return h.turned(w, r, err, back)
		}
	}
	p, err := h.completePage(r, step)
	if err != nil {
		if len(said.Faults) > 0 && said.Status == http.StatusConflict { // somebody else has completed it meanwhile
			return h.projectPage(w, r, step, "", nil, said)
		}
		return h.turned(w, r, err, back)
	}
	p.Reason = r.PostForm.Get("reason")
	return h.completeShown(w, r, step, p, said)
}

// An ownProject is a project that an ID is for, as its owner, or whoever looks after it,
// reads of it.
type ownProject struct {
	ID, Name string
	Sub      string // for whoever looks after the ID
	Says     string // for its owner
	Tone     string
}

// projectsOf are what an ID is for, those that run first.
func (h *house) projectsOf(r *web.Request, who directory.PersonID) ([]ownProject, error) {
	if h.Projects == nil {
		return nil, nil
	}
	all, err := h.Projects.Of(r.Context(), who)
	if err != nil {
		return nil, err
	}
	g, now := h.tongue(r), h.srv.Now()
	var running, over []ownProject
	for _, p := range all {
		env, state := h.environment(r, p.Environment).Says, p.State(now)
		one := ownProject{ID: p.ID, Name: p.Name}
		day := g.lastDay(p.Until)
		switch state {
		case project.Running:
			one.Says = g.say("project.own", "Name", p.Name, "Environment", env, "Day", day)
			if left, soon := h.daysLeft(r, p.Until); soon {
				one.Says, one.Tone = one.Says+g.say("project.own_left", "Left", left), "warn"
			}
		case project.Completed:
			day = g.day(p.CompletedAt)
			one.Says = g.say("project.own_completed", "Name", p.Name, "Environment", env, "Day", day)
		default:
			one.Says = g.say("project.own_over", "Name", p.Name, "Environment", env, "Day", day)
		}
		one.Sub = g.say("project.of_id", "Environment", env, "State", h.projectState(r, state).Says, "Day", day)
		if state == project.Running {
			running = append(running, one)
		} else {
			over = append(over, one)
		}
	}
	return append(running, over...), nil
}
