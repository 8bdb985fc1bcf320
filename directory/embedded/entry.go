package embedded

import (
	"slices"
	"strings"
)

// An entry is never changed once it is in the tree: a write makes a copy and
// puts that in its place, so a reader needs no lock while it reads.
type entry struct {
	name
	attributes []attribute
}

type attribute struct {
	name   string // as first written
	key    string
	values []string
}

func (e *entry) find(key string) *attribute {
	for i := range e.attributes {
		if e.attributes[i].key == key {
			return &e.attributes[i]
		}
	}
	return nil
}

// get answers the values of an attribute by its key.
func (e *entry) get(key string) []string {
	if a := e.find(key); a != nil {
		return a.values
	}
	return nil
}

func (e *entry) one(key string) string {
	for _, v := range e.get(key) {
		return v
	}
	return ""
}

func (e *entry) isA(class string) bool { return e.has("objectclass", class) }

func (e *entry) has(key, value string) bool {
	want := valueKey(key, value)
	return slices.ContainsFunc(e.get(key), func(v string) bool { return valueKey(key, v) == want })
}

func (e *entry) clone() *entry {
	c := &entry{name: e.name, attributes: make([]attribute, len(e.attributes))}
	for i, a := range e.attributes {
		c.attributes[i] = attribute{a.name, a.key, slices.Clone(a.values)}
	}
	return c
}

// set replaces the values of an attribute; none remove it.
func (e *entry) set(description string, values ...string) {
	key := attributeKey(description)
	if len(values) == 0 {
		e.attributes = slices.DeleteFunc(e.attributes, func(a attribute) bool { return a.key == key })
		return
	}
	if a := e.find(key); a != nil {
		a.values = slices.Clone(values)
		return
	}
	e.attributes = append(e.attributes, attribute{description, key, slices.Clone(values)})
}

// add puts in values, of which none may be there already.
func (e *entry) add(description string, values []string) bool {
	key := attributeKey(description)
	seen := make(map[string]bool, len(values))
	for _, v := range e.get(key) {
		seen[valueKey(key, v)] = true
	}
	for _, v := range values {
		k := valueKey(key, v)
		if seen[k] {
			return false
		}
		seen[k] = true
	}
	e.set(description, append(slices.Clone(e.get(key)), values...)...)
	return true
}

// remove takes values out, all of which must be there; none take all.
func (e *entry) remove(description string, values []string) bool {
	key := attributeKey(description)
	current := e.get(key)
	if len(current) == 0 {
		return false
	}
	if len(values) == 0 {
		e.set(description)
		return true
	}
	gone := make(map[string]bool, len(values))
	for _, v := range values {
		gone[valueKey(key, v)] = true
	}
	kept := slices.DeleteFunc(slices.Clone(current), func(v string) bool { return gone[valueKey(key, v)] })
	if len(current)-len(kept) != len(gone) {
		return false
	}
	e.set(description, kept...)
	return true
}

// rename gives the entry another name and carries its subtree's part of it.
func (e *entry) rename(to name) *entry {
	c := e.clone()
	c.name = to
	return c
}

// replaceMember exchanges one member for another, or for none when to is "".
func (e *entry) replaceMember(fromKey, to string) {
	var kept []string
	for _, v := range e.get("member") {
		if valueKey("member", v) != fromKey {
			kept = append(kept, v)
			continue
		}
		if to != "" && !slices.Contains(kept, to) {
			kept = append(kept, to)
		}
	}
	e.set("member", kept...)
}

// structural is the last class that is not auxiliary, as near as data without
// a schema can tell.
func (e *entry) structural() string {
	for _, v := range slices.Backward(e.get("objectclass")) {
		switch strings.ToLower(v) {
		case "top", "shadowaccount", "posixaccount", "simplesecurityobject", "dcobject", "pwdpolicy":
		default:
			return v
		}
	}
	return e.one("objectclass")
}
