package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// A formField is one field of a form that is made from data.
type formField struct {
	Name, Label, Hint string
	Kind              string // line, text, pick or ticks
	Must              bool
	Value             string
	Most              int
	Min, Max          string
	Type              string   // of a line
	Choices           []choice // of a line: what is suggested
}

// A formGroup is fields that belong together.
type formGroup struct {
	ID, Legend, Hint string
	Fields           []formField
	Folds, Open      bool // few need it: it is folded, but where something was entered
}

type permitAskPage struct {
	Rooms            []room
	Kind, Name, Says string
	Renews           string // the permit that it follows; "" for none
	Key              string // of the form
	Groups           []formGroup
	Deciders         []string
	Enforced, Remote bool
	Done             bool
	Confirms         []string // what whoever decides will look at
	Articles         []policy.Article
	Outside          string // the address from which the reader is outside now; "" inside
}

// chooseKindPage is the page of who has not said what they ask for.
type chooseKindPage struct {
	Rooms         []room
	Kinds, Others []kindLine
}

// permitForm shows what is asked for, with what the refusal that led here says
// already, or what a permit said that is renewed.
func (h *house) permitForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	q := r.URL.Query()
	if q.Get("kind") == "" && q.Get("renew") == "" {
		return h.chooseKind(w, r, step)
	}
	kind, old := q.Get("kind"), desk.Permit{}
	if id := q.Get("renew"); id != "" {
		if old, err = h.Permits.Permit(r.Context(), r.Origin, r.Cookie, id); err != nil {
			return h.turned(w, r, err, renewPath(id))
		}
		kind = old.Kind
	}
	form, err := h.Permits.PermitForm(r.Context(), r.Origin, r.Cookie, kind)
	if err != nil {
		return h.turned(w, r, err, r.URL.RequestURI())
	}
	if form.StepUp != nil {
		return h.turned(w, r, form.StepUp, r.URL.RequestURI())
	}
	if !form.Ask.OK {
		return &web.Refusal{Problem: web.Problem{Code: web.CodeState, Detail: form.Ask.Why, Articles: form.Ask.Articles}}
	}
	wish := h.proposedWish(r, form)
	if old.ID != "" {
		wish = old.Wish
		wish.Kind, wish.Renews, wish.From, wish.Until = old.Kind, old.ID, h.srv.Now(), form.Until
		if h.srv.Now().Before(old.Until) && old.State == desk.Approved {
			wish.From, wish.Until = old.Until, yearEnd(old.Until)
		}
	}
	p := h.permitAskPage(r, step, form, typedWish(wish, form))
	v := h.view(r, step, p)
	v.Wide = true
	v.Switch = r.URL.Path + "?" + switched(q, h.tongue(r).lang).Encode()
	return h.show(w, r, http.StatusOK, "permitask", v)
}

// switched is a query for the same page in the other language.
func switched(q url.Values, lang string) url.Values {
	out := url.Values{}
	for name, values := range q {
		out[name] = values
	}
	out.Set("lang", other(lang))
	return out
}

// chooseKind asks what it is about.
func (h *house) chooseKind(w http.ResponseWriter, r *web.Request, step signin.Step) error {
	kinds, err := h.Permits.PermitKinds(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, web.PermitPath)
	}
	p := chooseKindPage{Rooms: h.gates(r, step, "/permits")}
	p.Kinds, p.Others = h.kindLines(r, kinds)
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "permitkinds", v)
}

// proposedWish is what an address says of what is wanted: a refusal's link names
// the kind and the application, and this request comes from the network that was
// refused.
func (h *house) proposedWish(r *web.Request, f desk.PermitForm) desk.PermitWish {
	q := r.URL.Query()
	wish := desk.PermitWish{Kind: f.ID, From: h.srv.Now(), Until: f.Until, Stated: map[string][]string{}}
	app, _ := r.Policy().Application(q.Get("application"))
	for _, field := range f.Fields {
		switch said := q[field.ID]; {
		case len(said) > 0:
			wish.Stated[field.ID] = said
		case field.Type == desk.FieldApplications && app.ID != "":
			wish.Stated[field.ID] = []string{app.ID}
		case field.Type == desk.FieldZone && app.ID != "" && r.Origin.Zone != app.Zone:
			wish.Stated[field.ID] = []string{string(r.Origin.Zone)}
		case field.Type == desk.FieldPath:
			wish.Stated[field.ID] = []string{"/"}
		case field.Type == desk.FieldChoice && len(field.Choices) > 0 && field.ID == "protocol":
			wish.Stated[field.ID] = field.Choices[:1]
		case field.Type == desk.FieldDays:
			// Working days are what most ask for; whoever needs more says so.
			wish.Stated[field.ID] = week()[:5]
		case field.Type == desk.FieldHours:
			wish.Stated[field.ID] = []string{"08:00-20:00"}
		}
	}
	return wish
}

// typedWish is a wish as a form that was filled in would have sent it.
func typedWish(w desk.PermitWish, f desk.PermitForm) url.Values {
	v := url.Values{"kind": {w.Kind}, "renew": {w.Renews}, "reason": {w.Reason}, "person": {w.Person}, "from": {dayOf(w.From)}, "until": {lastDayOf(w.Until)}}
	for _, field := range f.Fields {
		said := w.Stated[field.ID]
		switch field.Type {
		case desk.FieldHours, desk.FieldNetworks:
			said = []string{strings.Join(said, ", ")}
		}
		v[statedName(field.ID)] = said
	}
	return v
}

// statedName is the input of a field that a kind asks for.
func statedName(id string) string { return "stated-" + id }

func dayOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(japan).Format(time.DateOnly)
}

// lastDayOf is the last day before an end.
func lastDayOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return dayOf(t.Add(-time.Second))
}

// permitAskPage is the form of a kind, filled with what was typed.
func (h *house) permitAskPage(r *web.Request, step signin.Step, f desk.PermitForm, typed url.Values) permitAskPage {
	g := h.tongue(r)
	p := permitAskPage{
		Rooms: h.gates(r, step, "/permits"), Kind: f.ID, Name: r.Say(f.Name), Says: r.Say(f.Says), Renews: typed.Get("renew"), Deciders: inWords(r, f.Deciders),
		Enforced: f.Enforced, Remote: f.ID == desk.RemoteAccess, Done: f.Done, Articles: f.Articles, Key: keptKey(r),
	}
	if r.Origin.Outside {
		p.Outside = r.Origin.Source.String()
	}
	form := &formMaker{h: h, r: r, g: g, typed: typed, offers: f}
	p.Groups = form.groups()
	for _, c := range f.Confirms {
		if c.Instead == "" {
			p.Confirms = append(p.Confirms, r.Say(c.Says))
		}
	}
	return p
}

// A formMaker makes fields in the reader's language with what they have typed.
type formMaker struct {
	h      *house
	r      *web.Request
	g      *tongue
	typed  url.Values
	offers desk.PermitForm
}

// groups are the fields of a kind as its form shows them: what it is about first,
// then when, for whom else, from where, and how long.
func (m *formMaker) groups() []formGroup {
	g := m.g
	what := formGroup{Fields: []formField{m.text("reason", g.say("lease.reason"), g.say("pask.reason_hint"), true, mostReason)}}
	hours := formGroup{ID: "hours", Legend: g.say("pask.hours"), Hint: g.say("pask.hours_hint")}
	others := formGroup{ID: "others", Legend: g.say("pask.others"), Hint: g.say("pask.others_hint"), Folds: true}
	if m.offers.Others {
		others.Fields = []formField{m.line("person", g.say("pask.person"), g.say("pask.person_hint"), false, mostID)}
	}
	place := formGroup{ID: "place", Legend: g.say("pask.place"), Folds: true}
	for _, f := range m.offers.Fields {
		to := &what
		switch {
		case f.OfContractor && m.offers.Others:
			to = &others
		case f.OfContractor:
			continue // whoever asks is not asked for what is theirs to know
		case f.Type == desk.FieldDays || f.Type == desk.FieldHours:
			to = &hours
		case f.Type == desk.FieldNetworks:
			to = &place
		}
		to.Fields = append(to.Fields, m.stated(f))
	}
	var out []formGroup
	for _, one := range []formGroup{what, hours, others, place, m.term()} {
		one.Open = slices.ContainsFunc(one.Fields, func(f formField) bool { return f.Value != "" })
		if len(one.Fields) > 0 {
			out = append(out, one)
		}
	}
	return out
}

// stated is a field that a kind asks for.
func (m *formMaker) stated(f desk.PermitField) formField {
	g, name, label := m.g, statedName(f.ID), m.r.Say(f.Label)
	must := f.Must && !f.OfContractor
	switch f.Type {
	case desk.FieldDate:
		return m.day(name, label, "", must)
	case desk.FieldTerminal:
		field := m.line(name, label, g.say("pask.terminal_hint"), must, mostID)
		for _, c := range m.offers.Terminals {
			field.Choices = append(field.Choices, choice{Value: c.Value, Says: m.r.Say(c.Says)})
		}
		return field
	case desk.FieldApplication:
		return m.pick(name, label, "", must, m.offers.Applications)
	case desk.FieldZone:
		return m.pick(name, label, "", must, m.offers.Zones)
	case desk.FieldChoice:
		var choices []desk.PermitChoice
		for _, c := range f.Choices {
			choices = append(choices, desk.PermitChoice{Value: c, Says: policy.Words{JA: c, EN: c}})
		}
		return m.pick(name, label, "", must, choices)
	case desk.FieldApplications:
		field := m.ticks(name, label, g.say("pask.applications_hint"), must)
		for _, c := range m.offers.Applications {
			field.Choices = append(field.Choices, choice{c.Value, m.r.Say(c.Says), slices.Contains(m.typed[name], c.Value)})
		}
		return field
	case desk.FieldDays:
		field := m.ticks(name, label, "", must)
		for _, d := range week() {
			field.Choices = append(field.Choices, choice{d, g.weekday(d), slices.Contains(m.typed[name], d)})
		}
		return field
	case desk.FieldHours:
		return m.line(name, label, g.say("pask.hours_how"), must, mostName)
	case desk.FieldNetworks:
		return m.line(name, label, g.say("pask.networks_hint"), must, mostReason)
	case desk.FieldPath:
		return m.line(name, label, g.say("pask.path_hint"), must, mostReason)
	}
	return m.line(name, label, "", must, mostReason)
}

func (m *formMaker) line(name, label, hint string, must bool, most int) formField {
	return formField{Name: name, Label: label, Hint: hint, Kind: "line", Type: "text", Must: must, Value: m.typed.Get(name), Most: most}
}

func (m *formMaker) text(name, label, hint string, must bool, most int) formField {
	f := m.line(name, label, hint, must, most)
	f.Kind = "text"
	return f
}

func (m *formMaker) day(name, label, hint string, must bool) formField {
	f := m.line(name, label, hint, must, 0)
	f.Type = "date"
	return f
}

func (m *formMaker) pick(name, label, hint string, must bool, choices []desk.PermitChoice) formField {
	f := m.line(name, label, hint, must, 0)
	f.Kind = "pick"
	for _, c := range choices {
		f.Choices = append(f.Choices, choice{c.Value, m.r.Say(c.Says), f.Value == c.Value})
	}
	return f
}

func (m *formMaker) ticks(name, label, hint string, must bool) formField {
	return formField{Name: name, Label: label, Hint: hint, Kind: "ticks", Must: must}
}

// term is from when until when.
func (m *formMaker) term() formGroup {
	g, f, today := m.g, m.offers, dayOf(m.h.srv.Now())
	from, until := m.day("from", g.say("pask.from"), "", true), m.day("until", g.say("pask.until"), g.say("pask.until_hint"), true)
	from.Min, until.Min, until.Max = today, today, lastDayOf(f.Last)
	if !f.Until.IsZero() {
		until.Hint = g.say("pask.until_proposed", "Day", g.lastDay(f.Until))
	}
	return formGroup{ID: "term", Legend: g.say("pask.term"), Fields: []formField{from, until}}
}

// MostID and mostName are how long a login or an id, and a name, may be.
const (
	mostID   = 128
	mostName = 200
)

// week is a week as people here write it, from Monday.
func week() []string {
	days := policy.Weekdays()
	return append(days[1:], days[0])
}

func (g *tongue) weekday(day string) string {
	switch day {
	case "mon":
		return g.say("day.mon")
	case "tue":
		return g.say("day.tue")
	case "wed":
		return g.say("day.wed")
	case "thu":
		return g.say("day.thu")
	case "fri":
		return g.say("day.fri")
	case "sat":
		return g.say("day.sat")
	case "sun":
		return g.say("day.sun")
	}
	return day
}

// askPermit asks, and leads to what was asked for.
func (h *house) askPermit(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	form, err := h.Permits.PermitForm(r.Context(), r.Origin, r.Cookie, r.PostForm.Get("kind"))
	if err != nil {
		return h.turned(w, r, err, web.PermitPath)
	}
	wish, faults := h.readWish(r, form)
	if len(faults) == 0 {
		var made desk.Permit
		if made, err = h.Permits.AskPermit(r.Context(), r.Origin, r.Cookie, wish); err == nil {
			done := "asked"
			if made.State == desk.Approved {
				done = "granted"
			}
			return redirect(w, r, permitPath(made.ID), url.Values{"done": {done}})
		}
	}
	said := refused{http.StatusUnprocessableEntity, faults, nil}
	if len(faults) == 0 {
		var ok bool
		if said, ok = h.inOffice(w, r, err); !ok {
			return h.turned(w, r, err, askPermitPath(form.ID, nil))
		}
	}
	p := h.permitAskPage(r, step, form, r.PostForm)
	h.placed(r, p.Groups, said.Faults)
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles = true, said.Faults, said.Articles
	v.Switch = switchURL(r, web.PermitPath) + "&" + url.Values{"kind": {form.ID}}.Encode()
	return h.show(w, r, said.Status, "permitask", v)
}

// placed puts faults at the inputs they are about: a service names a field as the
// API does, or one value of a list, or what the form does not ask for.
func (h *house) placed(r *web.Request, groups []formGroup, faults []Fault) {
	known := func(name string) bool {
		return slices.ContainsFunc(groups, func(g formGroup) bool {
			return slices.ContainsFunc(g.Fields, func(f formField) bool { return f.Name == name })
		})
	}
	for i, f := range faults {
		name, _, _ := strings.Cut(f.Field, "[")
		switch {
		case known(name):
			faults[i].Field = name
		case known(statedName(name)):
			faults[i].Field = statedName(name)
		default:
			faults[i].Field = ""
		}
		for j, g := range groups {
			for _, one := range g.Fields {
				if one.Name == faults[i].Field && one.Name != "" {
					groups[j].Open = true // what is to be mended is not folded away
					faults[i].Says = one.Label + h.tongue(r).say("me.colon") + f.Says
				}
			}
		}
	}
}

// readWish reads a form. What can be seen to be wrong here is said at once, all
// of it; the rules are the book's.
func (h *house) readWish(r *web.Request, f desk.PermitForm) (desk.PermitWish, []Fault) {
	g, in := h.tongue(r), formReader{h: h, r: r}
	wish := desk.PermitWish{Kind: f.ID, Renews: in.get("renew"), Reason: in.line("reason", mostReason, true), Stated: map[string][]string{}, Key: keyOf(r, "")}
	if f.Others {
		wish.Person = in.line("person", mostID, false)
	}
	for _, one := range f.Fields {
		name, must := statedName(one.ID), one.Must && !one.OfContractor
		if one.OfContractor && !f.Others {
			continue
		}
		var said []string
		switch one.Type {
		case desk.FieldDate:
			in.day(name, must)
			said = []string{narrowed(in.get(name))}
		case desk.FieldApplications, desk.FieldDays:
			if said = r.PostForm[name]; len(said) == 0 && must {
				in.wrong(name, g.say("pask.choose_one"))
			}
		case desk.FieldHours, desk.FieldNetworks:
			said = listed(in.line(name, mostReason, must))
		case desk.FieldChoice, desk.FieldZone, desk.FieldApplication, desk.FieldTerminal:
			said = []string{in.line(name, mostID, must)}
		default:
			said = []string{in.line(name, mostReason, must)}
		}
		if said = slices.DeleteFunc(slices.Clone(said), func(s string) bool { return s == "" }); len(said) > 0 {
			wish.Stated[one.ID] = said
		}
	}
	wish.From, wish.Until = in.day("from", true), in.day("until", true)
	if !wish.Until.IsZero() {
		wish.Until = wish.Until.AddDate(0, 0, 1) // the day that is named is the last one
		if wish.Until.Before(wish.From.AddDate(0, 0, 1)) {
			in.wrong("until", g.say("pask.until_early"))
		}
	}
	return wish, in.faults
}

// listed takes apart what was typed as a list, and writes digits and marks as
// programs do.
func listed(text string) []string {
	text = strings.NewReplacer("：", ":", "〜", "-", "～", "-", "－", "-", "−", "-", "／", "/", "．", ".").Replace(narrowed(text))
	return strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" ,、，　\n\r\t", c) })
}

// A formReader reads a form and gathers what is wrong with it.
type formReader struct {
	h      *house
	r      *web.Request
	faults []Fault
}

func (in *formReader) get(name string) string { return strings.TrimSpace(in.r.PostForm.Get(name)) }

func (in *formReader) wrong(name, says string) { in.faults = append(in.faults, Fault{name, says}) }

func (in *formReader) line(name string, most int, must bool) string {
	text := in.get(name)
	in.faults = append(in.faults, in.h.text(in.r, name, text, most, must)...)
	return text
}

func (in *formReader) day(name string, must bool) time.Time {
	text := narrowed(in.get(name))
	if text == "" {
		if must {
			in.faults = append(in.faults, in.h.text(in.r, name, text, mostID, true)...)
		}
		return time.Time{}
	}
	t, err := time.ParseInLocation(time.DateOnly, text, japan)
	if err != nil {
		in.wrong(name, in.h.tongue(in.r).say("pask.day_wrong"))
		return time.Time{}
	}
	return t
}
