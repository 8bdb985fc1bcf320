// Package say is how a command speaks to the person at the terminal: one
// sentence in Japanese and English that names the fault and says what to do.
//
// It knows neither exit codes nor streams. main picks the language once, from
// the environment, and prints; the rooms below only hand sentences up.
package say

import (
	"errors"
	"fmt"
	"strings"

	"sekisho/policy"
)

// A Sentence is an error a person can act on. Cause, when there is one, is
// what a program may still ask for with errors.Is; its text is already part of
// the words where it helps the reader.
type Sentence struct {
	Words policy.Words
	Cause error
}

// Error is the English sentence, for logs.
func (s *Sentence) Error() string { return s.Words.EN }

// Unwrap is the cause.
func (s *Sentence) Unwrap() error { return s.Cause }

// Errorf makes a sentence from one format per language. Both formats see the
// same arguments, so a Japanese sentence that needs another order uses explicit
// indexes (%[2]s). The last argument that is an error becomes the cause.
func Errorf(ja, en string, args ...any) error {
	s := &Sentence{Words: policy.Words{JA: fmt.Sprintf(ja, args...), EN: fmt.Sprintf(en, args...)}}
	for _, a := range args {
		if err, ok := a.(error); ok {
			s.Cause = err
		}
	}
	return s
}

// In renders any error as one line in a language. An error nobody put into
// words is shown as it is: one line of English is better than silence.
func In(lang string, err error) string {
	var s *Sentence
	if errors.As(err, &s) {
		return oneLine(s.Words.In(lang))
	}
	var w interface{ Says() policy.Words }
	if errors.As(err, &w) {
		return oneLine(w.Says().In(lang))
	}
	return oneLine(err.Error())
}

// Language reads the reader's language as POSIX orders it: LC_ALL, then
// LC_MESSAGES, then LANG. Japanese when the first one set begins with "ja",
// English otherwise.
func Language(getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(name); v != "" {
			if strings.HasPrefix(strings.ToLower(v), "ja") {
				return "ja"
			}
			return "en"
		}
	}
	return "en"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
