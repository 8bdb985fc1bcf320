package page

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	queue "sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/authz/personnel"
	"sekisho/policy"
	"sekisho/web"
)

// mostImport is the size of a file of personnel changes, in bytes: 50,000 lines and more.
const mostImport = 16 << 20

type importNewPage struct {
	Effective, Today string
	Data             string
	Bad              []badLine
	MoreBad          bool // there may be others: so many are told
	Articles         []policy.Article
}

// importBringForm is where somebody who may see personnel changes brings a file of them.
func (h *house) importBringForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if err := h.Imports.MayBringImport(r.Context(), r.Origin, r.Cookie); err != nil {
		return h.turned(w, r, err, "/imports/new")
	}
	return h.importNew(w, r, step, importNewPage{}, refused{Status: http.StatusOK})
}

func (h *house) importNew(w http.ResponseWriter, r *web.Request, step signin.Step, p importNewPage, said refused) error {
	p.Today, p.Articles = dayOf(h.srv.Now()), []policy.Article{"62-3", "62-4"}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles, v.Switch = true, said.Faults, said.Articles, switchURL(r, "/imports/new")
	return h.show(w, r, said.Status, "importnew", v)
}

// bringImport plans a file. What it would do is a page of its own; where a line cannot be
// taken, each is named and nothing is kept.
func (h *house) bringImport(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	g := h.tongue(r)
	p := importNewPage{Data: r.PostForm.Get("data"), Effective: strings.TrimSpace(r.PostForm.Get("effective"))}
	said := refused{Status: http.StatusUnprocessableEntity}
	var effective time.Time
	if p.Effective != "" {
		var ok bool
		if effective, ok = personnel.Day(p.Effective); !ok {
			said.Faults = append(said.Faults, Fault{"effective", g.say("pask.day_wrong")})
		}
	}
	data, field, both := broughtIn(r)
	switch {
	case both:
		said.Faults = append(said.Faults, Fault{field, g.say("file.both")})
	case len(data) == 0:
		said.Faults = append(said.Faults, Fault{field, g.say("file.need")})
	}
	if len(said.Faults) == 0 {
		i, err := h.Imports.BringImport(r.Context(), r.Origin, r.Cookie, fileOf(r, data, g.say("imports.pasted")), effective)
		var bad personnel.Faults
		switch {
		case err == nil:
			return redirect(w, r, importPath(i.ID), nil)
		case errors.As(err, &bad):
			says, err := g.n("register.bad_lines", len(bad))
			if err != nil {
				return err
			}
			said.Faults = []Fault{{field, says}}
			p.Bad, p.MoreBad = h.badLines(r, bad), len(bad) == personnel.MostFaults
		default:
			var ok bool
			if said, ok = h.inOffice(w, r, err); !ok {
				return h.turned(w, r, err, "/imports/new")
			}
			said = said.placed(func(string) string { return field })
		}
	}
	return h.importNew(w, r, step, p, said)
}

// fileOf is the file that a form brings; pasted is what it is called without a name. A
// name that came along from somebody's machine is cut to what can stand in a line.
func fileOf(r *web.Request, data []byte, pasted string) personnel.File {
	sum := sha256.Sum256(data)
	name := pasted
	if f, ok := r.File("file"); ok {
		if said := queue.Line(path.Base(strings.ReplaceAll(f.Name, `\`, "/"))); said != "" {
			name = said
		}
	}
	return personnel.File{Name: name, Digest: hex.EncodeToString(sum[:]), From: strings.NewReader(string(data))}
}

// badLines are what is wrong with a file, with its columns as it calls them itself.
func (h *house) badLines(r *web.Request, bad personnel.Faults) []badLine {
	out := make([]badLine, 0, len(bad))
	for _, one := range bad {
		field := h.tongue(r).say("imports.file")
		if one.Field != "file" {
			field = r.Policy().Personnel.HeaderOf(one.Field, r.Lang)
		}
		out = append(out, badLine{strconv.Itoa(one.Line), field, r.Say(one.Says)})
	}
	return out
}

// proposeImport asks a second person for what was looked at.
func (h *house) proposeImport(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id := r.PathValue("id")
	if _, err := h.Imports.ProposeImport(r.Context(), r.Origin, r.Cookie, id); err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.changesPage(w, r, step, "", said)
		}
		return h.turned(w, r, err, importPath(id))
	}
	return redirect(w, r, importPath(id), url.Values{"done": {"propose"}})
}

// discardImport throws away what was looked at.
func (h *house) discardImport(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id := r.PathValue("id")
	if err := h.Imports.DiscardImport(r.Context(), r.Origin, r.Cookie, id); err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.changesPage(w, r, step, "", said)
		}
		return h.turned(w, r, err, importPath(id))
	}
	return redirect(w, r, "/imports", url.Values{"done": {"discard"}})
}
