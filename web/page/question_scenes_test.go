package page

import (
	"net/http"
	"testing"

	"sekisho/web"
)

// asks is the page of a question that another room asks.
func (w *world) asks(q web.Question) *answer {
	w.srv.Mount("GET /ask", func(rw http.ResponseWriter, r *web.Request) error {
		q.Step = w.now
		q.Step.CSRF = token(w.cookie)
		return w.srv.Ask(rw, r, q)
	})
	return w.get("/ask?client_id=chizu&state=%26x")
}

var (
	consentQuestion = web.Question{
		Title: "「共有地図」に情報を渡しますか", Says: "このシステムは、次のことを求めています。", Items: []string{"氏名、ログイン名、所属、役割", "<b>"},
		Action: "/oauth2/consent", Fields: [][2]string{{"request", `client_id=chizu&x="`}}, Yes: "渡す", No: "渡さない",
	}
	signOutQuestion = web.Question{Title: "サインアウトしますか", Says: "関所と、開いているシステムも終わります。", Action: "/oauth2/logout/confirm", Yes: "サインアウト", No: "サインインしたままにする", Danger: true}
)

func init() {
	scenes = append(scenes, []scene{
		{"question-consent", 200, func(w *world) *answer { return w.signedIn().asks(consentQuestion) }},
		{"question-sign-out", 200, func(w *world) *answer { return w.signedIn().asks(signOutQuestion) }},
	}...)
}

// TestQuestion: what it carries comes back as it was, and the page in the other
// language asks the same.
func TestQuestion(t *testing.T) {
	newWorld(t).signedIn().asks(consentQuestion).is(200).
		says(`name="request" value="client_id=chizu&amp;x=&#34;"`, `value="agree"`, `value="refuse"`, "&lt;b&gt;", `href="/ask?client_id=chizu&amp;lang=en&amp;state=%26x"`).
		keepsSilentOn("<b>")
}
