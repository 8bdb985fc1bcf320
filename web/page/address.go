package page

import (
	"errors"
	"net/http"
	"net/url"

	"sekisho/authn"
	notices "sekisho/authn/notice"
	"sekisho/web"
)

type addressPage struct{ Mail, Second string }

func (h *house) addressForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	second, err := h.Account.Second(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.stepError(w, r, err)
	}
	return h.show(w, r, http.StatusOK, "address", h.view(r, step, addressPage{step.Person.Mail, second}))
}

// address changes where a person's notices go beside their work address (NIST
// SP 800-63B-4 asks for two). An empty one is none.
func (h *house) address(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	typed := r.PostForm.Get("address")
	again := func(fault string) error {
		return h.again(w, r, step, "address", addressPage{step.Person.Mail, typed},
			refused{http.StatusUnprocessableEntity, []Fault{{"address", fault}}, nil})
	}
	to, err := notices.SecondAddress(typed, step.Person.Mail)
	if err == nil {
		_, err = h.Account.SetSecond(r.Context(), r.Origin, r.Cookie, to)
	}
	switch {
	case err == nil:
		return redirect(w, r, "/me", url.Values{"done": {"address"}})
	case errors.Is(err, notices.ErrAddress):
		return again(h.tongue(r).say("address.wrong"))
	case errors.Is(err, notices.ErrSameAddress):
		return again(h.tongue(r).say("address.same"))
	}
	return h.stepError(w, r, err)
}
