package page

import (
	"net/http"

	"sekisho/policy"
	"sekisho/web"
)

type rulesPage struct {
	Text, Version, URL string
	Rules              []rule
}

type rule struct {
	Says     string
	Articles []policy.Article
}

// rules is always at hand, signed in or not (article 40).
func (h *house) rules(w http.ResponseWriter, r *web.Request) error {
	step, err := h.current(r)
	if err != nil {
		return err
	}
	g, a := h.tongue(r), r.Policy().Acknowledgement
	return h.show(w, r, http.StatusOK, "rules", h.view(r, step, rulesPage{
		Text: r.Say(a.Text), Version: a.Version, URL: guideline(r.Policy()),
		Rules: []rule{
			{g.say("rules.own_id"), []policy.Article{"46-1"}},
			{g.say("rules.secret"), []policy.Article{"46-2(1)", "46-2(2)", "46-2(8)"}},
			{g.say("rules.strong"), []policy.Article{"46-2(3)", "46-2(5)"}},
			{g.say("rules.temporary"), []policy.Article{"46-2(6)", "64-2"}},
			{g.say("rules.remember"), []policy.Article{"46-2(7)"}},
			{g.say("rules.leak"), []policy.Article{"46-2(4)"}},
			{g.say("rules.report"), []policy.Article{"43-1"}},
			{g.say("rules.desk"), []policy.Article{"38-6"}},
			{g.say("rules.duty"), []policy.Article{"38-2"}},
			{g.say("rules.outside"), []policy.Article{"63-1", "63-4"}},
			{g.say("rules.leave"), []policy.Article{"38-7"}},
			{g.say("rules.ask"), []policy.Article{"38-1"}},
		},
	}))
}
