package embedded

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory/schema"
)

// newUUID is a version 4 UUID, RFC 9562: an entryUUID is never given twice.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, or ends the program
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (s *Server) touch(e *entry, by name) {
	e.set("modifyTimestamp", schema.FormatTime(s.now()))
	e.set("modifiersName", by.dn)
}

// add is RFC 4511 section 4.7.
func (t *talk) add(ctx context.Context, m *message) error {
	if !t.admin {
		return refuse(insufficientAccess, "not yours to write")
	}
	if len(m.op.Children) != 2 || !isString(m.op.Children[0]) {
		return refuse(protocolError, "malformed add")
	}
	n, err := parseName(content(m.op.Children[0]))
	if err != nil || n.key == "" {
		return refuse(invalidDN, "no DN")
	}
	e := &entry{name: n}
	for _, child := range m.op.Children[1].Children {
		description, values, ok := attributeIn(child)
		if !ok || len(values) == 0 {
			return refuse(protocolError, "malformed attribute")
		}
		if readOnly[attributeKey(description)] {
			return refuse(constraintViolation, description+": no user modification allowed")
		}
		if !e.add(description, values) {
			return refuse(valueExists, description+": given twice")
		}
	}
	if e.attributes, err = t.server.hashAttributes(ctx, e.attributes); err != nil {
		return err
	}
	return t.server.tree.write(true, func(p *plan) error {
		return t.server.insert(p, e, t.who)
	})
}

func (s *Server) hashAttributes(ctx context.Context, attributes []attribute) ([]attribute, error) {
	for i, a := range attributes {
		if a.key != "userpassword" {
			continue
		}
		var err error
		if attributes[i].values, err = s.hashed(ctx, a.values); err != nil {
			return nil, err
		}
	}
	return attributes, nil
}

// insert puts a new entry into a plan, with the attributes the server keeps.
// Those that a seed brings along stay.
func (s *Server) insert(p *plan, e *entry, by name) error {
	if p.get(e.key) != nil {
		return refuse(alreadyExists, "exists already")
	}
	if e.key == s.admin.key {
		return refuse(unwilling, "the administrator is no entry")
	}
	if e.key != s.base.key && (!below(e.key, s.base.key) || p.get(e.parent) == nil) {
		return refuse(noSuchObject, "its parent does not exist")
	}
	for _, a := range e.rdn {
		if !e.has(attributeKey(a.attribute), a.value) {
			e.add(a.attribute, []string{a.value})
		}
	}
	now := schema.FormatTime(s.now())
	for _, kept := range []struct{ description, value string }{
		{"entryUUID", newUUID()}, {"createTimestamp", now}, {"modifyTimestamp", now},
		{"creatorsName", by.dn}, {"modifiersName", by.dn},
	} {
		if e.one(attributeKey(kept.description)) == "" {
			e.set(kept.description, kept.value)
		}
	}
	if e.one("userpassword") != "" && e.one("pwdchangedtime") == "" {
		e.set("pwdChangedTime", now)
	}
	if e.isA(dynamicObject) && e.one("entryexpiretimestamp") == "" {
		s.lives(e, defaultTTL)
	}
	if err := sound(p, e); err != nil {
		return err
	}
	p.set(e)
	return nil
}

// sound is what an entry must be in the tree a plan leads to.
func sound(p *plan, e *entry) error {
	if len(e.get("objectclass")) == 0 {
		return refuse(classViolation, "no objectClass")
	}
	if e.isA("groupOfNames") && len(e.get("member")) == 0 {
		return refuse(classViolation, "object class 'groupOfNames' requires attribute 'member'")
	}
	if e.isA("inetOrgPerson") && (e.one("cn") == "" || e.one("sn") == "") {
		return refuse(classViolation, "object class 'inetOrgPerson' requires attributes 'cn' and 'sn'")
	}
	for _, a := range e.rdn {
		if !e.has(attributeKey(a.attribute), a.value) {
			return refuse(notOnRDN, "the name's own value must stay")
		}
	}
	for _, v := range e.get("uid") {
		for _, other := range p.holders("uid", valueKey("uid", v)) {
			if other.key != e.key {
				return refuse(constraintViolation, "non-unique attributes found with (|(uid=...))")
			}
		}
	}
	for key := range holdsNames {
		for _, v := range e.get(key) {
			if n, err := parseName(v); err != nil || n.key == "" {
				return refuse(invalidSyntax, key+": no DN")
			}
		}
	}
	return nil
}

type modification struct {
	kind        int64
	description string
	key         string
	values      []string
}

// relaxable attributes are the server's own unless the administrator asks it to
// relax that (draft-zeilenga-ldap-relax), as tools for moving entries do.
var relaxable = map[string]bool{"pwdchangedtime": true, "pwdlastsuccess": true, "createtimestamp": true}

func parseModifications(p *ber.Packet, relaxed bool) ([]modification, error) {
	var all []modification
	for _, c := range p.Children {
		if len(c.Children) != 2 {
			return nil, refuse(protocolError, "malformed modification")
		}
		kind, ok := number(c.Children[0], ber.TagEnumerated)
		description, values, okAttribute := attributeIn(c.Children[1])
		if !ok || !okAttribute || kind < 0 || kind > 2 || kind == 0 && len(values) == 0 {
			return nil, refuse(protocolError, "malformed modification")
		}
		key := attributeKey(description)
		if readOnly[key] && !(relaxed && relaxable[key]) {
			return nil, refuse(constraintViolation, description+": no user modification allowed")
		}
		all = append(all, modification{kind, description, key, values})
	}
	return all, nil
}

// modify is RFC 4511 section 4.6: all of it or nothing.
func (t *talk) modify(ctx context.Context, m *message) error {
	if !t.admin {
		return refuse(insufficientAccess, "not yours to write")
	}
	if len(m.op.Children) != 2 || !isString(m.op.Children[0]) {
		return refuse(protocolError, "malformed modify")
	}
	n, err := parseName(content(m.op.Children[0]))
	if err != nil {
		return refuse(invalidDN, "no DN")
	}
	_, relaxed := m.controls[relaxOID]
	mods, err := parseModifications(m.op.Children[1], relaxed)
	if err != nil {
		return err
	}
	touched := make(map[string]bool, len(mods))
	for i, mod := range mods {
		touched[mod.key] = true
		if mod.key == "userpassword" && mod.kind != 1 {
			if mods[i].values, err = t.server.hashed(ctx, mod.values); err != nil {
				return err
			}
		}
	}
	return t.server.tree.write(true, func(p *plan) error {
		current := p.get(n.key)
		if current == nil {
			return refuse(noSuchObject, "no such entry")
		}
		if err := t.asserted(m, current); err != nil {
			return err
		}
		e := current.clone()
		for _, mod := range mods {
			if err := apply(e, mod); err != nil {
				return err
			}
		}
		if touched["userpassword"] {
			t.server.newPassword(e, current, touched)
		}
		t.server.touch(e, t.who)
		if err := sound(p, e); err != nil {
			return err
		}
		p.set(e)
		return nil
	})
}

func apply(e *entry, mod modification) error {
	switch mod.kind {
	case 0:
		if !e.add(mod.description, mod.values) {
			return refuse(valueExists, mod.description+": is there already")
		}
	case 1:
		if !e.remove(mod.description, mod.values) {
			return refuse(noSuchAttribute, mod.description+": is not there")
		}
	case 2:
		e.set(mod.description)
		if len(mod.values) > 0 && !e.add(mod.description, mod.values) {
			return refuse(valueExists, mod.description+": given twice")
		}
	}
	return nil
}

// newPassword keeps the policy's attributes beside a password that a
// modification has set. What the modification itself says about them stands.
func (s *Server) newPassword(e, before *entry, touched map[string]bool) {
	s.takePassword(e, before.one("userpassword"), slices.Clone(e.get("userpassword")))
	if !touched["pwdaccountlockedtime"] {
		e.set("pwdAccountLockedTime")
	}
	if !touched["pwdreset"] {
		e.set("pwdReset")
		if s.policyOf(e).one("pwdmustchange") == "TRUE" {
			e.set("pwdReset", "TRUE")
		}
	}
}

// asserted is RFC 4528.
func (t *talk) asserted(m *message, e *entry) error {
	c, ok := m.controls[assertionOID]
	if !ok {
		return nil
	}
	p, ok := decodeInner(c.value)
	if !ok {
		return refuse(protocolError, "malformed assertion")
	}
	f, err := parseFilter(p)
	if err != nil {
		return refuse(protocolError, "malformed assertion")
	}
	if f.matches(view{e, t.server.tree}) != matchTrue {
		return refuse(assertionFailed, "assertion failed")
	}
	return nil
}

// remove is RFC 4511 section 4.8. Groups forget who is deleted.
func (t *talk) remove(m *message) error {
	if !t.admin {
		return refuse(insufficientAccess, "not yours to write")
	}
	n, err := parseName(content(m.op))
	if err != nil {
		return refuse(invalidDN, "no DN")
	}
	return t.server.tree.write(true, func(p *plan) error {
		e := p.get(n.key)
		if e == nil {
			return refuse(noSuchObject, "no such entry")
		}
		if err := t.asserted(m, e); err != nil {
			return err
		}
		if p.tree.children[n.key] > 0 {
			return refuse(notOnNonLeaf, "there are entries below it")
		}
		t.server.refer(p, n.key, "")
		p.remove(n.key)
		return nil
	})
}

// refer makes groups name a member by its new DN, or forget it. A group that
// may not be empty is left with the placeholder.
func (s *Server) refer(p *plan, fromKey, to string) {
	for _, group := range p.holders("member", fromKey) {
		g := group.clone()
		g.replaceMember(fromKey, to)
		if g.isA("groupOfNames") && len(g.get("member")) == 0 {
			g.set("member", "cn=nobody,"+s.base.dn)
		}
		p.set(g)
	}
}

// rename is RFC 4511 section 4.9, subtree and references included.
func (t *talk) rename(m *message) error {
	if !t.admin {
		return refuse(insufficientAccess, "not yours to write")
	}
	c := m.op.Children
	if len(c) < 3 || len(c) > 4 || !isString(c[0]) || !isString(c[1]) {
		return refuse(protocolError, "malformed rename")
	}
	n, err := parseName(content(c[0]))
	newRDN, errRDN := parseName(content(c[1]))
	dropOld, ok := flag(c[2])
	if err != nil || errRDN != nil || !ok || n.key == "" || newRDN.key == "" || newRDN.parent != "" {
		return refuse(invalidDN, "no DN")
	}
	above := parentDN(n.dn)
	if len(c) == 4 {
		above = content(c[3])
	}
	target, err := parseName(newRDN.dn + "," + above)
	if err != nil {
		return refuse(invalidDN, "no DN")
	}
	if n.key == t.server.base.key || !below(target.key, t.server.base.key) || target.key != n.key && below(target.key, n.key) {
		return refuse(unwilling, "it cannot be moved there")
	}
	return t.server.tree.write(true, func(p *plan) error {
		return t.server.move(p, n, target, dropOld, t.who)
	})
}

func (s *Server) move(p *plan, from, to name, dropOld bool, by name) error {
	e := p.get(from.key)
	if e == nil || p.get(to.parent) == nil {
		return refuse(noSuchObject, "no such entry")
	}
	if to.key != from.key && p.get(to.key) != nil {
		return refuse(alreadyExists, "exists already")
	}
	c := e.rename(to)
	if dropOld {
		for _, a := range e.rdn {
			c.remove(a.attribute, []string{a.value})
		}
	}
	for _, a := range to.rdn {
		if !c.has(attributeKey(a.attribute), a.value) {
			c.add(a.attribute, []string{a.value})
		}
	}
	s.touch(c, by)
	p.remove(from.key)
	if err := sound(p, c); err != nil {
		return err
	}
	p.set(c)
	s.refer(p, from.key, to.dn)
	if p.tree.children[from.key] == 0 || from.key == to.key {
		return nil
	}
	for key, child := range p.tree.entries {
		if key == from.key || !below(key, from.key) {
			continue
		}
		moved, err := parseName(relative(child.dn, from.dn) + "," + to.dn)
		if err != nil {
			return refuse(invalidDN, "no DN")
		}
		p.remove(key)
		p.set(child.rename(moved))
		s.refer(p, key, moved.dn)
	}
	return nil
}

// parentDN is a DN without its first RDN; relative is one without another at
// its end. Both are given DNs that parse.
func parentDN(dn string) string {
	parsed, err := goldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) < 2 {
		return ""
	}
	return join(parsed.RDNs[1:])
}

func relative(dn, base string) string {
	parsed, err := goldap.ParseDN(dn)
	above, errBase := goldap.ParseDN(base)
	if err != nil || errBase != nil || len(parsed.RDNs) <= len(above.RDNs) {
		return ""
	}
	return join(parsed.RDNs[:len(parsed.RDNs)-len(above.RDNs)])
}

func join(rdns []*goldap.RelativeDN) string {
	parts := make([]string, len(rdns))
	for i, r := range rdns {
		parts[i] = r.String()
	}
	return strings.Join(parts, ",")
}
