package page

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy/secret"
	"sekisho/web"
)

type importPage struct {
	Rooms   []room
	Formats []choice
}

func (h *house) importForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	may := authz.May(r.Policy(), authz.ImportTokens, r.Policy().PostsOf(step.Person.Groups), nil, false)
	if !may.OK() {
		return &people.Denied{Permission: may}
	}
	if err := h.proven(r, step); err != nil {
		return h.turned(w, r, err, "/tokens/import")
	}
	return h.show(w, r, http.StatusOK, "tokenimport", h.view(r, step, h.importPage(r, step, "csv")))
}

func (h *house) importPage(r *web.Request, step signin.Step, format string) importPage {
	g := h.tongue(r)
	return importPage{h.rooms(r, step, "tokens"), []choice{
		{"csv", g.say("tokens.csv"), format != "pskc"},
		{"pskc", g.say("tokens.pskc"), format == "pskc"},
	}}
}

// importTokens takes a maker's file in. It holds the seeds of every token, so
// it never goes back to the page, whatever is wrong with it.
func (h *house) importTokens(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	g, format := h.tongue(r), r.PostForm.Get("format")
	data, field, both := broughtIn(r)
	var said refused
	switch {
	case format != "csv" && format != "pskc":
		said = refused{http.StatusUnprocessableEntity, []Fault{{"format", g.say("tokens.need_format")}}, nil}
	case both:
		said = refused{http.StatusUnprocessableEntity, []Fault{{field, g.say("file.both")}}, nil}
	case len(bytes.TrimSpace(data)) == 0:
		said = refused{http.StatusUnprocessableEntity, []Fault{{field, g.say("tokens.need_data")}}, nil}
	default:
		taken, err := h.People.ImportTokens(r.Context(), r.Origin, r.Cookie, format, data, secret.NewText([]byte(r.PostForm.Get("key"))))
		if err == nil {
			return redirect(w, r, "/tokens", url.Values{
				"done": {"imported"}, "added": {strconv.Itoa(taken.Added)}, "known": {strconv.Itoa(len(taken.Known))}})
		}
		var ok bool
		if said, ok = h.inOffice(w, r, err); !ok {
			return h.turned(w, r, err, "/tokens/import")
		}
		said = said.placed(func(name string) string {
			if name == "data" {
				return field
			}
			return name
		})
	}
	return h.again(w, r, step, "tokenimport", h.importPage(r, step, format), said)
}
