package page

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/sealed"
	"sekisho/policy"
	"sekisho/web"
)

// Sealed is the register of emergency IDs in envelopes; authz/sealed is one.
type Sealed interface {
	List(ctx context.Context, o signin.Origin, cookie string) (sealed.Listed, error)
	Get(ctx context.Context, o signin.Origin, cookie, id string) (sealed.Shown, *account.StepUp, error)
	Register(ctx context.Context, o signin.Origin, cookie string, n sealed.Draft) (sealed.Shown, error)
	Do(ctx context.Context, o signin.Origin, cookie, id string, a sealed.Act, t sealed.Typed) (sealed.Shown, error)
}

func (h *house) mountSealed() {
	m := h.srv.Mount
	m("GET /sealed", h.sealedIDs)
	m("GET /sealed/register", h.sealedNew)
	m("POST /sealed/register", h.sealedRegister)
	m("GET /sealed/{id}", h.sealedID)
	for _, a := range sealed.Acts() {
		m("POST /sealed/{id}/"+string(a), h.sealedAct(a))
		m("GET /sealed/{id}/"+string(a), func(w http.ResponseWriter, r *web.Request) error {
			return redirect(w, r, sealedPath(r.PathValue("id")), nil)
		})
	}
}

func sealedPath(id string) string { return "/sealed/" + url.PathEscape(id) }

// sealedArticles are those that the register rests on.
var sealedArticles = []policy.Article{"62-6", "80-2"}

type sealedListPage struct {
	Rooms     []room
	Cards     []sealedCard
	Withdrawn []sealedCard
	MayWrite  bool
	Articles  []policy.Article
}

// A sealedCard is one emergency ID in a list.
type sealedCard struct {
	ID, System, Account, Place, Note string
	State                            tag
	Debts                            []debtLine
	SealedAt                         template.HTML
	SealedBy                         string
	ConfirmedAt                      template.HTML
	ConfirmedBy                      string
	TestedAt                         template.HTML // "" for never
	TestDue, RotationDue             template.HTML
	OpenedAt                         template.HTML
	OpenedBy, OpenReason             string
	Openings                         int
	ReportDue, ReportedAt            template.HTML
	Report, ReportedBy               string
	ReconciledAt                     template.HTML
	ReconciledBy, Reconciliation     string
}

type debtLine struct {
	Says    string
	Due     template.HTML
	Overdue bool
}

// sealedIDs is the register, what is owed first.
func (h *house) sealedIDs(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	all, err := h.Sealed.List(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/sealed")
	}
	p := sealedListPage{Rooms: h.counters(r, step, "sealed"), MayWrite: all.MayWrite == nil, Articles: sealedArticles}
	for _, e := range all.Envelopes {
		p.Cards = append(p.Cards, h.sealedCard(r, e))
	}
	for _, e := range all.Withdrawn {
		p.Withdrawn = append(p.Withdrawn, h.sealedCard(r, e))
	}
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "sealed", v)
}

func (h *house) sealedCard(r *web.Request, e sealed.Shown) sealedCard {
	g, now := h.tongue(r), h.srv.Now()
	at := func(t time.Time) template.HTML {
		if t.IsZero() {
			return ""
		}
		return g.near(t, now)
	}
	o := e.Opened()
	c := sealedCard{
		ID: e.ID, System: e.System, Account: e.Account, Place: e.Place, Note: e.Note, SealedAt: at(e.Sealed.At), SealedBy: refName(e.Sealed.By),
		ConfirmedAt: at(e.Confirmed.At), ConfirmedBy: refName(e.Confirmed.By), TestedAt: at(e.Tested.At), TestDue: at(e.TestDue), RotationDue: at(e.RotationDue),
		OpenedAt: at(o.At), OpenedBy: refName(o.By), OpenReason: o.Reason, Openings: len(e.Openings), ReportDue: at(e.ReportDue), ReportedAt: at(e.Reported.At),
		Report: e.Reported.Note, ReportedBy: refName(e.Reported.By), ReconciledAt: at(e.Reconciled.At), ReconciledBy: refName(e.Reconciled.By), Reconciliation: e.Reconciled.Note,
	}
	for _, d := range e.Debts {
		c.Debts = append(c.Debts, debtLine{h.debtWords(r, d.What), at(d.Due), d.Overdue(now)})
	}
	switch {
	case e.Withdrawn.Done():
		c.State = tag{g.say("sealed.withdrawn"), "plain"}
	case e.IsOpen():
		c.State = tag{g.say("sealed.is_open"), "bad"}
	case e.Owes():
		c.State = tag{g.say("sealed.was_open"), "warn"}
	case !e.Confirmed.Done():
		c.State = tag{g.say("sealed.unconfirmed"), "warn"}
	case e.Failed.Done():
		c.State = tag{g.say("sealed.failed"), "bad"}
	case len(e.Debts) > 0:
		c.State = tag{g.say("sealed.late"), "warn"}
	default:
		c.State = tag{Says: g.say("sealed.fine")}
	}
	return c
}

func refName(p sealed.Ref) string {
	if p.Name != "" {
		return p.Name
	}
	return p.Login
}

// debtWords say what is owed.
func (h *house) debtWords(r *web.Request, d sealed.Debt) string {
	g := h.tongue(r)
	switch d {
	case sealed.OwesConfirm:
		return g.say("sealed.owes_confirm")
	case sealed.OwesTest:
		return g.say("sealed.owes_test")
	case sealed.OwesRotation:
		return g.say("sealed.owes_rotation")
	case sealed.OwesReport:
		return g.say("sealed.owes_report")
	case sealed.OwesSeal:
		return g.say("sealed.owes_seal")
	case sealed.OwesReconcile:
		return g.say("sealed.owes_reconcile")
	}
	return string(d)
}

type sealedFormPage struct {
	Rooms    []room
	Draft    sealed.Draft
	Articles []policy.Article
}

// sealedNew asks for what is known of a new one. The sign-in that it takes comes
// first.
func (h *house) sealedNew(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	all, err := h.Sealed.List(r.Context(), r.Origin, r.Cookie)
	switch {
	case err != nil:
		return h.turned(w, r, err, "/sealed/register")
	case all.MayWrite != nil:
		return all.MayWrite
	case all.StepUp != nil:
		return h.turned(w, r, all.StepUp, "/sealed/register")
	}
	was := sealedDraft(h.typedBefore(r, step, "/sealed/register").Form)
	return h.show(w, r, http.StatusOK, "sealednew", h.view(r, step, sealedFormPage{h.counters(r, step, "sealed"), was, sealedArticles}))
}

func (h *house) sealedRegister(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	n := sealedDraft(r.PostForm)
	e, err := h.Sealed.Register(r.Context(), r.Origin, r.Cookie, n)
	if err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.again(w, r, step, "sealednew", sealedFormPage{h.counters(r, step, "sealed"), n, sealedArticles}, said)
		}
		return h.turned(w, r, err, "/sealed/register")
	}
	h.dropTyped(r, step, "/sealed/register")
	return redirect(w, r, sealedPath(e.ID), url.Values{"done": {string(sealed.Register)}})
}

func sealedDraft(form url.Values) sealed.Draft {
	return sealed.Draft{System: form.Get("system"), Account: form.Get("account"), Place: form.Get("place"), Note: form.Get("note")}
}

type sealedPage struct {
	Rooms    []room
	Card     sealedCard
	Acts     []sealedForm
	Refused  []refusedAct
	StepUp   string
	History  []sealedEvent
	Articles []policy.Article
}

// A sealedForm is one act, with what it asks.
type sealedForm struct {
	Act, Action          string
	Name, Brief          string
	Note, Hint           string // label of the note; "" where none is asked
	Must                 bool
	Long                 bool
	AsksPlace, MustPlace bool
	AsksOpener           bool
	AsksResult           bool
	Danger, First, Wrong bool
	TypedNote, Place     string
	Opener, At           string
	Failed               bool
	Now                  string // the latest time that can be given
}

type sealedEvent struct {
	At     template.HTML
	Name   string
	By     string
	Note   string
	Place  string
	Failed bool
	Opener string
	Opened template.HTML
}

// sealedID is one emergency ID: how it stands, what is owed, what the reader may do,
// and all that was done.
func (h *house) sealedID(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	path := sealedPath(r.PathValue("id"))
	was := h.typedBefore(r, step, path)
	return h.sealedPage(w, r, step, sealed.Act(was.of(path+"/", "")), sealedTyped(was.Form), refused{Status: http.StatusOK})
}

// sealedTyped is what the form of an act has said.
func sealedTyped(form url.Values) sealedForm {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return sealedForm{TypedNote: get("note"), Place: get("place"), Opener: get("opener"), At: form.Get("at"), Failed: form.Get("result") == "failed"}
}

// sealedPage shows it, with what is wrong with the form of an act.
func (h *house) sealedPage(w http.ResponseWriter, r *web.Request, step signin.Step, a sealed.Act, typed sealedForm, said refused) error {
	id := r.PathValue("id")
	e, need, err := h.Sealed.Get(r.Context(), r.Origin, r.Cookie, id)
	if err != nil {
		return h.turned(w, r, err, sealedPath(id))
	}
	g, now := h.tongue(r), h.srv.Now()
	p := sealedPage{Rooms: h.counters(r, step, "sealed"), Card: h.sealedCard(r, e), StepUp: stepUpLink(need, sealedPath(id)), Articles: sealedArticles}
	for _, one := range sealed.Acts() {
		why, theirs := e.May[one]
		if !theirs {
			continue
		}
		f := h.sealedActForm(r, id, one)
		switch {
		case why == nil:
			f.First = len(p.Acts) == 0 && !f.Danger
			if one == a {
				f.Wrong, f.TypedNote, f.Place, f.Opener, f.At, f.Failed = true, typed.TypedNote, typed.Place, typed.Opener, typed.At, typed.Failed
			}
			p.Acts = append(p.Acts, f)
		case slices.Contains(why.Articles, "16-1"):
			p.Refused = append(p.Refused, refusedAct{f.Name, r.Say(why.Says), why.Articles})
		}
	}
	if p.StepUp != "" {
		said = said.above()
	}
	for _, ev := range e.History {
		line := sealedEvent{At: g.near(ev.At, now), Name: h.sealedEventName(r, ev), By: refName(ev.By), Note: ev.Note, Place: ev.Place, Failed: ev.Failed}
		if ev.Opener != nil {
			line.Opener, line.Opened = refName(*ev.Opener), g.near(ev.Opened, now)
		}
		p.History = append(p.History, line)
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles, v.Switch = true, said.Faults, said.Articles, switchURL(r, sealedPath(id))
	if len(said.Faults) == 0 {
		if name := h.sealedEventName(r, sealed.Event{Act: sealed.Act(r.URL.Query().Get("done"))}); name != "" {
			v.Notice = notice{Says: g.say("sealed.done", "What", name), Tone: "good"}
		}
	}
	return h.show(w, r, said.Status, "sealedone", v)
}

func (h *house) sealedEventName(r *web.Request, ev sealed.Event) string {
	g := h.tongue(r)
	switch ev.Act {
	case sealed.Register:
		return g.say("sealed.did_register")
	case sealed.Confirm:
		return g.say("sealed.did_confirm")
	case sealed.Test:
		if ev.Failed {
			return g.say("sealed.did_test_failed")
		}
		return g.say("sealed.did_test")
	case sealed.Open:
		return g.say("sealed.did_open")
	case sealed.Report:
		return g.say("sealed.did_report")
	case sealed.Seal:
		return g.say("sealed.did_seal")
	case sealed.Reconcile:
		return g.say("sealed.did_reconcile")
	case sealed.Move:
		return g.say("sealed.did_move")
	case sealed.Withdraw:
		return g.say("sealed.did_withdraw")
	}
	return ""
}

// sealedActForm is what an act is called, what follows from it and what it asks.
func (h *house) sealedActForm(r *web.Request, id string, a sealed.Act) sealedForm {
	g := h.tongue(r)
	f := sealedForm{Act: string(a), Action: sealedPath(id) + "/" + string(a), Now: h.srv.Now().In(japan).Format(minuteForm)}
	note := func(label, hint string, must bool) { f.Note, f.Hint, f.Must = label, hint, must }
	switch a {
	case sealed.Confirm:
		f.Name, f.Brief = g.say("sealed.confirm"), g.say("sealed.confirm_brief")
		note(g.say("lease.comment"), "", false)
	case sealed.Test:
		f.Name, f.Brief, f.AsksResult = g.say("sealed.test"), g.say("sealed.test_brief"), true
		note(g.say("sealed.test_note"), g.say("sealed.no_secret"), true)
	case sealed.Open:
		f.Name, f.Brief, f.AsksOpener, f.Danger = g.say("sealed.open"), g.say("sealed.open_brief"), true, true
		note(g.say("sealed.open_note"), g.say("sealed.no_secret"), true)
	case sealed.Report:
		f.Name, f.Brief, f.Long = g.say("sealed.report"), g.say("sealed.report_brief"), true
		note(g.say("sealed.report_note"), g.say("sealed.report_hint"), true)
	case sealed.Seal:
		f.Name, f.Brief, f.AsksPlace = g.say("sealed.seal"), g.say("sealed.seal_brief"), true
		note(g.say("lease.comment"), g.say("sealed.no_secret"), false)
	case sealed.Reconcile:
		f.Name, f.Brief = g.say("sealed.reconcile"), g.say("sealed.reconcile_brief")
		note(g.say("sealed.reconcile_note"), g.say("sealed.no_secret"), true)
	case sealed.Move:
		f.Name, f.Brief, f.AsksPlace, f.MustPlace = g.say("sealed.move"), g.say("sealed.move_brief"), true, true
		note(g.say("lease.comment"), "", false)
	case sealed.Withdraw:
		f.Name, f.Brief, f.Danger = g.say("sealed.withdraw"), g.say("sealed.withdraw_brief"), true
		note(g.say("lease.reason"), "", true)
	}
	return f
}

// minuteForm is how a browser writes a day and a time, here in Japan's.
const minuteForm = "2006-01-02T15:04"

func (h *house) sealedAct(a sealed.Act) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		id, typed := r.PathValue("id"), r.PostForm
		f := sealedTyped(typed)
		again := func(said refused) error {
			return h.sealedPage(w, r, step, a, f, said.placed(func(field string) string { return field + "-" + string(a) }))
		}
		t := sealed.Typed{Note: f.TypedNote, Place: f.Place, Failed: f.Failed, Opener: f.Opener}
		if a == sealed.Test && typed.Get("result") == "" {
			return again(refused{http.StatusUnprocessableEntity, []Fault{{"result", h.tongue(r).say("sealed.need_result")}}, nil})
		}
		if a == sealed.Open && f.At != "" {
			at, err := time.ParseInLocation(minuteForm, f.At, japan)
			if err != nil {
				return again(refused{http.StatusUnprocessableEntity, []Fault{{"at", h.tongue(r).say("sealed.at_wrong")}}, nil})
			}
			t.At = at
		}
		if _, err := h.Sealed.Do(r.Context(), r.Origin, r.Cookie, id, a, t); err != nil {
			if said, ok := h.inOffice(w, r, err); ok {
				return again(said)
			}
			return h.turned(w, r, err, sealedPath(id))
		}
		h.dropTyped(r, step, sealedPath(id))
		return redirect(w, r, sealedPath(id), url.Values{"done": {string(a)}})
	}
}
