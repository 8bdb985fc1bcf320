package embedded

import (
	"context"
	"slices"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"

	"sekisho/directory/schema"
)

// extended serves whoami and password modify.
func (t *talk) extended(ctx context.Context, m *message, a *answer) error {
	if len(m.op.Children) == 0 || m.op.Children[0].ClassType != ber.ClassContext || m.op.Children[0].Tag != 0 {
		return refuse(protocolError, "malformed extended request")
	}
	value := ""
	if len(m.op.Children) > 1 {
		value = content(m.op.Children[1])
	}
	switch oid := content(m.op.Children[0]); oid {
	case whoamiOID:
		who := ""
		if t.who.key != "" {
			who = "dn:" + t.who.dn
		}
		a.children = append(a.children, ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, who, ""))
		return nil
	case passwordOID:
		return t.passwordModify(ctx, value)
	case refreshOID:
		return t.refresh(a, value)
	case startTLSOID:
		return refuse(protocolError, "no TLS: this server is reached from its own machine only")
	default:
		return refuse(protocolError, "unknown extended operation")
	}
}

// passwordModify is RFC 3062: one's own password with the old one, anybody's as
// the administrator. No password is made up for those who bring none.
func (t *talk) passwordModify(ctx context.Context, value string) error {
	who, old, next := t.who.dn, "", ""
	if value != "" {
		p, ok := decodeInner(value)
		if !ok {
			return refuse(protocolError, "malformed password modify")
		}
		for _, c := range p.Children {
			if c.ClassType != ber.ClassContext {
				return refuse(protocolError, "malformed password modify")
			}
			switch c.Tag {
			case 0:
				who = content(c)
			case 1:
				old = content(c)
			case 2:
				next = content(c)
			}
		}
	}
	n, err := parseName(who)
	if err != nil || t.who.key == "" {
		return refuse(unwilling, "whose password?")
	}
	if next == "" {
		return refuse(unwilling, "no new password")
	}
	self := n.key == t.who.key
	if !self && !t.admin {
		return refuse(insufficientAccess, "not yours")
	}
	if self || old != "" {
		if err := t.server.checkOld(ctx, n.key, old); err != nil {
			return err
		}
	}
	if err := t.server.setPassword(ctx, n.key, next, t.who, self); err != nil {
		return err
	}
	if self {
		t.must = false
	}
	return nil
}

// checkOld verifies the password that is to be replaced.
func (s *Server) checkOld(ctx context.Context, key, old string) error {
	e := s.tree.lookup(key)
	if e == nil {
		return refuse(noSuchObject, "no such entry")
	}
	ok, _, err := s.hasher.Verify(ctx, e.one("userpassword"), []byte(old))
	if err != nil {
		return err
	}
	if !ok {
		return refuse(unwilling, "unwilling to verify old password")
	}
	return nil
}

// setPassword hashes outside the lock and then changes what was not changed by
// somebody else meanwhile.
func (s *Server) setPassword(ctx context.Context, key, next string, by name, self bool) error {
	e := s.tree.lookup(key)
	if e == nil {
		return refuse(noSuchObject, "no such entry")
	}
	if self {
		if err := s.permit(ctx, e, next); err != nil {
			return err
		}
	}
	hash, err := s.hasher.Hash(ctx, []byte(next))
	if err != nil {
		return err
	}
	return s.tree.write(true, func(p *plan) error {
		current := p.get(key)
		if current == nil || self && current.one("userpassword") != e.one("userpassword") {
			return refuse(unwilling, "the password changed just now")
		}
		c := current.clone()
		s.takePassword(c, e.one("userpassword"), []string{hash})
		c.set("pwdReset")
		if !self && s.policyOf(c).one("pwdmustchange") == "TRUE" {
			c.set("pwdReset", "TRUE")
		}
		c.set("pwdAccountLockedTime")
		s.touch(c, by)
		p.set(c)
		return nil
	})
}

// permit is the policy a person's own change must meet. Sekisho's rules are
// stricter and come first; this holds for who changes it elsewhere.
func (s *Server) permit(ctx context.Context, e *entry, next string) error {
	policy := s.policyOf(e)
	if int64(utf8.RuneCountInString(next)) < count(policy, "pwdminlength") {
		return &refusal{constraintViolation, "too short", policyTooShort}
	}
	if changed, err := schema.ParseTime(e.one("pwdchangedtime")); err == nil && e.one("pwdreset") != "TRUE" &&
		s.now().Before(changed.Add(seconds(policy, "pwdminage"))) {
		return &refusal{constraintViolation, "changed too recently", policyTooYoung}
	}
	if count(policy, "pwdinhistory") == 0 {
		return nil
	}
	for _, hash := range append(slices.Clone(e.get("pwdhistory")), e.get("userpassword")...) {
		used, _, err := s.hasher.Verify(ctx, hash, []byte(next))
		if err != nil {
			return err
		}
		if used {
			return &refusal{constraintViolation, "used before", policyHistory}
		}
	}
	return nil
}

// takePassword puts hashes in place of a password and keeps the old one as the
// policy says.
func (s *Server) takePassword(e *entry, old string, hashes []string) {
	history := e.get("pwdhistory")
	if old != "" {
		history = append(slices.Clone(history), old)
	}
	if extra := len(history) - int(count(s.policyOf(e), "pwdinhistory")); extra > 0 {
		history = history[extra:]
	}
	e.set("pwdHistory", history...)
	e.set("userPassword", hashes...)
	e.set("pwdChangedTime", schema.FormatTime(s.now()))
	e.set("pwdFailureTime")
}

// hashed exchanges passwords for their hashes. Nothing that arrives is believed
// to be a hash already: whoever could store one could bind with it elsewhere.
func (s *Server) hashed(ctx context.Context, passwords []string) ([]string, error) {
	hashes := make([]string, 0, len(passwords))
	for _, p := range passwords {
		if p == "" {
			return nil, refuse(constraintViolation, "an empty password")
		}
		h, err := s.hasher.Hash(ctx, []byte(p))
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}
