package page

import (
	"net/http"
	"net/url"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/charter"
	"sekisho/web"
)

type policyPage struct {
	Version   int64
	Articles  []policy.Article
	Proposals []proposalCard
}

type proposalCard struct {
	ID, By  string
	At      time.Time
	Changes []policy.Change
	Mine    bool // its author cannot be the second person
	Stale   bool // written against a version that no longer governs
}

// policy shows what waits for a second person, to those who may be it.
func (h *house) policy(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if !mayApprove(r.Policy().PostsOf(step.Person.Groups)) {
		return charter.ErrPost
	}
	waiting, err := h.Charter.Proposals(r.Context())
	if err != nil {
		return err
	}
	p := policyPage{Version: h.Charter.Version(), Articles: []policy.Article{"16", "84"}}
	for _, one := range waiting {
		p.Proposals = append(p.Proposals, proposed(one, step, p.Version))
	}
	v := h.view(r, step, p)
	v.Wide = true
	v.Notice = h.done(r)
	return h.show(w, r, http.StatusOK, "policy", v)
}

// approve puts a proposal in force. Whether this person may is the charter's
// word; the button is not offered to its author, but a form can be sent by hand.
func (h *house) approve(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	// As at the other door: two factors, proved a short while ago.
	need := &account.StepUp{Required: policy.AAL2, MaxAge: r.Policy().SignIn.FreshFor}
	if n := step.Session; n == nil || !n.ACR.AtLeast(need.Required) || h.srv.Now().Sub(n.AuthAt) > need.MaxAge {
		_, err := h.elsewhere(w, r, need, "/policy")
		return err
	}
	if _, err := h.Charter.Approve(r.Context(), r.Origin, r.Cookie, r.PathValue("id")); err != nil {
		if done, failed := h.elsewhere(w, r, err, "/policy"); done {
			return failed
		}
		return err
	}
	return redirect(w, r, "/policy", url.Values{"done": {"approved"}})
}

func proposed(p charter.Proposal, reader signin.Step, version int64) proposalCard {
	return proposalCard{
		ID: p.ID, By: p.Login, At: p.At, Changes: p.Changes,
		Mine: p.Login == reader.Person.Login, Stale: p.Base != version,
	}
}
