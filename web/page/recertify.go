package page

import (
	"bytes"
	"context"
	"encoding/csv"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/recertify"
	"sekisho/authz/report"
	"sekisho/policy"
	"sekisho/web"
)

// Recertify is where sections confirm what their people still need; authz/recertify is
// one.
type Recertify interface {
	Rounds(ctx context.Context, o signin.Origin, cookie string) ([]recertify.Shown, error)
	Sheet(ctx context.Context, o signin.Origin, cookie, round string, q recertify.Query) (recertify.Sheet, error)
	Decide(ctx context.Context, o signin.Origin, cookie, round string, lines []string, end bool, comment string) (recertify.Result, error)
	Each(ctx context.Context, o signin.Origin, cookie, round string, each func(recertify.Round, recertify.Line) error) error
	// Waiting counts the lines that are put before the reader.
	Waiting(ctx context.Context, o signin.Origin, cookie string) (int, error)
	// May reports whether there is anything for somebody to see.
	May(who approval.Holder) bool
}

func (h *house) mountRecertify() {
	m := h.srv.Mount
	m("GET /recertify", h.recertifications)
	m("GET /recertify/{id}", h.recertification)
	m("POST /recertify/{id}", h.recertify)
	m("GET /recertify/{id}/file", h.recertifyFile)
}

// recertifies reports whether the reader has a use for these pages. It chooses a door, and
// the page asks again.
func (h *house) recertifies(r *web.Request, step signin.Step) bool {
	return h.Recertify != nil && h.Recertify.May(approval.Holder{Person: step.Person, Posts: r.Policy().PostsOf(step.Person.Groups)})
}

type recertifyPage struct {
	Rooms    []room
	Rounds   []roundCard
	Articles []policy.Article
}

// A roundCard is one round with its sections.
type roundCard struct {
	ID, Name, Kind string
	State          tag
	Began          string
	Ends           template.HTML
	Waits          bool // the reader may decide in it still
	Mine           int
	Parts          []partLine
	Open           bool
}

type partLine struct {
	ID, Name                    string
	All, Left, Kept, Over, Else int
}

// recertifications are the rounds that the reader sees.
func (h *house) recertifications(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	all, err := h.Recertify.Rounds(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/recertify")
	}
	p := recertifyPage{Rooms: h.counters(r, step, "recertify"), Articles: []policy.Article{"62-6", "63-2(1)", "79-4"}}
	for _, one := range all {
		p.Rounds = append(p.Rounds, h.roundCard(r, one))
	}
	v := h.view(r, step, p)
	v.Wide, v.Switch = true, switchURL(r, "/recertify")
	return h.show(w, r, http.StatusOK, "recertify", v)
}

func (h *house) roundCard(r *web.Request, one recertify.Shown) roundCard {
	g, now := h.tongue(r), h.srv.Now()
	c := roundCard{
		ID: one.ID, Name: r.Say(one.Name), Kind: h.recertifyKind(r, one.Kind), State: h.roundState(r, one.State), Began: g.day(one.BeganAt), Ends: g.end(one.Ends, now),
		Mine: one.Mine, Waits: one.State == recertify.Open || one.State == recertify.Halted, Open: slices.Contains([]recertify.State{recertify.Open, recertify.Halted, recertify.Ending}, one.State),
	}
	if !c.Open {
		c.Ends = g.near(one.EndedAt, now)
	}
	for _, part := range one.Parts {
		line := partLine{ID: part.Section, Name: sectionName(r, part.Section)}
		line.All, line.Left = part.Of()
		line.Kept = part.States[recertify.Confirmed]
		line.Over = part.States[recertify.Ended] + part.States[recertify.Leaving]
		line.Else = line.All - line.Left - line.Kept - line.Over
		if line.Name == "" {
			line.Name = "–"
		}
		c.Parts = append(c.Parts, line)
	}
	return c
}

func (h *house) recertifyKind(r *web.Request, kind string) string {
	g := h.tongue(r)
	switch kind {
	case policy.RecertifyIDs:
		return g.say("recertify.kind_ids")
	case policy.RecertifyEligibility:
		return g.say("recertify.kind_eligibility")
	}
	return g.say("recertify.kind_permits")
}

func (h *house) roundState(r *web.Request, s recertify.State) tag {
	g := h.tongue(r)
	switch s {
	case recertify.Open:
		return tag{g.say("recertify.open"), "live"}
	case recertify.Halted:
		return tag{g.say("recertify.halted"), "bad"}
	case recertify.Ending:
		return tag{g.say("recertify.ending"), "warn"}
	case recertify.Dropped:
		return tag{g.say("recertify.dropped"), "plain"}
	case recertify.Superseded:
		return tag{g.say("recertify.superseded"), "plain"}
	}
	return tag{g.say("recertify.done"), "plain"}
}

type roundPage struct {
	Rooms    []room
	Path     string
	Here     string // with what is narrowed, for the answer to come back to
	Round    roundCard
	Lines    []roundLine
	Can      bool // one of them is the reader's to decide
	Prove    string
	Yes, No  string
	Sections []option
	Shows    []option
	Comment  string
	Alone    string // how many lines more the reader ends without a second person
	First    string
	Next     string
	File     string
	Articles []policy.Article
}

// A roundLine is one thing that is to be confirmed.
type roundLine struct {
	ID, Who, Login, Section, Kind string
	Posts                         string
	What, Sub                     string
	Used                          string
	Can, Chosen                   bool
	State                         tag
	Why                           string
}

// pageLines is how many lines a page holds: a section is mostly one page.
const pageLines = 200

// recertification is the lines of a round: those that are put before the reader, or all
// that they see.
func (h *house) recertification(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	return h.roundPage(w, r, step, nil, refused{Status: http.StatusOK})
}

func (h *house) roundPage(w http.ResponseWriter, r *web.Request, step signin.Step, chosen []string, said refused) error {
	path, asked, g := "/recertify/"+url.PathEscape(r.PathValue("id")), r.URL.Query(), h.tongue(r)
	q := recertify.Query{Section: asked.Get("section"), After: asked.Get("after"), Limit: pageLines}
	switch show := asked.Get("show"); show {
	case "", "mine":
		q.Mine, q.State = true, recertify.Waits
	case "open":
		q.State = recertify.Waits
	case "held":
		q.State = recertify.Held
	}
	sheet, err := h.Recertify.Sheet(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), q)
	if err == nil && asked.Get("show") == "" && sheet.Mine == 0 { // nothing is put before them: they look
		q.Mine, q.State = false, ""
		sheet, err = h.Recertify.Sheet(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), q)
	}
	if err != nil {
		return h.turned(w, r, err, path)
	}
	p := roundPage{Rooms: h.counters(r, step, "recertify"), Path: path, Round: h.roundCard(r, sheet.Shown), Prove: stepUpLink(sheet.StepUp, here(path, asked)), File: path + "/file", Articles: articlesOfRound(sheet.Kind)}
	p.Yes, p.No = h.roundSays(r, sheet.Kind)
	for _, l := range sheet.Lines {
		line := h.roundLine(r, sheet.Round, l)
		line.Chosen = slices.Contains(chosen, l.ID)
		p.Can = p.Can || line.Can
		p.Lines = append(p.Lines, line)
	}
	if p.Can {
		if p.Alone, err = g.n("recertify.alone", sheet.Alone); err != nil {
			return err
		}
	}
	if len(said.Faults) > 0 {
		p.Comment = r.PostForm.Get("comment")
	}
	choose := func(name, value, says string) option { return option{value, says, asked.Get(name) == value} }
	for _, part := range sheet.Parts {
		if part.Section == "" {
			continue // "" is all of them
		}
		p.Sections = append(p.Sections, choose("section", part.Section, sectionName(r, part.Section)))
	}
	p.Shows = []option{choose("show", "mine", g.say("recertify.show_mine")), choose("show", "open", g.say("recertify.show_open")), choose("show", "held", g.say("recertify.show_held")), choose("show", "all", g.say("recertify.show_all"))}
	if asked.Get("show") == "" {
		p.Shows[0].Chosen, p.Shows[3].Chosen = q.Mine, !q.Mine
	}
	at := func(after string) string {
		to := url.Values{}
		for _, k := range []string{"section", "show"} {
			if v := asked.Get(k); v != "" {
				to.Set(k, v)
			}
		}
		if after != "" {
			to.Set("after", after)
		}
		return here(path, to)
	}
	p.Here = at("")
	if q.After != "" {
		p.First = at("")
	}
	if sheet.Next != "" {
		p.Next = at(sheet.Next)
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles, v.Switch = true, said.Faults, said.Articles, switchURL(r, path)
	if len(said.Faults) == 0 {
		v.Notice = h.roundDone(r)
	}
	return h.show(w, r, said.Status, "round", v)
}

// here is a path with what was asked.
func here(path string, asked url.Values) string {
	if len(asked) == 0 {
		return path
	}
	return path + "?" + asked.Encode()
}

func articlesOfRound(kind string) []policy.Article {
	switch kind {
	case policy.RecertifyEligibility:
		return []policy.Article{"62-6"}
	case policy.RecertifyPermits:
		return []policy.Article{"63-2(1)", "79-4"}
	}
	return []policy.Article{"62-3", "62-5", "79-4"}
}

// roundSays is what a yes and a no do.
func (h *house) roundSays(r *web.Request, kind string) (yes, no string) {
	g := h.tongue(r)
	switch kind {
	case policy.RecertifyIDs:
		return g.say("recertify.yes_ids"), g.say("recertify.no_ids")
	case policy.RecertifyEligibility:
		return g.say("recertify.yes_eligibility"), g.say("recertify.no_eligibility")
	}
	return g.say("recertify.yes_permits"), g.say("recertify.no_permits")
}

func (h *house) lineState(r *web.Request, l recertify.Line) tag {
	g := h.tongue(r)
	switch l.State {
	case recertify.Waits:
		return tag{g.say("recertify.line_open"), "warn"}
	case recertify.Confirmed:
		return tag{g.say("recertify.line_confirmed"), "good"}
	case recertify.ToEnd:
		return tag{g.say("recertify.line_to_end"), "warn"}
	case recertify.Leaving, recertify.Agreed:
		return tag{g.say("recertify.line_ending"), "warn"}
	case recertify.Owed:
		return tag{g.say("recertify.line_owed"), "bad"}
	case recertify.Held:
		return tag{g.say("recertify.line_held"), "bad"}
	case recertify.Void:
		return tag{g.say("recertify.line_void"), "plain"}
	case recertify.Left:
		return tag{g.say("recertify.line_left"), "plain"}
	}
	return tag{g.say("recertify.line_ended"), "plain"}
}

// recertify takes the reader's word on the lines that were ticked.
func (h *house) recertify(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	path, answer, chosen, g := "/recertify/"+url.PathEscape(r.PathValue("id")), r.PostForm.Get("answer"), r.PostForm["line"], h.tongue(r)
	if answer != "confirm" && answer != "end" {
		return h.roundPage(w, r, step, chosen, refused{http.StatusUnprocessableEntity, []Fault{{"", g.say("recertify.need_answer")}}, nil})
	}
	res, err := h.Recertify.Decide(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), chosen, answer == "end", strings.TrimSpace(r.PostForm.Get("comment")))
	if err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.roundPage(w, r, step, chosen, said.placed(func(field string) string {
				if field == "line" {
					return "lines"
				}
				return field
			}))
		}
		return h.turned(w, r, err, here(path, r.URL.Query()))
	}
	decided := res.Confirmed + res.Ended + res.Owed + res.Asked
	if len(res.Not) > 0 {
		said := refused{Status: http.StatusConflict}
		if says, err := g.n("recertify.done_some", decided); err == nil && decided > 0 {
			said.Faults = append(said.Faults, Fault{"", says})
		}
		for i, one := range res.Not {
			if i == mostFaults {
				break
			}
			said.Faults, said.Articles = append(said.Faults, Fault{"", refName(one.Line.Person) + g.say("me.colon") + r.Say(one.Why.Says)}), one.Why.Articles
		}
		return h.roundPage(w, r, step, nil, said)
	}
	to := url.Values{"done": {answer}, "n": {strconv.Itoa(decided)}}
	for _, k := range []string{"section", "show"} {
		if v := r.URL.Query().Get(k); v != "" {
			to.Set(k, v)
		}
	}
	switch {
	case res.Asked > 0 && res.Asked == decided:
		to.Set("done", "asked")
	case res.Asked > 0:
		to.Set("done", "asked_some")
	case res.Owed > 0:
		to.Set("done", "owed")
	}
	return redirect(w, r, path, to)
}

// mostFaults is of how many lines it is said why they were not decided.
const mostFaults = 10

func (h *house) roundDone(r *web.Request) notice {
	g := h.tongue(r)
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 0 || n > recertify.MostAtOnce {
		return notice{}
	}
	var says string
	switch r.URL.Query().Get("done") {
	case "confirm":
		says, err = g.n("recertify.done_confirm", n)
	case "end":
		says, err = g.n("recertify.done_end", n)
	case "owed":
		says, err = g.n("recertify.done_owed", n)
	case "asked":
		says, err = g.n("recertify.done_asked", n)
	case "asked_some":
		says, err = g.n("recertify.done_asked_some", n)
	default:
		return notice{}
	}
	if err != nil {
		return notice{}
	}
	return notice{Says: says, Tone: "good"}
}

// recertifyFile is a round as a file, as far as the reader sees it. It is made whole
// before its first byte is sent.
func (h *house) recertifyFile(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	b := bytes.NewBufferString("\ufeff") // Excel takes it for UTF-8 by this
	out := csv.NewWriter(b)
	write := func(cells ...string) error {
		for i, c := range cells {
			cells[i] = report.Plain(c)
		}
		return out.Write(cells)
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	if err := write("section", "login", "name", "kind", "company", "posts", "what", "about", "until", "last_use", "state", "reason", "decided_by", "decided_at", "comment"); err != nil {
		return err
	}
	err = h.Recertify.Each(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), func(_ recertify.Round, l recertify.Line) error {
		posts := make([]string, len(l.Posts))
		for i, p := range l.Posts {
			posts[i] = string(p)
		}
		return write(l.Person.Section, l.Person.Login, l.Person.Name, string(l.Kind), l.Company, strings.Join(posts, " "), l.Object, strings.Join(l.About, " "), at(l.Until), at(l.LastUse),
			string(l.State), l.Reason, l.DecidedBy.Login, at(l.DecidedAt), l.Comment)
	})
	if out.Flush(); err == nil {
		err = out.Error()
	}
	if err != nil {
		return h.turned(w, r, err, "/recertify/"+url.PathEscape(r.PathValue("id")))
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="recertification-`+dayOf(h.srv.Now())+`.csv"`)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // if the reader has gone, there is nobody left to tell
	return nil
}
