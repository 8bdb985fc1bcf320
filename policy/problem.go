package policy

import (
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong with a policy file.
type Problem struct {
	File         string
	Line, Column int     // from 1
	Field        string  // "zones[0].idle_end"; empty for the whole file
	Rule         Words   // what the rule is, as a sentence
	Nearest      string  // the nearest valid choice, where there is one
	Article      Article // empty: our own rule
}

// Text says the problem on one line: where, what, and what would do.
func (p Problem) Text(lang string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Rule.In(lang))
	if p.Nearest != "" {
		if lang == "en" {
			fmt.Fprintf(&b, " Nearest valid choice: %s.", p.Nearest)
		} else {
			fmt.Fprintf(&b, "（最も近い値: %s）", p.Nearest)
		}
	}
	if p.Article != "" {
		if lang == "en" {
			fmt.Fprintf(&b, " (%s)", p.Article.Label(lang))
		} else {
			fmt.Fprintf(&b, "（%s）", p.Article.Label(lang))
		}
	}
	return b.String()
}

// Problems is everything that is wrong with a file, in the order of its lines.
type Problems []Problem

// Error is Text in English.
func (ps Problems) Error() string { return ps.Text("en") }

// Text says all problems in a language, one a line.
func (ps Problems) Text(lang string) string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Text(lang)
	}
	return strings.Join(lines, "\n")
}

// Err is nil when there is no problem, unlike a Problems in an error.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return ps
}
