package page

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryPage holds every page, in both languages, to what JIS X 8341-3 and
// our own rules ask of its structure.
func TestEveryPage(t *testing.T) {
	keys := untranslated(t)
	for _, lang := range languages {
		for _, sc := range scenes {
			t.Run(lang+"/"+sc.name, func(t *testing.T) {
				w := newWorld(t)
				w.lang = lang
				a := sc.show(w).is(sc.status)
				check(t, lang, parse(t, a.body))
				if m := keys.FindString(strip(a.body)); m != "" {
					t.Errorf("an untranslated key is on the page: %s", m)
				}
				if strings.Contains(a.body, " style=") || strings.Contains(a.body, " onclick=") || strings.Contains(a.body, "ZgotmplZ") {
					t.Errorf("a style or script attribute or a refused value is on the page:\n%s", a.body)
				}
				if n := strings.Count(a.body, a.Header.Get("X-Request-Id")); n != 1 {
					t.Errorf("the request id is on the page %d times", n)
				}
				checkScripts(t, a)
			})
		}
	}
}

// untranslated finds a key of the catalogue where its message should stand.
func untranslated(t *testing.T) *regexp.Regexp {
	rooms := map[string]bool{}
	for key := range catalogue(t, "ja") {
		room, _, _ := strings.Cut(key, ".")
		rooms[regexp.QuoteMeta(room)] = true
	}
	return regexp.MustCompile(`\b(` + strings.Join(slices.Sorted(maps.Keys(rooms)), "|") + `)\.[a-z_]+\b|<no value>`)
}

// checkScripts: a page has our one script if it asks for a passkey or shows a
// clock and none otherwise, and the browser is told to run that alone.
func checkScripts(t *testing.T, a *answer) {
	t.Helper()
	page := parse(t, a.body)
	asks := slices.ContainsFunc(page.all("form"), func(f *element) bool { return f.attr["data-passkey"] != "" })
	var scripts []*element
	for _, s := range page.all("script") {
		if s.attr["src"] != script.url || s.text != "" {
			t.Errorf("a script that is not ours: %v %s", s.attr, s.text)
		}
		if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'nonce-"+s.attr["nonce"]+"';") {
			t.Errorf("the script's nonce %q is not the one in %q", s.attr["nonce"], csp)
		}
		scripts = append(scripts, s)
	}
	ticks := slices.ContainsFunc(page.all("span"), func(e *element) bool { return e.attr["data-left"] != "" })
	if (asks || ticks) != (len(scripts) == 1) || len(scripts) > 1 {
		t.Errorf("asks for a passkey: %v, has a clock: %v, scripts: %d", asks, ticks, len(scripts))
	}
	for _, f := range page.all("form") {
		if f.attr["data-passkey"] == "" {
			continue
		}
		for _, name := range []string{"data-fresh", "data-unable", "data-cancelled", "data-exists", "data-failed"} {
			if f.attr[name] == "" {
				t.Errorf("the passkey form has no %s", name)
			}
		}
		if !json.Valid([]byte(f.attr["data-ask"])) {
			t.Errorf("the passkey form asks %q", f.attr["data-ask"])
		}
		if len(f.all("noscript")) != 1 {
			t.Error("the passkey form says nothing without scripts")
		}
	}
}

var attributes = regexp.MustCompile(`(href|action|value|src|content|data-ask|data-fresh)="[^"]*"`)

// strip removes addresses and values, where a key-like word is no message.
func strip(body string) string { return attributes.ReplaceAllString(body, "") }

// An element is what the checks need of one.
type element struct {
	name  string
	attr  map[string]string
	text  string // of everything in it
	inner []*element
}

func parse(t *testing.T, body string) *element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	root := &element{name: "#root"}
	open := []*element{root}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatalf("the page does not parse: %v\n%s", err, body)
		}
		top := open[len(open)-1]
		switch tok := tok.(type) {
		case xml.StartElement:
			e := &element{name: tok.Name.Local, attr: map[string]string{}}
			for _, a := range tok.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			top.inner = append(top.inner, e)
			open = append(open, e)
		case xml.EndElement:
			if tok.Name.Local != top.name {
				t.Fatalf("</%s> closes <%s>", tok.Name.Local, top.name)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			for _, e := range open {
				e.text += string(tok)
			}
		}
	}
}

// all finds every element of a name.
func (e *element) all(name string) []*element {
	var found []*element
	for _, in := range e.inner {
		if in.name == name {
			found = append(found, in)
		}
		found = append(found, in.all(name)...)
	}
	return found
}

func (e *element) ids(into map[string]int) {
	if id := e.attr["id"]; id != "" {
		into[id]++
	}
	for _, in := range e.inner {
		in.ids(into)
	}
}

func check(t *testing.T, lang string, page *element) {
	t.Helper()
	if html := page.all("html"); len(html) != 1 || html[0].attr["lang"] != lang {
		t.Errorf("html lang is not %q", lang)
	}
	for _, name := range []string{"h1", "main", "header", "footer", "title"} {
		found := page.all(name)
		if len(found) != 1 || name != "main" && strings.TrimSpace(found[0].text) == "" {
			t.Errorf("%d elements %s, want one, not empty", len(found), name)
		}
	}
	ids := map[string]int{}
	page.ids(ids)
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q stands %d times", id, n)
		}
	}
	labels := map[string]string{}
	for _, l := range page.all("label") {
		labels[l.attr["for"]] = strings.TrimSpace(l.text)
	}
	for _, in := range append(page.all("input"), page.all("textarea")...) {
		if in.attr["type"] == "hidden" {
			continue
		}
		if labels[in.attr["id"]] == "" {
			t.Errorf("input %q has no label", in.attr["name"])
		}
		if _, typed := in.attr["value"]; typed && in.attr["type"] == "password" {
			t.Errorf("password %q is sent back", in.attr["name"])
		}
	}
	for _, f := range page.all("form") {
		// A search changes nothing and is asked by address, where no token belongs.
		search := f.attr["method"] == "get" && f.attr["role"] == "search"
		if f.attr["method"] != "post" && !search {
			t.Errorf("form %q is not a POST", f.attr["action"])
		}
		token := slices.ContainsFunc(f.all("input"), func(in *element) bool {
			return in.attr["name"] == "csrf_token" && in.attr["type"] == "hidden"
		})
		if token == search {
			t.Errorf("form %q, a search: %v, has a csrf_token: %v", f.attr["action"], search, token)
		}
		if len(f.all("button")) == 0 {
			t.Errorf("form %q has no button", f.attr["action"])
		}
	}
	checkReferences(t, page, ids)
	checkErrors(t, page)
	for _, name := range []string{"a", "button"} {
		for _, e := range page.all(name) {
			shown, said := strings.TrimSpace(e.text), e.attr["aria-label"]
			if shown == "" && said == "" {
				t.Errorf("%s %v has no name", name, e.attr)
			}
			// Whoever speaks to their computer says what they see (WCAG 2.5.3).
			if said != "" && !strings.Contains(strings.ToLower(said), strings.ToLower(shown)) {
				t.Errorf("%s shows %q and is called %q", name, shown, said)
			}
		}
	}
	for _, img := range page.all("img") {
		if img.attr["alt"] == "" {
			t.Error("a picture has no text")
		}
	}
	for _, when := range page.all("time") {
		at, err := time.Parse(time.RFC3339, when.attr["datetime"])
		if err != nil || at.Location() != time.UTC || at.IsZero() {
			t.Errorf("time %q is not an instant", when.attr["datetime"])
		}
		if !strings.Contains(when.text, "JST") && !strings.Contains(when.text, "日本時間") {
			t.Errorf("time %q names no zone", when.text)
		}
	}
}

// checkReferences: what points at an id points at one that is there.
func checkReferences(t *testing.T, page *element, ids map[string]int) {
	t.Helper()
	var walk func(*element)
	walk = func(e *element) {
		for _, name := range []string{"aria-describedby", "aria-labelledby", "for"} {
			for _, id := range strings.Fields(e.attr[name]) {
				if ids[id] == 0 {
					t.Errorf("%s %s points at %q, which is not there", e.name, name, id)
				}
			}
		}
		if id, ok := strings.CutPrefix(e.attr["href"], "#"); ok && ids[id] == 0 {
			t.Errorf("link to #%s, which is not there", id)
		}
		for _, in := range e.inner {
			walk(in)
		}
	}
	walk(page)
}

// checkErrors: a page with faults says so in its title and in a summary that is
// announced and can be focused, and each input at fault is tied to its sentence.
func checkErrors(t *testing.T, page *element) {
	t.Helper()
	var summary *element
	for _, d := range page.all("div") {
		if d.attr["id"] == "faults" {
			summary = d
		}
	}
	title := page.all("title")[0].text
	prefixed := strings.HasPrefix(title, "エラー：") || strings.HasPrefix(title, "Error: ")
	if prefixed != (summary != nil) {
		t.Errorf("title %q and summary %v do not agree", title, summary != nil)
	}
	if summary == nil {
		return
	}
	if summary.attr["role"] != "alert" || summary.attr["tabindex"] != "-1" || strings.TrimSpace(summary.text) == "" {
		t.Errorf("the summary %v is not announced or cannot be focused", summary.attr)
	}
	for _, link := range summary.all("a") {
		id := strings.TrimPrefix(link.attr["href"], "#")
		for _, in := range append(page.all("input"), page.all("textarea")...) {
			if in.attr["id"] == id && (in.attr["aria-invalid"] != "true" || !strings.Contains(in.attr["aria-describedby"], id+"-wrong-0")) {
				t.Errorf("input %q is not tied to its fault: %v", id, in.attr)
			}
		}
	}
}

// TestPagesAreAllSeen: a template that no scene shows is one that no test holds
// to anything.
func TestPagesAreAllSeen(t *testing.T) {
	titles := map[string]bool{}
	for _, sc := range scenes {
		titles[parse(t, sc.show(newWorld(t)).body).all("h1")[0].text] = true
	}
	files, err := filepath.Glob("templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	g := mustLoad().tongues["ja"]
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`<h1>{{t "([a-z_.]+)"}}`).FindStringSubmatch(string(raw))
		if m != nil && !titles[g.say(m[1])] {
			t.Errorf("no scene shows %s", file)
		}
	}
}
