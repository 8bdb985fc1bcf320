package page

import (
	"strings"

	"sekisho/policy/sheet"
	"sekisho/web"
)

// A form that takes a file has a field "file" for it and another, "data", to paste it
// into instead; the templates "file" and "paste" show them (a page with a Data).

// broughtIn is what such a form brings; field is the one it came by. Its data are nil
// where it brings nothing, or both.
func broughtIn(r *web.Request) (data []byte, field string, both bool) {
	pasted := r.PostForm.Get("data")
	file, chosen := r.File("file")
	switch empty := strings.TrimSpace(pasted) == ""; {
	case chosen && !empty:
		return nil, "file", true
	case chosen:
		return file.Data, "file", false
	case empty:
		return nil, "file", false
	}
	return []byte(pasted), "data", false
}

// table is the text of the table that a form brings; fault says what is wrong with it.
func (g *tongue) table(r *web.Request) (text, field string, fault []Fault) {
	data, field, both := broughtIn(r)
	if both {
		return "", field, []Fault{{field, g.say("file.both")}}
	}
	text, err := sheet.Text(data)
	switch {
	case err != nil:
		return "", field, []Fault{{field, g.say("file.not_text")}}
	case strings.TrimSpace(text) == "":
		return "", field, []Fault{{field, g.say("file.need")}}
	}
	return text, field, nil
}
