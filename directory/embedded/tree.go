package embedded

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// indexed attributes answer an equality without looking at every entry.
var indexed = map[string]bool{"uid": true, "mail": true, "entryuuid": true, "member": true}

// A tree holds the entries and the journal they live in.
type tree struct {
	mu       sync.RWMutex
	entries  map[string]*entry
	children map[string]int                 // how many entries lie right below a key
	index    map[string]map[string][]string // attribute → value key → entry keys
	dynamic  map[string]struct{}            // keys of entries that end by themselves
	journal  *journal
	// policies are the password policy entries, published apart so that they can
	// be read with the lock held or not.
	policies atomic.Pointer[map[string]*entry]
}

func openTree(dir string) (*tree, error) {
	t := &tree{
		entries:  make(map[string]*entry),
		children: make(map[string]int),
		index:    make(map[string]map[string][]string),
		dynamic:  make(map[string]struct{}),
	}
	for a := range indexed {
		t.index[a] = make(map[string][]string)
	}
	var err error
	t.journal, err = openJournal(dir, func(c change) error {
		for _, key := range c.Del {
			t.take(key)
		}
		for _, stored := range c.Put {
			e, err := stored.entry()
			if err != nil {
				return err
			}
			t.put(e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (t *tree) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.journal.close()
}

func (t *tree) put(e *entry) {
	t.take(e.key)
	t.entries[e.key] = e
	if e.isA(dynamicObject) {
		t.dynamic[e.key] = struct{}{}
	}
	if e.isA("pwdPolicy") {
		t.publish(e.key, e)
	}
	if e.parent != "" {
		t.children[e.parent]++
	}
	for a := range indexed {
		for _, v := range e.get(a) {
			k := valueKey(a, v)
			if !slices.Contains(t.index[a][k], e.key) {
				t.index[a][k] = append(t.index[a][k], e.key)
			}
		}
	}
}

func (t *tree) take(key string) {
	e, ok := t.entries[key]
	if !ok {
		return
	}
	delete(t.entries, key)
	delete(t.dynamic, key)
	if e.isA("pwdPolicy") {
		t.publish(key, nil)
	}
	if e.parent != "" {
		if t.children[e.parent]--; t.children[e.parent] == 0 {
			delete(t.children, e.parent)
		}
	}
	for a := range indexed {
		for _, v := range e.get(a) {
			k := valueKey(a, v)
			kept := slices.DeleteFunc(slices.Clone(t.index[a][k]), func(at string) bool { return at == key })
			if len(kept) == 0 {
				delete(t.index[a], k)
			} else {
				t.index[a][k] = kept
			}
		}
	}
}

func (t *tree) publish(key string, e *entry) {
	next := make(map[string]*entry)
	if now := t.policies.Load(); now != nil {
		maps.Copy(next, *now)
	}
	if delete(next, key); e != nil {
		next[key] = e
	}
	t.policies.Store(&next)
}

func (t *tree) policy(key string) *entry {
	if all := t.policies.Load(); all != nil {
		return (*all)[key]
	}
	return nil
}

// A plan collects what one write changes. Nothing of it is visible before the
// journal has it.
type plan struct {
	tree *tree
	put  map[string]*entry
	del  map[string]bool
}

// get answers an entry as the plan leaves it.
func (p *plan) get(key string) *entry {
	if e, ok := p.put[key]; ok {
		return e
	}
	if p.del[key] {
		return nil
	}
	return p.tree.entries[key]
}

func (p *plan) set(e *entry) {
	delete(p.del, e.key)
	p.put[e.key] = e
}

func (p *plan) remove(key string) {
	delete(p.put, key)
	p.del[key] = true
}

// holders answers the entries that have a value of an indexed attribute.
func (p *plan) holders(attribute, valueKey string) []*entry {
	var found []*entry
	for _, key := range p.tree.index[attribute][valueKey] {
		if e := p.get(key); e != nil {
			found = append(found, e)
		}
	}
	return found
}

// write runs fn on a plan and makes the plan true: journal first, then memory.
// An error of fn changes nothing.
func (t *tree) write(durable bool, fn func(*plan) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &plan{tree: t, put: make(map[string]*entry), del: make(map[string]bool)}
	if err := fn(p); err != nil {
		return err
	}
	if len(p.put)+len(p.del) == 0 {
		return nil
	}
	var c change
	c.Del = append(c.Del, slices.Sorted(maps.Keys(p.del))...)
	for _, key := range slices.Sorted(maps.Keys(p.put)) {
		c.Put = append(c.Put, store(p.put[key]))
	}
	if err := t.journal.append(c, durable); err != nil {
		return err
	}
	for key := range p.del {
		t.take(key)
	}
	for _, e := range p.put {
		t.put(e)
	}
	if t.journal.size > compactAt {
		if err := t.journal.compact(t.all()); err != nil && t.journal.broken != nil {
			return fmt.Errorf("compacting: %w", err)
		}
	}
	return nil
}

func (t *tree) all() iter.Seq[*entry] { return maps.Values(t.entries) }

func (t *tree) lookup(key string) *entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.entries[key]
}

// A view is an entry with the attributes that are worked out and not kept.
// It must be used while the tree is locked.
type view struct {
	*entry
	tree *tree
}

func (v view) get(key string) []string {
	switch key {
	case "entrydn":
		return []string{v.dn}
	case "memberof":
		var groups []string
		for _, k := range v.tree.index["member"][v.key] {
			if g := v.tree.entries[k]; g != nil {
				groups = append(groups, g.dn)
			}
		}
		return groups
	case "structuralobjectclass":
		return []string{v.structural()}
	case "hassubordinates":
		if v.tree.children[v.key] > 0 {
			return []string{"TRUE"}
		}
		return []string{"FALSE"}
	}
	return v.entry.get(key)
}

// candidates narrows a search by the indexes: every match is among the keys it
// answers. ok is false when the filter gives no hold.
func (t *tree) candidates(f *filterNode) (keys []string, ok bool) {
	switch f.kind {
	case filterEqual:
		if f.attribute == "entrydn" {
			return []string{f.key}, true
		}
		if indexed[f.attribute] {
			return t.index[f.attribute][f.key], true
		}
	case filterAnd:
		for _, part := range f.parts {
			if keys, ok := t.candidates(part); ok {
				return keys, true
			}
		}
	case filterOr:
		var all []string
		for _, part := range f.parts {
			keys, ok := t.candidates(part)
			if !ok {
				return nil, false
			}
			all = append(all, keys...)
		}
		slices.Sort(all)
		return slices.Compact(all), len(f.parts) > 0
	}
	return nil, false
}

// find answers the keys of the entries in a scope that match.
func (t *tree) find(base string, scope int64, f *filterNode, visible func(*entry) bool) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var found []string
	look := func(e *entry) {
		switch scope {
		case scopeBase:
			if e.key != base {
				return
			}
		case scopeOne:
			if e.parent != base {
				return
			}
		default:
			if !below(e.key, base) {
				return
			}
		}
		if visible(e) && f.matches(view{e, t}) == matchTrue {
			found = append(found, e.key)
		}
	}
	if scope == scopeBase {
		if e := t.entries[base]; e != nil {
			look(e)
		}
		return found
	}
	if keys, ok := t.candidates(f); ok {
		for _, key := range keys {
			if e := t.entries[key]; e != nil {
				look(e)
			}
		}
		return found
	}
	for _, e := range t.entries {
		look(e)
	}
	slices.Sort(found)
	return found
}
