package embedded

import (
	"encoding/binary"
	"maps"
	"slices"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// maxCursors bounds the paged searches open on one connection.
const maxCursors = 8

// A cursor is what is left of a paged search: the keys that matched when it
// began. Entries that have gone since are passed over.
type cursor struct {
	keys []string
}

type query struct {
	base      string
	scope     int64
	limit     int64
	typesOnly bool
	filter    *filterNode
	wanted    []string
}

func parseQuery(p *ber.Packet) (*query, error) {
	if len(p.Children) != 8 || !isString(p.Children[0]) {
		return nil, refuse(protocolError, "malformed search")
	}
	q := &query{}
	n, err := parseName(content(p.Children[0]))
	if err != nil {
		return nil, refuse(invalidDN, "the base is no DN")
	}
	q.base = n.key
	scope, okScope := number(p.Children[1], ber.TagEnumerated)
	limit, okLimit := number(p.Children[3], ber.TagInteger)
	typesOnly, okTypes := flag(p.Children[5])
	wanted, okWanted := stringsIn(p.Children[7])
	if !okScope || !okLimit || !okTypes || !okWanted || scope < scopeBase || scope > scopeSubtree || limit < 0 {
		return nil, refuse(protocolError, "malformed search")
	}
	q.scope, q.limit, q.typesOnly, q.wanted = scope, limit, typesOnly, wanted
	if q.filter, err = parseFilter(p.Children[6]); err != nil {
		return nil, refuse(protocolError, "malformed filter")
	}
	return q, nil
}

// search answers what this connection may see: the administrator everything, a
// person their own entry, nobody the root alone.
func (t *talk) search(m *message, a *answer) error {
	q, err := parseQuery(m.op)
	if err != nil {
		return err
	}
	if q.base == "" && q.scope == scopeBase {
		t.write(m.id, t.rootEntry(q), nil)
		return nil
	}
	if t.who.key == "" {
		return refuse(insufficientAccess, "bind first")
	}
	page, paged := m.controls[pagingOID]
	if paged {
		return t.searchPage(m, a, q, page)
	}
	keys, err := t.found(q)
	if err != nil {
		return err
	}
	sent := int64(0)
	for _, key := range keys {
		if q.limit > 0 && sent == q.limit {
			return refuse(sizeLimitExceeded, "size limit exceeded")
		}
		if t.sendEntry(m.id, key, q) {
			sent++
		}
	}
	return nil
}

func (t *talk) found(q *query) ([]string, error) {
	if base := t.server.tree.lookup(q.base); base == nil || !t.mayFind(base) {
		return nil, refuse(noSuchObject, "no such base")
	}
	return t.server.tree.find(q.base, q.scope, q.filter, t.maySee), nil
}

func (t *talk) maySee(e *entry) bool { return t.admin || e.key == t.who.key }

// mayFind lets a person search from above their own entry without seeing what
// else there is.
func (t *talk) mayFind(base *entry) bool { return t.admin || below(t.who.key, base.key) }

// searchPage is RFC 2696. The size limit of a request bounds its page there.
func (t *talk) searchPage(m *message, a *answer, q *query, c control) error {
	size, cookie, ok := parsePaging(c.value)
	if !ok {
		return refuse(protocolError, "malformed paging control")
	}
	var (
		id   uint64
		open *cursor
	)
	if cookie == "" {
		keys, err := t.found(q)
		if err != nil {
			return err
		}
		open = &cursor{keys}
		t.opened++
		id = t.opened
	} else {
		if len(cookie) == 8 {
			id = binary.BigEndian.Uint64([]byte(cookie))
		}
		if open = t.cursors[id]; open == nil {
			return refuse(unwilling, "unknown paging cookie")
		}
	}
	if q.limit > 0 && int64(len(open.keys)) > q.limit && size > q.limit {
		size = q.limit
	}
	sent := int64(0)
	for len(open.keys) > 0 && sent < size {
		key := open.keys[0]
		open.keys = open.keys[1:]
		if t.sendEntry(m.id, key, q) {
			sent++
		}
	}
	next := ""
	if len(open.keys) > 0 && size > 0 {
		if len(t.cursors) >= maxCursors {
			delete(t.cursors, slices.Min(slices.Collect(maps.Keys(t.cursors))))
		}
		t.cursors[id] = open
		next = string(binary.BigEndian.AppendUint64(nil, id))
	} else {
		delete(t.cursors, id)
	}
	value := ber.NewSequence("")
	value.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 0, ""))
	value.AppendChild(octets(next))
	a.controls = append(a.controls, responseControl(pagingOID, string(value.Bytes())))
	return nil
}

func parsePaging(value string) (size int64, cookie string, ok bool) {
	p, ok := decodeInner(value)
	if !ok || len(p.Children) != 2 || !isString(p.Children[1]) {
		return 0, "", false
	}
	size, ok = number(p.Children[0], ber.TagInteger)
	return size, content(p.Children[1]), ok && size >= 0
}

// decodeInner decodes what travels inside an octet string.
func decodeInner(value string) (*ber.Packet, bool) {
	budget := maxElements
	if rest, err := checkShape([]byte(value), maxDepth, &budget); err != nil || len(rest) != 0 {
		return nil, false
	}
	p, err := ber.DecodePacketErr([]byte(value))
	return p, err == nil
}

// sendEntry writes one entry and says whether it was still there.
func (t *talk) sendEntry(id int64, key string, q *query) bool {
	p := t.server.tree.selected(key, q)
	if p == nil {
		return false
	}
	// Written without the lock: a reader that is slow to take its answer must
	// not keep everybody else from writing.
	t.write(id, p, nil)
	return true
}

func (t *tree) selected(key string, q *query) *ber.Packet {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.entries[key]
	if e == nil {
		return nil
	}
	return selected(view{e, t}, q)
}

// computed attributes are kept nowhere; see view.get.
var computed = []string{"entryDN", "memberOf", "structuralObjectClass", "hasSubordinates"}

// selected is RFC 4511 section 4.5.1.8 and RFC 3673. Passwords are not for
// reading, whoever asks.
func selected(v view, q *query) *ber.Packet {
	all, operationalToo := len(q.wanted) == 0, false
	named := make(map[string]bool, len(q.wanted))
	for _, w := range q.wanted {
		switch w {
		case "*":
			all = true
		case "+":
			operationalToo = true
		default:
			named[attributeKey(w)] = true
		}
	}
	wanted := func(key string) bool {
		if key == "userpassword" || key == "pwdhistory" {
			return false
		}
		if named[key] {
			return true
		}
		if operational[key] {
			return operationalToo
		}
		return all
	}
	attributes := ber.NewSequence("")
	put := func(description string, values []string) {
		if len(values) == 0 {
			return
		}
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		if !q.typesOnly {
			for _, value := range values {
				set.AppendChild(octets(value))
			}
		}
		one := ber.NewSequence("")
		one.AppendChild(octets(description))
		one.AppendChild(set)
		attributes.AppendChild(one)
	}
	for _, a := range v.attributes {
		if wanted(a.key) {
			put(a.name, a.values)
		}
	}
	for _, description := range computed {
		if key := attributeKey(description); wanted(key) {
			put(description, v.get(key))
		}
	}
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 4, nil, "")
	p.AppendChild(octets(v.dn))
	p.AppendChild(attributes)
	return p
}

// rootEntry is the root DSE, RFC 4512 section 5.1.
func (t *talk) rootEntry(q *query) *ber.Packet {
	e := &entry{}
	e.set("objectClass", "top")
	e.set("namingContexts", t.server.base.dn)
	e.set("supportedLDAPVersion", "3")
	e.set("supportedControl", pagingOID, assertionOID, policyOID, relaxOID, manageDsaOID)
	e.set("supportedExtension", whoamiOID, passwordOID, refreshOID)
	e.set("supportedFeatures", "1.3.6.1.4.1.4203.1.5.1") // RFC 3673
	e.set("vendorName", "Sekisho")
	// Every tool asks for the root's operational attributes by "+".
	q.wanted = slices.DeleteFunc(slices.Clone(q.wanted), func(w string) bool { return w == "+" })
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 4, nil, "")
	p.AppendChild(octets(""))
	p.AppendChild(selected(view{e, &tree{}}, q).Children[1])
	return p
}

// compare is RFC 4511 section 4.10. Of a password it only ever says no: it is
// kept as a hash, and guessing belongs to bind, where it is counted.
func (t *talk) compare(m *message) error {
	if len(m.op.Children) != 2 || !isString(m.op.Children[0]) || len(m.op.Children[1].Children) != 2 ||
		!isString(m.op.Children[1].Children[0]) || !isString(m.op.Children[1].Children[1]) {
		return refuse(protocolError, "malformed compare")
	}
	n, err := parseName(content(m.op.Children[0]))
	if err != nil {
		return refuse(invalidDN, "no DN")
	}
	key := attributeKey(content(m.op.Children[1].Children[0]))
	value := content(m.op.Children[1].Children[1])
	tree := t.server.tree
	tree.mu.RLock()
	defer tree.mu.RUnlock()
	e := tree.entries[n.key]
	if e == nil || !t.maySee(e) {
		return refuse(noSuchObject, "no such entry")
	}
	values := view{e, tree}.get(key)
	if len(values) == 0 {
		return refuse(noSuchAttribute, "no such attribute")
	}
	if !holdsBytes[key] {
		want := valueKey(key, value)
		for _, v := range values {
			if valueKey(key, v) == want {
				return refuse(compareTrue, "")
			}
		}
	}
	return refuse(compareFalse, "")
}
