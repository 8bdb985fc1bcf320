package page

import (
	"bytes"
	"encoding/csv"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/personnel"
	"sekisho/authz/report"
	"sekisho/policy"
	"sekisho/web"
)

// mostReturns is how many of those who leave one page shows.
const mostReturns = 100

type returnsPage struct {
	File, Path, Import string
	Leavers            []leaver
	More               string
	Waits, Returned    bool // something has not come back yet; something has
	Articles           []policy.Article
}

type leaver struct {
	Name, Login, Section, Day string
	Things                    []returned
}

type returned struct {
	ID    string // of its input
	Value string
	Says  string
	Back  template.HTML // when and who; "" for not yet
}

// thingWords are what the kinds of things are called.
func (g *tongue) thingWords() map[string]string {
	return map[string]string{"terminal": g.say("imports.thing_terminal"), "token": g.say("imports.thing_token"), "card": g.say("imports.thing_card"), "passkey": g.say("imports.thing_passkey")}
}

// importReturns is what those who leave give back, to be ticked off.
func (h *house) importReturns(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	return h.returnsPage(w, r, step, refused{Status: http.StatusOK})
}

func (h *house) returnsPage(w http.ResponseWriter, r *web.Request, step signin.Step, said refused) error {
	id, path := r.PathValue("id"), importPath(r.PathValue("id"))+"/returns"
	after, _ := strconv.Atoi(r.URL.Query().Get("after")) // what is no number is the beginning
	i, all, err := h.Imports.Returns(r.Context(), r.Origin, r.Cookie, id, max(0, after), mostReturns)
	if err != nil {
		return h.turned(w, r, err, path)
	}
	g, now := h.tongue(r), h.srv.Now()
	kinds := g.thingWords()
	p := returnsPage{File: i.File, Path: path, Import: importPath(id), Articles: []policy.Article{"38-7", "62-4"}}
	for _, one := range all {
		l := leaver{Name: one.Name, Login: one.Login, Section: h.sectionName(r, one.Section), Day: g.lastDay(one.Due)}
		for k, t := range one.Things {
			line := returned{ID: "back-" + strconv.Itoa(one.N) + "-" + strconv.Itoa(k), Value: strconv.Itoa(one.N) + " " + t.Kind + " " + t.ID, Says: strings.TrimSpace(kinds[t.Kind] + " " + t.ID)}
			if !t.Back.IsZero() {
				line.Back = g.near(t.Back, now) + template.HTML(template.HTMLEscapeString(g.say("me.dot")+t.By)) //nolint:gosec // both parts are escaped
				p.Returned = true
			} else {
				p.Waits = true
			}
			l.Things = append(l.Things, line)
		}
		p.Leavers = append(p.Leavers, l)
	}
	if len(all) == mostReturns {
		p.More = path + "?after=" + strconv.Itoa(all[len(all)-1].N)
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles, v.Switch = true, said.Faults, said.Articles, switchURL(r, path)
	if r.URL.Query().Get("done") == "returns" && len(said.Faults) == 0 {
		v.Notice = notice{Says: g.say("imports.done_returns"), Tone: "good"}
	}
	return h.show(w, r, said.Status, "importreturns", v)
}

// tickReturns writes down what has come back, or that it was a mistake.
func (h *house) tickReturns(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	back, chosen := true, r.PostForm["back"]
	if undo := r.PostForm["undo"]; len(undo) > 0 {
		back, chosen = false, undo
	}
	var things []personnel.Ticked
	for _, value := range chosen {
		parts := strings.SplitN(value, " ", 3)
		n, err := strconv.Atoi(parts[0])
		if len(parts) != 3 || err != nil {
			return web.Say(web.CodeMalformed, policy.Words{JA: "送られた内容を読めません。画面を開き直してください。", EN: "What was sent cannot be read. Open the page again."})
		}
		things = append(things, personnel.Ticked{N: n, Kind: parts[1], ID: parts[2]})
	}
	id := r.PathValue("id")
	path := importPath(id) + "/returns"
	if len(things) == 0 {
		return h.returnsPage(w, r, step, refused{http.StatusUnprocessableEntity, []Fault{{"", h.tongue(r).say("imports.returns_choose")}}, nil})
	}
	if err := h.Imports.GiveBack(r.Context(), r.Origin, r.Cookie, id, things, back); err != nil {
		return h.turned(w, r, err, path)
	}
	to := url.Values{"done": {"returns"}}
	if after := r.PostForm.Get("after"); after != "" {
		to.Set("after", after)
	}
	return redirect(w, r, path, to)
}

// importReturnsSheet is the same as a sheet, for those who tick on paper.
func (h *house) importReturnsSheet(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id := r.PathValue("id")
	_, all, err := h.Imports.Returns(r.Context(), r.Origin, r.Cookie, id, 0, personnel.MostLines)
	if err != nil {
		return h.turned(w, r, err, importPath(id))
	}
	g := h.tongue(r)
	b := bytes.NewBufferString("\ufeff") // Excel takes it for UTF-8 by this
	out := csv.NewWriter(b)
	out.UseCRLF = true
	rows := [][]string{{g.say("people.name"), "login", g.say("office.section"), g.say("imports.returns_day"), g.say("imports.returns_thing"), g.say("imports.returns_id"), g.say("imports.returns_back")}}
	kinds := g.thingWords()
	for _, one := range all {
		things := one.Things
		if len(things) == 0 {
			things = []personnel.Thing{{}}
		}
		for _, t := range things {
			back := ""
			if !t.Back.IsZero() {
				back = t.Back.In(japan).Format(time.DateOnly) + " " + t.By
			}
			rows = append(rows, []string{
				report.Plain(one.Name), report.Plain(one.Login), report.Plain(h.sectionName(r, one.Section)), one.Due.In(japan).Format(time.DateOnly), kinds[t.Kind], report.Plain(t.ID), back,
			})
		}
	}
	if err := out.WriteAll(rows); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="returns-`+dayOf(h.srv.Now())+`.csv"`)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // if the reader has gone, there is nobody left to tell
	return nil
}
