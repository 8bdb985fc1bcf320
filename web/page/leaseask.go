package page

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

type askPage struct {
	Rooms            []room
	ID, Name         string
	Gives, Residual  []string
	Approvers        string
	Emergency        bool
	Usual, Most      int // minutes
	Minutes          string
	Reason, Ticket   string
	AsksTicket       bool
	TwoPerson        bool
	WorkRecord       bool
	RecordEnd        string
	Decided, Secret  bool
	Outlives         bool
	Articles         []policy.Article
	CanDoItInAHurry  bool // there is a way without approval
	EmergencyMinutes int
}

// MostReason is how long a reason, comment or record may be, in characters.
const (
	mostReason = 500
	mostRecord = 4000
	mostTicket = 100
)

// askForm shows what is asked for and what will happen, with the usual time
// filled in: a reason is all there is to type.
func (h *house) askForm(emergency bool) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		one, err := h.wanted(r)
		if err != nil {
			return h.turned(w, r, err, "/leases")
		}
		if one.StepUp != nil {
			return h.turned(w, r, one.StepUp, h.askPath(one.ID, emergency))
		}
		if no := refusedFor(one, emergency); !no.Why.IsEmpty() {
			return &web.Refusal{Problem: web.Problem{Code: web.CodeState, Detail: no.Why, Articles: no.Articles}}
		}
		p := h.askPage(r, step, one, emergency)
		if was := h.typedBefore(r, step, r.URL.Path).Form; was.Get("privilege") == one.ID {
			p.Minutes, p.Reason, p.Ticket = was.Get("minutes"), was.Get("reason"), was.Get("ticket")
		}
		return h.show(w, r, http.StatusOK, "leaseask", h.view(r, step, p))
	}
}

func (h *house) askPath(privilege string, emergency bool) string {
	path := "/leases/ask?"
	if emergency {
		path = "/leases/emergency?"
	}
	return path + url.Values{"privilege": {privilege}}.Encode()
}

func refusedFor(one desk.Privilege, emergency bool) desk.Answer {
	if emergency {
		return one.RefusedAtOnce
	}
	return one.Refused
}

// wanted is the privilege that the address or the form names.
func (h *house) wanted(r *web.Request) (desk.Privilege, error) {
	id := r.URL.Query().Get("privilege")
	if id == "" {
		id = r.PostForm.Get("privilege")
	}
	lent, err := h.Desk.Privileges(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return desk.Privilege{}, err
	}
	for _, one := range lent {
		if one.ID == id {
			return one, nil
		}
	}
	return desk.Privilege{}, web.ErrNoPage
}

func (h *house) askPage(r *web.Request, step signin.Step, one desk.Privilege, emergency bool) askPage {
	p := askPage{
		Rooms: h.counters(r, step, "leases"), ID: one.ID, Name: r.Say(one.Name), Gives: inWords(r, one.Gives), Residual: inWords(r, one.Residual),
		Approvers: h.approvers(r, one), Emergency: emergency, Usual: minutes(one.Usual), Most: minutes(one.Longest),
		AsksTicket: one.Ticket != "" && !emergency, TwoPerson: one.TwoPerson && !emergency, WorkRecord: one.WorkRecord || emergency,
		RecordEnd: h.tongue(r).lasting(one.RecordEnd), Decided: one.Decided, Secret: one.ShowsSecret, Outlives: one.Outlives,
		Articles: []policy.Article{"49-1", "62-6", "62-7", "65"}, CanDoItInAHurry: one.Emergency && !emergency && one.RefusedAtOnce.Why.IsEmpty(),
	}
	if emergency {
		p.Articles = []policy.Article{"80-2", "62-7", "65"}
		p.Most = min(p.Most, minutes(one.ShortestTime))
		p.Usual = min(p.Usual, p.Most)
	}
	p.Minutes = strconv.Itoa(p.Usual)
	return p
}

func minutes(d time.Duration) int { return int(d / time.Minute) }

// ask asks, and leads to what was asked for.
func (h *house) ask(emergency bool) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		one, err := h.wanted(r)
		if err != nil {
			return h.turned(w, r, err, "/leases")
		}
		g, typed := h.tongue(r), r.PostForm
		wish := desk.Wish{
			Privilege: one.ID, Reason: strings.TrimSpace(typed.Get("reason")), Ticket: strings.TrimSpace(typed.Get("ticket")), Emergency: emergency,
		}
		p := h.askPage(r, step, one, emergency)
		var faults []Fault
		if wish.Minutes, err = strconv.Atoi(narrowed(typed.Get("minutes"))); err != nil || wish.Minutes < 1 || wish.Minutes > p.Most {
			faults = append(faults, Fault{"minutes", g.say("ask.minutes_wrong", "Most", p.Most)})
		}
		faults = append(faults, h.text(r, "reason", wish.Reason, mostReason, true)...)
		if p.AsksTicket {
			faults = append(faults, h.text(r, "ticket", wish.Ticket, mostTicket, true)...)
		}
		p.Minutes, p.Reason, p.Ticket = typed.Get("minutes"), wish.Reason, wish.Ticket
		if len(faults) > 0 {
			return h.again(w, r, step, "leaseask", p, refused{http.StatusUnprocessableEntity, faults, nil})
		}
		lease, err := h.Desk.Ask(r.Context(), r.Origin, r.Cookie, wish)
		if err != nil {
			if said, ok := h.inOffice(w, r, err); ok {
				return h.again(w, r, step, "leaseask", p, said)
			}
			return h.turned(w, r, err, h.askPath(one.ID, emergency))
		}
		h.dropTyped(r, step, r.URL.Path)
		if step = raised(w, r, step, lease); !lease.Account.Password.IsEmpty() {
			return h.secretOnce(w, r, step, lease)
		}
		return redirect(w, r, leasePath(lease.ID), url.Values{"done": {"asked"}})
	}
}

// narrowed writes digits as programs do: a Japanese keyboard has wide ones.
func narrowed(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= '０' && c <= '９' {
			return c - '０' + '0'
		}
		return c
	}, strings.TrimSpace(s))
}

// text looks at something that was written.
func (h *house) text(r *web.Request, field, value string, most int, must bool) []Fault {
	g := h.tongue(r)
	switch {
	case value == "" && must:
		return []Fault{{field, g.say("lease.need_text")}}
	case len([]rune(value)) > most:
		return []Fault{{field, g.say("lease.text_long", "Max", most)}}
	}
	return nil
}
