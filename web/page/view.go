package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pages are the templates, by language and name. A page is parsed once for each
// language, so that {{t}} needs no word about which it is, and when it is first shown:
// each holds the layout and all parts, and all of them at once would be most of what a
// gate that nobody has visited has in memory. A test parses them all.
type pages struct {
	tongues   map[string]*tongue
	templates map[string]map[string]func() (*template.Template, error)
}

// loaded are the pages of this process: they never change.
var loaded = sync.OnceValues(load)

func mustLoad() pages {
	p, err := loaded()
	if err != nil {
		panic("page: " + err.Error())
	}
	return p
}

// load finds every page: templates/NAME.html beside layout.html and the parts.
func load() (pages, error) {
	tongues := tonguesOf(messageFiles)
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return pages{}, err
	}
	p := pages{tongues: tongues, templates: map[string]map[string]func() (*template.Template, error){}}
	for _, lang := range languages {
		p.templates[lang] = map[string]func() (*template.Template, error){}
		shared := sync.OnceValues(func() (*template.Template, error) {
			return template.New("").Funcs(tongues[lang].funcs()).ParseFS(templateFiles, "templates/layout.html", "templates/*.part.html")
		})
		for _, file := range files {
			name := strings.TrimSuffix(path.Base(file), ".html")
			if name == "layout" || strings.HasSuffix(name, ".part") {
				continue
			}
			p.templates[lang][name] = sync.OnceValues(func() (*template.Template, error) { return parsed(shared, file) })
		}
	}
	return p, nil
}

// parsed makes a page of what all share and of its own file.
func parsed(shared func() (*template.Template, error), file string) (*template.Template, error) {
	common, err := shared()
	if err != nil {
		return nil, fmt.Errorf("parsing the layout: %w", err)
	}
	own, err := common.Clone()
	if err == nil {
		_, err = own.ParseFS(templateFiles, file)
	}
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", file, err)
	}
	return own, nil
}

// render fills a page.
func (p pages) render(into *bytes.Buffer, lang, name string, v any) error {
	page, ok := p.templates[lang][name]
	if !ok {
		return fmt.Errorf("there is no page %q", name)
	}
	t, err := page()
	if err != nil {
		return err
	}
	return t.ExecuteTemplate(into, "layout", v)
}

// A view is everything a template sees.
type view struct {
	Lang      string
	Style     string
	Script    string
	Nonce     string
	Org       string // whose gate this is
	Who       string // the signed-in person's name; "" when nobody is
	Counter   bool   // at a counter, where the next may take over
	Switch    string // this page in the other language
	CSRF      string
	Return    string // rd, if it is safe
	ACR       string // how strongly the reader was sent here to sign in; "" for no more than usual
	RequestID string
	Told      bool // the page itself says the RequestID
	Wide      bool
	Ask       *question // the passkey it asks for; nil for none
	Ticks     bool      // something on it counts down
	Faults    []Fault
	Articles  []policy.Article // behind the faults
	Notice    notice
	Page      any // what this page alone shows
}

// A Fault is something to be mended before the form is accepted.
type Fault struct {
	Field string // id of the input; "" when it is about none
	Says  string
}

// A notice says what has just happened.
type notice struct {
	Says string
	Tone string // "", "good" or "warn"
	// Where to go from here, if anywhere.
	URL, Name string
}

// marked is what stands beside one input.
type marked struct {
	Field string
	Says  []numbered
}

type numbered struct {
	Number int
	Text   string
}

// A paired is one thing of a page, for a part that also needs to know the page.
type paired struct {
	View *view
	Of   any
}

func pair(v *view, of any) paired { return paired{v, of} }

// AboutFields reports whether there is something to mend in the form; otherwise
// the faults say why it could not be done whatever was entered.
func (v *view) AboutFields() bool {
	return slices.ContainsFunc(v.Faults, func(f Fault) bool { return f.Field != "" })
}

// At gathers the faults of one input.
func (v *view) At(field string) marked {
	m := marked{Field: field}
	for _, f := range v.Faults {
		if f.Field == field {
			m.Says = append(m.Says, numbered{len(m.Says), f.Says})
		}
	}
	return m
}

// Mark is the further class of a field with a fault.
func (v *view) Mark(field string) string {
	if len(v.At(field).Says) > 0 {
		return " bad"
	}
	return ""
}

// Bind ties an input to the texts that describe it, those given and its faults.
// The names are written in our own templates, so nothing needs escaping.
func (v *view) Bind(field string, described ...string) template.HTMLAttr {
	at := v.At(field)
	for _, n := range at.Says {
		described = append(described, field+"-wrong-"+strconv.Itoa(n.Number))
	}
	var attr string
	if len(described) > 0 {
		attr = ` aria-describedby="` + strings.Join(described, " ") + `"`
	}
	if len(at.Says) > 0 {
		attr += ` aria-invalid="true"`
	}
	return template.HTMLAttr(attr)
}

// Tie is Bind for a group of inputs, which cannot itself be invalid.
func (v *view) Tie(field string, described ...string) template.HTMLAttr {
	return template.HTMLAttr(strings.TrimSuffix(string(v.Bind(field, described...)), ` aria-invalid="true"`))
}

// Along is a path with what goes along from step to step.
func (v *view) Along(path string) string {
	if v.Return == "" {
		return path
	}
	return path + "?" + url.Values{"rd": {v.Return}}.Encode()
}

// view begins a page. step is what the reader's cookie stands for; the zero
// Step for a page that anybody may read.
func (h *house) view(r *web.Request, step signin.Step, page any) *view {
	v := &view{
		Lang: r.Lang, Style: style.url, Script: script.url, Nonce: r.Nonce, RequestID: r.ID, Page: page,
		Org:    r.Say(r.Policy().Prefecture.Name),
		CSRF:   step.CSRF,
		Return: returning(r),
		Switch: switchURL(r, r.URL.Path),
	}
	if step.State == authn.SignedIn {
		v.Who = step.Person.Name
		if v.Who == "" {
			v.Who = step.Person.Login
		}
		v.Counter = atCounter(step)
	}
	return v
}

// atCounter reports whether somebody sits at a counter, as the terminal itself
// said when they signed in.
func atCounter(step signin.Step) bool {
	return step.Session != nil && step.Session.TerminalClass == policy.TerminalCounter
}

// tongue is the reader's language.
func (h *house) tongue(r *web.Request) *tongue {
	if g, ok := h.pages.tongues[r.Lang]; ok {
		return g
	}
	return h.pages.tongues[languages[0]]
}

// show writes a page. It is made whole before its first byte is sent, so that a
// broken template is an error and not half a page.
func (h *house) show(w http.ResponseWriter, r *web.Request, status int, name string, v *view) error {
	g := h.tongue(r)
	v.Lang = g.lang
	var b bytes.Buffer
	if err := h.pages.render(&b, g.lang, name, v); err != nil {
		return fmt.Errorf("making page %s: %w", name, err)
	}
	// A form posted with rd may end at an application's host, which the
	// browser permits only if this answer says so.
	if v.Return != "" {
		r.AllowFormTo(w, v.Return)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", g.lang)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // if the reader has gone, there is nobody left to tell
	return nil
}

// switchURL is path in the other language, keeping what the query said.
func switchURL(r *web.Request, to string) string {
	other := "en"
	if r.Lang == "en" {
		other = "ja"
	}
	q := url.Values{"lang": {other}}
	for _, name := range []string{"acr", "max_age", "why"} {
		if value := r.URL.Query().Get(name); value != "" {
			q.Set(name, value)
		}
	}
	if rd := returning(r); rd != "" {
		q.Set("rd", rd)
	}
	return to + "?" + q.Encode()
}
