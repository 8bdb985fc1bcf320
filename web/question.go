package web

import (
	"errors"
	"net/http"

	"sekisho/authn/signin"
)

// A Question is asked of a person on a page of ours on behalf of another room:
// two buttons of one form, whose answers are "agree" and "refuse".
type Question struct {
	Title, Says string
	Items       []string // what it is about
	Action      string   // where the answer is posted
	Fields      [][2]string
	Yes, No     string
	Danger      bool        // yes ends something
	Step        signin.Step // whoever is asked
}

// QuestionPage sets what a question looks like.
func (s *Server) QuestionPage(page func(w http.ResponseWriter, r *Request, q Question) error) {
	s.questionPage = page
}

// Ask shows a question.
func (s *Server) Ask(w http.ResponseWriter, r *Request, q Question) error {
	if s.questionPage == nil {
		return errors.New("asking a person: there is no page to ask on")
	}
	return s.questionPage(w, r, q)
}
