package policy

import (
	"cmp"
	"regexp"
	"slices"
)

// A Value is a setting as a policy has it.
type Value struct {
	Path    string // with what names the item: zones[lgwan].idle_end
	Value   string // as policy.yaml writes it
	Setting Setting
}

var itemOfList = regexp.MustCompile(`\[[^\]]*\]`)

// Values are the settings of a policy that have a value, by path.
func (p *Policy) Values() []Value {
	var out []Value
	for path, value := range flatten(p) {
		pattern := itemOfList.ReplaceAllString(path, "[]")
		s, ok := settingsByPath[pattern]
		if !ok {
			s, ok = settingsByPath[pattern+"[]"]
		}
		if ok {
			out = append(out, Value{path, value, s})
		}
	}
	slices.SortFunc(out, func(a, b Value) int { return cmp.Compare(a.Path, b.Path) })
	return out
}
