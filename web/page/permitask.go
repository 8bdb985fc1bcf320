package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

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
	typed := typedWish(wish, form)
	// An address that says more than the kind is of somebody who asks for something else.
	if was := h.typedBefore(r, step, web.PermitPath).Form; was.Get("kind") == form.ID && sameAddress(r, askPermitPath(form.ID, nil)) {
		typed = was
	}
	p := h.permitAskPage(r, step, form, typed)
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

// sameAddress reports whether a request is for a page of ours, in whatever language.
func sameAddress(r *web.Request, page string) bool {
	q := r.URL.Query()
	q.Del("lang")
	return r.URL.Path+"?"+q.Encode() == page
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
			h.dropTyped(r, step, web.PermitPath)
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
