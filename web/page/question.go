package page

import (
	"net/http"

	"sekisho/web"
)

// asked shows a question of another room. It leads nowhere else: what the answer
// belongs to came with the request, and a page in the other language would have
// to be asked for there.
func (h *house) asked(w http.ResponseWriter, r *web.Request, q web.Question) error {
	v := h.view(r, q.Step, q)
	if query := r.URL.Query(); len(query) > 0 {
		query.Set("lang", other(h.tongue(r).lang))
		v.Switch = r.URL.Path + "?" + query.Encode()
	}
	return h.show(w, r, http.StatusOK, "question", v)
}

func other(lang string) string {
	if lang == "en" {
		return "ja"
	}
	return "en"
}
