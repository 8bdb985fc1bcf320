package page

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

type registersPage struct {
	Rooms    []room
	Enforced []kindLine
	Others   []kindLine
	Articles []policy.Article
}

// registers are the kinds of permits that the reader sees everybody's of.
func (h *house) registers(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	kinds, err := h.Permits.PermitKinds(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/registers")
	}
	if !slices.ContainsFunc(kinds, func(k desk.PermitKind) bool { return k.Reads }) {
		return outsiders()
	}
	counts, err := h.Permits.CountPermits(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/registers")
	}
	p := registersPage{Rooms: h.gates(r, step, "/registers"), Articles: []policy.Article{"26-2", "80-3"}}
	for _, k := range kinds {
		line := h.kindLine(r, k)
		line.PermitCount, line.Articles = counts[k.ID], k.Articles
		switch {
		case !k.Reads:
		case k.Enforced:
			p.Enforced = append(p.Enforced, line)
		default:
			p.Others = append(p.Others, line)
		}
	}
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "registers", v)
}

// outsiders refuses who has no business with what others are permitted.
func outsiders() error {
	return &web.Refusal{Problem: web.Problem{Code: web.CodeForbidden, Articles: []policy.Article{"47-3"}, Detail: policy.Words{
		JA: "許可の台帳を見られるのは、承認又は監査の役割を持つ方と、台帳を受け持つ方です。",
		EN: "The registers are read by those who approve or audit, and by those who keep them."}}}
}

type registerPage struct {
	Rooms []room
	search
	Kind, Name         string
	Remote, Enforced   bool
	Done, Reviews      bool
	Brings             bool
	Ask                string // where one is asked for; "" where the reader may not
	Whiches            []option
	Sections, Apps     []option
	Found              []permitLine
	Live, Soon, Unused int
	File, Import       string
	Articles           []policy.Article
	Past               bool // what is listed is over
}

// register is every entry of a kind: for remote access, who may come from where
// until when and when they last did.
func (h *house) register(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	kind, err := h.registered(r)
	path := "/registers/" + url.PathEscape(r.PathValue("kind"))
	if err != nil {
		return h.turned(w, r, err, path)
	}
	s, after := searching(r, path, "which", "section", "application")
	f := h.registerFilter(r, kind.ID)
	f.After, f.Limit = after, pageRows
	p := h.registerPage(r, step, s, kind)
	list, err := h.Permits.ListPermits(r.Context(), r.Origin, r.Cookie, f)
	if err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.again(w, r, step, "register", p, said)
		}
		return h.turned(w, r, err, path)
	}
	p.Live, p.Soon, p.Unused = list.Live, list.Soon, list.Unused
	if list.Next != "" {
		p.Next = s.at(list.Next)
	}
	for _, one := range list.Permits {
		line := h.permitLine(r, one)
		line.Ends.Back = path
		p.Found = append(p.Found, line)
	}
	v := h.view(r, step, p)
	v.Wide, v.Notice = true, h.permitDone(r)
	if s.Narrow() {
		v.Switch += "&" + s.asked().Encode()
	}
	return h.show(w, r, http.StatusOK, "register", v)
}

// registered is the kind that the address names, if the reader sees everybody's.
func (h *house) registered(r *web.Request) (desk.PermitKind, error) {
	kinds, err := h.Permits.PermitKinds(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return desk.PermitKind{}, err
	}
	for _, k := range kinds {
		if k.ID == r.PathValue("kind") {
			if !k.Reads {
				return desk.PermitKind{}, outsiders()
			}
			return k, nil
		}
	}
	return desk.PermitKind{}, web.ErrNoPage
}

func (h *house) registerFilter(r *web.Request, kind string) desk.PermitFilter {
	q := r.URL.Query()
	return desk.PermitFilter{
		Kind: kind, Which: desk.Which(q.Get("which")), Words: strings.TrimSpace(q.Get("q")), Section: q.Get("section"), Application: q.Get("application"),
	}
}

func (h *house) registerPage(r *web.Request, step signin.Step, s search, k desk.PermitKind) registerPage {
	g := h.tongue(r)
	p := registerPage{
		Rooms: h.gates(r, step, s.Path), search: s, Kind: k.ID, Name: r.Say(k.Name), Remote: k.ID == desk.RemoteAccess, Enforced: k.Enforced, Done: k.Done, Reviews: k.Review > 0,
		Brings: k.Brings, File: s.Path + "/file", Import: s.Path + "/import", Articles: k.Articles, Past: s.Narrowed.Get("which") == string(desk.WhichOver),
	}
	if k.ID != desk.RemoteAccess {
		p.Rooms = h.gates(r, step, "/registers")
	}
	if asked := s.asked(); len(asked) > 0 {
		p.File += "?" + asked.Encode()
	}
	if k.Ask.OK {
		p.Ask = askPermitPath(k.ID, nil)
	}
	choose := func(name, value, says string) option {
		return option{value, says, s.Narrowed.Get(name) == value}
	}
	whiches := []option{choose("which", string(desk.WhichLive), g.say("register.which_live")), choose("which", string(desk.WhichPending), g.say("register.which_pending"))}
	if k.Enforced {
		whiches = append(whiches, choose("which", string(desk.WhichSoon), g.say("register.which_soon")), choose("which", string(desk.WhichUnused), g.say("register.which_unused")))
	}
	if k.Review > 0 {
		whiches = append(whiches, choose("which", string(desk.WhichDue), g.say("register.which_due")))
	}
	if k.Done {
		whiches = append(whiches, choose("which", string(desk.WhichOwed), g.say("register.which_owed")))
	}
	p.Whiches = append(whiches, choose("which", string(desk.WhichOver), g.say("register.which_over")), choose("which", string(desk.WhichAll), g.say("register.which_all")))
	for _, one := range r.Policy().Sections {
		p.Sections = append(p.Sections, choose("section", one.ID, r.Say(one.Name)))
	}
	if k.Enforced {
		for _, one := range r.Policy().Applications {
			p.Apps = append(p.Apps, choose("application", one.ID, r.Say(one.Name)))
		}
	}
	return p
}

// registerFile is the register as a file, narrowed as the page was. It is made
// whole before its first byte is sent.
func (h *house) registerFile(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	kind, err := h.registered(r)
	if err != nil {
		return h.turned(w, r, err, "/registers")
	}
	var b bytes.Buffer
	if err := h.Permits.ExportPermits(r.Context(), r.Origin, r.Cookie, h.registerFilter(r, kind.ID), &b); err != nil {
		return h.turned(w, r, err, "/registers/"+url.PathEscape(kind.ID))
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+kind.ID+"-"+dayOf(h.srv.Now())+`.csv"`)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // if the reader has gone, there is nobody left to tell
	return nil
}

type registerImportPage struct {
	Rooms      []room
	Kind, Name string
	Path       string
	Data       string
	Bad        []badLine
	Columns    string // the first line of a file
	Articles   []policy.Article
}

type badLine struct {
	Line        string
	Field, Says string
}

func (h *house) registerImportForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	kind, err := h.brought(r)
	if err != nil {
		return h.turned(w, r, err, "/registers")
	}
	if err := h.proven(r, step); err != nil {
		return h.turned(w, r, err, "/registers/"+url.PathEscape(kind.ID)+"/import")
	}
	p := h.registerImportPage(r, step, kind)
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "registerimport", v)
}

// brought is the kind that the address names, if the reader may take a file in.
func (h *house) brought(r *web.Request) (desk.PermitKind, error) {
	kind, err := h.registered(r)
	if err == nil && !kind.Brings {
		return kind, &web.Refusal{Problem: web.Problem{Code: web.CodeForbidden, Articles: kind.Articles, Detail: policy.Words{
			JA: "この台帳にファイルから取り込めるのは、台帳を受け持つ方です。",
			EN: "Whoever keeps this register may take a file into it."}}}
	}
	return kind, err
}

func (h *house) registerImportPage(r *web.Request, step signin.Step, k desk.PermitKind) registerImportPage {
	return registerImportPage{
		Rooms: h.gates(r, step, "/registers"), Kind: k.ID, Name: r.Say(k.Name), Path: "/registers/" + url.PathEscape(k.ID), Articles: k.Articles,
		Columns: strings.Join(k.Columns, ","),
	}
}

// registerImport takes a file in: all of it, or nothing and every line named that
// was not taken.
func (h *house) registerImport(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	kind, err := h.brought(r)
	if err != nil {
		return h.turned(w, r, err, "/registers")
	}
	g, p := h.tongue(r), h.registerImportPage(r, step, kind)
	p.Data = r.PostForm.Get("data")
	said := refused{Status: http.StatusUnprocessableEntity}
	var text, field string
	if text, field, said.Faults = g.table(r); len(said.Faults) == 0 {
		taken, err := h.Permits.ImportPermits(r.Context(), r.Origin, r.Cookie, kind.ID, []byte(text))
		switch {
		case err == nil && len(taken.Bad) == 0:
			to := url.Values{"done": {"imported"}, "n": {strconv.Itoa(taken.Added)}}
			if taken.Known > 0 {
				to.Set("known", strconv.Itoa(taken.Known))
			}
			return redirect(w, r, p.Path, to)
		case err == nil:
			says, err := g.n("register.bad_lines", len(taken.Bad))
			if err != nil {
				return err
			}
			said.Faults = []Fault{{field, says}}
			for _, b := range taken.Bad {
				p.Bad = append(p.Bad, badLine{strconv.Itoa(b.Line), b.Field, r.Say(b.Says)})
			}
		default:
			var ok bool
			if said, ok = h.inOffice(w, r, err); !ok {
				return h.turned(w, r, err, p.Path+"/import")
			}
			said = said.placed(func(string) string { return field })
		}
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles = true, said.Faults, said.Articles
	return h.show(w, r, said.Status, "registerimport", v)
}
