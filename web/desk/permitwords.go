package desk

import (
	"strings"

	"sekisho/authz"
	"sekisho/authz/permit"
	"sekisho/policy"
)

// applicationName is what people call an application, or a program that is one.
func applicationName(p *policy.Policy, id string) policy.Words {
	if a, ok := p.Application(id); ok && !a.Name.IsEmpty() {
		return a.Name
	}
	for _, c := range p.Clients {
		if a, ok := p.ClientApplication(c); ok && a.ID == id && !c.Name.IsEmpty() {
			return c.Name
		}
	}
	return policy.Words{JA: id, EN: id}
}

func company(s permit.Stated) string {
	name := s.One("company")
	if sub := s.One("subcontractor"); sub != "" {
		name += "（" + sub + "）"
	}
	return name
}

// dayNames are what people call the days of the policy.
var dayNames = map[string]policy.Words{
	"mon": {JA: "月", EN: "Mon"}, "tue": {JA: "火", EN: "Tue"}, "wed": {JA: "水", EN: "Wed"}, "thu": {JA: "木", EN: "Thu"},
	"fri": {JA: "金", EN: "Fri"}, "sat": {JA: "土", EN: "Sat"}, "sun": {JA: "日", EN: "Sun"},
}

// when says days and hours; nothing where neither was stated.
func when(days, hours []string) policy.Words {
	var out policy.Words
	if len(days) > 0 {
		out = named(days, func(id string) policy.Words { return dayNames[id] }, "・")
	}
	if len(hours) > 0 {
		if !out.IsEmpty() {
			out.JA, out.EN = out.JA+" ", out.EN+" "
		}
		out.JA, out.EN = out.JA+strings.Join(hours, "、"), out.EN+strings.Join(hours, ", ")
	}
	return out
}

// named joins what several ids are called.
func named(ids []string, name func(string) policy.Words, comma string) policy.Words {
	var ja, en []string
	for _, id := range ids {
		w := name(id)
		if w.IsEmpty() {
			w = policy.Words{JA: id, EN: id}
		}
		ja, en = append(ja, w.In("ja")), append(en, w.In("en"))
	}
	return policy.Words{JA: strings.Join(ja, comma), EN: strings.Join(en, ", ")}
}

// valueOf says what was stated in a field.
func valueOf(p *policy.Policy, f policy.PermitField, values []string) policy.Words {
	plain := func(id string) policy.Words { return policy.Words{JA: id, EN: id} }
	switch f.Type {
	case policy.FieldApplication, policy.FieldApplications:
		return named(values, func(id string) policy.Words { return applicationName(p, id) }, "、")
	case policy.FieldZone:
		return named(values, func(id string) policy.Words { return authz.ZoneName(p, policy.ZoneID(id)) }, "、")
	case policy.FieldDays:
		return named(values, func(id string) policy.Words { return dayNames[id] }, "・")
	}
	return named(values, plain, "、")
}
