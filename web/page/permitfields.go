package page

import (
	"net/url"
	"slices"

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
