package page

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/inquiry"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/web"
)

// Trail is looked through for whoever is behind a cookie; authz/inquiry is where.
type Trail interface {
	Search(ctx context.Context, o signin.Origin, cookie string, q inquiry.Question) (inquiry.Found, error)
	Look(ctx context.Context, o signin.Origin, cookie string, index int64, serves string) (audit.Sight, error)
}

func (h *house) mountTrail() {
	h.srv.Mount("GET /trail", h.trail)
	h.srv.Mount("GET /trail/{index}", h.trailEntry)
}

// trailShown is how many entries are on a page.
const trailShown = 50

// trailFields are what the form of a search asks. Where the address has none of them,
// nothing is looked for yet.
var trailFields = []string{"from", "from_at", "to", "to_at", "actor", "case", "action", "article", "outcome"}

type trailPage struct {
	Rooms                  []room
	From, FromAt, To, ToAt string
	FromTyped, ToTyped     bool // as it was typed, for it is no day
	Actor, Case, Article   string
	Actions                []trailNoun
	Outcomes               []option
	Asked                  bool
	Lines                  []trailLine
	First, Next            string
	Articles               []policy.Article
}

// A trailNoun is what acts are about, with those that there are.
type trailNoun struct {
	Says    string
	Options []option
}

// A trailLine is one entry in a list.
type trailLine struct {
	Path, Number string
	At           template.HTML
	Actor        string
	Act          trailAct
	Object       string
	Outcome      tag
	Articles     []link
}

// A trailAct is what was done: in words, and its code in two parts, which a line may be
// broken between.
type trailAct struct{ Says, Noun, Verb string }

// trail is where auditors search the trail, and what was found.
func (h *house) trail(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if no := inquiry.May(r.Policy(), r.Policy().PostsOf(step.Person.Groups)); no != nil && !askedTrail(r.URL.Query()) {
		return no // a search that is refused is entered on the trail, by the room
	}
	q, err := questionOf(r)
	if err != nil {
		return err
	}
	p := h.trailForm(r, step)
	v := h.view(r, step, nil)
	v.Wide = true
	status := http.StatusOK
	if p.Asked {
		asked := r.URL.Query()
		asked.Del("lang")
		v.Switch += "&" + asked.Encode()
		found, err := h.Trail.Search(r.Context(), r.Origin, r.Cookie, q)
		var no *inquiry.Refusal
		switch {
		case errors.As(err, &no) && len(no.Faults) > 0:
			status, p.Asked = http.StatusUnprocessableEntity, false
			for _, f := range no.Faults {
				v.Faults = append(v.Faults, Fault{f.Field, r.Say(f.Says)})
			}
		case err != nil:
			return h.turned(w, r, err, address("/trail", asked))
		default:
			h.fillTrail(r, &p, found)
		}
	}
	v.Page = p
	return h.show(w, r, status, "trail", v)
}

func askedTrail(q url.Values) bool {
	for _, field := range trailFields {
		if q.Has(field) {
			return true
		}
	}
	return false
}

// questionOf reads a search from the address. What cannot be read goes along, for whoever
// may ask at all.
func questionOf(r *web.Request) (inquiry.Question, error) {
	in := r.URL.Query()
	q := inquiry.Question{
		Actor: strings.TrimSpace(in.Get("actor")), Case: strings.TrimSpace(in.Get("case")), Action: in.Get("action"),
		Article: strings.TrimSpace(in.Get("article")), Outcome: in.Get("outcome"), Limit: trailShown,
	}
	for _, end := range []struct {
		field string
		into  *time.Time
		last  bool
	}{{"from", &q.From, false}, {"to", &q.To, true}} {
		var ok bool
		if *end.into, ok = momentOf(in.Get(end.field), in.Get(end.field+"_at"), end.last); !ok {
			q.Wrong = append(q.Wrong, inquiry.Fault{Field: end.field, Rule: "time", Says: policy.Words{
				JA: "日を 2026-04-01 の形で、時刻を指定するときは 09:30 の形で入力してください。",
				EN: "Enter a day as 2026-04-01, and a time of it, where you want one, as 09:30.",
			}})
		}
	}
	if after := in.Get("after"); after != "" {
		n, err := strconv.ParseInt(after, 10, 64)
		if err != nil || n <= 0 {
			return q, web.ErrNoPage // only a link of ours has it
		}
		q.After = n
	}
	return q, nil
}

// momentOf is one end of a stretch of time as people write it: a day of Japan, a minute of
// one, or a time (RFC 3339), which a report's link has. The last day or minute belongs to
// it. Nothing is written: the zero time.
func momentOf(day, clock string, last bool) (time.Time, bool) {
	day, clock = strings.TrimSpace(day), strings.TrimSpace(clock)
	if day == "" {
		return time.Time{}, clock == ""
	}
	if at, err := time.Parse(time.RFC3339, day); err == nil && clock == "" {
		return at.UTC(), true
	}
	if clock == "" {
		at, err := time.ParseInLocation(time.DateOnly, day, japan)
		if last {
			at = at.AddDate(0, 0, 1)
		}
		return at.UTC(), err == nil
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", day+" "+clock, japan)
	if last {
		at = at.Add(time.Minute)
	}
	return at.UTC(), err == nil
}

// trailForm is the form with what was typed.
func (h *house) trailForm(r *web.Request, step signin.Step) trailPage {
	g, in := h.tongue(r), r.URL.Query()
	p := trailPage{
		Rooms: h.counters(r, step, "trail"), Asked: askedTrail(in), Articles: []policy.Article{"51-3", "82"},
		Actor: in.Get("actor"), Case: in.Get("case"), Article: in.Get("article"),
	}
	p.From, p.FromAt, p.FromTyped = typedMoment(in.Get("from"), in.Get("from_at"))
	p.To, p.ToAt, p.ToTyped = typedMoment(in.Get("to"), in.Get("to_at"))
	chosen, known := in.Get("action"), in.Get("action") == ""
	choose := func(value, says string) option {
		known = known || value == chosen
		return option{Value: value, Says: says, Chosen: value == chosen && chosen != ""}
	}
	for _, n := range inquiry.Nouns() {
		noun := trailNoun{Says: r.Say(n.Says)}
		if len(n.Actions) > 1 {
			noun.Options = append(noun.Options, choose(n.ID+".", g.say("trail.all_of", "Noun", noun.Says)))
		}
		for _, action := range n.Actions {
			noun.Options = append(noun.Options, choose(action, r.Say(inquiry.Words(action))))
		}
		p.Actions = append(p.Actions, noun)
	}
	if !known { // of another version, or typed into the address
		p.Actions = append(p.Actions, trailNoun{Says: g.say("trail.other"), Options: []option{choose(chosen, seen(chosen))}})
	}
	for _, o := range []string{audit.OK, audit.Refused, audit.Failed} {
		p.Outcomes = append(p.Outcomes, option{Value: o, Says: trailOutcome(g, o).Says, Chosen: o == in.Get("outcome")})
	}
	return p
}

// typedMoment is what was typed as one end of a stretch of time, for the fields of the
// form; typed where it is no day that a browser's field for days would show.
func typedMoment(day, clock string) (string, string, bool) {
	if at, err := time.Parse(time.RFC3339, day); err == nil && clock == "" {
		at = at.In(japan)
		return at.Format(time.DateOnly), at.Format("15:04"), false
	}
	_, err := time.Parse(time.DateOnly, day)
	return day, clock, day != "" && err != nil
}

func (h *house) fillTrail(r *web.Request, p *trailPage, found inquiry.Found) {
	g, in := h.tongue(r), r.URL.Query()
	for _, rec := range found.Records {
		line := trailLine{
			Path: entryPath(rec.Index, strings.TrimSpace(in.Get("case"))), Number: strconv.FormatInt(rec.Index, 10), At: g.second(rec.Time),
			Actor: seen(rec.Actor), Act: trailActOf(r, rec.Action), Object: seen(rec.Object), Outcome: trailOutcome(g, rec.Outcome),
		}
		if rec.Broken {
			line.At, line.Act, line.Outcome = "–", trailAct{Says: g.say("trail.broken")}, tag{g.say("trail.broken_short"), "bad"}
		}
		for _, a := range rec.Articles {
			line.Articles = append(line.Articles, link{seen(a.Label(g.lang)), h.evidenceOf(a)})
		}
		p.Lines = append(p.Lines, line)
	}
	if in.Get("after") != "" {
		p.First = address("/trail", in)
	}
	if found.Next > 0 {
		p.Next = address("/trail", in, "after", strconv.FormatInt(found.Next, 10))
	}
}

// evidenceOf is where the evidence for an article is; "" where there are no reports.
func (h *house) evidenceOf(a policy.Article) string {
	if h.Reports == nil || !policy.ValidArticle(a) {
		return ""
	}
	return "/reports/evidence?" + url.Values{"article": {string(a)}}.Encode() + "#entries"
}

// entryPath is where one entry is shown; the case that somebody looks for goes along.
func entryPath(index int64, serves string) string {
	path := "/trail/" + strconv.FormatInt(index, 10)
	if serves != "" {
		path += "?" + url.Values{"case": {serves}}.Encode()
	}
	return path
}

func trailActOf(r *web.Request, action string) trailAct {
	a := trailAct{Says: r.Say(inquiry.Words(action))}
	a.Noun, a.Verb, _ = strings.Cut(seen(action), ".")
	return a
}

// trailOutcome is how an act ended, in words.
func trailOutcome(g *tongue, outcome string) tag {
	switch outcome {
	case audit.OK:
		return tag{g.say("trail.ok"), "plain"}
	case audit.Refused:
		return tag{g.say("trail.refused"), "warn"}
	case audit.Failed:
		return tag{g.say("trail.failed"), "bad"}
	}
	return tag{seen(outcome), "bad"}
}

// second shows an instant to the second, in Japan's time.
func (g *tongue) second(t time.Time) template.HTML {
	local, form := t.In(japan), "2 Jan 2006, 15:04:05 MST"
	if g.lang == "ja" {
		form = "2006年1月2日 15:04:05 日本時間"
	}
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + local.Format(form) + `</time>`)
}

// seen is a text of a stranger's with what nobody would see in it written out: a sign that
// turns the direction round, or hides what comes after it, must not mislead who reads.
func seen(s string) string {
	hidden := func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
