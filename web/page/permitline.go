package page

import (
	"html/template"
	"strings"
	"time"

	"sekisho/web"
	"sekisho/web/desk"
)

// A permitLine is a permit in a list.
type permitLine struct {
	ID, Name, Reason string
	Who, Login       string
	Section, Company string
	Opens            string // applications
	Where, Terminal  string
	When             string
	State            tag
	Tags             []tag
	From             template.HTML // "" once it has begun
	Until            template.HTML
	UntilDay         string
	Used             template.HTML // "" for never
	Live, Soon       bool
	Enforced         bool
	UsedDay          string // "" for never
	Renew            string // where it is renewed; "" where it is not
	Ends             permitEnd
	Missing          int
	Done             string
	OwesIt           bool
	Review           string // the day of the next look
	ReviewDue        bool
	Renewed          string
}

// A permitEnd is how its reader ends a permit from a list.
type permitEnd struct {
	Action, Brief, Label, StepUp, Back string
	Asks, Can                          bool
}

func (h *house) permitLine(r *web.Request, p desk.Permit) permitLine {
	g, now := h.tongue(r), h.srv.Now()
	line := permitLine{
		ID: p.ID, Name: r.Say(p.Name), Reason: p.Reason, Who: nameOf(p.Person), Login: p.Person.Login,
		Section: sectionName(r, p.Person.Section), Company: p.Company, Opens: strings.Join(inWords(r, p.Opens), g.say("me.comma")),
		Where: strings.Join(p.Where, g.say("me.comma")), Terminal: r.Say(p.Terminal), When: r.Say(p.When),
		State: h.permitState(r, p), Live: p.Live(now), Soon: p.Soon && p.Live(now), Enforced: p.Enforced, Missing: p.Missing, OwesIt: p.OwesIt,
	}
	if line.Soon {
		line.Tags = append(line.Tags, tag{g.say("permit.soon"), "warn"})
	}
	if p.OwesIt {
		line.Tags = append(line.Tags, tag{g.say("permit.owed"), "warn"})
	}
	if p.State == desk.Pending || p.State == desk.Approved && now.Before(p.From) {
		if !p.From.IsZero() {
			line.From = g.near(p.From, now)
		}
	}
	if !p.Until.IsZero() {
		line.Until, line.UntilDay = g.end(p.Until, now), g.lastDay(p.Until)
	}
	if !p.UsedAt.IsZero() {
		line.Used, line.UsedDay = g.near(p.UsedAt, now), g.day(p.UsedAt)
	}
	if p.May[desk.PermitRenew].OK {
		line.Renew = renewPath(p.ID)
	}
	if !p.DoneAt.IsZero() {
		line.Done = g.day(p.DoneAt)
	}
	if !p.Review.IsZero() {
		line.Review, line.ReviewDue = g.day(p.Review), !now.Before(p.Review) && p.Live(now)
		if line.ReviewDue {
			line.Tags = append(line.Tags, tag{g.say("permit.review_due"), "warn"})
		}
	}
	if p.Renewed != "" {
		line.Renewed = permitPath(p.Renewed)
	}
	for _, a := range []desk.PermitAct{desk.PermitEnd, desk.PermitRevoke} {
		if may := p.May[a]; may.OK && !line.Ends.Can {
			f := h.permitForming(r, p, a)
			line.Ends = permitEnd{f.Action, f.Brief, f.Label, f.StepUp, "", f.Asks != "", true}
		}
	}
	return line
}

// permitState says how far a permit has come. One whose end has come is over,
// whatever its row still says.
func (h *house) permitState(r *web.Request, p desk.Permit) tag {
	g, now := h.tongue(r), h.srv.Now()
	if p.State == desk.Approved && !p.Until.IsZero() && !now.Before(p.Until) {
		p.State = desk.Expired
	}
	switch p.State {
	case desk.Approved:
		if now.Before(p.From) {
			return tag{g.say("permit.later"), "plain"}
		}
		return tag{Says: g.say("permit.live")}
	case desk.Ended:
		return tag{g.say("permit.ended"), "plain"}
	case desk.Expired:
		return tag{g.say("permit.expired"), "plain"}
	}
	return g.askedState(p.State)
}

// end shows the end of a permit as people write it: a permit that ends as a day
// begins holds until the end of the day before.
func (g *tongue) end(t, now time.Time) template.HTML {
	local := t.In(japan)
	if local.Hour() == 0 && local.Minute() == 0 && local.Second() == 0 {
		return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + g.say("permit.through", "Day", g.day(t.Add(-time.Second))) + `</time>`)
	}
	return g.near(t, now)
}

// lastDay is the last day on which a permit holds.
func (g *tongue) lastDay(t time.Time) string { return g.day(t.Add(-time.Second)) }
