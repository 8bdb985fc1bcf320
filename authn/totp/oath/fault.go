package oath

import (
	"fmt"
	"strings"

	"sekisho/policy"
)

// A Fault is one thing that keeps a file from being imported.
type Fault struct {
	Line   int          // from 1; 0 for the file as a whole and the key given with it
	Field  string       // "serial", "seed", "manufacturer", …; "file", "header", "key"
	Rule   string       // stable
	Detail policy.Words // a sentence; it repeats nothing that stands in the file
}

// Text says the fault on one line: where, and what.
func (f Fault) Text(lang string) string {
	var b strings.Builder
	switch {
	case f.Line > 0 && lang == "en":
		fmt.Fprintf(&b, "line %d: ", f.Line)
	case f.Line > 0:
		fmt.Fprintf(&b, "%d行目: ", f.Line)
	}
	return b.String() + f.Field + ": " + f.Detail.In(lang)
}

// Faults is everything that is wrong with a file, in the order of its lines. It
// is never empty.
type Faults struct{ List []Fault }

// Error is the first fault in English, and how many there are beside it: a log
// has no room for twenty thousand.
func (f *Faults) Error() string {
	if len(f.List) == 1 {
		return f.List[0].Text("en")
	}
	return fmt.Sprintf("%s (and %d more)", f.List[0].Text("en"), len(f.List)-1)
}

// Text says all faults in a language, one a line.
func (f *Faults) Text(lang string) string {
	lines := make([]string, len(f.List))
	for i, one := range f.List {
		lines[i] = one.Text(lang)
	}
	return strings.Join(lines, "\n")
}

func (r *reading) fault(line int, field, rule, ja, en string) {
	r.faults = append(r.faults, Fault{Line: line, Field: field, Rule: rule, Detail: policy.Words{JA: ja, EN: en}})
}
