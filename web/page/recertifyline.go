package page

import (
	"strings"
	"time"

	"sekisho/authz/recertify"
	"sekisho/policy"
	"sekisho/web"
)

func (h *house) roundLine(r *web.Request, round recertify.Round, l recertify.Seen) roundLine {
	g := h.tongue(r)
	line := roundLine{
		ID: l.ID, Who: refName(l.Person), Login: l.Person.Login, Section: sectionName(r, l.Person.Section), Kind: h.kind(r, l.Kind), Posts: strings.Join(postNames(r, l.Posts), g.say("me.comma")),
		Used: g.say("permit.never"), Can: l.No == nil, State: h.lineState(r, l.Line), What: h.lineWhat(r, round.Kind, l.Line),
	}
	if l.Company != "" {
		line.Kind += g.say("me.dot") + l.Company
	}
	if !l.LastUse.IsZero() {
		line.Used = g.day(l.LastUse)
	}
	if !l.UsedSince.IsZero() {
		line.Used = g.say("recertify.used_since", "Day", g.day(l.UsedSince))
	}
	if round.Kind == policy.RecertifyPermits {
		line.Sub = g.say("recertify.through", "Day", g.day(l.Until.Add(-time.Second)))
	}
	if len(l.Projects) > 0 {
		line.Sub = g.say("recertify.project", "Project", strings.Join(l.Projects, g.say("me.comma")), "Day", g.lastDay(l.Until))
	}
	switch {
	case l.State == recertify.Waits && l.No != nil:
		line.Why = r.Say(l.No.Says)
	case l.State == recertify.Held:
		line.Why = r.Say(recertify.HoldWords(l.Reason))
	case l.State == recertify.Void && l.Reason == recertify.Moved:
		line.Why = g.say("recertify.moved")
	case l.State == recertify.Void && l.Reason == recertify.Gone:
		line.Why = g.say("recertify.gone")
	case l.State == recertify.Owed:
		line.Why = g.say("recertify.owed_says")
	case l.DecidedBy.ID != "":
		line.Why = g.say("recertify.by", "Who", refName(l.DecidedBy), "Day", g.day(l.DecidedAt))
		if l.Comment != "" {
			line.Why += g.say("me.colon") + l.Comment
		}
	case l.State == recertify.Ended || l.State == recertify.Leaving:
		line.Why = g.say("recertify.unconfirmed")
	}
	return line
}

// lineWhat is what a line is about beside the person.
func (h *house) lineWhat(r *web.Request, kind string, l recertify.Line) string {
	g := h.tongue(r)
	switch kind {
	case policy.RecertifyIDs:
		return ""
	case policy.RecertifyPermits:
		return l.Why
	}
	var names []string
	for _, id := range l.About {
		name := id
		if v, ok := r.Policy().Privilege(id); ok && !v.Name.IsEmpty() {
			name = r.Say(v.Name)
		}
		names = append(names, name)
	}
	what := strings.Join(names, g.say("me.comma"))
	if strings.HasPrefix(l.Object, recertify.RuleObject) {
		return g.say("recertify.by_rule", "What", what)
	}
	return g.say("recertify.by_group", "What", what, "Group", l.Object)
}
