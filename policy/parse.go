package policy

import (
	"reflect"
	"slices"
)

// Parse reads a policy.yaml. The answer is a policy or everything that is wrong
// with the file: unknown keys, values out of bounds, references to nothing, and
// choices that are each allowed but not together. file is only for the
// problems' own text.
//
// A number the file leaves out is the profile's. Lists are the file's alone,
// except posts, classes and kinds of permits, whose items add to the profile's.
func Parse(file string, data []byte) (*Policy, Problems) { return parse(file, data, true) }

// ParseInForce is Parse of a version that has been taken before: what was not asked of it
// then is not held against it, or an upgrade would leave the gate without rules.
func ParseInForce(file string, data []byte) (*Policy, Problems) { return parse(file, data, false) }

func parse(file string, data []byte, brought bool) (*Policy, Problems) {
	d := &document{file: file, places: make(map[string]place), refused: make(map[string]bool)}
	root := d.read(data)
	if root == nil {
		return nil, d.problems
	}
	p := Standard()
	if profile := root.get("profile"); profile != nil && profile.text == ProfileLegacy {
		p = Legacy()
	}
	p.Zones, p.Permits = nil, nil
	d.decode(reflect.ValueOf(p).Elem(), root, "", "")
	// Checks look up the places of what was read, by the index in the file, so
	// they come before the profile's own items are put beside the file's.
	check(p, d, brought)
	if len(d.problems) > 0 {
		return nil, d.problems.sorted()
	}
	p.Posts = beside(p.Posts, standardPosts(), func(p Post) PostID { return p.ID })
	p.Classes = beside(p.Classes, standardClasses(), func(c Class) int { return c.Class })
	p.Permits = append(beside(p.Permits, standardPermits(), func(k PermitKind) string { return k.ID }), ownPermits(p.Permits)...)
	p.index = indexOf(p)
	for i, c := range p.Clients { // whoever reads a difference sees the environment that counts
		if app, ok := p.Application(c.Application); ok {
			p.Clients[i].Environment = app.Environment
		}
	}
	return p, nil
}

// beside puts the items in the profile's order, the file's where it has one.
// Nothing in the file lies outside the profile's: the choices see to that.
func beside[T any, K comparable](file, profile []T, id func(T) K) []T {
	out := make([]T, 0, len(profile))
	for _, standard := range profile {
		item := standard
		for _, f := range file {
			if id(f) == id(standard) {
				item = f
			}
		}
		out = append(out, item)
	}
	return out
}

// ownPermits are the kinds of permits that are the file's alone. The house knows
// nothing of what is stated for them: they take text.
func ownPermits(file []PermitKind) []PermitKind {
	var own []PermitKind
	for _, k := range file {
		if !slices.ContainsFunc(standardPermits(), func(s PermitKind) bool { return s.ID == k.ID }) {
			own = append(own, k)
		}
	}
	return own
}
