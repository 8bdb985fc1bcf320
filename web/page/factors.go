package page

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/passkey"
	"sekisho/authn/totp"
	"sekisho/policy"
	"sekisho/web"
)

// maxName bounds the name a person gives to a factor, in characters.
const maxName = 64

// nameFaults is what a form can see of a name itself.
func nameFaults(g *tongue, name string) []Fault {
	switch {
	case name == "":
		return []Fault{{"name", g.say("enrol.need_name")}}
	case utf8.RuneCountInString(name) > maxName:
		return []Fault{{"name", g.say("enrol.name_long")}}
	}
	return nil
}

type factorPage struct{ ID, Kind, Name string }

func (h *house) factorPage(r *web.Request, f account.Factor) factorPage {
	return factorPage{f.ID, factorKind(h.tongue(r), f), f.Name}
}

// factorKind names a kind of factor as its owner would.
func factorKind(g *tongue, f account.Factor) string {
	switch f.Kind {
	case "totp":
		return g.say("factor.totp")
	case "token":
		return g.say("factor.token")
	case "passkey":
		return g.say("factor.passkey")
	case "card":
		return g.say("factor.card")
	}
	return f.Kind
}

// factor is the one that the path names, if it is the reader's.
func (h *house) factor(r *web.Request) (account.Factor, error) {
	list, err := h.Factors.Factors(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return account.Factor{}, err
	}
	for _, f := range list {
		if f.ID == r.PathValue("id") {
			return f, nil
		}
	}
	return account.Factor{}, account.ErrNotFound
}

func (h *house) renameForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	f, err := h.factor(r)
	if err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "rename", h.view(r, step, h.factorPage(r, f)))
}

func (h *house) rename(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	f, err := h.factor(r)
	if err != nil {
		return err
	}
	f.Name = strings.TrimSpace(r.PostForm.Get("name"))
	faults := nameFaults(g, f.Name)
	if len(faults) == 0 {
		err := h.Factors.RenameFactor(r.Context(), r.Origin, r.Cookie, f.ID, f.Name)
		if err == nil {
			return redirect(w, r, "/me", url.Values{"done": {"factor_renamed"}})
		}
		if !errors.Is(err, passkey.ErrName) && !errors.Is(err, totp.ErrName) {
			return h.stepError(w, r, err)
		}
		faults = []Fault{{"name", g.say("enrol.name_refused")}}
	}
	return h.again(w, r, step, "rename", h.factorPage(r, f), refused{http.StatusUnprocessableEntity, faults, nil})
}

func (h *house) removeForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	f, err := h.factor(r)
	if err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "remove", h.view(r, step, h.factorPage(r, f)))
}

func (h *house) remove(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	next, err := h.Factors.RemoveFactor(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err == nil {
		web.WriteStep(w, r, next)
		return redirect(w, r, "/me", url.Values{"done": {"factor_removed"}})
	}
	if errors.Is(err, account.ErrLastFactor) {
		f, found := h.factor(r)
		if found != nil {
			return found
		}
		return h.again(w, r, step, "remove", h.factorPage(r, f), refused{
			http.StatusConflict, []Fault{{"", h.tongue(r).say("remove.last")}}, []policy.Article{"26no3-1"}})
	}
	if done, failed := h.elsewhere(w, r, err, "/me/factors/"+url.PathEscape(r.PathValue("id"))+"/remove"); done {
		return failed
	}
	return err
}
